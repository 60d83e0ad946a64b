//! `cancel`, `reschedule`, `revive` and `purge`.

use crate::calls::pending::Pending;
use crate::calls::schedule::warn_if_ancient;
use crate::shared::{Shared, releasing};
use crate::values::convert;
use crate::values::dead::{DeadEvent, DeadParts};
use crate::values::payload::{Fresh, Handle};
use duewheel_engine::engine::{Cancelled, Due, Moved};
use pyo3::prelude::*;
use std::sync::Arc;

/// How many of the dead are read from a store at once.
const DEAD: usize = 1_000;

pub(crate) fn cancel(shared: &Arc<Shared>, id: &Bound<'_, PyAny>) -> PyResult<Pending<bool>> {
    cancel_text(shared, id.py(), convert::name(id, "id")?)
}

#[inline]
pub(crate) fn cancel_text(
    shared: &Arc<Shared>,
    py: Python<'_>,
    id: &str,
) -> PyResult<Pending<bool>> {
    let cancelled = releasing(py, |released| shared.engine.cancel(id, released));
    shared.follow(py, id, cancelled, |py, _, cancelled, ticket| {
        let is_cancelled = match cancelled {
            Cancelled::No => false,
            Cancelled::Stored => true,
            Cancelled::Here(handle) => {
                drop(Fresh::back(py, handle));
                true
            }
        };
        Ok(Pending::Made(is_cancelled, ticket))
    })
}

pub(crate) fn reschedule(
    shared: &Arc<Shared>,
    id: &Bound<'_, PyAny>,
    due: i64,
) -> PyResult<Pending<bool>> {
    let (py, id) = (id.py(), convert::name(id, "id")?);
    let moved = releasing(py, |released| shared.engine.reschedule(id, due, released));
    shared.follow(py, id, moved, move |py, shared, moved, ticket| {
        let is_moved = shared.take_in_moved(py, moved)?;
        if is_moved {
            warn_if_ancient(shared, py, Due::At(due));
        }
        Ok(Pending::Made(is_moved, ticket))
    })
}

pub(crate) fn revive(shared: &Arc<Shared>, id: &Bound<'_, PyAny>) -> PyResult<Pending<bool>> {
    let (py, id) = (id.py(), convert::name(id, "id")?);
    let revived = releasing(py, |released| shared.engine.revive(id, released));
    shared.follow(py, id, revived, |py, shared, moved, ticket| {
        Ok(Pending::Made(shared.take_in_moved(py, moved)?, ticket))
    })
}

pub(crate) fn purge(
    shared: &Arc<Shared>,
    py: Python<'_>,
    before: Option<&Bound<'_, PyAny>>,
) -> PyResult<Pending<usize>> {
    let before = convert::bound(before, "before")?;
    let purged = releasing(py, |released| shared.engine.purge(before, released));
    shared.follow(py, "", purged, |_, _, count, ticket| {
        Ok(Pending::Made(count, ticket))
    })
}

/// The dead, newest first: those in memory, or all pages of a store.
pub(crate) fn dead(shared: &Arc<Shared>, py: Python<'_>) -> PyResult<Vec<DeadEvent>> {
    let mut parts = Vec::new();
    let mut all = Vec::new();
    let mut before = None;
    loop {
        let page = releasing(py, |released| {
            let look = |dead: &_| parts.push(DeadParts::take(py, dead));
            shared.engine.dead((before, DEAD), released, look)
        });
        let page = shared.answer(py, page)?;
        before = page.last;
        shared.read_dead(py, page, &mut all);
        if before.is_none() {
            break;
        }
    }
    for parts in parts {
        all.push(parts.build(py)?);
    }
    Ok(all)
}

impl Shared {
    /// Take in a job that has come near; whether it was moved.
    fn take_in_moved(&self, py: Python<'_>, moved: Moved<Handle>) -> PyResult<bool> {
        match moved {
            Moved::No => Ok(false),
            Moved::Yes => Ok(true),
            Moved::Near(coming) => self.take_in_one(py, coming).map(|()| true),
        }
    }
}
