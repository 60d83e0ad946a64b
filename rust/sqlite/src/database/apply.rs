//! Batches made true in the database, many in one transaction.
//!
//! Most jobs are over soon after they were scheduled. What a run of batches begins and ends never
//! reaches the tables: an insertion waits in memory until the run is through, and a start until
//! then, too; what ends meanwhile is dropped.

use crate::database::changes;
use crate::database::outcomes;
use crate::database::owed;
use crate::database::rows;
use crate::database::schema;
use crate::journal::codec::Reader;
use crate::{Error, StoreError};
use duewheel_store::{Ending, Job, Next, Op, Progress};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is known of the tables without looking.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableCounts {
    /// The number of rows in `job`.
    pub(crate) jobs: i64,
    /// The highest sequence that was ever used.
    pub(crate) seq: u64,
    /// The sequences in `started`: a few, as many as handlers run.
    pub(crate) started: HashSet<u64>,
}

/// Applies batches within one open transaction.
pub(crate) struct BatchApplier<'a> {
    connection: &'a Connection,
    pub(crate) known: TableCounts,
    /// Jobs that are in no table yet, by sequence: places in `new`.
    waiting: HashMap<u64, usize>,
    new: Vec<Option<New<'a>>>,
    begun: HashMap<u64, i64>,
    /// Whether the process that wrote the batches ends in order.
    leaves: bool,
    /// The version of the tables.
    version: u32,
    /// The record that is applied now.
    record: Record<'a>,
    /// What could not be applied, by the number of its record, and why: the rest goes on.
    refused: BTreeMap<u64, (StoreError, &'a [u8])>,
}

#[derive(Clone, Copy)]
struct Record<'a> {
    number: u64,
    batch: &'a [u8],
}

/// A job that is in no table yet, the key its data are sealed under, and where it came from.
type New<'a> = (Job<'a>, Option<u32>, Record<'a>);

impl<'a> BatchApplier<'a> {
    /// Of the batches after the record `applied`.
    pub(crate) fn new(connection: &'a Connection, known: TableCounts, applied: u64) -> Self {
        BatchApplier {
            connection,
            known,
            waiting: HashMap::new(),
            new: Vec::new(),
            begun: HashMap::new(),
            leaves: false,
            version: schema::VERSION,
            record: Record {
                number: applied,
                batch: &[],
            },
            refused: BTreeMap::new(),
        }
    }

    /// The same, in the tables of this version.
    pub(crate) fn of_version(self, version: u32) -> Self {
        BatchApplier { version, ..self }
    }

    /// What copies a job to the dead.
    fn buries(&self) -> &'static str {
        match self.version {
            ..=3 => rows::BURY_3,
            4 => rows::BURY_4,
            _ => rows::BURY,
        }
    }

    /// Take in the next batch: all of it that can be applied.
    ///
    /// # Errors
    ///
    /// Those of the store. What only one operation is at fault for is noted, for it would be so
    /// each time, and the file could never be opened.
    pub(crate) fn batch(&mut self, batch: &'a [u8]) -> Result<(), Error> {
        self.record = Record {
            number: self.record.number + 1,
            batch,
        };
        for entry in Reader::new(batch) {
            let no_form = || Error::unreadable("it has no form that is known");
            let done = entry
                .map_err(|()| no_form())
                .and_then(|(op, key)| self.op(op, key));
            self.pass(self.record, done)?;
        }
        Ok(())
    }

    /// Go on past what could not be applied.
    fn pass(&mut self, record: Record<'a>, done: Result<(), Error>) -> Result<(), Error> {
        match done {
            Err(why) if why.is_of_one() => {
                let first = self.refused.entry(record.number);
                first.or_insert((why.into(), record.batch));
                Ok(())
            }
            done => done,
        }
    }

    fn op(&mut self, op: Op<'a>, key: Option<u32>) -> Result<(), Error> {
        match op {
            Op::Insert(job) => {
                self.known.seq = self.known.seq.max(job.place.seq);
                self.waiting.insert(job.place.seq, self.new.len());
                self.new.push(Some((job, key, self.record)));
            }
            Op::Delete(seq) => self.delete(seq)?,
            Op::Move { seq, to, clock } => {
                self.known.seq = self.known.seq.max(to.seq);
                if let Some(job) = self.rename(seq, to.seq) {
                    job.place = to;
                    job.clock = clock;
                } else {
                    changes::shift(self.connection, seq, to, clock)?;
                }
            }
            Op::Edit(job) => {
                self.write_waiting(job.place.seq)?;
                changes::edit(self.connection, &job, key)?;
                if self.version > 4 {
                    changes::carry(self.connection, &job)?;
                }
            }
            Op::Stand {
                seq,
                job_due,
                standing,
            } => {
                if let Some(job) = self.waiting(seq) {
                    if let Some(repeat) = &mut job.repeat {
                        (job.job_due, repeat.standing) = (job_due, *standing);
                    }
                } else {
                    changes::stand(self.connection, seq, job_due, &standing)?;
                }
            }
            Op::Begin { seq, at } => {
                self.begun.insert(seq, at);
            }
            Op::Release(seq) => self.end(seq)?,
            Op::Yield(_) => {}
            Op::Keep { kept, .. } => outcomes::keep(self.connection, &kept, key)?,
            Op::Inherited(number) => owed::inherited(self.connection, number)?,
            Op::Leave => self.leaves = true,
            Op::Finish { seq, outcome } => {
                // In this order: what could not be noted as over is still marked as started.
                self.finish(seq, outcome)?;
                self.end(seq)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, seq: u64, outcome: Ending<'a>) -> Result<(), Error> {
        match outcome {
            Ending::Done => self.delete(seq)?,
            Ending::Again {
                to,
                clock,
                progress,
            } => {
                self.known.seq = self.known.seq.max(to.seq);
                if let Some(job) = self.rename(seq, to.seq) {
                    job.place = to;
                    job.clock = clock;
                    job.progress = progress;
                    job.follow = None;
                } else {
                    changes::again(self.connection, self.version, seq, &outcome)?;
                }
            }
            Ending::Dead {
                reason,
                error,
                died,
                next,
            } => {
                self.write_waiting(seq)?;
                let death = rows::Death {
                    reason,
                    error: &error,
                    at: died,
                };
                rows::bury(self.connection, self.buries(), seq, &death)?;
                match next {
                    Some(next) => self.follow(seq, &next)?,
                    None => self.delete(seq)?,
                }
            }
            Ending::Next(next) => self.follow(seq, &next)?,
        }
        Ok(())
    }

    /// The next occurrence of a repeat follows.
    fn follow(&mut self, seq: u64, next: &Next) -> Result<(), Error> {
        self.known.seq = self.known.seq.max(next.to.seq);
        let Some(job) = self.rename(seq, next.to.seq) else {
            return changes::next(self.connection, self.version, seq, next);
        };
        job.follow = None;
        (job.place, job.clock, job.job_due) = (next.to, next.clock, next.job_due);
        (job.progress, job.interruptions) = (Progress::NEW, 0);
        job.progress.run = next.run;
        if let Some(repeat) = &mut job.repeat {
            repeat.standing = next.standing;
        }
        Ok(())
    }

    /// A job that waits here.
    fn waiting(&mut self, seq: u64) -> Option<&mut Job<'a>> {
        let at = *self.waiting.get(&seq)?;
        self.new[at].as_mut().map(|(job, ..)| job)
    }

    /// Write a job that waits here, before the tables are told more of it.
    fn write_waiting(&mut self, seq: u64) -> Result<(), Error> {
        let at = self.waiting.remove(&seq);
        at.map_or(Ok(()), |at| self.write(at))
    }

    /// A job that waits here, under its new sequence.
    fn rename(&mut self, seq: u64, to: u64) -> Option<&mut Job<'a>> {
        let at = self.waiting.remove(&seq)?;
        self.waiting.insert(to, at);
        self.new[at].as_mut().map(|(job, ..)| job)
    }

    fn delete(&mut self, seq: u64) -> Result<(), Error> {
        if let Some(at) = self.waiting.remove(&seq) {
            self.new[at] = None;
        } else if rows::delete(self.connection, seq)? {
            self.known.jobs -= 1;
        }
        Ok(())
    }

    /// A start is over.
    fn end(&mut self, seq: u64) -> Result<(), Error> {
        self.begun.remove(&seq);
        if self.known.started.remove(&seq) {
            self.connection
                .prepare_cached("DELETE FROM started WHERE seq = ?1")?
                .execute([seq as i64])?;
        }
        Ok(())
    }

    fn write(&mut self, at: usize) -> Result<(), Error> {
        if let Some((job, key, record)) = self.new[at].take() {
            let done = rows::insert(self.connection, &job, key);
            self.known.jobs += i64::from(done.is_ok());
            self.pass(record, done)?;
        }
        Ok(())
    }

    /// Write what has not ended, so that the tables say all that the batches did.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        for at in 0..self.new.len() {
            self.write(at)?;
        }
        self.new.clear();
        self.waiting.clear();
        for (seq, at) in self.begun.drain() {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO started VALUES (?1, ?2)")?
                .execute((seq as i64, at))?;
            self.known.started.insert(seq);
        }
        Ok(())
    }

    /// Flush, and note in the same transaction how far the batches go; what could not be applied.
    pub(crate) fn end_at(
        mut self,
        applied: u64,
    ) -> Result<(TableCounts, Vec<(u64, StoreError)>), Error> {
        self.flush()?;
        let mut unapplied = Vec::new();
        for (record, (why, batch)) in std::mem::take(&mut self.refused) {
            keep_unapplied(self.connection, record, &why, batch)?;
            unapplied.push((record, why));
        }
        schema::set(self.connection, "applied", applied as i64)?;
        schema::set(self.connection, "seq", self.known.seq as i64)?;
        schema::set(self.connection, "jobs", self.known.jobs)?;
        if self.leaves {
            schema::set(self.connection, "left", 1)?;
        }
        Ok((self.known, unapplied))
    }
}

/// Keep a record that could not be applied, for who wants to look what was in it.
fn keep_unapplied(
    connection: &Connection,
    record: u64,
    why: &StoreError,
    batch: &[u8],
) -> Result<(), Error> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS unapplied (
            record INTEGER PRIMARY KEY, why TEXT NOT NULL, batch BLOB
        ) STRICT",
    )?;
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO unapplied VALUES (?1, ?2, ?3)")?;
    let mut keep = |batch| insert.execute((record as i64, why.to_string(), batch));
    match keep(Some(batch)).map_err(Error::from) {
        // Alone it is larger than a row.
        Err(Error::Store(StoreError::TooLarge(_))) => keep(None)?,
        kept => kept?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::codec::encode;
    use duewheel_store::{ClockKind, Place, RetryOptions};
    use rusqlite::limits::Limit;

    fn job(seq: u64, id: &str, data: usize) -> Job<'static> {
        Job {
            id: id.to_owned().into(),
            target: "t".repeat(255).into(),
            data: vec![1; data].into(),
            place: Place {
                due: i64::MAX - 1,
                seq,
            },
            clock: ClockKind::Boot,
            job_due: i64::MIN,
            created: i64::MIN,
            progress: Progress {
                attempt: u32::MAX,
                run: u32::MAX,
                first_start: Some(i64::MIN),
            },
            interruptions: u32::MAX,
            options: RetryOptions {
                retry_limit: Some(u32::MAX),
                age_limit: Some(i64::MAX),
                min_backoff: i64::MAX,
                max_backoff: i64::MAX,
                at_most_once: true,
            },
            repeat: None,
            carried: None,
            follow: None,
        }
    }

    fn batch(ops: &[Op<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for op in ops {
            let data = if let Op::Insert(job) = op {
                &job.data[..]
            } else {
                &[]
            };
            encode(op, data, None, &mut out);
        }
        out
    }

    /// Apply these records after the third; what was refused, and which ids are there.
    fn applied(
        connection: &Connection,
        records: &[Vec<u8>],
    ) -> (Vec<(u64, StoreError)>, Vec<String>) {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut run = BatchApplier::new(connection, TableCounts::default(), 3);
        for record in records {
            run.batch(record).unwrap();
        }
        let (known, refused) = run.end_at(3 + records.len() as u64).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        let mut ids = connection
            .prepare("SELECT id FROM job ORDER BY id")
            .unwrap();
        let ids: Vec<String> = ids
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(known.jobs, ids.len() as i64);
        (refused, ids)
    }

    fn tables() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        schema::migrate(&connection, 0).unwrap();
        connection
    }

    #[test]
    fn what_cannot_be_applied_is_kept_with_its_number_and_the_rest_goes_on() {
        let connection = tables();
        let records = [
            batch(&[Op::Insert(job(1, "a", 5)), Op::Insert(job(2, "b", 5))]),
            batch(&[Op::Insert(job(3, "a", 5)), Op::Insert(job(4, "c", 5))]),
            [batch(&[Op::Insert(job(5, "d", 5))]), vec![99; 20]].concat(),
            batch(&[Op::Insert(job(2, "e", 5)), Op::Delete(77)]),
            batch(&[Op::Insert(job(6, "f", 5))]),
        ];
        let (refused, ids) = applied(&connection, &records);
        assert_eq!(ids, ["a", "b", "c", "d", "f"]);
        let numbers: Vec<u64> = refused.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [5, 6, 7]);
        assert!(
            refused
                .iter()
                .all(|(_, why)| matches!(why, StoreError::Unreadable(_)))
        );
        let kept: Vec<u8> = connection
            .query_row("SELECT batch FROM unapplied WHERE record = 6", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(kept, records[2]);
    }

    /// A row has room for the largest data, sealed, and all else: the same with a thousandth of it.
    #[test]
    fn a_row_holds_the_largest_data_beside_the_longest_of_all_else() {
        const ROW: i32 = 2_000_000;
        let data = ROW as usize - 1_000_000 + 28;
        let connection = tables();
        connection
            .set_limit(Limit::SQLITE_LIMIT_LENGTH, ROW)
            .unwrap();
        let id = "i".repeat(255);
        let dead = Op::Finish {
            seq: 1,
            outcome: Ending::Dead {
                reason: duewheel_store::Reason::Failed,
                error: "e".repeat(64 * 1024).into(),
                died: i64::MIN,
                next: None,
            },
        };
        let records = [
            batch(&[Op::Insert(job(1, &id, data))]),
            batch(&[dead]),
            batch(&[Op::Insert(job(2, &id, data))]),
            batch(&[Op::Insert(job(3, "large", ROW as usize))]),
            batch(&[Op::Insert(job(4, "last", 0))]),
        ];
        let (refused, ids) = applied(&connection, &records);
        assert_eq!(ids, [id.as_str(), "last"]);
        assert!(
            matches!(refused[..], [(7, StoreError::TooLarge(_))]),
            "{refused:?}"
        );
        let kept = connection.query_row("SELECT batch FROM unapplied", [], |row| {
            row.get::<_, Option<Vec<u8>>>(0)
        });
        assert_eq!(kept, Ok(None), "it is larger than a row");
        let mut statement = connection
            .prepare(concat!(
                "SELECT number, ",
                schema::columns!(),
                ", reason, error, died FROM dead"
            ))
            .unwrap();
        let dead = statement
            .query_and_then([], |row| rows::dead(row, None))
            .unwrap();
        assert_eq!(
            dead.map(|dead| dead.unwrap().job.data.len()).sum::<usize>(),
            data
        );
    }
}
