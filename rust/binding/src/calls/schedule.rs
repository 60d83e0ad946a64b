//! `at`, `in_` and what takes in an event as it stands: one body, for threads and for coroutines.

use crate::calls::adding::carried_by;
use crate::calls::pending::Pending;
use crate::errors::refused;
use crate::log;
use crate::shared::{Shared, releasing};
use crate::values::carried::Rare;
use crate::values::convert;
use crate::values::event::Event;
use crate::values::ids;
use crate::values::options::Fields;
use crate::values::payload::Fresh;
use duewheel_engine::engine::{Due, OnConflict};
use duewheel_store::{Carried, Progress};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::sync::Arc;

/// What a job is scheduled with, beside its due and its options' keywords.
pub(crate) struct Given<'a, 'py> {
    pub(crate) target: &'a Bound<'py, PyAny>,
    pub(crate) data: Option<Bound<'py, PyAny>>,
    pub(crate) id: Option<&'a Bound<'py, PyAny>>,
    pub(crate) options: Option<&'a Bound<'py, PyAny>>,
    /// What it carries beside its data.
    pub(crate) carried: Carried,
    /// What becomes of a job that has its id.
    pub(crate) on_conflict: OnConflict,
}

impl Given<'_, '_> {
    /// The same with keywords that few calls have, and the fields among them.
    pub(crate) fn with(self, rare: Rare) -> (Self, Option<Fields>) {
        let given = Given {
            carried: rare.carried,
            on_conflict: rare.on_conflict,
            ..self
        };
        (given, rare.fields)
    }
}

/// Schedule a job; its id.
#[inline]
pub(crate) fn schedule(
    shared: &Arc<Shared>,
    due: Due,
    given: Given<'_, '_>,
    fields: Option<Fields>,
) -> PyResult<Pending<Py<PyString>>> {
    let py = given.target.py();
    let engine = &*shared.engine;
    let spec = if given.options.is_none() && fields.is_none() {
        shared.specs.plain(given.target)?
    } else {
        let fields = fields.unwrap_or_default();
        shared.specs.special(given.target, given.options, &fields)?
    };
    let data = given.data.as_ref().map_or(Ok(None), convert::data)?;
    shared.check_data(py, data.as_ref())?;
    check_conflict(&given)?;
    let carried = carried_by(shared, py, &spec, given.carried)?;
    let Some(id) = given.id else {
        let fresh = Fresh::carrying(py, data, spec, carried);
        let made = releasing(py, |released| {
            fresh.give(|handle| engine.schedule(due, handle, released))
        });
        return match made {
            Ok((id, ticket)) => Ok(Pending::Made(ids::text(py, id).unbind(), ticket)),
            Err(error) => Err(refused(py, error, "")),
        };
    };
    let text = convert::name(id, "id")?;
    let fresh = Fresh::carrying(py, data, spec, carried);
    let made = releasing(py, |released| {
        fresh.give(|handle| engine.schedule_over(text, due, given.on_conflict, handle, released))
    });
    let id = text.to_owned();
    shared.follow(py, text, made, move |py, _, (), ticket| {
        Ok(Pending::Made(PyString::new(py, &id).unbind(), ticket))
    })
}

/// Refuse what cannot be said of a job without a given id.
#[inline]
fn check_conflict(given: &Given<'_, '_>) -> PyResult<()> {
    if given.on_conflict != OnConflict::Error && given.id.is_none() {
        return Err(PyValueError::new_err(
            "on_conflict says what becomes of the job that has the id: give it an id=, too",
        ));
    }
    Ok(())
}

/// Take in a pending event as it stands.
pub(crate) fn restore(shared: &Arc<Shared>, event: &Bound<'_, PyAny>) -> PyResult<Pending<()>> {
    let py = event.py();
    let event = event
        .cast::<Event>()
        .map_err(|_| PyTypeError::new_err(format!("event must be an Event, not {event:?}")))?;
    let event = event.get();
    let job = event.job_ref();
    let options = job.spec.get().options.bind(py).clone().into_any();
    let name = job.spec.get().name.bind(py);
    let spec = shared
        .specs
        .special(name, Some(&options), &Fields::default())?;
    let data = job.data.as_ref().map(|data| data.bind(py));
    let data = data.map(|data| {
        data.cast::<PyBytes>()
            .map(|data| data.clone().unbind())
            .map_err(|_| {
                PyTypeError::new_err(format!(
                    "event must have bytes for data, not {data:?}: that of a timer is started by timer() alone"
                ))
            })
    });
    let data = data.transpose()?;
    shared.check_data(py, data.as_ref())?;
    let fresh = Fresh::carrying(py, data, spec, job.carried.clone());
    // An age begins with a start here.
    let progress = Progress {
        first_start: None,
        ..event.progress
    };
    job.id.with_str(|id| {
        let engine = &*shared.engine;
        let made = releasing(py, |released| {
            fresh.give(|handle| engine.restore(id, job.due, event.due, progress, handle, released))
        });
        shared.follow(py, id, made, |_, _, (), ticket| {
            Ok(Pending::Made((), ticket))
        })
    })
}

/// Warn of a due of a year ago: it is a mistaken unit as a rule.
pub(crate) fn warn_if_ancient(shared: &Shared, py: Python<'_>, due: Due) {
    const YEAR: i64 = 365 * 86_400 * duewheel_model::time::SECOND;
    if let Due::At(due) = due
        && due < shared.engine.clock().wall().saturating_sub(YEAR)
    {
        log::ancient(py, due);
    }
}
