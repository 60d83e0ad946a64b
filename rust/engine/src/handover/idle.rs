//! Idle workers: one waits at the timer, in its [seat](Seat), the others for a condition; how they are called.

use crate::handover::queue::{HandoverQueue, Inner};
use crate::jobs::record::Payload;
use crate::sleep::{Seat, Sleeper};
use std::sync::Arc;

/// What has become of an idle worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It is on its way: there is work.
    Comes,
    /// It is to sleep in its seat at the timer, and then to [rise](HandoverQueue::rise).
    Sits,
    /// There will be no work again.
    Ends,
}

/// Why a worker has left its seat at the timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Risen {
    /// It counts as the one that is on its way; else another is.
    pub(crate) comes: bool,
    /// It was called, be there work or not.
    pub(crate) called: bool,
}

impl<P: Payload> HandoverQueue<P> {
    /// Call one idle worker: rather one that does not wait at the timer.
    pub(super) fn call_worker(&self, inner: &mut Inner<P>) {
        inner.called = true;
        if inner.idle > usize::from(inner.seated) {
            self.work.notify_one();
        } else if let Some(sleeper) = &self.sleeper {
            sleeper.call(Seat::Worker);
        }
    }

    /// Call every idle worker.
    pub(super) fn call_all_workers(&self) {
        self.work.notify_all();
        if let Some(sleeper) = &self.sleeper {
            sleeper.call(Seat::Worker);
        }
    }

    /// Call one worker before there is work, if one is idle and none is on its way.
    pub(crate) fn wake_early(&self) {
        let mut inner = self.lock();
        if !inner.coming && inner.idle > 0 {
            inner.coming = true;
            self.call_worker(&mut inner);
        }
    }

    /// Give idle workers a seat at the timer, if there is one for them.
    pub(crate) fn seat_workers(&mut self, sleeper: &Arc<Sleeper>) {
        self.sleeper = sleeper.seats_workers().then(|| sleeper.clone());
    }

    /// Wait until there is work for this worker, or the seat at the timer is free.
    pub(crate) fn wait_for_work(&self) -> Waited {
        let mut inner = self.lock();
        inner.idle += 1;
        let waited = loop {
            if inner.closed {
                break Waited::Ends;
            }
            if inner.called && inner.waits_for_marks() {
                // Who waits for them calls again: until then it would only wake who holds the interpreter.
                inner.called = false;
                inner.coming = false;
            } else if inner.called || (inner.has_work() && !inner.coming) {
                inner.called = false;
                inner.coming = true;
                break Waited::Comes;
            }
            if self.sleeper.is_some() && !inner.seated {
                inner.seated = true;
                return Waited::Sits;
            }
            inner = self.work.wait(inner);
        };
        inner.idle -= 1;
        waited
    }

    /// A worker has slept in the seat at the timer: it is not idle while it looks what is due.
    pub(crate) fn rise(&self) -> Risen {
        let mut inner = self.lock();
        inner.seated = false;
        inner.idle -= 1;
        let called = std::mem::take(&mut inner.called);
        let comes = called || !inner.coming;
        inner.coming = true;
        Risen { comes, called }
    }

    /// It has looked; `wanted`: it is to come, be there work or not. Whether it comes; else it waits again.
    pub(crate) fn come(&self, risen: Risen, wanted: bool) -> bool {
        let mut inner = self.lock();
        let wanted = (wanted || risen.called) && !inner.waits_for_marks();
        let comes = risen.comes && !inner.closed && (wanted || inner.has_work());
        if risen.comes && !comes {
            inner.coming = false;
        }
        comes
    }

    /// Say that the worker that was on its way is there: another may be called now. What it is
    /// to do besides running jobs: targets to report, and whether pages have come.
    pub fn arrived(&self) -> (Vec<Box<str>>, bool) {
        let mut inner = self.lock();
        inner.coming = false;
        let pages = std::mem::take(&mut inner.pages);
        (std::mem::take(&mut inner.notices), pages)
    }
}
