//! `cancel_many`: all ids are read before any job is cancelled.

use crate::calls::change;
use crate::calls::listed::Listed;
use crate::calls::pending::{Ask, Next, Pending};
use crate::errors::refused;
use crate::shared::{Shared, releasing};
use duewheel_engine::jobs::ids::IdList;
use duewheel_store::Ticket;
use pyo3::prelude::*;
use std::sync::Arc;

/// How many jobs the store alone has are asked about at once.
const ASKED_AT_ONCE: usize = 4_096;

/// Withdraw pending jobs; how many were pending.
pub(crate) fn cancel_many(
    shared: &Arc<Shared>,
    ids: &Bound<'_, PyAny>,
) -> PyResult<Pending<usize>> {
    let py = ids.py();
    let ids = Listed::read(ids)?;
    let cancelled = releasing(py, |released| shared.engine.cancel_many(&ids, released));
    let cancelled = cancelled.map_err(|error| refused(py, error, ""))?;
    let (count, ticket) = (cancelled.count, cancelled.ticket);
    if cancelled.stored.is_empty() {
        return Ok(Pending::Made(count, ticket));
    }
    let texts = cancelled.stored.iter().map(|&at| ids.text(at).into_owned());
    let ids: Vec<String> = texts.collect();
    let left = ids.into_iter();
    let error = None;
    Left {
        left,
        count,
        ticket,
        error,
    }
    .go_on(py, shared)
}

/// What is left of a call: ids that only the store may know, and what the others have come to.
struct Left {
    left: std::vec::IntoIter<String>,
    count: usize,
    ticket: Ticket,
    error: Option<PyErr>,
}

impl Left {
    /// Cancel the next of them, all at once: what the store is asked at once it settles at once.
    fn go_on(mut self, py: Python<'_>, shared: &Arc<Shared>) -> PyResult<Pending<usize>> {
        let mut asks = Vec::new();
        while asks.len() < ASKED_AT_ONCE && self.error.is_none() {
            let Some(id) = self.left.next() else { break };
            let cancelled = change::cancel_text(shared, py, &id);
            asks.extend(self.note(cancelled));
        }
        if !asks.is_empty() {
            return self.ask(py, shared, asks);
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok(Pending::Made(self.count, self.ticket)),
        }
    }

    fn ask(
        self,
        py: Python<'_>,
        shared: &Arc<Shared>,
        asks: Vec<Ask<bool>>,
    ) -> PyResult<Pending<usize>> {
        if asks.is_empty() {
            return self.go_on(py, shared);
        }
        let answered =
            |nexts| -> Next<usize> { Box::new(|py, shared| self.answered(py, shared, nexts)) };
        Ok(Pending::Asks(Ask::all(asks, answered)))
    }

    fn answered(
        mut self,
        py: Python<'_>,
        shared: &Arc<Shared>,
        nexts: Vec<Next<bool>>,
    ) -> PyResult<Pending<usize>> {
        let made = |next: Next<bool>| self.note(next(py, shared));
        let asks = nexts.into_iter().filter_map(made).collect();
        self.ask(py, shared, asks)
    }

    /// Note what a call has come to, unless it asks.
    fn note(&mut self, cancelled: PyResult<Pending<bool>>) -> Option<Ask<bool>> {
        match cancelled {
            Ok(Pending::Asks(ask)) => return Some(ask),
            Ok(Pending::Made(is_cancelled, ticket)) => {
                self.count += usize::from(is_cancelled);
                self.ticket = self.ticket.max(ticket);
            }
            Err(error) => drop(self.error.get_or_insert(error)),
        }
        None
    }
}
