//! Taking up an occurrence of a repeat, before anything of it starts.

use crate::log;
use crate::shared::{Shared, releasing};
use crate::values::payload::Handle;
use crate::values::repeat::Repeat;
use duewheel_engine::engine::{RepeatView, Taken};
use duewheel_engine::jobs::record::Started;
use pyo3::prelude::*;

/// Find what runs of a repeat; `false`: it must not start, and is given back.
#[inline]
pub(crate) fn take_up(py: Python<'_>, shared: &Shared, started: &mut Started<Handle>) -> bool {
    !started.comes_again() || take_up_repeat(py, shared, started)
}

#[inline(never)] // out of the way of jobs that come once
fn take_up_repeat(py: Python<'_>, shared: &Shared, started: &mut Started<Handle>) -> bool {
    // Only what may take long is worth letting go of the interpreter.
    let outside = |find: &mut (dyn FnMut() + Send)| py.detach(find);
    let taken = shared.engine.take_up(started, outside);
    let Ok(Taken { runs, missed }) = taken else {
        return false;
    };
    if missed > 0 {
        let id = started.execution.id.with_str(str::to_owned);
        log::missed(py, &id, missed);
        let engine = &*shared.engine;
        let find = || {
            let take = |view: RepeatView<'_, _>| Repeat::take(py, &view);
            let found = releasing(py, |released| engine.repeat_view(&id, released, take));
            found.ok().flatten()
        };
        shared.hooks.missed(py, shared.identity(), missed, find);
    }
    runs
}
