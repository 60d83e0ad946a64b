//! What a job leaves behind that has died: another one, due at once.

use super::calls::{AT_ONCE, Pending, new_job};
use super::{Engine, Phase, Refused, State};
use crate::due::queue::ClockKind;
use crate::jobs::record::{Id, Payload, Released};
use duewheel_store::{Answer, DeadPage, Op, Query};
use std::borrow::Cow;

impl<P: Payload> Engine<P> {
    /// The dead of a target that were buried when the store was opened, before any handler was there that says what they leave
    /// behind, oldest first: at most `limit` that have a higher number than `after`. What may leave something is told by
    /// [`inherit`](Self::inherit).
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn owed(
        &self,
        target: &str,
        (after, limit): (u64, usize),
    ) -> Result<Pending<DeadPage, P>, Refused> {
        let state = self.open_to_change()?;
        if state.residency.is_none() || state.is_shared() {
            return Ok(Pending::Made(DeadPage::default(), AT_ONCE));
        }
        drop(state);
        let target = target.to_owned();
        let query = Query::Owed {
            target,
            after,
            limit,
        };
        Ok(self.query(query)?.map(|answer| match answer {
            Answer::Dead(page) => page,
            _ => DeadPage::default(),
        }))
    }

    /// Let these deaths leave behind what they owe, each in one batch with the note that it does not any more; `None`: nothing.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store; the payloads are given back.
    pub fn inherit(
        &self,
        owed: Vec<(u64, Option<P>)>,
        released: &mut Released<P>,
    ) -> Result<(), Refused> {
        let boot = self.clock.boot();
        let mut state = match self.open_to_change() {
            Ok(state) => state,
            Err(refused) => {
                let heirs = owed.into_iter().filter_map(|(_, heir)| heir);
                released.payloads.extend(heirs);
                return Err(refused);
            }
        };
        state.settle(self, released);
        state.refresh(self, boot);
        let mut wake = false;
        for (number, heir) in owed {
            if let Some(residency) = &mut state.residency {
                residency.outbox.push(Op::Inherited(number));
            }
            if let Some(heir) = heir {
                wake |= state.put_heir(self, heir, released);
            }
        }
        // What the store does not take now it takes later, in this order.
        let _ = state.catch_up();
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok(())
    }
}

impl<P: Payload> State<P> {
    /// Schedule what a death leaves behind, in the batch of that death; whether the timer is to be woken.
    pub(super) fn schedule_heir(
        &mut self,
        engine: &Engine<P>,
        failure: &mut P::Failure,
        released: &mut Released<P>,
    ) -> bool {
        self.note_death(engine);
        let Some(heir) = P::heir(failure) else {
            return false;
        };
        if self.phase == Phase::Closed && self.residency.is_none() {
            released.payloads.push(heir);
            return false;
        }
        self.put_heir(engine, heir, released)
    }

    /// Schedule a job now, in the batch of what was told to the store last.
    fn put_heir(&mut self, engine: &Engine<P>, heir: P, released: &mut Released<P>) -> bool {
        let closed = self.phase == Phase::Closed;
        let (clock, boot) = (ClockKind::Boot, engine.clock.boot());
        let stays = !closed && self.admit_new(clock, boot);
        if let (true, Some(residency)) = (closed, &mut self.residency) {
            residency.frontier.paged_out += 1;
        }
        let id = self.jobs.new_id(boot, stays);
        self.tally
            .note(heir.target(), |counts| counts.scheduled += 1);
        if self.residency.is_some() {
            let place = self.next_place(clock, boot);
            let created = boot.saturating_add(self.jobs.offsets.measured());
            let id = Cow::Owned(Id::Generated(id).with_str(str::to_owned));
            let job = heir.parts(|parts| new_job(id, parts, place, clock, created).into_owned());
            if !stays {
                self.reserve_seq(place.seq);
            }
            if let Some(residency) = &mut self.residency {
                residency.outbox.push(Op::Insert(job));
                let yielded = (!stays).then_some(Op::Yield(place.seq));
                residency.outbox.extend(yielded.into_iter());
            }
        }
        if !stays {
            released.payloads.push(heir);
            return false;
        }
        self.jobs.insert(id, clock, boot, heir);
        self.mark_awake_if_earlier(clock, boot)
    }
}
