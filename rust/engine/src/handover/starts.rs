//! What has started of each target: how many, how late, and how long it took.
//!
//! A lane lists what starts, under its own lock, and what has ended, with the time that it took. Both are counted when what
//! has ended is settled, many at once: what follows each other of one target is one look at what is counted of it.

use crate::handover::histogram::Histogram;
use crate::handover::lateness::Lateness;
use crate::jobs::record::Done;

/// What has started of one target.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// Executions that were taken up, those that turned out to have no handler included.
    pub started: u64,
    /// Of them, those that have ended, however they did.
    pub(crate) ended: u64,
    /// Start minus due, of each, in nanoseconds.
    pub lateness: Histogram,
    /// From the call of the handler to its end, of each that has ended, in nanoseconds.
    pub runtime: Histogram,
}

impl Starts {
    /// Count what another has counted, too.
    pub fn add(&mut self, other: &Starts) {
        self.started += other.started;
        self.ended += other.ended;
        self.lateness.add(&other.lateness);
        self.runtime.add(&other.runtime);
    }
}

/// What has started in a lane and is not counted yet, in no more than so many as run or are to be settled.
#[derive(Debug, Default)]
pub(crate) struct StartLog {
    /// The targets, and how late each was.
    once: Vec<(u32, u64)>,
    /// The targets of what comes again: it is taken up first, and may be passed over.
    again: Vec<u32>,
}

impl StartLog {
    #[inline(always)]
    pub(crate) fn push(&mut self, target: u32, lateness: u64) {
        self.once.push((target, lateness));
    }

    #[cold]
    pub(crate) fn push_again(&mut self, target: u32) {
        self.again.push(target);
    }
}

/// What has started, in all and of each target, by their numbers. One of which nothing has started costs a pointer.
#[derive(Debug, Default)]
pub(crate) struct StartsByTarget {
    lateness: Lateness,
    numbered: Vec<Option<Box<Starts>>>,
    forgotten: Starts,
    /// What a lane has listed; else empty.
    taken: StartLog,
}

impl StartsByTarget {
    fn of_mut(numbered: &mut Vec<Option<Box<Starts>>>, target: u32) -> &mut Starts {
        let at = target as usize;
        if numbered.len() <= at {
            numbered.resize_with(at + 1, || None);
        }
        numbered[at].get_or_insert_default()
    }

    /// Take what a lane lists, to be [counted](Self::count_taken) when its lock is free.
    pub(crate) fn take(&mut self, log: &mut StartLog) {
        std::mem::swap(&mut self.taken, log);
    }

    /// Count what was taken.
    pub(crate) fn count_taken(&mut self) {
        for run in self.taken.once.chunk_by(|one, next| one.0 == next.0) {
            let starts = Self::of_mut(&mut self.numbered, run[0].0);
            starts.started += run.len() as u64;
            let (all, lateness) = (&mut self.lateness, run.iter().map(|start| start.1));
            let sums = starts
                .lateness
                .record_all(lateness, |bucket| all.count_in(bucket));
            all.add_up(run.len(), sums);
        }
        self.taken.once.clear();
        for target in self.taken.again.drain(..) {
            Self::of_mut(&mut self.numbered, target).started += 1;
        }
    }

    /// Count what has ended, and how long it took; what never started took none.
    pub(crate) fn count_ended<F>(&mut self, ended: &[Done<F>]) {
        for run in ended.chunk_by(|one, next| one.target == next.target) {
            let starts = Self::of_mut(&mut self.numbered, run[0].target);
            starts.ended += run.len() as u64;
            let ran = run.iter().filter(|done| done.outcome.is_some());
            let took = ran.map(|done| done.span as u64);
            starts.runtime.record_all(took, |_| ());
        }
    }

    /// Count how late an occurrence of a repeat is, which was taken up.
    pub(crate) fn count_lateness(&mut self, target: u32, lateness: u64) {
        self.lateness.record(lateness);
        let starts = Self::of_mut(&mut self.numbered, target);
        starts.lateness.record(lateness);
    }

    /// How late all were.
    pub(crate) fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// Those of a target, if any have been.
    pub(crate) fn of(&self, target: u32) -> Option<&Starts> {
        self.numbered.get(target as usize)?.as_deref()
    }

    /// One past the highest number of a target of which something has started.
    pub(crate) fn len(&self) -> usize {
        self.numbered.len()
    }

    /// Those of targets that were forgotten, together.
    pub(crate) fn forgotten(&self) -> &Starts {
        &self.forgotten
    }

    /// Forget a target; what has been counted of it stays counted.
    pub(crate) fn forget(&mut self, target: u32) {
        let starts = self.numbered.get_mut(target as usize);
        if let Some(starts) = starts.and_then(Option::take) {
            self.forgotten.add(&starts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::permit::Permit;
    use crate::testing::key;
    use duewheel_model::outcome::Outcome;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn ended((target, span, starts): (u32, i64, bool)) -> Done<()> {
        Done {
            key: key(0),
            comes_again: false,
            permit: Permit::NONE,
            target,
            span,
            outcome: starts.then_some(Outcome::Done),
            result: None,
        }
    }

    proptest! {
        #[test]
        fn batches_count_as_one_by_one(
            batches in prop::collection::vec(prop::collection::vec((0_u32..3, 0_i64..1 << 40, any::<bool>()), 0..100), 0..5),
        ) {
            let mut starts = StartsByTarget::default();
            let (mut all, mut each) = (Lateness::default(), BTreeMap::<u32, Starts>::new());
            for batch in &batches {
                let mut log = StartLog::default();
                for &(target, span, is_once) in batch {
                    let of = each.entry(target).or_default();
                    (of.started, of.ended) = (of.started + 1, of.ended + 1);
                    if is_once {
                        log.push(target, span as u64);
                        all.record(span as u64);
                        of.lateness.record(span as u64);
                        of.runtime.record(span as u64);
                    } else {
                        log.push_again(target);
                    }
                }
                starts.take(&mut log);
                starts.count_taken();
                starts.count_ended(&batch.iter().map(|&end| ended(end)).collect::<Vec<_>>());
            }
            prop_assert_eq!(starts.lateness().summary(), all.summary());
            for (target, expected) in each {
                let found = starts.of(target).unwrap();
                prop_assert_eq!((found.started, found.ended), (expected.started, expected.ended));
                prop_assert_eq!(found.lateness.summary(), expected.lateness.summary());
                prop_assert_eq!(found.runtime.summary(), expected.runtime.summary());
            }
        }
    }
}
