//! The times of a rule on clocks that never change: seconds of local time since 1970.

use super::calendar::{Calendar, Every};
use super::grid::Grid;
use super::parts::{Frequency, Parts, Until};
use super::positions;
use super::times::Times;
use crate::calendar::{DAY, Month};

/// A rule that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    start: i64,
    /// The last second that may be: that of `COUNT`, or of an `UNTIL` in local time.
    end: i64,
    calendar: Calendar,
    within: Within,
}

/// What comes in a period of the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Within {
    /// All times of its days.
    Days(Times),
    Positions(Times, Box<[i32]>),
    Grid(Grid),
}

const ALL_HOURS: u32 = (1 << 24) - 1;
const ALL_MINUTES: u64 = (1 << 60) - 1;

impl Rule {
    /// The rule from a local second on, or `None` if it has no time at all.
    ///
    /// What `COUNT` comes to is looked for once, here: then it is an end like any other.
    pub(super) fn new(parts: &Parts, start: i64) -> Option<Self> {
        let mut rule = Self {
            start,
            end: i64::MAX,
            calendar: calendar(parts, start),
            within: within(parts, start),
        };
        rule.next(start)?;
        if let Some(Until::Local(end)) = parts.until {
            rule.end = end;
        }
        if let Some(count) = parts.count {
            rule.end = rule.nth(count - 1).unwrap_or(i64::MAX);
        }
        Some(rule)
    }

    /// The first second from one on.
    #[inline]
    pub(super) fn next(&self, from: i64) -> Option<i64> {
        let from = from.max(self.start);
        if from > self.end {
            return None;
        }
        let found = match &self.within {
            Within::Days(times) => self.next_of_days(times, from),
            Within::Positions(times, positions) => {
                positions::next(&self.calendar, times, positions, from)
            }
            Within::Grid(grid) => grid.next(&self.calendar, from),
        };
        found.filter(|&found| found <= self.end)
    }

    #[inline]
    fn next_of_days(&self, times: &Times, from: i64) -> Option<i64> {
        let day = from.div_euclid(DAY);
        let mut found = self.calendar.next_day(day)?;
        if found == day {
            if let Some(second) = times.from(from.rem_euclid(DAY)) {
                return Some(day * DAY + second);
            }
            found = self.calendar.next_day(day + 1)?;
        }
        Some(found * DAY + times.first())
    }

    fn nth(&self, left: i64) -> Option<i64> {
        match &self.within {
            Within::Days(times) => self.nth_of_days(times, left),
            Within::Positions(times, positions) => {
                positions::nth(&self.calendar, times, positions, self.start, left)
            }
            Within::Grid(grid) => grid.nth(&self.calendar, self.start, left),
        }
    }

    fn nth_of_days(&self, times: &Times, mut left: i64) -> Option<i64> {
        let (first, second) = (self.start.div_euclid(DAY), self.start.rem_euclid(DAY));
        let mut day = self.calendar.next_day(first)?;
        if day == first {
            left = left.saturating_add(times.before(second));
        }
        while left >= times.len() {
            left -= times.len();
            day = self.calendar.next_day(day + 1)?;
        }
        Some(day * DAY + times.nth(left))
    }
}

/// The days that a rule names, and those that it leaves to its start.
fn calendar(parts: &Parts, start: i64) -> Calendar {
    let start_day = start.div_euclid(DAY);
    let (month, day) = Month::of(start_day);
    let mut days = parts.days.clone();
    let no_day = days.of_month | days.of_month_back | days.of_week == 0
        && days.nth.is_empty()
        && days.of_year.is_empty();
    let weekday = 1 << (start_day + 4).rem_euclid(7);
    let every = match parts.frequency {
        Frequency::Yearly => Every::Years,
        Frequency::Monthly => Every::Months,
        Frequency::Weekly => Every::Weeks,
        Frequency::Daily => Every::Days,
        _ => Every::Any,
    };
    match every {
        Every::Years if no_day && !days.weeks.is_empty() => days.of_week = weekday,
        Every::Years if no_day => {
            if days.months == 0 {
                days.months = 1 << month.month;
            }
            days.of_month = 1 << day;
        }
        Every::Months if no_day => days.of_month = 1 << day,
        Every::Weeks if no_day => days.of_week = weekday,
        _ => {}
    }
    days.nth_of_year = every == Every::Years && days.months == 0;
    Calendar::new(days, every, parts.interval, start_day)
}

fn within(parts: &Parts, start: i64) -> Within {
    let second = start.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let frequency = parts.frequency;
    // What the rule does not name is that of the start, or all if the rule counts in it.
    let minutes_of = |set: u64, counted: bool, of_start: i64| match set {
        0 if counted => ALL_MINUTES,
        0 => 1 << of_start,
        set => set,
    };
    let times = Times {
        hours: match parts.hours {
            0 if frequency >= Frequency::Hourly => ALL_HOURS,
            0 => 1 << hour,
            set => set,
        },
        minutes: minutes_of(parts.minutes, frequency >= Frequency::Minutely, minute),
        seconds: minutes_of(parts.seconds, frequency >= Frequency::Secondly, second),
    };
    let positions = &parts.positions;
    let unit = match frequency {
        Frequency::Hourly => 3_600,
        Frequency::Minutely => 60,
        Frequency::Secondly => 1,
        _ if positions.is_empty() => return Within::Days(times),
        _ => return Within::Positions(times, positions.clone()),
    };
    // Every unit has the same seconds, so that places among them are the same in each.
    let one = Times {
        hours: 1,
        minutes: if unit == 3_600 { times.minutes } else { 1 },
        seconds: if unit >= 60 { times.seconds } else { 1 },
    };
    let places = if positions.is_empty() {
        (0..one.len()).collect()
    } else {
        positions::places(positions, one.len())
    };
    Within::Grid(Grid {
        unit,
        first: start.div_euclid(unit),
        interval: parts.interval,
        times: Times {
            hours: times.hours,
            minutes: if unit == 3_600 { 1 } else { times.minutes },
            seconds: if unit >= 60 { 1 } else { times.seconds },
        },
        within: places.into_iter().map(|place| one.nth(place)).collect(),
    })
}
