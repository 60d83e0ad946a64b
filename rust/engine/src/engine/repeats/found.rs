//! What a store has of a repeat, and how it comes into memory.

use crate::due::queue::{ClockKind, Key};
use crate::engine::{Engine, State};
use crate::jobs::record::Payload;
use crate::jobs::repeat::{Flag, Repeat};
use crate::jobs::repeats::{Held, NEVER, Plan};
use duewheel_model::repeat::{Standing, Times};
use duewheel_store::{Error, Job, Unreadable};
use std::sync::Arc;

/// What a store has of a repeat, read under no lock.
pub(in crate::engine) struct FoundRepeat {
    pub(super) plan: Arc<Plan>,
    pub(super) standing: Standing,
    pub(super) unknown: Option<Arc<str>>,
}

impl FoundRepeat {
    /// The repeat of a stored job, if it is one; one of a zone that is unknown is held back.
    ///
    /// # Errors
    ///
    /// Its schedule is none that can be read.
    pub(in crate::engine) fn of(job: &Job<'_>) -> Result<Option<Self>, Unreadable> {
        let Some(recurring) = job.repeat.as_deref() else {
            return Ok(None);
        };
        let mut standing = recurring.standing;
        let plan = Plan::read(&recurring.definition).map_err(|why| Unreadable {
            place: job.place,
            id: Some(job.id.to_string()),
            why: Error::Unreadable(why.to_string()),
        })?;
        let unknown = match plan.schedule().fingerprint() {
            Err(error) => Some(Arc::from(error.to_string())),
            Ok(found) => {
                let times = plan.times(standing.anchor, 0);
                // Where the occurrence is one that was asked for, the time is that of the one after it.
                let is_to_come = standing.triggered.is_some()
                    || (job.progress.first_start.is_none() && !standing.spent);
                if found != standing.fingerprint && is_to_come {
                    // The rules of a zone have changed since: the time that comes is another.
                    standing.time = times.next(standing.last).unwrap_or(NEVER);
                }
                if job.progress.first_start.is_some() && standing.triggered.is_none() {
                    // It is noted with the end of an occurrence that its time is used.
                    standing.last = standing.last.max(standing.time);
                }
                standing.fingerprint = found;
                if standing.spent {
                    spend(&mut standing, &times);
                    if (plan.terms().count).is_some_and(|count| standing.occurrence > count) {
                        // It is over as soon as it is looked at.
                        (standing.time, standing.triggered) = (NEVER, None);
                    }
                }
                None
            }
        };
        Ok(Some(FoundRepeat {
            plan,
            standing,
            unknown,
        }))
    }
}

/// The occurrence died with its process: the next one comes.
fn spend(standing: &mut Standing, times: &impl Times) {
    standing.spent = false;
    standing.occurrence += 1;
    if standing.triggered.is_none() {
        let used = standing.time.max(standing.last);
        standing.last = used;
        standing.time = times.next(used).unwrap_or(NEVER);
    }
    standing.triggered = standing.wanted.take();
}

impl<P: Payload> Engine<P> {
    /// The repeats with an unknown zone that have come into memory; each is said once.
    pub fn held_anew(&self) -> Vec<Held> {
        std::mem::take(&mut self.state.lock().held)
    }
}

impl<P: Payload> State<P> {
    /// Take in what a store has of a repeat, whose job is in memory already; `offset`: of the clock that it is due on.
    pub(in crate::engine) fn put_repeat(
        &mut self,
        key: Key,
        found: FoundRepeat,
        offset: Option<i64>,
    ) {
        let FoundRepeat {
            plan,
            standing,
            unknown,
        } = found;
        let job_due = standing.triggered.unwrap_or(standing.time);
        let is_moved = job_due != NEVER
            && self.jobs.execution(key).is_some_and(|execution| {
                execution.progress.first_start.is_none() && execution.job_due != job_due
            });
        let (clock, standing) = match offset.filter(|_| plan.clock() == ClockKind::Boot) {
            None => (ClockKind::Wall, standing),
            Some(offset) => (ClockKind::Boot, standing.shifted(offset.saturating_neg())),
        };
        let mut repeat = Repeat::new(plan, standing, clock);
        // Of a shared store a node gets only what it declares, or what none need.
        repeat.set(Flag::Wanted, !standing.declared || self.is_shared());
        if let (Some(why), Some(execution)) = (&unknown, self.jobs.execution(key)) {
            let (id, why) = (execution.id.with_str(str::to_owned), why.clone());
            self.held.push(Held { id, why });
        }
        repeat.set_unknown(unknown);
        self.jobs.set_repeat(key, repeat);
        if is_moved && self.is_shared() {
            self.let_go_moved(key);
        } else if is_moved {
            // A store that takes nothing has failed, and says so itself.
            let _ = self.write_standing(key, true);
            if let Some((clock, due)) = self.jobs.repeat(key).map(Repeat::due) {
                self.jobs.set_job_due(key, job_due);
                self.jobs.requeue(key, clock, due);
            }
        }
    }
}
