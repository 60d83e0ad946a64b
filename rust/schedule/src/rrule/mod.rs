//! Recurrence rules of RFC 5545.
//!
//! A rule names local times, which are read in a zone as the RFC has it (3.3.5): one that comes twice is the first of
//! both, and one that clocks skip is read with the offset before them, so that 02:30 is 03:30. What is read as the same
//! time is one.
//!
//! Where the RFC is silent, or says that the meaning is undefined:
//! - The start is no time of its own: one that the rule does not name is not in it, and not counted.
//! - `COUNT` counts local times, before two are read as one.
//! - The weeks of `BYWEEKNO` are cut at the new year, when a year of the rule ends.
//! - An `UNTIL` that is a date includes that day.

mod calendar;
mod days;
mod grid;
mod parse;
mod parts;
mod positions;
mod rule;
mod times;

use crate::error::Error;
use crate::zone::{Local, Span, Zone};
use jiff::civil::DateTime;
use parts::Until;
use rule::Rule;
use std::hash::{Hash, Hasher};

/// The times of a recurrence rule in a zone.
#[derive(Clone, Debug)]
pub struct RRule {
    text: Box<str>,
    start: DateTime,
    zone: Zone,
    rule: Rule,
    /// The last second that may be, of an `UNTIL` in UTC.
    until: i64,
}

impl RRule {
    /// The rule of a text such as `FREQ=WEEKLY;BYDAY=MO`, from a local time on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no rule, or has no time before 2263; it names part, value and cure.
    ///
    /// # Cost
    /// With `COUNT`, that of walking the days to its last time.
    pub fn new(text: &str, start: DateTime, zone: Zone) -> Result<Self, Error> {
        let text = parse::normalised(text)?;
        let parts = parse::parse(&text)?;
        if start.subsec_nanosecond() != 0 || start.year() < 1 {
            return Err(Error::invalid(format!(
                "start {start}: a rule begins with a whole second of the years from 1 on: \
                 write start.replace(microsecond=0)"
            )));
        }
        let rule = Rule::new(&parts, parse::seconds(start)).ok_or_else(|| {
            Error::invalid(format!(
                "RRULE {text:?}: no time from {start} to 2262 is all of what it names: leave a part out, or begin \
                 with another start"
            ))
        })?;
        let until = match parts.until {
            Some(Until::Utc(until)) => until,
            _ => i64::MAX,
        };
        Ok(Self {
            text: text.into(),
            start,
            zone,
            rule,
            until,
        })
    }

    /// The text in upper case, without `RRULE:`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it begins, in local time.
    pub fn start(&self) -> DateTime {
        self.start
    }

    /// The zone of its local times.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first time after one, in nanoseconds since 1970, or `None` if there is no more until 2262.
    ///
    /// # Errors
    /// [`Error::UnknownZone`] if the zone is not known now.
    #[inline]
    pub fn next(&self, after: i64) -> Result<Option<i64>, Error> {
        let local = self.zone.local()?;
        let found = self.next_second(&local, local.second(after) + 1);
        Ok(found
            .filter(|&found| found <= self.until)
            .and_then(|second| local.time(second)))
    }

    /// The first second from one on that a local time stands for.
    ///
    /// The local times that clocks show first in a span, and those that they skip before it, are a piece of local time
    /// of its own: from where the piece before ends to where the span ends.
    fn next_second(&self, local: &Local, from: i64) -> Option<i64> {
        let spans = local.rules.from(from);
        let span = &spans[0];
        let begin = span.local_start();
        let mut skipped = None;
        // What clocks have skipped before this span may still come, as long as they had skipped.
        if from - span.start < begin - span.unseen
            && let Some(before) = local.rules.before(span)
        {
            let low = span.unseen.max(from + before.offset);
            skipped = self.skipped(low, span, before.offset);
        }
        let low = span.unseen.max(begin).max(from + span.offset);
        let Some(mut found) = self.rule.next(low) else {
            return skipped;
        };
        let second = found - span.offset;
        if second < span.end {
            return Some(skipped.map_or(second, |skipped| skipped.min(second)));
        }
        if skipped.is_some() {
            return skipped;
        }
        for (span, before) in spans[1..].iter().zip(spans) {
            if found >= span.end + span.offset {
                continue;
            }
            let skipped = self.skipped(found, span, before.offset);
            if skipped.is_none() {
                return Some(found - span.offset);
            }
            found = match self.rule.next(span.local_start()) {
                Some(found) => found,
                None => return skipped,
            };
            return skipped.map(|skipped| skipped.min(found - span.offset));
        }
        None
    }

    /// The second that stands for the first local time from one on which clocks have skipped before a span.
    fn skipped(&self, low: i64, span: &Span, offset_before: i64) -> Option<i64> {
        if low >= span.local_start() {
            return None;
        }
        let found = self.rule.next(low)?;
        (found < span.local_start()).then_some(found - offset_before)
    }
}

impl PartialEq for RRule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.start == other.start && self.zone == other.zone
    }
}

impl Eq for RRule {}

impl Hash for RRule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.text, self.start, &self.zone).hash(state);
    }
}
