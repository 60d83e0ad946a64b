//! The times of a day.

/// Hours, minutes and seconds as bits: every combination of them is a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) hours: u32,
    pub(super) minutes: u64,
    pub(super) seconds: u64,
}

/// The first number of a set from one on.
fn first(set: u64, from: u32) -> Option<u32> {
    let left = set >> from;
    (left != 0).then(|| from + left.trailing_zeros())
}

/// The number of a set that has so many before it.
fn nth(mut set: u64, index: u32) -> u32 {
    for _ in 0..index {
        set &= set - 1;
    }
    set.trailing_zeros()
}

impl Times {
    /// The first second of a day from one on, which may be the end of the day.
    #[inline]
    pub(super) fn from(&self, second: i64) -> Option<i64> {
        let from = second as u32;
        let (hour, minute, second) = (from / 3_600, from / 60 % 60, from % 60);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = first(self.seconds, second)
            {
                return Some((hour * 3_600 + minute * 60 + second).into());
            }
            if let Some(minute) = first(self.minutes, minute + 1) {
                let second = self.seconds.trailing_zeros();
                return Some((hour * 3_600 + minute * 60 + second).into());
            }
        }
        let hour = first(self.hours.into(), hour + 1)?;
        let rest = self.minutes.trailing_zeros() * 60 + self.seconds.trailing_zeros();
        Some((hour * 3_600 + rest).into())
    }

    /// The first second of a day.
    pub(super) fn first(&self) -> i64 {
        self.nth(0)
    }

    /// How many there are in a day.
    pub(super) fn len(&self) -> i64 {
        let (minutes, seconds) = (self.minutes.count_ones(), self.seconds.count_ones());
        (self.hours.count_ones() * minutes * seconds).into()
    }

    /// The second of a day that has so many before it.
    pub(super) fn nth(&self, index: i64) -> i64 {
        let (minutes, seconds) = (self.minutes.count_ones(), self.seconds.count_ones());
        let index = index as u32;
        let hour = nth(self.hours.into(), index / (minutes * seconds));
        let minute = nth(self.minutes, index / seconds % minutes);
        let second = nth(self.seconds, index % seconds);
        (hour * 3_600 + minute * 60 + second).into()
    }

    /// How many come before a second of the day.
    pub(super) fn before(&self, second: i64) -> i64 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = i64::midpoint(low, high);
            if self.nth(middle) < second {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_a_time_agree() {
        let times = Times {
            hours: 1 << 3 | 1 << 17 | 1 << 23,
            minutes: 1 | 1 << 31 | 1 << 59,
            seconds: 1 << 5 | 1 << 59,
        };
        let is = |second: &i64| {
            times.hours >> (second / 3_600) & 1 == 1
                && times.minutes >> (second / 60 % 60) & 1 == 1
                && times.seconds >> (second % 60) & 1 == 1
        };
        let all: Vec<i64> = (0..86_400).filter(is).collect();
        assert_eq!(times.len(), all.len() as i64);
        for (index, &second) in (0..).zip(&all) {
            assert_eq!(times.nth(index), second);
        }
        for second in 0..86_400 {
            let before = all.partition_point(|&time| time < second);
            assert_eq!(times.before(second), before as i64);
            assert_eq!(times.from(second), all.get(before).copied());
        }
    }
}
