//! `get` and `next`: what is pending, in memory or in the store.

use crate::calls::events::{Events, Step};
use crate::calls::pending::Pending;
use crate::errors::refused;
use crate::shared::{Shared, releasing};
use crate::values::convert;
use crate::values::event::Event;
use duewheel_engine::engine::{AT_ONCE, Places};
use duewheel_store::{Answer, Query};
use pyo3::prelude::*;
use std::sync::Arc;

/// The pending event of a job.
pub(crate) fn get(shared: &Arc<Shared>, id: &Bound<'_, PyAny>) -> PyResult<Pending<Option<Event>>> {
    let (py, engine) = (id.py(), &*shared.engine);
    let id = convert::name(id, "id")?;
    if engine.is_shared() {
        let asked = engine.query(Query::Pending(id.to_owned()));
        return shared.follow(py, id, asked, |py, shared, answer, ticket| {
            let event = match answer {
                Answer::Job(Some(job)) => Some(shared.event(py, &job)?),
                _ => None,
            };
            Ok(Pending::Made(event, ticket))
        });
    }
    // Asked first: it may come in while it is looked for.
    let paged_out = engine.paged_out() > 0;
    let event = pending_here(shared, py, id)?;
    if event.is_some() || !paged_out {
        return Ok(Pending::Made(event, AT_ONCE));
    }
    if engine.holds(id) {
        // It runs, and may have ended when the store answers, or it has come in.
        return Ok(Pending::Made(pending_here(shared, py, id)?, AT_ONCE));
    }
    let readable = engine.check_readable(id);
    readable.map_err(|error| refused(py, error, id))?;
    let asked = engine.query(Query::Get(id.to_owned()));
    let id = id.to_owned();
    shared.follow(py, &id.clone(), asked, move |py, shared, answer, ticket| {
        let event = match answer {
            // It has come in meanwhile, and may run.
            Answer::Job(Some(_)) if shared.engine.holds(&id) => pending_here(shared, py, &id)?,
            Answer::Job(Some(job)) => Some(shared.event(py, &job)?),
            _ => None,
        };
        Ok(Pending::Made(event, ticket))
    })
}

/// How many jobs are pending.
pub(crate) fn count(shared: &Arc<Shared>, py: Python<'_>) -> PyResult<Pending<usize>> {
    let engine = &shared.engine;
    if !engine.is_shared() {
        let pending = releasing(py, |released| engine.pending(released));
        let pending = pending.map_err(|error| refused(py, error, ""))?;
        return Ok(Pending::Made(pending, AT_ONCE));
    }
    let asked = engine.query(Query::Count);
    shared.follow(py, "", asked, |_, _, answer, ticket| {
        let count = match answer {
            Answer::Count(count) => count as usize,
            _ => 0,
        };
        Ok(Pending::Made(count, ticket))
    })
}

/// How many jobs of the targets that have handlers here are in a store that nodes share.
pub(crate) fn unfinished(shared: &Arc<Shared>, py: Python<'_>) -> PyResult<Pending<u64>> {
    let engine = &shared.engine;
    if !engine.is_shared() {
        return Ok(Pending::Made(0, AT_ONCE));
    }
    let asked = engine.query(engine.unfinished());
    shared.follow(py, "", asked, |_, _, answer, ticket| {
        let count = match answer {
            Answer::Count(count) => count,
            _ => 0,
        };
        Ok(Pending::Made(count, ticket))
    })
}

fn pending_here(shared: &Shared, py: Python<'_>, id: &str) -> PyResult<Option<Event>> {
    let event = shared.engine.view(id, |view| Event::pending(py, &view));
    event.map_err(|error| refused(py, error, id))
}

/// The first pending event within bounds.
pub(crate) fn first(
    shared: &Arc<Shared>,
    py: Python<'_>,
    bounds: (Option<i64>, Option<i64>),
) -> PyResult<Pending<Option<Event>>> {
    let events = first_events(shared, py, bounds)?;
    let step = events.step(py)?;
    first_of(shared, py, bounds, events, step)
}

/// An iterator over what may be the first: of the many in memory that alone is wanted.
fn first_events(
    shared: &Arc<Shared>,
    py: Python<'_>,
    (start, end): (Option<i64>, Option<i64>),
) -> PyResult<Events> {
    let events = Events::new(shared.clone(), None, (start, end), true, |engine| {
        let place = py.detach(|| engine.next(start, end))?;
        Ok(place.into_iter().collect())
    });
    events.map_err(|error| refused(py, error, ""))
}

/// What is pending within bounds, of all targets or of one.
pub(crate) fn between(
    shared: &Arc<Shared>,
    py: Python<'_>,
    bounds: (Option<i64>, Option<i64>),
    target: Option<&str>,
) -> PyResult<Events> {
    let (start, end) = bounds;
    let number = target.map(|target| shared.specs.number(target));
    let is_any_stored =
        target.is_none_or(|target| !shared.engine.has_none_of(number.flatten(), target));
    let events = Events::new(shared.clone(), target, bounds, is_any_stored, |engine| {
        py.detach(|| match number {
            // No job in memory speaks of it.
            Some(None) => engine.check_open().map(|()| Places::default()),
            number => engine.between(start, end, number.flatten()),
        })
    });
    events.map_err(|error| refused(py, error, ""))
}

fn first_of(
    shared: &Arc<Shared>,
    py: Python<'_>,
    bounds: (Option<i64>, Option<i64>),
    mut events: Events,
    mut step: Step,
) -> PyResult<Pending<Option<Event>>> {
    loop {
        match step {
            Step::Event(event) => return Ok(Pending::Made(event, AT_ONCE)),
            // Gone between the two looks: the next one is the first now.
            Step::Gone => {
                events = first_events(shared, py, bounds)?;
                step = events.step(py)?;
            }
            Step::Asks(question, wanted) => {
                let asked = shared.engine.query(question);
                return shared.follow(py, "", asked, move |py, shared, answer, _| {
                    let step = events.answered(py, wanted, answer)?;
                    first_of(shared, py, bounds, events, step)
                });
            }
        }
    }
}
