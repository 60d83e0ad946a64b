//! At-most-once starts on an event loop: each is noted on disk before its handler starts.

use crate::values::payload::Handle;
use duewheel_engine::engine::{Engine, Refused};
use duewheel_engine::handover::loop_waker::LoopWaker;
use duewheel_engine::jobs::record::Started;
use duewheel_engine::sync::Mutex;
use duewheel_store::Error;
use std::collections::VecDeque;
use std::sync::Arc;

/// The executions that wait until their starts are noted, and what the store has answered.
#[derive(Default)]
pub(crate) struct Marks {
    /// The first of them is one that starts at most once; the others keep their order behind it.
    waiting: Mutex<VecDeque<Started<Handle>>>,
    /// Whether the starts that were noted last may be made; the store's threads report it.
    settled: Arc<Mutex<Option<Result<(), Error>>>>,
}

impl Marks {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// Let an execution wait; how many do.
    pub(crate) fn push(&self, started: Started<Handle>) -> usize {
        let mut waiting = self.waiting.lock();
        waiting.push_back(started);
        waiting.len()
    }

    /// The first that waits.
    pub(crate) fn pop(&self) -> Option<Started<Handle>> {
        self.waiting.lock().pop_front()
    }

    /// All that wait.
    pub(crate) fn take(&self) -> VecDeque<Started<Handle>> {
        std::mem::take(&mut *self.waiting.lock())
    }

    /// Note the starts of all that wait; the store wakes the loop when they are on disk.
    pub(crate) fn note(
        &self,
        engine: &Engine<Handle>,
        waker: Arc<LoopWaker>,
    ) -> Result<(), Refused> {
        let mut last = None;
        for started in &*self.waiting.lock() {
            last = engine.begin(started)?.or(last);
        }
        let answer = self.settled.clone();
        let then = move |settled| {
            *answer.lock() = Some(settled);
            waker.wake();
        };
        match last {
            Some(ticket) => engine.when_settled(ticket, Box::new(then)),
            None => then(Ok(())),
        }
        Ok(())
    }

    /// What the store has answered, if it has.
    pub(crate) fn take_settled(&self) -> Option<Result<(), Error>> {
        self.settled.lock().take()
    }
}
