//! Ids that a call was given, all of them checked before anything is done.

use crate::values::convert;
use crate::values::ids::Ids;
use duewheel_engine::jobs::ids::{Halves, IdList, parse};
use duewheel_engine::jobs::record::Id;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::borrow::Cow;

/// Stands for an id that is to be found by its text.
const BY_TEXT: Halves = [0, 0];

/// Ids that were given, each of them checked.
pub(crate) enum Listed<'py> {
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
    pub(crate) fn read(given: &Bound<'py, PyAny>) -> PyResult<Self> {
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
