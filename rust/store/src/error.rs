//! What any store may answer, as types that the binding maps to Python's.

use std::fmt;

/// Why a store refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// What is stored can no longer be trusted.
    Corrupt(String),
    /// One row, or one operation, cannot be read or written as it stands; the others can.
    Unreadable(String),
    /// A job is larger than a row, or many at once are than a batch.
    TooLarge(String),
    /// A payload needs a key that is missing, or another than was given.
    WrongKey(String),
    /// There is no space left. It may come back.
    Full,
    /// An input or output failed; nothing is accepted until the store is opened again.
    Poisoned(String),
    /// The connection was lost before the answer to a query came: it has taken effect or not, and
    /// nobody knows. It will not take effect any more.
    ///
    /// Never the answer about a batch: one in doubt is neither settled nor refused until the store
    /// has found out. Who asked treats a job that the query spoke of as one that it may have been
    /// given, and yields it. Jobs of a page whose answer was lost the store gives back by itself.
    InDoubt,
    /// The server cannot be reached, or others are in the way: nothing has taken effect, and it may go well later.
    Unavailable(String),
    /// The tables are of another version, or are not there and cannot be made.
    Version(String),
    /// A job has what the store cannot hold.
    Invalid(String),
    /// The id of a job is taken.
    Duplicate(String),
    /// It is closed.
    Closed,
    /// Anything else that the system reports.
    Io(String),
}

impl Error {
    /// Whether it concerns one row, operation or query, and says nothing of the store.
    pub fn is_of_one(&self) -> bool {
        matches!(
            self,
            Error::Unreadable(_)
                | Error::TooLarge(_)
                | Error::WrongKey(_)
                | Error::Duplicate(_)
                | Error::Unavailable(_)
                | Error::Invalid(_)
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Corrupt(what) => write!(f, "the store is corrupt: {what}"),
            Error::WrongKey(what)
            | Error::Unreadable(what)
            | Error::TooLarge(what)
            | Error::Version(what)
            | Error::Invalid(what) => {
                f.write_str(what)
            }
            Error::Full => f.write_str("there is no space left for the store"),
            Error::Poisoned(what) => write!(
                f,
                "the store failed and has to be opened again before it accepts more: {what}"
            ),
            Error::Duplicate(id) => write!(f, "a job with the id {id:?} is pending or running"),
            Error::InDoubt => f.write_str(
                "the connection to the store was lost before it answered: nobody knows whether it was done",
            ),
            Error::Closed => f.write_str("the store is closed"),
            Error::Unavailable(what) | Error::Io(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}
