//! Targets that are paused on all nodes of a shared store: it claims nothing of them for anybody, and what is here goes back.

use super::{Engine, Refused, State};
use crate::engine::calls::{AT_ONCE, Pending};
use crate::jobs::record::Payload;
use duewheel_store::{Answer, Job, Op, Query};

impl<P: Payload> Engine<P> {
    /// Pause a target of a store, or let it go on; whether that is news. In a store that nodes share nothing of it starts here
    /// from then on.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn set_paused(&self, target: &str, paused: bool) -> Result<Pending<bool, P>, Refused> {
        drop(self.open_to_change()?);
        let target = target.to_owned();
        let asks = Query::SetPaused { target, paused };
        Ok(Pending::ask(asks, |engine, answer, _| {
            // The store has told what is paused before it answered.
            engine.state.lock().apply_revocations(engine);
            let is_news = answer? == Answer::Changed(true);
            Ok(Pending::Made(is_news, AT_ONCE))
        }))
    }
}

impl<P: Payload> State<P> {
    /// These targets are paused on all nodes, and no others.
    pub(super) fn pause_targets(&mut self, engine: &Engine<P>, targets: Vec<String>) {
        let Some(lease) = self.lease_mut() else {
            return;
        };
        let (paused, go_on) = lease.set_paused(targets);
        let boot = engine.clock.boot();
        for target in go_on {
            // What of a repeat came meanwhile is missed as if there had been no handler.
            self.targets.note_since(target, boot);
        }
        let entries = self.jobs.queue.iter();
        let of_them = entries.filter(|(_, entry)| paused.contains(&entry.value.payload.target()));
        let keys = of_them.map(|(key, _)| key).collect();
        self.give_back(engine, keys);
    }

    /// Let others have a job that has come with a page, if its target is paused by now; whether it is.
    pub(super) fn yield_paused(&mut self, job: &Job<'_>) -> bool {
        let is_paused = self
            .lease()
            .is_some_and(|lease| lease.is_paused(&job.target));
        if is_paused && let Some(residency) = &mut self.residency {
            residency.outbox.push(Op::Yield(job.place.seq));
        }
        is_paused
    }
}
