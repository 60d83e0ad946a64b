//! The lease of a node: taken, renewed with each transaction, lost, given up; and the jobs of nodes that have lost theirs.

use crate::connection::link::{Beat, Link};
use crate::connection::trouble::Trouble;
use crate::node::pauses::Pauses;
use crate::node::state::{Lease, Node};
use crate::tables::statement::Params;
use duewheel_store::{Event, LeaseClock};
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// How long a node has been connected before it takes over jobs of others, at most; no more than half of a lease.
const GRACE: Duration = Duration::from_secs(5);
/// By how much the clocks of server and machine may differ before dues are corrected, in nanoseconds.
const TOLERANCE: i64 = 100_000_000;
/// How many jobs of a node that was lost are taken over in one transaction.
const RESCUED_AT_ONCE: i32 = 5_000;

impl Node {
    /// Take a new lease.
    pub(super) async fn join(&mut self, link: &Link) -> Result<Lease, Trouble> {
        let token = self.joining;
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
        let lease = Lease::new(epoch, token);
        self.joining = Uuid::new_v4();
        self.lease = Some(lease);
        self.flights = 0;
        self.note_beat(since, now);
        let declared = self.declared.keys().copied().collect();
        self.declare_all(link, declared).await?;
        Ok(lease)
    }

    /// A transaction of this node has taken effect that was begun at `since`.
    pub(super) fn note_beat(&mut self, since: i64, server: i64) {
        let lease = self.settings.lease;
        let took = LeaseClock::now() - since;
        // A tenth is for what the two clocks differ by.
        self.clock.renew(since, (lease.as_nanos() as i64 / 10) * 9);
        self.next_beat = Instant::now() + lease / 4;
        let here = (self.settings.wall)() - took / 2;
        let ahead = server - here;
        self.ahead = if ahead.abs() > TOLERANCE + took {
            ahead
        } else {
            0
        };
        // Not at each beat, and not each time that it crosses the tolerance.
        if self.ahead != 0 && (self.ahead - self.said_ahead).abs() > TOLERANCE {
            self.said_ahead = self.ahead;
            (self.events)(Event::ClockApart(self.ahead));
        }
    }

    /// Others have, or may have, all that this node held.
    pub(super) fn lose(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.clock.end();
            self.held.clear();
            (self.events)(Event::LeaseLost(lease.epoch as u64));
        }
    }

    /// The transaction that comes next, which holds jobs until `until`.
    pub(super) fn beat_of(&self, lease: Lease, until: i64) -> Beat {
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

    pub(super) async fn beat(&mut self, link: &Link) -> Result<(), Trouble> {
        self.beat_before(link, self.flights + 1).await
    }

    /// Renew the lease while the flight of this number has not taken effect.
    pub(super) async fn beat_before(&mut self, link: &Link, flight: i64) -> Result<(), Trouble> {
        let Some(lease) = self.lease else {
            return Ok(());
        };
        let since = LeaseClock::now();
        let beat = Beat {
            flight: flight - 1,
            ..self.beat_of(lease, i64::MIN)
        };
        match link.transact(&self.sql.beat, &beat, &[]).await {
            Ok((now, _)) => self.note_beat(since, now),
            Err(Trouble::Again(_)) => self.next_beat = Instant::now() + Pauses::RECONNECTING.1,
            Err(Trouble::LeaseLost) => {
                self.lose();
                self.join(link).await?;
            }
            Err(trouble) => return Err(trouble),
        }
        Ok(())
    }

    /// Take over the jobs of nodes that are lost; every step may be repeated, and be done by any node.
    pub(super) async fn rescue(&mut self, link: &Link) -> Result<(), Trouble> {
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
            let epoch: i64 = row.try_get(0)?;
            if row.try_get(1)? {
                freed += self.take_over(link, epoch, true).await?;
            } else {
                let stuck = Params::default().with(epoch, Type::INT8);
                link.query(&self.sql.part, stuck).await?;
            }
        }
        if std::mem::take(&mut self.recalls.has_given_up) {
            self.note_strays();
        }
        let here = Params::default().with(self.epoch() as i64, Type::INT8);
        for row in link.query(&self.sql.forget, here).await? {
            self.note_wanted(row.try_get(0)?);
            self.note_paused(link, row.try_get(1)?).await?;
        }
        self.look_for_contested(link).await?;
        self.has_expired = true;
        if freed > 0 {
            self.looks.note_let_go(i64::MIN);
            (self.events)(Event::Available(i64::MIN));
        }
        Ok(())
    }

    pub(super) async fn take_over(
        &self,
        link: &Link,
        epoch: i64,
        interrupts: bool,
    ) -> Result<i64, Trouble> {
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

    /// Give everything back: this node ends in order. Every step may be repeated.
    pub(super) async fn leave(&mut self, link: &Link) -> Result<(), Trouble> {
        let Some(lease) = self.lease else {
            return Ok(());
        };
        self.is_leaving = true;
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
        self.lease = None;
        Ok(())
    }
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
