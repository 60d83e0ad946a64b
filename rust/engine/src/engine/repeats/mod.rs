//! How a repeat is taken up, and how it comes again.
//!
//! A schedule is asked under no lock: a worker asks it when it takes an occurrence up, for the time that runs and for
//! the one after it. When the occurrence has ended, what follows is known.

mod ending;
mod found;
mod stored;
mod take_up;
mod waiting;

pub(super) use found::FoundRepeat;
pub(super) use stored::Edited;
pub use stored::StoredView;
pub use take_up::Taken;
