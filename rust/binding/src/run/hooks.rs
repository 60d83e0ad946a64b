//! What plugins are told: a callable for each hook, made by `duewheel.plugins`; none where no plugin has the hook.
//!
//! Each is called as if it was in the handler: a call that waits for the scheduler is refused there.

use crate::errors;
use crate::interpreter::call::{self, Arguments};
use crate::run::inside::{self, Identity};
use crate::values::dead::DeadEvent;
use crate::values::failure::{Failure, carry_traceback};
use crate::values::repeat::Repeat;
use duewheel_engine::sync::Mutex;
use duewheel_model::outcome::Reason;
use duewheel_store::{Error, Headers};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyString;

#[derive(Clone, Copy)]
enum Hook {
    Ended,
    Dead,
    Missed,
    Parked,
    StoreFailed,
    Scheduling,
}

/// What each is called in Python, in the order of [`Hook`].
const NAMES: [&str; 6] = [
    "ended",
    "dead",
    "missed",
    "parked",
    "store_failed",
    "scheduling",
];

/// The hooks of a scheduler.
pub(crate) struct Hooks {
    /// Which there are, a bit each: all that is read where there is none.
    present: u8,
    calls: Mutex<[Option<Py<PyAny>>; NAMES.len()]>,
}

impl Hooks {
    /// Those of a `duewheel.plugins.Hooks`, if there is one.
    pub(crate) fn read(hooks: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut present = 0;
        let mut calls = [const { None }; NAMES.len()];
        if let Some(hooks) = hooks {
            for (at, name) in NAMES.into_iter().enumerate() {
                let call = hooks.getattr(name)?;
                if !call.is_none() {
                    present |= 1 << at;
                    calls[at] = Some(call.unbind());
                }
            }
        }
        Ok(Hooks {
            present,
            calls: Mutex::new(calls),
        })
    }

    #[inline]
    fn has(&self, hook: Hook) -> bool {
        self.present & (1 << hook as u8) != 0
    }

    fn call<'py>(
        &self,
        py: Python<'py>,
        (scheduler, event): (Identity, &Py<PyAny>),
        hook: Hook,
        arguments: impl Arguments<'py>,
    ) {
        let call = self.calls.lock()[hook as usize]
            .as_ref()
            .map(|call| call.clone_ref(py));
        let Some(call) = call else {
            return; // all is over
        };
        let told = inside::within(scheduler, event, || call::python(py, &call, arguments));
        if let Err(error) = told {
            error.write_unraisable(py, None);
        }
    }

    /// Tell what has become of an attempt, in a word, and what its handler raised.
    #[inline]
    pub(crate) fn ended(
        &self,
        py: Python<'_>,
        (scheduler, event): (Identity, &Py<PyAny>),
        state: &'static str,
        error: Option<&PyErr>,
    ) {
        if self.has(Hook::Ended) {
            let error = error.map(|error| {
                carry_traceback(py, error);
                error.value(py).clone()
            });
            let arguments = (event.clone_ref(py), state, error);
            self.call(py, (scheduler, event), Hook::Ended, arguments);
        }
    }

    /// Tell of a job that is dead since `died`.
    pub(crate) fn dead(
        &self,
        py: Python<'_>,
        (scheduler, event): (Identity, &Py<PyAny>),
        (reason, failure): (Reason, &Failure),
        died: i64,
    ) {
        if self.has(Hook::Dead)
            && let Some(dead) = DeadEvent::of_event(py, event, reason, failure, died)
        {
            self.call(py, (scheduler, event), Hook::Dead, (dead,));
        }
    }

    /// Tell how many times of a repeat were passed over or merged; `find` finds the repeat.
    pub(crate) fn missed(
        &self,
        py: Python<'_>,
        scheduler: Identity,
        count: u64,
        find: impl FnOnce() -> Option<Repeat>,
    ) {
        if self.has(Hook::Missed)
            && let Some(repeat) = find()
        {
            self.call(py, (scheduler, &py.None()), Hook::Missed, (repeat, count));
        }
    }

    /// Tell of a target that has jobs and no handler.
    pub(crate) fn parked(&self, py: Python<'_>, scheduler: Identity, target: &str) {
        if self.has(Hook::Parked) {
            self.call(py, (scheduler, &py.None()), Hook::Parked, (target,));
        }
    }

    /// Tell that the store takes nothing any more.
    pub(crate) fn store_failed(&self, py: Python<'_>, scheduler: Identity, failure: &Error) {
        if self.has(Hook::StoreFailed) {
            let error = errors::store_failed(py, failure, None);
            let error = error.value(py).clone();
            self.call(py, (scheduler, &py.None()), Hook::StoreFailed, (error,));
        }
    }

    /// Whether any is called where a job is scheduled.
    #[inline]
    pub(crate) fn are_scheduling(&self) -> bool {
        self.has(Hook::Scheduling)
    }

    /// The headers of a job that is scheduled for a target, with those that plugins add.
    pub(crate) fn scheduling(
        &self,
        py: Python<'_>,
        target: Py<PyString>,
        headers: Headers,
    ) -> PyResult<Option<Py<PyAny>>> {
        let call = self.calls.lock()[Hook::Scheduling as usize]
            .as_ref()
            .map(|call| call.clone_ref(py));
        let added = call.map(|call| call::python(py, &call, (target, headers)));
        Ok(added.transpose()?.map(Bound::unbind))
    }

    /// Forget them: they may refer to the scheduler. To be dropped under no lock.
    pub(crate) fn take(&self) -> [Option<Py<PyAny>>; NAMES.len()] {
        std::mem::replace(&mut *self.calls.lock(), [const { None }; NAMES.len()])
    }

    /// Visit them; tried only, for the collector must not wait.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(calls) = self.calls.try_lock() {
            for call in calls.iter().flatten() {
                visit.call(call)?;
            }
        }
        Ok(())
    }
}
