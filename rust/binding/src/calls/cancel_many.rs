//! `cancel_many`: all ids are read before any job is cancelled.

use crate::calls::change;
use crate::calls::pending::{Ask, Next, Pending};
use crate::errors::refused;
use crate::shared::{Shared, releasing};
use crate::values::convert;
use crate::values::ids::Ids;
use duewheel_engine::jobs::ids::{Halves, IdList, parse};
use duewheel_engine::jobs::record::Id;
use duewheel_store::Ticket;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::borrow::Cow;
use std::sync::Arc;

/// How many jobs the store alone has are asked about at once.
const ASKED_AT_ONCE: usize = 4_096;

/// Stands for an id that is to be found by its text.
const BY_TEXT: Halves = [0, 0];

/// Ids that were given, each of them checked.
enum Listed<'py> {
    Ids(Bound<'py, Ids>),
    Texts(Bound<'py, PyTuple>, Vec<Halves>),
}

impl IdList for Listed<'_> {
    #[inline]
    fn count(&self) -> usize {
        match self {
            Listed::Ids(ids) => ids.get().halves().len(),
            Listed::Texts(_, halves) => halves.len(),
        }
    }

    #[inline]
    fn generated(&self, at: usize) -> Option<Halves> {
        match self {
            Listed::Ids(ids) => Some(ids.get().halves()[at]),
            Listed::Texts(_, halves) => Some(halves[at]).filter(|halves| *halves != BY_TEXT),
        }
    }

    fn text(&self, at: usize) -> Cow<'_, str> {
        match self {
            Listed::Ids(ids) => Id::Generated(ids.get().halves()[at])
                .with_str(str::to_owned)
                .into(),
            Listed::Texts(texts, _) => {
                let text = texts.get_borrowed_item(at).ok();
                let text = text.and_then(|text| convert::name(&text, "id").map(str::to_owned).ok());
                text.unwrap_or_default().into()
            }
        }
    }
}

impl<'py> Listed<'py> {
    fn read(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(ids) = given.cast_exact::<Ids>() {
            return Ok(Listed::Ids(ids.clone()));
        }
        let texts = tuple_of(given)?;
        let read = |id: Borrowed<'_, '_, PyAny>| {
            convert::name(&id, "id").map(|id| parse(id).unwrap_or(BY_TEXT))
        };
        let halves = texts.iter_borrowed().map(read).collect::<PyResult<_>>()?;
        Ok(Listed::Texts(texts, halves))
    }
}

/// The items of an iterable, which nobody changes any more.
fn tuple_of<'py>(given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let refuse = || PyTypeError::new_err(format!("ids must be an iterable of ids, not {given:?}"));
    if given.is_instance_of::<PyString>() || given.is_instance_of::<PyBytes>() {
        return Err(refuse());
    }
    let is_direct =
        given.is_exact_instance_of::<PyList>() || given.is_exact_instance_of::<PyTuple>();
    let items = if is_direct {
        given.clone()
    } else {
        given.try_iter().map_err(|_| refuse())?.into_any()
    };
    // SAFETY: it is given an object, and returns a new reference to a tuple, or null and an error.
    unsafe {
        let tuple = ffi::PySequence_Tuple(items.as_ptr());
        Ok(Bound::from_owned_ptr_or_err(given.py(), tuple)?.cast_into_unchecked())
    }
}

/// Ids that were given, each of them checked, as texts.
pub(crate) fn texts_of(given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let ids = Listed::read(given)?;
    let texts = (0..ids.count()).map(|at| ids.text(at).into_owned());
    Ok(texts.collect())
}

/// Withdraw pending jobs; how many were pending.
pub(crate) fn cancel_many(
    shared: &Arc<Shared>,
    ids: &Bound<'_, PyAny>,
) -> PyResult<Pending<usize>> {
    let py = ids.py();
    let ids = Listed::read(ids)?;
    let cancelled = releasing(py, |released| shared.engine.cancel_many(&ids, released));
    let cancelled = cancelled.map_err(|error| refused(py, error, ""))?;
    let (count, ticket) = (cancelled.count, cancelled.ticket);
    if cancelled.stored.is_empty() {
        return Ok(Pending::Made(count, ticket));
    }
    let texts = cancelled.stored.iter().map(|&at| ids.text(at).into_owned());
    let ids: Vec<String> = texts.collect();
    let left = ids.into_iter();
    let error = None;
    Left {
        left,
        count,
        ticket,
        error,
    }
    .go_on(py, shared)
}

/// What is left of a call: ids that only the store may know, and what the others have come to.
struct Left {
    left: std::vec::IntoIter<String>,
    count: usize,
    ticket: Ticket,
    error: Option<PyErr>,
}

impl Left {
    /// Cancel the next of them, all at once: what the store is asked at once it settles at once.
    fn go_on(mut self, py: Python<'_>, shared: &Arc<Shared>) -> PyResult<Pending<usize>> {
        let mut asks = Vec::new();
        while asks.len() < ASKED_AT_ONCE && self.error.is_none() {
            let Some(id) = self.left.next() else { break };
            let cancelled = change::cancel_text(shared, py, &id);
            asks.extend(self.note(cancelled));
        }
        if !asks.is_empty() {
            return self.ask(py, shared, asks);
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok(Pending::Made(self.count, self.ticket)),
        }
    }

    fn ask(
        self,
        py: Python<'_>,
        shared: &Arc<Shared>,
        asks: Vec<Ask<bool>>,
    ) -> PyResult<Pending<usize>> {
        if asks.is_empty() {
            return self.go_on(py, shared);
        }
        let answered =
            |nexts| -> Next<usize> { Box::new(|py, shared| self.answered(py, shared, nexts)) };
        Ok(Pending::Asks(Ask::all(asks, answered)))
    }

    fn answered(
        mut self,
        py: Python<'_>,
        shared: &Arc<Shared>,
        nexts: Vec<Next<bool>>,
    ) -> PyResult<Pending<usize>> {
        let made = |next: Next<bool>| self.note(next(py, shared));
        let asks = nexts.into_iter().filter_map(made).collect();
        self.ask(py, shared, asks)
    }

    /// Note what a call has come to, unless it asks.
    fn note(&mut self, cancelled: PyResult<Pending<bool>>) -> Option<Ask<bool>> {
        match cancelled {
            Ok(Pending::Asks(ask)) => return Some(ask),
            Ok(Pending::Made(is_cancelled, ticket)) => {
                self.count += usize::from(is_cancelled);
                self.ticket = self.ticket.max(ticket);
            }
            Err(error) => drop(self.error.get_or_insert(error)),
        }
        None
    }
}
