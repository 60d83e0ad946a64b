//! Cron expressions, and the rule for changes of clocks.
//!
//! # When clocks change
//!
//! The rule is that of Vixie's `cron`, without its limit to changes of three hours.
//!
//! An expression is *fixed* if none of second, minute and hour begins with `*`: it names times of a day. Each of these
//! is run once. One that does not exist, because clocks were put forward over it, is run at the end of that gap, all of
//! them at once; one that comes twice is run when it first comes. A nightly job is then neither lost nor doubled, which
//! are the faults that people report.
//!
//! Other expressions stand for a rhythm, and match what clocks show: nothing in a gap, both passes of what comes twice.
//! `*/15 * * * *` is then every 15 minutes of real time, the whole night through.
//!
//! Both are walked by spans of one offset ([`Span`]), in which local time and UTC go together. What a fixed expression
//! skips at the start of a span is what clocks have shown before; what it makes up for is what they have not.

mod expression;
mod field;
mod parse;

use crate::error::Error;
use crate::zone::{Span, Zone};
use expression::Expression;
use std::hash::{Hash, Hasher};

const SECOND: i64 = 1_000_000_000;

/// The times of a cron expression in a zone.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    expression: Expression,
    zone: Zone,
}

impl Cron {
    pub(crate) fn new(text: &str, zone: Zone) -> Result<Self, Error> {
        let expression = parse::parse(text)?;
        Ok(Self { expression, zone })
    }

    /// The canonical text.
    pub(crate) fn text(&self) -> &str {
        &self.expression.text
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether it names times of a day, each of which is run once.
    pub(crate) fn is_fixed(&self) -> bool {
        self.expression.is_fixed
    }

    /// How long each of its times lasts where it stands for when: a minute, or a second with six fields.
    pub(crate) fn lasts(&self) -> i64 {
        if self.expression.has_seconds {
            SECOND
        } else {
            60 * SECOND
        }
    }

    /// The first time after one.
    #[inline]
    pub(crate) fn next(&self, after: i64) -> Result<Option<i64>, Error> {
        let local = self.zone.local()?;
        let from = local.second(after) + 1;
        let spans = local.rules.from(from);
        let found = if self.expression.is_fixed {
            self.next_fixed(spans, from)
        } else {
            self.next_shown(spans, from)
        };
        Ok(found.and_then(|second| local.time(second)))
    }

    /// The first second from one on at which clocks show a time of the expression.
    fn next_shown(&self, spans: &[Span], from: i64) -> Option<i64> {
        let mut begins = from + spans[0].offset;
        let mut found = self.expression.next_local(begins)?;
        for (index, span) in spans.iter().enumerate() {
            if index > 0 {
                let start = span.local_start();
                // What was found holds, unless clocks have gone back over times, or forward past it.
                if start < begins || start > found {
                    found = self.expression.next_local(start)?;
                }
                begins = start;
            }
            if found - span.offset < span.end {
                return Some(found - span.offset);
            }
        }
        None
    }

    /// The first second from one on that a local time of the expression stands for.
    fn next_fixed(&self, spans: &[Span], from: i64) -> Option<i64> {
        let mut unseen = spans[0].unseen;
        if from > spans[0].start {
            unseen = unseen.max(from + spans[0].offset);
        }
        let mut found = self.expression.next_local(unseen)?;
        for span in spans {
            if found < span.unseen {
                found = self.expression.next_local(span.unseen)?;
            }
            let second = (found - span.offset).max(span.start);
            if second < span.end {
                return Some(second);
            }
        }
        None
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() && self.zone == other.zone
    }
}

impl Eq for Cron {}

impl Hash for Cron {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.text(), &self.zone).hash(state);
    }
}
