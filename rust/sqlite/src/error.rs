//! What can go wrong with the files of a store, beside what any store may answer.

use crate::StoreError;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a local store could not be opened, copied or rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// This process has it open already.
    OpenHere,
    /// Another process has it open.
    Locked {
        /// Which process, where that is known.
        pid: Option<u32>,
    },
    /// The file or its directory cannot be written; the path is empty where it is not known.
    ReadOnly(PathBuf),
    /// The path is not that of a file.
    NotAFile(PathBuf),
    /// It was written by a later version.
    Newer {
        /// The version of its schema.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// One that any store may answer with.
    Store(StoreError),
}

impl Error {
    /// Any failure of input or output.
    pub(crate) fn io(why: impl Into<String>) -> Self {
        StoreError::Io(why.into()).into()
    }

    /// Files that can no longer be trusted.
    pub(crate) fn corrupt(why: impl Into<String>) -> Self {
        StoreError::Corrupt(why.into()).into()
    }

    /// One row, or one operation, that cannot be read or written as it stands.
    pub(crate) fn unreadable(why: impl Into<String>) -> Self {
        StoreError::Unreadable(why.into()).into()
    }

    /// Whether it concerns one row, operation or query, and says nothing of the store.
    pub(crate) fn is_of_one(&self) -> bool {
        matches!(self, Error::Store(error) if error.is_of_one())
    }

    /// Whether space is missing, which may come back.
    pub(crate) fn is_full(&self) -> bool {
        *self == Error::Store(StoreError::Full)
    }

    /// The same, with the file that may not be written where it does not say so.
    pub(crate) fn denied(self, file: &Path) -> Self {
        match self {
            Error::ReadOnly(path) if path.as_os_str().is_empty() => {
                Error::ReadOnly(file.to_owned())
            }
            other => other,
        }
    }

    /// The same, with the file beside the database that it is about.
    pub(crate) fn of(self, file: &Path) -> Self {
        match self.denied(file) {
            Error::Store(StoreError::Io(why)) => Error::io(format!("{}: {why}", file.display())),
            other => other,
        }
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
            Error::NotAFile(path) => write!(
                f,
                "{} is not a file: give the path of a file, which need not be there yet",
                path.display()
            ),
            Error::Newer { found, known } => write!(
                f,
                "the store has schema {found}, this version knows up to {known}"
            ),
            Error::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Error::Store(error)
    }
}

/// Beyond the boundary there are no files: what concerns them is a failure with their message.
impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error,
            of_the_files => StoreError::Io(of_the_files.to_string()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            // A limit on the size of files (`ulimit -f`) is space that is not there, too.
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => StoreError::Full.into(),
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Error::ReadOnly(PathBuf::new()),
            _ => Error::io(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let Some(code) = error.sqlite_error_code() else {
            // The value of a column is not of its type, or a row is missing that must be there.
            return Error::unreadable(error.to_string());
        };
        if let rusqlite::Error::SqliteFailure(failure, _) = &error
            && failure.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE
        {
            // A write beyond the limit of a file's size; SQLite tells only "no space" apart. A
            // broken disk fails the journal's writes as well, and that is not taken lightly.
            return StoreError::Full.into();
        }
        match code {
            Code::DatabaseBusy | Code::DatabaseLocked => Error::Locked { pid: None },
            // The latter when a log cannot be made beside a file that can be read.
            Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen => {
                Error::ReadOnly(PathBuf::new())
            }
            Code::DatabaseCorrupt | Code::NotADatabase => Error::corrupt(error.to_string()),
            Code::ConstraintViolation | Code::TypeMismatch => Error::unreadable(error.to_string()),
            Code::TooBig => StoreError::TooLarge(error.to_string()).into(),
            Code::DiskFull => StoreError::Full.into(),
            _ => Error::io(error.to_string()),
        }
    }
}
