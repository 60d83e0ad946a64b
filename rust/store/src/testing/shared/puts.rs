//! What becomes of a job whose id a call takes: it is another from then on, in its place or once it has ended.

use super::jobs::{Row, Table};
use super::repeats::Changed;
use crate::{Answer, ClockKind, Error, Job, Place, Progress};

/// What follows a job that was changed while it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follow {
    /// Where it comes; `None`: where the job is.
    to: Option<(i64, ClockKind)>,
}

/// The sequences of what follows begin here: no node gives them.
const FOLLOWING: u64 = 1 << 39;

fn begin_anew(job: &mut Job<'static>) {
    job.interruptions = 0;
    job.progress = Progress {
        run: job.progress.run,
        ..Progress::NEW
    };
}

impl Table {
    pub(super) fn place_over(
        &mut self,
        job: Job<'static>,
        (replaces, runs): (bool, bool),
        epoch: u64,
    ) -> Result<Answer, Error> {
        let Some(row) = self.find(&job.id) else {
            if self.kept_at(&job.id, job.created).is_some() {
                return Err(Error::Duplicate(job.id.into_owned()));
            }
            self.put(job, None);
            return Ok(Answer::Changed(false));
        };
        let (at, owner, was) = (row.job.place, row.owner, row.follow);
        if row.job.repeat.is_some() || row.changed == Changed::Cancelled {
            return Err(Error::Duplicate(job.id.into_owned()));
        }
        let to = replaces.then_some((job.place.due, job.clock));
        if row.begun || (runs && owner == Some(epoch)) {
            let before = was.and_then(|was| was.to);
            self.row(at, |row| {
                (row.begun, row.follow) = (true, Some(Follow { to: to.or(before) }));
                become_it(&mut row.job, &job);
            });
            return Ok(Answer::Changed(true));
        }
        let is_others = owner.is_some_and(|owner| owner != epoch);
        if is_others && !row.job.options.at_most_once {
            return Ok(Answer::Held);
        }
        self.take_back(at);
        let seq = if replaces || is_others {
            job.place.seq
        } else {
            at.seq
        };
        let due = to.map_or(at.due, |(due, _)| due);
        self.shift(at, Place { due, seq }, None, |was| {
            become_it(was, &job);
            if let Some((due, clock)) = to {
                (was.job_due, was.clock) = (due, clock);
                begin_anew(was);
            }
        });
        Ok(Answer::Changed(true))
    }

    /// It has ended; whether something follows.
    pub(super) fn is_followed(&mut self, at: Place) -> bool {
        let followed = self.rows.get(&at).is_some_and(|row| row.follow.is_some());
        if followed {
            self.row(at, |row| row.job.progress.run += 1);
            self.come_changed(at, true);
        }
        followed
    }

    /// What was changed while it ran is pending again, if it was: as it is now, and nobody's; `anew`: from its first attempt on.
    pub(super) fn come_changed(&mut self, at: Place, anew: bool) {
        let follow = self.rows.get(&at).and_then(|row| row.follow);
        let (Some(follow), Some(Row { mut job, .. })) =
            (follow, follow.and_then(|_| self.rows.remove(&at)))
        else {
            return;
        };
        self.followed += 1;
        job.place.seq = FOLLOWING + self.followed;
        if let Some((due, clock)) = follow.to {
            (job.place.due, job.job_due, job.clock) = (due, due, clock);
        }
        if anew || follow.to.is_some() {
            begin_anew(&mut job);
        }
        self.put(job, None);
    }
}

/// Its target, payload, options and what it carries.
fn become_it(was: &mut Job<'static>, job: &Job<'static>) {
    (was.target, was.data) = (job.target.clone(), job.data.clone());
    (was.options, was.carried) = (job.options, job.carried.clone());
}
