//! How an event loop takes what is due for async handlers: first steps, marks, pauses.
//!
//! A task costs more than most handlers. So a handler's first step is taken with a *spare* task as
//! the current one. A handler that waits gets it for its own; one that ends leaves it to the next,
//! unless it has looked at it.

use crate::interpreter::call;
use crate::run::continuations::Continuation;
use crate::run::event_loop::EventLoop;
use crate::run::inside;
use crate::run::registry::{self, Handlers};
use crate::run::task::{Driver, Running};
use crate::values::event::Event;
use crate::values::failure::Failure;
use crate::values::payload::{Handle, release};
use duewheel_engine::engine::Refused;
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Done, Outcome, Payload, Released, Started};
use duewheel_store::Error;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;

/// How many events a drain starts at most, and for how long in nanoseconds: the loop breathes.
const AT_ONCE: usize = 256;
const AT_LENGTH: i64 = 1_000_000;

/// How long trouble is given to pass, in seconds: a full disk, a loop that makes no tasks.
const PATIENCE: f64 = 0.1;

thread_local! {
    /// Whether the present task of this thread was looked at.
    static TOUCHED: Cell<bool> = const { Cell::new(false) };
}

/// Note that a handler's code reads its task.
#[pyfunction]
pub(crate) fn touch() {
    TOUCHED.set(true);
}

/// A task that is there for whoever needs one.
struct Spare {
    task: Py<PyAny>,
    driver: Py<Driver>,
    /// The references to the task that are not a handler's.
    references: isize,
}

/// What comes after a drain.
enum Next {
    /// Another one, at once.
    Again,
    /// Another one, when the bell rings for new work.
    Rest,
    /// Another one, when the bell rings for what is marked.
    Marked,
    /// Another one, after a while.
    Later,
}

/// One drain: what it keeps at hand.
pub(crate) struct Drain<'a, 'py> {
    slf: &'a Bound<'py, EventLoop>,
    events: &'a EventLoop,
    version: u64,
    handlers: Handlers,
    context: Option<Py<PyAny>>,
    spare: Option<Spare>,
    /// Something is to be waited out.
    trouble: bool,
}

/// Take what is due from the lane, and arrange for the next time.
pub(crate) fn drain(slf: &Bound<'_, EventLoop>) -> PyResult<()> {
    let py = slf.py();
    let events = slf.get();
    let shared = events.shared();
    let (version, handlers) = shared.registry.handlers();
    let mut drain = Drain {
        slf,
        events,
        version,
        handlers,
        context: shared.context(py),
        spare: None,
        trouble: false,
    };
    let outer = events.current_task(py)?;
    if let Some(outer) = &outer {
        // Drained from within a task, not by the loop.
        events.leave(py, outer)?;
    }
    let next = drain.go_on();
    drain.put_away()?;
    if let Some(outer) = &outer {
        events.enter(py, outer)?;
    }
    let again = slf.getattr("drain")?;
    match next {
        Next::Again => events.call(py, "call_soon", (again,))?,
        Next::Later => events.call(py, "call_later", (PATIENCE, again))?,
        Next::Marked => {}
        Next::Rest => shared.engine.lane(Lane::Loop).rest(),
    }
    // A handler may have closed it in its only step.
    events.leave_if_over(py);
    Ok(())
}

impl Drain<'_, '_> {
    fn py(&self) -> Python<'_> {
        self.slf.py()
    }

    /// Start what has been marked, then what is due.
    fn go_on(&mut self) -> Next {
        let come = self.take_continuations();
        match self.events.inbox.marked.lock().take() {
            Some(Ok(())) => {
                while let Some(started) = self.events.next_marked() {
                    if let Some(done) = self.start(started, true) {
                        self.events.end(self.py(), done);
                    }
                }
            }
            Some(Err(_)) => self.events.hand_back(self.py()),
            // Later jobs of the lane wait for the notes, too.
            None if self.events.is_marking() => return Next::Marked,
            None => {}
        }
        let more = self.take_turns();
        if self.events.is_marking() {
            match self.mark() {
                Ok(()) => return Next::Marked,
                Err(error) => {
                    self.trouble |= matches!(error, Refused::Store(Error::Full));
                    self.events.hand_back(self.py());
                }
            }
        }
        match (self.trouble, more || come) {
            (true, _) => Next::Later,
            (false, true) => Next::Again,
            (false, false) => Next::Rest,
        }
    }

    /// Go on with what workers have left to the loop; whether there is more at once.
    fn take_continuations(&mut self) -> bool {
        let continuations = &self.events.shared().continuations;
        if continuations.is_empty() {
            return false;
        }
        let clock = self.events.shared().engine.clock();
        let began = clock.boot();
        for _ in 0..AT_ONCE {
            if !self.events.has_room() || clock.boot() - began > AT_LENGTH {
                break;
            }
            let Some(continuation) = continuations.take() else {
                break;
            };
            if let Some(done) = self.continue_with(continuation) {
                self.events.end(self.py(), done);
            }
        }
        !continuations.is_empty() && self.events.has_room()
    }

    fn continue_with(&mut self, continuation: Continuation) -> Option<Done<Failure>> {
        let py = self.slf.py();
        if let Err(error) = self.provide_spare() {
            let event = continuation.event.clone_ref(py);
            let started = continuation.abandon(py);
            let outcome = self.events.failed(py, &started, &event, &error);
            return Some(started.ended(outcome));
        }
        let Continuation {
            awaited,
            context,
            started,
            event,
        } = continuation;
        self.take_step(started, event, context.into_bound(py), |_| Ok(awaited))
    }

    /// Take what is due from the lane; whether there is more at once.
    fn take_turns(&mut self) -> bool {
        let engine = &*self.events.shared().engine;
        let lane = engine.lane(Lane::Loop);
        let mut released = Released::default();
        let mut done = None;
        let began = engine.clock().boot();
        let mut count = 0;
        let more = loop {
            match lane.turn(done.take(), engine.clock()) {
                Turn::Run(started) => {
                    count += 1;
                    let late = started.at - began > AT_LENGTH;
                    if self.events.is_marking() || self.must_mark(&started) {
                        // At most once, or behind such a one: not before its note is on disk.
                        if self.events.set_marking(started) >= 2 * self.events.shared().workers {
                            break false;
                        }
                    } else {
                        done = self.start(started, false);
                    }
                    if self.trouble {
                        break false;
                    }
                    if count >= AT_ONCE || late {
                        break true;
                    }
                }
                Turn::Settle => {
                    engine.settle_and_refill(Lane::Loop, &mut released);
                    release(self.py(), &mut released);
                }
                Turn::Rest => break false,
            }
        };
        if let Some(done) = done.take() {
            self.events.end(self.py(), done);
        }
        more
    }

    /// Whether the start of a job is to be on disk before it comes.
    fn must_mark(&self, started: &Started<Handle>) -> bool {
        let shared = self.events.shared();
        let spec = || started.execution.payload.spec(self.py());
        shared.engine.has_store() && !shared.relaxed && spec().get().limits.at_most_once
    }

    /// Note the starts of what waits for that, and come back when the notes are on disk.
    fn mark(&self) -> Result<(), Refused> {
        let engine = &self.events.shared().engine;
        let last = self.events.each_marking(|started| engine.begin(started))?;
        let (inbox, waker) = (self.events.inbox.clone(), self.events.waker.clone());
        let then = move |settled| {
            *inbox.marked.lock() = Some(settled);
            waker.ring();
        };
        match last {
            Some(ticket) => engine.when_settled(ticket, Box::new(then)),
            None => then(Ok(())),
        }
        Ok(())
    }

    /// Have a spare task, as the current one.
    fn provide_spare(&mut self) -> PyResult<()> {
        if self.spare.is_some() {
            return Ok(());
        }
        let py = self.slf.py();
        let driver = Py::new(py, Driver::new(self.slf.clone().unbind()))?;
        let task = self.events.new_task(py, &driver)?;
        self.events.enter(py, &task)?;
        self.events.set_stepping(Some(task.clone_ref(py)));
        let references = references(&task);
        self.spare = Some(Spare {
            task,
            driver,
            references,
        });
        Ok(())
    }

    fn put_away(&mut self) -> PyResult<Option<Spare>> {
        if let Some(spare) = &self.spare {
            self.events.set_stepping(None);
            self.events.leave(self.py(), &spare.task)?;
        }
        Ok(self.spare.take())
    }

    /// Take the first step of a handler; how it ended, unless it waits for something now.
    fn start(&mut self, started: Started<Handle>, noted: bool) -> Option<Done<Failure>> {
        let shared = self.events.shared();
        if shared.registry.version() != self.version {
            (self.version, self.handlers) = shared.registry.handlers();
        }
        let target = started.execution.payload.target();
        let handler = registry::find(&self.handlers, target, Lane::Loop);
        let (Some(handler), Some(context)) = (handler, &self.context) else {
            if noted {
                shared.engine.unbegin(&started);
            }
            return Some(started.ended(Outcome::Unhandled));
        };
        if noted && !shared.engine.may_start(&started) {
            return Some(started.ended(Outcome::Unhandled));
        }
        let py = self.slf.py();
        let (handler, context) = (handler.call.clone_ref(py), context.clone_ref(py));
        if shared.engine.has_store()
            && !noted
            && let Err(error) = shared.engine.begin(&started)
        {
            self.trouble |= matches!(error, Refused::Store(Error::Full));
            return Some(started.ended(Outcome::Unhandled));
        }
        match self.step(started, &handler, &context) {
            Ok(ended) => ended,
            Err((started, error)) => {
                // No task, no event, no context: not the handler's failure.
                error.write_unraisable(py, Some(self.slf.as_any()));
                self.trouble = true;
                if shared.engine.has_store() {
                    shared.engine.unbegin(&started);
                }
                Some(started.ended(Outcome::Unhandled))
            }
        }
    }

    /// The step itself.
    #[allow(clippy::result_large_err)] // what could not be started is given back
    fn step(
        &mut self,
        started: Started<Handle>,
        handler: &Py<PyAny>,
        context: &Py<PyAny>,
    ) -> Result<Option<Done<Failure>>, (Started<Handle>, PyErr)> {
        let py = self.slf.py();
        let ready = self.provide_spare().and_then(|()| {
            let event = Py::new(py, Event::started(py, &started))?.into_any();
            Ok((event, call::fresh(py, context)?))
        });
        let (event, context) = match ready {
            Ok(ready) => ready,
            Err(error) => return Err((started, error)),
        };
        Ok(self.take_step(started, event, context, |event| {
            call::call(py, handler, event)
        }))
    }

    /// Have a task as the current one and take a handler's first step; `begin` gives its coroutine.
    fn take_step(
        &mut self,
        started: Started<Handle>,
        event: Py<PyAny>,
        context: Bound<'_, PyAny>,
        begin: impl FnOnce(&Py<PyAny>) -> PyResult<Py<PyAny>>,
    ) -> Option<Done<Failure>> {
        let py = self.slf.py();
        TOUCHED.set(false);
        let stepped = inside::within(self.events.shared().identity(), || {
            call::within(py, &context, || {
                let coroutine = self.events.coroutine(py, begin(&event)?)?;
                let waits_for = call::resume(py, &coroutine)?;
                Ok(waits_for.map(|waits_for| (coroutine, waits_for)))
            })
        });
        let waits = matches!(stepped, Ok(Some(_)));
        let taken = self
            .spare
            .take_if(|spare| waits || TOUCHED.get() || references(&spare.task) != spare.references);
        if let Some(taken) = &taken {
            self.events.set_stepping(None);
            if let Err(error) = self.events.leave(py, &taken.task) {
                error.write_unraisable(py, None);
            }
            if !waits {
                self.events.unspare(&taken.task);
            }
        }
        match (stepped, taken) {
            (Ok(Some((coroutine, waits_for))), Some(spare)) => {
                let running = Running {
                    coroutine,
                    first: Some(waits_for),
                    context: context.unbind(),
                    started,
                    event,
                    number: 0,
                };
                self.events.adopt(py, running, &spare.task, &spare.driver);
                None
            }
            (Ok(_), _) => Some(started.ended(Outcome::Succeeded)),
            (Err(error), _) => {
                let outcome = self.events.failed(py, &started, &event, &error);
                Some(started.ended(outcome))
            }
        }
    }
}

fn references(task: &Py<PyAny>) -> isize {
    // SAFETY: the pointer is a live reference, and the caller is attached.
    unsafe { ffi::Py_REFCNT(task.as_ptr()) }
}
