//! What other threads have for the server, and what it has for the threads of Python.

use crate::share::specs::Wanted;
use crate::values::payload::Handle;
use duewheel_engine::jobs::record::Released;
use duewheel_engine::sync::{Condvar, Mutex};
use mio::{Token, Waker};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A step that the thread of the server takes when it comes to it.
pub(super) type Step<S> = Box<dyn FnOnce(&mut S) + Send>;

/// An answer, and the calls that it answers.
pub(super) struct Reply {
    pub(super) to: Token,
    pub(super) line: Vec<u8>,
    /// The ids of jobs that were scheduled by it.
    pub(super) ids: Vec<Arc<str>>,
}

/// What Python is to do.
pub(super) enum Task {
    /// Make references ahead; then the server takes the line again.
    Specs(Wanted, Option<(Token, Vec<u8>)>),
    /// Free what the engine gives back.
    Free(Released<Handle>),
    /// Answer a call, which schedules these jobs.
    Answer(Token, Vec<u8>, Vec<Arc<str>>),
}

/// The door between the server and all others.
pub(super) struct Inbox<S> {
    waker: Waker,
    steps: Mutex<Vec<Step<S>>>,
    tasks: Mutex<VecDeque<Task>>,
    come: Condvar,
    stopped: AtomicBool,
}

impl<S> Inbox<S> {
    pub(super) fn new(waker: Waker) -> Self {
        Inbox {
            waker,
            steps: Mutex::default(),
            tasks: Mutex::default(),
            come: Condvar::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Have the server take a step.
    pub(super) fn put(&self, step: Step<S>) {
        self.steps.lock().push(step);
        // Without it the step is taken with the next call.
        let _ = self.waker.wake();
    }

    pub(super) fn take(&self) -> Vec<Step<S>> {
        std::mem::take(&mut *self.steps.lock())
    }

    /// Have Python do something.
    pub(super) fn ask(&self, task: Task) {
        self.tasks.lock().push_back(task);
        self.come.notify_all();
    }

    /// What Python is to do next; `None`: it is over.
    pub(super) fn next_task(&self) -> Option<Task> {
        let mut tasks = self.tasks.lock();
        loop {
            if let Some(task) = tasks.pop_front() {
                return Some(task);
            }
            if self.is_stopped() {
                return None;
            }
            tasks = (self.come)
                .wait_until(tasks, Instant::now() + Duration::from_secs(3_600))
                .0;
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = self.waker.wake();
        drop(self.tasks.lock()); // who looks has seen it, or waits
        self.come.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}
