//! What schedules are, and how they are combined.

use crate::cron::Cron;
use crate::days::Days;
use crate::error::Error;
use crate::every::Every;
use crate::rrule::RRule;
use crate::zone::{Fnv, Zone};
use jiff::civil::{Date, DateTime};
use std::fmt;
use std::sync::Arc;

/// How deep combinations may be: they are walked by recursion. Chains of one operator count as one.
const DEEPEST: u32 = 64;

/// A set of times, which is asked for the next one. Immutable; a clone is cheap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Schedule(Arc<Node>);

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.definition())
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Node {
    kind: Kind,
    depth: u32,
    floats: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Every(Every),
    Cron(Cron),
    /// In order, each once.
    Times(Box<[i64]>),
    Days(Days),
    RRule(Box<RRule>),
    Union(Vec<Schedule>),
    /// The times of the schedule that meet all conditions.
    Filtered(Schedule, Vec<Condition>),
}

/// What is on the right of `&` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    /// `&`; else `-`
    pub(crate) within: bool,
    pub(crate) of: Schedule,
}

/// A period that counts from when it is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// In nanoseconds.
    pub period: i64,
    /// Whether it counts from the end of each occurrence.
    pub from_end: bool,
}

/// How a schedule was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // they are the names of its constructors
pub enum Form {
    Every,
    Cron,
    Times,
    Days,
    RRule,
    /// By an operator.
    Combined,
}

impl Schedule {
    /// The times `anchor + k * period`, all in nanoseconds, for all whole numbers *k*.
    ///
    /// Without an anchor it counts from when it is scheduled: see [`Schedule::anchored`]. `from_end`: each time is a
    /// period after the end of the last occurrence.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a period below 1, and for `from_end` with an anchor.
    pub fn every(period: i64, anchor: Option<i64>, from_end: bool) -> Result<Self, Error> {
        Every::new(period, anchor, from_end).map(|every| Self::new(Kind::Every(every)))
    }

    /// The times of a cron expression of 5 fields, or 6 with seconds first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is none, and for one that never comes.
    pub fn cron(text: &str, zone: Zone) -> Result<Self, Error> {
        Cron::new(text, zone).map(|cron| Self::new(Kind::Cron(cron)))
    }

    /// These times, in any order.
    ///
    /// # Errors
    /// None so far.
    pub fn times(mut times: Vec<i64>) -> Result<Self, Error> {
        times.sort_unstable();
        times.dedup();
        Ok(Self::new(Kind::Times(times.into())))
    }

    /// Whole local days, which say when and give no times: the right operand of `&` and `-`.
    ///
    /// # Errors
    /// None so far.
    pub fn days(dates: &[Date], zone: Zone) -> Result<Self, Error> {
        Ok(Self::new(Kind::Days(Days::new(dates, zone))))
    }

    /// The times of a recurrence rule of RFC 5545, such as `FREQ=WEEKLY;BYDAY=MO`, from a local time on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is none, and for one that never comes.
    pub fn rrule(text: &str, start: DateTime, zone: Zone) -> Result<Self, Error> {
        RRule::new(text, start, zone).map(|rule| Self::new(Kind::RRule(rule.into())))
    }

    fn new(kind: Kind) -> Self {
        let (mut depth, mut floats) = (0, false);
        let mut add = |part: &Self| {
            depth = depth.max(part.0.depth + 1);
            floats |= part.0.floats;
        };
        match &kind {
            Kind::Union(parts) => parts.iter().for_each(&mut add),
            Kind::Filtered(left, conditions) => {
                add(left);
                conditions.iter().for_each(|condition| add(&condition.of));
            }
            Kind::Every(every) => floats = every.anchor.is_none(),
            Kind::Cron(_) | Kind::Times(_) | Kind::Days(_) | Kind::RRule(_) => {}
        }
        Self(Arc::new(Node {
            kind,
            depth,
            floats,
        }))
    }

    fn combined(kind: Kind) -> Result<Self, Error> {
        let made = Self::new(kind);
        if made.0.depth > DEEPEST {
            return Err(Error::invalid(format!(
                "schedules may be combined {DEEPEST} deep: write a | b | c for many, and Times for single times"
            )));
        }
        Ok(made)
    }

    /// The times of both, equal ones once.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one of them is `Days`, or counts from the end of occurrences.
    pub fn union(self, other: Self) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for part in [self, other] {
            part.check_gives_times()?;
            part.check_combines()?;
            match part.kind() {
                Kind::Union(of) => parts.extend(of.iter().cloned()),
                _ => parts.push(part),
            }
        }
        Self::combined(Kind::Union(parts))
    }

    /// Those of its times that lie in the other, in which a cron time lasts a minute, or a second if it has seconds.
    ///
    /// # Errors
    /// [`Error::Invalid`] if this is `Days`, or one of them counts from the end of occurrences.
    pub fn intersection(self, other: Self) -> Result<Self, Error> {
        self.filtered(Condition {
            within: true,
            of: other,
        })
    }

    /// Those of its times that do not lie in the other, in which cron times last as for an intersection.
    ///
    /// # Errors
    /// As for [`Schedule::intersection`].
    pub fn difference(self, other: Self) -> Result<Self, Error> {
        self.filtered(Condition {
            within: false,
            of: other,
        })
    }

    fn filtered(self, condition: Condition) -> Result<Self, Error> {
        self.check_gives_times()?;
        self.check_combines()?;
        condition.of.check_combines()?;
        Self::combined(match self.kind() {
            Kind::Filtered(left, conditions) => {
                let conditions = conditions.iter().cloned().chain([condition]);
                Kind::Filtered(left.clone(), conditions.collect())
            }
            _ => Kind::Filtered(self, vec![condition]),
        })
    }

    /// Refuse what has no times of its own.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `Days`.
    pub fn check_gives_times(&self) -> Result<(), Error> {
        match self.kind() {
            Kind::Days(_) => Err(Error::invalid(
                "Days are whole days and give no times: write them on the right, as in Cron('0 9 * * *') - Days(...)",
            )),
            _ => Ok(()),
        }
    }

    fn check_combines(&self) -> Result<(), Error> {
        match self.kind() {
            Kind::Every(every) if every.from_end => Err(Error::invalid(
                "from_end counts from the end of each occurrence, and cannot be combined: leave it out",
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// How it was made.
    pub fn form(&self) -> Form {
        match self.kind() {
            Kind::Every(_) => Form::Every,
            Kind::Cron(_) => Form::Cron,
            Kind::Times(_) => Form::Times,
            Kind::Days(_) => Form::Days,
            Kind::RRule(_) => Form::RRule,
            Kind::Union(_) | Kind::Filtered(..) => Form::Combined,
        }
    }

    /// Whether a question takes less than some microseconds, whatever is asked.
    pub fn is_quick(&self) -> bool {
        !matches!(self.form(), Form::Combined | Form::RRule)
    }

    /// Whether it counts from when it is scheduled, wholly or in part: it has an `Every` without an anchor.
    pub fn floats(&self) -> bool {
        self.0.floats
    }

    /// The period of an `Every` without an anchor that stands for itself: its anchor is kept by who schedules it.
    pub fn interval(&self) -> Option<Interval> {
        match *self.kind() {
            Kind::Every(Every {
                period,
                anchor: None,
                from_end,
                ..
            }) => Some(Interval { period, from_end }),
            _ => None,
        }
    }

    /// The same with an anchor for each `Every` that has none, the times of which are after it.
    #[must_use]
    pub fn anchored(&self, anchor: i64) -> Self {
        if !self.floats() {
            return self.clone();
        }
        Self::new(match self.kind() {
            Kind::Every(every) => Kind::Every(every.begun(anchor)),
            Kind::Union(parts) => {
                Kind::Union(parts.iter().map(|part| part.anchored(anchor)).collect())
            }
            Kind::Filtered(left, conditions) => {
                let conditions = conditions.iter().map(|condition| Condition {
                    within: condition.within,
                    of: condition.of.anchored(anchor),
                });
                Kind::Filtered(left.anchored(anchor), conditions.collect())
            }
            Kind::Cron(_) | Kind::Times(_) | Kind::Days(_) | Kind::RRule(_) => return self.clone(),
        })
    }

    /// Whether it has a last time of its own, not only that of 64-bit nanoseconds.
    pub fn ends(&self) -> bool {
        match self.kind() {
            Kind::Times(_) | Kind::Days(_) => true,
            Kind::Every(_) | Kind::Cron(_) => false,
            Kind::RRule(rule) => ["COUNT=", "UNTIL="]
                .iter()
                .any(|end| rule.text().contains(end)),
            Kind::Union(parts) => parts.iter().all(Self::ends),
            Kind::Filtered(left, conditions) => {
                left.ends() || conditions.iter().any(|one| one.within && one.of.ends())
            }
        }
    }

    /// The zone in which its times are shown: the first that it names.
    pub fn zone(&self) -> Option<&Zone> {
        let mut zones = Vec::new();
        self.zones(&mut zones);
        zones.first().copied()
    }

    /// A number for the rules of all its zones as they are now, from 1970 to 2100: it differs where they do, and is the
    /// same on all machines. Without zones it is always the same.
    ///
    /// # Errors
    /// [`Error::UnknownZone`] if one of them is not known now.
    pub fn fingerprint(&self) -> Result<u64, Error> {
        let mut zones = Vec::new();
        self.zones(&mut zones);
        let mut hash = Fnv::default();
        for zone in zones {
            hash.add(zone.local()?.rules.fingerprint().cast_signed());
        }
        Ok(hash.0)
    }

    /// All zones that it names, from left to right.
    pub(crate) fn zones<'a>(&'a self, all: &mut Vec<&'a Zone>) {
        match self.kind() {
            Kind::Cron(cron) => all.push(cron.zone()),
            Kind::Days(days) => all.push(days.zone()),
            Kind::RRule(rule) => all.push(rule.zone()),
            Kind::Union(parts) => parts.iter().for_each(|part| part.zones(all)),
            Kind::Filtered(left, conditions) => {
                left.zones(all);
                conditions
                    .iter()
                    .for_each(|condition| condition.of.zones(all));
            }
            Kind::Every(_) | Kind::Times(_) => {}
        }
    }
}
