//! Waiting for the end of a job: whoever waits is called once, and forgotten when it waits no longer.

use crate::values::payload::Handle;
use duewheel_engine::engine::Engine;
use duewheel_engine::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A wait for the end of a job, until it is dropped.
pub(crate) struct Ending {
    engine: Arc<Engine<Handle>>,
    id: String,
    number: u64,
}

impl Ending {
    /// Have `then` called when the job of this id ends, under the engine's lock.
    pub(crate) fn new(
        engine: &Arc<Engine<Handle>>,
        id: &str,
        then: impl FnOnce() + Send + 'static,
    ) -> Self {
        let number = engine.when_ended(id, then);
        Ending {
            engine: engine.clone(),
            id: id.to_owned(),
            number,
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.engine.forget_ended(&self.id, self.number);
    }
}

/// The same for a thread that waits.
pub(crate) struct ThreadEnding {
    ended: Arc<(Mutex<bool>, Condvar)>,
    _ending: Ending,
}

impl ThreadEnding {
    pub(crate) fn new(engine: &Arc<Engine<Handle>>, id: &str) -> Self {
        let ended = Arc::<(Mutex<bool>, Condvar)>::default();
        let told = ended.clone();
        let then = move || {
            *told.0.lock() = true;
            told.1.notify_all();
        };
        let _ending = Ending::new(engine, id, then);
        ThreadEnding { ended, _ending }
    }

    /// Wait for the end; `false`: the time is over.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let (ended, changed) = &*self.ended;
        let mut ended = ended.lock();
        while !*ended {
            let late;
            (ended, late) = changed.wait_until(ended, deadline);
            if late {
                return *ended;
            }
        }
        true
    }
}
