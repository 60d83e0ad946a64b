//! How an event loop takes what is due for async handlers: first steps, marks, pauses.
//!
//! A task costs more than most handlers. So handlers take their first steps under a *shared* task as the
//! current one. A handler that waits gets it for its own; one that ends leaves it to the next, unless it has
//! read an attribute of it, or refers to it.

use crate::interpreter::call::{self, Step};
use crate::run::continuations::Continuation;
use crate::run::event_loop::EventLoop;
use crate::run::inside::{self, Place};
use crate::run::outcome;
use crate::run::registry::{self, Handlers};
use crate::run::take_up::take_up;
use crate::run::task::TaskCoroutine;
use crate::run::tasks::Running;
use crate::values::event::Event;
use crate::values::failure::Failure;
use crate::values::payload::{Handle, release};
use crate::values::spare;
use duewheel_engine::engine::Refused;
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Done, Payload, Released, Started};
use duewheel_store::Error;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;

/// How many events a turn starts at most, and for how long in nanoseconds: other tasks of the loop have
/// their turns.
const AT_ONCE: usize = 256;
const AT_LENGTH: i64 = 1_000_000;

/// How long a full disk, or a loop that makes no tasks, is left alone, in seconds.
const PAUSE: f64 = 0.1;

thread_local! {
    /// Whether the shared task of this thread was looked at.
    static TOUCHED: Cell<bool> = const { Cell::new(false) };
}

/// Note that a handler's code reads its task.
#[pyfunction]
pub(crate) fn touch() {
    TOUCHED.set(true);
}

/// The task under which handlers take their first steps.
struct SharedTask {
    task: Py<PyAny>,
    coroutine: Py<TaskCoroutine>,
    /// The references to the task that are not a handler's.
    references: isize,
}

/// How far a handler has come with its first step.
enum Stepped {
    /// The coroutine, and what it waits for.
    Waits(Py<PyAny>, Py<PyAny>),
    /// It has ended, with this to be kept.
    Ended(Option<Py<PyAny>>),
}

/// When the next turn is.
enum Next {
    /// At once.
    Again,
    /// When the engine wakes the loop.
    Rest,
    /// When the store wakes the loop, for the starts are noted.
    Marked,
    /// After a pause.
    Later,
}

/// One turn on the event loop.
struct LoopTurn<'a, 'py> {
    owner: &'a Bound<'py, EventLoop>,
    place: &'a Place<'a>,
    event_loop: &'a EventLoop,
    version: u64,
    handlers: Handlers,
    context: Option<Py<PyAny>>,
    shared_task: Option<SharedTask>,
    /// The event of a handler that has ended.
    spare: Option<Py<Event>>,
    /// A disk is full, or a task could not be made: the next turn comes after a pause.
    pause: bool,
}

/// Take a turn on an event loop, whose method this is.
pub(crate) fn take_turn(event_loop: &Bound<'_, EventLoop>) {
    if event_loop.get().shared.is_forked() {
        return;
    }
    if let Err(error) = try_turn(event_loop) {
        error.write_unraisable(event_loop.py(), Some(event_loop.as_any()));
    }
}

fn try_turn(owner: &Bound<'_, EventLoop>) -> PyResult<()> {
    let (py, event_loop) = (owner.py(), owner.get());
    event_loop.waker.clear();
    let open = event_loop.shared.engine.begin_drain();
    event_loop.waits.resolve(py)?;
    if open {
        let _present = event_loop.shared.whereabouts.threads.enter(py);
        return inside::on_this_thread(|place| run_turn(owner, place));
    }
    event_loop.close(py);
    Ok(())
}

/// Take what is due from the lane, and arrange for the next turn.
fn run_turn(owner: &Bound<'_, EventLoop>, place: &Place<'_>) -> PyResult<()> {
    let (py, event_loop) = (owner.py(), owner.get());
    let (shared, asyncio) = (&event_loop.shared, &event_loop.asyncio);
    let (version, handlers) = shared.registry.handlers();
    let mut turn = LoopTurn {
        owner,
        place,
        event_loop,
        version,
        handlers,
        context: shared.context(py),
        shared_task: None,
        spare: None,
        pause: false,
    };
    let outer = asyncio.current_task(py)?;
    if let Some(outer) = &outer {
        // It is taken from within a task, not by the loop.
        asyncio.leave(py, outer)?;
    }
    let next = turn.run();
    turn.leave_shared_task()?;
    if let Some(outer) = &outer {
        asyncio.enter(py, outer)?;
    }
    let again = || owner.getattr("take_turn");
    match next {
        Next::Again => asyncio.call(py, "call_soon", (again()?,))?,
        Next::Later => asyncio.call(py, "call_later", (PAUSE, again()?))?,
        Next::Marked => {}
        Next::Rest => shared.engine.lane(Lane::Loop).rest(),
    }
    // A handler may have closed it in its only step.
    event_loop.leave_if_over(py);
    Ok(())
}

impl LoopTurn<'_, '_> {
    fn py(&self) -> Python<'_> {
        self.owner.py()
    }

    /// Start what has been marked, then what is due.
    fn run(&mut self) -> Next {
        let more_continuations = self.take_continuations();
        match self.event_loop.marks.take_settled() {
            Some(Ok(())) => {
                while let Some(started) = self.event_loop.marks.pop() {
                    if let Some(done) = self.start(started, true) {
                        self.event_loop.end(self.py(), done);
                    }
                }
            }
            Some(Err(_)) => self.event_loop.give_back_marks(self.py()),
            // Later jobs of the lane wait for the notes, too.
            None if !self.event_loop.marks.is_empty() => return Next::Marked,
            None => {}
        }
        let more = self.take_due();
        if !self.event_loop.marks.is_empty() {
            match self.note_marks() {
                Ok(()) => return Next::Marked,
                Err(error) => {
                    self.pause |= matches!(error, Refused::Store(Error::Full));
                    self.event_loop.give_back_marks(self.py());
                }
            }
        }
        match (self.pause, more || more_continuations) {
            (true, _) => Next::Later,
            (false, true) => Next::Again,
            (false, false) => Next::Rest,
        }
    }

    /// Await what sync handlers have returned; whether there is more at once.
    fn take_continuations(&mut self) -> bool {
        let continuations = &self.event_loop.shared.continuations;
        if continuations.is_empty() {
            return false;
        }
        let clock = self.event_loop.shared.engine.clock();
        let began = clock.boot();
        for _ in 0..AT_ONCE {
            if !self.event_loop.has_room() || clock.boot() - began > AT_LENGTH {
                break;
            }
            let Some(continuation) = continuations.take() else {
                break;
            };
            if let Some(done) = self.continue_with(continuation) {
                self.event_loop.end(self.py(), done);
            }
        }
        !continuations.is_empty() && self.event_loop.has_room()
    }

    fn continue_with(&mut self, continuation: Continuation) -> Option<Done<Failure>> {
        let py = self.owner.py();
        if let Err(error) = self.provide_shared_task() {
            let event = continuation.event.clone_ref(py);
            let started = continuation.abandon(py);
            let outcome = self.event_loop.failed(py, &started, &event, &error);
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
    fn take_due(&mut self) -> bool {
        let engine = &*self.event_loop.shared.engine;
        let lane = engine.lane(Lane::Loop);
        let mut released = Released::default();
        let mut done = None;
        let began = engine.clock().boot();
        let mut count = 0;
        let more = loop {
            match lane.turn(done.take(), engine.clock()) {
                Turn::Run(mut started) => {
                    count += 1;
                    let late = started.at - began > AT_LENGTH;
                    let shared = &*self.event_loop.shared;
                    if !take_up(self.py(), shared, &mut started) {
                        done = Some(started.unhandled());
                    } else if !self.event_loop.marks.is_empty() || self.must_mark(&started) {
                        // At most once, or behind such a one: not before its note is on disk.
                        let most = 2 * self.event_loop.shared.workers;
                        if self.event_loop.marks.push(started) >= engine.most_ahead(most) {
                            break false;
                        }
                    } else {
                        done = self.start(started, false);
                    }
                    if self.pause {
                        break false;
                    }
                    if count >= AT_ONCE || late {
                        break true;
                    }
                }
                Turn::Settle => {
                    self.spare = None;
                    engine.settle_and_refill(Lane::Loop, &mut released);
                    release(self.py(), &mut released);
                }
                // On a loop they are marked after their turn.
                Turn::Mark | Turn::Rest => break false,
            }
        };
        if let Some(done) = done.take() {
            self.event_loop.end(self.py(), done);
        }
        more
    }

    /// Whether the start of a job is to be on disk before its handler is called.
    fn must_mark(&self, started: &Started<Handle>) -> bool {
        let shared = &*self.event_loop.shared;
        let once = || {
            started
                .execution
                .payload
                .spec(self.py())
                .get()
                .limits
                .at_most_once
        };
        // Of a repeat that nodes share, who changes it is to know whether it has started.
        let is_shared = || started.comes_again() && shared.backing.schema.is_some();
        shared.backing.settles_later && (once() || is_shared())
    }

    /// Note the starts of all that wait for it; the next turn comes when they are on disk.
    fn note_marks(&self) -> Result<(), Refused> {
        let event_loop = self.event_loop;
        let waker = event_loop.waker.clone();
        event_loop.marks.note(&event_loop.shared.engine, waker)
    }

    /// Have a shared task as the current one.
    fn provide_shared_task(&mut self) -> PyResult<()> {
        if self.shared_task.is_some() {
            return Ok(());
        }
        let py = self.owner.py();
        let coroutine = Bound::new(py, TaskCoroutine::new(self.owner.clone().unbind()))?;
        let asyncio = &self.event_loop.asyncio;
        let task = asyncio.make_task(py, coroutine.as_any())?;
        asyncio.enter(py, &task)?;
        self.event_loop.tasks.set_shared(Some(task.clone_ref(py)));
        let references = references(&task);
        self.shared_task = Some(SharedTask {
            task,
            coroutine: coroutine.unbind(),
            references,
        });
        Ok(())
    }

    fn leave_shared_task(&mut self) -> PyResult<Option<SharedTask>> {
        if let Some(shared) = &self.shared_task {
            self.event_loop.tasks.set_shared(None);
            self.event_loop.asyncio.leave(self.py(), &shared.task)?;
        }
        Ok(self.shared_task.take())
    }

    /// Take the first step of a handler; how it ended, unless it waits for something now.
    fn start(&mut self, mut started: Started<Handle>, noted: bool) -> Option<Done<Failure>> {
        let shared = &*self.event_loop.shared;
        if shared.registry.version() != self.version {
            (self.version, self.handlers) = shared.registry.handlers();
        }
        let py = self.owner.py();
        let payload = started.execution.payload;
        let handler = payload.callable(py).or_else(|| {
            let handler = registry::find(&self.handlers, payload.target(), Lane::Loop);
            handler.map(|handler| handler.call.clone_ref(py))
        });
        let (Some(handler), Some(context)) = (handler, &self.context) else {
            if noted {
                shared.engine.unbegin(&started);
            }
            return Some(started.unhandled());
        };
        if noted && !shared.engine.may_start(&started) {
            return Some(started.unhandled());
        }
        let context = context.clone_ref(py);
        if !noted && let Err(error) = shared.engine.begin(&started) {
            self.pause |= matches!(error, Refused::Store(Error::Full));
            return Some(started.unhandled());
        }
        if shared.backing.writes {
            started.called = shared.engine.clock().boot();
        }
        shared.engine.note_start(&started);
        match self.step(started, &handler, &context) {
            Ok(ended) => ended,
            Err((started, error)) => {
                // No task, no event, no context: not the handler's failure.
                error.write_unraisable(py, Some(self.owner.as_any()));
                self.pause = true;
                shared.engine.unbegin(&started);
                Some(started.unhandled())
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
        let py = self.owner.py();
        let spare = self.spare.take();
        let ready = self.provide_shared_task().and_then(|()| {
            Ok((
                spare::provide(py, spare, &started)?,
                call::fresh(py, context)?,
            ))
        });
        let (event, context) = match ready {
            Ok(ready) => ready,
            Err(error) => return Err((started, error)),
        };
        let kept = event.clone_ref(py);
        let ended = self.take_step(started, event.into_any(), context, |event| {
            call::call(py, handler, event)
        });
        self.spare = ended.is_some().then_some(kept);
        Ok(ended)
    }

    /// Have a task as the current one and take a handler's first step; `begin` gives its coroutine.
    fn take_step(
        &mut self,
        started: Started<Handle>,
        event: Py<PyAny>,
        context: Bound<'_, PyAny>,
        begin: impl FnOnce(&Py<PyAny>) -> PyResult<Py<PyAny>>,
    ) -> Option<Done<Failure>> {
        let py = self.owner.py();
        TOUCHED.set(false);
        let keeps = started.execution.payload.keep().is_some();
        let identity = self.event_loop.shared.identity();
        let stepped = self.place.within(identity, &event, || {
            call::within(py, &context, || {
                let coroutine = self.event_loop.asyncio.coroutine(py, begin(&event)?)?;
                Ok(match call::resume(py, &coroutine)? {
                    Step::Waits(waits_for) => Stepped::Waits(coroutine, waits_for),
                    Step::Returned(value) => Stepped::Ended(keeps.then_some(value)),
                })
            })
        });
        let waits = matches!(stepped, Ok(Stepped::Waits(..)));
        let taken = self.shared_task.take_if(|shared| {
            waits || TOUCHED.get() || references(&shared.task) != shared.references
        });
        if let Some(taken) = &taken {
            self.event_loop.tasks.set_shared(None);
            if let Err(error) = self.event_loop.asyncio.leave(py, &taken.task) {
                error.write_unraisable(py, None);
            }
            if !waits {
                self.event_loop.tasks.end_exemption(&taken.task);
            }
        }
        match (stepped, taken) {
            (Ok(Stepped::Waits(coroutine, waits_for)), Some(taken)) => {
                let running = Running {
                    coroutine,
                    first: Some(waits_for),
                    context: context.unbind(),
                    started,
                    event,
                    number: 0,
                };
                let cell = &taken.coroutine.get().running;
                self.event_loop.adopt(py, running, &taken.task, cell);
                None
            }
            (Ok(Stepped::Ended(Some(value))), _) => {
                Some(self.event_loop.returned(py, &started, &event, Ok(value)))
            }
            (Ok(_), _) => {
                let outcome = outcome::returned(py, &self.event_loop.shared, &event);
                Some(started.ended(outcome))
            }
            (Err(error), _) => {
                let outcome = self.event_loop.failed(py, &started, &event, &error);
                Some(started.ended(outcome))
            }
        }
    }
}

fn references(task: &Py<PyAny>) -> isize {
    // SAFETY: the pointer is a live reference, and the caller is attached.
    unsafe { ffi::Py_REFCNT(task.as_ptr()) }
}
