//! What jobs are asked for, made once for all jobs that ask for the same.

use crate::values::convert;
use crate::values::options::{Fields, JobOptions, Spec};
use crate::values::payload::Handle;
use crate::values::target::{Names, Target};
use duewheel_engine::engine::Engine;
use duewheel_engine::sync::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many specifications without options are remembered: past that the oldest is forgotten with each
/// new one, for its target may be spoken of no more.
const PLAIN_KEPT: usize = 16_384;

/// How many specifications with options are remembered, likewise.
const SPECS_KEPT: usize = 1024;

/// The specifications of one scheduler, and the targets that they are for.
pub(crate) struct Specs {
    engine: Arc<Engine<Handle>>,
    names: Arc<Names>,
    /// The scheduler's own options.
    base: Fields,
    /// Target to [`Spec`], for jobs without options of their own.
    plain: Py<PyDict>,
    /// Its keys, the oldest first; one that was forgotten already may be among them.
    order: Mutex<VecDeque<Py<PyString>>>,
    special: Mutex<VecDeque<(u32, Fields, Py<Spec>)>>,
}

impl Specs {
    /// No specifications yet; `base` are the scheduler's own options.
    pub(crate) fn new(py: Python<'_>, engine: Arc<Engine<Handle>>, base: Fields) -> Self {
        Specs {
            engine,
            names: Arc::default(),
            base,
            plain: PyDict::new(py).unbind(),
            order: Mutex::default(),
            special: Mutex::default(),
        }
    }

    /// The target of this name, new or known.
    pub(crate) fn target(&self, name: &Bound<'_, PyAny>) -> PyResult<Arc<Target>> {
        let text = convert::name(name, "target")?;
        let renumber = |number| self.engine.renumber(number);
        Ok(self.names.target(name.py(), text, renumber))
    }

    /// How many targets are known, and how many numbers there are for them.
    pub(crate) fn targets(&self) -> (usize, u32) {
        self.names.counts()
    }

    /// The specification of a job for `target` without options of its own.
    #[inline]
    pub(crate) fn plain(&self, target: &Bound<'_, PyAny>) -> PyResult<Py<Spec>> {
        // Anything but an exact str may answer to the hash of one, and is no target.
        if let Ok(name) = target.cast_exact::<PyString>()
            && let Some(spec) = self.known(name)?
        {
            return Ok(spec);
        }
        self.new_plain(target)
    }

    #[inline]
    fn known(&self, name: &Bound<'_, PyString>) -> PyResult<Option<Py<Spec>>> {
        let spec = self.plain.bind(name.py()).get_item(name)?;
        // SAFETY: only specifications are put into this dictionary, below.
        Ok(spec.map(|spec| unsafe { spec.cast_into_unchecked::<Spec>() }.unbind()))
    }

    #[cold]
    fn new_plain(&self, target: &Bound<'_, PyAny>) -> PyResult<Py<Spec>> {
        let py = target.py();
        let target = self.target(target)?;
        let name = target.name.clone_ref(py);
        if let Some(spec) = self.known(name.bind(py))? {
            return Ok(spec);
        }
        let spec = make(py, target, &self.base)?;
        self.plain.bind(py).set_item(&name, &spec)?;
        let mut order = self.order.lock();
        order.push_back(name);
        let full = order.len() > PLAIN_KEPT;
        let oldest = if full { order.pop_front() } else { None };
        drop(order);
        if let Some(oldest) = oldest {
            // Another thread may have been faster.
            let _ = self.plain.bind(py).del_item(oldest);
        }
        Ok(spec)
    }

    /// The specification of a job for `target` with `given` laid over `options`.
    pub(crate) fn special(
        &self,
        target: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyAny>>,
        given: &Fields,
    ) -> PyResult<Py<Spec>> {
        let below = options.map(fields_of).transpose()?.unwrap_or_default();
        let call = given.over(&below);
        call.check()?;
        self.resolved(target, &call.over(&self.base))
    }

    /// The specification of a job for `target` with these fields, whatever the scheduler's own.
    pub(crate) fn resolved(
        &self,
        target: &Bound<'_, PyAny>,
        fields: &Fields,
    ) -> PyResult<Py<Spec>> {
        let py = target.py();
        let target = self.target(target)?;
        let number = target.number;
        let specs = self.special.lock();
        let known = specs
            .iter()
            .find(|spec| spec.0 == number && spec.1 == *fields);
        if let Some((_, _, spec)) = known {
            return Ok(spec.clone_ref(py));
        }
        drop(specs);
        let spec = make(py, target, fields)?;
        let mut specs = self.special.lock();
        let full = specs.len() >= SPECS_KEPT;
        let oldest = if full { specs.pop_front() } else { None };
        specs.push_back((number, *fields, spec.clone_ref(py)));
        drop(specs);
        // Freed under no lock.
        drop(oldest);
        Ok(spec)
    }
}

fn make(py: Python<'_>, target: Arc<Target>, fields: &Fields) -> PyResult<Py<Spec>> {
    let (fields, limits) = fields.resolve()?;
    let options = Py::new(py, JobOptions { fields })?;
    Py::new(
        py,
        Spec {
            target: target.number,
            name: target.name.clone_ref(py),
            text: target.text.clone(),
            _known: Some(target),
            options,
            limits,
        },
    )
}

/// The scheduler's own options, checked as a whole.
pub(crate) fn base(options: Option<&Bound<'_, PyAny>>) -> PyResult<Fields> {
    let base = options.map(fields_of).transpose()?.unwrap_or_default();
    base.resolve()?;
    Ok(base)
}

fn fields_of(options: &Bound<'_, PyAny>) -> PyResult<Fields> {
    match options.cast::<JobOptions>() {
        Ok(options) => Ok(options.get().fields),
        Err(_) => Err(PyTypeError::new_err(format!(
            "options must be JobOptions or None, not {options:?}"
        ))),
    }
}
