//! Keywords that a hot call does not have: the error lists those that it has.
//!
//! A method that takes `**unknown` could say so itself, but CPython then makes a tuple and a
//! dictionary for every call: some 250 instructions. So the method has its keywords alone, and the
//! error that PyO3 raises for another one is replaced on its way out. So it is with keywords that few calls have, with which the
//! call is another one, written in Python: those without them pay nothing for them.

use crate::calls::plain::{self, Given, Returned};
use crate::interpreter::call::python;
use crate::interpreter::names::names as python_names;
use crate::values::convert;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi::{self, PyCFunctionFastWithKeywords};
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// A method, what it is called in errors, and what it is where it is plain.
struct Call {
    name: &'static str,
    called: &'static str,
    plain: fn(Given<'_, '_>) -> Option<Returned>,
    /// The keywords that few calls have: those that have one are made in Python.
    rare: &'static [&'static str],
}

/// Those of `at` and `in_`.
const RARE: &[&str] = &["connection", "headers", "keep", "key", "on_conflict"];

const CALLS: [Call; 4] = [
    Call {
        name: "at",
        called: "Scheduler.at",
        plain: plain::at,
        rare: RARE,
    },
    Call {
        name: "in_",
        called: "Scheduler.in_",
        plain: plain::in_,
        rare: RARE,
    },
    Call {
        name: "timer",
        called: "Scheduler.timer",
        plain: plain::timer,
        rare: &[],
    },
    Call {
        name: "cancel",
        called: "Scheduler.cancel",
        plain: plain::cancel,
        rare: &["connection"],
    },
];

/// Their functions, as PyO3 has made them.
static FUNCTIONS: [OnceLock<PyCFunctionFastWithKeywords>; 4] = [const { OnceLock::new() }; 4];

/// Have the methods of the class list their keywords; called once, before anybody has the class.
pub(crate) fn explain(class: &Bound<'_, PyType>) -> PyResult<()> {
    explain_one::<0>(class)?;
    explain_one::<1>(class)?;
    explain_one::<2>(class)?;
    explain_one::<3>(class)
}

fn explain_one<const CALL: usize>(class: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    let name = CALLS[CALL].name;
    let method = class.getattr(name)?;
    let flags = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    // SAFETY: it is checked to be a method descriptor, whose definition is never freed; the flags say which
    // function of the union it has. The new definition lives for ever, as CPython wants it.
    let method = unsafe {
        if ffi::Py_TYPE(method.as_ptr()) != &raw mut ffi::PyMethodDescr_Type {
            return Err(PyTypeError::new_err("a method of the extension is none"));
        }
        let descriptor = method.as_ptr().cast::<ffi::PyMethodDescrObject>();
        let mut definition = *(*descriptor).d_method;
        if definition.ml_flags != flags {
            return Err(PyTypeError::new_err("a method is not called the fast way"));
        }
        let function = definition.ml_meth.PyCFunctionFastWithKeywords;
        // A second interpreter that imports the module finds the same.
        let _ = FUNCTIONS[CALL].set(function);
        definition.ml_meth.PyCFunctionFastWithKeywords = explained::<CALL>;
        let definition = Box::leak(Box::new(definition));
        let class = class.as_ptr().cast::<ffi::PyTypeObject>();
        Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class, definition))?
    };
    class.setattr(name, method)
}

unsafe extern "C" fn explained<const CALL: usize>(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    if names.is_null() && count > 0 {
        // SAFETY: CPython calls methods attached, with so many arguments that it keeps meanwhile; a `Bound` is a
        // pointer in memory, and is not dropped behind a reference.
        let given = unsafe {
            let arguments = std::slice::from_raw_parts(arguments.cast(), count as usize);
            let object = Bound::ref_from_ptr(Python::assume_attached(), &object);
            (object, arguments)
        };
        // No panic may pass through CPython.
        match catch_unwind(AssertUnwindSafe(|| (CALLS[CALL].plain)(given))) {
            Ok(Some(returned)) => return returned,
            Ok(None) => {}
            Err(_) => return panicked(given.0.py(), CALLS[CALL].called),
        }
    }
    let Some(function) = FUNCTIONS[CALL].get() else {
        return std::ptr::null_mut(); // never: it was set before this one could be called
    };
    // SAFETY: CPython has called this with what that function takes.
    let result = unsafe { function(object, arguments, count, names) };
    if result.is_null() && !names.is_null() {
        // SAFETY: CPython calls methods attached, with a tuple of names, and with values for them after the arguments
        // that have none; it keeps all of them meanwhile. A `Bound` is a pointer in memory.
        let (object, given, names) = unsafe {
            let names = Bound::from_borrowed_ptr(Python::assume_attached(), names);
            let names: Bound<'_, PyTuple> = names.cast_into_unchecked();
            let given = count as usize + names.len();
            let given = std::slice::from_raw_parts(arguments.cast(), given);
            let object = Bound::ref_from_ptr(Python::assume_attached(), &object);
            (object, given, names)
        };
        let call = &CALLS[CALL];
        let is_rare = |name: &Bound<'_, PyAny>| {
            let name = name.cast::<PyString>().ok();
            name.is_some_and(|name| call.rare.contains(&&*name.to_string_lossy()))
        };
        if names.iter().any(|name| is_rare(&name)) {
            return with_rare(call, object, given.split_at(count as usize), &names);
        }
        replace_error(call.called, &names);
    }
    result
}

/// Make a call with a keyword that few have: the method knew no such one, and has done nothing.
#[cold]
fn with_rare(
    call: &Call,
    object: &Bound<'_, PyAny>,
    (given, values): (&[Bound<'_, PyAny>], &[Bound<'_, PyAny>]),
    names: &Bound<'_, PyTuple>,
) -> Returned {
    let py = object.py();
    drop(PyErr::take(py));
    let made = || {
        let keywords = PyDict::new(py);
        for (name, value) in names.iter().zip(values) {
            keywords.set_item(name, value)?;
        }
        let given = PyTuple::new(py, given)?;
        let function = &python_names(py)?.call_with_rare;
        python(py, function, (call.name, object, given, keywords))
    };
    match made() {
        Ok(returned) => returned.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

#[cold]
fn panicked(py: Python<'_>, call: &str) -> Returned {
    PanicException::new_err(format!("{call} has panicked")).restore(py);
    std::ptr::null_mut()
}

/// Replace the error of a call that was given a keyword that it does not have.
#[cold]
fn replace_error(call: &str, names: &Bound<'_, PyTuple>) {
    let py = names.py();
    let Some(error) = PyErr::take(py) else { return };
    let unknown = convert::keywords(py, call).ok().and_then(|known| {
        names
            .iter()
            .find(|name| !known.contains(name).unwrap_or(true))
    });
    match unknown {
        Some(name) if error.is_instance_of::<PyTypeError>(py) => {
            convert::unknown_keyword(&name, call).restore(py);
        }
        _ => error.restore(py),
    }
}
