//! `JobOptions`: fields that may be unset, overlaid in layers, resolved once a job.

use crate::interpreter::names::names;
use crate::values::convert;
use crate::values::target::Target;
use duewheel_model::retry::RetryOptions;
use duewheel_model::time::{SECOND, ceil_ns};
use duewheel_store as store;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

const RETRY_LIMIT: u32 = 5;
const MIN_BACKOFF: Span = Span {
    ns: SECOND,
    seconds: 1.0,
};
const MAX_BACKOFF: Span = Span {
    ns: 3600 * SECOND,
    seconds: 3600.0,
};

/// A duration: exact, and as the float that was given.
#[derive(Clone, Copy, Debug)]
struct Span {
    ns: i64,
    seconds: f64,
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        self.ns == other.ns
    }
}

/// Fields as they were given; the outer `None` is `UNSET`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    retry_limit: Option<Option<u32>>,
    min_backoff: Option<Span>,
    max_backoff: Option<Span>,
    age_limit: Option<Option<Span>>,
    at_most_once: Option<bool>,
}

/// What a job was asked for: the part of it that many jobs share.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct Spec {
    pub(crate) target: u32,
    pub(crate) name: Py<PyString>,
    /// The name again, for threads that are not attached to the interpreter.
    pub(crate) text: Arc<str>,
    /// What has the number, if a scheduler gave one.
    pub(crate) _known: Option<Arc<Target>>,
    pub(crate) options: Py<JobOptions>,
    pub(crate) limits: RetryOptions,
}

impl Spec {
    /// One that belongs to no scheduler: its target has no number.
    pub(crate) fn alone(py: Python<'_>, target: &str, fields: &Fields) -> PyResult<Py<Spec>> {
        let (fields, limits) = fields.resolve()?;
        let spec = Spec {
            target: u32::MAX,
            text: target.into(),
            _known: None,
            name: PyString::new(py, target).unbind(),
            options: Py::new(py, JobOptions { fields })?,
            limits,
        };
        Py::new(py, spec)
    }
}

/// How a job is retried; a field not given is `UNSET` and leaves it to the layer below.
///
/// `retry_limit`: retries after the first attempt. `min_backoff`, `max_backoff`: the bounds of the
/// pause before a retry, which doubles with each attempt, with jitter. `age_limit`: the age from
/// the first start at which retries end. `None` for a limit means that there is none. With both
/// limits a job is dead when both are reached; with neither it is retried for ever.
///
/// **Time**: durations are seconds or a `timedelta`, and read back as float seconds.
/// **Raises** `TypeError` for wrong types and unknown fields; `ValueError` for negative or
/// non-finite values, `min_backoff > max_backoff`, a retry limit with at most once, an age limit
/// alone with `min_backoff` 0; `OverflowError` for a `retry_limit` of 2**32 or more.
///
/// >>> from duewheel import JobOptions
/// >>> JobOptions(retry_limit=3).replace(min_backoff=0.5)
/// JobOptions(retry_limit=3, min_backoff=0.5)
#[pyclass(frozen, module = "duewheel")]
#[derive(Clone, Debug)]
pub(crate) struct JobOptions {
    pub(crate) fields: Fields,
}

fn unset(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Ok(names(py)?.unset.clone_ref(py))
}

fn consistency(py: Python<'_>, at_most_once: bool) -> PyResult<Py<PyAny>> {
    let names = names(py)?;
    let value = if at_most_once {
        &names.at_most_once
    } else {
        &names.at_least_once
    };
    Ok(value.clone_ref(py))
}

fn span(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Span> {
    let ns = convert::delay(value, what)?;
    // What says so many nanoseconds, as the float that it is: a span of NumPy's has one of another unit.
    let float = value.extract::<f64>().ok();
    let float = float.filter(|&float| ceil_ns(float) == Ok(ns));
    let seconds = float.unwrap_or(ns as f64 / SECOND as f64);
    Ok(Span { ns, seconds })
}

fn retry_limit(value: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
    if value.is_none() {
        return Ok(None);
    }
    let Some(index) = convert::whole(value)? else {
        return Err(PyTypeError::new_err(format!(
            "retry_limit must be an int or None, not {value:?}"
        )));
    };
    if index.lt(0)? {
        return Err(PyValueError::new_err(format!(
            "retry_limit must not be negative: {value:?}"
        )));
    }
    index.extract::<u32>().map(Some).map_err(|_| {
        PyOverflowError::new_err(format!("retry_limit must be below 2**32, not {value:?}"))
    })
}

/// The duration of stored nanoseconds.
fn exact(ns: i64) -> Span {
    // A float of whole microseconds that is a little more than them, as 0.1 is, has one nanosecond more.
    let less = (ns - 1) as f64 / SECOND as f64;
    let given = ns % 1_000 == 1 && ceil_ns(less) == Ok(ns);
    let seconds = if given {
        less
    } else {
        ns as f64 / SECOND as f64
    };
    Span { ns, seconds }
}

impl Fields {
    /// The fields of stored options, which are resolved.
    pub(crate) fn of(options: &store::RetryOptions) -> Self {
        Fields {
            retry_limit: Some(options.retry_limit),
            min_backoff: Some(exact(options.min_backoff)),
            max_backoff: Some(exact(options.max_backoff)),
            age_limit: Some(options.age_limit.map(exact)),
            at_most_once: Some(options.at_most_once),
        }
    }

    /// Read keyword arguments from a dictionary.
    pub(crate) fn read(keywords: &Bound<'_, PyDict>, call: &str) -> PyResult<Self> {
        let mut fields = Fields::default();
        for (name, value) in keywords {
            let name = name.cast_into::<PyString>()?;
            if !NAMES.contains(&&*name.to_string_lossy()) {
                return Err(convert::unknown_keyword(&name, call));
            }
            fields.set(name.to_str()?, &value)?;
        }
        Ok(fields)
    }

    /// Read keyword arguments that were taken apart already, in the order of [`NAMES`].
    pub(crate) fn given(values: &[Option<Bound<'_, PyAny>>; 5]) -> PyResult<Self> {
        let mut fields = Fields::default();
        for (name, value) in NAMES.iter().zip(values) {
            if let Some(value) = value {
                fields.set(name, value)?;
            }
        }
        Ok(fields)
    }

    fn set(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        if value.is(unset(py)?) {
            return Ok(());
        }
        match name {
            "retry_limit" => self.retry_limit = Some(retry_limit(value)?),
            "min_backoff" => self.min_backoff = Some(span(value, name)?),
            "max_backoff" => self.max_backoff = Some(span(value, name)?),
            "age_limit" if value.is_none() => self.age_limit = Some(None),
            "age_limit" => self.age_limit = Some(Some(span(value, name)?)),
            // Of NAMES, the last.
            _ => {
                if value.is(consistency(py, true)?) {
                    self.at_most_once = Some(true);
                } else if value.is(consistency(py, false)?) {
                    self.at_most_once = Some(false);
                } else {
                    return Err(PyTypeError::new_err(format!(
                        "consistency must be Consistency.AT_MOST_ONCE or \
                         Consistency.AT_LEAST_ONCE, not {value:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Refuse what contradicts itself within one call.
    pub(crate) fn check(&self) -> PyResult<()> {
        if let (Some(true), Some(Some(limit @ 1..))) = (self.at_most_once, self.retry_limit) {
            return Err(PyValueError::new_err(format!(
                "retry_limit must be 0 with Consistency.AT_MOST_ONCE, not {limit}: \
                 a job that starts at most once is never retried"
            )));
        }
        if let (Some(min), Some(max)) = (self.min_backoff, self.max_backoff) {
            check_backoffs(min, max)?;
        }
        if let (Some(Some(age)), Some(min)) = (self.age_limit, self.min_backoff) {
            check_age(age, min, self.retry_limit.flatten())?;
        }
        Ok(())
    }

    /// Lay `self` over `below`, field by field.
    pub(crate) fn over(&self, below: &Fields) -> Fields {
        Fields {
            retry_limit: self.retry_limit.or(below.retry_limit),
            min_backoff: self.min_backoff.or(below.min_backoff),
            max_backoff: self.max_backoff.or(below.max_backoff),
            age_limit: self.age_limit.or(below.age_limit),
            at_most_once: self.at_most_once.or(below.at_most_once),
        }
    }

    /// These fields as what lies under a timer's own: not to be retried.
    pub(crate) fn without_retries(&self) -> Fields {
        Fields {
            retry_limit: Some(Some(0)),
            age_limit: Some(None),
            ..*self
        }
    }

    /// Whether a limit of retries is given, or that there is none.
    pub(crate) fn has_retry_limit(&self) -> bool {
        self.retry_limit.is_some()
    }

    /// Refuse what says nothing of a timer.
    pub(crate) fn check_timer(&self) -> PyResult<()> {
        if let (None, Some(Some(age))) = (self.retry_limit, self.age_limit) {
            return Err(PyValueError::new_err(format!(
                "age_limit ({} seconds) needs a retry_limit: a timer is not retried without one",
                age.seconds
            )));
        }
        self.check()
    }

    /// Fill in the defaults and check the whole.
    pub(crate) fn resolve(&self) -> PyResult<(Fields, RetryOptions)> {
        let at_most_once = self.at_most_once.unwrap_or(false);
        let age_limit = self.age_limit.flatten();
        let default = if age_limit.is_some() {
            None
        } else {
            Some(RETRY_LIMIT)
        };
        let retry_limit = if at_most_once {
            Some(0)
        } else {
            self.retry_limit.unwrap_or(default)
        };
        let min = self.min_backoff.unwrap_or(MIN_BACKOFF);
        let max = self.max_backoff.unwrap_or(MAX_BACKOFF);
        check_backoffs(min, max)?;
        if let Some(age) = age_limit {
            check_age(age, min, retry_limit)?;
        }
        let fields = Fields {
            retry_limit: Some(retry_limit),
            min_backoff: Some(min),
            max_backoff: Some(max),
            age_limit: Some(age_limit),
            at_most_once: Some(at_most_once),
        };
        let limits = RetryOptions {
            retry_limit,
            age_limit: age_limit.map(|age| age.ns),
            min_backoff: min.ns,
            max_backoff: max.ns,
            at_most_once,
        };
        Ok((fields, limits))
    }
}

fn check_backoffs(min: Span, max: Span) -> PyResult<()> {
    if min.ns > max.ns {
        return Err(PyValueError::new_err(format!(
            "min_backoff must not be above max_backoff: {} > {} seconds",
            min.seconds, max.seconds
        )));
    }
    Ok(())
}

fn check_age(age: Span, min: Span, retry_limit: Option<u32>) -> PyResult<()> {
    if min.ns == 0 && retry_limit.is_none() {
        return Err(PyValueError::new_err(format!(
            "age_limit ({} seconds) alone needs a min_backoff above 0, or it would be retried \
             without a pause until then: give a min_backoff or a retry_limit",
            age.seconds
        )));
    }
    Ok(())
}

const NAMES: [&str; 5] = [
    "retry_limit",
    "min_backoff",
    "max_backoff",
    "age_limit",
    "consistency",
];

#[pymethods]
impl JobOptions {
    #[new]
    #[pyo3(signature = (**keywords))]
    fn new(keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let fields = keywords
            .map(|keywords| Fields::read(keywords, "JobOptions"))
            .transpose()?
            .unwrap_or_default();
        fields.check()?;
        Ok(JobOptions { fields })
    }

    /// Retries after the first attempt; `None` is no limit.
    #[getter]
    fn retry_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.fields.retry_limit {
            None => unset(py),
            Some(limit) => Ok(limit.into_pyobject(py)?.unbind()),
        }
    }

    /// The shortest pause before a retry, in seconds.
    #[getter]
    fn min_backoff(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        seconds(py, self.fields.min_backoff.map(Some))
    }

    /// The longest pause before a retry, in seconds.
    #[getter]
    fn max_backoff(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        seconds(py, self.fields.max_backoff.map(Some))
    }

    /// The age, in seconds from the first start, at which retries end; `None` is no limit.
    #[getter]
    fn age_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        seconds(py, self.fields.age_limit)
    }

    /// Whether a job may be started more than once.
    #[getter]
    fn consistency(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.fields.at_most_once {
            None => unset(py),
            Some(at_most_once) => consistency(py, at_most_once),
        }
    }

    #[getter]
    fn _min_backoff_ns(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        nanoseconds(py, self.fields.min_backoff.map(Some))
    }

    #[getter]
    fn _max_backoff_ns(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        nanoseconds(py, self.fields.max_backoff.map(Some))
    }

    #[getter]
    fn _age_limit_ns(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        nanoseconds(py, self.fields.age_limit)
    }

    /// Return these options with some fields changed; `UNSET` unsets one.
    ///
    /// **Raises** as `JobOptions` does.
    #[pyo3(signature = (**changes))]
    fn replace(slf: &Bound<'_, Self>, changes: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let py = slf.py();
        let mut fields = slf.get().fields;
        if let Some(changes) = changes {
            let unset = unset(py)?;
            let given = Fields::read(changes, "JobOptions.replace")?;
            for (name, value) in changes {
                if value.is(&unset) {
                    match name.extract::<&str>()? {
                        "retry_limit" => fields.retry_limit = None,
                        "min_backoff" => fields.min_backoff = None,
                        "max_backoff" => fields.max_backoff = None,
                        "age_limit" => fields.age_limit = None,
                        _ => fields.at_most_once = None,
                    }
                }
            }
            fields = given.over(&fields);
        }
        fields.check()?;
        Ok(JobOptions { fields })
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        match other.cast::<JobOptions>() {
            Ok(other) => {
                let same = self.fields == other.get().fields;
                Ok(PyBool::new(py, same).to_owned().into_any().unbind())
            }
            Err(_) => Ok(py.NotImplemented()),
        }
    }

    fn __hash__(&self) -> u64 {
        let fields = &self.fields;
        let mut hasher = DefaultHasher::new();
        fields.retry_limit.hash(&mut hasher);
        fields.min_backoff.map(|span| span.ns).hash(&mut hasher);
        fields.max_backoff.map(|span| span.ns).hash(&mut hasher);
        fields
            .age_limit
            .map(|age| age.map(|span| span.ns))
            .hash(&mut hasher);
        fields.at_most_once.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let unset = unset(slf.py())?;
        let mut shown = Vec::new();
        for name in NAMES {
            let value = slf.getattr(name)?;
            if name == "consistency" && !value.is(&unset) {
                shown.push(format!(
                    "consistency=Consistency.{}",
                    value.getattr("name")?
                ));
            } else if !value.is(&unset) {
                shown.push(format!("{name}={value:?}"));
            }
        }
        Ok(format!("JobOptions({})", shown.join(", ")))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let values = PyDict::new(py);
        for name in NAMES {
            values.set_item(name, slf.getattr(name)?)?;
        }
        let exact = PyDict::new(py);
        for name in ["min_backoff", "max_backoff", "age_limit"] {
            exact.set_item(name, slf.getattr(format!("_{name}_ns").as_str())?)?;
        }
        let rebuild = &names(py)?.rebuild_options;
        (rebuild, (values, exact)).into_pyobject(py)
    }
}

fn seconds(py: Python<'_>, span: Option<Option<Span>>) -> PyResult<Py<PyAny>> {
    match span {
        None => unset(py),
        Some(span) => Ok(span.map(|span| span.seconds).into_pyobject(py)?.unbind()),
    }
}

fn nanoseconds(py: Python<'_>, span: Option<Option<Span>>) -> PyResult<Py<PyAny>> {
    match span {
        None => unset(py),
        Some(span) => Ok(span.map(|span| span.ns).into_pyobject(py)?.unbind()),
    }
}
