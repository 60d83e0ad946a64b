//! The offsets by which dues on the boot clock were stored as wall times.

use duewheel_model::job::ClockKind;
use duewheel_store::Job;

/// `wall − boot` since this process has the store: from which sequence on, and what it was.
///
/// A due on the boot clock is stored as the wall time that it was when it was given.
#[derive(Debug)]
pub(crate) struct BootOffsets(Vec<(u64, i64)>);

impl BootOffsets {
    pub(crate) fn new(seq: u64, offset: i64) -> Self {
        BootOffsets(vec![(seq, offset)])
    }

    /// From this sequence on, dues are given under another offset.
    pub(crate) fn step(&mut self, seq: u64, offset: i64) {
        // Under the last one no due may have been given.
        self.0.pop_if(|last| last.0 == seq);
        self.0.push((seq, offset));
    }

    /// The offset when this job was given its due on the boot clock; `None`: it follows the wall
    /// clock, as all do that were given theirs before this process opened the store.
    pub(crate) fn of(&self, job: &Job<'_>) -> Option<i64> {
        let is_boot = matches!(job.clock, ClockKind::Boot);
        is_boot.then(|| self.at(job.place.seq)).flatten()
    }

    /// The offset when this sequence was given; `None`: it was before this process opened the store.
    pub(crate) fn at(&self, seq: u64) -> Option<i64> {
        let given = |&&(from, _): &&(u64, i64)| from <= seq;
        self.0.iter().rev().find(given).map(|&(_, offset)| offset)
    }
}
