//! Pauses between tries, which grow, and differ from node to node.

use std::time::Duration;
use uuid::Uuid;

/// Each twice as long as the one before.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    first: Duration,
    most: Duration,
}

impl Pauses {
    /// Between two attempts to reach the server: at first, and at most.
    pub(super) const RECONNECTING: (Duration, Duration) =
        (Duration::from_millis(20), Duration::from_secs(2));

    pub(super) fn new((first, most): (Duration, Duration)) -> Self {
        Pauses {
            next: first,
            first,
            most,
        }
    }

    /// The pause that comes now.
    pub(super) fn take(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.most);
        now
    }

    /// Begin with the first again.
    pub(super) fn begin_anew(&mut self) {
        self.next = self.first;
    }

    /// The pause that comes now, or a part of it: nodes that lost the same server do not come back at one moment.
    pub(super) fn take_jittered(&mut self) -> Duration {
        let part = Uuid::new_v4().as_bytes()[0];
        self.take().mul_f64(0.5 + f64::from(part) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_double_up_to_the_longest_and_begin_anew() {
        let ms = Duration::from_millis;
        let mut pauses = Pauses::new((ms(20), ms(70)));
        let taken: Vec<_> = (0..4).map(|_| pauses.take()).collect();
        assert_eq!(taken, [ms(20), ms(40), ms(70), ms(70)]);
        pauses.begin_anew();
        let jittered = pauses.take_jittered();
        assert!((ms(10)..=ms(20)).contains(&jittered), "{jittered:?}");
        assert_eq!(pauses.take(), ms(40));
    }
}
