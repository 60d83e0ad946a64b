//! What is known of calls of other processes that are not answered yet, and of what was young in the file.

use crate::jobs::record::Done;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How old what is remembered may be, and for how long it is, in nanoseconds: callers repeat at once.
pub(super) const REMEMBERED: i64 = 20_000_000_000;

/// What is known.
#[derive(Debug)]
pub(super) struct Receipts<F> {
    /// The jobs whose calls are not answered.
    pub(super) open: HashSet<Arc<str>>,
    /// Their ends, to be settled when the calls are answered.
    pub(super) held: Vec<Done<F>>,
    /// Those that may be settled now.
    pub(super) freed: Vec<Done<F>>,
    /// What was in the file when it was opened and not older than this, and when it was scheduled.
    pub(super) found: HashMap<Box<str>, i64>,
    pub(super) since: i64,
    /// Until when that is remembered, on the boot clock.
    pub(super) until: i64,
}

impl<F> Receipts<F> {
    /// A job whose call is to be answered.
    pub(super) fn open(&mut self, id: Arc<str>) {
        self.open.insert(id);
    }

    /// Let what is held be looked at again.
    pub(super) fn free_held(&mut self) {
        self.freed.append(&mut self.held);
    }

    /// Nobody is to be answered any more.
    pub(super) fn answer_all(&mut self) {
        self.open.clear();
        self.free_held();
    }
}
