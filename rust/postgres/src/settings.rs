//! How a database is opened.

use duewheel_store::Keyring;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a database is opened.
pub struct Settings {
    /// A connection string, as libpq takes it.
    pub url: String,
    /// The schema of the tables.
    pub schema: String,
    /// What this node is called; by default its host and process.
    pub name: Option<String>,
    /// What payloads are sealed with.
    pub keys: Option<Keyring>,
    /// How long others leave a node its jobs of which they hear nothing.
    pub lease: Duration,
    /// How far ahead of now a node claims what is due.
    pub window: Duration,
    /// After how long a node looks for jobs that it has heard nothing of.
    pub poll: Duration,
    /// How long a call waits for a server that cannot be reached.
    pub timeout: Duration,
    /// How many interruptions of a job are too many.
    pub max_interruptions: u32,
    /// Whether other nodes are told at once of what this one schedules, and this one of theirs.
    pub notify: bool,
    /// Whether the tables are made and brought up to date.
    pub migrate: bool,
    /// The version of the library, for others to see.
    pub version: String,
    /// The wall clock of this machine, in nanoseconds since 1970: the one that the engine has.
    pub wall: fn() -> i64,
}

fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as i64)
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            url: String::new(),
            schema: "duewheel".into(),
            name: None,
            keys: None,
            lease: Duration::from_secs(20),
            window: Duration::from_secs(10),
            poll: Duration::from_millis(250),
            timeout: Duration::from_secs(10),
            max_interruptions: 3,
            notify: false,
            migrate: true,
            version: env!("CARGO_PKG_VERSION").into(),
            wall,
        }
    }
}
