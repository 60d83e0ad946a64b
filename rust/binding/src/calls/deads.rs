//! `dead`: jobs that ended as dead, newest first, each page of a store read when it is asked for.

use crate::errors::refused;
use crate::shared::{Shared, releasing};
use crate::values::convert;
use crate::values::dead::{DeadEvent, DeadParts};
use duewheel_engine::engine::Refused;
use duewheel_engine::sync::Mutex;
use duewheel_store::WhichDead;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many are read of a store at once.
const PAGE: usize = 1_000;

/// An iterator over jobs that ended as dead, newest first.
///
/// What dies after the first look is not among them; what is forgotten meanwhile may be left out.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct DeadEvents {
    shared: Arc<Shared>,
    which: WhichDead,
    left: Mutex<Left>,
}

/// What is still to come.
struct Left {
    read: VecDeque<DeadEvent>,
    /// The number before which the next page begins.
    before: Option<u64>,
    /// Whether a page may follow.
    more: bool,
    /// How many may come at most.
    limit: usize,
}

impl DeadEvents {
    /// Those in memory are looked at now; those of a store when they are asked for.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        py: Python<'_>,
        which: WhichDead,
        limit: Option<usize>,
    ) -> PyResult<Self> {
        let events = DeadEvents {
            shared: shared.clone(),
            which,
            left: Mutex::new(Left {
                read: VecDeque::new(),
                before: None,
                more: true,
                limit: limit.unwrap_or(usize::MAX),
            }),
        };
        if !shared.engine.has_store() {
            events.read_page(py)?;
        } else if shared.engine.is_closed() {
            return Err(refused(py, Refused::Closed, ""));
        }
        Ok(events)
    }

    /// Read the next page.
    fn read_page(&self, py: Python<'_>) -> PyResult<()> {
        let (before, limit) = {
            let left = self.left.lock();
            (left.before, left.limit.min(PAGE))
        };
        let mut parts = Vec::new();
        let page = releasing(py, |released| {
            let look = |dead: &_| parts.push(DeadParts::take(py, dead));
            let engine = &self.shared.engine;
            engine.dead(&self.which, (before, limit), released, look)
        });
        let page = self.shared.answer(py, page)?;
        let last = page.last;
        let mut read = Vec::new();
        self.shared.read_dead(py, page, &mut read);
        for parts in parts {
            read.push(parts.build(py)?);
        }
        let mut left = self.left.lock();
        if left.before == before && left.more {
            left.read.extend(read);
            left.more = last.is_some();
            left.before = last;
        }
        Ok(())
    }
}

/// How many are asked for at most.
pub(crate) fn limit(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let Some(given) = given else {
        return Ok(None);
    };
    let index = given.call_method0("__index__");
    let Some(number) = index.ok().filter(|_| !given.is_instance_of::<PyBool>()) else {
        let message = format!("limit must be an int or None, not {given:?}");
        return Err(PyTypeError::new_err(message));
    };
    if number.lt(0)? {
        let message = format!("limit must be at least 0, or None for all, not {number}");
        return Err(PyValueError::new_err(message));
    }
    // More than there can be is no limit.
    Ok(number.extract().ok())
}

/// Which of them are asked for.
pub(crate) fn which(
    target: Option<&Bound<'_, PyAny>>,
    before: Option<&Bound<'_, PyAny>>,
) -> PyResult<WhichDead> {
    let target = target.map(|target| convert::name(target, "target").map(str::to_owned));
    Ok(WhichDead {
        id: None,
        target: target.transpose()?,
        died_before: convert::bound(before, "before")?,
    })
}

#[pymethods]
impl DeadEvents {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<DeadEvent>> {
        self.shared.check_fork(py)?;
        loop {
            let mut left = self.left.lock();
            if left.limit == 0 {
                return Ok(None);
            }
            if let Some(dead) = left.read.pop_front() {
                left.limit -= 1;
                return Ok(Some(dead));
            }
            if !left.more {
                return Ok(None);
            }
            drop(left);
            self.read_page(py)?;
        }
    }
}
