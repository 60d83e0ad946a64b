//! Backoff, jitter and limits: pure functions of integers.

use blake2b_simd::{Params, State};

/// How a job is retried, as it was resolved when the job was scheduled. Durations are nanoseconds, never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOptions {
    /// Retries after the first attempt; `None`: no such limit.
    pub retry_limit: Option<u32>,
    /// Age in nanoseconds, from the first start, at which retries end; `None`: no such limit.
    pub age_limit: Option<i64>,
    /// The shortest backoff, in nanoseconds.
    pub min_backoff: i64,
    /// The longest backoff, in nanoseconds.
    pub max_backoff: i64,
    /// Started once or never: never retried.
    pub at_most_once: bool,
}

impl RetryOptions {
    /// Whether a job is dead whose attempt `attempt` (from 1) failed at the age of `age` ns.
    ///
    /// It is when every limit that it has is reached; with none it never is.
    pub fn exhausted(&self, attempt: u32, age: i64) -> bool {
        if self.at_most_once {
            return true;
        }
        let count = self.retry_limit.map(|limit| attempt > limit);
        let age = self.age_limit.map(|limit| age >= limit);
        match (count, age) {
            (None, None) => false,
            (count, age) => count.unwrap_or(true) && age.unwrap_or(true),
        }
    }

    /// The longest backoff after attempt `attempt`: `min(max_backoff, min_backoff · 2ⁿ)`, saturating.
    pub fn ceiling(&self, attempt: u32) -> i64 {
        let grown = if self.min_backoff == 0 {
            0
        } else if attempt >= self.min_backoff.leading_zeros() {
            i64::MAX
        } else {
            self.min_backoff.checked_shl(attempt).unwrap_or(i64::MAX)
        };
        grown.min(self.max_backoff)
    }

    /// The backoff after attempt `attempt`: uniform between `min_backoff` and the ceiling, by the
    /// random number `draw`.
    pub fn backoff(&self, attempt: u32, draw: u64) -> i64 {
        self.min_backoff + up_to(self.ceiling(attempt) - self.min_backoff, draw)
    }
}

/// Uniform between 0 and a bound that is not negative, both of them included, by the random number `draw`.
#[must_use]
pub fn up_to(most: i64, draw: u64) -> i64 {
    ((u128::from(draw) * (most as u128 + 1)) >> 64) as i64
}

/// Draws the random numbers of a seed, the same on every machine.
#[derive(Clone, Debug)]
pub struct Jitter {
    keyed: State,
    /// The hash after the key and a first byte: the key takes a block of its own, half of the
    /// work, and ids that were made in the same months begin alike.
    begun: Option<(u8, State)>,
}

impl Jitter {
    /// The random numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut params = Params::new();
        params.hash_length(8).key(&seed.to_le_bytes());
        Jitter {
            keyed: params.to_state(),
            begun: None,
        }
    }

    /// The random number of one job's one attempt.
    ///
    /// The little-endian u64 of BLAKE2b (digest 8 bytes, key the seed) over the id and the
    /// attempt.
    pub fn draw(&mut self, id: &[u8], attempt: u32) -> u64 {
        let attempt = attempt.to_le_bytes();
        let (mut state, rest) = match (id, &self.begun) {
            ([], _) => (self.keyed.clone(), id),
            (&[first, ref rest @ ..], Some((known, begun))) if *known == first => {
                (begun.clone(), rest)
            }
            (&[first, ref rest @ ..], _) => {
                let mut begun = self.keyed.clone();
                begun.update(&[first]);
                self.begun = Some((first, begun.clone()));
                (begun, rest)
            }
        };
        let hash = state.update(rest).update(&attempt).finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(hash.as_bytes());
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: RetryOptions = RetryOptions {
        retry_limit: Some(3),
        age_limit: None,
        min_backoff: 1_000,
        max_backoff: 1_000_000,
        at_most_once: false,
    };

    #[test]
    fn a_limit_of_n_gives_n_retries() {
        let dead: Vec<bool> = (1..6)
            .map(|attempt| OPTIONS.exhausted(attempt, 0))
            .collect();
        assert_eq!(dead, [false, false, false, true, true]);
    }

    #[test]
    fn with_both_limits_both_must_be_reached() {
        let both = RetryOptions {
            age_limit: Some(10),
            ..OPTIONS
        };
        assert!(!both.exhausted(4, 9));
        assert!(!both.exhausted(3, 10));
        assert!(both.exhausted(4, 10));
        let none = RetryOptions {
            retry_limit: None,
            ..OPTIONS
        };
        assert!(!none.exhausted(u32::MAX, i64::MAX));
    }

    #[test]
    fn the_ceiling_doubles_and_saturates() {
        assert_eq!(OPTIONS.ceiling(1), 2_000);
        assert_eq!(OPTIONS.ceiling(9), 512_000);
        assert_eq!(OPTIONS.ceiling(10), 1_000_000);
        assert_eq!(OPTIONS.ceiling(u32::MAX), 1_000_000);
        let wide = RetryOptions {
            max_backoff: i64::MAX,
            ..OPTIONS
        };
        assert_eq!(wide.ceiling(53), 1_000 << 53);
        assert_eq!(wide.ceiling(54), i64::MAX);
        let zero = RetryOptions {
            min_backoff: 0,
            ..OPTIONS
        };
        assert_eq!(zero.ceiling(u32::MAX), 0);
        assert_eq!(zero.backoff(3, u64::MAX), 0);
    }

    #[test]
    fn the_draw_is_blake2b_as_python_computes_it() {
        // hashlib.blake2b(b"a" + (1).to_bytes(4, "little"), digest_size=8,
        //                 key=(7).to_bytes(8, "little")).digest(), read little-endian
        let mut jitter = Jitter::new(7);
        for (id, drawn) in [
            ("a", 4302665141958122321),
            ("", 1338637269673548254),
            ("ab", 17453620329986292908),
            ("b", 11343989965063781123),
            ("a", 4302665141958122321),
        ] {
            assert_eq!(jitter.draw(id.as_bytes(), 1), drawn, "{id:?}");
        }
    }
}
