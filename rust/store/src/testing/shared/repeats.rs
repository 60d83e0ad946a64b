//! Repeats that nodes share: who may claim them, and what becomes of those that are changed while they run.

use super::jobs::{Row, Table};
use crate::testing::model::spend;
use crate::{Ending, Job, Place, StoredRepeat};
use std::collections::BTreeSet;

/// What was done to a repeat while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Changed {
    #[default]
    No,
    /// It was amended: what its end brings as next was found before.
    Amended,
    /// It was cancelled, and ends with what runs.
    Cancelled,
}

/// Whether a job that no node has may be claimed under this epoch, as far as it is a repeat.
pub(super) fn may_claim(declared: &BTreeSet<(u64, String)>, job: &Job<'_>, epoch: u64) -> bool {
    job.repeat.as_ref().is_none_or(|repeat| {
        let standing = &repeat.standing;
        let declares = || declared.contains(&(epoch, job.id.to_string()));
        !standing.is_held() && (!standing.declared || declares())
    })
}

impl Row {
    /// Whether it is a repeat that waits and has no end: nobody waits for it.
    pub(super) fn waits_for_ever(&self) -> bool {
        let repeat = self.job.repeat.as_ref();
        let waits = !self.begun && self.job.progress.first_start.is_none();
        waits && repeat.is_some_and(|repeat| repeat.definition.terms.is_endless())
    }
}

impl Table {
    /// What was declared under a lease is so under the one that follows it, if one does.
    pub(super) fn declare_again(&mut self, lost: u64, epoch: Option<u64>) {
        let (of_lost, mut kept): (BTreeSet<_>, BTreeSet<_>) = std::mem::take(&mut self.declared)
            .into_iter()
            .partition(|(of, _)| *of == lost);
        let again = of_lost.into_iter().zip(epoch.into_iter().cycle());
        kept.extend(again.map(|((_, id), epoch)| (epoch, id)));
        self.declared = kept;
    }

    /// It was begun and not started; what was changed meanwhile is as if it had not begun.
    pub(super) fn release(&mut self, at: Place) {
        let changed = self.rows.get(&at).map_or(Changed::No, |row| row.changed);
        if changed == Changed::Cancelled {
            self.end(at);
            return;
        }
        self.row(at, |row| {
            row.begun = false;
            if changed == Changed::Amended {
                (row.owner, row.changed) = (None, Changed::No);
            }
        });
        self.come_changed(at, false);
    }

    pub(super) fn stored_repeat(&self, id: &str) -> Option<Box<StoredRepeat>> {
        let row = self.find(id)?;
        let repeat = row.job.repeat.as_ref();
        let is_declared = repeat.is_some_and(|repeat| repeat.standing.declared);
        Some(Box::new(StoredRepeat {
            job: row.job.clone(),
            version: row.version,
            begun: row.begun,
            is_wanted: !is_declared || self.declared.iter().any(|(_, of)| of == id),
        }))
    }

    /// A job is a node's no longer, which is told when it claims the job again: also the one that asked, whose answer may be lost.
    pub(super) fn take_back(&mut self, at: Place) {
        if let Some(row) = self.rows.get(&at)
            && let Some(owner) = row.owner
        {
            self.untold.push((owner, row.job.id.to_string(), at.seq));
        }
    }

    pub(super) fn amend(&mut self, was: &StoredRepeat, to: Option<Box<Job<'static>>>) -> bool {
        let found = self.find(&was.job.id);
        let Some(row) = found.filter(|row| row.version == was.version) else {
            return false;
        };
        let (at, begun, interruptions) = (row.job.place, row.begun, row.job.interruptions);
        let Some(to) = to else {
            self.take_back(at);
            return self.end(at);
        };
        if begun {
            self.row(at, |row| {
                let place = row.job.place;
                row.job = Job { place, ..*to };
                row.changed = Changed::Amended;
            });
            return true;
        }
        self.take_back(at);
        self.shift(at, to.place, None, |job| {
            *job = Job {
                interruptions,
                ..*to
            };
        });
        true
    }

    /// A repeat that runs ends with it; the target of the one of this id.
    pub(super) fn end_running(&mut self, id: &str) -> Option<String> {
        let running = self
            .find(id)
            .filter(|row| row.begun && row.job.repeat.is_some());
        let (at, target) = running.map(|row| (row.job.place, row.job.target.to_string()))?;
        self.row(at, |row| {
            row.job.repeat = None;
            row.changed = Changed::Cancelled;
        });
        Some(target)
    }

    /// The end of a job, unless it is a repeat that was changed while it ran: then all is done here.
    pub(super) fn close_repeat(
        &mut self,
        at: Place,
        outcome: Ending<'static>,
    ) -> Option<Ending<'static>> {
        let changed = self.rows.get(&at).map_or(Changed::No, |row| row.changed);
        let comes_again = matches!(outcome, Ending::Again { .. });
        if changed == Changed::No || (changed == Changed::Amended && comes_again) {
            return Some(outcome);
        }
        let next = match outcome {
            Ending::Dead {
                reason,
                error,
                died,
                next,
            } => {
                self.bury(at, reason, &error, died);
                next
            }
            Ending::Next(next) => Some(next),
            Ending::Done | Ending::Again { .. } => None,
        };
        if changed == Changed::Cancelled {
            self.end(at);
        } else {
            self.row(at, |row| {
                spend(&mut row.job, next.as_deref());
                (row.owner, row.begun, row.changed) = (None, false, Changed::No);
            });
        }
        None
    }
}
