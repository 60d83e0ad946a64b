//! Calls of other processes that are not answered yet.
//!
//! Who has called and hears nothing, for this process has died, calls the next owner of the file with the same id. There
//! the job must be known, though it may have ended by then: so one whose call is not answered does not end here, and what
//! was young when the file was opened is remembered for a while.

use super::receipts::{REMEMBERED, Receipts};
use super::{Engine, State};
use crate::jobs::record::{Done, Payload, Released};
use duewheel_model::outcome::Outcome;
use duewheel_store::Job;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

impl<P: Payload> Engine<P> {
    /// Keep receipts from now on, before anything is taken in: other processes will call.
    pub fn keep_receipts(&self) {
        let until = self.clock.boot().saturating_add(REMEMBERED);
        let since = self.clock.wall().saturating_sub(REMEMBERED);
        let receipts = Receipts {
            open: HashSet::new(),
            held: Vec::new(),
            freed: Vec::new(),
            found: HashMap::new(),
            since,
            until,
        };
        self.state.lock().receipts = Some(Box::new(receipts));
    }

    /// The calls that have scheduled these jobs are answered.
    pub fn answered(&self, ids: &[Arc<str>], released: &mut Released<P>) {
        let mut state = self.state.lock();
        let Some(receipts) = &mut state.receipts else {
            return;
        };
        for id in ids {
            receipts.open.remove(id);
        }
        if !receipts.held.is_empty() {
            receipts.free_held();
            state.settle(self, released);
        }
    }

    /// A call about these jobs is to be answered.
    pub fn await_answer(&self, ids: &[Arc<str>]) {
        if let Some(receipts) = &mut self.state.lock().receipts {
            receipts.open.extend(ids.iter().cloned());
        }
    }

    /// Whether calls are to be answered.
    pub fn owes_answers(&self) -> bool {
        let state = self.state.lock();
        let receipts = state.receipts.as_ref();
        receipts.is_some_and(|receipts| !receipts.open.is_empty())
    }

    /// Whether a job of this id that was not scheduled before `since`, on the wall clock, was in the file when it was
    /// opened, as far as that is remembered.
    pub fn was_found(&self, id: &str, since: i64) -> bool {
        let state = self.state.lock();
        let found = state
            .receipts
            .as_ref()
            .and_then(|receipts| receipts.found.get(id));
        found.is_some_and(|&created| created >= since)
    }
}

impl<P: Payload> State<P> {
    /// Leave of what has ended what may be settled.
    pub(super) fn sift_by_receipts(&mut self, boot: i64, ended: &mut Vec<Done<P::Failure>>) {
        let Some(receipts) = &mut self.receipts else {
            return;
        };
        if boot > receipts.until && !receipts.found.is_empty() {
            receipts.found = HashMap::new();
        }
        ended.append(&mut receipts.freed);
        if receipts.open.is_empty() {
            return;
        }
        for done in std::mem::take(ended) {
            let ends = matches!(done.outcome, Some(Outcome::Done | Outcome::Dead { .. }));
            let execution = self
                .jobs
                .execution(done.key)
                .filter(|_| ends && !done.comes_again);
            let is_open = |id: &str| receipts.open.contains(id);
            if execution.is_some_and(|execution| execution.id.with_str(is_open)) {
                receipts.held.push(done);
            } else {
                ended.push(done);
            }
        }
    }

    /// Remember a job that comes from the file, if a call that was not answered may have scheduled it.
    pub(super) fn note_found(&mut self, job: &Job<'_>) {
        if let Some(receipts) = &mut self.receipts
            && job.created >= receipts.since
        {
            receipts.found.insert((&*job.id).into(), job.created);
        }
    }
}
