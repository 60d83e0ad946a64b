//! `BYSETPOS`: some of the times of a period, by their place among them.

use super::calendar::Calendar;
use super::times::Times;
use crate::calendar::DAY;

/// Places in a list of so many, from 0 on, each once and in order.
pub(super) fn places(positions: &[i32], length: i64) -> Vec<i64> {
    let place = |&position: &i32| {
        let position = i64::from(position);
        if position > 0 {
            position - 1
        } else {
            length + position
        }
    };
    let mut places: Vec<i64> = positions
        .iter()
        .map(place)
        .filter(|place| (0..length).contains(place))
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// The times of the first period from a day on that has days.
struct Period<'rule> {
    days: Vec<i64>,
    times: &'rule Times,
    end: i64,
}

impl<'rule> Period<'rule> {
    fn next(calendar: &Calendar, times: &'rule Times, from: i64) -> Option<Self> {
        let mut day = calendar.next_day(from)?;
        let (_, end) = calendar.period(day);
        let mut days = Vec::with_capacity(32);
        while day < end {
            days.push(day);
            match calendar.next_day(day + 1) {
                Some(next) => day = next,
                None => break,
            }
        }
        Some(Self { days, times, end })
    }

    fn len(&self) -> i64 {
        self.days.len() as i64 * self.times.len()
    }

    fn at(&self, place: i64) -> i64 {
        let of_day = self.times.len();
        self.days[(place / of_day) as usize] * DAY + self.times.nth(place % of_day)
    }
}

/// The first second from one on.
pub(super) fn next(
    calendar: &Calendar,
    times: &Times,
    positions: &[i32],
    from: i64,
) -> Option<i64> {
    let (mut begin, _) = calendar.period(from.div_euclid(DAY));
    loop {
        let period = Period::next(calendar, times, begin)?;
        let places = places(positions, period.len());
        let before = places.partition_point(|&place| period.at(place) < from);
        if let Some(&place) = places.get(before) {
            return Some(period.at(place));
        }
        begin = period.end;
    }
}

/// The second that has so many before it, from a start on.
pub(super) fn nth(
    calendar: &Calendar,
    times: &Times,
    positions: &[i32],
    start: i64,
    mut left: i64,
) -> Option<i64> {
    let (mut begin, _) = calendar.period(start.div_euclid(DAY));
    let mut known = (0, Vec::new());
    loop {
        let period = Period::next(calendar, times, begin)?;
        if known.0 != period.len() {
            known = (period.len(), places(positions, period.len()));
        }
        let mut places = &known.1[..];
        if period.at(0) < start {
            let before = places.partition_point(|&place| period.at(place) < start);
            places = &places[before..];
        }
        if let Some(&place) = usize::try_from(left).ok().and_then(|left| places.get(left)) {
            return Some(period.at(place));
        }
        left -= places.len() as i64;
        begin = period.end;
    }
}
