//! Claiming what is due, and looking at what is pending.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::looks::Looks;
use crate::node::state::{Node, TRIES};
use crate::tables::rows;
use crate::tables::sql::Sql;
use crate::tables::statement::{Params, Statement};
use duewheel_store::{Event, Limited, Page, Place};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

impl Node {
    /// Claim what is due and no node's: of targets that are limited over all nodes, or of the others, in turns. One claim
    /// is one transaction, so that a connection that is lost after it has not lost what it has brought.
    pub(super) async fn claim_in_turn(
        &mut self,
        link: &Link,
        targets: &[String],
        limited: &Limited,
        (until, limit): (i64, usize),
    ) -> Result<Page, Trouble> {
        self.is_limited = !limited.most.is_empty();
        if !self.is_limited {
            return self.claim(link, targets, until, limit).await;
        }
        self.limited_come_first = !self.limited_come_first;
        for is_limited in [self.limited_come_first, !self.limited_come_first] {
            let mut page = match is_limited {
                true => self.claim_limited(link, limited, limit).await?,
                false => self.claim(link, targets, until, limit).await?,
            };
            if page.last.is_some() {
                page.more = true; // of the others
                return Ok(page);
            }
        }
        Ok(self.empty_page())
    }

    fn empty_page(&self) -> Page {
        Page {
            epoch: self.epoch(),
            ..Page::default()
        }
    }

    /// Claim what is due and no node's.
    ///
    /// Most looks find nothing, so they only look: a claim writes the node's row. They begin at a mark, for what is before
    /// it was claimed by earlier ones, and would be passed over row by row; now and then at the beginning, for what a
    /// transaction has brought late.
    async fn claim(
        &mut self,
        link: &Link,
        targets: &[String],
        until: i64,
        limit: usize,
    ) -> Result<Page, Trouble> {
        let until = until.saturating_add(self.ahead);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let from = self.looks.begin(until);
        let range = || {
            Params::default()
                .with(targets.to_vec(), Type::TEXT_ARRAY)
                .with(from.due, Type::INT8)
                .with(from.seq as i64, Type::INT8)
                .with(until, Type::INT8)
        };
        let epoch = self.epoch() as i64;
        let mut page = self.empty_page();
        let look = range().with(epoch, Type::INT8);
        let found = link.query(&self.sql.look, look).await?;
        let mut is_there = false;
        if let Some(row) = found.first() {
            is_there = row.try_get(0)?;
            self.note_wanted(row.try_get(1)?);
            self.note_paused(link, row.try_get(2)?).await?;
        }
        if !is_there {
            self.looks.end(None);
            return Ok(page);
        }
        let claimed = self.taken(link, |sql, epoch| {
            let params = range().with(limit, Type::INT8).with(epoch, Type::INT8);
            vec![Statement::new(&sql.claim, params)]
        });
        let rows = claimed.await?;
        page.epoch = self.epoch();
        page.more = rows.len() as i64 == limit;
        self.take_claimed(&mut page, &rows)?;
        self.looks.end(page.last.filter(|_| page.more));
        Ok(page)
    }

    /// Claim what is due and no node's of targets of which all nodes together hold only so many, from the beginning: what
    /// earlier looks have left is due still.
    async fn claim_limited(
        &mut self,
        link: &Link,
        limited: &Limited,
        limit: usize,
    ) -> Result<Page, Trouble> {
        let (names, most): (Vec<_>, Vec<_>) = limited
            .most
            .iter()
            .map(|(name, most)| (name.clone(), i64::try_from(*most).unwrap_or(i64::MAX)))
            .unzip();
        let until = limited.until.saturating_add(self.ahead);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let named = || Params::default().with(names.clone(), Type::TEXT_ARRAY);
        let look = named()
            .with(until, Type::INT8)
            .with(self.epoch() as i64, Type::INT8);
        let found = link.query(&self.sql.limited_look, look).await?;
        if !found.first().is_some_and(|row| row.get(0)) {
            return Ok(self.empty_page());
        }
        let claimed = self.taken(link, |sql, epoch| {
            let params = named()
                .with(most.clone(), Type::INT8_ARRAY)
                .with(until, Type::INT8)
                .with(limit, Type::INT8)
                .with(epoch, Type::INT8);
            vec![
                Statement::new(&sql.limited_lock, named()),
                Statement::new(&sql.limited_left, named()),
                Statement::new(&sql.limited_claim, params),
            ]
        });
        let rows = claimed.await?;
        let mut page = self.empty_page();
        self.take_claimed(&mut page, &rows)?;
        Ok(page)
    }

    /// Make a claim, whose last statement returns what it has taken.
    async fn taken(
        &mut self,
        link: &Link,
        mut make: impl for<'a> FnMut(&'a Sql, i64) -> Vec<Statement<'a>>,
    ) -> Result<Vec<Row>, Trouble> {
        let claimed = self.transact(link, TRIES, |sql, epoch| (make(sql, epoch), i64::MIN));
        match claimed.await {
            Ok(mut rows) => Ok(rows.pop().unwrap_or_default()),
            Err(trouble) => {
                self.note_strays();
                Err(trouble)
            }
        }
    }

    /// Hold what was claimed.
    fn take_claimed(&mut self, page: &mut Page, rows: &[Row]) -> Result<(), Trouble> {
        let mut lost = Vec::new();
        for row in rows {
            let key = row.try_get(2)?;
            self.read_into(page, row)?;
            if let Some(place) = page.last {
                // Others had changed it, and let go of it, before this node heard that it was no longer its own.
                lost.extend(
                    self.held
                        .seq(key)
                        .and_then(|seq| self.held.remove(seq).map(|_| seq)),
                );
                self.held.insert(place.seq, key);
                if page
                    .jobs
                    .last()
                    .is_some_and(|job| job.place.seq == place.seq && job.repeat.is_some())
                {
                    self.held.note_repeat(key);
                }
            }
        }
        // The engine counts by this machine's clock.
        for job in &mut page.jobs {
            job.place.due = job.place.due.saturating_sub(self.ahead);
        }
        if !lost.is_empty() {
            (self.events)(Event::Revoked(lost));
        }
        Ok(())
    }

    /// Read what is pending, whichever node's.
    pub(super) async fn page(
        &self,
        link: &Link,
        target: Option<&str>,
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
            .with(limit.saturating_add(1), Type::INT8)
            .with(target.map(str::to_owned), Type::TEXT);
        let mut rows = link.query(&self.sql.page, params).await?;
        let mut page = Page {
            epoch: self.epoch(),
            more: rows.len() as i64 > limit,
            ..Page::default()
        };
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        for row in &rows {
            self.read_into(&mut page, row)?;
        }
        Ok(page)
    }

    fn read_into(&self, page: &mut Page, row: &Row) -> Result<(), Trouble> {
        let (due, seq): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        page.last = Some(Place {
            due,
            seq: seq.max(0) as u64,
        });
        match rows::job(row, 0, self.settings.keys.as_ref()) {
            Ok(job) => page.jobs.push(job),
            Err(unreadable) => page.unreadable.push(unreadable),
        }
        Ok(())
    }
}
