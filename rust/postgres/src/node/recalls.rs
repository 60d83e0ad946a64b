//! Jobs that other nodes hold and this one asks back.
//!
//! Who asks leaves a row, which the holder finds at its next look. It gives back what has not started, to the one who
//! asks: no other can claim it in between. If the holder dies, the rescue frees it; if the one who asks does, so does its own.

use crate::node::pauses::Pauses;
use crate::node::question::Question;
use crate::tables::names::key_of;
use duewheel_store::{Answer, Answered, Error};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Between two looks at what is asked back: at first, and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// A job that is asked back.
pub(super) struct Recall {
    pub(super) key: Uuid,
    pub(super) until: Instant,
    then: Option<Answered>,
}

impl Recall {
    pub(super) fn answer(mut self, answer: Result<Answer, Error>) {
        if let Some(then) = self.then.take() {
            then(answer);
        }
    }
}

impl Drop for Recall {
    fn drop(&mut self) {
        if let Some(then) = self.then.take() {
            then(Err(Error::Closed));
        }
    }
}

/// The jobs that are asked back.
pub(super) struct Recalls {
    pub(super) asked: Vec<Recall>,
    pauses: Pauses,
    /// When to look at them.
    pub(super) next: Option<Instant>,
    /// Something may come that nobody waits for any more.
    pub(super) has_given_up: bool,
}

impl Default for Recalls {
    fn default() -> Self {
        Recalls {
            asked: Vec::new(),
            pauses: Pauses::new(LOOKS),
            next: None,
            has_given_up: false,
        }
    }
}

impl Recalls {
    pub(super) fn ask(&mut self, id: &str, timeout: Duration, then: Answered) {
        let now = Instant::now();
        self.asked.push(Recall {
            key: key_of(id).0,
            until: now + timeout,
            then: Some(then),
        });
        self.pauses.begin_anew();
        self.next = Some(now);
    }

    pub(super) fn is_time(&self) -> bool {
        self.next.is_some_and(|next| Instant::now() >= next)
    }

    pub(super) fn plan(&mut self) {
        self.next = (!self.asked.is_empty()).then(|| Instant::now() + self.pauses.take());
    }

    /// There has been no connection for too long.
    pub(super) fn give_up(&mut self) {
        for recall in self.asked.drain(..) {
            self.has_given_up = true;
            recall.answer(Err(Question::not_answered()));
        }
        self.next = None;
    }
}
