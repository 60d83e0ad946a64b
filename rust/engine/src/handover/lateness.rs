//! The histogram of lateness: quantiles within 1 %, the largest value exact.

/// An octave has `1 << FINE_BITS` buckets, each 0.8 % wide at most; values below two such octaves are exact.
pub(super) const FINE_BITS: u32 = 7;
pub(super) const BUCKETS: usize = bucket(u64::MAX) + 1;

/// Lateness of every start, in nanoseconds.
#[derive(Debug)]
pub struct Lateness {
    buckets: Box<[u64]>,
    count: u64,
    sum: u128,
    max: u64,
}

/// By how many bits the values of a bucket's octave are shifted.
const fn shift(value: u64) -> u32 {
    u64::BITS - 1 - FINE_BITS - (value | 1 << FINE_BITS).leading_zeros()
}

/// The bucket of a value.
pub(crate) const fn bucket(value: u64) -> usize {
    let shift = shift(value);
    ((shift as usize) << FINE_BITS) + (value >> shift) as usize
}

/// The middle of a bucket, which halves the error.
const fn middle(bucket: usize) -> u64 {
    let shift = (bucket >> FINE_BITS).saturating_sub(1);
    let lowest = ((bucket - (shift << FINE_BITS)) as u64) << shift;
    lowest + (1 << shift) / 2
}

/// What a [`Lateness`] says, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many starts were counted.
    pub count: u64,
    /// The sum of them, exact.
    pub sum: u128,
    /// The exact mean.
    pub mean: f64,
    /// The quantiles 0.5, 0.9, 0.99 and 0.999.
    pub quantiles: [f64; 4],
    /// The largest, exact.
    pub max: u64,
    /// How many starts were in each bucket that has any, by the middle of its values, in order.
    pub buckets: Vec<(u64, u64)>,
}

impl Summary {
    /// What there is to say of count, sum and largest value, and of the buckets that have any, in order.
    pub(super) fn of(
        (count, sum, max): (u64, u128, u64),
        buckets: impl Iterator<Item = (usize, u64)>,
    ) -> Self {
        if count == 0 {
            return Summary::default();
        }
        let buckets: Vec<_> = buckets.map(|(at, counted)| (middle(at), counted)).collect();
        let quantiles = [0.5, 0.9, 0.99, 0.999].map(|q| {
            // The lowest bucket up to which so many lie; never above what was really seen.
            let mut left = ((q * count as f64).ceil() as u64).max(1);
            let found = buckets.iter().find(|(_, counted)| {
                let is_here = *counted >= left;
                left = left.saturating_sub(*counted);
                is_here
            });
            found.map_or(max, |bucket| bucket.0).min(max) as f64
        });
        Summary {
            count,
            sum,
            mean: sum as f64 / count as f64,
            quantiles,
            max,
            buckets,
        }
    }

    /// How many starts were at most so late, as far as buckets tell.
    #[must_use]
    pub fn up_to(&self, bound: f64) -> u64 {
        if self.max as f64 <= bound {
            return self.count;
        }
        let below = self
            .buckets
            .partition_point(|&(middle, _)| middle as f64 <= bound);
        self.buckets[..below].iter().map(|bucket| bucket.1).sum()
    }
}

impl Default for Lateness {
    fn default() -> Self {
        Lateness {
            buckets: vec![0; BUCKETS].into(),
            count: 0,
            sum: 0,
            max: 0,
        }
    }
}

impl Lateness {
    /// Count one start.
    pub fn record(&mut self, lateness: u64) {
        self.count_in(bucket(lateness));
        self.add_up(1, (u128::from(lateness), lateness));
    }

    /// Count one start in its bucket; [`add_up`](Self::add_up) follows.
    #[inline(always)]
    pub(super) fn count_in(&mut self, bucket: usize) {
        self.buckets[bucket] += 1;
    }

    /// What starts that were counted in their buckets come to: the sum of their lateness, and the largest.
    pub(super) fn add_up(&mut self, count: usize, (sum, max): (u128, u64)) {
        self.count += count as u64;
        self.sum += sum;
        self.max = self.max.max(max);
    }

    /// Summarise what was counted.
    pub fn summary(&self) -> Summary {
        let buckets = self.buckets.iter().copied().enumerate();
        Summary::of(
            (self.count, self.sum, self.max),
            buckets.filter(|(_, counted)| *counted > 0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_adjoin_and_are_within_a_half_percent_of_their_values() {
        assert_eq!((bucket(0), bucket(255), bucket(256)), (0, 255, 256));
        for bits in 1..64 {
            for value in [(1 << bits) - 1, 1 << bits, 3 << (bits - 1), (1 << bits) + 1] {
                let (found, exact) = (middle(bucket(value)), value);
                assert!(found.abs_diff(exact) <= exact / 250, "{found} for {exact}");
                assert!((0..=1).contains(&(bucket(value + 1) - bucket(value))));
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut lateness = Lateness::default();
        for value in 1..=100_000u64 {
            lateness.record(value * 37);
        }
        let summary = lateness.summary();
        for (quantile, found) in [0.5, 0.9, 0.99, 0.999].iter().zip(summary.quantiles) {
            let exact = quantile * 3_700_000.0;
            assert!(
                (found - exact).abs() <= exact / 100.0,
                "{quantile}: {found} for {exact}"
            );
        }
        assert_eq!(summary.max, 3_700_000);
        assert_eq!(summary.sum, 37 * 5_000_050_000);
        for count in [1_u64, 10, 1_000, 50_000, 99_000] {
            let found = summary.up_to(count as f64 * 37.0);
            assert!(
                found.abs_diff(count) <= count / 200 + 1,
                "{found} for {count}"
            );
        }
        assert_eq!((summary.up_to(-1.0), summary.up_to(3.7e6)), (0, 100_000));
        assert_eq!(summary.mean, 37.0 * 50_000.5);
    }
}
