//! Where a store's threads leave what the engine is to act on.

use crate::sleep::Sleeper;
use crate::sync::Mutex;
use duewheel_store::{Error, Event, Events, Page, Store};
use std::sync::Arc;

/// A store, and its inbox.
pub(super) struct Backing {
    pub(super) store: Arc<dyn Store>,
    pub(super) inbox: Arc<StoreInbox>,
}

/// What the store's threads leave for the engine.
#[derive(Debug)]
pub struct StoreInbox {
    pub(super) sleeper: Arc<Sleeper>,
    pub(super) pages: Mutex<Vec<Page>>,
    pub(super) failed: Mutex<Option<Error>>,
    /// What the store has taken back, or others ask for, and the engine still has.
    pub(super) taken_back: Mutex<Vec<Event>>,
    /// When the first of the jobs is due that the store has said to be available.
    pub(super) available: Mutex<Option<i64>>,
    /// What the store has said that is only to be reported.
    pub(super) news: Mutex<Vec<Event>>,
}

impl StoreInbox {
    /// An empty one, with the sleeper of the engine that is to read it.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left for the timer.
    pub fn new() -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(StoreInbox {
            sleeper: Arc::new(Sleeper::shared()?),
            pages: Mutex::default(),
            failed: Mutex::default(),
            taken_back: Mutex::default(),
            available: Mutex::default(),
            news: Mutex::default(),
        }))
    }

    /// What a store calls with its events.
    pub fn events(self: &Arc<Self>) -> Events {
        let inbox = self.clone();
        Box::new(move |event| match event {
            Event::Poisoned(error) => inbox.fail(error),
            Event::Unapplied(..) | Event::Contested(..) | Event::ClockApart(_) => {
                inbox.news.lock().push(event);
                inbox.sleeper.wake();
            }
            Event::Available(due) => {
                let mut available = inbox.available.lock();
                *available = Some(available.map_or(due, |first| first.min(due)));
                drop(available);
                inbox.sleeper.wake();
            }
            Event::Revoked(_) | Event::LeaseLost(_) | Event::Wanted(_) | Event::Paused(_) => {
                inbox.take_back(event);
            }
        })
    }

    fn take_back(&self, event: Event) {
        if let Event::Revoked(seqs) = &event {
            // A page that came before has them as they were.
            for page in &mut *self.pages.lock() {
                page.jobs.retain(|job| !seqs.contains(&job.place.seq));
            }
        }
        self.taken_back.lock().push(event);
        self.sleeper.wake();
    }

    pub(super) fn fail(&self, error: Error) {
        self.failed.lock().get_or_insert(error);
        self.sleeper.wake();
    }
}
