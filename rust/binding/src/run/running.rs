//! What runs now: on threads, and on the event loop.

use crate::interpreter::call;
use crate::shared::Shared;
use crate::values::event::Event;
use pyo3::prelude::*;
use std::collections::HashSet;
use std::ffi::c_ulong;

/// An event, when its handler was called in unix nanoseconds, the identifier of its thread, and whether it was asked to end.
pub(crate) type InHandler = (Py<PyAny>, i64, c_ulong, bool);

/// Whether no other thread enters or leaves a handler meanwhile: this one has the interpreter, if it is one for all.
fn stops_others(py: Python<'_>) -> bool {
    let asked = call::import(py, "sys").and_then(|sys| sys.getattr("_is_gil_enabled")?.call0());
    asked.is_ok_and(|answer| answer.is_truthy().unwrap_or(false)) || py.version_info() < (3, 13)
}

/// What runs of a scheduler, in no order; without the interpreter's lock only what waits on the event loop.
pub(crate) fn found(py: Python<'_>, shared: &Shared) -> Vec<InHandler> {
    let mut events = Vec::new();
    if stops_others(py) {
        events = shared.whereabouts.threads.events(py, shared.identity());
    }
    if let Some((tasks, thread)) = shared.whereabouts.tasks() {
        events.extend(tasks.events(py).into_iter().map(|event| (event, thread)));
    }
    let waiting = shared.continuations.events(py);
    events.extend(waiting.into_iter().map(|event| (event, 0)));
    let mut found: Vec<InHandler> = Vec::with_capacity(events.len());
    let mut known = HashSet::new();
    for (event, thread) in events {
        // The next step of one that has waited is on a thread, too.
        if !known.insert(event.as_ptr()) {
            continue;
        }
        if let Ok(of) = event.bind(py).cast::<Event>() {
            let (started, expired) = (of.get().started_at(), of.get().is_expired());
            found.push((event, started, thread, expired));
        }
    }
    found
}
