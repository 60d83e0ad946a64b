//! The days of a rule: what it says of days, and every how many years, months, weeks or days.

use super::days::{Days, new_year};
use crate::calendar::Month;

/// No search goes on after this year: 64-bit nanoseconds end in 2262.
pub(super) const LAST_YEAR: i64 = 2262;

/// Which periods of days count, from the one of the start on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Every {
    Years,
    Months,
    Weeks,
    Days,
    /// The rule counts hours or less.
    Any,
}

/// The days of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) days: Days,
    every: Every,
    interval: i64,
    /// The number of the period of the start; of a week its first day.
    first: i64,
}

impl Calendar {
    pub(super) fn new(days: Days, every: Every, interval: i64, start_day: i64) -> Self {
        let month = Month::of(start_day).0;
        let first = match every {
            Every::Years => month.year,
            Every::Months => months(&month),
            Every::Weeks => days.week_of(start_day),
            Every::Days => start_day,
            Every::Any => 0,
        };
        Self {
            days,
            every,
            interval,
            first,
        }
    }

    fn counts(&self, period: i64) -> bool {
        self.interval == 1 || (period - self.first) % self.interval == 0
    }

    fn has_month(&self, month: &Month) -> bool {
        match self.every {
            Every::Years => self.counts(month.year),
            Every::Months => self.counts(months(month)),
            _ => true,
        }
    }

    fn has_day(&self, day: i64) -> bool {
        match self.every {
            Every::Weeks if self.interval > 1 => {
                self.counts(self.first + (self.days.week_of(day) - self.first) / 7)
            }
            Every::Days => self.counts(day),
            _ => true,
        }
    }

    /// The first day from one on.
    #[inline]
    pub(super) fn next_day(&self, from: i64) -> Option<i64> {
        let (mut month, mut day) = Month::of(from);
        while month.year <= LAST_YEAR {
            if self.has_month(&month) {
                let mut left = self.days.of(&month) & u32::MAX << day;
                while left != 0 {
                    let found = month.first + i64::from(left.trailing_zeros()) - 1;
                    if self.has_day(found) {
                        return Some(found);
                    }
                    left &= left - 1;
                }
            }
            (month, day) = (month.next(), 1);
        }
        None
    }

    /// The first day of the period of a day, and that of the next period.
    pub(super) fn period(&self, day: i64) -> (i64, i64) {
        let month = Month::of(day).0;
        match self.every {
            Every::Years => (new_year(month.year), new_year(month.year + 1)),
            Every::Months => (month.first, month.first + i64::from(month.length)),
            Every::Weeks => {
                let week = self.days.week_of(day);
                (week, week + 7)
            }
            Every::Days | Every::Any => (day, day + 1),
        }
    }
}

fn months(month: &Month) -> i64 {
    month.year * 12 + i64::from(month.month)
}
