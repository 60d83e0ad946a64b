//! Events of executions that start: in the object of an earlier one, if nobody else refers to that any more.
//!
//! An object costs as much as the call of a handler that does nothing.

use crate::values::event::Event;
use crate::values::payload::Handle;
use duewheel_engine::jobs::record::Started;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr;

/// The event of an execution that has started; `spare` is that of a handler that has ended.
#[inline]
pub(crate) fn provide(
    py: Python<'_>,
    spare: Option<Py<Event>>,
    started: &Started<Handle>,
) -> PyResult<Py<Event>> {
    let event = Event::started(py, started);
    match spare {
        Some(spare) if is_unshared(&spare) => {
            replace(py, &spare, event);
            Ok(spare)
        }
        _ => Py::new(py, event),
    }
}

/// Whether nobody else refers to it. There are no weak references to events.
#[inline]
fn is_unshared(event: &Py<Event>) -> bool {
    // SAFETY: the pointer is a live reference, and the caller is attached.
    unsafe { ffi::Py_REFCNT(event.as_ptr()) == 1 }
}

/// Make an event that is unshared another one.
#[inline]
fn replace(py: Python<'_>, spare: &Py<Event>, event: Event) {
    let object = spare.as_ptr();
    let offset = ptr::from_ref(spare.get()).addr() - object.addr();
    // SAFETY: the content is at this offset of the object. Nobody else refers to the object, and nothing
    // borrows from it: the caller has looked, and no Python code has run since.
    let old = unsafe { object.byte_add(offset).cast::<Event>().replace(event) };
    // What this frees may run code that finds the object: it is whole again.
    let job = old.into_job();
    job.spec.drop_ref(py);
    if let Some(data) = job.data {
        data.drop_ref(py);
    }
}
