//! What the engine carries for Python: two pointers a job, its data and its specification.

use crate::data::Data;
use crate::options::Spec;
use duewheel_core::record::{Parts, Payload, Released};
use duewheel_core::store::Options;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// A job's data and specification, as plain pointers that the engine may copy.
///
/// The engine keeps a job or gives its handle back in a [`Released`]; each handle that is made by
/// [`Handle::new`] is freed once, by [`release`]. In between both are alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    data: Data,
    spec: NonNull<ffi::PyObject>,
}

// SAFETY: the pointers are only followed attached to the interpreter, but for `spec`, whose
// content is immutable, `Sync`, and alive as long as the engine keeps the job.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Payload for Handle {
    type Failure = crate::failure::Failure;

    #[inline]
    fn target(self) -> u32 {
        self.with_spec(|spec| spec.target)
    }

    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        self.with_spec(|spec| {
            let limits = &spec.limits;
            look(Parts {
                target: &spec.text,
                data: self.data.bytes(),
                options: Options {
                    retry_limit: limits.retry_limit,
                    age_limit: limits.age_limit,
                    min_backoff: limits.min_backoff,
                    max_backoff: limits.max_backoff,
                    at_most_once: limits.at_most_once,
                },
            })
        })
    }

    fn text(failure: &Self::Failure) -> String {
        failure.kept_text()
    }
}

impl Handle {
    #[inline]
    pub(crate) fn new(data: impl Into<Data>, spec: Py<Spec>) -> Self {
        let data = data.into();
        // A `Py` is never null.
        let spec = NonNull::new(spec.into_ptr()).expect("a reference to an object");
        Handle { data, spec }
    }

    #[inline]
    fn with_spec<R>(self, look: impl FnOnce(&Spec) -> R) -> R {
        // SAFETY: the handle holds a reference to a `Spec`; `ManuallyDrop` leaves it as it is.
        let spec = ManuallyDrop::new(unsafe {
            std::mem::transmute::<NonNull<ffi::PyObject>, Py<Spec>>(self.spec)
        });
        look(spec.get())
    }

    #[inline]
    pub(crate) fn spec(self, py: Python<'_>) -> Py<Spec> {
        // SAFETY: the handle holds a reference to a `Spec`, and the caller is attached.
        unsafe {
            Bound::from_borrowed_ptr(py, self.spec.as_ptr())
                .cast_into_unchecked()
                .unbind()
        }
    }

    #[inline]
    pub(crate) fn data(self, py: Python<'_>) -> Option<Py<PyBytes>> {
        self.data.to_python(py)
    }

    #[inline]
    pub(crate) fn free(self, py: Python<'_>) {
        self.data.free(py);
        // SAFETY: called once a handle, attached.
        unsafe { ffi::Py_DECREF(self.spec.as_ptr()) };
    }
}

/// Free what the engine no longer keeps. Never called under one of its locks: freeing an object
/// may run Python.
#[inline]
pub(crate) fn release(py: Python<'_>, released: &mut Released<Handle>) {
    for payload in released.payloads.drain(..) {
        payload.free(py);
    }
    released.failures.clear();
}

/// The same, giving up the interpreter on the way.
pub(crate) fn release_gently(py: Python<'_>, released: &mut Released<Handle>) {
    for (at, payload) in released.payloads.drain(..).enumerate() {
        payload.free(py);
        if at % 2_048 == 0 {
            py.detach(|| ());
        }
    }
    release(py, released);
}
