//! The keys of a connection string, and the environment that fills them up.

use duewheel_store::Error;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Keys, and the variables of the environment that stand in for them.
pub(super) const VARIABLES: [(&str, &str); 19] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("servicefile", "PGSERVICEFILE"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
];
/// Keys that no variable stands in for.
const OTHERS: [&str; 6] = [
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "fallback_application_name",
];

pub(crate) type Settings = BTreeMap<String, String>;

/// What a string says beside what the process's environment says.
pub(crate) trait Environment {
    fn variable(&self, name: &str) -> Option<String>;
    fn home(&self) -> Option<PathBuf>;
    fn user(&self) -> Option<String>;
}

/// The environment of this process.
pub(crate) struct Process;

impl Environment for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn home(&self) -> Option<PathBuf> {
        std::env::home_dir()
    }

    fn user(&self) -> Option<String> {
        let names = ["USER", "LOGNAME", "USERNAME"];
        let named = names.iter().find_map(|name| self.variable(name));
        named.or_else(user_of_process)
    }
}

/// The name of the user that this process runs as.
#[cfg(unix)]
fn user_of_process() -> Option<String> {
    let number = rustix::process::geteuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let mut own = fields.filter(|fields| fields.get(2) == Some(&&*number));
    own.next().map(|fields| fields[0].to_owned())
}

#[cfg(not(unix))]
fn user_of_process() -> Option<String> {
    None
}

pub(crate) fn wrong(why: impl Into<String>) -> Error {
    Error::Io(format!("the connection string: {}", why.into()))
}

pub(crate) fn check_keys(given: &Settings) -> Result<(), Error> {
    let is_known =
        |key: &str| VARIABLES.iter().any(|(known, _)| *known == key) || OTHERS.contains(&key);
    match given.keys().find(|key| !is_known(key)) {
        Some(key) => {
            let mut known: Vec<&str> = VARIABLES
                .iter()
                .map(|(key, _)| *key)
                .chain(OTHERS)
                .collect();
            known.sort_unstable();
            Err(wrong(format!(
                "{key:?} is no key that is known here: there are {}",
                known.join(", ")
            )))
        }
        None => Ok(()),
    }
}
