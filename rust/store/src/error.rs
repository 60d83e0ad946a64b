//! What can go wrong, as types that the binding maps to Python's.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;

/// Why a store could not be opened, or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// This process has it open already.
    OpenHere,
    /// Another process has it open.
    Locked {
        /// Which process, where that is known.
        pid: Option<u32>,
    },
    /// The file or its directory cannot be written.
    ReadOnly(PathBuf),
    /// It is not a store, or no longer one that can be trusted.
    Corrupt(String),
    /// It was written by a later version.
    Newer {
        /// The version of its schema.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// One row, or one operation, cannot be read or written as it stands; the others can.
    Unreadable(String),
    /// A job is larger than a row, or many at once are than a batch.
    TooLarge(String),
    /// A payload needs a key that is missing, or another than was given.
    WrongKey(String),
    /// The path is not that of a file.
    NotAFile(PathBuf),
    /// There is no space left. It may come back.
    Full,
    /// An input or output failed; nothing is accepted until the store is opened again.
    Poisoned(String),
    /// The id of a job is taken.
    Duplicate(String),
    /// It is closed.
    Closed,
    /// Anything else that the system reports.
    Io(String),
}

impl Error {
    /// Whether it concerns one row, operation or question, and says nothing of the store.
    pub fn is_of_one(&self) -> bool {
        matches!(
            self,
            Error::Unreadable(_) | Error::TooLarge(_) | Error::WrongKey(_) | Error::Duplicate(_)
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::OpenHere => write!(
                f,
                "it is open in this process {} already: close the scheduler that has it, or use that one",
                std::process::id()
            ),
            Error::Locked { pid: Some(pid) } => {
                write!(f, "the store is in use by the process {pid}")
            }
            Error::Locked { pid: None } => f.write_str("the store is in use by another process"),
            // Which file it was is not always told.
            Error::ReadOnly(path) if path.as_os_str().is_empty() => f.write_str(
                "the store cannot be written: see to its permissions, and that its disk is not \
                     read-only, and open it again",
            ),
            Error::ReadOnly(path) => write!(
                f,
                "{} cannot be written by this user: change the owner or the permissions of it or of \
                 its directory, or make its disk writable if that is read-only, or give another path",
                path.display()
            ),
            Error::Corrupt(what) => write!(f, "the store is corrupt: {what}"),
            Error::Newer { found, known } => write!(
                f,
                "the store has schema {found}, this version knows up to {known}"
            ),
            Error::WrongKey(what) | Error::Unreadable(what) | Error::TooLarge(what) => {
                f.write_str(what)
            }
            Error::NotAFile(path) => write!(
                f,
                "{} is not a file: give the path of a file, which need not be there yet",
                path.display()
            ),
            Error::Full => f.write_str("there is no space left for the store"),
            Error::Poisoned(what) => write!(
                f,
                "the store failed and has to be opened again before it accepts more: {what}"
            ),
            Error::Duplicate(id) => write!(f, "a job with the id {id:?} is pending or running"),
            Error::Closed => f.write_str("the store is closed"),
            Error::Io(what) => f.write_str(what),
        }
    }
}

impl Error {
    /// The same, with the file that may not be written where it does not say so.
    pub fn denied(self, file: &Path) -> Self {
        match self {
            Error::ReadOnly(path) if path.as_os_str().is_empty() => {
                Error::ReadOnly(file.to_owned())
            }
            other => other,
        }
    }

    /// The same, with the file beside the database that it is about.
    pub fn of(self, file: &Path) -> Self {
        match self.denied(file) {
            Error::Io(why) => Error::Io(format!("{}: {why}", file.display())),
            other => other,
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            // A limit on the size of files (`ulimit -f`) is space that is not there, too.
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Error::Full,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Error::ReadOnly(PathBuf::new()),
            _ => Error::Io(error.to_string()),
        }
    }
}

#[cfg(feature = "sqlite")]
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let Some(code) = error.sqlite_error_code() else {
            // The value of a column is not of its type, or a row is missing that must be there.
            return Error::Unreadable(error.to_string());
        };
        if let rusqlite::Error::SqliteFailure(failure, _) = &error
            && failure.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE
        {
            // A write beyond the limit of a file's size; SQLite tells only "no space" apart. A
            // broken disk fails the journal's writes as well, and that is not taken lightly.
            return Error::Full;
        }
        match code {
            Code::DatabaseBusy | Code::DatabaseLocked => Error::Locked { pid: None },
            // The latter when a log cannot be made beside a file that can be read.
            Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen => {
                Error::ReadOnly(PathBuf::new())
            }
            Code::DatabaseCorrupt | Code::NotADatabase => Error::Corrupt(error.to_string()),
            Code::ConstraintViolation | Code::TypeMismatch => Error::Unreadable(error.to_string()),
            Code::TooBig => Error::TooLarge(error.to_string()),
            Code::DiskFull => Error::Full,
            _ => Error::Io(error.to_string()),
        }
    }
}
