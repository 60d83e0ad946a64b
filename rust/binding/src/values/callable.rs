//! Whether a callable makes a coroutine, told from its code where it is a plain function.

use crate::interpreter::call;
use crate::interpreter::names::names;
use duewheel_engine::handover::queue::Lane;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

// It is CPython's, and not in PyO3.
unsafe extern "C" {
    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// The lane on which something is called; `None`: it is not callable.
#[inline]
pub(crate) fn lane(callable: &Bound<'_, PyAny>) -> PyResult<Option<Lane>> {
    let is_async = match is_coroutine_function(callable) {
        Some(is_async) => is_async,
        None if !callable.is_callable() => return Ok(None),
        None => {
            let py = callable.py();
            let is_async = &names(py)?.is_async;
            call::python(py, is_async, (callable.clone(),))?.is_truthy()?
        }
    };
    Ok(Some(if is_async { Lane::Loop } else { Lane::Workers }))
}

/// The same of functions without attributes, which may mark one, of their methods, and of builtin ones;
/// `None`: it is none of these.
#[inline]
fn is_coroutine_function(callable: &Bound<'_, PyAny>) -> Option<bool> {
    static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = callable.py();
    let method = METHOD.get_or_try_init(py, || {
        let method = call::import(py, "types")?.getattr("MethodType")?;
        PyResult::Ok(method.unbind())
    });
    let (flags_at, method) = (flags_offset()?, method.ok()?);
    // SAFETY: the types are checked before their fields are read; the references are borrowed from
    // `callable`, which is alive. A code object never changes, and CPython itself says where its flags are.
    unsafe {
        let mut function = callable.as_ptr();
        if ffi::Py_TYPE(function).cast() == method.as_ptr() {
            function = PyMethod_Function(function);
        }
        if ffi::PyFunction_Check(function) == 0 {
            return (ffi::PyCFunction_CheckExact(function) != 0).then_some(false);
        }
        if !(*function.cast::<ffi::PyFunctionObject>())
            .func_dict
            .is_null()
        {
            return None;
        }
        let code = ffi::PyFunction_GetCode(function);
        let flags = code.byte_add(flags_at).cast::<c_int>().read();
        Some(flags & ffi::CO_COROUTINE != 0)
    }
}

/// Where the flags of a code object are, in bytes, as its type says.
#[inline]
fn flags_offset() -> Option<usize> {
    static OFFSET: OnceLock<Option<usize>> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        // SAFETY: the members of a static type end with one that has no name.
        unsafe {
            let mut member = ffi::PyCode_Type.tp_members;
            while !member.is_null() && !(*member).name.is_null() {
                if CStr::from_ptr((*member).name) == c"co_flags" {
                    return usize::try_from((*member).offset).ok();
                }
                member = member.add(1);
            }
            None
        }
    })
}
