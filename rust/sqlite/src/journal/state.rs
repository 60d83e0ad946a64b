//! What all threads share under one lock: the end of the journal, and who waits for what.

use crate::disk::JournalFile;
use crate::journal::file::Journal;
use crate::journal::waiters::Waiters;
use crate::request::Request;
use duewheel_store::{Error, Settled};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

pub(crate) struct State {
    pub(crate) journal: Journal,
    /// The last batch that is settled.
    pub(super) settled: u64,
    /// A thread syncs the journal now.
    pub(super) syncing: bool,
    pub(super) waiters: Waiters,
    /// What is to be called back, and for which batch.
    pub(super) callbacks: Vec<(u64, Settled)>,
    pub(crate) requests: VecDeque<Request>,
    /// Bytes that have been taken to the tables and are not there yet.
    pub(crate) draining: usize,
    /// Bytes that wait for the tables, over which waits last until there are fewer.
    most_waiting: usize,
    /// When the oldest batch that waits for the tables came.
    pub(super) since: Option<Instant>,
    /// The tables cannot be written now, for want of space.
    pub(crate) disk_full: bool,
    /// The thread of the tables sleeps without an end.
    pub(super) drainer_sleeps: bool,
    /// The syncing thread sleeps without an end.
    pub(super) syncer_sleeps: bool,
    /// The syncing thread waits for another's sync to end.
    pub(super) syncer_waits: bool,
    pub(super) closing: bool,
    /// Why everything is refused.
    pub(super) poison: Option<Error>,
    /// The journal's; `None`: it was given back, when all was in the tables.
    pub(super) file: Option<Arc<dyn JournalFile>>,
}

impl State {
    pub(super) fn new(journal: Journal, file: Box<dyn JournalFile>, most_waiting: usize) -> Self {
        State {
            settled: journal.number,
            journal,
            syncing: false,
            waiters: Waiters::default(),
            callbacks: Vec::new(),
            requests: VecDeque::new(),
            draining: 0,
            most_waiting,
            since: None,
            disk_full: false,
            drainer_sleeps: false,
            syncer_sleeps: false,
            syncer_waits: false,
            closing: false,
            poison: None,
            file: Some(Arc::from(file)),
        }
    }

    /// Append to the journal.
    pub(super) fn append(
        &mut self,
        reserved: bool,
        synced: u64,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, Error> {
        let Some(file) = &self.file else {
            return Err(Error::Closed);
        };
        Ok(self.journal.append(&**file, reserved, synced, encode)?)
    }

    /// Begin a new lap of the journal.
    pub(crate) fn lap(&mut self) -> Result<(), Error> {
        self.file
            .as_ref()
            .map_or(Ok(()), |file| Ok(self.journal.lap(&**file)?))
    }

    pub(super) fn backlog(&self) -> usize {
        self.journal.pending.len() + self.draining
    }

    /// Waits last until there is room.
    pub(super) fn is_crowded(&self) -> bool {
        let full = self.backlog() > self.most_waiting && !self.disk_full;
        full && !self.closing && self.poison.is_none()
    }

    pub(super) fn refusal(&self) -> Option<Error> {
        match &self.poison {
            Some(error) => Some(error.clone()),
            None => self.closing.then_some(Error::Closed),
        }
    }

    /// More wait for the tables than memory should hold.
    pub(super) fn is_over_full(&self) -> bool {
        self.disk_full && self.backlog() > self.most_waiting
    }

    /// Take those that are to be called back now, each with its result.
    pub(super) fn take_called(&mut self) -> Vec<(Settled, Result<(), Error>)> {
        let mut calls = Vec::new();
        let mut at = 0;
        while at < self.callbacks.len() {
            if self.callbacks[at].0 <= self.settled {
                calls.push((self.callbacks.swap_remove(at).1, Ok(())));
            } else if let Some(error) = &self.poison {
                calls.push((self.callbacks.swap_remove(at).1, Err(error.clone())));
            } else {
                at += 1;
            }
        }
        calls
    }
}
