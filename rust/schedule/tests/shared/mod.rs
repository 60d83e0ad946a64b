//! What tests of schedules share.

#![allow(dead_code)] // each test uses some of it

use duewheel_schedule::{Schedule, Zone};
use jiff::Timestamp;

pub(crate) const SECOND: i64 = 1_000_000_000;

/// Unix nanoseconds of a text such as `2027-03-27T12Z`.
pub(crate) fn at(text: &str) -> i64 {
    let time: Timestamp = text.parse().expect("it is a time");
    time.as_nanosecond()
        .try_into()
        .expect("it is one of 64 bits")
}

/// What is read by a person.
pub(crate) fn shown(time: i64) -> String {
    Timestamp::from_nanosecond(time.into()).unwrap().to_string()
}

pub(crate) fn cron(text: &str, zone: &str) -> Schedule {
    Schedule::cron(text, Zone::named(zone).unwrap()).unwrap()
}

pub(crate) fn every(period: i64) -> Schedule {
    Schedule::every(period, None, false).unwrap()
}

/// The first times after one.
pub(crate) fn times(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    let mut time = at(after);
    let next = || {
        time = schedule.next(time).unwrap()?;
        Some(shown(time))
    };
    std::iter::from_fn(next).take(count).collect()
}
