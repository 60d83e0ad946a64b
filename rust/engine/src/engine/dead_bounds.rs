//! How much is kept of the dead in a file.

use super::{Engine, State};
use crate::jobs::record::Payload;
use crate::residency::DeadBounds;
use duewheel_store::Query;

impl<P: Payload> Engine<P> {
    /// Forget of the dead what these bounds leave out, from now on.
    pub fn bound_dead(&self, bounds: DeadBounds) {
        let mut state = self.state.lock();
        state.dead_bounds = bounds;
        state.trim_dead(self.clock.wall());
    }
}

impl<P: Payload> State<P> {
    /// A job has died: now and then the bounds are looked at.
    pub(super) fn note_death(&mut self, engine: &Engine<P>) {
        let bounds = self.dead_bounds;
        if bounds.age.is_none() && bounds.most.is_none() {
            return;
        }
        self.deaths += 1;
        if self.deaths > bounds.slack() {
            self.trim_dead(engine.clock.wall());
        }
    }

    /// Have the store forget what the bounds leave out, before it is asked anything else.
    pub(super) fn trim_dead(&mut self, now: i64) {
        let bounds = self.dead_bounds;
        let Some(backing) = &self.backing else {
            return;
        };
        self.deaths = 0;
        let (before, most) = (bounds.age.map(|age| now.saturating_sub(age)), bounds.most);
        if before.is_some() || most.is_some() {
            // What is not forgotten now is so the next time.
            let query = Query::TrimDead { before, most };
            backing.store.ask(query, Box::new(|_| ()));
        }
    }
}
