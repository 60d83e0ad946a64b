//! Queries, answered from the tables. All batches before them have been applied.

use crate::database::apply::TableCounts;
use crate::database::changes;
use crate::database::outcomes;
use crate::database::owed;
use crate::database::rows;
use crate::database::schema::{columns, of_target, once, unbegun};
use crate::{Error, StoreError};
use duewheel_store::{Answer, ClockKind, Job, Kept, Keyring, Page, Place, Query, WhichDead};
use rusqlite::{Connection, OptionalExtension, Rows, params};
use std::borrow::Cow;
use std::collections::HashSet;

/// Why some questions are refused.
const OF_NODES: &str = "a file is of one process: this is asked of what nodes share";

/// Everything that an answer needs.
pub(crate) struct Queries<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) keys: Option<&'a Keyring>,
}

impl Queries<'_> {
    /// Answer one.
    pub(crate) fn answer(&self, known: &mut TableCounts, query: &Query) -> Result<Answer, Error> {
        match query {
            Query::Page {
                target,
                after,
                until,
                limit,
            } => {
                let page = self.page(target.as_deref(), *after, *until, *limit);
                page.map(Answer::Page)
            }
            Query::Repeats { after, limit } => self.repeats(*after, *limit).map(Answer::Page),
            Query::Nodes => Ok(Answer::Nodes(Vec::new())),
            Query::Claim { .. }
            | Query::Recall(_)
            | Query::Put { .. }
            | Query::Repeat(_)
            | Query::RepeatIds
            | Query::Amend { .. }
            | Query::Declare { .. } => Err(StoreError::Io(OF_NODES.into()).into()),
            Query::Get(id) => self.get(id).map(Answer::Job),
            Query::Pending(id) => self.get_pending(id).map(Answer::Job),
            Query::Unfinished(targets) => self.unfinished(targets).map(Answer::Count),
            Query::Count => {
                let begun = known.started.len() as i64;
                Ok(Answer::Count((known.jobs - begun).max(0) as u64))
            }
            Query::Targets
            | Query::TargetOf(_)
            | Query::SetPaused { .. }
            | Query::PausedTargets
            | Query::Owed { .. }
            | Query::OwedTargets => self.answer_of_targets(query),
            Query::Insert(jobs) => self.insert(known, jobs),
            Query::Cancel { id, at } => self.cancel(known, id, *at),
            Query::Outcome { id, now } => {
                outcomes::get(self.connection, self.keys, (id, *now)).map(Answer::Outcome)
            }
            Query::Move { id, to, clock } => {
                let Some(seq) = self.pending(id)? else {
                    return Ok(Answer::Changed(false));
                };
                // What could not come in at its new time is not moved.
                self.get(id)?;
                known.seq = known.seq.max(to.seq);
                changes::shift(self.connection, seq, *to, *clock).map(Answer::Changed)
            }
            Query::Dead {
                which,
                before,
                limit,
            } => self.dead(which, *before, *limit),
            Query::Revive { id, to, clock } => self.revive(known, id, *to, *clock).map(Answer::Job),
            Query::Purge { before, ids } => self.purge(*before, ids.as_deref()).map(Answer::Count),
            Query::TrimDead { before, most } => self.trim_dead(*before, *most).map(Answer::Count),
        }
    }

    /// Answer what is asked of targets.
    fn answer_of_targets(&self, query: &Query) -> Result<Answer, Error> {
        match query {
            Query::TargetOf(id) => self.target_of(id).map(Answer::TargetOf),
            Query::SetPaused { target, paused } => {
                self.set_paused(target, *paused).map(Answer::Changed)
            }
            Query::PausedTargets => self.paused_targets().map(Answer::Ids),
            Query::OwedTargets => owed::targets(self.connection).map(Answer::Ids),
            Query::Owed {
                target,
                after,
                limit,
            } => owed::page(self.connection, self.keys, target, (*after, *limit)).map(Answer::Dead),
            _ => self.targets().map(Answer::Targets),
        }
    }

    /// The job of this id, if it has not been begun.
    fn pending(&self, id: &str) -> Result<Option<u64>, Error> {
        match rows::find(self.connection, id)? {
            Some(seq) if !rows::is_started(self.connection, seq)? => Ok(Some(seq)),
            _ => Ok(None),
        }
    }

    /// Cancel a job that has not begun.
    fn cancel(&self, known: &mut TableCounts, id: &str, at: i64) -> Result<Answer, Error> {
        let Some(seq) = self.pending(id)? else {
            return Ok(Answer::Changed(false));
        };
        let mut answer = Answer::Changed(true);
        let carried = rows::carried_of(self.connection, id)?.flatten();
        if let Some(keep) = carried.and_then(|carried| carried.keep) {
            let target = self.target_of(id)?.map(|(target, _)| target);
            let kept = Kept::cancelled(id, &target.unwrap_or_default(), at, keep);
            outcomes::seal_and_keep(self.connection, kept, self.keys)?;
            answer = Answer::Kept;
        }
        known.jobs -= i64::from(rows::delete(self.connection, seq)?);
        Ok(answer)
    }

    fn page(
        &self,
        target: Option<&str>,
        after: Option<Place>,
        until: i64,
        limit: usize,
    ) -> Result<Page, Error> {
        // The rest of the due that the last page ended in, then what comes after it: each a
        // range of the index on due, in which SQLite keeps the sequence as well.
        let (due, seq) = after.map_or((i64::MIN, 0), |after| (after.due, after.seq as i64));
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut page = Page::default();
        let mut found = 0;
        if after.is_some() && due < until {
            let mut rest = self.connection.prepare_cached(concat!(
                "SELECT ",
                columns!(),
                " FROM job WHERE due = ?1 AND seq > ?2 AND typeof(due) = 'integer'",
                once!(),
                unbegun!(),
                of_target!(),
                " ORDER BY seq LIMIT ?3"
            ))?;
            found += self.fill(
                &mut page,
                limit,
                rest.query(params![due, seq, wanted, target])?,
            )?;
        }
        let wanted = wanted - found;
        if wanted > 0 {
            let mut next = self.connection.prepare_cached(if after.is_some() {
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM job WHERE due > ?1 AND due < ?2 AND typeof(due) = 'integer'",
                    once!(),
                    unbegun!(),
                    of_target!(),
                    " ORDER BY due, seq LIMIT ?3"
                )
            } else {
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM job WHERE due >= ?1 AND due < ?2 AND typeof(due) = 'integer'",
                    once!(),
                    unbegun!(),
                    of_target!(),
                    " ORDER BY due, seq LIMIT ?3"
                )
            })?;
            self.fill(
                &mut page,
                limit,
                next.query(params![due, until, wanted, target])?,
            )?;
        }
        Ok(page)
    }

    /// A page of what comes again, which no other page has.
    fn repeats(&self, after: Option<u64>, limit: usize) -> Result<Page, Error> {
        let after = after.map_or(i64::MIN, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut page = Page::default();
        // By name, for SQLite would go through all jobs by their sequences.
        let mut rows = self.connection.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM job INDEXED BY job_repeat \
             WHERE repeat IS NOT NULL AND seq > ?1 AND typeof(due) = 'integer'",
            unbegun!(),
            " ORDER BY seq LIMIT ?2"
        ))?;
        self.fill(&mut page, limit, rows.query(params![after, wanted])?)?;
        Ok(page)
    }

    /// Put rows into a page, up to its limit; how many there were.
    fn fill(&self, page: &mut Page, limit: usize, mut rows: Rows<'_>) -> Result<i64, Error> {
        let mut found = 0;
        while let Some(row) = rows.next()? {
            found += 1;
            if page.jobs.len() + page.unreadable.len() == limit {
                page.more = true;
                break;
            }
            let (seq, due): (i64, i64) = (row.get(0)?, row.get(1)?);
            // One below zero is no job's, and the next page is to go on after it.
            let seq = seq.max(0) as u64;
            let place = Place { due, seq };
            page.last = Some(place);
            match rows::job(row, 0, self.keys) {
                Ok(job) => page.jobs.push(job),
                Err(why) => page.unreadable.push(rows::unreadable(row, 0, place, why)),
            }
        }
        Ok(found)
    }

    fn unfinished(&self, targets: &[String]) -> Result<u64, Error> {
        let mut count = 0;
        let mut statement = self
            .connection
            .prepare_cached("SELECT count(*) FROM job WHERE target = ?1")?;
        for target in targets {
            count += statement.query_row([target], |row| row.get::<_, i64>(0))?;
        }
        Ok(count.max(0) as u64)
    }

    fn targets(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT target, count(*) FROM job GROUP BY target")?;
        let mut rows = statement.query([])?;
        let mut targets = Vec::new();
        while let Some(row) = rows.next()? {
            // What is no text is no target's: its job cannot be read.
            let target = row.get_ref(0)?.as_str().unwrap_or_default().to_owned();
            targets.push((target, row.get::<_, i64>(1)?.max(0) as u64));
        }
        Ok(targets)
    }

    fn set_paused(&self, target: &str, paused: bool) -> Result<bool, Error> {
        let sql = if paused {
            "INSERT OR IGNORE INTO meta VALUES ('paused:' || ?1, 1)"
        } else {
            "DELETE FROM meta WHERE name = 'paused:' || ?1"
        };
        let changed = self.connection.prepare_cached(sql)?.execute([target])?;
        Ok(changed > 0)
    }

    fn paused_targets(&self) -> Result<Vec<String>, Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT substr(name, 8) FROM meta WHERE name GLOB 'paused:*'")?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    fn target_of(&self, id: &str) -> Result<Option<(String, u64)>, Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT target, seq FROM job WHERE id = ?1")?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let target = row.get_ref(0)?.as_str().unwrap_or_default().to_owned();
        Ok(Some((target, row.get::<_, i64>(1)?.max(0) as u64)))
    }

    fn get_pending(&self, id: &str) -> Result<Option<Job<'static>>, Error> {
        match self.pending(id)? {
            Some(_) => self.get(id),
            None => Ok(None),
        }
    }

    fn get(&self, id: &str) -> Result<Option<Job<'static>>, Error> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM job WHERE id = ?1"
        ))?;
        let mut rows = statement.query([id])?;
        rows.next()?
            .map(|row| rows::job(row, 0, self.keys))
            .transpose()
    }

    fn insert(&self, known: &mut TableCounts, jobs: &[Job<'static>]) -> Result<Answer, Error> {
        let mut ids = HashSet::with_capacity(jobs.len());
        for job in jobs {
            if !ids.insert(&job.id)
                || rows::find(self.connection, &job.id)?.is_some()
                || outcomes::has(self.connection, &job.id, job.created)?
            {
                return Err(StoreError::Duplicate(job.id.to_string()).into());
            }
        }
        if let Some(job) = jobs.first() {
            outcomes::forget(self.connection, job.created)?;
        }
        for job in jobs {
            known.seq = known.seq.max(job.place.seq);
            if let Some(keys) = self.keys {
                let mut sealed = job.clone();
                sealed.data = Cow::Owned(keys.seal_job(job)?);
                rows::insert(self.connection, &sealed, Some(keys.default_key()))?;
            } else {
                rows::insert(self.connection, job, None)?;
            }
            known.jobs += 1;
        }
        Ok(Answer::Done)
    }

    fn dead(&self, which: &WhichDead, before: Option<u64>, limit: usize) -> Result<Answer, Error> {
        macro_rules! dead_of {
            ($id:literal) => {
                concat!(
                    "SELECT number, ",
                    columns!(),
                    ", reason, error, died FROM dead WHERE number < ?1 AND ",
                    $id,
                    " AND (?3 IS NULL OR target = ?3) AND (?4 IS NULL OR died < ?4) ORDER BY number DESC LIMIT ?2"
                )
            };
        }
        // Two texts: one that leaves open whether there is an id uses no index.
        let mut statement = self.connection.prepare_cached(match &which.id {
            Some(_) => dead_of!("id = ?5"),
            None => dead_of!("?5 IS NULL"),
        })?;
        let before = before.map_or(i64::MAX, |before| before.min(i64::MAX as u64) as i64);
        let WhichDead {
            id,
            target,
            died_before,
        } = which;
        let rows = statement.query(params![before, limit as i64, target, died_before, id])?;
        rows::dead_page(rows, self.keys, limit).map(Answer::Dead)
    }

    fn revive(
        &self,
        known: &mut TableCounts,
        id: &str,
        to: Place,
        clock: ClockKind,
    ) -> Result<Option<Job<'static>>, Error> {
        let newest: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(number) FROM dead WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?
            .flatten();
        let Some(number) = newest else {
            return Ok(None);
        };
        outcomes::forget_death(self.connection, id)?;
        if rows::find(self.connection, id)?.is_some() || outcomes::has(self.connection, id, to.due)?
        {
            return Err(StoreError::Duplicate(id.into()).into());
        }
        // It comes once: what it was an occurrence of is over, or it would have its id.
        // What cannot be read is not revived, though what is wrong with it might be renewed.
        self.connection
            .prepare_cached(concat!(
                "SELECT number, ",
                columns!(),
                ", reason, error, died FROM dead WHERE number = ?1"
            ))?
            .query_and_then([number], |row| rows::dead(row, self.keys))?
            .try_for_each(|dead| dead.map(drop))?;
        self.connection
            .prepare_cached(concat!(
                "INSERT INTO job (",
                columns!(),
                ") SELECT ?2, ?3, ?4, id, target, data, key, job_due, created, 1, \
                 min(run + 1, 4294967295), 0, NULL, retry_limit, age_limit, min_backoff, max_backoff, once, \
                 NULL, NULL, carried, NULL FROM dead WHERE number = ?1"
            ))?
            .execute(params![number, to.seq as i64, to.due, clock as i64])?;
        self.connection
            .prepare_cached("DELETE FROM dead WHERE number = ?1")?
            .execute([number])?;
        known.jobs += 1;
        known.seq = known.seq.max(to.seq);
        let job = self.get(id)?;
        if let (Some(keys), Some(job)) = (self.keys, &job) {
            // A rotation that runs may have passed by its new place: it arrives there rotated.
            rows::reseal(self.connection, "job", to.seq, keys, job)?;
        }
        Ok(job)
    }

    fn trim_dead(&self, before: Option<i64>, most: Option<u64>) -> Result<u64, Error> {
        let mut forgotten = 0;
        if let Some(before) = before {
            forgotten += self
                .connection
                .prepare_cached(concat!(
                    "DELETE FROM dead WHERE died < ?1",
                    owed::not_owed!()
                ))?
                .execute([before])?;
        }
        if let Some(most) = most {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            forgotten += self
                .connection
                .prepare_cached(concat!(
                    "DELETE FROM dead WHERE number <= \
                     (SELECT number FROM dead ORDER BY number DESC LIMIT 1 OFFSET ?1)",
                    owed::not_owed!()
                ))?
                .execute([most])?;
        }
        Ok(forgotten as u64)
    }

    fn purge(&self, before: Option<i64>, ids: Option<&[String]>) -> Result<u64, Error> {
        if let Some(ids) = ids {
            return self.purge_ids(ids, before);
        }
        let deleted = match before {
            Some(before) => self
                .connection
                .prepare_cached("DELETE FROM dead WHERE died < ?1")?
                .execute([before])?,
            None => self.connection.execute("DELETE FROM dead", [])?,
        };
        Ok(deleted as u64)
    }

    fn purge_ids(&self, ids: &[String], before: Option<i64>) -> Result<u64, Error> {
        let mut statement = self
            .connection
            .prepare_cached("DELETE FROM dead WHERE id = ?1 AND (?2 IS NULL OR died < ?2)")?;
        let mut deleted = 0;
        for id in ids {
            deleted += statement.execute(params![id, before])?;
        }
        Ok(deleted as u64)
    }
}

/// Whether a query changes the tables.
pub(crate) fn changes(query: &Query) -> bool {
    !matches!(
        query,
        Query::Page { .. }
            | Query::Repeats { .. }
            | Query::Get(_)
            | Query::Pending(_)
            | Query::Count
            | Query::Targets
            | Query::TargetOf(_)
            | Query::PausedTargets
            | Query::Owed { .. }
            | Query::OwedTargets
            | Query::Unfinished(_)
            | Query::Dead { .. }
            | Query::Outcome { .. }
            | Query::Nodes
    )
}
