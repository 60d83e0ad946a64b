//! What the engine carries for Python: two pointers a job, each holding a reference.

use crate::deferred;
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
/// [`Handle::new`] is freed once, by [`release`]. In between both objects are alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    /// A `bytes`; `None` for `b""`.
    data: Option<NonNull<ffi::PyObject>>,
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
                data: self.bytes(),
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
    pub(crate) fn new(data: Option<Py<PyBytes>>, spec: Py<Spec>) -> Self {
        let data = data.and_then(|data| NonNull::new(data.into_ptr()));
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

    /// The data, for as long as the handle is not freed: no longer than the call that it is for.
    fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: the handle holds a reference to a `bytes`, whose content never changes or moves;
        // reading it asks nothing of the interpreter.
        self.data.map_or(&[], |data| unsafe {
            let start = ffi::PyBytes_AS_STRING(data.as_ptr()).cast::<u8>();
            let length = ffi::Py_SIZE(data.as_ptr()) as usize;
            std::slice::from_raw_parts(start, length)
        })
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
        // SAFETY: the handle holds a reference to a `bytes`, and the caller is attached.
        self.data.map(|data| unsafe {
            Bound::from_borrowed_ptr(py, data.as_ptr())
                .cast_into_unchecked()
                .unbind()
        })
    }

    #[inline]
    pub(crate) fn free(self, _py: Python<'_>) {
        // SAFETY: called once a handle, attached.
        unsafe {
            if let Some(data) = self.data {
                ffi::Py_DECREF(data.as_ptr());
            }
            ffi::Py_DECREF(self.spec.as_ptr());
        }
    }
}

/// Free what the engine no longer keeps. Never called under one of its locks: freeing an object
/// may run Python.
#[inline]
pub(crate) fn release(py: Python<'_>, released: &mut Released<Handle>) {
    let gentle = deferred::is_gentle();
    for (at, payload) in released.payloads.drain(..).enumerate() {
        payload.free(py);
        if gentle && at % 2_048 == 0 {
            py.detach(|| ());
        }
    }
    released.failures.clear();
}
