//! `cancel`, `reschedule`, `revive` and `purge`.

use crate::calls::listed::texts_of;
use crate::calls::pending::Pending;
use crate::calls::schedule::warn_if_ancient;
use crate::shared::{Shared, releasing};
use crate::values::convert;
use crate::values::payload::{Fresh, Handle};
use duewheel_engine::engine::{Cancelled, Due, Moved};
use pyo3::prelude::*;
use std::sync::Arc;

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
    ids: Option<&Bound<'_, PyAny>>,
) -> PyResult<Pending<usize>> {
    let before = convert::bound(before, "before")?;
    let ids = ids.map(texts_of).transpose()?;
    let purged = releasing(py, |released| shared.engine.purge(before, ids, released));
    shared.follow(py, "", purged, |_, _, count, ticket| {
        Ok(Pending::Made(count, ticket))
    })
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
