//! What may go wrong with a statement, and what is known of its transaction then.

use duewheel_store::Error;
use tokio_postgres::error::SqlState;

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection: what was sent last may have taken effect.
    Lost(String),
    /// Nothing has taken effect, and it may go well another time.
    Again(String),
    /// Others have the jobs of this node.
    LeaseLost,
    /// The server refuses what was sent; nothing of it has taken effect.
    Refused(Error),
    /// A unique index has this value already.
    Taken(String),
}

/// What ends a transaction of which a lease is lost: see `beat_v1`.
const LEASE_LOST: &str = "DW001";

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            return Trouble::Lost(described(&error));
        };
        let code = said.code();
        let text = described(&error);
        match code.code() {
            LEASE_LOST => Trouble::LeaseLost,
            // serialization, deadlock, lock not to be had, cancelled by a timeout, no resources.
            "40001" | "40P01" | "55P03" | "57014" => Trouble::Again(text),
            "53100" | "53200" | "53300" | "53400" => Trouble::Again(text),
            // A standby, and a server that ends or starts: another host may be right.
            "25006" | "57P01" | "57P02" | "57P03" | "57P05" => Trouble::Lost(text),
            // A COMMIT that was cancelled has left its transaction behind, which only a ROLLBACK ends.
            "25P02" => Trouble::Lost(text),
            // It has ended the connection, for this node was silent in the middle of a transaction.
            "25P03" | "25P04" => Trouble::Lost(text),
            _ if *code == SqlState::UNIQUE_VIOLATION => {
                Trouble::Taken(said.detail().unwrap_or_default().to_owned())
            }
            _ if code.code().starts_with("08") => Trouble::Lost(text),
            _ => Trouble::Refused(Error::Io(text)),
        }
    }
}

impl Trouble {
    /// Whether it only says that the transaction had failed before.
    pub(crate) fn is_echo(error: &tokio_postgres::Error) -> bool {
        error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
    }

    /// As an error of the store.
    pub(crate) fn error(self) -> Error {
        match self {
            Trouble::Lost(why) => {
                Error::Unavailable(format!("the server cannot be reached: {why}"))
            }
            Trouble::Again(why) => Error::Unavailable(format!(
                "another transaction is in the way, and nothing was changed: {why}"
            )),
            Trouble::LeaseLost => Error::InDoubt,
            Trouble::Refused(error) => error,
            Trouble::Taken(what) => Error::Io(format!("it is there already: {what}")),
        }
    }
}

/// An error with what lies behind it.
pub(crate) fn described(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
