//! Batches made true in the database, many in one transaction.
//!
//! Most jobs are over soon after they were scheduled. What a run of batches begins and ends never
//! reaches the tables: an insertion waits in memory until the run is through, and a start until
//! then, too; what ends meanwhile is dropped.

use crate::Error;
use crate::boundary::{Job, Op, Outcome};
use crate::codec::Reader;
use crate::rows;
use crate::schema;
use rusqlite::Connection;
use std::collections::{HashMap, HashSet};

/// What is known of the tables without looking.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The number of rows in `job`.
    pub(crate) jobs: i64,
    /// The highest sequence that was ever used.
    pub(crate) seq: u64,
    /// The sequences in `started`: a few, as many as handlers run.
    pub(crate) started: HashSet<u64>,
}

/// Applies batches within one open transaction.
pub(crate) struct Run<'a> {
    connection: &'a Connection,
    pub(crate) known: Known,
    /// Jobs that are in no table yet, by sequence: places in `new`.
    waiting: HashMap<u64, usize>,
    new: Vec<Option<(Job<'a>, Option<u32>)>>,
    begun: HashMap<u64, i64>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(connection: &'a Connection, known: Known) -> Self {
        Run {
            connection,
            known,
            waiting: HashMap::new(),
            new: Vec::new(),
            begun: HashMap::new(),
        }
    }

    /// Take in one batch.
    pub(crate) fn batch(&mut self, batch: &'a [u8]) -> Result<(), Error> {
        for entry in Reader::new(batch) {
            let (op, key) =
                entry.map_err(|()| Error::Corrupt("a batch of the journal has no form".into()))?;
            self.op(op, key)?;
        }
        Ok(())
    }

    fn op(&mut self, op: Op<'a>, key: Option<u32>) -> Result<(), Error> {
        match op {
            Op::Insert(job) => {
                self.known.seq = self.known.seq.max(job.place.seq);
                self.waiting.insert(job.place.seq, self.new.len());
                self.new.push(Some((job, key)));
            }
            Op::Delete(seq) => self.delete(seq)?,
            Op::Move { seq, to, clock } => {
                self.known.seq = self.known.seq.max(to.seq);
                if let Some(job) = self.rename(seq, to.seq) {
                    job.place = to;
                    job.clock = clock;
                } else {
                    rows::shift(self.connection, seq, to, clock)?;
                }
            }
            Op::Begin { seq, at } => {
                self.begun.insert(seq, at);
            }
            Op::Release(seq) => self.end(seq)?,
            Op::Yield(_) => {}
            Op::Finish { seq, outcome } => {
                self.end(seq)?;
                self.finish(seq, outcome)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, seq: u64, outcome: Outcome<'a>) -> Result<(), Error> {
        match outcome {
            Outcome::Done => self.delete(seq)?,
            Outcome::Again {
                to,
                clock,
                attempt,
                run,
                first_start,
            } => {
                self.known.seq = self.known.seq.max(to.seq);
                if let Some(job) = self.rename(seq, to.seq) {
                    job.place = to;
                    job.clock = clock;
                    job.attempt = attempt;
                    job.run = run;
                    job.first_start = first_start;
                } else {
                    rows::again(self.connection, seq, &outcome)?;
                }
            }
            Outcome::Dead {
                reason,
                error,
                died,
            } => {
                if let Some(at) = self.waiting.remove(&seq) {
                    self.write(at)?;
                }
                if rows::bury(self.connection, seq, reason, &error, died)? {
                    self.known.jobs -= 1;
                }
            }
        }
        Ok(())
    }

    /// A job that waits here, under its new sequence.
    fn rename(&mut self, seq: u64, to: u64) -> Option<&mut Job<'a>> {
        let at = self.waiting.remove(&seq)?;
        self.waiting.insert(to, at);
        self.new[at].as_mut().map(|(job, _)| job)
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
        if let Some((job, key)) = self.new[at].take() {
            rows::insert(self.connection, &job, key)?;
            self.known.jobs += 1;
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

    /// Flush, and note in the same transaction how far the batches go.
    pub(crate) fn end_at(mut self, applied: u64) -> Result<Known, Error> {
        self.flush()?;
        schema::set(self.connection, "applied", applied as i64)?;
        schema::set(self.connection, "seq", self.known.seq as i64)?;
        schema::set(self.connection, "jobs", self.known.jobs)?;
        Ok(self.known)
    }
}
