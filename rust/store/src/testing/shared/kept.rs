//! How jobs have ended, as long as that is kept.

use super::jobs::Table;
use crate::{Job, Kept, Over, Place};

/// For how long how this job ends is kept.
pub(super) fn keep_of(job: &Job<'_>) -> Option<i64> {
    job.carried.as_ref()?.keep
}

impl Table {
    /// Keep how the job there ends, unless something follows it: that is what ends.
    pub(super) fn keep_at(&mut self, at: Place, kept: Kept) {
        if self.rows.get(&at).is_some_and(|row| row.follow.is_none()) {
            self.keep(kept);
        }
    }

    fn keep(&mut self, kept: Kept) {
        self.kept.insert(kept.id.clone(), kept);
    }

    /// Keep how a job has ended that nobody else tells of, if that is asked for.
    pub(super) fn keep_of(&mut self, job: &Job<'_>, over: Over, error: &str, ended: i64) {
        if let Some(keep) = keep_of(job).filter(|_| job.repeat.is_none()) {
            let error = error.to_owned();
            let cancelled = Kept::cancelled(&job.id, &job.target, ended, keep);
            self.keep(Kept {
                over,
                error,
                ..cancelled
            });
        }
    }

    pub(super) fn forget_death(&mut self, id: &str) {
        let kept = self.kept.get(id);
        if kept.is_some_and(|kept| matches!(kept.over, Over::Dead(_))) {
            self.kept.remove(id);
        }
    }

    pub(super) fn kept_at(&self, id: &str, now: i64) -> Option<&Kept> {
        self.kept.get(id).filter(|kept| kept.until > now)
    }
}
