//! Calling Python so that the end of the interpreter cannot unwind through Rust.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

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

        pub(super) fn PyObject_CallObject(
            callable: *mut ffi::PyObject,
            args: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject;

        pub(super) fn PyImport_Import(name: *mut ffi::PyObject) -> *mut ffi::PyObject;

        pub(super) fn PyIter_Send(
            iterator: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            result: *mut *mut ffi::PyObject,
        ) -> ffi::PySendResult;
    }

    pub(super) type Send = unsafe extern "C-unwind" fn(
        *mut ffi::PyObject,
        *mut ffi::PyObject,
        *mut *mut ffi::PyObject,
    ) -> ffi::PySendResult;

    pub(super) type Import = unsafe extern "C-unwind" fn(*mut ffi::PyObject) -> *mut ffi::PyObject;

    pub(super) type Call =
        unsafe extern "C-unwind" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject;

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

/// Make a call that may not return, because CPython ends the thread.
#[inline(always)]
fn guarded<R>(call: impl FnOnce() -> R) -> R {
    let hang = Hang;
    let result = call();
    std::mem::forget(hang);
    result
}

/// Call `handler(event)` in a fresh copy of `context`; what it returns is dropped, unless it is to be awaited or kept.
#[inline]
pub(crate) fn handler(
    py: Python<'_>,
    handler: &Py<PyAny>,
    event: &Py<PyAny>,
    context: &Py<PyAny>,
    keeps: bool,
) -> PyResult<Option<Returned>> {
    let copy = fresh(py, context)?;
    let returned = within(py, &copy, || {
        let returned = call(py, handler, event)?;
        if returned.is_none(py) {
            return Ok(None);
        }
        to_await(py, handler, returned, keeps)
    })?;
    Ok(returned.map(|returned| match returned {
        (returned, true) => Returned::Unawaited(Unawaited {
            returned,
            context: copy.unbind(),
        }),
        (returned, false) => Returned::Value(returned),
    }))
}

/// What a handler has returned.
pub(crate) enum Returned {
    Unawaited(Unawaited),
    /// It is to be kept.
    Value(Py<PyAny>),
}

/// What a handler has returned that is to be awaited, and the context that it was called in.
pub(crate) struct Unawaited {
    pub(crate) returned: Py<PyAny>,
    pub(crate) context: Py<PyAny>,
}

/// Find out whether what a handler has returned is work that is still to be done: a coroutine, or what else
/// is awaited, is; a generator, which nothing runs, fails it. What is done is dropped unless it is kept; `true`: it is not.
#[cold]
fn to_await(
    py: Python<'_>,
    handler: &Py<PyAny>,
    returned: Py<PyAny>,
    keeps: bool,
) -> PyResult<Option<(Py<PyAny>, bool)>> {
    let object = returned.as_ptr();
    // SAFETY: the pointer is a live reference, and its type has the slots that it points to.
    let (awaited, generator) = unsafe {
        let slots = (*ffi::Py_TYPE(object)).tp_as_async;
        let awaited = !slots.is_null() && (*slots).am_await.is_some();
        let generator = ffi::PyGen_CheckExact(object) + ffi::PyAsyncGen_CheckExact(object);
        (awaited, generator != 0)
    };
    if generator {
        let (handler, returned) = (handler.bind(py).repr()?, returned.bind(py).repr()?);
        return Err(PyTypeError::new_err(format!(
            "the handler {handler} returned {returned}, which nothing runs: a handler must not yield"
        )));
    }
    // A future is under way already, on a loop of its own.
    let waits = awaited && !returned.bind(py).hasattr("_asyncio_future_blocking")?;
    Ok((waits || keeps).then_some((returned, waits)))
}

/// A fresh copy of a context.
#[inline]
pub(crate) fn fresh<'py>(py: Python<'py>, context: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the pointer is a live reference to a context.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_Copy(context.as_ptr())) }
}

/// Run something in a context.
#[inline]
pub(crate) fn within<R>(
    py: Python<'_>,
    context: &Bound<'_, PyAny>,
    run: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    // SAFETY: the pointer is a live reference to a context, which the same thread leaves again; an
    // exception that is set was taken by `run` already.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        let result = run();
        if ffi::PyContext_Exit(context.as_ptr()) < 0 {
            ffi::PyErr_Clear();
        }
        result
    }
}

/// Call something with one argument.
#[inline]
pub(crate) fn call(
    py: Python<'_>,
    callable: &Py<PyAny>,
    argument: &Py<PyAny>,
) -> PyResult<Py<PyAny>> {
    // SAFETY: all pointers are live references; the call follows the C API's contract.
    unsafe {
        let arguments = [std::ptr::null_mut(), argument.as_ptr()];
        let count = 1 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
        // PyO3 declares the same symbol as one that never unwinds, and the optimiser would believe that of
        // both: it must not see which function this is.
        let vectorcall: raw::Vectorcall = std::hint::black_box(raw::PyObject_Vectorcall);
        let result = guarded(|| {
            vectorcall(
                callable.as_ptr(),
                arguments.as_ptr().add(1),
                count,
                std::ptr::null_mut(),
            )
        });
        Bound::from_owned_ptr_or_err(py, result).map(Bound::unbind)
    }
}

/// A tuple, or what makes one.
pub(crate) trait Arguments<'py>:
    IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>
{
}

impl<'py, T> Arguments<'py> for T where
    T: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>
{
}

/// Call something that is written in Python, and is no handler.
pub(crate) fn python<'py>(
    py: Python<'py>,
    callable: &Py<PyAny>,
    arguments: impl Arguments<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = arguments.into_pyobject(py)?;
    // SAFETY: the pointers are live references; what is returned is a new one, or null on an error.
    unsafe {
        let call: raw::Call = std::hint::black_box(raw::PyObject_CallObject);
        let result = guarded(|| call(callable.as_ptr(), arguments.as_ptr()));
        Bound::from_owned_ptr_or_err(py, result)
    }
}

/// A module, imported if it is not there, or no longer.
pub(crate) fn import<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let name = PyString::intern(py, name);
    // SAFETY: the pointer is a live reference; what is returned is a new one, or null on an error.
    unsafe {
        let import: raw::Import = std::hint::black_box(raw::PyImport_Import);
        let module = guarded(|| import(name.as_ptr()));
        Bound::from_owned_ptr_or_err(py, module)
    }
}

/// How far a coroutine has come.
pub(crate) enum Step {
    /// It waits for this.
    Waits(Py<PyAny>),
    /// It has returned this.
    Returned(Py<PyAny>),
}

/// Resume a coroutine until it waits for something, or ends.
#[inline]
pub(crate) fn resume(py: Python<'_>, coroutine: &Py<PyAny>) -> PyResult<Step> {
    let mut result = std::ptr::null_mut();
    // SAFETY: the pointers are live references; what is returned is a new one, or null on an error.
    unsafe {
        let send: raw::Send = std::hint::black_box(raw::PyIter_Send);
        let sent = guarded(|| send(coroutine.as_ptr(), ffi::Py_None(), &raw mut result));
        let value = Bound::from_owned_ptr_or_err(py, result)?;
        Ok(match sent {
            ffi::PySendResult::PYGEN_NEXT => Step::Waits(value.unbind()),
            _ => Step::Returned(value.unbind()),
        })
    }
}
