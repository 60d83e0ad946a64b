//! What the engine carries for Python, by itself: two plain pointers a job.

use crate::values::data::Data;
use crate::values::options::Spec;
use duewheel_store::Carried;
use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// A job's data and specification, as plain pointers that the engine may copy.
///
/// It is made as a [`Fresh`](super::payload::Fresh) one, which frees it unless the engine takes it. The engine gives it back in a
/// `Released`, or it is a fresh one again. In between the objects are alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    pub(super) data: Data,
    spec: NonNull<ffi::PyObject>,
}

// SAFETY: the pointers are only followed attached to the interpreter, but for `spec`, whose
// content is immutable, `Sync`, and alive as long as the engine has the job.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    #[inline]
    pub(crate) fn new(data: impl Into<Data>, spec: Py<Spec>) -> Self {
        let data = data.into();
        // A `Py` is never null.
        let spec = NonNull::new(spec.into_ptr()).expect("a reference to an object");
        Handle { data, spec }
    }

    #[inline]
    pub(super) fn with_spec<R>(self, look: impl FnOnce(&Spec) -> R) -> R {
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
    pub(crate) fn data(self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.data.to_python(py)
    }

    /// What the job carries beside its data.
    #[inline]
    pub(crate) fn carried(self) -> Option<Arc<Carried>> {
        self.data.carried().0.cloned()
    }

    /// Another handle of the same.
    pub(crate) fn again(self, py: Python<'_>) -> Self {
        Handle::new(self.data.again(py), self.spec(py))
    }

    /// A handle of the same data, for something else.
    pub(crate) fn for_another(self, py: Python<'_>, spec: Py<Spec>) -> Self {
        let (carried, data) = self.data.carried();
        let Some(carried) = carried.filter(|carried| carried.keep.is_some()) else {
            return Handle::new(self.data.again(py), spec);
        };
        // Nobody has asked for how that one ends.
        let carried = Carried {
            keep: None,
            ..carried.as_ref().clone()
        };
        let data = data.again(py);
        let data = match carried.if_any() {
            Some(carried) => data.carrying(Arc::new(carried)),
            None => data,
        };
        Handle::new(data, spec)
    }

    /// What is called in place of a target's handler.
    #[inline]
    pub(crate) fn callable(self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.data.callable(py)
    }

    /// Visit what a timer refers to.
    pub(crate) fn traverse(self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.data.traverse(visit)
    }

    #[inline]
    pub(super) fn free(self, py: Python<'_>) {
        self.data.free(py);
        // SAFETY: called once a handle, attached.
        unsafe { ffi::Py_DECREF(self.spec.as_ptr()) };
    }
}
