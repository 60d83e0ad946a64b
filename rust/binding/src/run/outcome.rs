//! How an execution ended, by what its handler raised; what becomes of the job, the model decides.

use crate::interpreter::names::{Name, names};
use crate::log;
use crate::run::interrupt::is_interrupted;
use crate::shared::Shared;
use crate::values::convert;
use crate::values::failure::{Failure, carry_traceback};
use crate::values::payload::Handle;
use duewheel_engine::jobs::record::{Payload, Started};
use duewheel_model::outcome::{Cause, Ended, Outcome, Reason, after};
use duewheel_model::retry::Jitter;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// What becomes of an execution whose handler raised; `jitter` is made when a retry needs it.
pub(crate) fn raised(
    py: Python<'_>,
    shared: &Shared,
    jitter: &mut Option<Jitter>,
    started: &Started<Handle>,
    event: &Py<PyAny>,
    error: &PyErr,
) -> Outcome<Failure> {
    let execution = &started.execution;
    let options = execution.payload.spec(py).get().limits;
    let draw = || {
        let jitter = jitter.get_or_insert_with(|| Jitter::new(shared.seed));
        let attempt = execution.progress.attempt;
        execution
            .id
            .with_str(|id| jitter.draw(id.as_bytes(), attempt))
    };
    let now = shared.engine.clock().boot();
    let how = if is_interrupted(py, event) {
        Ended::Discarded
    } else {
        ended(py, error)
    };
    let outcome = after(&options, started.progress(), how, now, draw);
    match outcome {
        Outcome::Again {
            cause: Cause::Retry,
            ..
        } => report(py, shared, event, error, false),
        Outcome::Dead {
            reason: Reason::Failed,
            ..
        } => report(py, shared, event, error, true),
        _ => {}
    }
    let outcome = outcome.with_failure(|reason| match reason {
        Reason::Discarded if ended(py, error) == Ended::Discarded => {
            Failure::bounded(py, text_of_discard(py, error))
        }
        _ => {
            carry_traceback(py, error);
            let failure = shared.backing.failure(py, error);
            match execution.payload.keep() {
                Some(_) => failure.rendered(py),
                None => failure,
            }
        }
    });
    tell(py, shared, event, &outcome, Some(error));
    let outcome = with_heir(py, shared, started, outcome);
    match outcome {
        Outcome::Dead { reason, failure } if started.comes_again() && !shared.backing.writes => {
            let failure = failure.keep(execution.payload.again(py));
            Outcome::Dead { reason, failure }
        }
        outcome => outcome,
    }
}

/// What becomes of an execution whose handler returned.
#[inline]
pub(crate) fn returned(py: Python<'_>, shared: &Shared, event: &Py<PyAny>) -> Outcome<Failure> {
    let of = (shared.identity(), event);
    shared.hooks.ended(py, of, "succeeded", None);
    Outcome::Done
}

/// What a handler has returned whose job keeps it, or what becomes of its execution: what it returned cannot be kept.
#[cold]
pub(crate) fn returned_kept(
    py: Python<'_>,
    shared: &Shared,
    jitter: &mut Option<Jitter>,
    started: &Started<Handle>,
    event: &Py<PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> Result<Vec<u8>, Outcome<Failure>> {
    match result_bytes(py, shared, started, value) {
        Ok(result) => {
            let _ = returned(py, shared, event);
            Ok(result)
        }
        Err(error) => Err(raised(py, shared, jitter, started, event, &error)),
    }
}

fn result_bytes(
    py: Python<'_>,
    shared: &Shared,
    started: &Started<Handle>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<u8>> {
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(Vec::new());
    };
    let data = convert::data(value).map_err(|_| {
        let spec = started.execution.payload.spec(py);
        let target = &spec.get().text;
        PyTypeError::new_err(format!(
            "the handler of {target:?} returned a {}, and its job was scheduled with keep=: it must return bytes-like or None, \
             such as json.dumps(value).encode()",
            value.get_type().name().map_or_else(|_| String::new(), |name| name.to_string()),
        ))
    })?;
    shared.check_size(py, data.as_ref(), "what a handler returns")?;
    Ok(data.map_or_else(Vec::new, |data| data.as_bytes(py).to_vec()))
}

/// What becomes of an execution that closing has cut short.
pub(crate) fn closed(
    py: Python<'_>,
    shared: &Shared,
    started: &Started<Handle>,
    event: &Py<PyAny>,
    error: Option<&PyErr>,
) -> Outcome<Failure> {
    let options = started.execution.payload.spec(py).get().limits;
    let now = shared.engine.clock().boot();
    let outcome = after(&options, started.progress(), Ended::Closed, now, || 0);
    let text = "the scheduler was closed while it ran";
    let outcome = outcome.with_failure(|_| Failure::text(py, text));
    if matches!(outcome, Outcome::Dead { .. }) {
        // Else it comes again as the same attempt, which has not ended.
        tell(py, shared, event, &outcome, error);
    }
    with_heir(py, shared, started, outcome)
}

/// Have a death leave behind what the handler of its target is registered with.
fn with_heir(
    py: Python<'_>,
    shared: &Shared,
    started: &Started<Handle>,
    outcome: Outcome<Failure>,
) -> Outcome<Failure> {
    let Outcome::Dead { reason, failure } = outcome else {
        return outcome;
    };
    let payload = started.execution.payload;
    let spec = shared.registry.dead_of(payload.target());
    let spec = spec.and_then(|target| {
        let found = shared.specs.plain(PyString::new(py, &target).as_any());
        found
            .inspect_err(|error| error.clone_ref(py).write_unraisable(py, None))
            .ok()
    });
    let heir = spec.map(|spec| payload.for_another(py, spec));
    let failure = failure.leave(heir);
    Outcome::Dead { reason, failure }
}

/// Tell plugins what has become of an attempt that has not succeeded.
fn tell(
    py: Python<'_>,
    shared: &Shared,
    event: &Py<PyAny>,
    outcome: &Outcome<Failure>,
    error: Option<&PyErr>,
) {
    let state = match outcome {
        Outcome::Done => "succeeded",
        Outcome::Again {
            cause: Cause::Retry,
            ..
        } => "retry",
        Outcome::Again { .. } => "snoozed",
        Outcome::Dead { .. } => "dead",
    };
    let of = (shared.identity(), event);
    shared.hooks.ended(py, of, state, error);
    if let Outcome::Dead { reason, failure } = outcome {
        let died = shared.engine.clock().wall();
        shared.hooks.dead(py, of, (*reason, failure), died);
    }
}

/// How an execution ended whose handler raised this.
fn ended(py: Python<'_>, error: &PyErr) -> Ended {
    let is =
        |class: Name| names(py).is_ok_and(|names| error.matches(py, class(names)).unwrap_or(false));
    if is(|names| &names.snooze) {
        let delay = error.value(py).getattr("_delay_ns");
        let delay = delay.and_then(|delay| delay.extract());
        delay.map_or(Ended::Failed, Ended::Snoozed)
    } else if is(|names| &names.discard) {
        Ended::Discarded
    } else if is(|names| &names.unreadable_data_error) {
        Ended::Unreadable
    } else {
        Ended::Failed
    }
}

fn text_of_discard(py: Python<'_>, error: &PyErr) -> String {
    let reason = error.value(py).getattr("reason");
    let reason = reason.and_then(|reason| reason.str());
    reason.map_or_else(|_| String::new(), |reason| reason.to_string_lossy().into())
}

/// Tell of a failure: the logger, and a test that raises what its handlers have raised.
fn report(py: Python<'_>, shared: &Shared, event: &Py<PyAny>, error: &PyErr, dead: bool) {
    log::failed(py, event, error, dead);
    if let Some(raised) = &shared.raised {
        carry_traceback(py, error);
        let error = error.value(py).clone().unbind().into_any();
        raised.lock().push(error);
    }
}
