//! Whole local days: what stands for when, and gives no times.

use crate::calendar::DAY;
use crate::error::Error;
use crate::zone::Zone;
use jiff::civil::{Date, date};

/// Days of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Days {
    /// Days since 1970-01-01, each once and in order.
    days: Box<[i64]>,
    zone: Zone,
}

fn number(day: Date) -> i64 {
    day.duration_since(date(1970, 1, 1)).as_secs() / DAY
}

impl Days {
    pub(crate) fn new(dates: &[Date], zone: Zone) -> Self {
        let mut days: Vec<_> = dates.iter().map(|&day| number(day)).collect();
        days.sort_unstable();
        days.dedup();
        Self {
            days: days.into(),
            zone,
        }
    }

    pub(crate) fn dates(&self) -> impl Iterator<Item = Date> {
        let first = date(1970, 1, 1);
        self.days
            .iter()
            .map(move |&days| first + jiff::SignedDuration::from_secs(days * DAY))
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    pub(crate) fn covers(&self, time: i64) -> Result<bool, Error> {
        let local = self.zone.local()?;
        let second = local.second(time);
        let shown = second + local.rules.at(second).offset;
        Ok(self.days.binary_search(&shown.div_euclid(DAY)).is_ok())
    }

    /// The first time from one on that is in these days, or in none of them.
    pub(crate) fn first(&self, from: i64, within: bool) -> Result<Option<i64>, Error> {
        if self.covers(from)? == within {
            return Ok(Some(from));
        }
        let local = self.zone.local()?;
        let from = local.second(from) + 1;
        for span in local.rules.from(from) {
            let start = from.max(span.start) + span.offset;
            let today = start.div_euclid(DAY);
            let Some(day) = (if within {
                self.one_from(today)
            } else {
                Some(self.other_from(today))
            }) else {
                continue; // clocks that go back may show the last of the days again
            };
            let second = start.max(day * DAY) - span.offset;
            if second < span.end {
                return Ok(local.time(second));
            }
        }
        Ok(None)
    }

    /// The first of these days from one on.
    fn one_from(&self, day: i64) -> Option<i64> {
        let index = self.days.partition_point(|&one| one < day);
        self.days.get(index).copied()
    }

    /// The first day from one on that is none of these.
    fn other_from(&self, day: i64) -> i64 {
        let index = self.days.partition_point(|&one| one < day);
        let together = (day..)
            .zip(&self.days[index..])
            .take_while(|(day, one)| day == *one);
        day + together.count() as i64
    }
}
