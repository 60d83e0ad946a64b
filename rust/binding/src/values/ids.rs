//! The ids of many jobs, as a sequence that makes its strings on access.

use duewheel_engine::jobs::ids::{self, Halves};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PySlice, PyString, PyTuple, PyType};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The text of a generated id.
#[inline]
pub(crate) fn text<'py>(py: Python<'py>, id: Halves) -> Bound<'py, PyString> {
    // SAFETY: a string of 36 ASCII characters is made and filled before anyone sees it: its bytes lie behind it.
    unsafe {
        let string = pyo3::ffi::PyUnicode_New(36, 127);
        let made = Bound::from_owned_ptr(py, string);
        let data = pyo3::ffi::PyUnicode_DATA(made.as_ptr());
        ids::format(id, &mut *data.cast());
        made.cast_into_unchecked()
    }
}

/// The ids of many jobs: an immutable sequence that makes its strings on access.
///
/// **Order**: that of the times that were given.
#[pyclass(frozen, sequence, module = "duewheel._core")]
pub(crate) struct Ids {
    ids: Vec<Halves>,
}

impl Ids {
    pub(crate) fn new(ids: Vec<Halves>) -> Self {
        Ids { ids }
    }

    pub(crate) fn halves(&self) -> &[Halves] {
        &self.ids
    }

    fn find(&self, text: &Bound<'_, PyAny>) -> Option<Halves> {
        text.cast::<PyString>()
            .ok()
            .and_then(|text| ids::parse(text.to_str().ok()?))
    }
}

#[pymethods]
impl Ids {
    fn __len__(&self) -> usize {
        self.ids.len()
    }

    fn __getitem__<'py>(&self, at: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = at.py();
        if let Ok(slice) = at.cast::<PySlice>() {
            let range = slice.indices(self.ids.len() as isize)?;
            let picked = (0..range.slicelength)
                .map(|step| self.ids[(range.start + step as isize * range.step) as usize]);
            return Ok(Bound::new(py, Ids::new(picked.collect()))?.into_any());
        }
        let index: isize = at.extract()?;
        let index = if index < 0 {
            index + self.ids.len() as isize
        } else {
            index
        };
        match usize::try_from(index)
            .ok()
            .and_then(|index| self.ids.get(index))
        {
            Some(id) => Ok(text(py, *id).into_any()),
            None => Err(PyIndexError::new_err("index out of range")),
        }
    }

    fn __contains__(&self, id: &Bound<'_, PyAny>) -> bool {
        self.find(id).is_some_and(|id| self.ids.contains(&id))
    }

    /// Return where an id is.
    ///
    /// **Raises** `ValueError` when it is not there. **Cost**: O(n).
    fn index(&self, id: &Bound<'_, PyAny>) -> PyResult<usize> {
        let found = self
            .find(id)
            .and_then(|id| self.ids.iter().position(|other| *other == id));
        found.ok_or_else(|| PyValueError::new_err(format!("{id:?} is not one of these ids")))
    }

    /// Return how often an id is there: once or never. **Cost**: O(n).
    fn count(&self, id: &Bound<'_, PyAny>) -> usize {
        let id = self.find(id);
        self.ids.iter().filter(|other| Some(**other) == id).count()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Ids>()
            .is_ok_and(|other| other.get().ids == self.ids)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.ids.hash(&mut hasher);
        hasher.finish()
    }

    /// Pickled as the tuple of its strings.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let strings = PyTuple::new(py, self.ids.iter().map(|id| text(py, *id)))?;
        Ok((py.get_type::<PyTuple>(), PyTuple::new(py, [strings])?))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shown = PyTuple::new(py, self.ids.iter().take(3).map(|id| text(py, *id)))?;
        let more = if self.ids.len() > 3 { ", …" } else { "" };
        let shown: Vec<String> = shown
            .iter()
            .map(|id| id.repr().map(|id| id.to_string()))
            .collect::<PyResult<_>>()?;
        Ok(format!(
            "<{} ids: {}{more}>",
            self.ids.len(),
            shown.join(", ")
        ))
    }
}
