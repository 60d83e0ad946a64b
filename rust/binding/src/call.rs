//! Calling a handler so that the end of the interpreter cannot unwind through Rust.

use pyo3::ffi;
use pyo3::prelude::*;

mod raw {
    use super::ffi;
    // CPython before 3.14 ends a thread that wants the interpreter while it finalizes by
    // `pthread_exit`, a forced unwind. "C" functions abort on it, "C-unwind" ones let it pass.
    #[allow(clashing_extern_declarations)]
    unsafe extern "C-unwind" {
        pub(super) fn PyObject_Vectorcall(
            callable: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            nargsf: usize,
            kwnames: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject;
    }

    pub(super) type Vectorcall = unsafe extern "C-unwind" fn(
        *mut ffi::PyObject,
        *const *mut ffi::PyObject,
        usize,
        *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// Stops the thread for good when it is dropped: the process is ending.
struct Hang;

impl Drop for Hang {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Call `handler(event)` in a fresh copy of `context`.
#[inline]
pub(crate) fn handler(
    py: Python<'_>,
    handler: &Py<PyAny>,
    event: &Py<PyAny>,
    context: &Py<PyAny>,
) -> PyResult<()> {
    // SAFETY: all pointers are live references; the calls follow the C API's contract, and each
    // context that was entered is left again by the same thread.
    unsafe {
        let copy = Bound::from_owned_ptr_or_err(py, ffi::PyContext_Copy(context.as_ptr()))?;
        if ffi::PyContext_Enter(copy.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        let arguments = [std::ptr::null_mut(), event.as_ptr()];
        let count = 1 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
        let hang = Hang;
        // The same symbol is declared elsewhere as one that never unwinds, and the optimiser would
        // believe that of both: it must not see which function this is.
        let vectorcall: raw::Vectorcall = std::hint::black_box(raw::PyObject_Vectorcall);
        let result = vectorcall(
            handler.as_ptr(),
            arguments.as_ptr().add(1),
            count,
            std::ptr::null_mut(),
        );
        std::mem::forget(hang);
        let error = result.is_null().then(|| PyErr::fetch(py));
        if ffi::PyContext_Exit(copy.as_ptr()) < 0 {
            ffi::PyErr_Clear();
        }
        match error {
            Some(error) => Err(error),
            None => {
                ffi::Py_DECREF(result);
                Ok(())
            }
        }
    }
}
