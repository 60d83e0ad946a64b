//! What the thread of the tables is asked to do.

use crate::{Error, StoreError};
use duewheel_store::{Answered, Query};
use std::path::PathBuf;

/// Called with how it ended; on a thread of the store, so it must be short.
pub type Ended = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// Called with how far it has come: rows done, rows in all; on a thread of the store, so it must be short.
pub type OnProgress = Box<dyn Fn(u64, u64) + Send>;

/// In the order in which they came, after the batches that were submitted before.
pub(crate) enum Request {
    /// To be answered in the next transaction.
    Query(Query, Answered),
    /// To copy the database into a new file.
    Backup(PathBuf, Ended),
    /// To encrypt all payloads under the default key.
    Rotate(OnProgress, Ended),
}

impl Request {
    pub(crate) fn refuse(self, error: StoreError) {
        match self {
            Request::Query(_, then) => then(Err(error)),
            Request::Backup(_, then) | Request::Rotate(_, then) => then(Err(error.into())),
        }
    }
}
