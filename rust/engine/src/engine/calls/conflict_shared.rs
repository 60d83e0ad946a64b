//! The same where nodes share the store: it changes the job, whoever has it, or takes in the new one, by one statement.

use super::on_conflict::Change;
use super::schedule::new_job;
use super::{AT_ONCE, Pending};
use crate::due::queue::ClockKind;
use crate::engine::{Engine, Refused, State};
use crate::jobs::record::{Payload, Released};
use duewheel_store::{Answer, Query};
use std::sync::Arc;

/// What the store has made of a call.
enum Said {
    /// What was asked for.
    Made,
    /// Another node holds the job, and may start it as it is.
    Held,
}

impl<P: Payload> Engine<P> {
    /// Make the job of an id another, or take in a new one. What this node holds it lets go of, and claims as it is then.
    pub(super) fn put_over_nodes(
        &self,
        id: &str,
        place: (ClockKind, i64),
        change: Change<P>,
        released: &mut Released<P>,
    ) -> Result<Pending<(), P>, Refused> {
        let mut state = self.open_to_change()?;
        state.catch_up()?;
        if state.is_asked_about(id) {
            return Ok(Pending::after_others(id, move |engine, id, released| {
                engine.put_again(id, place, change, released)
            }));
        }
        let here = state.jobs.find(id);
        if here.is_some_and(|key| state.jobs.repeat(key).is_some()) {
            return Err(Refused::Duplicate);
        }
        let taken = state.take_out(self, id, released);
        let runs = state.jobs.find(id).is_some();
        let id = state.begin_asking(id);
        state.note_changed(&id);
        let to = state.next_place(place.0, place.1);
        state.reserve_seq(to.seq);
        let created = change.boot.saturating_add(state.jobs.offsets.measured());
        drop(state);
        let payload = change.payload;
        let job =
            payload.parts(|parts| new_job((&*id).into(), parts, to, place.0, created).into_owned());
        let put = Query::Put {
            job: Box::new(job),
            replaces: change.to.is_some(),
            runs,
        };
        Ok(Pending::ask(put, move |engine, answer, released| {
            let made = engine.apply_answer(&id, |state| {
                let said = state.put_answered(payload, answer);
                if !matches!(said, Ok(Said::Made))
                    && let Some((seq, _)) = taken
                {
                    // It is this node's still, and not in memory.
                    state.yield_one(&id, seq)?;
                }
                engine.notify(state);
                said
            });
            match made {
                Ok(Said::Made) => {
                    released.payloads.push(payload);
                    Ok(Pending::Made((), AT_ONCE))
                }
                Ok(Said::Held) => Ok(Self::recall_and_put(&id, place, change)),
                Err(refused) => {
                    released.payloads.push(payload);
                    Err(refused)
                }
            }
        }))
    }

    /// The same call once more, later: there nobody waits for the payload.
    fn put_again(
        &self,
        id: &str,
        place: (ClockKind, i64),
        change: Change<P>,
        released: &mut Released<P>,
    ) -> Result<Pending<(), P>, Refused> {
        let made = self.put_over_nodes(id, place, change, released);
        made.inspect_err(|_| released.payloads.push(change.payload))
    }

    /// Have the node that holds the job asked for it, then make the call again.
    fn recall_and_put(id: &Arc<str>, place: (ClockKind, i64), change: Change<P>) -> Pending<(), P> {
        let (recall, id) = (Query::Recall(id.as_ref().to_owned()), id.clone());
        Pending::ask(recall, move |engine, answer, released| match answer {
            Ok(_) => engine.put_again(&id, place, change, released),
            Err(refused) => {
                released.payloads.push(change.payload);
                Err(refused)
            }
        })
    }
}

impl<P: Payload> State<P> {
    fn put_answered(
        &mut self,
        payload: P,
        answer: Result<Answer, Refused>,
    ) -> Result<Said, Refused> {
        match answer? {
            Answer::Held => return Ok(Said::Held),
            Answer::Changed(false) => {
                self.tally
                    .note(payload.target(), |counts| counts.scheduled += 1);
                if let Some(residency) = &mut self.residency {
                    residency.frontier.paged_out += 1;
                }
            }
            _ => {}
        }
        // It is nobody's, and may be near.
        self.poll_now();
        Ok(Said::Made)
    }
}
