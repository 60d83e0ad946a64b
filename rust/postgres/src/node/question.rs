//! A question of the engine's, on its way to the server.

use duewheel_store::{Answered, Error, Query};

/// A question under way.
pub(super) struct Question {
    pub(super) query: Query,
    pub(super) then: Answered,
    /// How many jobs it has changed, once it has taken effect: it is to be answered, not to be asked again.
    pub(super) changed: Option<i64>,
}

impl Question {
    pub(super) fn new(query: Query, then: Answered) -> Self {
        Question {
            query,
            then,
            changed: None,
        }
    }

    pub(super) fn claims(&self) -> bool {
        matches!(self.query, Query::Claim { .. })
    }

    /// Nobody waits for the server any longer; `is_sent`: the question may have taken effect.
    pub(super) fn give_up(self, is_sent: bool) {
        let is_in_doubt = is_sent || self.changed.is_some() || self.claims();
        (self.then)(Err(if is_in_doubt {
            Error::InDoubt
        } else {
            Self::not_answered()
        }));
    }

    pub(super) fn not_answered() -> Error {
        Error::Unavailable("the server has not answered in time, and nothing was changed".into())
    }
}
