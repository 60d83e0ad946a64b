//! What is no node's, for one that asks.

use super::jobs::{Row, Table};
use super::repeats::{Changed, may_claim};
use crate::{Job, Limited, Page};

impl Table {
    /// What is due and no node's, also of targets that are limited.
    pub(super) fn claim_page(
        &mut self,
        epoch: u64,
        (targets, limited): (&[String], Limited),
        until: i64,
        limit: usize,
    ) -> Page {
        let (mut jobs, more) = self.claim(epoch, targets, until, limit);
        let last = jobs.last().map(|job| job.place);
        for (target, most) in limited.most {
            let of_it = |row: &&Row| row.owner.is_some() && *row.job.target == *target;
            let held = self.rows.values().filter(of_it).count();
            let room = most.saturating_sub(held).min(limit - jobs.len());
            let (claimed, _) = self.claim(epoch, &[target], limited.until.min(until), room);
            jobs.extend(claimed);
        }
        Page {
            last,
            jobs,
            unreadable: Vec::new(),
            more,
            epoch,
        }
    }

    /// Claim for the node of this epoch; the jobs, and whether there are more.
    fn claim(
        &mut self,
        epoch: u64,
        targets: &[String],
        until: i64,
        limit: usize,
    ) -> (Vec<Job<'static>>, bool) {
        let (declared, paused) = (&self.declared, &self.paused);
        let free = |row: &&mut Row| {
            row.owner.is_none()
                && row.job.place.due < until
                && !paused.contains(&*row.job.target)
                && targets.iter().any(|target| *target == row.job.target)
                && may_claim(declared, &row.job, epoch)
        };
        let mut jobs = Vec::new();
        let mut rows = self.rows.values_mut().filter(free);
        for row in rows.by_ref().take(limit) {
            self.versions += 1;
            (row.owner, row.version, row.changed) = (Some(epoch), self.versions, Changed::No);
            jobs.push(row.job.clone());
        }
        (jobs, rows.next().is_some())
    }
}
