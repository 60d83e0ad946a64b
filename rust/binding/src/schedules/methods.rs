//! What schedules are asked, and their operators.

use super::moments::Moments;
use super::reading::operand;
use super::showing::datetime;
use super::value::{Schedule, show_schedule};
use crate::errors::schedule_failed;
use crate::values::convert::{bound, wall_time};
use duewheel_engine::clock::{Clock, SystemClock};
use duewheel_schedule::{Error, Schedule as Inner};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Ask a schedule, without the interpreter's lock if that may take long.
fn ask<T: Send>(
    py: Python<'_>,
    schedule: &Inner,
    question: impl Fn(&Inner) -> Result<T, Error> + Sync,
) -> PyResult<T> {
    let answer = if schedule.is_quick() {
        question(schedule)
    } else {
        py.detach(|| question(schedule))
    };
    answer.map_err(|error| schedule_failed(&error))
}

/// A time that was given, or now.
fn or_now(when: Option<&Bound<'_, PyAny>>, what: &str) -> PyResult<i64> {
    Ok(bound(when, what)?.unwrap_or_else(|| SystemClock.wall()))
}

type Combine = fn(Inner, Inner) -> Result<Inner, Error>;

/// What an operator makes of two operands; `NotImplemented` if one of them stands for no schedule.
fn combined(
    left: &Bound<'_, PyAny>,
    right: &Bound<'_, PyAny>,
    combine: Combine,
) -> PyResult<Py<PyAny>> {
    let py = left.py();
    let (Some(left), Some(right)) = (operand(left)?, operand(right)?) else {
        return Ok(py.NotImplemented());
    };
    let made = combine(left, right).map_err(|error| schedule_failed(&error))?;
    show_schedule(py, made)
}

#[pymethods]
impl Schedule {
    /// Return the first time after `after`, or after now, as an aware datetime in its zone; `None`: no more.
    ///
    /// An `Every` without an anchor counts from `after`.
    ///
    /// **Time**: `after` is an aware datetime or unix seconds.
    /// **Raises** `ValueError` for `Days`, for parts that never meet, and for a zone that is no longer known.
    ///
    /// >>> from duewheel import Cron
    /// >>> str(Cron("0 9 * * *").next(after=1_798_934_400))
    /// '2027-01-03 09:00:00+00:00'
    #[pyo3(signature = (after=None))]
    fn next<'py>(
        &self,
        py: Python<'py>,
        after: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let after = or_now(after, "after")?;
        let found = ask(py, self.inner(), |schedule| schedule.next(after))?;
        found
            .map(|time| datetime(py, time, self.inner().zone(), self.shown_in()))
            .transpose()
    }

    /// Return an iterator over the times with `start <= t < end`, looked for as they are asked for.
    ///
    /// Without `start` it begins now, without `end` it goes on until 2262. That of an `Every` without an anchor begins
    /// one period after `start`. Parts that never meet have none before `end`.
    ///
    /// **Time**: the bounds are aware datetimes or unix seconds.
    /// **Raises** as `next`.
    ///
    /// >>> from duewheel import Cron
    /// >>> [when.hour for when in Cron("0 */8 * * *").between(1_798_934_400, 1_798_934_400 + 86_400)]
    /// [0, 8, 16]
    #[pyo3(signature = (start=None, end=None))]
    fn between(
        &self,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Moments> {
        let (start, end) = (or_now(start, "start")?, bound(end, "end")?);
        self.inner()
            .check_gives_times()
            .map_err(|error| schedule_failed(&error))?;
        Ok(Moments::new(self.inner(), start, end))
    }

    /// Return a text of its next `n` times after `after`, or after now, with notes where clocks change.
    ///
    /// **Raises** as `next`.
    ///
    /// >>> from duewheel import Cron
    /// >>> print(Cron("30 2 * * *", tz="Europe/Paris").describe(2, after=1_806_148_800))
    /// Cron('30 2 * * *', tz='Europe/Paris')
    ///   Sun 2027-03-28 03:00 +02:00  (clocks go forward from 02:00 to 03:00: what was between is run now)
    ///   Mon 2027-03-29 02:30 +02:00
    #[pyo3(signature = (n=5, after=None))]
    fn describe(
        &self,
        py: Python<'_>,
        n: i64,
        after: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let Ok(count) = usize::try_from(n) else {
            return Err(PyValueError::new_err(format!(
                "n must be 0 or more, not {n}"
            )));
        };
        let after = or_now(after, "after")?;
        let told = py.detach(|| self.inner().describe(count, after));
        told.map_err(|error| schedule_failed(&error))
    }

    fn __contains__(&self, py: Python<'_>, when: &Bound<'_, PyAny>) -> PyResult<bool> {
        let time = wall_time(when, "when")?;
        ask(py, self.inner(), |schedule| schedule.contains(time))
    }

    fn __or__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        combined(slf, other, Inner::union)
    }

    fn __ror__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        combined(other, slf, Inner::union)
    }

    fn __and__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        combined(slf, other, Inner::intersection)
    }

    fn __rand__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        combined(other, slf, Inner::intersection)
    }

    fn __sub__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        combined(slf, other, Inner::difference)
    }

    fn __rsub__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        combined(other, slf, Inner::difference)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| other.get().inner() == self.inner())
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner().hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        self.inner().to_string()
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    /// Pickled as the text that a store has of it, which later versions read.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let function = py.import("duewheel._core")?.getattr("defined_schedule")?;
        Ok((function, PyTuple::new(py, [self.inner().definition()])?))
    }
}

/// Return the schedule of the text that a store or a pickle has of it.
///
/// **Raises** `ValueError` for what is none. A zone that is not known now is an error when it is asked for times.
#[pyfunction]
pub(crate) fn defined_schedule(py: Python<'_>, definition: &str) -> PyResult<Py<PyAny>> {
    let inner = Inner::from_definition(definition).map_err(|error| schedule_failed(&error))?;
    show_schedule(py, inner)
}
