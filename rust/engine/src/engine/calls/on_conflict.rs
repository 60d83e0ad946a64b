//! What a call under a given id may say of the job that has it.

use crate::due::queue::ClockKind;
use crate::jobs::record::Payload;

/// What becomes of a call under an id that is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// It is refused.
    #[default]
    Error,
    /// It changes nothing.
    Ignore,
    /// The job is what the call says, at its own due.
    Update,
    /// The job is what the call says, at the due of the call.
    Replace,
}

impl OnConflict {
    /// Whether the job that there is may be changed.
    pub(super) fn changes(self) -> bool {
        matches!(self, OnConflict::Update | OnConflict::Replace)
    }
}

/// What a job that is there is to be.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Change<P: Payload> {
    /// Where it is to be; `None`: where it is.
    pub(in crate::engine) to: Option<(ClockKind, i64)>,
    pub(in crate::engine) boot: i64,
    pub(in crate::engine) payload: P,
}

impl<P: Payload> Change<P> {
    /// What a call says that was given this place.
    pub(super) fn of(
        on_conflict: OnConflict,
        place: (ClockKind, i64),
        boot: i64,
        payload: P,
    ) -> Self {
        let to = (on_conflict == OnConflict::Replace).then_some(place);
        Change { to, boot, payload }
    }
}
