//! What jobs are asked for, made once for all jobs that ask for the same.

use crate::options::{Fields, JobOptions, Spec};
use crate::registry::Registry;
use duewheel_core::sync::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// How many specifications without options are remembered; past that all are forgotten at once, for
/// most of their targets may be spoken of no more.
const PLAIN_KEPT: usize = 16_384;

/// How many specifications with options are remembered; past that all are forgotten at once.
const SPECS_KEPT: usize = 1024;

/// The specifications of one scheduler.
pub(crate) struct Specs {
    base: Fields,
    /// Target to [`Spec`], for jobs without options of their own.
    plain: Py<PyDict>,
    special: Mutex<Vec<(u32, Fields, Py<Spec>)>>,
}

impl Specs {
    /// None yet; `options` are the scheduler's own.
    pub(crate) fn new(py: Python<'_>, options: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let base = options.map(fields_of).transpose()?.unwrap_or_default();
        base.resolve()?;
        Ok(Specs {
            base,
            plain: PyDict::new(py).unbind(),
            special: Mutex::new(Vec::new()),
        })
    }

    /// The specification of a job for `target` without options of its own.
    #[inline]
    pub(crate) fn plain(
        &self,
        registry: &Registry,
        target: &Bound<'_, PyAny>,
    ) -> PyResult<Py<Spec>> {
        let py = target.py();
        // Anything but an exact str may answer to the hash of one, and is no target.
        if target.is_exact_instance_of::<PyString>()
            && let Some(spec) = self.plain.bind(py).get_item(target)?
        {
            // SAFETY: only specifications are put into this dictionary, below.
            return Ok(unsafe { spec.cast_into_unchecked::<Spec>() }.unbind());
        }
        let spec = make(registry, target, &self.base)?;
        let plain = self.plain.bind(py);
        if plain.len() >= PLAIN_KEPT {
            plain.clear();
        }
        plain.set_item(spec.get().name.clone_ref(py), &spec)?;
        Ok(spec)
    }

    /// The specification of a job for `target` with `given` laid over `options`.
    pub(crate) fn special(
        &self,
        registry: &Registry,
        target: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyAny>>,
        given: &Fields,
    ) -> PyResult<Py<Spec>> {
        let below = options.map(fields_of).transpose()?.unwrap_or_default();
        let call = given.over(&below);
        call.check()?;
        self.resolved(registry, target, &call.over(&self.base))
    }

    /// The specification of a job for `target` with these fields, whatever the scheduler's own.
    pub(crate) fn resolved(
        &self,
        registry: &Registry,
        target: &Bound<'_, PyAny>,
        fields: &Fields,
    ) -> PyResult<Py<Spec>> {
        let (number, _) = registry.number(target)?;
        let specs = self.special.lock();
        let known = specs
            .iter()
            .find(|spec| spec.0 == number && spec.1 == *fields);
        if let Some((_, _, spec)) = known {
            return Ok(spec.clone_ref(target.py()));
        }
        drop(specs);
        let spec = make(registry, target, fields)?;
        let mut specs = self.special.lock();
        let forgotten = if specs.len() >= SPECS_KEPT {
            std::mem::take(&mut *specs)
        } else {
            Vec::new()
        };
        specs.push((number, *fields, spec.clone_ref(target.py())));
        drop(specs);
        drop(forgotten);
        Ok(spec)
    }
}

fn make(registry: &Registry, target: &Bound<'_, PyAny>, fields: &Fields) -> PyResult<Py<Spec>> {
    let py = target.py();
    let (number, name) = registry.number(target)?;
    let (fields, limits) = fields.resolve()?;
    let options = Py::new(py, JobOptions { fields })?;
    let text = name.to_str(py)?.to_owned();
    Py::new(
        py,
        Spec {
            target: number,
            name,
            text,
            options,
            limits,
        },
    )
}

fn fields_of(options: &Bound<'_, PyAny>) -> PyResult<Fields> {
    match options.cast::<JobOptions>() {
        Ok(options) => Ok(options.get().fields),
        Err(_) => Err(PyTypeError::new_err(format!(
            "options must be JobOptions or None, not {options:?}"
        ))),
    }
}
