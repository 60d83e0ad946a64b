//! What a handler is registered with beside its function, and what comes of it.

use crate::errors::refused;
use crate::values::payload::Handle;
use duewheel_engine::controls::{Controls, HeldBy, Rate};
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
    Ok(match held {
        None | Some(HeldBy::Nothing) => None,
        Some(HeldBy::Concurrency(limit)) => Some(("concurrency", i64::try_from(limit).ok())),
        Some(HeldBy::Key) => Some(("key", None)),
        Some(HeldBy::Rate(at)) => {
            let left = at.map(|at| at.saturating_sub(engine.clock().boot()));
            Some(("rate", left))
        }
    })
}
