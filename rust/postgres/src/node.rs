//! The life of a node: one thread with one connection, which takes its messages to the server, one flight after the other.
//!
//! A flight is a transaction that is numbered in the node's row. When a reply is lost, that row says whether the flight
//! has taken effect; if not, it is sent again. So each takes effect once, in order, whatever becomes of connections.

use crate::held::Held;
use crate::link::{Beat, Link};
use crate::looks::Looks;
use crate::opening;
use crate::plan::{Given, Resolved, Statement, statements};
use crate::post::{Batch, Post, Work};
use crate::question::Question;
use crate::rows::Params;
use crate::settings::Settings;
use crate::sql::Sql;
use crate::trouble::Trouble;
use duewheel_store::{Error, Event, Events, Found, Grant, LeaseClock};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_postgres::Config;
use tokio_postgres::types::Type;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

/// Between two attempts to reach the server: at first, and at most; no more than a quarter of a lease.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// How long a node has been connected before it takes over jobs of others, at most; no more than half of a lease.
const GRACE: Duration = Duration::from_secs(5);
/// How long closing waits for the server.
const CLOSING: Duration = Duration::from_secs(5);
/// By how much the clocks of server and machine may differ before dues are corrected, in nanoseconds.
const TOLERANCE: i64 = 100_000_000;
/// How many jobs of a node that was lost are taken over in one transaction.
const RESCUED_AT_ONCE: i32 = 1_000;

/// What is under way to the server.
pub(crate) enum Flight {
    /// As they were submitted.
    Batches(Vec<Batch>),
    Resolved(Vec<Resolved>),
    Question(Question),
}

/// The lease of this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) epoch: i64,
    token: Uuid,
}

pub(crate) struct Node {
    pub(crate) post: Arc<Post>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) sql: Arc<Sql>,
    config: Config,
    tls: MakeRustlsConnect,
    events: Events,
    clock: LeaseClock,
    lease: Option<Lease>,
    pub(crate) held: Held,
    targets: HashMap<String, i32>,
    /// The number of the last flight.
    flights: i64,
    /// What is under way, or was when the connection was lost.
    flying: Option<Flight>,
    /// Whether `flying` was sent, and may have taken effect.
    is_sent: bool,
    /// What is to fly next, before what is in the post.
    next: VecDeque<Flight>,
    /// Jobs may be claimed that this node does not know of: a reply that had them was lost.
    has_strays: bool,
    next_beat: Instant,
    /// Since when this connection is there.
    connected: Instant,
    pub(crate) looks: Looks,
    /// How far the server's clock is ahead of this machine's, where that is too much.
    pub(crate) ahead: i64,
}

impl Node {
    pub(crate) fn new(
        (post, settings, sql): (Arc<Post>, Arc<Settings>, Arc<Sql>),
        (config, tls): (Config, MakeRustlsConnect),
        events: Events,
    ) -> Self {
        Node {
            looks: Looks::new(settings.window),
            post,
            settings,
            sql,
            config,
            tls,
            events,
            clock: LeaseClock::default(),
            lease: None,
            held: Held::default(),
            targets: HashMap::new(),
            flights: 0,
            flying: None,
            is_sent: false,
            next: VecDeque::new(),
            has_strays: false,
            next_beat: Instant::now(),
            connected: Instant::now(),
            ahead: 0,
        }
    }

    /// Open the tables and tell what was found; then live until the store is closed.
    pub(crate) async fn run(mut self, opened: SyncSender<Result<Found, Error>>) {
        let first = match self.open().await {
            Ok((found, link)) => {
                // Nobody waits any more: then the store is closed by whoever gave up.
                let _ = opened.send(Ok(found));
                link
            }
            Err(error) => {
                self.post.fail(&error);
                let _ = opened.send(Err(error));
                return;
            }
        };
        drop(opened);
        let mut link = Some(first);
        let mut pause = PAUSES.0;
        let mut closing = None;
        loop {
            let lived = match link.take() {
                Some(link) => self.serve(&link).await,
                None => match self.connect().await {
                    Ok(link) => {
                        pause = PAUSES.0;
                        self.serve(&link).await
                    }
                    Err(trouble) => Err(trouble),
                },
            };
            let why = match lived {
                Ok(()) => return self.post.fail(&Error::Closed),
                Err(Trouble::Refused(error)) => {
                    (self.events)(Event::Poisoned(error.clone()));
                    return self.post.fail(&error);
                }
                Err(trouble) => trouble.error().to_string(),
            };
            self.post.note_away(&why);
            self.give_up_questions();
            if self.post.is_closing() {
                let since = *closing.get_or_insert_with(Instant::now);
                if since.elapsed() > CLOSING {
                    return self.post.fail(&Error::Unavailable(why));
                }
            }
            let _ = tokio::time::timeout(jittered(pause), self.post.notify.notified()).await;
            pause = (pause * 2).min(PAUSES.1).min(self.settings.lease / 4);
        }
    }

    async fn open(&mut self) -> Result<(Found, Link), Error> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut pause = PAUSES.0;
        loop {
            let opened = async {
                let link = self.connect().await?;
                opening::open(&link, &self.settings).await?;
                self.join(&link).await?;
                Ok(link)
            };
            match opened.await {
                Ok(link) => {
                    let epoch = self.lease.map_or(0, |lease| lease.epoch) as u64;
                    let grant = Grant {
                        epoch,
                        // The upper bits say whose they are.
                        seqs: (epoch << 40) + 1..(epoch + 1) << 40,
                        poll: self.settings.poll,
                        lease: self.clock.clone(),
                    };
                    return Ok((
                        Found {
                            grant: Some(grant),
                            ..Found::default()
                        },
                        link,
                    ));
                }
                Err(trouble @ (Trouble::Lost(_) | Trouble::Again(_)))
                    if Instant::now() < deadline =>
                {
                    drop(trouble);
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(trouble) => return Err(trouble.error()),
            }
        }
    }

    async fn connect(&self) -> Result<Link, Trouble> {
        Link::connect(&self.config, self.tls.clone(), self.settings.lease / 4).await
    }

    /// Take a new lease.
    async fn join(&mut self, link: &Link) -> Result<Lease, Trouble> {
        let token = Uuid::new_v4();
        let since = LeaseClock::now();
        let name = self.settings.name.clone();
        let host = host_name();
        let pid = std::process::id();
        let params = Params::default()
            .with(token, Type::UUID)
            .with(self.settings.lease.as_secs_f64(), Type::FLOAT8)
            .with(self.settings.version.clone(), Type::TEXT)
            .with(host.clone(), Type::TEXT)
            .with(i32::try_from(pid).unwrap_or(0), Type::INT4)
            .with(name.unwrap_or_else(|| format!("{host}:{pid}")), Type::TEXT);
        let rows = link.query(&self.sql.join, params).await?;
        let row = rows
            .first()
            .ok_or_else(|| Trouble::Lost("the server gave no lease".into()))?;
        let (epoch, now): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let lease = Lease { epoch, token };
        self.lease = Some(lease);
        self.flights = 0;
        self.note_beat(since, now);
        Ok(lease)
    }

    /// A transaction of this node has taken effect that was begun at `since`.
    fn note_beat(&mut self, since: i64, server: i64) {
        let lease = self.settings.lease;
        let took = LeaseClock::now() - since;
        // A tenth is for what the two clocks differ by.
        self.clock.renew(since, (lease.as_nanos() as i64 / 10) * 9);
        self.next_beat = Instant::now() + lease / 4;
        let here = SystemTime::now().duration_since(UNIX_EPOCH);
        let here = here.map_or(0, |since| since.as_nanos() as i64) - took / 2;
        let ahead = server - here;
        self.ahead = if ahead.abs() > TOLERANCE + took {
            ahead
        } else {
            0
        };
    }

    /// Take messages to the server until there are no more, or the connection is lost.
    async fn serve(&mut self, link: &Link) -> Result<(), Trouble> {
        self.find_out(link).await?;
        self.connected = Instant::now();
        self.post.note_back();
        loop {
            if Instant::now() >= self.next_beat {
                self.beat(link).await?;
                self.rescue(link).await?;
            }
            // Not while a flight is to be sent again: jobs that it ends are held no longer, and are no strays.
            if self.has_strays && self.flying.is_none() && self.next.is_empty() {
                self.give_back_strays(link).await?;
            }
            if self.flying.is_none() {
                self.is_sent = false;
                self.flying = match self.next.pop_front() {
                    Some(flight) => Some(flight),
                    None => match self.post.take() {
                        Work::Batches(batches) => Some(Flight::Batches(batches)),
                        Work::Query(query, then) => {
                            Some(Flight::Question(Question::new(query, then)))
                        }
                        Work::Close => return self.leave(link).await,
                        Work::Nothing => None,
                    },
                };
            }
            if self.flying.is_some() {
                self.fly(link).await?;
                continue;
            }
            let wait = self.next_beat.saturating_duration_since(Instant::now());
            let _ = tokio::time::timeout(wait, self.post.notify.notified()).await;
            if link.is_closed() {
                return Err(Trouble::Lost("the server has closed the connection".into()));
            }
        }
    }

    /// After a connection was lost: whether this node still has its lease, and what has become of what was under way.
    async fn find_out(&mut self, link: &Link) -> Result<(), Trouble> {
        let Some(lease) = self.lease else {
            self.join(link).await?;
            return Ok(());
        };
        let params = Params::default()
            .with(lease.epoch, Type::INT8)
            .with(lease.token, Type::UUID);
        let rows = link.query(&self.sql.in_doubt, params).await?;
        let row = rows.first().map(|row| {
            Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        });
        let (applied, answer, holds): (i64, i64, bool) = row.transpose()?.unwrap_or((0, 0, false));
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

    /// A flight has taken effect whose reply was lost.
    fn land_late(&mut self, flight: Flight, answer: i64) {
        match flight {
            Flight::Resolved(batches) => self
                .post
                .settle(batches.last().map_or(0, |batch| batch.ticket)),
            // Which of its marks count is not known: they are made again, which changes nothing.
            flight @ Flight::Batches(_) => self.next.push_front(flight),
            Flight::Question(question) => {
                self.has_strays = true;
                question.end_late(self, answer);
            }
        }
    }

    /// Others have, or may have, all that this node held.
    fn lose(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.clock.end();
            self.held.clear();
            (self.events)(Event::LeaseLost(lease.epoch as u64));
        }
    }

    /// The transaction that comes next, which holds jobs until `until`.
    fn beat_of(&self, lease: Lease, until: i64) -> Beat {
        Beat {
            epoch: lease.epoch,
            token: lease.token,
            flight: self.flights,
            lease: self.settings.lease.as_secs_f64(),
            held: self.held.len(),
            running: self.held.running(),
            until,
        }
    }

    /// Send statements as one numbered transaction, until it is known that they have taken effect, or will not.
    pub(crate) async fn transact(
        &mut self,
        link: &Link,
        mut make: impl for<'a> FnMut(&'a Sql, i64) -> (Vec<Statement<'a>>, i64),
    ) -> Result<Vec<Vec<tokio_postgres::Row>>, Trouble> {
        let sql = self.sql.clone();
        self.flights += 1;
        let mut pause = PAUSES.0;
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
                    return Ok(rows);
                }
                Err(Trouble::Again(_)) => {
                    self.is_sent = false;
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(PAUSES.1);
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
    fn revoke(&mut self, made: &[Statement<'_>], rows: &[Vec<tokio_postgres::Row>]) {
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

    async fn fly(&mut self, link: &Link) -> Result<(), Trouble> {
        match self.flying.take() {
            None => Ok(()),
            Some(Flight::Batches(batches)) => self.resolve(link, batches).await,
            Some(Flight::Resolved(batches)) => self.send(link, batches).await,
            Some(Flight::Question(question)) => question.fly(self, link).await,
        }
    }

    /// What was under way stays so: the connection is lost.
    pub(crate) fn keep(&mut self, flight: Flight) {
        self.flying = Some(flight);
    }

    /// Know the numbers of targets, which are made where they are new.
    pub(crate) async fn know_targets(
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
        for row in link
            .query(
                &self.sql.targets,
                Params::default().with(unknown, Type::TEXT_ARRAY),
            )
            .await?
        {
            self.targets.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(())
    }

    pub(crate) fn given(&self) -> Given<'_> {
        Given {
            targets: &self.targets,
            ahead: self.ahead,
        }
    }

    async fn resolve(&mut self, link: &Link, batches: Vec<Batch>) -> Result<(), Trouble> {
        let names = batches
            .iter()
            .flat_map(|batch| Resolved::targets(&batch.ops));
        let names = names.map(str::to_owned).collect();
        if let Err(trouble) = self.know_targets(link, names).await {
            self.keep(Flight::Batches(batches));
            return Err(trouble);
        }
        let given = Given {
            targets: &self.targets,
            ahead: self.ahead,
        };
        let known = batches
            .into_iter()
            .map(|batch| Resolved::of(batch.ticket, batch.ops, &given, &mut self.held));
        self.flying = Some(Flight::Resolved(known.collect()));
        Ok(())
    }

    async fn send(&mut self, link: &Link, batches: Vec<Resolved>) -> Result<(), Trouble> {
        let last = batches.last().map_or(0, |batch| batch.ticket);
        if batches.iter().all(Resolved::is_empty) {
            self.post.settle(last);
            return Ok(());
        }
        let sent = self
            .transact(link, |sql, epoch| statements(sql, &batches, epoch))
            .await;
        match sent {
            Ok(_) => {
                let let_go = batches.iter().filter_map(Resolved::let_go).min();
                self.looks.note_let_go(let_go.unwrap_or(i64::MAX));
                self.post.settle(last);
            }
            Err(Trouble::Refused(_) | Trouble::Taken(_)) if batches.len() > 1 => {
                // Each by itself, so that the one that is at fault is refused alone.
                for batch in batches.into_iter().rev() {
                    self.next.push_front(Flight::Resolved(vec![batch]));
                }
            }
            Err(trouble @ (Trouble::Refused(_) | Trouble::Taken(_))) => {
                self.post.refuse(last, trouble.error())
            }
            Err(trouble) => {
                self.keep(Flight::Resolved(batches));
                return Err(trouble);
            }
        }
        Ok(())
    }

    async fn beat(&mut self, link: &Link) -> Result<(), Trouble> {
        let Some(lease) = self.lease else {
            return Ok(());
        };
        let since = LeaseClock::now();
        match link
            .transact(&self.sql.beat, &self.beat_of(lease, i64::MIN), &[])
            .await
        {
            Ok((now, _)) => self.note_beat(since, now),
            Err(Trouble::Again(_)) => self.next_beat = Instant::now() + PAUSES.1,
            Err(Trouble::LeaseLost) => {
                self.lose();
                self.join(link).await?;
            }
            Err(trouble) => return Err(trouble),
        }
        Ok(())
    }

    /// Take over the jobs of nodes that are lost; every step may be repeated, and be done by any node.
    async fn rescue(&mut self, link: &Link) -> Result<(), Trouble> {
        // After an outage all leases have lapsed: the others are on their way back, and keep what they hold.
        if self.connected.elapsed() < GRACE.min(self.settings.lease / 2) {
            return Ok(());
        }
        let mut freed = 0;
        while !link
            .query(&self.sql.lapsed, Params::default())
            .await?
            .is_empty()
        {}
        for row in link.query(&self.sql.lost, Params::default()).await? {
            freed += self.take_over(link, row.try_get(0)?, true).await?;
        }
        link.query(&self.sql.forget, Params::default()).await?;
        if freed > 0 {
            self.looks.note_let_go(i64::MIN);
            (self.events)(Event::Available(i64::MIN));
        }
        Ok(())
    }

    async fn take_over(&self, link: &Link, epoch: i64, interrupts: bool) -> Result<i64, Trouble> {
        let mut all = 0;
        loop {
            let params = Params::default()
                .with(epoch, Type::INT8)
                .with(i64::from(self.settings.max_interruptions), Type::INT8)
                .with(interrupts, Type::BOOL)
                .with(RESCUED_AT_ONCE, Type::INT4);
            let taken = match link.query(&self.sql.rescue, params).await {
                Ok(rows) => rows.first().map_or(Ok(0), |row| row.try_get::<_, i32>(0))?,
                // Another node is at it.
                Err(Trouble::Again(_)) => return Ok(all),
                Err(trouble) => return Err(trouble),
            };
            if taken == 0 {
                return Ok(all);
            }
            all += i64::from(taken);
        }
    }

    /// Let others have what this node was given and does not know of.
    async fn give_back_strays(&mut self, link: &Link) -> Result<(), Trouble> {
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

    pub(crate) fn note_strays(&mut self) {
        self.has_strays = true;
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.lease.map_or(0, |lease| lease.epoch as u64)
    }

    /// Answer questions that have waited for the server for too long.
    fn give_up_questions(&mut self) {
        for (query, then) in self.post.take_questions() {
            Question::new(query, then).give_up(false);
        }
        if self.post.is_given_up()
            && let Some(Flight::Question(_)) = &self.flying
            && let Some(Flight::Question(question)) = self.flying.take()
        {
            self.has_strays = true;
            question.give_up(std::mem::take(&mut self.is_sent));
        }
    }

    /// Give everything back: this node ends in order.
    async fn leave(&mut self, link: &Link) -> Result<(), Trouble> {
        let Some(lease) = self.lease.take() else {
            return Ok(());
        };
        self.clock.end();
        let node = || {
            Params::default()
                .with(lease.epoch, Type::INT8)
                .with(lease.token, Type::UUID)
        };
        link.query(&self.sql.leave, node()).await?;
        self.take_over(link, lease.epoch, !self.post.leaves())
            .await?;
        link.query(&self.sql.left, node()).await?;
        Ok(())
    }
}

fn jittered(pause: Duration) -> Duration {
    // Nodes that lost the same server do not come back at one moment.
    let part = Uuid::new_v4().as_bytes()[0];
    pause.mul_f64(0.5 + f64::from(part) / 512.0)
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "host".to_owned())
}
