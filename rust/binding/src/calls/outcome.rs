//! `outcome`: how a job has ended, and the wait for it.

use crate::calls::pending::Pending;
use crate::errors::{error, quoted};
use crate::run::ending::ThreadEnding;
use crate::run::inside;
use crate::shared::{Shared, releasing};
use crate::values::convert;
use crate::values::event::Event;
use crate::values::outcome::Outcome;
use duewheel_store::StoredOutcome;
use pyo3::exceptions::{PyLookupError, PyTimeoutError};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a job has ended; `None`: it has not.
pub(crate) fn look(
    shared: &Arc<Shared>,
    id: &Bound<'_, PyAny>,
) -> PyResult<Pending<Option<Outcome>>> {
    let (py, text) = (id.py(), convert::name(id, "id")?);
    let asked = releasing(py, |released| shared.engine.outcome(text, released));
    let name = text.to_owned();
    shared.follow(py, text, asked, move |py, _, found, ticket| {
        let outcome = match found {
            StoredOutcome::Kept(kept) => Some(Outcome::of(py, &kept)),
            StoredOutcome::Pending(true) => None,
            StoredOutcome::Pending(false) => {
                return Err(PyLookupError::new_err(format!(
                    "how the job {} ends is not kept: schedule it with keep=, in seconds",
                    quoted(py, &name)
                )));
            }
            StoredOutcome::Unknown => {
                return Err(PyLookupError::new_err(format!(
                    "no job has the id {}, and no outcome of one is kept: it was never scheduled, was scheduled without \
                     keep=, or ended longer ago than that",
                    quoted(py, &name)
                )));
            }
        };
        Ok(Pending::Made(outcome, ticket))
    })
}

/// How a job has ended, once it has.
pub(crate) fn wait(
    shared: &Arc<Shared>,
    id: &Bound<'_, PyAny>,
    timeout: Option<Duration>,
) -> PyResult<Outcome> {
    let (py, text) = (id.py(), convert::name(id, "id")?);
    let waits = timeout != Some(Duration::ZERO);
    if waits {
        refuse_endless(shared, py, text, true)?;
    }
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut looks = 0;
    loop {
        // Before it is looked: no end between the two is missed.
        let ending = waits.then(|| ThreadEnding::new(&shared.engine, text));
        if let Some(outcome) = shared.finish(py, look(shared, id)?)? {
            return Ok(outcome);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let Some(ending) = ending.filter(|_| left != Some(Duration::ZERO)) else {
            return Err(not_over(py, text));
        };
        let pause = shared.engine.pause_after(looks);
        let slice = left.into_iter().chain(pause).min();
        shared.wait(py, slice, |slice| ending.wait(slice))?;
        looks = looks.saturating_add(1);
    }
}

pub(crate) fn not_over(py: Python<'_>, id: &str) -> PyErr {
    PyTimeoutError::new_err(format!("the job {} is not over yet", quoted(py, id)))
}

/// Refuse to wait for what could never end: a handler for its own job, or, where the wait `blocks` the thread, one that the
/// other needs.
pub(crate) fn refuse_endless(
    shared: &Shared,
    py: Python<'_>,
    id: &str,
    blocks: bool,
) -> PyResult<()> {
    let own = inside::event_of(py, shared.identity());
    let is_own = own.is_some_and(|event| {
        let event = event.bind(py).cast::<Event>();
        event.is_ok_and(|event| event.get().job_ref().id.with_str(|own| own == id))
    });
    let why = if is_own {
        "in the handler of that job would wait for itself"
    } else if blocks && inside::is_always(shared.identity()) {
        "in an async handler would hold up its loop: await the one of duewheel.aio, or ask with timeout=0"
    } else if blocks && inside::is_inside(shared.identity()) && shared.workers == 1 {
        "in a handler would wait for ever, for the one worker is this: Scheduler(workers=2) has another"
    } else {
        return Ok(());
    };
    let message = format!("outcome({}) {why}", quoted(py, id));
    Err(error(py, |names| &names.state_error, message))
}
