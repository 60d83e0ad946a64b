//! Schedule jobs of other processes, under ids that these have made: many in one batch.

use super::AT_ONCE;
use super::schedule::New;
use crate::engine::{Due, Engine, Refused, State};
use crate::jobs::record::{Detail, Id, Payload, Released};
use duewheel_store::{Op, Progress, Ticket};
use std::collections::HashSet;
use std::sync::Arc;

/// A job under an id that was made for it alone.
#[derive(Debug)]
pub struct GivenJob<P> {
    /// Its id.
    pub id: Arc<str>,
    /// When it is due.
    pub due: Due,
    /// Its payload.
    pub payload: P,
}

/// A job that is about to be taken in, whether it stays in memory, and its id again.
type Coming<P> = (New<P>, bool, Arc<str>);

impl<P: Payload> Engine<P> {
    /// Schedule jobs under ids that were made for them alone, in one batch; `counts` says how many are of each call,
    /// whose jobs are taken all or none.
    ///
    /// The ids are looked for in memory alone: who has made them vouches that no job on disk has one. Until the calls
    /// are [answered](Self::answered) their jobs do not end.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store. Of one call [`Refused::Duplicate`] and [`Refused::Overflow`].
    pub fn schedule_given(
        &self,
        jobs: Vec<GivenJob<P>>,
        counts: &[usize],
        released: &mut Released<P>,
    ) -> Result<(Vec<Result<(), Refused>>, Ticket), Refused> {
        let boot = self.clock.boot();
        let opened = self.open_to_change().and_then(|mut state| {
            state.settle(self, released);
            state.refresh(self, boot);
            state.catch_up()?;
            Ok(state)
        });
        let mut state = match opened {
            Ok(state) => state,
            Err(refused) => {
                released.payloads.extend(jobs.iter().map(|job| job.payload));
                return Err(refused);
            }
        };
        let (mut coming, mut ops, mut taken) = (Vec::new(), Vec::new(), HashSet::new());
        let mut jobs = jobs.into_iter();
        let results = counts.iter().map(|&count| {
            let jobs: Vec<_> = jobs.by_ref().take(count).collect();
            let refused = jobs
                .iter()
                .find_map(|job| state.refuse_given(job, boot, &mut taken));
            if let Some(refused) = refused {
                released.payloads.extend(jobs.iter().map(|job| job.payload));
                return Err(refused);
            }
            for job in jobs {
                coming.extend(state.prepare_given(job, boot, &mut ops));
            }
            Ok(())
        });
        let results = results.collect();
        let ticket = match state.write_given(&ops) {
            Ok(ticket) => ticket,
            Err(refused) => {
                for (new, stays, _) in coming {
                    state.not_paged_out(stays);
                    released.payloads.push(new.payload);
                }
                return Err(refused);
            }
        };
        let mut wake = false;
        for (new, stays, id) in coming {
            if let Some(receipts) = &mut state.receipts {
                receipts.open(id);
            }
            wake |= state.insert_new(new, stays, released);
        }
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok((results, ticket))
    }
}

impl<P: Payload> State<P> {
    /// Why a job is not taken, if it is not.
    fn refuse_given(
        &self,
        job: &GivenJob<P>,
        boot: i64,
        taken: &mut HashSet<Arc<str>>,
    ) -> Option<Refused> {
        if self.jobs.find(&job.id).is_some()
            || self.is_asked_about(&job.id)
            || !taken.insert(job.id.clone())
        {
            return Some(Refused::Duplicate);
        }
        self.resolve(job.due, boot).err()
    }

    /// Give the store what it is to be told, if there is one.
    fn write_given(&mut self, ops: &[Op<'_>]) -> Result<Ticket, Refused> {
        if self.residency.is_none() {
            return Ok(AT_ONCE);
        }
        Ok(self.submit(ops)?)
    }

    /// Give a job its place, and note what the store is to be told.
    fn prepare_given(
        &mut self,
        job: GivenJob<P>,
        boot: i64,
        ops: &mut Vec<Op<'static>>,
    ) -> Option<Coming<P>> {
        let (clock, due) = self.resolve(job.due, boot).ok()?; // it was looked at before
        let stays = self.admit_new(clock, due);
        let place = self.next_place(clock, due);
        self.reserve_seq(place.seq);
        let created = boot.saturating_add(self.jobs.offsets.measured());
        let new = New {
            clock,
            due,
            place,
            created,
            detail: Detail::new(Id::Given(job.id.clone()), place.due, Progress::NEW),
            payload: job.payload,
            repeat: None,
        };
        if self.residency.is_some() {
            ops.push(Op::Insert(new.with_job(|job| job.into_owned())));
            if !stays {
                ops.push(Op::Yield(place.seq));
            }
        }
        Some((new, stays, job.id))
    }
}
