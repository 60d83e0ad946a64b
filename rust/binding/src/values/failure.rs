//! A failure: the text of an exception, or what that is made from, never the exception.

use crate::interpreter::call;
use crate::interpreter::names::names;
use crate::values::handle::Handle;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Above so many bytes a text may be too long: `LIMIT` of `duewheel._failure`.
const LIMIT: usize = 64 * 1024;

/// A failure as `dead()` shows it.
///
/// The text of a traceback takes tens of microseconds to make, and most are never read. The `capture` of
/// `duewheel._failure` collects code and positions instead, which refer to no local variable, and `render` makes
/// the text of them.
///
/// A pointer, for the end of each execution has room for one, and is copied several times.
#[derive(Debug)]
pub(crate) struct Failure(Box<Content>);

#[derive(Debug)]
struct Content {
    /// A `str`, or what `capture` has made.
    cause: Py<PyAny>,
    /// The text, made at once for a store.
    text: Option<String>,
    /// What an occurrence is listed as dead with, while its repeat goes on with the payload that it had.
    kept: Option<Handle>,
    /// What the death leaves behind.
    heir: Option<Handle>,
}

impl Failure {
    fn new(cause: Py<PyAny>, text: Option<String>) -> Self {
        Failure(Box::new(Content {
            cause,
            text,
            kept: None,
            heir: None,
        }))
    }

    /// The failure of an exception.
    pub(crate) fn capture(py: Python<'_>, error: &PyErr) -> Self {
        let captured =
            names(py).and_then(|names| call::python(py, &names.capture, (error.value(py),)));
        match captured {
            Ok(captured) => Failure::new(captured.unbind(), None),
            // An exception that cannot even be looked at: its type says something still.
            Err(_) => Failure::bounded(py, error.get_type(py).to_string()),
        }
    }

    /// A text of any length: head and tail of a long one.
    pub(crate) fn bounded(py: Python<'_>, text: String) -> Self {
        if text.len() <= LIMIT {
            return Failure::text(py, &text);
        }
        let cut = names(py).and_then(|names| {
            let cut = call::python(py, &names.bounded, (text,))?;
            Ok(cut.cast::<PyString>()?.to_string_lossy().into_owned())
        });
        // A text that cannot be cut is left out: memory and rows have no room for any length.
        Failure::text(py, &cut.unwrap_or_default())
    }

    /// A text that is short enough.
    pub(crate) fn text(py: Python<'_>, text: &str) -> Self {
        let cause = PyString::new(py, text).unbind().into_any();
        Failure::new(cause, Some(text.to_owned()))
    }

    /// The same with its text, for a store.
    pub(crate) fn rendered(self, py: Python<'_>) -> Self {
        let text = self.render(py).and_then(|text| {
            // A lone surrogate in a message must not take the rest of it.
            Ok(text.cast::<PyString>()?.to_string_lossy().into_owned())
        });
        match text {
            // A surrogate that is replaced takes more bytes than it did.
            Ok(text) => Failure::bounded(py, text),
            Err(_) => self,
        }
    }

    /// The same of an occurrence of a repeat, which is listed with this payload.
    pub(crate) fn keep(mut self, payload: Handle) -> Self {
        self.0.kept = Some(payload);
        self
    }

    /// The same of a death that leaves this behind.
    pub(crate) fn leave(mut self, heir: Option<Handle>) -> Self {
        self.0.heir = heir;
        self
    }

    /// Take what it was to [keep](Self::keep).
    pub(crate) fn take_kept(&mut self) -> Option<Handle> {
        self.0.kept.take()
    }

    /// Take what it was to [leave](Self::leave).
    pub(crate) fn take_heir(&mut self) -> Option<Handle> {
        self.0.heir.take()
    }

    /// The text for a store.
    pub(crate) fn stored_text(&self) -> String {
        self.0.text.clone().unwrap_or_default()
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Failure::new(self.0.cause.clone_ref(py), self.0.text.clone())
    }

    /// The text.
    pub(crate) fn render<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let cause = &self.0.cause;
        if cause.bind(py).is_instance_of::<PyString>() {
            return Ok(cause.bind(py).clone());
        }
        call::python(py, &names(py)?.render, (cause,))
    }
}

/// Before 3.12 an exception that C fetched does not carry its traceback yet.
pub(crate) fn carry_traceback(py: Python<'_>, error: &PyErr) {
    if let Some(traceback) = error.traceback(py) {
        let _ = error.value(py).setattr("__traceback__", traceback);
    }
}
