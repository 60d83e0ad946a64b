//! What the engine asks, and how the server answers it.

use crate::link::Link;
use crate::looks::Looks;
use crate::names::key_of;
use crate::node::{Flight, Node};
use crate::plan::Statement;
use crate::rows::{self, NewRow, Params, flags, insertion};
use crate::trouble::Trouble;
use duewheel_store::{Answer, Answered, DeadPage, Error, Job, Page, Place, Query};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A question under way.
pub(crate) struct Question {
    query: Query,
    then: Answered,
}

impl Question {
    pub(crate) fn new(query: Query, then: Answered) -> Self {
        Question { query, then }
    }

    /// Nobody waits for the server any longer; `is_sent`: the question may have taken effect.
    pub(crate) fn give_up(self, is_sent: bool) {
        (self.then)(Err(
            if is_sent || matches!(self.query, Query::Claim { .. }) {
                Error::InDoubt
            } else {
                Error::Unavailable("it has not answered in time, and nothing was changed".into())
            },
        ));
    }

    /// It has taken effect, and the reply was lost; `answer` is how many jobs it changed.
    pub(crate) fn end_late(self, node: &mut Node, answer: i64) {
        let answered = match &self.query {
            Query::Insert(jobs) => {
                for job in jobs {
                    node.held.insert(job.place.seq, key_of(&job.id).0);
                }
                Ok(Answer::Done)
            }
            Query::Cancel(id) | Query::Move { id, .. } => {
                if answer > 0 {
                    node.held.forget(key_of(id).0);
                }
                Ok(Answer::Changed(answer > 0))
            }
            Query::Purge(_) => Ok(Answer::Count(answer.max(0) as u64)),
            Query::Revive { .. } if answer == 0 => Ok(Answer::Job(None)),
            // What was claimed is given back, and so is what was revived.
            _ => Err(Error::InDoubt),
        };
        (self.then)(answered);
    }

    pub(crate) async fn fly(self, node: &mut Node, link: &Link) -> Result<(), Trouble> {
        match self.answer(node, link).await {
            Ok(answer) => (self.then)(Ok(answer)),
            Err(Trouble::Lost(why)) => {
                node.keep(Flight::Question(self));
                return Err(Trouble::Lost(why));
            }
            Err(trouble) => (self.then)(Err(trouble.error())),
        }
        Ok(())
    }

    async fn answer(&self, node: &mut Node, link: &Link) -> Result<Answer, Trouble> {
        match &self.query {
            Query::Page {
                after,
                until,
                limit,
            } => page(node, link, *after, *until, *limit)
                .await
                .map(Answer::Page),
            Query::Claim {
                targets,
                until,
                limit,
            } => claim(node, link, targets, *until, *limit)
                .await
                .map(Answer::Page),
            Query::Repeats { .. } => Ok(Answer::Page(Page {
                epoch: node.epoch(),
                ..Page::default()
            })),
            Query::Get(id) => get(node, link, &node.sql.get, id).await.map(Answer::Job),
            Query::Pending(id) => get(node, link, &node.sql.pending, id)
                .await
                .map(Answer::Job),
            Query::Unfinished(targets) => {
                let params = Params::default().with(targets.clone(), Type::TEXT_ARRAY);
                let rows = link.query(&node.sql.unfinished, params).await?;
                let count = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
                Ok(Answer::Count(count.max(0) as u64))
            }
            Query::Count => {
                let rows = link.query(&node.sql.count, Params::default()).await?;
                let count = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
                Ok(Answer::Count(count.max(0) as u64))
            }
            Query::Insert(jobs) => insert(node, link, jobs).await,
            Query::Cancel(id) => {
                let key = key_of(id).0;
                let changed =
                    change(node, link, |sql| &sql.cancel, |epoch| named(key, epoch)).await?;
                if changed > 0 {
                    node.held.forget(key);
                }
                Ok(Answer::Changed(changed > 0))
            }
            Query::Move { id, to, clock } => {
                let key = key_of(id).0;
                let to = node.given().on_server(*to, *clock);
                let placed = |epoch| {
                    let params = named(key, epoch)
                        .with(to.due, Type::INT8)
                        .with(to.seq as i64, Type::INT8);
                    params.with(flags(*clock, false), Type::INT2)
                };
                let changed = change(node, link, |sql| &sql.change_place, placed).await?;
                if changed > 0 {
                    node.held.forget(key);
                }
                Ok(Answer::Changed(changed > 0))
            }
            Query::Dead { before, limit } => {
                dead(node, link, *before, *limit).await.map(Answer::Dead)
            }
            Query::Revive { id, to, clock } => {
                let key = key_of(id).0;
                let to = node.given().on_server(*to, *clock);
                let placed = |epoch| {
                    let params = named(key, epoch)
                        .with(to.due, Type::INT8)
                        .with(to.seq as i64, Type::INT8);
                    params.with(flags(*clock, false), Type::INT2)
                };
                match change_until(node, link, |sql| &sql.revive, placed, to.due).await {
                    Ok(0) => Ok(Answer::Job(None)),
                    Ok(_) => {
                        node.held.insert(to.seq, key);
                        get(node, link, &node.sql.get, id).await.map(Answer::Job)
                    }
                    Err(Trouble::Taken(_)) => Err(Trouble::Refused(Error::Duplicate(id.clone()))),
                    Err(trouble) => Err(trouble),
                }
            }
            Query::Purge(before) => {
                let before = before.unwrap_or(i64::MAX);
                let params = |epoch| {
                    Params::default()
                        .with(before, Type::INT8)
                        .with(epoch, Type::INT8)
                };
                let count = change(node, link, |sql| &sql.purge, params).await?;
                Ok(Answer::Count(count.max(0) as u64))
            }
        }
    }
}

fn named(key: Uuid, epoch: i64) -> Params {
    Params::default()
        .with(key, Type::UUID)
        .with(epoch, Type::INT8)
}

/// Change jobs by one statement, which leaves in the node's row how many; that number.
async fn change(
    node: &mut Node,
    link: &Link,
    sql: fn(&crate::sql::Sql) -> &String,
    params: impl Fn(i64) -> Params,
) -> Result<i64, Trouble> {
    change_until(node, link, sql, params, i64::MIN).await
}

async fn change_until(
    node: &mut Node,
    link: &Link,
    sql: fn(&crate::sql::Sql) -> &String,
    params: impl Fn(i64) -> Params,
    until: i64,
) -> Result<i64, Trouble> {
    let rows = node.transact(link, |all, epoch| {
        let sql = sql(all).as_str();
        let params = params(epoch);
        (
            vec![Statement {
                sql,
                params,
                marks: Vec::new(),
            }],
            until,
        )
    });
    let rows = rows.await?;
    first(&rows).map_or(Ok(0), |row| Ok(row.try_get(0)?))
}

fn first(rows: &[Vec<Row>]) -> Option<&Row> {
    rows.first().and_then(|rows| rows.first())
}

async fn get(
    node: &Node,
    link: &Link,
    sql: &str,
    id: &str,
) -> Result<Option<Job<'static>>, Trouble> {
    let params = Params::default().with(key_of(id).0, Type::UUID);
    let rows = link.query(sql, params).await?;
    let read = |row| {
        rows::job(row, 0, node.settings.keys.as_ref())
            .map_err(|unreadable| Trouble::Refused(unreadable.why))
    };
    rows.first().map(read).transpose()
}

async fn insert(node: &mut Node, link: &Link, jobs: &[Job<'static>]) -> Result<Answer, Trouble> {
    node.know_targets(
        link,
        jobs.iter().map(|job| job.target.to_string()).collect(),
    )
    .await?;
    let settings = node.settings.clone();
    let mut made: Vec<NewRow> = Vec::with_capacity(jobs.len());
    for job in jobs {
        let data = crate::store::sealed(job, settings.keys.as_ref()).map_err(Trouble::Refused)?;
        made.push(node.given().row(job.clone(), data));
    }
    let rows: Vec<&NewRow> = made.iter().collect();
    let until = rows
        .iter()
        .map(|row| row.job.place.due)
        .max()
        .unwrap_or(i64::MIN);
    let inserted = node.transact(link, |sql, epoch| {
        let insert = Statement {
            sql: &sql.insert,
            params: insertion(&rows, epoch),
            marks: Vec::new(),
        };
        let answered = Params::default().with(epoch, Type::INT8);
        let answered = Statement {
            sql: &sql.answered,
            params: answered,
            marks: Vec::new(),
        };
        (vec![insert, answered], until)
    });
    match inserted.await {
        Ok(_) => {
            for job in jobs {
                node.held.insert(job.place.seq, key_of(&job.id).0);
            }
            Ok(Answer::Done)
        }
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

/// Claim what is due and no node's.
///
/// Most looks find nothing, so they only look: a claim writes the node's row. They begin at a mark, for what is before
/// it was claimed by earlier ones, and would be passed over row by row; now and then at the beginning, for what a
/// transaction has brought late.
async fn claim(
    node: &mut Node,
    link: &Link,
    targets: &[String],
    until: i64,
    limit: usize,
) -> Result<Page, Trouble> {
    let until = until.saturating_add(node.ahead);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let from = node.looks.begin(until);
    let range = || {
        Params::default()
            .with(targets.to_vec(), Type::TEXT_ARRAY)
            .with(from.due, Type::INT8)
            .with(from.seq as i64, Type::INT8)
            .with(until, Type::INT8)
    };
    let mut page = Page {
        epoch: node.epoch(),
        ..Page::default()
    };
    let found = link.query(&node.sql.look, range()).await?;
    if !found.first().map_or(Ok(false), |row| row.try_get(0))? {
        node.looks.end(None);
        return Ok(page);
    }
    let claimed = node.transact(link, |sql, epoch| {
        let params = range().with(limit, Type::INT8).with(epoch, Type::INT8);
        let (sql, marks) = (sql.claim.as_str(), Vec::new());
        (vec![Statement { sql, params, marks }], i64::MIN)
    });
    let rows = match claimed.await {
        Ok(mut rows) => rows.pop().unwrap_or_default(),
        Err(trouble) => {
            node.note_strays();
            return Err(trouble);
        }
    };
    page.epoch = node.epoch();
    page.more = rows.len() as i64 == limit;
    for row in &rows {
        let key = row.try_get(2)?;
        read_into(&mut page, row, node)?;
        if let Some(place) = page.last {
            node.held.insert(place.seq, key);
        }
    }
    node.looks.end(page.last.filter(|_| page.more));
    // The engine counts by this machine's clock.
    for job in &mut page.jobs {
        job.place.due = job.place.due.saturating_sub(node.ahead);
    }
    Ok(page)
}

/// Read what is pending, whichever node's.
async fn page(
    node: &Node,
    link: &Link,
    after: Option<Place>,
    until: i64,
    limit: usize,
) -> Result<Page, Trouble> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let after = after.unwrap_or(Looks::START);
    let params = Params::default()
        .with(after.due, Type::INT8)
        .with(after.seq as i64, Type::INT8)
        .with(until, Type::INT8)
        .with(limit.saturating_add(1), Type::INT8);
    let mut rows = link.query(&node.sql.page, params).await?;
    let mut page = Page {
        epoch: node.epoch(),
        more: rows.len() as i64 > limit,
        ..Page::default()
    };
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    for row in &rows {
        read_into(&mut page, row, node)?;
    }
    Ok(page)
}

fn read_into(page: &mut Page, row: &Row, node: &Node) -> Result<(), Trouble> {
    let (due, seq): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    page.last = Some(Place {
        due,
        seq: seq.max(0) as u64,
    });
    match rows::job(row, 0, node.settings.keys.as_ref()) {
        Ok(job) => page.jobs.push(job),
        Err(unreadable) => page.unreadable.push(unreadable),
    }
    Ok(())
}

async fn dead(
    node: &Node,
    link: &Link,
    before: Option<u64>,
    limit: usize,
) -> Result<DeadPage, Trouble> {
    let before = before.map_or(i64::MAX, |before| before.min(i64::MAX as u64) as i64);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let params = Params::default()
        .with(before, Type::INT8)
        .with(limit, Type::INT8);
    let rows = link.query(&node.sql.dead, params).await?;
    let mut page = DeadPage::default();
    let mut last = None;
    for row in &rows {
        last = Some(row.try_get::<_, i64>(0)?.max(0) as u64);
        match rows::dead(row, node.settings.keys.as_ref()) {
            Ok(dead) => page.jobs.push(dead),
            Err(unreadable) => page.unreadable.push(unreadable),
        }
    }
    page.last = last.filter(|_| rows.len() as i64 == limit);
    Ok(page)
}
