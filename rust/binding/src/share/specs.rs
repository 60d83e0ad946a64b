//! References to specifications, made ahead under the interpreter: without it a job takes one of them.

use crate::share::wire::Retry;
use crate::shared::Shared;
use crate::values::data::Data;
use crate::values::options::{Fields, Spec};
use crate::values::payload::Handle;
use duewheel_engine::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::collections::HashMap;

/// How many are made at once, and how few are left when more are.
const AHEAD: usize = 2_048;
const FEW: usize = 512;
/// How many specifications have references here; past that all are given up.
const MOST: usize = 1_024;

/// A specification that jobs need: its target and options.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    target: String,
    retry: Retry,
    /// How many references at least.
    count: usize,
}

#[derive(Default)]
struct Ahead {
    /// Whether more have been asked for.
    asked: bool,
    references: Vec<Py<Spec>>,
}

/// The references of a server.
#[derive(Default)]
pub(super) struct SpecsAhead(Mutex<HashMap<Retry, HashMap<String, Ahead>>>);

/// What became of a wish for references.
pub(super) enum Found {
    /// There were enough; more are to be made by now, if anything.
    Here(Vec<Py<Spec>>, Option<Wanted>),
    /// They must be made first.
    Missing(Wanted),
}

impl SpecsAhead {
    /// Take references for so many jobs.
    pub(super) fn take(&self, target: &str, retry: Retry, count: usize) -> Found {
        let wanted = |count| Wanted {
            target: target.to_owned(),
            retry,
            count,
        };
        let mut all = self.0.lock();
        let ahead = all.get_mut(&retry).and_then(|of| of.get_mut(target));
        let Some(ahead) = ahead.filter(|ahead| ahead.references.len() >= count) else {
            return Found::Missing(wanted(count));
        };
        let left = ahead.references.len() - count;
        let taken = ahead.references.split_off(left);
        let more = (left < FEW && !ahead.asked).then(|| wanted(AHEAD));
        ahead.asked |= more.is_some();
        Found::Here(taken, more)
    }

    /// Make references.
    pub(super) fn make(&self, py: Python<'_>, shared: &Shared, wanted: &Wanted) -> PyResult<()> {
        let Some(options) = wanted.retry.options() else {
            return Err(pyo3::exceptions::PyValueError::new_err(
                "the options of the job contradict each other",
            ));
        };
        let target = PyString::new(py, &wanted.target);
        let spec = (shared.specs).resolved(target.as_any(), &Fields::of(&options))?;
        let count = wanted.count.max(AHEAD);
        let made: Vec<_> = (0..count).map(|_| spec.clone_ref(py)).collect();
        let mut all = self.0.lock();
        let full = all.values().map(HashMap::len).sum::<usize>() >= MOST;
        let old = if full {
            std::mem::take(&mut *all)
        } else {
            HashMap::new()
        };
        let of = all.entry(wanted.retry).or_default();
        let ahead = of.entry(wanted.target.clone()).or_default();
        ahead.asked = false;
        ahead.references.extend(made);
        drop(all);
        drop(old); // under no lock
        Ok(())
    }

    /// Give all of them up.
    pub(super) fn clear(&self, _py: Python<'_>) {
        let all = std::mem::take(&mut *self.0.lock());
        drop(all);
    }
}

/// What the engine is given of a job.
pub(super) fn handle(data: &[u8], spec: Py<Spec>) -> Option<Handle> {
    Some(Handle::new(Data::plain(data)?, spec))
}
