//! What is no node's, for one that asks; and what is no node's any more.

use super::jobs::{Row, Table};
use super::repeats::{Changed, may_claim};
use crate::testing::model::go_on;
use crate::{Job, Limited, Over, Page, Place, Reason};

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

    /// What was claimed under a lease is everybody's, what had begun interrupted; their sequences.
    pub(super) fn expire(&mut self, epoch: u64, mut which: impl FnMut() -> bool) -> Vec<u64> {
        let places: Vec<Place> = self
            .rows
            .values()
            .filter(|row| row.owner == Some(epoch) && which())
            .map(|row| row.job.place)
            .collect();
        let interruptions = u32::from(!self.left.contains(&epoch));
        for &place in &places {
            let limit = self.max_interruptions;
            self.versions += 1;
            let version = self.versions;
            let Some(row) = self.rows.get_mut(&place) else {
                continue;
            };
            (row.owner, row.version) = (None, version);
            if std::mem::take(&mut row.begun) {
                row.job.interruptions += interruptions;
                let dies = row.job.options.at_most_once || row.job.interruptions >= limit;
                let (lost, why) = (dies.then(|| row.job.clone()), "its node was lost");
                if dies {
                    self.bury(place, Reason::Interrupted, why, 0);
                }
                if self.is_followed(place) {
                    continue;
                }
                if let Some(job) = lost {
                    self.keep_of(&job, Over::Dead(Reason::Interrupted), why, 0);
                }
                match self.rows.get_mut(&place) {
                    Some(Row { job, .. }) if !dies || job.repeat.is_some() => {
                        job.progress.run = job.progress.run.saturating_add(1);
                        if dies {
                            go_on(job);
                        }
                    }
                    _ => drop(self.rows.remove(&place)),
                }
            }
        }
        places.into_iter().map(|place| place.seq).collect()
    }
}
