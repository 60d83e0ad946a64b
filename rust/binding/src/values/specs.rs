//! What jobs are asked for, made once for all jobs that ask for the same.

use crate::values::convert;
use crate::values::options::{Fields, JobOptions, Spec};
use crate::values::payload::Handle;
use crate::values::target::{Names, Target};
use duewheel_engine::engine::{Engine, TargetCounts};
use duewheel_engine::handover::lanes::{Lane, Lanes};
use duewheel_engine::jobs::record::Released;
use duewheel_engine::sync::Mutex;
use duewheel_store::Error;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

/// How many specifications without options are remembered: past that the oldest is forgotten with each
/// new one, for its target may be spoken of no more.
const PLAIN_KEPT: usize = 16_384;

/// How many specifications with options are remembered, likewise.
const SPECS_KEPT: usize = 1024;

/// The specifications of one scheduler, and the targets that they are for.
pub(crate) struct Specs {
    engine: Arc<Engine<Handle>>,
    names: Arc<Names>,
    plain: PlainSpecs,
    timers: PlainSpecs,
    /// Of timers with a callable and no options of their own, by its lane.
    calls: Lanes<OnceLock<Py<Spec>>>,
    special: Mutex<VecDeque<(u32, Fields, Py<Spec>)>>,
}

/// The specifications of jobs without options of their own.
struct PlainSpecs {
    /// The options that these jobs have.
    base: Fields,
    /// Target to [`Spec`].
    by_target: Py<PyDict>,
    /// Its keys, the oldest first; one that was forgotten already may be among them.
    order: Mutex<VecDeque<Py<PyString>>>,
}

/// What an event of a timer says its target is, where that is a callable.
const CALLABLE: &str = "<callable>";

impl Specs {
    /// No specifications yet; `base` are the scheduler's own options.
    pub(crate) fn new(py: Python<'_>, engine: Arc<Engine<Handle>>, base: Fields) -> Self {
        Specs {
            names: Names::new(engine.clone()),
            engine,
            plain: PlainSpecs::new(py, base),
            timers: PlainSpecs::new(py, base.without_retries()),
            calls: Lanes::default(),
            special: Mutex::default(),
        }
    }

    /// The target of this name, new or known.
    pub(crate) fn target(&self, name: &Bound<'_, PyAny>) -> PyResult<Arc<Target>> {
        let text = convert::name(name, "target")?;
        Ok(self.names.target(name.py(), text))
    }

    /// The number of the target of this name, if anything speaks of it.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.names.number(name)
    }

    /// What is counted of each target, by its name, in the order of names; `""`: of those that were forgotten.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(crate) fn counted(
        &self,
        released: &mut Released<Handle>,
    ) -> Result<BTreeMap<Arc<str>, TargetCounts>, Error> {
        let name_of = |number| self.names.name_of(number);
        let found = self.engine.count_targets(&name_of, released)?;
        let names = self.names.names();
        let name_of = |number: u32| names.get(number as usize).cloned().flatten();
        let numbered = found.numbered.into_iter();
        let numbered =
            numbered.map(|(number, counts)| (name_of(number).unwrap_or_default(), counts));
        let named = found.named.into_iter();
        let named = named.map(|(name, counts)| (Arc::from(name), counts));
        let forgotten = [(Arc::default(), found.forgotten)];
        let mut counted = BTreeMap::<Arc<str>, TargetCounts>::new();
        for (name, counts) in numbered.chain(named).chain(forgotten) {
            counted.entry(name).or_default().add(&counts);
        }
        counted.retain(|_, counts| !counts.is_nothing());
        Ok(counted)
    }

    /// What a number stands for.
    pub(crate) fn name_of(&self, number: u32) -> Arc<str> {
        self.names.name_of(number).unwrap_or_default()
    }

    /// How many targets are known, and how many numbers there are for them.
    pub(crate) fn targets(&self) -> (usize, u32) {
        self.names.counts()
    }

    /// The specification of a job for `target` without options of its own.
    #[inline]
    pub(crate) fn plain(&self, target: &Bound<'_, PyAny>) -> PyResult<Py<Spec>> {
        self.of(&self.plain, target)
    }

    /// The same, if it is known, of an exact str; no error is set where it is not.
    #[inline]
    pub(crate) fn known(&self, target: &Bound<'_, PyAny>) -> Option<Py<Spec>> {
        let name = target.cast_exact::<PyString>().ok()?;
        self.plain.known(name).ok().flatten()
    }

    /// The same of a timer.
    #[inline]
    pub(crate) fn plain_timer(&self, target: &Bound<'_, PyAny>) -> PyResult<Py<Spec>> {
        self.of(&self.timers, target)
    }

    #[inline(always)]
    fn of(&self, specs: &PlainSpecs, target: &Bound<'_, PyAny>) -> PyResult<Py<Spec>> {
        // Anything but an exact str may answer to the hash of one, and is no target.
        let name = target.cast_exact::<PyString>().ok();
        if let Some(name) = name
            && let Some(spec) = specs.known(name)?
        {
            return Ok(spec);
        }
        specs.make(target.py(), self.target(target)?, name)
    }

    /// Whether a timer has called something on this lane.
    pub(crate) fn has_call(&self, lane: Lane) -> bool {
        self.calls[lane].get().is_some()
    }

    /// The specification of a timer that calls something on this lane.
    #[inline]
    pub(crate) fn call(&self, py: Python<'_>, lane: Lane) -> PyResult<Py<Spec>> {
        match self.calls[lane].get() {
            Some(spec) => Ok(spec.clone_ref(py)),
            None => self.new_call(py, lane),
        }
    }

    #[cold]
    fn new_call(&self, py: Python<'_>, lane: Lane) -> PyResult<Py<Spec>> {
        let engine = &*self.engine;
        let target = self.names.unlisted(py, CALLABLE);
        let number = target.number;
        let spec = make(py, target, &self.timers.base)?;
        py.detach(|| engine.set_registered(number, CALLABLE, Some(lane)));
        // Of two threads one was faster; the number that is not needed is given up.
        let _ = self.calls[lane].set(spec);
        self.call(py, lane)
    }

    /// The specification of a timer with these options.
    pub(crate) fn special_timer(
        &self,
        target: Result<&Bound<'_, PyAny>, Py<Spec>>,
        given: &Fields,
        py: Python<'_>,
    ) -> PyResult<Py<Spec>> {
        given.check_timer()?;
        let base = if given.has_retry_limit() {
            &self.plain.base
        } else {
            &self.timers.base
        };
        let fields = given.over(base);
        let target = match target {
            Ok(name) => self.target(name)?,
            Err(call) => call.get()._known.clone().ok_or_else(|| {
                PyTypeError::new_err("a callable has no target") // never: one is made for its lane
            })?,
        };
        self.resolved_for(py, target, &fields)
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
        self.resolved(target, &call.over(&self.plain.base))
    }

    /// The specification of a job for `target` with these fields, whatever the scheduler's own.
    pub(crate) fn resolved(
        &self,
        target: &Bound<'_, PyAny>,
        fields: &Fields,
    ) -> PyResult<Py<Spec>> {
        self.resolved_for(target.py(), self.target(target)?, fields)
    }

    fn resolved_for(
        &self,
        py: Python<'_>,
        target: Arc<Target>,
        fields: &Fields,
    ) -> PyResult<Py<Spec>> {
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

impl PlainSpecs {
    fn new(py: Python<'_>, base: Fields) -> Self {
        PlainSpecs {
            base,
            by_target: PyDict::new(py).unbind(),
            order: Mutex::default(),
        }
    }

    #[inline]
    fn known(&self, name: &Bound<'_, PyString>) -> PyResult<Option<Py<Spec>>> {
        let spec = self.by_target.bind(name.py()).get_item(name)?;
        // SAFETY: only specifications are put into this dictionary, below.
        Ok(spec.map(|spec| unsafe { spec.cast_into_unchecked::<Spec>() }.unbind()))
    }

    #[cold]
    fn make(
        &self,
        py: Python<'_>,
        target: Arc<Target>,
        given: Option<&Bound<'_, PyString>>,
    ) -> PyResult<Py<Spec>> {
        // The caller's own object, a literal as a rule: when it is met again, it is found by identity.
        let name = given.unwrap_or(target.name.bind(py)).clone().unbind();
        if let Some(spec) = self.known(name.bind(py))? {
            return Ok(spec);
        }
        let spec = make(py, target, &self.base)?;
        self.by_target.bind(py).set_item(&name, &spec)?;
        let mut order = self.order.lock();
        order.push_back(name);
        let full = order.len() > PLAIN_KEPT;
        let oldest = if full { order.pop_front() } else { None };
        drop(order);
        if let Some(oldest) = oldest {
            // Another thread may have been faster.
            let _ = self.by_target.bind(py).del_item(oldest);
        }
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

/// The fields of options that were given.
pub(crate) fn fields_of(options: &Bound<'_, PyAny>) -> PyResult<Fields> {
    match options.cast::<JobOptions>() {
        Ok(options) => Ok(options.get().fields),
        Err(_) => Err(PyTypeError::new_err(format!(
            "options must be JobOptions or None, not {options:?}"
        ))),
    }
}
