//! What the thread of the tables does beside its work, a step at a time: copying the store, and
//! encrypting it anew.

use crate::Error;
use crate::database::rotation::Rotation;
use crate::request::{Ended, OnProgress};
use std::path::PathBuf;

/// Work in many steps, and who waits for its end.
pub(crate) struct Maintenance {
    pub(crate) work: Work,
    then: Ended,
}

pub(crate) enum Work {
    Backup(PathBuf),
    Rotate(Rotation, OnProgress),
}

impl Maintenance {
    pub(crate) fn backup(path: PathBuf, then: Ended) -> Self {
        let work = Work::Backup(path);
        Maintenance { work, then }
    }

    pub(crate) fn rotate(progress: OnProgress, then: Ended) -> Self {
        let work = Work::Rotate(Rotation::new(), progress);
        Maintenance { work, then }
    }

    pub(crate) fn end(self, result: Result<(), Error>) {
        (self.then)(result);
    }
}
