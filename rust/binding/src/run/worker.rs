//! What a worker does: run the handlers of what is due.

use crate::interpreter::call::{self, Returned};
use crate::interpreter::gil::GilWait;
use crate::log;
use crate::run::continuations::Continuation;
use crate::run::inside::{self, Place};
use crate::run::outcome;
use crate::run::registry::{self, Handlers};
use crate::run::take_up::take_up;
use crate::shared::Shared;
use crate::values::event::Event;
use crate::values::failure::Failure;
use crate::values::payload::{Handle, release};
use crate::values::spare;
use duewheel_engine::engine::{Engine, Refused};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Done, Payload, Released, Started};
use duewheel_engine::timer;
use duewheel_model::outcome::Outcome;
use duewheel_model::retry::Jitter;
use duewheel_store::{Error, Ticket};
use pyo3::prelude::*;
use std::time::Duration;

/// After so many jobs a worker offers the interpreter to others: handlers written in C never
/// come by a place where CPython would do so.
const OFFER_EVERY: u32 = 512;

/// How long a worker waits for a store before it looks again.
const RETRY: Duration = Duration::from_millis(100);

/// Run what is handed over until the scheduler is closed, or there are more workers than are wanted: `true`, and it is
/// counted out.
///
/// # Errors
///
/// In a child that a handler has forked: what the handler has raised there.
pub(crate) fn work(py: Python<'_>, shared: &Shared) -> PyResult<bool> {
    let _present = shared.whereabouts.threads.enter(py);
    let mut released = Released::default();
    let ready = shared.engine.ready();
    let next = || {
        let work = timer::wait_for_work(&shared.engine);
        work.then(|| GilWait::begin(ready.early_wake.lead() > 0 && ready.has_due()))
    };
    while let Some(wait) = {
        if shared.threads.leave_if_needless(shared.workers) {
            return Ok(true);
        }
        py.detach(next)
    } {
        if wait.end(py, &ready.early_wake) {
            shared.engine.wake_timer();
        }
        let (notices, pages) = ready.arrived();
        if pages {
            take_in_pages(py, shared);
        }
        let leaves = run_ready(py, shared, &mut released)?;
        if shared.is_forked() {
            break;
        }
        report_parked(py, shared, &notices);
        if leaves {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Report targets whose jobs wait for a handler.
pub(crate) fn report_parked(py: Python<'_>, shared: &Shared, targets: &[Box<str>]) {
    for target in targets {
        if shared.registry.is_paused(target) {
            continue;
        }
        log::parked(py, target);
        shared.hooks.parked(py, shared.identity(), target);
    }
}

/// Take in what has come from the store, or report its failure.
fn take_in_pages(py: Python<'_>, shared: &Shared) {
    if let Some(failure) = shared.engine.failure() {
        log::store_failed(py, &failure);
        return shared.hooks.store_failed(py, shared.identity(), &failure);
    }
    if let Err(error) = shared.take_in_pages(py) {
        error.write_unraisable(py, None);
    }
}

/// Run what is handed over until nothing is; `true`: this worker is not wanted any more, and is counted out.
///
/// # Errors
///
/// In a child that a handler has forked: what the handler has raised there.
pub(crate) fn run_ready(
    py: Python<'_>,
    shared: &Shared,
    released: &mut Released<Handle>,
) -> PyResult<bool> {
    inside::on_this_thread(|place| run_all(py, shared, released, place))
}

fn run_all(
    py: Python<'_>,
    shared: &Shared,
    released: &mut Released<Handle>,
    place: &Place<'_>,
) -> PyResult<bool> {
    let engine = &*shared.engine;
    let ready = engine.ready();
    let (mut version, mut handlers) = shared.registry.handlers();
    let context = shared.context(py);
    let mut kept = Kept {
        place,
        jitter: None,
        spare: None,
    };
    let mut done = None;
    let (mut offered, mut marked, mut looks) = (0, false, false);
    loop {
        if std::mem::take(&mut looks) && shared.threads.leave_if_needless(shared.workers) {
            leave(py, shared, done, kept, released);
            return Ok(true);
        }
        let mut started = match ready.turn(done.take(), engine.clock()) {
            Turn::Run(started) => started,
            Turn::Settle => {
                // What it refers to is let go of no later than what the engine gives back.
                kept.spare = None;
                settle(py, shared, released, marked);
                continue;
            }
            Turn::Mark => {
                py.detach(|| engine.mark(Lane::Workers));
                continue;
            }
            Turn::Rest => return Ok(false),
        };
        marked = started.execution.marked;
        if !take_up(py, shared, &mut started) {
            done = Some(started.unhandled());
            continue;
        }
        if shared.registry.version() != version {
            (version, handlers) = shared.registry.handlers();
            looks = true;
        }
        let context = context.as_ref();
        done = match run(py, shared, &handlers, context, &mut started, &mut kept) {
            Ran::Ended(outcome) => Some(started.ended(outcome)),
            Ran::Kept(result) => Some(started.returned(result)),
            Ran::Unhandled => Some(give_back(py, engine, &started)),
            Ran::GoesOn(unawaited, event) => go_on(py, shared, started, unawaited, event),
            Ran::Forked(raised) => return raised.map(|()| false),
        };
        offered += 1;
        if offered == OFFER_EVERY {
            offered = 0;
            py.detach(|| ());
        }
    }
}

/// Give back an execution that was not to start.
fn give_back(py: Python<'_>, engine: &Engine<Handle>, started: &Started<Handle>) -> Done<Failure> {
    if started.execution.marked {
        py.detach(|| engine.unbegin(started));
    }
    started.unhandled()
}

/// Give back what has ended last, for this worker takes no other. That is decided while it has none, in which it may be
/// stuck itself.
#[cold]
fn leave(
    py: Python<'_>,
    shared: &Shared,
    done: Option<Done<Failure>>,
    kept: Kept<'_>,
    released: &mut Released<Handle>,
) {
    drop(kept);
    if let Some(done) = done {
        shared.engine.ready().end(done, shared.engine.clock());
    }
    settle(py, shared, released, false);
}

/// Settle what has ended; `marked`: the last of it was marked ahead.
fn settle(py: Python<'_>, shared: &Shared, released: &mut Released<Handle>, marked: bool) {
    let engine = &*shared.engine;
    // A start that was marked ahead has written nothing under the interpreter's lock; its end does. Given up once a job,
    // the lock would wake the worker who comes next each time, only to find it taken, or to wait for marks.
    if !marked || !engine.settle_briefly(Lane::Workers, released) {
        let settle = || engine.settle_and_refill(Lane::Workers, released);
        shared.backing.call(py, settle);
    }
    release(py, released);
}

/// What a worker keeps from one execution to the next.
struct Kept<'a> {
    place: &'a Place<'a>,
    /// Made when a retry needs it.
    jitter: Option<Jitter>,
    /// The event of a handler that has ended.
    spare: Option<Py<Event>>,
}

/// What has become of an execution that a worker ran.
enum Ran {
    Ended(Outcome<Failure>),
    /// Its handler has returned this, which is kept.
    Kept(Vec<u8>),
    /// It was not to start.
    Unhandled,
    /// Its handler has returned something that the event loop is to await.
    GoesOn(call::Unawaited, Py<Event>),
    /// This is a child that its handler has forked, where it has raised or not: the job is the parent's.
    Forked(PyResult<()>),
}

/// Leave an execution to the event loop; how it ended, where there is none.
#[cold]
fn go_on(
    py: Python<'_>,
    shared: &Shared,
    started: Started<Handle>,
    unawaited: call::Unawaited,
    event: Py<Event>,
) -> Option<Done<Failure>> {
    let event = event.into_any();
    let continuation = Continuation {
        awaited: unawaited.returned,
        context: unawaited.context,
        started,
        event: event.clone_ref(py),
    };
    let given = shared
        .continuations
        .hand_over(py, &shared.engine, continuation);
    let Err((continuation, error)) = given else {
        return None;
    };
    let started = continuation.abandon(py);
    let outcome = match error {
        None => outcome::closed(py, shared, &started, &event, None),
        Some(error) => outcome::raised(py, shared, &mut None, &started, &event, &error),
    };
    Some(started.ended(outcome))
}

/// Run one execution.
#[inline(never)] // with a frame of its own the loop around it copies less
fn run(
    py: Python<'_>,
    shared: &Shared,
    handlers: &Handlers,
    context: Option<&Py<PyAny>>,
    started: &mut Started<Handle>,
    kept: &mut Kept<'_>,
) -> Ran {
    let payload = started.execution.payload;
    let callable = payload.callable(py);
    let handler = match &callable {
        Some(_) => callable.as_ref(),
        None => {
            let handler = registry::find(handlers, payload.target(), Lane::Workers);
            handler.map(|handler| &handler.call)
        }
    };
    let (Some(handler), Some(context)) = (handler, context) else {
        return Ran::Unhandled;
    };
    if !begin(py, shared, started) {
        return Ran::Unhandled;
    }
    if shared.backing.writes {
        started.called = shared.engine.clock().boot();
    }
    let started = &*started;
    shared.engine.note_start(started);
    let event = match spare::provide(py, kept.spare.take(), started) {
        Ok(event) => event,
        Err(error) => {
            let outcome =
                outcome::raised(py, shared, &mut kept.jitter, started, &py.None(), &error);
            return Ran::Ended(outcome);
        }
    };
    let (keeps, of) = (payload.keep().is_some(), event.as_any());
    let result = kept.place.within(shared.identity(), of, || {
        call::handler(py, handler, of, context, keeps)
    });
    if shared.is_forked() {
        return Ran::Forked(result.map(drop));
    }
    let outcome = match result {
        Ok(Some(Returned::Unawaited(unawaited))) => return Ran::GoesOn(unawaited, event),
        Ok(value) if keeps => return ran_kept(py, shared, started, event, kept, value),
        Ok(_) => outcome::returned(py, shared, event.as_any()),
        Err(error) => outcome::raised(
            py,
            shared,
            &mut kept.jitter,
            started,
            event.as_any(),
            &error,
        ),
    };
    kept.spare = Some(event);
    Ran::Ended(outcome)
}

/// What has become of an execution whose handler has returned what is to be kept.
#[cold]
fn ran_kept(
    py: Python<'_>,
    shared: &Shared,
    started: &Started<Handle>,
    event: Py<Event>,
    kept: &mut Kept<'_>,
    value: Option<Returned>,
) -> Ran {
    let value = match &value {
        Some(Returned::Value(value)) => Some(value.bind(py)),
        _ => None,
    };
    let (jitter, of) = (&mut kept.jitter, event.as_any());
    let returned = outcome::returned_kept(py, shared, jitter, started, of, value);
    kept.spare = Some(event);
    match returned {
        Ok(result) => Ran::Kept(result),
        Err(outcome) => Ran::Ended(outcome),
    }
}

/// Note the start in the store; `false`: it must not start.
#[inline]
fn begin(py: Python<'_>, shared: &Shared, started: &Started<Handle>) -> bool {
    match shared.engine.begin(started) {
        Ok(None) => true,
        begun => wait_begun(py, shared, started, begun),
    }
}

fn wait_begun(
    py: Python<'_>,
    shared: &Shared,
    started: &Started<Handle>,
    mut begun: Result<Option<Ticket>, Refused>,
) -> bool {
    let ticket = loop {
        match begun {
            Ok(None) => return true,
            Ok(Some(ticket)) => break ticket,
            // Space may come back, and until then nothing that is noted can start.
            Err(Refused::Store(Error::Full)) if !shared.engine.is_closed() => {
                py.detach(|| std::thread::sleep(RETRY));
                begun = shared.engine.begin(started);
            }
            Err(_) => return false,
        }
    };
    loop {
        match py.detach(|| shared.engine.wait_begun(started, ticket, RETRY)) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(_) => return false,
        }
    }
}
