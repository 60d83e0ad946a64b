//! Pausing targets: in a file it is written first.

use crate::calls::pending::Pending;
use crate::errors::{error, refused};
use crate::shared::Shared;
use duewheel_engine::engine::Refused;
use duewheel_store::{Answer, Query};
use pyo3::prelude::*;
use std::sync::Arc;

/// Note that a target is paused or not, where that is kept; whether it is news.
pub(super) fn set_paused(
    shared: &Arc<Shared>,
    py: Python<'_>,
    target: &str,
    paused: bool,
) -> PyResult<bool> {
    let engine = &shared.engine;
    if engine.is_closed() {
        return Err(refused(py, Refused::Closed, ""));
    }
    if engine.is_shared() {
        let message =
            "targets cannot be paused over PostgreSQL yet: deregister their handlers on each node";
        return Err(error(py, |names| &names.state_error, message));
    }
    if shared.backing.file.is_none() {
        return Ok(shared.registry.is_paused(target) != paused);
    }
    let asked = engine.query(Query::SetPaused {
        target: target.to_owned(),
        paused,
    });
    let made = shared.follow(py, "", asked, |_, _, answer, ticket| {
        let changed = answer == Answer::Changed(true);
        Ok(Pending::Made(changed, ticket))
    })?;
    shared.finish(py, made)
}
