//! What is asked of the engine: one path a call, over a backing that settles at once (memory) or later.
//!
//! In memory a call is [`Made`](Pending::Made) when it returns. Over a store it is made then as well, if the job
//! is in memory, and durable when its ticket is settled. What only the store can decide is a question with
//! its continuation, which runs on a thread of the store's: it depends on no thread that waits.

mod cancel_many;
mod change;
mod conflict;
mod conflict_shared;
mod dead;
mod on_conflict;
mod pending;
mod repeat;
mod repeat_change;
mod repeat_shared;
mod schedule;
mod schedule_given;
mod schedule_many;
mod timer;

pub use cancel_many::CancelledMany;
pub use change::{Cancelled, Moved};
pub(super) use on_conflict::Change;
pub use on_conflict::OnConflict;
pub use pending::{AT_ONCE, Ask, Coming, Delivered, Pending};
pub use repeat::NewRepeat;
pub use repeat_change::RepeatView;
pub(super) use schedule::new_job;
pub use schedule_given::GivenJob;
pub use timer::StartedTimer;
