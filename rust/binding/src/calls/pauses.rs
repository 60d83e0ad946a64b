//! Pausing targets: where a store keeps that, it is written first.

use crate::calls::pending::Pending;
use crate::errors::refused;
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
    if !engine.has_store() {
        return Ok(shared.registry.is_paused(target) != paused);
    }
    let made = shared.follow(
        py,
        "",
        engine.set_paused(target, paused),
        |_, _, is_news, ticket| Ok(Pending::Made(is_news, ticket)),
    )?;
    shared.finish(py, made)
}

/// The targets that are paused, in the order of their names.
pub(super) fn paused(shared: &Shared, py: Python<'_>) -> PyResult<Vec<String>> {
    let mut paused = if shared.engine.is_shared() {
        match shared.ask(py, Query::PausedTargets)? {
            Answer::Ids(paused) => paused,
            _ => Vec::new(),
        }
    } else {
        shared.registry.paused()
    };
    paused.sort_unstable();
    Ok(paused)
}

/// Whether a target is paused: where nodes share the store, that knows it.
pub(super) fn is_paused(shared: &Shared, py: Python<'_>, target: &str) -> PyResult<bool> {
    if !shared.engine.is_shared() {
        return Ok(shared.registry.is_paused(target));
    }
    let answer = shared.ask(py, Query::PausedTargets)?;
    Ok(matches!(answer, Answer::Ids(paused) if paused.iter().any(|name| name == target)))
}
