//! `Timer`: the handle of a job in memory, whose data is any object.

use crate::errors::{error, refused};
use crate::shared::Shared;
use crate::values::callable;
use crate::values::convert;
use crate::values::data::Data;
use crate::values::ids;
use crate::values::options::{Fields, Spec};
use crate::values::payload::Fresh;
use duewheel_engine::due::queue::Key;
use duewheel_engine::engine::Engine;
use duewheel_engine::handover::queue::Lane;
use duewheel_engine::jobs::ids::Halves;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A job in memory that was started by `Scheduler.timer`; dropping it changes nothing.
///
/// **Concurrency**: any thread may call it. A `cancel` that returns `True` means that it never starts.
/// **Raises** `ForkedError` in a forked child, and nothing after `close`, which drops what is pending.
#[pyclass(frozen, module = "duewheel")]
pub(crate) struct Timer {
    /// `None`: it is of a scheduler that discards all jobs.
    started: Option<Started>,
    /// Its last known due, on the boot clock.
    due: AtomicI64,
}

struct Started {
    owner: Py<TimerOwner>,
    key: Key,
    id: Halves,
}

/// What a scheduler's timers refer to: counted as an object, what its threads share costs no atomic operations.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct TimerOwner(pub(crate) Arc<Shared>);

/// Start a timer of a scheduler.
#[inline]
pub(crate) fn start(
    scheduler: &Bound<'_, PyAny>,
    owner: &Py<TimerOwner>,
    delay: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    data: Option<Bound<'_, PyAny>>,
    fields: &[Option<Bound<'_, PyAny>>; 5],
) -> PyResult<Timer> {
    let py = scheduler.py();
    let shared = &*owner.get().0;
    if shared.backing.writes {
        return Err(in_file(py));
    }
    let delay = convert::delay(delay, "delay")?;
    let is_plain = fields.iter().all(Option::is_none);
    let (data, spec) = if target.is_instance_of::<PyString>() {
        let spec = if is_plain {
            shared.specs.plain_timer(target)?
        } else {
            let fields = Fields::given(fields)?;
            shared.specs.special_timer(Ok(target), &fields, py)?
        };
        let data = data.unwrap_or_else(|| py.None().into_bound(py));
        (Data::object(data), spec)
    } else {
        let spec = spec_of_call(scheduler, shared, target)?;
        let spec = if is_plain {
            spec
        } else {
            let fields = Fields::given(fields)?;
            shared.specs.special_timer(Err(spec), &fields, py)?
        };
        (Data::call(target.clone(), data)?, spec)
    };
    let fresh = Fresh::new(py, data, spec);
    let started = fresh.give(|handle| shared.engine.start_timer(delay, handle));
    let started = started.map_err(|error| refused(py, error, ""))?;
    Ok(Timer {
        started: Some(Started {
            owner: owner.clone_ref(py),
            key: started.key,
            id: started.id,
        }),
        due: AtomicI64::new(started.due),
    })
}

#[cold]
fn in_file(py: Python<'_>) -> PyErr {
    let message = "timer() keeps an object in memory, and this scheduler keeps its jobs in a file: \
                   schedule with in_(), or start timers on a Scheduler() of their own";
    error(py, |names| &names.state_error, message)
}

/// The specification of a timer that calls this.
#[inline]
fn spec_of_call(
    scheduler: &Bound<'_, PyAny>,
    shared: &Shared,
    callable: &Bound<'_, PyAny>,
) -> PyResult<Py<Spec>> {
    let Some(lane) = callable::lane(callable)? else {
        return Err(convert::no_target(callable));
    };
    if lane == Lane::Loop && !shared.specs.has_call(lane) {
        scheduler.call_method0("_expect_async")?;
    }
    shared.specs.call(scheduler.py(), lane)
}

impl Timer {
    /// The engine, in the process that has started it.
    #[inline]
    fn engine(
        &self,
        py: Python<'_>,
    ) -> PyResult<Option<(&Engine<crate::values::payload::Handle>, Key)>> {
        let Some(started) = &self.started else {
            return Ok(None);
        };
        let shared = &*started.owner.get().0;
        shared.check_fork(py)?;
        Ok(Some((&shared.engine, started.key)))
    }
}

#[pymethods]
impl Timer {
    /// The id of its job, made when it is asked for.
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        match &self.started {
            Some(started) => ids::text(py, started.id),
            None => PyString::new(py, ""),
        }
    }

    /// Withdraw it.
    ///
    /// `True`: it was pending and will never start. `False`: it runs or is over, or the scheduler is closed.
    ///
    /// **Cost**: O(1), amortised.
    fn cancel(&self, py: Python<'_>) -> PyResult<bool> {
        let Some((engine, key)) = self.engine(py)? else {
            return Ok(false);
        };
        let cancelled = engine
            .cancel_timer(key)
            .map(|handle| Fresh::back(py, handle));
        Ok(cancelled.is_some())
    }

    /// Move it to a delay from now, at a new place in the order; `False` as for `cancel`.
    ///
    /// **Time**: seconds or a `timedelta`, on the boot clock. **Raises** as `timer` for what is no delay.
    fn reschedule(&self, delay: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = delay.py();
        let Some((engine, key)) = self.engine(py)? else {
            return Ok(false);
        };
        let delay = convert::delay(delay, "delay")?;
        let moved = engine.move_timer(key, delay);
        let moved = moved.map_err(|error| refused(py, error, ""))?;
        if let Some(due) = moved {
            self.due.store(due, Ordering::Relaxed);
        }
        Ok(moved.is_some())
    }

    /// Whether it waits, for a retry too: it neither runs nor is over.
    #[getter]
    fn pending(&self, py: Python<'_>) -> PyResult<bool> {
        let timer = self.engine(py)?;
        Ok(timer.is_some_and(|(engine, key)| engine.timer_due(key).is_some()))
    }

    /// When it is due, in unix nanoseconds; once it is not pending, when it was.
    #[getter]
    fn due(&self, py: Python<'_>) -> PyResult<i64> {
        let Some((engine, key)) = self.engine(py)? else {
            return Ok(0);
        };
        let due = || engine.on_wall(self.due.load(Ordering::Relaxed));
        Ok(engine.timer_due(key).unwrap_or_else(due))
    }

    /// One that does nothing.
    #[staticmethod]
    fn _nop() -> Self {
        Timer {
            started: None,
            due: AtomicI64::new(0),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let state = if self.pending(py)? { "pending" } else { "over" };
        Ok(format!("<duewheel.Timer {state}, due {}>", self.due(py)?))
    }
}
