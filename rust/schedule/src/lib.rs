//! The times of recurring jobs: sets of instants that are asked for the next one.
//!
//! All times are `i64` nanoseconds since 1970, UTC. Nothing here knows jobs, threads or Python.
//!
//! ```
//! use duewheel_schedule::{Schedule, Zone};
//!
//! let paris = Zone::named("Europe/Paris")?;
//! let nightly = Schedule::cron("30 2 * * *", paris)?;
//! let noon = 1_806_148_800_000_000_000; // 2027-03-27T12:00Z; that night clocks go from 02:00 to 03:00
//! let run = nightly.next(noon)?.unwrap();
//! assert_eq!(run, noon + 13 * 3_600_000_000_000); // 03:00, the end of the gap
//! # Ok::<(), duewheel_schedule::Error>(())
//! ```

mod calendar;
mod cron;
mod days;
mod error;
mod every;
pub mod rrule;
mod schedule;
mod zone;

pub use calendar::date_of;
pub use error::Error;
pub use jiff::civil;
pub use schedule::{Form, Interval, Schedule};
pub use zone::Zone;
