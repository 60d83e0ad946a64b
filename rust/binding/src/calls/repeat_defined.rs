//! A repeat that one process defines, and another one schedules, which owns the file.

use crate::calls::adding::carried_by;
use crate::calls::pending::Pending;
use crate::calls::repeat::{Keywords, read};
use crate::errors::schedule_failed;
use crate::schedules::reading::read_schedule;
use crate::shared::{Shared, releasing};
use crate::values::options::Fields;
use crate::values::payload::Fresh;
use duewheel_engine::engine::NewRepeat;
use duewheel_engine::jobs::repeats::Plan;
use duewheel_store::Carried;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::Arc;

/// What a repeat is scheduled with, for the owner of the file.
pub(crate) struct Defined<'py> {
    /// The text of its schedule and terms.
    pub(crate) definition: String,
    pub(crate) id: Option<Bound<'py, PyAny>>,
    pub(crate) options: Option<Bound<'py, PyAny>>,
    pub(crate) fields: Option<Fields>,
    pub(crate) carried: Carried,
}

/// Read what a repeat is to be scheduled with.
pub(crate) fn defined<'py>(
    schedule: &Bound<'py, PyAny>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Defined<'py>> {
    let Keywords {
        tz,
        id,
        options,
        terms,
        rare,
    } = read(schedule.py(), keywords)?;
    let schedule = read_schedule(schedule, tz.as_ref())?;
    let checked = schedule.check_gives_times();
    checked.map_err(|failure| schedule_failed(&failure))?;
    Ok(Defined {
        definition: Plan::new(schedule, terms).definition().to_string(),
        id,
        options,
        fields: rare.fields,
        carried: rare.carried,
    })
}

/// Schedule a repeat that another process has defined, or edit the one of its id.
pub(crate) fn repeat_defined(
    shared: &Arc<Shared>,
    (definition, id, declared): (&str, &str, bool),
    target: &Bound<'_, PyAny>,
    data: Option<Py<PyBytes>>,
    options: &Bound<'_, PyAny>,
    carried: Carried,
) -> PyResult<Pending<()>> {
    let py = target.py();
    let no_definition = || PyValueError::new_err(format!("this defines no repeat: {definition}"));
    let definition = definition.parse().map_err(|_| no_definition())?;
    let plan = Plan::read(&definition).map_err(|failure| schedule_failed(&failure))?;
    let spec = (shared.specs).special(target, Some(options), &Fields::default())?;
    shared.check_data(py, data.as_ref())?;
    let carried = carried_by(shared, py, &spec, carried)?;
    let fresh = Fresh::carrying(py, data, spec, carried);
    let seed = shared.seed;
    let made = releasing(py, |released| {
        fresh.give(|payload| {
            let new = NewRepeat {
                id: Some(Arc::from(id)),
                plan,
                declared,
                payload,
                seed,
            };
            shared.engine.repeat(new, released)
        })
    });
    shared.follow(py, id, made, |_, _, _, ticket| {
        Ok(Pending::Made((), ticket))
    })
}
