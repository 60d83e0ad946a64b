//! `at`, `in_`, `repeat` and `cancel` in a transaction of the caller's: what the statement says, which Python sends.

use crate::calls::adding::carried_by;
use crate::calls::repeat::{Given, made};
use crate::calls::schedule::warn_if_ancient;
use crate::calls::scheduler::SchedulerCore;
use crate::errors::{error, refused, store_failed};
use crate::shared::Shared;
use crate::values::carried::Rare;
use crate::values::convert;
use duewheel_engine::engine::{Due, OnConflict, Refused};
use duewheel_postgres::check_text;
use duewheel_store::standing;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Target, due or delay, whether it is a delay, data, id; retry limit, shortest and longest backoff, age limit, and
/// whether it starts at most once: the parameters of `schedule_v1`, in its order; for `schedule_v2`, what it carries.
type Terms = (
    String,
    i64,
    bool,
    Py<PyBytes>,
    Option<String>,
    Option<u32>,
    i64,
    i64,
    Option<i64>,
    bool,
    Option<Py<PyBytes>>,
);

/// The schema of the tables that a scheduler keeps its jobs in.
fn schema(shared: &Shared, py: Python<'_>) -> PyResult<String> {
    if shared.engine.is_closed() {
        return Err(refused(py, Refused::Closed, ""));
    }
    shared.backing.schema.clone().ok_or_else(|| {
        let message = "connection= is for jobs in a PostgreSQL database, and this scheduler keeps its jobs in memory \
                       or in a file: give it a PostgresStorage, or leave connection= out";
        error(py, |names| &names.state_error, message)
    })
}

fn checked(py: Python<'_>, text: &str, what: &str) -> PyResult<String> {
    check_text(what, text).map_err(|failure| store_failed(py, &failure, None))?;
    Ok(text.to_owned())
}

fn check_conflict(py: Python<'_>, on_conflict: OnConflict) -> PyResult<()> {
    if on_conflict == OnConflict::Error {
        return Ok(());
    }
    let message = "connection= takes no on_conflict= but 'error': what the transaction sees of the id is decided in it";
    Err(error(py, |names| &names.state_error, message))
}

/// Return the schema, and what a statement that schedules a job is given; refuse what `at` and `in_` refuse.
#[pyfunction]
#[pyo3(signature = (scheduler, is_delay, when, target, data=None, *, id=None, options=None, **job_options))]
#[allow(clippy::too_many_arguments)] // they are the public call's
pub(crate) fn transaction_terms(
    scheduler: &Bound<'_, SchedulerCore>,
    is_delay: bool,
    when: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    data: Option<&Bound<'_, PyAny>>,
    id: Option<&Bound<'_, PyAny>>,
    options: Option<&Bound<'_, PyAny>>,
    job_options: Option<&Bound<'_, PyDict>>,
) -> PyResult<(String, Terms)> {
    let py = scheduler.py();
    let shared = scheduler.get().shared(py)?;
    let schema = schema(shared, py)?;
    let (call, due) = if is_delay {
        ("Scheduler.in_", convert::delay(when, "delay")?)
    } else {
        ("Scheduler.at", convert::wall_time(when, "when")?)
    };
    if is_delay && shared.engine.clock().wall().checked_add(due).is_none() {
        return Err(refused(py, Refused::Overflow(due), ""));
    }
    let rare = job_options.map(|given| Rare::read(given, call));
    let Rare {
        carried,
        on_conflict,
        fields,
    } = rare.transpose()?.unwrap_or_default();
    check_conflict(py, on_conflict)?;
    let fields = fields.unwrap_or_default();
    let made = shared.specs.special(target, options, &fields)?;
    let spec = made.get();
    let name = checked(py, &spec.text, "target")?;
    let data = data.map_or(Ok(None), convert::data)?;
    shared.check_data(py, data.as_ref())?;
    let id = id.map(|id| checked(py, convert::name(id, "id")?, "id"));
    let id = id.transpose()?;
    let carried = carried_by(shared, py, &made, carried)?;
    let carried = carried.map(|carried| PyBytes::new(py, &carried.encode()).unbind());
    if !is_delay {
        warn_if_ancient(shared, py, Due::At(due));
    }
    let data = data.unwrap_or_else(|| PyBytes::new(py, b"").unbind());
    let limits = &spec.limits;
    Ok((
        schema,
        (
            name,
            due,
            is_delay,
            data,
            id,
            limits.retry_limit,
            limits.min_backoff,
            limits.max_backoff,
            limits.age_limit,
            limits.at_most_once,
            carried,
        ),
    ))
}

/// Target, due, data, id; retry limit, shortest and longest backoff, age limit, whether it starts at most once; definition, and
/// how far it has come: the parameters of `repeat_v1`, in its order; for `repeat_v2`, what it carries.
type RepeatTerms = (
    String,
    i64,
    Py<PyBytes>,
    String,
    Option<u32>,
    i64,
    i64,
    Option<i64>,
    bool,
    String,
    Py<PyBytes>,
    Option<Py<PyBytes>>,
);

/// Return the schema, and what a statement that schedules a repeat is given; refuse what `repeat` refuses.
#[pyfunction]
#[pyo3(signature = (scheduler, schedule, target, data=None, **keywords))]
pub(crate) fn transaction_repeats<'py>(
    scheduler: &Bound<'py, SchedulerCore>,
    schedule: &Bound<'py, PyAny>,
    target: &Bound<'py, PyAny>,
    data: Option<Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<(String, RepeatTerms)> {
    let py = scheduler.py();
    let shared = scheduler.get().shared(py)?;
    let schema = schema(shared, py)?;
    let given = Given {
        schedule,
        target,
        data,
        keywords,
        declared: false,
    };
    let made = made(shared, &given)?;
    let text = made.id.clone().unwrap_or_default();
    // Its payload stays here: the tables get a copy.
    let mut job = Err(Refused::Closed);
    let _ = made.give(|new| {
        job = shared.engine.repeat_for_tables(&new);
        Err::<(), ()>(())
    });
    let job = job.map_err(|error| refused(py, error, &text))?;
    let target = checked(py, &job.target, "target")?;
    let id = checked(py, &job.id, "id")?;
    let repeat = job.repeat.as_deref();
    let definition = repeat.map(|repeat| repeat.definition.to_string());
    let standing = repeat.map(|repeat| PyBytes::new(py, &standing::encode(&repeat.standing)));
    let carried = job.carried.as_deref();
    let carried = carried.map(|carried| PyBytes::new(py, &carried.encode()));
    let options = &job.options;
    Ok((
        schema,
        (
            target,
            job.place.due,
            PyBytes::new(py, &job.data).unbind(),
            id,
            options.retry_limit,
            options.min_backoff,
            options.max_backoff,
            options.age_limit,
            options.at_most_once,
            definition.unwrap_or_default(),
            standing.unwrap_or_else(|| PyBytes::new(py, b"")).unbind(),
            carried.map(Bound::unbind),
        ),
    ))
}

/// Return the schema and the id for a statement that withdraws a job; refuse what `cancel` refuses.
#[pyfunction]
pub(crate) fn transaction_cancels(
    scheduler: &Bound<'_, SchedulerCore>,
    id: &Bound<'_, PyAny>,
) -> PyResult<(String, String)> {
    let py = scheduler.py();
    let schema = schema(scheduler.get().shared(py)?, py)?;
    Ok((schema, checked(py, convert::name(id, "id")?, "id")?))
}

/// Return the error for an id that is taken.
#[pyfunction]
pub(crate) fn duplicate_job(py: Python<'_>, id: &str) -> Py<PyAny> {
    refused(py, Refused::Duplicate, id)
        .into_value(py)
        .into_any()
}
