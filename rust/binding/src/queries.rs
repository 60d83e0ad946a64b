//! `between`: pending events in order, each looked at when it is asked for.

use crate::event::Event;
use crate::shared::{Shared, refused};
use duewheel_core::engine::Place;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An iterator over pending events, in the order of (due, sequence).
///
/// Each is looked at when it is asked for: jobs that stop being pending meanwhile are left out.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct Events {
    shared: Arc<Shared>,
    places: Vec<Place>,
    at: AtomicUsize,
}

impl Events {
    pub(crate) fn new(shared: Arc<Shared>, places: Vec<Place>) -> Self {
        Events {
            shared,
            places,
            at: AtomicUsize::new(0),
        }
    }
}

#[pymethods]
impl Events {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        self.shared.check_fork(py)?;
        while let Some(&place) = self.places.get(self.at.fetch_add(1, Ordering::Relaxed)) {
            let event = self
                .shared
                .engine
                .view_at(place, |view| Event::pending(py, &view));
            if let Some(event) = event.map_err(|error| refused(py, error, ""))? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}
