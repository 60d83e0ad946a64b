//! A question of the engine's, on its way to the server.

use duewheel_store::{Answered, Error, Query};

/// A question under way.
pub(super) struct Question {
    pub(super) query: Query,
    pub(super) then: Answered,
}

impl Question {
    pub(super) fn new(query: Query, then: Answered) -> Self {
        Question { query, then }
    }

    /// Nobody waits for the server any longer; `is_sent`: the question may have taken effect.
    pub(super) fn give_up(self, is_sent: bool) {
        let is_in_doubt = is_sent || matches!(self.query, Query::Claim { .. });
        (self.then)(Err(if is_in_doubt {
            Error::InDoubt
        } else {
            Error::Unavailable(
                "the server has not answered in time, and nothing was changed".into(),
            )
        }));
    }
}
