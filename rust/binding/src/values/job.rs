//! `Job`: what was asked for.

use crate::interpreter::call;
use crate::interpreter::names::names;
use crate::values::carried::{self, Rare};
use crate::values::convert;
use crate::values::ids;
use crate::values::options::{JobOptions, Spec};
use crate::values::payload::Handle;
use duewheel_engine::jobs::record::Id;
use duewheel_model::time::SECOND;
use duewheel_store::Carried;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyMappingProxy, PyString, PyTuple, PyType};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A job: what was asked for, which never changes.
///
/// `Job(id, target, due, data, options, headers=None, key=None, keep=None)` makes one by hand, for `Storage.create`;
/// the options are resolved then.
///
/// **Time**: `due` is unix nanoseconds, as first scheduled; `keep` is given as seconds or a `timedelta`.
/// **Raises** `TypeError` for wrong types; `ValueError` for an empty or over-long id or target, or
/// options that contradict themselves; `OverflowError` for a due that 64 bits do not hold.
#[pyclass(frozen, module = "duewheel")]
pub(crate) struct Job {
    pub(crate) id: Id,
    pub(crate) due: i64,
    /// `None` stands for `b""`.
    pub(crate) data: Option<Py<PyAny>>,
    pub(crate) spec: Py<Spec>,
    /// What it carries beside its data, if anything.
    pub(crate) carried: Option<Arc<Carried>>,
}

/// Unix nanoseconds, given as an int.
pub(crate) fn nanoseconds(value: &Bound<'_, PyAny>, what: &str) -> PyResult<i64> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<pyo3::types::PyBool>() {
        return Err(PyTypeError::new_err(format!(
            "{what} must be an int of unix nanoseconds, not {value:?}"
        )));
    }
    value.extract().map_err(|_| {
        PyOverflowError::new_err(format!(
            "{what} must fit 64 bits of nanoseconds, not {value:?}"
        ))
    })
}

pub(crate) fn id_string<'py>(py: Python<'py>, id: &Id) -> Bound<'py, PyString> {
    match id {
        Id::Generated(halves) => ids::text(py, *halves),
        Id::Given(text) => PyString::new(py, text),
    }
}

impl Job {
    /// A job of the engine's.
    #[inline]
    pub(crate) fn of(py: Python<'_>, id: &Id, due: i64, payload: Handle) -> Job {
        Job {
            id: id.clone(),
            due,
            data: payload.data(py),
            spec: payload.spec(py),
            carried: payload.carried(),
        }
    }

    pub(crate) fn id_in<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        id_string(py, &self.id)
    }

    pub(crate) fn target_in(&self, py: Python<'_>) -> Py<PyString> {
        self.spec.get().name.clone_ref(py)
    }

    pub(crate) fn options_in(&self, py: Python<'_>) -> Py<JobOptions> {
        self.spec.get().options.clone_ref(py)
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Job {
        Job {
            id: self.id.clone(),
            due: self.due,
            data: self.data.as_ref().map(|data| data.clone_ref(py)),
            spec: self.spec.clone_ref(py),
            carried: self.carried.clone(),
        }
    }

    pub(crate) fn data_in<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.data.as_ref().map_or_else(
            || PyBytes::new(py, b"").into_any(),
            |data| data.bind(py).clone(),
        )
    }

    pub(crate) fn same(&self, other: &Job, py: Python<'_>) -> PyResult<bool> {
        let (mine, others) = (self.spec.get(), other.spec.get());
        let same_id = self.id == other.id
            || self
                .id
                .with_str(|mine| other.id.with_str(|others| mine == others));
        Ok(same_id
            && self.due == other.due
            && mine.name.to_str(py)? == others.name.to_str(py)?
            && self.data_in(py).eq(other.data_in(py))?
            && mine.options.get().fields == others.options.get().fields
            && self.all_carried() == other.all_carried())
    }

    /// What it carries beside its data, if anything.
    fn all_carried(&self) -> Option<&Carried> {
        let carried = self.carried.as_deref();
        carried.filter(|carried| **carried != Carried::default())
    }

    /// What it carries, as the keywords that a job is made with; `keep` as what is read as exactly that.
    fn keywords<'py>(&self, py: Python<'py>) -> PyResult<Vec<(&'static str, Bound<'py, PyAny>)>> {
        let mut keywords = Vec::new();
        let Some(Carried { headers, key, keep }) = self.all_carried() else {
            return Ok(keywords);
        };
        if !headers.is_empty() {
            keywords.push(("headers", headers.into_bound_py_any(py)?));
        }
        if let Some(key) = key {
            keywords.push(("key", key.into_bound_py_any(py)?));
        }
        if let Some(keep) = keep {
            keywords.push(("keep", names(py)?.exactly.bind(py).call1((keep,))?));
        }
        Ok(keywords)
    }

    pub(crate) fn hash_id(&self, hasher: &mut DefaultHasher) {
        self.id.with_str(|id| id.hash(hasher));
        self.due.hash(hasher);
    }
}

#[pymethods]
impl Job {
    #[new]
    #[pyo3(signature = (id, target, due, data, options, *, headers=None, key=None, keep=None))]
    #[allow(clippy::too_many_arguments)] // they are the constructor's
    fn new(
        id: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        due: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        options: &Bound<'_, PyAny>,
        headers: Option<&Bound<'_, PyAny>>,
        key: Option<&Bound<'_, PyAny>>,
        keep: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = id.py();
        let options = options.cast::<JobOptions>().map_err(|_| {
            PyTypeError::new_err(format!("options must be JobOptions, not {options:?}"))
        })?;
        let mut rare = Rare::default();
        for (name, given) in [("headers", headers), ("key", key), ("keep", keep)] {
            if let Some(given) = given {
                rare.take(name, given)?;
            }
        }
        // A job that was made by hand belongs to no scheduler: its target has no number yet.
        let spec = Spec::alone(py, convert::name(target, "target")?, &options.get().fields)?;
        Ok(Job {
            id: Id::Given(Arc::from(convert::name(id, "id")?)),
            due: nanoseconds(due, "due")?,
            data: convert::data(data)?.map(Py::into_any),
            spec,
            carried: rare.carried.if_any().map(Arc::new),
        })
    }

    /// Its id, given or generated.
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        id_string(py, &self.id)
    }

    /// The name under which its handler is registered.
    #[getter]
    pub(crate) fn target(&self, py: Python<'_>) -> Py<PyString> {
        self.spec.get().name.clone_ref(py)
    }

    /// When it was first due, in unix nanoseconds.
    #[getter]
    fn due(&self) -> i64 {
        self.due
    }

    /// What its handler gets: bytes, or the object that `timer` was given.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.data_in(py)
    }

    /// Its options, resolved: no field is `UNSET`.
    #[getter]
    fn options(&self, py: Python<'_>) -> Py<JobOptions> {
        self.spec.get().options.clone_ref(py)
    }

    /// The headers that it was scheduled with, and that plugins have added: a read-only mapping of texts.
    #[getter(headers)]
    fn shown_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMappingProxy>> {
        carried::shown(py, self.carried.as_deref())
    }

    /// Jobs of its target that have the same run one after another; `None`: it has none.
    #[getter]
    fn key(&self) -> Option<&str> {
        self.all_carried()?.key.as_deref()
    }

    /// For how many seconds how it ends is kept; `None`: it is not.
    #[getter]
    fn keep(&self) -> Option<f64> {
        self._keep_ns().map(|keep| keep as f64 / SECOND as f64)
    }

    #[getter]
    fn _keep_ns(&self) -> Option<i64> {
        self.all_carried()?.keep
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        match other.cast::<Job>() {
            Ok(other) => self.same(other.get(), py)?.into_py_any(py),
            Err(_) => Ok(py.NotImplemented()),
        }
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash_id(&mut hasher);
        hasher.finish()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let job = slf.get();
        let mut carried = String::new();
        for (name, given) in job.keywords(slf.py())? {
            let shown = match (name, job.keep()) {
                ("keep", Some(keep)) => format!("{keep:?}"),
                _ => format!("{given:?}"),
            };
            carried += &format!(", {name}={shown}");
        }
        Ok(format!(
            "Job(id={:?}, target={:?}, due={}, data={:?}, options={:?}{carried})",
            slf.getattr("id")?,
            slf.getattr("target")?,
            slf.get().due,
            slf.getattr("data")?,
            slf.getattr("options")?
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let arguments = ["id", "target", "due", "data", "options"].map(|name| slf.getattr(name));
        let arguments = arguments.into_iter().collect::<PyResult<Vec<_>>>()?;
        let keywords = slf.get().keywords(slf.py())?;
        if !keywords.is_empty() {
            let made = made_with(&slf.get_type(), &keywords)?;
            return (made, PyTuple::new(slf.py(), arguments)?).into_pyobject(slf.py());
        }
        (slf.get_type(), PyTuple::new(slf.py(), arguments)?).into_pyobject(slf.py())
    }
}

/// What makes an object of a class with these keywords, and what it is called with: for a pickle.
pub(crate) fn made_with<'py>(
    class: &Bound<'py, PyType>,
    given: &[(&str, Bound<'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = PyDict::new(class.py());
    for (name, value) in given {
        keywords.set_item(name, value)?;
    }
    let partial = call::import(class.py(), "functools")?.getattr("partial")?;
    partial.call((class,), Some(&keywords))
}
