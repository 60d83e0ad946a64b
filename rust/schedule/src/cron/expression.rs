//! The times of a cron expression on clocks that never change.

use crate::calendar::{DAY, Month};

/// No search goes on after this year: 64-bit nanoseconds end in 2262.
const LAST_YEAR: i64 = 2263;

/// The days of an expression, each set by bits: of a day of the month bit 1 to 31, of the week 0 (Sunday) to 6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Days {
    pub(crate) of_month: u32,
    /// `L`
    pub(crate) last: bool,
    /// `LW`
    pub(crate) last_weekday: bool,
    /// `15W`
    pub(crate) nearest_weekday: u32,
    pub(crate) of_week: u32,
    /// `5L`
    pub(crate) last_of_week: u32,
    /// `fri#2`: days of the week, for each week of the month.
    pub(crate) nth_of_week: [u32; 5],
    /// Whether both must match: a field of them begins with `*`. Else one of them does.
    pub(crate) both: bool,
}

/// A cron expression as sets of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Expression {
    /// The canonical text.
    pub(crate) text: Box<str>,
    pub(crate) seconds: u64,
    pub(crate) minutes: u64,
    pub(crate) hours: u32,
    pub(crate) months: u32,
    pub(crate) days: Days,
    /// Whether it has six fields.
    pub(crate) has_seconds: bool,
    /// Whether none of its fields of time begins with `*`: each of its local times is run once, whatever clocks do.
    pub(crate) is_fixed: bool,
}

/// The days of a month as bits 1 to 31, of those of the week, whose first is the weekday of the month's first.
fn every_week(of_week: u32, first: u32) -> u32 {
    let turned = u64::from((of_week >> first | of_week << (7 - first)) & 0x7f);
    ((turned * 0x1020_4081) << 1) as u32
}

/// The bits from one to another, both included, which are at most 31.
fn bits(from: u32, to: u32) -> u32 {
    u32::MAX >> (31 - to) & u32::MAX << from
}

impl Days {
    /// Those of a month.
    #[inline]
    pub(crate) fn of(&self, month: &Month) -> u32 {
        let all = bits(1, month.length);
        let weekday = month.first_weekday();
        let mut of_month = self.of_month;
        if self.last || self.last_weekday || self.nearest_weekday != 0 {
            of_month |= self.special_of_month(month);
        }
        let mut of_week = every_week(self.of_week, weekday);
        if self.last_of_week != 0 {
            of_week |=
                every_week(self.last_of_week, weekday) & bits(month.length - 6, month.length);
        }
        for (week, &days) in (0..).zip(&self.nth_of_week) {
            if days != 0 {
                of_week |= every_week(days, weekday) & bits(7 * week + 1, (7 * week + 7).min(31));
            }
        }
        let found = if self.both {
            of_month & of_week
        } else {
            of_month | of_week
        };
        found & all
    }

    fn special_of_month(&self, month: &Month) -> u32 {
        let mut found = if self.last { 1 << month.length } else { 0 };
        let mut weekday = |day: u32| {
            let nearest = match (month.first_weekday() + day - 1) % 7 {
                6 if day > 1 => day - 1,
                6 => day + 2,
                0 if day < month.length => day + 1,
                0 => day - 2,
                _ => day,
            };
            found |= 1 << nearest;
        };
        if self.last_weekday {
            weekday(month.length);
        }
        for day in (1..=month.length).filter(|day| self.nearest_weekday >> day & 1 == 1) {
            weekday(day);
        }
        found
    }
}

/// The first number of a set from one on.
fn first<Set: Into<u64>>(set: Set, from: u32) -> Option<u32> {
    let left = set.into() >> from;
    (left != 0).then(|| from + left.trailing_zeros())
}

impl Expression {
    /// The first local time from one on, if there is one before 2263 ends.
    #[inline]
    pub(crate) fn next_local(&self, from: i64) -> Option<i64> {
        let (days, second) = (from.div_euclid(DAY), from.rem_euclid(DAY) as u32);
        let (month, day) = Month::of(days);
        if self.months >> month.month & 1 == 0 {
            return self
                .next_day(month.next(), 1, LAST_YEAR)
                .map(|day| self.first_time_of(day));
        }
        if self.days.of(&month) >> day & 1 == 1
            && let Some(found) = self.time_of_day(second)
        {
            return Some(days * DAY + i64::from(found));
        }
        self.next_day(month, day + 1, LAST_YEAR)
            .map(|day| self.first_time_of(day))
    }

    /// The first day, counted from 1970, from a day of a month on.
    fn next_day(&self, mut month: Month, mut day: u32, last_year: i64) -> Option<i64> {
        while month.year <= last_year {
            if self.months >> month.month & 1 == 1
                && let Some(found) = first(self.days.of(&month), day)
            {
                return Some(month.first + i64::from(found) - 1);
            }
            (month, day) = (month.next(), 1);
        }
        None
    }

    /// Whether it has any day: the calendar repeats after 400 years.
    pub(crate) fn has_a_day(&self) -> bool {
        let (month, day) = Month::of(0);
        self.next_day(month, day, 1970 + 400).is_some()
    }

    fn first_time_of(&self, day: i64) -> i64 {
        let hour = self.hours.trailing_zeros();
        day * DAY + i64::from(hour * 3_600 + self.first_of_hour())
    }

    fn first_of_hour(&self) -> u32 {
        self.minutes.trailing_zeros() * 60 + self.seconds.trailing_zeros()
    }

    /// The first second of a day from one on.
    fn time_of_day(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3_600, from / 60 % 60, from % 60);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = first(self.seconds, second)
            {
                return Some(hour * 3_600 + minute * 60 + second);
            }
            if let Some(minute) = first(self.minutes, minute + 1) {
                return Some(hour * 3_600 + minute * 60 + self.seconds.trailing_zeros());
            }
        }
        first(self.hours, hour + 1).map(|hour| hour * 3_600 + self.first_of_hour())
    }
}
