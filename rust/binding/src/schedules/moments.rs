//! An iterator over the times of a schedule.

use super::showing::{ShownIn, datetime};
use crate::errors::schedule_failed;
use duewheel_engine::sync::Mutex;
use duewheel_schedule::{Error, Schedule};
use pyo3::prelude::*;
use std::collections::VecDeque;

/// How many times are looked for at once, at most.
const MOST: usize = 64;

/// An iterator over the times of a schedule, each looked for when it is near.
///
/// **Concurrency**: threads may share it; each time is given to one of them.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct Moments {
    schedule: Schedule,
    shown_in: ShownIn,
    end: Option<i64>,
    search: Mutex<Search>,
}

/// What has been found, and how it goes on.
struct Search {
    found: VecDeque<i64>,
    /// The last time that was found; `None`: there is no more.
    after: Option<i64>,
    failed: Option<Error>,
    count: usize,
}

impl Moments {
    /// The times from one on, and before another. What counts from the first is after it.
    pub(crate) fn new(schedule: &Schedule, start: i64, end: Option<i64>) -> Self {
        Moments {
            schedule: schedule.anchored(start),
            shown_in: ShownIn::new(),
            end,
            search: Mutex::new(Search {
                found: VecDeque::new(),
                // The least of integers has none before it: a time there is not found.
                after: Some(start.saturating_sub(1)),
                failed: None,
                count: 1,
            }),
        }
    }

    fn following(&self, search: &mut Search) -> Result<Option<i64>, Error> {
        if search.found.is_empty() && search.failed.is_none() {
            self.look_ahead(search);
        }
        match search.found.pop_front() {
            Some(time) => Ok(Some(time)),
            None => search.failed.take().map_or(Ok(None), Err),
        }
    }

    /// Find more and more at once: who asks for one may ask for no other.
    fn look_ahead(&self, search: &mut Search) {
        // Parts that never meet are not looked at any further.
        let until = self.end.map_or(i64::MAX, |end| end.saturating_sub(1));
        for _ in 0..search.count {
            let Some(after) = search.after else { return };
            match self.schedule.next_until(after, until) {
                Ok(found) => {
                    search.after = found;
                    search.found.extend(found);
                }
                Err(error) => {
                    search.failed = Some(error);
                    return;
                }
            }
        }
        search.count = (2 * search.count).min(MOST);
    }
}

#[pymethods]
impl Moments {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let at_hand = self
            .search
            .try_lock()
            .and_then(|mut search| search.found.pop_front());
        // Whoever looks ahead holds the lock without the interpreter's, and so must whoever waits for it.
        let found = match at_hand {
            Some(time) => Some(time),
            None => py
                .detach(|| self.following(&mut self.search.lock()))
                .map_err(|error| schedule_failed(&error))?,
        };
        found
            .map(|time| datetime(py, time, self.schedule.zone(), &self.shown_in))
            .transpose()
    }
}
