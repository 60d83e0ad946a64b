//! `repeat` and the calls about repeats: one body, for threads and for coroutines.

use crate::calls::adding::carried_by;
use crate::calls::pending::Pending;
use crate::errors::{refused, schedule_failed};
use crate::schedules::reading::read_schedule;
use crate::shared::{Shared, releasing};
use crate::values::carried::Rare;
use crate::values::convert;
use crate::values::ids;
use crate::values::options::Fields;
use crate::values::payload::{Fresh, Handle};
use crate::values::repeat::Repeat;
use duewheel_engine::engine::{AT_ONCE, NewRepeat, StoredView};
use duewheel_engine::jobs::repeats::Plan;
use duewheel_model::repeat::{CatchUp, Terms};
use duewheel_store::{Answer, Query};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBoolMethods, PyDict, PyString};
use std::sync::Arc;

/// What a repeat is scheduled with.
pub(crate) struct Given<'a, 'py> {
    pub(crate) schedule: &'a Bound<'py, PyAny>,
    pub(crate) target: &'a Bound<'py, PyAny>,
    pub(crate) data: Option<Bound<'py, PyAny>>,
    /// All its keywords, those of its options, too.
    pub(crate) keywords: Option<&'a Bound<'py, PyDict>>,
    /// Whether it starts only in a life of the program that declares it.
    pub(crate) declared: bool,
}

/// The keywords of a repeat that are none of its options.
#[derive(Default)]
pub(super) struct Keywords<'py> {
    pub(super) tz: Option<Bound<'py, PyAny>>,
    pub(super) id: Option<Bound<'py, PyAny>>,
    pub(super) options: Option<Bound<'py, PyAny>>,
    pub(super) terms: Terms,
    pub(super) rare: Rare,
}

/// Read the keywords of a repeat.
pub(super) fn read<'py>(
    py: Python<'py>,
    given: Option<&Bound<'py, PyDict>>,
) -> PyResult<Keywords<'py>> {
    let mut keywords = Keywords::default();
    let Some(given) = given else {
        return Ok(keywords);
    };
    let terms = &mut keywords.terms;
    let options = PyDict::new(py);
    for (name, value) in given {
        let text: String = name.extract()?;
        let some = Some(&value).filter(|value| !value.is_none());
        match text.as_str() {
            "tz" => keywords.tz = some.cloned(),
            "id" => keywords.id = some.cloned(),
            "options" => keywords.options = some.cloned(),
            "start" => terms.start = convert::bound(some, "start")?,
            "end" => terms.end = convert::bound(some, "end")?,
            "count" => {
                terms.count = some
                    .map(|value| convert::count(value, "count"))
                    .transpose()?
                    .map(|count| count as u64);
            }
            "spread" => {
                terms.spread = some.map_or(Ok(0), |value| convert::delay(value, "spread"))?;
            }
            "window" => {
                terms.window = some
                    .map(|value| convert::delay(value, "window"))
                    .transpose()?;
            }
            "catch_up" => terms.catch_up = catch_up(&value)?,
            "pause_on_dead" => terms.pause_on_dead = flag(&value, "pause_on_dead")?,
            text => {
                // What is kept is the end of a job, and a repeat comes again.
                if text == "keep" || !keywords.rare.take(text, &value)? {
                    options.set_item(name, value)?;
                }
            }
        }
    }
    if terms.catch_up == CatchUp::All && terms.window.is_none() {
        return Err(PyValueError::new_err(
            "catch_up='all' needs a window: how late an occurrence may start, in seconds, such as window=86_400",
        ));
    }
    if let (Some(start), Some(end)) = (terms.start, terms.end)
        && end <= start
    {
        return Err(PyValueError::new_err(format!(
            "end must be after start: {end} <= {start}, in unix nanoseconds"
        )));
    }
    if !options.is_empty() {
        keywords.rare.fields = Some(Fields::read(&options, "Scheduler.repeat")?);
    }
    Ok(keywords)
}

fn catch_up(value: &Bound<'_, PyAny>) -> PyResult<CatchUp> {
    let word = value.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!(
            "catch_up must be 'one', 'all' or 'none', not {value:?}"
        ))
    })?;
    word.to_str()?.parse().map_err(|()| {
        PyValueError::new_err(format!(
            "catch_up must be 'one', 'all' or 'none', not {value:?}"
        ))
    })
}

fn flag(value: &Bound<'_, PyAny>, what: &str) -> PyResult<bool> {
    value
        .cast::<PyBool>()
        .map(PyBoolMethods::is_true)
        .map_err(|_| PyTypeError::new_err(format!("{what} must be a bool, not {value:?}")))
}

/// Check what a repeat is to be declared with.
pub(crate) fn check<'py>(
    schedule: &Bound<'py, PyAny>,
    data: Option<&Bound<'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    let read = read(schedule.py(), keywords)?;
    let schedule = read_schedule(schedule, read.tz.as_ref())?;
    schedule
        .check_gives_times()
        .map_err(|failure| schedule_failed(&failure))?;
    data.map_or(Ok(None), convert::data).map(drop)
}

/// A repeat as it is given; the engine's is made of it, once its payload is the engine's.
pub(crate) struct Made<'py> {
    pub(crate) id: Option<Arc<str>>,
    pub(crate) payload: Fresh<'py>,
    plan: Arc<Plan>,
    declared: bool,
    seed: u64,
}

impl<'py> Made<'py> {
    pub(crate) fn give<R, E>(
        self,
        call: impl FnOnce(NewRepeat<Handle>) -> Result<R, E>,
    ) -> Result<R, E> {
        let Made {
            id,
            payload,
            plan,
            declared,
            seed,
        } = self;
        payload.give(|payload| {
            call(NewRepeat {
                id,
                plan,
                declared,
                payload,
                seed,
            })
        })
    }
}

/// Read what a repeat is scheduled with.
pub(crate) fn made<'py>(shared: &Shared, given: &Given<'_, 'py>) -> PyResult<Made<'py>> {
    let py = given.target.py();
    let Keywords {
        tz,
        id,
        options,
        terms,
        rare: Rare {
            carried, fields, ..
        },
    } = read(py, given.keywords)?;
    let schedule = read_schedule(given.schedule, tz.as_ref())?;
    let spec = match (&options, fields) {
        (None, None) => shared.specs.plain(given.target)?,
        (options, fields) => {
            let fields = fields.unwrap_or_default();
            shared
                .specs
                .special(given.target, options.as_ref(), &fields)?
        }
    };
    let data = given.data.as_ref().map_or(Ok(None), convert::data)?;
    shared.check_data(py, data.as_ref())?;
    let carried = carried_by(shared, py, &spec, carried)?;
    let text = match &id {
        None => None,
        Some(id) => Some(Arc::<str>::from(convert::name(id, "id")?)),
    };
    Ok(Made {
        id: text,
        payload: Fresh::carrying(py, data, spec, carried),
        plan: Plan::new(schedule, terms),
        declared: given.declared,
        seed: shared.seed,
    })
}

/// Schedule a repeat, or edit the one of its id; its id.
pub(crate) fn repeat(
    shared: &Arc<Shared>,
    given: &Given<'_, '_>,
) -> PyResult<Pending<Py<PyString>>> {
    let py = given.target.py();
    let made = made(shared, given)?;
    let text = made.id.clone();
    let made = releasing(py, |released| {
        made.give(|new| shared.engine.repeat(new, released))
    });
    let shown = text.as_deref().unwrap_or_default();
    let id = text.clone();
    shared.follow(py, shown, made, move |py, _, halves, ticket| {
        let id = match (halves, id) {
            (Some(halves), _) => ids::text(py, halves),
            (None, id) => PyString::new(py, &id.unwrap_or_default()),
        };
        Ok(Pending::Made(id.unbind(), ticket))
    })
}

/// What is done with a repeat of an id.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    Pause,
    Resume,
    Trigger,
}

/// Pause, resume or trigger a repeat; `False`: there is none of this id.
pub(crate) fn change(
    shared: &Arc<Shared>,
    id: &Bound<'_, PyAny>,
    change: Change,
) -> PyResult<Pending<bool>> {
    let (py, text) = (id.py(), convert::name(id, "id")?);
    let engine = &*shared.engine;
    let changed = releasing(py, |released| match change {
        Change::Pause => engine.pause(text, released),
        Change::Resume => engine.resume(text, released),
        Change::Trigger => engine.trigger(text, released),
    });
    shared.follow(py, text, changed, |_, _, found, ticket| {
        Ok(Pending::Made(found, ticket))
    })
}

/// The repeat of this id, if there is one.
pub(crate) fn get(
    shared: &Arc<Shared>,
    id: &Bound<'_, PyAny>,
) -> PyResult<Pending<Option<Repeat>>> {
    let (py, id) = (id.py(), convert::name(id, "id")?);
    let engine = &shared.engine;
    if engine.is_shared() {
        let asked = engine.query(Query::Repeat(id.to_owned()));
        let name = id.to_owned();
        return shared.follow(py, id, asked, move |py, shared, answer, ticket| {
            let found = match answer {
                Answer::Repeat(Some(stored)) => {
                    let view =
                        StoredView::of(&stored).map_err(|error| refused(py, error, &name))?;
                    let seen =
                        view.map(|view| shared.event(py, &stored.job).map(|event| (view, event)));
                    let seen = seen.transpose()?;
                    seen.map(|(view, event)| Repeat::stored(event.into_job(), view, &stored))
                }
                _ => None,
            };
            Ok(Pending::Made(found, ticket))
        });
    }
    let found = releasing(py, |released| {
        engine.repeat_view(id, released, |view| Repeat::take(py, &view))
    });
    let found = found.map_err(|error| refused(py, error, id))?;
    Ok(Pending::Made(found, AT_ONCE))
}

/// The ids of all repeats, in the order of their dues.
pub(crate) fn ids(shared: &Shared, py: Python<'_>) -> PyResult<Vec<String>> {
    if shared.engine.is_shared() {
        return Ok(match shared.ask(py, Query::RepeatIds)? {
            Answer::Ids(ids) => ids,
            _ => Vec::new(),
        });
    }
    let ids = releasing(py, |released| shared.engine.repeat_ids(released));
    let ids = ids.map_err(|error| refused(py, error, ""))?;
    Ok(ids.into_iter().map(|id| id.as_ref().to_owned()).collect())
}
