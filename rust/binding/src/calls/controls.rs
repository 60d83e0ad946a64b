//! What a handler is registered with beside its function, and what comes of it.

use crate::errors::refused;
use crate::values::payload::Handle;
use duewheel_engine::controls::{Controls, HeldBy, LeftBy, Rate};
use duewheel_engine::engine::Engine;
use pyo3::prelude::*;

/// As `duewheel.targets` gives it: concurrency, whether over all nodes, interval and tolerance of the rate, priority.
pub(super) type GivenControls = (Option<usize>, bool, Option<(i64, i64)>, i64);

/// Read the controls of a target.
pub(super) fn read_controls(given: Option<GivenControls>) -> Controls {
    let Some((concurrency, is_over_nodes, rate, priority)) = given else {
        return Controls::default();
    };
    let rate = rate.map(|(interval, tolerance)| Rate {
        interval,
        tolerance,
    });
    Controls {
        concurrency,
        is_over_nodes,
        rate,
        priority,
    }
}

/// Why the job of an id is held: by what, and the limit, or the nanoseconds until the rate allows a start.
pub(super) fn held_by(
    py: Python<'_>,
    engine: &Engine<Handle>,
    id: &str,
) -> PyResult<Option<(&'static str, Option<i64>)>> {
    let held = engine.held_by(id).map_err(|error| refused(py, error, id))?;
    Ok(held.and_then(|held| said(engine, held)))
}

/// The same of the due jobs of a target that are on disk alone; `"handler"`: it has none.
pub(super) fn left_by(
    py: Python<'_>,
    engine: &Engine<Handle>,
    target: &str,
) -> PyResult<Option<(&'static str, Option<i64>)>> {
    let left = engine.left_by(target);
    Ok(match left.map_err(|error| refused(py, error, target))? {
        None => None,
        Some(LeftBy::NoHandler) => Some(("handler", None)),
        Some(LeftBy::Limit(held)) => said(engine, held),
    })
}

fn said(engine: &Engine<Handle>, held: HeldBy) -> Option<(&'static str, Option<i64>)> {
    Some(match held {
        HeldBy::Nothing => return None,
        HeldBy::Concurrency(limit) => ("concurrency", i64::try_from(limit).ok()),
        HeldBy::Key => ("key", None),
        HeldBy::Rate(at) => {
            let left = at.map(|at| at.saturating_sub(engine.clock().boot()));
            ("rate", left)
        }
    })
}
