//! Which days of a month a rule names.

use crate::calendar::Month;

/// A weekday with its number in a month or a year: `1MO` is `(1, 1)`, `-1SU` is `(-1, 0)`.
pub(super) type Nth = (i32, u32);

/// What a rule says of days. All of it must hold; what is empty or 0 says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    /// Bits 1 to 12.
    pub(super) months: u32,
    /// Bits 1 to 31.
    pub(super) of_month: u32,
    /// The same counted from the end: bit 1 is the last day.
    pub(super) of_month_back: u32,
    /// Bit 0 is Sunday.
    pub(super) of_week: u32,
    pub(super) nth: Box<[Nth]>,
    /// Whether `nth` counts in the year, not in the month.
    pub(super) nth_of_year: bool,
    pub(super) of_year: Box<[i32]>,
    pub(super) weeks: Box<[i32]>,
    /// The weekday with which a week begins.
    pub(super) week_start: u32,
}

/// Days from 1970 to the first of January.
pub(super) fn new_year(year: i64) -> i64 {
    let leap = |per: i64| (year - 1).div_euclid(per) - 1969 / per;
    365 * (year - 1970) + leap(4) - leap(100) + leap(400)
}

/// The weekday of a day since 1970; 0 is Sunday.
fn weekday(day: i64) -> u32 {
    (day + 4).rem_euclid(7) as u32
}

/// How many days lie between two weekdays.
fn ahead(from: u32, to: u32) -> i64 {
    i64::from((to + 7 - from) % 7)
}

/// The days of a month as bits, of some weekdays.
fn every_week(of_week: u32, first: u32) -> u32 {
    let turned = u64::from((of_week >> first | of_week << (7 - first)) & 0x7f);
    ((turned * 0x1020_4081) << 1) as u32
}

/// The bits from one to another, both included.
fn bits(from: i64, to: i64) -> u32 {
    let (from, to) = (from.max(1), to.min(31));
    if from > to {
        0
    } else {
        u32::MAX >> (31 - to) & u32::MAX << from
    }
}

impl Days {
    /// Those of a month, as bits 1 to 31.
    #[inline]
    pub(super) fn of(&self, month: &Month) -> u32 {
        if self.months != 0 && self.months >> month.month & 1 == 0 {
            return 0;
        }
        let mut found = bits(1, month.length.into());
        if self.of_month | self.of_month_back != 0 {
            found &= self.of_month | self.back(month.length);
        }
        if self.of_week != 0 || !self.nth.is_empty() {
            let mut days = every_week(self.of_week, month.first_weekday());
            for &nth in &self.nth {
                days |= self.nth(month, nth);
            }
            found &= days;
        }
        if !self.of_year.is_empty() {
            found &= self.of_year(month);
        }
        if !self.weeks.is_empty() {
            found &= self.of_weeks(month);
        }
        found
    }

    fn back(&self, length: u32) -> u32 {
        let turned = self.of_month_back.reverse_bits();
        if length > 30 {
            turned << (length - 30)
        } else {
            turned >> (30 - length)
        }
    }

    fn nth(&self, month: &Month, (nth, of_week): Nth) -> u32 {
        let n = i64::from(nth);
        if self.nth_of_year {
            let (first, end) = (new_year(month.year), new_year(month.year + 1));
            let day = if n > 0 {
                first + ahead(weekday(first), of_week) + 7 * (n - 1)
            } else {
                end - 1 - ahead(of_week, weekday(end - 1)) + 7 * (n + 1)
            };
            let is_of_year = (first..end).contains(&day);
            return if is_of_year { bit(month, day) } else { 0 };
        }
        let length = i64::from(month.length);
        let week = if n > 0 {
            bits(7 * n - 6, 7 * n)
        } else {
            bits(length + 7 * n + 1, length + 7 * n + 7)
        };
        every_week(1 << of_week, month.first_weekday()) & week
    }

    fn of_year(&self, month: &Month) -> u32 {
        let (first, end) = (new_year(month.year), new_year(month.year + 1));
        let day = |&day: &i32| {
            let day = i64::from(day);
            bit(month, if day > 0 { first + day - 1 } else { end + day })
        };
        self.of_year.iter().map(day).fold(0, |all, day| all | day)
    }

    fn of_weeks(&self, month: &Month) -> u32 {
        let mut found = 0;
        let mut week = self.week_of(month.first);
        let end = month.first + i64::from(month.length);
        while week < end {
            if self.has_week(week) {
                let from = week - month.first + 1;
                found |= bits(from, from + 6);
            }
            week += 7;
        }
        found
    }

    /// The first day of the week of a day.
    pub(super) fn week_of(&self, day: i64) -> i64 {
        day - ahead(self.week_start, weekday(day))
    }

    /// Whether the number of the week that begins on a day is in the list: weeks are of the year that has four of
    /// their days.
    fn has_week(&self, week: i64) -> bool {
        let year = Month::of(week + 3).0.year;
        let first = self.week_of(new_year(year) + 3);
        let end = self.week_of(new_year(year + 1) + 3);
        let number = (week - first) / 7 + 1;
        let back = (week - end) / 7;
        let is = |&listed: &i32| [number, back].contains(&i64::from(listed));
        self.weeks.iter().any(is)
    }
}

/// A day as the bit of a month, or 0 if it is of another.
fn bit(month: &Month, day: i64) -> u32 {
    let of_month = day - month.first + 1;
    bits(of_month, of_month) & bits(1, month.length.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn years_begin_where_another_calendar_has_it() {
        let epoch = date(1970, 1, 1);
        for year in 1..3000 {
            let days = epoch.until(date(year, 1, 1)).unwrap().get_days();
            assert_eq!(new_year(year.into()), i64::from(days), "{year}");
        }
    }

    #[test]
    fn weeks_are_those_of_iso_8601() {
        let mut at = date(1990, 1, 1);
        while at.year() < 2030 {
            let iso = at.iso_week_date();
            let weeks = Box::new([i32::from(iso.week())]);
            let weeks_back = i32::from(iso.week()) - i32::from(iso.weeks_in_year()) - 1;
            let day = i64::from(date(1970, 1, 1).until(at).unwrap().get_days());
            for weeks in [weeks, Box::new([weeks_back])] {
                let of = |week_start| Days {
                    weeks: weeks.clone(),
                    week_start,
                    ..Days::default()
                };
                let (month, of_month) = Month::of(day);
                assert_eq!(of(1).of(&month) >> of_month & 1, 1, "{at} {weeks:?}");
            }
            at = at.tomorrow().unwrap();
        }
    }
}
