//! What a job leaves behind that has died: another one, due at once.

use super::calls::new_job;
use super::{Engine, Phase, State};
use crate::due::queue::ClockKind;
use crate::jobs::record::{Id, Payload, Released};
use duewheel_store::Op;
use std::borrow::Cow;

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
        let closed = self.phase == Phase::Closed;
        if closed && self.residency.is_none() {
            released.payloads.push(heir);
            return false;
        }
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
