//! A store whose disk is full when a test says so.

use crate::{Answered, Error, Found, Op, Query, Settled, Store, Ticket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A store that refuses batches as [`Error::Full`] while its disk is full.
pub struct FullDisk {
    store: Box<dyn Store>,
    refuses: fn(&[Op<'_>]) -> bool,
    is_full: AtomicBool,
}

impl FullDisk {
    /// This store, whose disk has room; when it is full, it has none for the batches that `refuses` tells.
    pub fn new(store: impl Store + 'static, refuses: fn(&[Op<'_>]) -> bool) -> Self {
        FullDisk {
            store: Box::new(store),
            refuses,
            is_full: AtomicBool::new(false),
        }
    }

    /// Fill the disk, or make room.
    pub fn fill(&self, full: bool) {
        self.is_full.store(full, Ordering::SeqCst);
    }
}

impl Store for FullDisk {
    fn submit(&self, batch: &[Op<'_>]) -> Result<Ticket, Error> {
        if self.is_full.load(Ordering::SeqCst) && (self.refuses)(batch) {
            return Err(Error::Full);
        }
        self.store.submit(batch)
    }

    fn wait(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<bool, Error> {
        self.store.wait(ticket, deadline)
    }

    fn when(&self, ticket: Ticket, then: Settled) {
        self.store.when(ticket, then);
    }

    fn ask(&self, query: Query, then: Answered) {
        self.store.ask(query, then);
    }

    fn found(&self) -> &Found {
        self.store.found()
    }

    fn close(&self) -> Result<(), Error> {
        self.store.close()
    }
}
