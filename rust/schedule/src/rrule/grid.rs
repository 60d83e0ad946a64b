//! Rules that count hours, minutes or seconds.

use super::calendar::{Calendar, LAST_YEAR};
use super::days::new_year;
use super::times::Times;
use crate::calendar::DAY;
use std::collections::HashMap;

/// Every so many hours, minutes or seconds from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// The seconds of a unit.
    pub(super) unit: i64,
    /// The unit of the start, counted from 1970.
    pub(super) first: i64,
    /// How many units from one to the next.
    pub(super) interval: i64,
    /// The first seconds of the units that may be, in a day.
    pub(super) times: Times,
    /// The seconds within each unit, in order.
    pub(super) within: Box<[i64]>,
}

impl Grid {
    fn units_of_day(&self) -> i64 {
        DAY / self.unit
    }

    fn ceil(&self, unit: i64) -> i64 {
        unit + (self.first - unit).rem_euclid(self.interval)
    }

    /// The first second from one on; `from` is not before the start.
    pub(super) fn next(&self, calendar: &Calendar, from: i64) -> Option<i64> {
        let unit = from.div_euclid(self.unit);
        let mut found = self.next_unit(calendar, unit)?;
        let begun = from - unit * self.unit;
        if found == unit {
            if let Some(second) = self.within.iter().find(|&&second| second >= begun) {
                return Some(unit * self.unit + second);
            }
            found = self.next_unit(calendar, unit + 1)?;
        }
        Some(found * self.unit + self.within.first()?)
    }

    /// The first unit from one on.
    ///
    /// A day on which the grid begins at the same unit as on one before has the same units. So what has been found
    /// empty is not walked again, and a search that is in vain ends after as many steps as there are days until 2262,
    /// and units in one day.
    fn next_unit(&self, calendar: &Calendar, from: i64) -> Option<i64> {
        let length = self.units_of_day();
        let end = new_year(LAST_YEAR + 1) * length;
        let mut empty = Vec::new();
        let mut at = self.ceil(from);
        while at < end {
            let day = at.div_euclid(length);
            let found = calendar.next_day(day)?;
            if found > day {
                at = self.ceil(found * length);
                if at >= (found + 1) * length {
                    continue;
                }
            }
            let begin = at.div_euclid(length) * length;
            let is_whole = at - begin < self.interval && self.interval < length;
            let phase = (at - begin) as usize;
            if !is_whole || empty.get(phase) != Some(&true) {
                if let Some(found) = self.of_day(at - begin) {
                    return Some(begin + found);
                }
                if is_whole {
                    empty.resize(self.interval as usize, false);
                    empty[phase] = true;
                }
            }
            at = self.ceil(begin + length);
        }
        None
    }

    /// The first unit of a day that may be, from one of the grid on.
    fn of_day(&self, mut at: i64) -> Option<i64> {
        while at < self.units_of_day() {
            let allowed = self.times.from(at * self.unit)? / self.unit;
            if allowed == at {
                return Some(at);
            }
            at += (allowed - at + self.interval - 1) / self.interval * self.interval;
        }
        None
    }

    fn count_of_day(&self, mut at: i64) -> i64 {
        let mut count = 0;
        while let Some(found) = self.of_day(at) {
            count += 1;
            at = found + self.interval;
        }
        count
    }

    /// The second that has so many before it, from a start on.
    pub(super) fn nth(&self, calendar: &Calendar, start: i64, mut left: i64) -> Option<i64> {
        let within = self.within.len() as i64;
        let length = self.units_of_day();
        let mut at = self.next(calendar, start)?;
        // The rest of the first unit.
        while left > 0 && at.div_euclid(self.unit) == start.div_euclid(self.unit) {
            left -= 1;
            at = self.next(calendar, at + 1)?;
        }
        if left == 0 {
            return Some(at);
        }
        let mut at = at.div_euclid(self.unit);
        let mut counts = HashMap::new();
        loop {
            let phase = at.rem_euclid(length);
            let day = at - phase;
            let units = *counts
                .entry(phase)
                .or_insert_with(|| self.count_of_day(phase));
            if left < units * within {
                break;
            }
            left -= units * within;
            at = self.next_unit(calendar, day + length)?;
        }
        for _ in 0..left / within {
            at = self.next_unit(calendar, at + 1)?;
        }
        Some(at * self.unit + self.within[(left % within) as usize])
    }
}
