//! How the server answers what the engine asks.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::question::Question;
use crate::node::state::{Flight, Node, TRIES};
use crate::tables::names::key_of;
use crate::tables::rows::{self, NewRow, flags, insertion, sealed};
use crate::tables::sql::Sql;
use crate::tables::statement::{Params, Statement};
use duewheel_store::{
    Answer, ClockKind, DeadPage, Error, Job, LiveNode, Page, Place, Query, WhichDead,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

impl Node {
    /// Ask the server, and hand over its answer.
    pub(super) async fn fly_question(
        &mut self,
        link: &Link,
        mut question: Question,
    ) -> Result<(), Trouble> {
        if let Query::Recall(id) = &question.query {
            self.recalls.ask(id, self.settings.timeout, question.then);
            return Ok(());
        }
        let answered = if changes(&question.query) {
            let Question { query, changed, .. } = &mut question;
            self.change(link, query, changed).await
        } else {
            self.read(link, &question.query).await
        };
        match answered {
            Ok(answer) => (question.then)(Ok(answer)),
            Err(Trouble::Lost(why)) => {
                self.keep(Flight::Question(question));
                return Err(Trouble::Lost(why));
            }
            Err(trouble) => (question.then)(Err(trouble.error())),
        }
        Ok(())
    }

    async fn read(&mut self, link: &Link, query: &Query) -> Result<Answer, Trouble> {
        match query {
            Query::Page {
                target,
                after,
                until,
                limit,
            } => {
                let page = self
                    .page(link, target.as_deref(), *after, *until, *limit)
                    .await;
                page.map(Answer::Page)
            }
            Query::Get(id) => {
                let sql = self.sql.clone();
                self.get(link, &sql.get, id).await.map(Answer::Job)
            }
            Query::Pending(id) => {
                let sql = self.sql.clone();
                self.get(link, &sql.pending, id).await.map(Answer::Job)
            }
            Query::Unfinished(targets) => {
                let params = Params::default().with(targets.clone(), Type::TEXT_ARRAY);
                let unfinished = link.count(&self.sql.unfinished, params).await;
                unfinished.map(Answer::Count)
            }
            Query::Count => {
                let all = link.count(&self.sql.count, Params::default()).await;
                all.map(Answer::Count)
            }
            Query::Targets => self.targets(link).await.map(Answer::Targets),
            Query::TargetOf(id) => self.target_of(link, id).await.map(Answer::TargetOf),
            Query::Repeat(id) => self.look_at_repeat(link, id).await,
            Query::RepeatIds => self.repeat_ids(link).await,
            Query::Declare { id, said } => self.declare(link, id, said).await,
            Query::Outcome { id, now } => self.outcome(link, id, *now).await,
            Query::PausedTargets => self.paused_targets(link).await,
            Query::Nodes => self.live_nodes(link).await.map(Answer::Nodes),
            Query::Dead {
                which,
                before,
                limit,
            } => {
                let page = self.dead(link, which, *before, *limit).await;
                page.map(Answer::Dead)
            }
            // They come with claims, to one node each.
            _ => Ok(Answer::Page(Page {
                epoch: self.epoch(),
                ..Page::default()
            })),
        }
    }

    /// Ask what changes jobs, unless it has done so by now; `known`: how many it has changed.
    async fn change(
        &mut self,
        link: &Link,
        query: &Query,
        known: &mut Option<i64>,
    ) -> Result<Answer, Trouble> {
        match query {
            Query::Claim {
                targets,
                limited,
                until,
                limit,
            } => {
                let page = self.claim_in_turn(link, targets, limited, (*until, *limit));
                page.await.map(Answer::Page)
            }
            Query::Insert(jobs) => self.insert(link, jobs, known).await,
            Query::Cancel { id, at } => self.cancel(link, known, (id, *at)).await,
            Query::Move { id, to, clock } => {
                let moves = self.placed(id, *to, *clock);
                let changed =
                    self.count_changed(link, known, |sql| &sql.change_place, moves, i64::MIN);
                let changed = changed.await?;
                if changed == CHANGED {
                    // If it was this node's it still is, until the engine yields it.
                    let key = key_of(id).0;
                    self.held.forget(key);
                    self.held.insert(to.seq, key);
                }
                Ok(changed_as(changed))
            }
            Query::Put {
                job,
                replaces,
                runs,
            } => {
                let how = (*replaces, *runs);
                self.put_over(link, known, job, how).await
            }
            Query::SetPaused { target, paused } => {
                self.set_paused(link, known, target, *paused).await
            }
            Query::Amend { was, to } => self.amend(link, known, was, to.as_deref()).await,
            Query::Revive { id, to, clock } => self.revive(link, known, id, (*to, *clock)).await,
            Query::Purge { before, ids } => {
                let purged = self.purge(link, known, *before, ids.as_deref());
                purged.await.map(Answer::Count)
            }
            _ => Err(Trouble::Refused(Error::Io("it changes nothing".into()))),
        }
    }

    async fn purge(
        &mut self,
        link: &Link,
        known: &mut Option<i64>,
        before: Option<i64>,
        ids: Option<&[String]>,
    ) -> Result<u64, Trouble> {
        let keys: Option<Vec<Uuid>> = ids.map(|ids| ids.iter().map(|id| key_of(id).0).collect());
        let sql: fn(&Sql) -> &String = match keys {
            Some(_) => |sql| &sql.purge_ids,
            None => |sql| &sql.purge,
        };
        let purge = |epoch| {
            let params = Params::default().with(before.unwrap_or(i64::MAX), Type::INT8);
            let params = params.with(epoch, Type::INT8);
            match &keys {
                Some(keys) => params.with(keys.clone(), Type::UUID_ARRAY),
                None => params,
            }
        };
        let purged = self.count_changed(link, known, sql, purge, i64::MIN);
        Ok(purged.await?.max(0) as u64)
    }

    async fn cancel(
        &mut self,
        link: &Link,
        known: &mut Option<i64>,
        (id, at): (&str, i64),
    ) -> Result<Answer, Trouble> {
        let key = key_of(id).0;
        let at = at.saturating_add(self.ahead);
        let cancel = |epoch| named(key, epoch).with(at, Type::INT8);
        let said = self.count_changed(link, known, |sql| &sql.cancel, cancel, i64::MIN);
        let said = said.await?;
        let (changed, target) = (said & 15, said >> 4);
        if changed == CHANGED {
            self.held.forget(key);
        }
        match changed_as(changed) {
            Answer::Changed(true) => self.target_named(link, target).await.map(Answer::Cancelled),
            answer => Ok(answer),
        }
    }

    /// The name of the target of this number.
    async fn target_named(&mut self, link: &Link, number: i64) -> Result<String, Trouble> {
        let number = i32::try_from(number).unwrap_or_default();
        let mut known = self.targets.iter();
        if let Some((name, _)) = known.find(|(_, other)| **other == number) {
            return Ok(name.clone());
        }
        let params = Params::default().with(number, Type::INT4);
        let rows = link.query(&self.sql.target_named, params).await?;
        let name = rows.first().map(|row| row.try_get::<_, String>(0));
        let name = name.transpose()?.unwrap_or_default();
        if !name.is_empty() {
            self.targets.insert(name.clone(), number);
        }
        Ok(name)
    }

    async fn revive(
        &mut self,
        link: &Link,
        known: &mut Option<i64>,
        id: &str,
        (to, clock): (Place, ClockKind),
    ) -> Result<Answer, Trouble> {
        let revive = self.placed(id, to, clock);
        let until = self.given().on_server(to, clock).due;
        match self
            .count_changed(link, known, |sql| &sql.revive, revive, until)
            .await
        {
            Ok(0) => Ok(Answer::Job(None)),
            Ok(_) => {
                self.held.insert(to.seq, key_of(id).0);
                let sql = self.sql.clone();
                self.get(link, &sql.get, id).await.map(Answer::Job)
            }
            Err(Trouble::Taken(_)) => Err(Trouble::Refused(Error::Duplicate(id.to_owned()))),
            Err(trouble) => Err(trouble),
        }
    }

    /// The parameters of a statement that gives a job another place.
    fn placed(&self, id: &str, to: Place, clock: ClockKind) -> impl Fn(i64) -> Params + use<> {
        let key = key_of(id).0;
        let to = self.given().on_server(to, clock);
        move |epoch| {
            named(key, epoch)
                .with(to.due, Type::INT8)
                .with(to.seq as i64, Type::INT8)
                .with(flags(clock, false), Type::INT2)
        }
    }

    /// Change jobs by one statement, which leaves in the node's row how many; that number, also where it is known by now.
    pub(super) async fn count_changed(
        &mut self,
        link: &Link,
        known: &mut Option<i64>,
        sql: fn(&Sql) -> &String,
        params: impl Fn(i64) -> Params,
        until: i64,
    ) -> Result<i64, Trouble> {
        if let Some(changed) = *known {
            return Ok(changed);
        }
        let rows = self.transact(link, TRIES, |all, epoch| {
            let sql = sql(all).as_str();
            let params = params(epoch);
            (vec![Statement::new(sql, params)], until)
        });
        let rows = rows.await?;
        let first = rows.first().and_then(|rows| rows.first());
        let changed = first.map_or(Ok(0), |row| row.try_get(0))?;
        *known = Some(changed);
        Ok(changed)
    }

    async fn get(&self, link: &Link, sql: &str, id: &str) -> Result<Option<Job<'static>>, Trouble> {
        let params = Params::default().with(key_of(id).0, Type::UUID);
        let rows = link.query(sql, params).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let job = rows::job(row, 0, self.settings.keys.as_ref());
        job.map(Some)
            .map_err(|unreadable| Trouble::Refused(unreadable.why))
    }

    async fn insert(
        &mut self,
        link: &Link,
        jobs: &[Job<'static>],
        known: &Option<i64>,
    ) -> Result<Answer, Trouble> {
        if known.is_none() {
            self.put(link, jobs).await?;
        }
        for job in jobs {
            self.held.insert(job.place.seq, key_of(&job.id).0);
        }
        Ok(Answer::Done)
    }

    async fn put(&mut self, link: &Link, jobs: &[Job<'static>]) -> Result<(), Trouble> {
        self.know_targets(
            link,
            jobs.iter().map(|job| job.target.to_string()).collect(),
        )
        .await?;
        let settings = self.settings.clone();
        let mut made: Vec<NewRow> = Vec::with_capacity(jobs.len());
        for job in jobs {
            let data = sealed(job, settings.keys.as_ref()).map_err(Trouble::Refused)?;
            made.push(self.given().row(job.clone(), data));
        }
        let rows: Vec<&NewRow> = made.iter().collect();
        let until = rows
            .iter()
            .map(|row| row.job.place.due)
            .max()
            .unwrap_or(i64::MIN);
        let inserted = self.transact(link, TRIES, |sql, epoch| {
            let insert = Statement::new(&sql.insert, insertion(&rows, epoch));
            let params = Params::default()
                .with(epoch, Type::INT8)
                .ids(rows.iter().map(|row| row.id))
                .longs(rows.iter().map(|row| row.job.created));
            (vec![insert, Statement::new(&sql.inserted, params)], until)
        });
        match inserted.await {
            Ok(_) => Ok(()),
            Err(Trouble::Taken(what)) => {
                let is_it =
                    |job: &&Job<'_>| what.contains(&key_of(&job.id).0.as_hyphenated().to_string());
                let id = jobs
                    .iter()
                    .find(is_it)
                    .map_or(what.clone(), |job| job.id.to_string());
                Err(Trouble::Refused(Error::Duplicate(id)))
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn targets(&self, link: &Link) -> Result<Vec<(String, u64)>, Trouble> {
        let rows = link.query(&self.sql.counts, Params::default()).await?;
        let target = |row: &Row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.max(0) as u64));
        rows.iter().map(target).collect()
    }

    async fn target_of(&self, link: &Link, id: &str) -> Result<Option<(String, u64)>, Trouble> {
        let params = Params::default().with(key_of(id).0, Type::UUID);
        let rows = link.query(&self.sql.target_of, params).await?;
        let found = |row: &Row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)? as u64));
        rows.first().map(found).transpose()
    }

    async fn live_nodes(&self, link: &Link) -> Result<Vec<LiveNode>, Trouble> {
        let rows = link.query(&self.sql.nodes, Params::default()).await?;
        let node = |row: &Row| {
            Ok(LiveNode {
                name: row.try_get(0)?,
                host: row.try_get(1)?,
                pid: row.try_get(2)?,
                version: row.try_get(3)?,
                started: row.try_get(4)?,
                seen: row.try_get(5)?,
                held: row.try_get(6)?,
                running: row.try_get(7)?,
            })
        };
        rows.iter().map(node).collect()
    }

    async fn dead(
        &self,
        link: &Link,
        which: &WhichDead,
        before: Option<u64>,
        limit: usize,
    ) -> Result<DeadPage, Trouble> {
        let before = before.map_or(i64::MAX, |before| before.min(i64::MAX as u64) as i64);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = Params::default()
            .with(before, Type::INT8)
            .with(limit, Type::INT8)
            .with(which.target.clone(), Type::TEXT)
            .with(which.died_before, Type::INT8);
        let rows = match &which.id {
            Some(id) => {
                let params = params.with(key_of(id).0, Type::UUID);
                link.query(&self.sql.deaths, params).await?
            }
            None => link.query(&self.sql.dead, params).await?,
        };
        let mut page = DeadPage::default();
        let mut last = None;
        for row in &rows {
            last = Some(row.try_get::<_, i64>(0)?.max(0) as u64);
            match rows::dead(row, self.settings.keys.as_ref()) {
                Ok(dead) => page.jobs.push(dead),
                Err(unreadable) => page.unreadable.push(unreadable),
            }
        }
        page.last = last.filter(|_| rows.len() as i64 == limit);
        Ok(page)
    }
}

/// What `cancel` and `change_place` say of a job that was free, and of one that another node holds.
const CHANGED: i64 = 1;
/// It is a repeat that runs, and ends with that.
const ENDS: i64 = 2;
const HELD: i64 = 3;

fn changed_as(changed: i64) -> Answer {
    match changed {
        HELD => Answer::Held,
        changed => Answer::Changed(changed == CHANGED || changed == ENDS),
    }
}

/// Whether a question is a numbered flight.
fn changes(query: &Query) -> bool {
    matches!(
        query,
        Query::Claim { .. }
            | Query::Insert(_)
            | Query::Cancel { .. }
            | Query::Move { .. }
            | Query::Amend { .. }
            | Query::Put { .. }
            | Query::SetPaused { .. }
            | Query::Revive { .. }
            | Query::Purge { .. }
    )
}

fn named(key: Uuid, epoch: i64) -> Params {
    Params::default()
        .with(key, Type::UUID)
        .with(epoch, Type::INT8)
}
