//! Encrypting all payloads and results under the default key, some rows at a time, on a connection of its own.
//!
//! Each step is a transaction, and a row that has the default key is passed by: so a rotation that was cut off goes on
//! where it was when it is begun again, in this process or another.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::settings::Settings;
use crate::tables::names::{id_of, quoted};
use crate::tables::statement::Params;
use duewheel_store::{Error, Keyring, open_payload, open_result};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;
use tokio_postgres::{Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Called with how it ended; on a thread of the store, so it must be short.
pub type Ended = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// Called with how far it has come: rows done, rows in all; on a thread of the store, so it must be short.
pub type OnProgress = Box<dyn Fn(u64, u64) + Send>;

/// Rows that are encrypted in one step.
const STEP: i64 = 256;
/// How often all rows are gone through, where other nodes write under another key meanwhile.
const PASSES: u32 = 8;
/// How long a statement may take: some read a whole table.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(100);
const TABLES: [Table; 3] = [
    Table {
        name: "job",
        by: "id",
        of: "uuid",
        column: "data",
    },
    Table {
        name: "dead",
        by: "number",
        of: "bigint",
        column: "data",
    },
    Table {
        name: "outcome",
        by: "id",
        of: "uuid",
        column: RESULT,
    },
];
const RESULT: &str = "result";

/// A table with something that is encrypted.
struct Table {
    name: &'static str,
    /// By what its rows are gone through.
    by: &'static str,
    /// The type of that.
    of: &'static str,
    /// What is encrypted.
    column: &'static str,
}

/// A rotation that is under way.
pub(crate) struct Rotation {
    pub(crate) settings: Arc<Settings>,
    pub(crate) config: Config,
    pub(crate) tls: MakeRustlsConnect,
    pub(crate) progress: OnProgress,
    /// Whether the store is being closed.
    pub(crate) ends: Arc<AtomicBool>,
    state: State,
}

/// How far it has come.
#[derive(Default)]
struct State {
    passes: u32,
    table: usize,
    /// The last row that was looked at, as text.
    after: Option<String>,
    done: u64,
    all: Option<u64>,
    /// Rows that could not be read, and what is wrong with the first; of the last pass.
    passed: (u64, Option<Error>),
}

impl Rotation {
    pub(crate) fn new(
        settings: Arc<Settings>,
        (config, tls): (Config, MakeRustlsConnect),
        progress: OnProgress,
        ends: Arc<AtomicBool>,
    ) -> Self {
        Rotation {
            settings,
            config,
            tls,
            progress,
            ends,
            state: State::default(),
        }
    }

    /// Go through all rows, over as many connections as it takes.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let settings = self.settings.clone();
        let Some(keys) = &settings.keys else {
            return Err(Error::WrongKey("there is no keyring to rotate to".into()));
        };
        let mut done = self.state.done;
        let mut since = Instant::now();
        loop {
            match self.go_on(keys).await {
                Ok(()) => return Ok(()),
                Err(trouble @ (Trouble::Lost(_) | Trouble::Again(_))) => {
                    if self.state.done > done {
                        (done, since) = (self.state.done, Instant::now());
                    }
                    if since.elapsed() > settings.timeout {
                        return Err(trouble.error());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(trouble) => return Err(trouble.error()),
            }
        }
    }

    async fn go_on(&mut self, keys: &Keyring) -> Result<(), Trouble> {
        let connecting = Link::connect(&self.config, self.tls.clone(), PATIENCE, Box::new(|_| ()));
        let link = tokio::time::timeout(self.settings.timeout, connecting).await;
        let link = link.map_err(|_| Trouble::Lost("it has not answered in time".into()))??;
        let key = i64::from(keys.default_key());
        if self.state.all.is_none() {
            self.state.all = Some(self.count(&link).await?);
        }
        loop {
            if self.ends.load(Ordering::Acquire) {
                return Err(Trouble::Refused(Error::Closed));
            }
            if let Some(table) = TABLES.get(self.state.table) {
                self.step(&link, table, keys).await?;
                continue;
            }
            self.refuse_passed()?;
            if self.forget(&link, key).await? {
                return Ok(());
            }
            self.state.passes += 1;
            if self.state.passes >= PASSES {
                return Err(Trouble::Refused(Error::Io(format!(
                    "other nodes encrypt under other keys: open them with the default key {key}, then rotate again"
                ))));
            }
            self.state.table = 0;
        }
    }

    async fn count(&self, link: &Link) -> Result<u64, Trouble> {
        let s = quoted(&self.settings.schema);
        let count = |table: &Table| format!("(SELECT count(*) FROM {s}.{})", table.name);
        let sql = format!("SELECT {}", TABLES.each_ref().map(count).join(" + "));
        link.count(&sql, Params::default()).await
    }

    /// Encrypt the next rows of a table that have another key, or none.
    async fn step(&mut self, link: &Link, table: &Table, keys: &Keyring) -> Result<(), Trouble> {
        let Table {
            name,
            by,
            of,
            column,
        } = table;
        let s = quoted(&self.settings.schema);
        let key = i64::from(keys.default_key());
        let select = format!(
            "SELECT j.{by}::text, j.id, j.name, t.name, j.key, j.{column}, j.key IS DISTINCT FROM $2 FROM {s}.{name} j \
             JOIN {s}.target t ON t.id = j.target WHERE $1::text IS NULL OR j.{by} > ($1::text)::{of} \
             ORDER BY j.{by} LIMIT $3"
        );
        let params = Params::default()
            .with(self.state.after.clone(), Type::TEXT)
            .with(key, Type::INT8)
            .with(STEP, Type::INT8);
        let rows = link.query(&select, params).await?;
        let (mut places, mut digests, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let place: String = row.try_get(0)?;
            if row.try_get(6)? {
                match resealed(row, *column == RESULT, keys)? {
                    Ok(fresh) => {
                        places.push(place.clone());
                        digests.push(Sha256::digest(row.try_get::<_, &[u8]>(5)?).to_vec());
                        sealed.push(fresh);
                    }
                    Err(why) => {
                        self.state.passed.0 += 1;
                        self.state.passed.1.get_or_insert(why);
                    }
                }
            }
        }
        if !places.is_empty() {
            // A payload that was edited since it was read is another's to encrypt: the next pass sees it.
            let update = format!(
                "UPDATE {s}.{name} j SET {column} = x.fresh, key = $1 FROM unnest($2::text[], $3::bytea[], $4::bytea[]) \
                 x(place, digest, fresh) WHERE j.{by} = x.place::{of} AND sha256(j.{column}) = x.digest"
            );
            let params = Params::default()
                .with(key, Type::INT8)
                .with(places, Type::TEXT_ARRAY)
                .with(digests, Type::BYTEA_ARRAY)
                .with(sealed, Type::BYTEA_ARRAY);
            link.query_briefly(&update, params).await?;
        }
        self.note_step(&rows)
    }

    fn note_step(&mut self, rows: &[Row]) -> Result<(), Trouble> {
        let state = &mut self.state;
        match rows.last() {
            Some(last) => state.after = Some(last.try_get(0)?),
            None => {
                state.table += 1;
                state.after = None;
            }
        }
        if state.passes == 0 {
            state.done += rows.len() as u64;
            let all = state.all.unwrap_or(0).max(state.done);
            (self.progress)(state.done, all);
        }
        Ok(())
    }

    fn refuse_passed(&mut self) -> Result<(), Trouble> {
        let (count, Some(why)) = std::mem::take(&mut self.state.passed) else {
            return Ok(());
        };
        Err(Trouble::Refused(Error::Unreadable(format!(
            "{count} rows cannot be read, and keep their keys; all others have the new one. The first: {why}"
        ))))
    }

    /// Forget all keys but the default one, unless a row still has another; whether they are forgotten.
    async fn forget(&self, link: &Link, key: i64) -> Result<bool, Trouble> {
        let s = quoted(&self.settings.schema);
        let has_none = |table: &Table| {
            let name = table.name;
            format!("NOT EXISTS (SELECT FROM {s}.{name} WHERE key <> $1)")
        };
        let is_free = TABLES.each_ref().map(has_none).join(" AND ");
        let sql = format!(
            "WITH f AS (SELECT {is_free} AS is_free), \
             d AS (DELETE FROM {s}.keys WHERE key <> $1 AND (SELECT is_free FROM f)) SELECT is_free FROM f"
        );
        let rows = link
            .query(&sql, Params::default().with(key, Type::INT8))
            .await?;
        Ok(rows.first().map_or(Ok(false), |row| row.try_get(0))?)
    }
}

/// A payload or a result under the default key, or why it cannot be read.
fn resealed(row: &Row, is_result: bool, keys: &Keyring) -> Result<Result<Vec<u8>, Error>, Trouble> {
    let (id, target) = (id_of(row.try_get(1)?, row.try_get(2)?), row.try_get(3)?);
    let key: Option<i64> = row.try_get(4)?;
    let key = key.map(|key| u32::try_from(key).unwrap_or(u32::MAX));
    let (named, stored) = ((&*id, target), row.try_get(5)?);
    Ok(if is_result {
        let opened = open_result(Some(keys), key, named, stored);
        opened.and_then(|result| keys.seal_result(&id, target, &result))
    } else {
        let opened = open_payload(Some(keys), key, named, stored);
        opened.and_then(|data| keys.seal(&id, target, &data))
    })
}
