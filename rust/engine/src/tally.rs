//! Counters: in all, and of each target.
//!
//! A target is counted by its number while anything here speaks of it, and by its name where only a store does. How many
//! of its jobs are pending is not counted: it follows from what has come and what has gone.

use crate::handover::starts::StartsByTarget;
use duewheel_model::outcome::Reason;
use std::collections::HashMap;

/// Counters that only grow, but for `scheduled` where a call is taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs taken in.
    pub scheduled: u64,
    /// Jobs whose handler returned.
    pub succeeded: u64,
    /// Failures that were followed by another attempt.
    pub retried: u64,
    /// Executions that asked for another time.
    pub snoozed: u64,
    /// Jobs that ended as dead.
    pub dead: u64,
    /// Of them, those that their handler discarded.
    pub discarded: u64,
    /// Of them, those that were interrupted.
    pub interrupted: u64,
    /// Jobs withdrawn.
    pub cancelled: u64,
    /// Dead jobs made due again.
    pub revived: u64,
    /// Jobs forgotten by closing.
    pub dropped: u64,
    /// Times of repeats that were passed over or merged.
    pub missed: u64,
    /// Started executions that turned out to have no handler.
    pub(crate) unstarted: u64,
    /// Jobs that another target had before, less those that have gone to another.
    pub(crate) moved: i64,
}

impl Counts {
    /// A job has ended as dead.
    pub(crate) fn die(&mut self, reason: Reason) {
        self.dead += 1;
        match reason {
            Reason::Failed => (),
            Reason::Discarded => self.discarded += 1,
            Reason::Interrupted => self.interrupted += 1,
        }
    }

    /// What has come and not gone, begun or not.
    pub(crate) fn present(&self) -> i64 {
        let came = (self.scheduled + self.revived) as i64 + self.moved;
        came - (self.succeeded + self.dead + self.cancelled + self.dropped) as i64
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        self.scheduled += other.scheduled;
        self.succeeded += other.succeeded;
        self.retried += other.retried;
        self.snoozed += other.snoozed;
        self.dead += other.dead;
        self.discarded += other.discarded;
        self.interrupted += other.interrupted;
        self.cancelled += other.cancelled;
        self.revived += other.revived;
        self.dropped += other.dropped;
        self.missed += other.missed;
        self.unstarted += other.unstarted;
        self.moved += other.moved;
    }
}

/// What is counted, in all and of each target.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) all: Counts,
    /// What has started, as far as it was settled since.
    pub(crate) starts: StartsByTarget,
    numbered: Vec<Counts>,
    named: HashMap<Box<str>, Counts>,
    /// Those of targets that were forgotten.
    forgotten: Counts,
    /// Whether what the store had of each target at its opening is among those that are counted by name.
    knows_stored: bool,
}

impl Tally {
    /// Count of a target, and in all.
    #[inline(always)]
    pub(crate) fn note(&mut self, target: u32, change: impl Fn(&mut Counts)) {
        change(&mut self.all);
        if let Some(counts) = self.numbered.get_mut(target as usize) {
            change(counts);
        } else {
            change(self.grown(target));
        }
    }

    #[cold]
    fn grown(&mut self, target: u32) -> &mut Counts {
        let at = target as usize;
        self.numbered.resize(at + 1, Counts::default());
        &mut self.numbered[at]
    }

    /// The same of a target that is known by its name alone.
    pub(crate) fn note_named(&mut self, target: &str, change: impl Fn(&mut Counts)) {
        change(&mut self.all);
        if let Some(counts) = self.named.get_mut(target) {
            change(counts);
        } else {
            change(self.named.entry(target.into()).or_default());
        }
    }

    /// A job is for another target from now on.
    pub(crate) fn note_moved(&mut self, from: u32, to: u32) {
        if from != to {
            self.note(from, |counts| counts.moved -= 1);
            self.note(to, |counts| counts.moved += 1);
        }
    }

    /// Forget a target; what has been counted of it stays counted, and by its name where a store has jobs of it.
    pub(crate) fn forget(&mut self, target: u32, name: &str) {
        self.starts.forget(target);
        let counts = self.numbered.get_mut(target as usize);
        let counts = counts.map(std::mem::take).unwrap_or_default();
        if counts.present() == 0 {
            self.forgotten.add(&counts);
        } else {
            self.named.entry(name.into()).or_default().add(&counts);
        }
    }

    pub(crate) fn of(&self, target: u32) -> Counts {
        self.numbered
            .get(target as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Those that are counted by number, in order from 0.
    pub(crate) fn numbered(&self) -> impl ExactSizeIterator<Item = &Counts> {
        self.numbered.iter()
    }

    /// Those that are counted by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.named.iter().map(|(name, counts)| (&**name, counts))
    }

    /// What is counted of a target by its name.
    pub(crate) fn of_name(&self, name: &str) -> Counts {
        self.named.get(name).copied().unwrap_or_default()
    }

    /// Those of targets that were forgotten, together.
    pub(crate) fn forgotten(&self) -> &Counts {
        &self.forgotten
    }

    /// Whether what the store had of each target at its opening is counted.
    pub(crate) fn knows_stored(&self) -> bool {
        self.knows_stored
    }

    /// Count what the store had of each target at its opening, once: `less` than nothing, by name. In all it was counted then.
    pub(crate) fn note_stored(&mut self, less: impl IntoIterator<Item = (Box<str>, i64)>) {
        if std::mem::replace(&mut self.knows_stored, true) {
            return;
        }
        for (name, less) in less.into_iter().filter(|(_, less)| *less != 0) {
            let counts = if name.is_empty() {
                &mut self.forgotten
            } else {
                self.named.entry(name).or_default()
            };
            counts.scheduled = counts.scheduled.saturating_add_signed(-less);
        }
    }

    /// Compare what is counted of targets with what is counted in all; `is_whole`: there is no store that had more.
    pub(crate) fn check(&self, is_whole: bool) -> Result<(), String> {
        let mut sum = self.forgotten;
        let targets = self.numbered.iter().chain(self.named.values());
        targets.for_each(|counts| sum.add(counts));
        if !is_whole && !self.knows_stored {
            // What the store had at its opening is of no target yet.
            sum.scheduled = self.all.scheduled;
        }
        let all = &self.all;
        if sum == *all {
            Ok(())
        } else {
            Err(format!("of targets {sum:?} are counted, in all {all:?}"))
        }
    }
}
