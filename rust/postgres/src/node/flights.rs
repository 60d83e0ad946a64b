//! Flights: numbered transactions, sent until it is known that they have taken effect, or will not.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::pauses::Pauses;
use crate::node::plan::{marks, statements};
use crate::node::post::Batch;
use crate::node::state::{Flight, Lease, Node};
use crate::node::steps::{Given, Resolved};
use crate::tables::sql::Sql;
use crate::tables::statement::{Params, Statement};
use duewheel_store::{Event, LeaseClock};
use tokio_postgres::types::Type;

impl Node {
    pub(super) async fn fly(&mut self, link: &Link) -> Result<(), Trouble> {
        match self.flying.take() {
            None => Ok(()),
            Some(Flight::Batches(batches)) => self.resolve(link, batches).await,
            Some(Flight::Resolved(batches)) => self.send(link, batches).await,
            Some(Flight::Landed(batches)) => self.mark_again(link, batches).await,
            Some(Flight::Question(question)) => self.fly_question(link, question).await,
        }
    }

    /// After a connection was lost: whether this node still has its lease, and what has become of what was under way.
    ///
    /// What was sent on that connection may still be on its way. From now on the lease has another token: so what has not
    /// taken effect by now never will.
    pub(super) async fn find_out(&mut self, link: &Link) -> Result<(), Trouble> {
        let Some(lease) = self.lease else {
            self.join(link).await?;
            return Ok(());
        };
        let params = Params::default()
            .with(lease.epoch, Type::INT8)
            .with(lease.token, Type::UUID)
            .with(lease.next, Type::UUID);
        let rows = link.query(&self.sql.in_doubt, params).await?;
        self.lease = Some(Lease::new(lease.epoch, lease.next));
        let row = rows.first().map(|row| {
            Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        });
        let (applied, answer, holds): (i64, i64, bool) = row.transpose()?.unwrap_or((0, 0, false));
        if !holds {
            // Nothing starts any more, though a mark may turn out to be settled.
            self.clock.end();
        }
        let was_sent = std::mem::take(&mut self.is_sent);
        if was_sent
            && applied >= self.flights
            && let Some(flight) = self.flying.take()
        {
            self.land_late(flight, answer);
        }
        if !holds {
            self.lose();
            self.join(link).await?;
        }
        Ok(())
    }

    /// A flight has taken effect whose reply was lost; `answer` is how many jobs it changed, where that was the question.
    fn land_late(&mut self, flight: Flight, answer: i64) {
        let flight = match flight {
            Flight::Resolved(batches) | Flight::Landed(batches) => Flight::Landed(batches),
            // It is sent once its jobs are known by their ids, and was not yet.
            flight @ Flight::Batches(_) => flight,
            Flight::Question(mut question) => {
                if question.claims() {
                    // What it was given is given back.
                    self.has_strays = true;
                    return question.give_up(true);
                }
                question.changed = Some(answer);
                Flight::Question(question)
            }
        };
        self.flying = Some(flight);
    }

    /// The reply of a flight was lost, and with it which of its marks have found their jobs: make those marks once more.
    async fn mark_again(&mut self, link: &Link, batches: Vec<Resolved>) -> Result<(), Trouble> {
        let last = batches.last().map_or(0, |batch| batch.ticket);
        if !marks(&self.sql, &batches, 0).is_empty() {
            let marked = self.transact(link, u32::MAX, |sql, epoch| {
                (marks(sql, &batches, epoch), i64::MIN)
            });
            if let Err(trouble) = marked.await {
                self.keep(Flight::Landed(batches));
                return Err(trouble);
            }
        }
        let let_go = batches.iter().filter_map(Resolved::let_go).min();
        self.looks.note_let_go(let_go.unwrap_or(i64::MAX));
        // Whether anything follows what has ended is not known, either.
        self.looks.start_over();
        self.post.settle(last);
        Ok(())
    }

    /// Send statements as one numbered transaction, until it is known that they have taken effect, or will not.
    pub(super) async fn transact(
        &mut self,
        link: &Link,
        mut tries: u32,
        mut make: impl for<'a> FnMut(&'a Sql, i64) -> (Vec<Statement<'a>>, i64),
    ) -> Result<Vec<Vec<tokio_postgres::Row>>, Trouble> {
        let sql = self.sql.clone();
        self.flights += 1;
        let mut pauses = Pauses::new(Pauses::RECONNECTING);
        loop {
            let lease = match self.lease {
                Some(lease) => lease,
                None => {
                    let lease = self.join(link).await?;
                    self.flights = 1;
                    lease
                }
            };
            let (made, until) = make(&sql, lease.epoch);
            let since = LeaseClock::now();
            self.is_sent = true;
            match link
                .transact(&sql.beat, &self.beat_of(lease, until), &made)
                .await
            {
                Ok((now, rows)) => {
                    self.is_sent = false;
                    self.note_beat(since, now);
                    self.revoke(&made, &rows);
                    self.note_followed(&made, &rows);
                    return Ok(rows);
                }
                Err(Trouble::Again(why)) => {
                    self.is_sent = false;
                    // A transaction of somebody's that stays open holds up this flight, not the node's lease.
                    self.beat_before(link, self.flights).await?;
                    self.flights = self.flights.max(1);
                    tries -= 1;
                    if tries == 0 {
                        return Err(Trouble::Again(why));
                    }
                    tokio::time::sleep(pauses.take_jittered()).await;
                }
                Err(Trouble::LeaseLost) => {
                    self.is_sent = false;
                    self.lose();
                }
                Err(trouble) => {
                    self.is_sent = matches!(trouble, Trouble::Lost(_));
                    return Err(trouble);
                }
            }
        }
    }

    /// Report what is no longer this node's: the jobs that a mark has not found.
    pub(super) fn revoke(&mut self, made: &[Statement<'_>], rows: &[Vec<tokio_postgres::Row>]) {
        let mut revoked = Vec::new();
        for (statement, rows) in made.iter().zip(rows) {
            if rows.len() == statement.marks.len() {
                continue;
            }
            let found: Vec<i64> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
            revoked.extend(
                statement
                    .marks
                    .iter()
                    .copied()
                    .filter(|seq| !found.contains(&(*seq as i64))),
            );
        }
        if !revoked.is_empty() {
            for seq in &revoked {
                self.held.remove(*seq);
            }
            (self.events)(Event::Revoked(revoked));
        }
    }

    /// What was under way stays so: the connection is lost.
    pub(super) fn keep(&mut self, flight: Flight) {
        self.flying = Some(flight);
    }

    /// Know the numbers of targets, which are made where they are new.
    pub(super) async fn know_targets(
        &mut self,
        link: &Link,
        names: Vec<String>,
    ) -> Result<(), Trouble> {
        let mut unknown: Vec<String> = names
            .into_iter()
            .filter(|name| !self.targets.contains_key(name))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let asked = link.query_briefly(
            &self.sql.targets,
            Params::default().with(unknown, Type::TEXT_ARRAY),
        );
        for row in asked.await? {
            self.targets.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(())
    }

    pub(super) async fn resolve(
        &mut self,
        link: &Link,
        batches: Vec<Batch>,
    ) -> Result<(), Trouble> {
        let names = batches
            .iter()
            .flat_map(|batch| Resolved::targets(&batch.ops));
        let names = names.map(str::to_owned).collect();
        match self.know_targets(link, names).await {
            Ok(()) => {}
            Err(Trouble::Again(_)) => {
                // A transaction that stays open has made the same target.
                self.keep(Flight::Batches(batches));
                tokio::time::sleep(Pauses::RECONNECTING.0).await;
                return Ok(());
            }
            Err(trouble) => {
                self.keep(Flight::Batches(batches));
                return Err(trouble);
            }
        }
        let given = Given {
            targets: &self.targets,
            ahead: self.ahead,
        };
        let known = batches
            .into_iter()
            .map(|batch| Resolved::of(batch.ticket, batch.ops, &given, &mut self.held));
        let known: Vec<Resolved> = known.collect();
        let unheld: Vec<u64> = known
            .iter()
            .flat_map(|batch| batch.unheld.iter().copied())
            .collect();
        if !unheld.is_empty() {
            (self.events)(Event::Revoked(unheld));
        }
        self.flying = Some(Flight::Resolved(known));
        Ok(())
    }

    pub(super) async fn send(
        &mut self,
        link: &Link,
        batches: Vec<Resolved>,
    ) -> Result<(), Trouble> {
        let last = batches.last().map_or(0, |batch| batch.ticket);
        if batches.iter().all(Resolved::is_empty) {
            self.post.settle(last);
            return Ok(());
        }
        let let_go = batches.iter().filter_map(Resolved::let_go).min();
        let told = let_go.filter(|_| self.settings.notify);
        let channel = self.settings.schema.clone();
        let sent = self.transact(link, u32::MAX, |sql, epoch| {
            let (mut made, until) = statements(sql, &batches, epoch);
            made.extend(told.map(|due| {
                Statement::new(
                    &sql.notify,
                    Params::default()
                        .with(channel.clone(), Type::TEXT)
                        .with(due.to_string(), Type::TEXT),
                )
            }));
            (made, until)
        });
        let sent = sent.await;
        match sent {
            Ok(_) => {
                self.looks.note_let_go(let_go.unwrap_or(i64::MAX));
                self.post.settle(last);
                if self.is_limited && batches.iter().any(Resolved::ends_any) {
                    (self.events)(Event::Available(i64::MIN));
                }
            }
            Err(Trouble::Refused(_) | Trouble::Taken(_)) if batches.len() > 1 => {
                // Each by itself, so that the one that is at fault is refused alone.
                for batch in batches.into_iter().rev() {
                    self.next.push_front(Flight::Resolved(vec![batch]));
                }
            }
            Err(trouble @ (Trouble::Refused(_) | Trouble::Taken(_))) => {
                self.post.refuse(last, trouble.error());
            }
            Err(trouble) => {
                self.keep(Flight::Resolved(batches));
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// Let others have what this node was given and does not know of.
    pub(super) async fn give_back_strays(&mut self, link: &Link) -> Result<(), Trouble> {
        if let Some(lease) = self.lease {
            let params = Params::default()
                .with(lease.epoch, Type::INT8)
                .ids(self.held.all().into_iter());
            match link.query(&self.sql.stray, params).await {
                Ok(_) => {}
                Err(Trouble::Again(_)) => return Ok(()),
                Err(trouble) => return Err(trouble),
            }
        }
        self.has_strays = false;
        Ok(())
    }
}
