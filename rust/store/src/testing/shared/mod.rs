//! A store in memory that many nodes share, with bad weather: the simplest that does all that
//! the boundary leaves room for. Claims are kept under the epoch of a node's lease.

mod claims;
mod jobs;
mod kept;
mod node;
mod puts;
mod repeats;

pub use jobs::SharedJobs;
pub use node::Weather;

use crate::{Answered, Error, Events, Found, Grant, LeaseClock, Op, Query, Settled, Store, Ticket};
use node::{Message, Node, Post, Shared, is_claim};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One node's store over what is shared.
pub struct SharedStore {
    shared: Arc<Shared>,
    found: Found,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What is driven by hand.
    node: Option<Mutex<Node>>,
}

impl SharedStore {
    /// A node with a lease of its own.
    pub fn join(jobs: &SharedJobs, weather: Weather, events: Events) -> Self {
        let (mut store, mut node) = Self::new(jobs, weather, events);
        let shared = store.shared.clone();
        *store
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner) =
            Some(std::thread::spawn(move || node.run(&shared)));
        store
    }

    /// The same without a thread: [`step`](Self::step) does its work, and nothing depends on time.
    pub fn by_hand(jobs: &SharedJobs, weather: Weather, events: Events) -> Self {
        let (mut store, node) = Self::new(jobs, weather, events);
        store.node = Some(Mutex::new(node));
        store
    }

    /// By hand, take one message to what is shared, or lose it on the way; `false`: there is none.
    pub fn step(&self) -> bool {
        let Some(node) = &self.node else { return false };
        // What asks once more as it is answered is answered by the step that is under way next.
        let Ok(mut node) = node.try_lock() else {
            return false;
        };
        if self.lock().messages.is_empty() {
            return false;
        }
        if node.random() % 100 >= node.weather.drops {
            node.deliver(&self.shared);
        }
        true
    }

    /// By hand, whether the job of this id is claimed under this node's lease.
    pub fn owns(&self, id: &str) -> bool {
        self.node.as_ref().is_some_and(|node| {
            let node = node.lock().unwrap_or_else(PoisonError::into_inner);
            let table = node.jobs.lock();
            let row = table.find(id);
            row.is_some_and(|row| row.owner == Some(node.epoch))
        })
    }

    fn new(jobs: &SharedJobs, weather: Weather, events: Events) -> (Self, Node) {
        let mut table = jobs.lock();
        table.epochs += 1;
        let epoch = table.epochs;
        let found = Found {
            jobs: table.rows.len() as u64,
            grant: Some(Grant {
                epoch,
                // The upper bits say whose they are.
                seqs: (epoch << 40) + 1..(epoch + 1) << 40,
                poll: jobs.poll,
                lease: LeaseClock::default(),
            }),
            ..Found::default()
        };
        drop(table);
        let events = Arc::new(events);
        jobs.nodes().push((epoch, events.clone()));
        let shared = Arc::new(Shared {
            post: Mutex::default(),
            changed: Condvar::new(),
        });
        let node = Node {
            jobs: jobs.clone(),
            weather,
            events,
            number: epoch,
            epoch,
            random: weather.seed | 1,
        };
        let store = SharedStore {
            shared,
            found,
            thread: Mutex::default(),
            node: None,
        };
        (store, node)
    }

    fn lock(&self) -> MutexGuard<'_, Post> {
        self.shared.lock()
    }
}

impl Store for SharedStore {
    fn submit(&self, batch: &[Op<'_>]) -> Result<Ticket, Error> {
        let mut post = self.lock();
        if post.closing {
            return Err(Error::Closed);
        }
        post.sent += 1;
        let number = post.sent;
        let ops = batch.iter().cloned().map(Op::into_owned).collect();
        post.messages.push_back(Message::Batch(number, ops));
        self.shared.changed.notify_all();
        Ok(Ticket(number))
    }

    fn wait(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<bool, Error> {
        let mut post = self.lock();
        while post.settled < ticket.0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            post = self
                .shared
                .changed
                .wait_timeout(post, left.unwrap_or(Duration::from_secs(1)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(true)
    }

    fn when(&self, ticket: Ticket, then: Settled) {
        let mut post = self.lock();
        if post.settled < ticket.0 {
            post.callbacks.push((ticket.0, then));
        } else {
            drop(post);
            then(Ok(()));
        }
    }

    fn ask(&self, query: Query, then: Answered) {
        let mut post = self.lock();
        if post.closing {
            drop(post);
            return then(Err(Error::Closed));
        }
        let claims = is_claim(&query);
        post.messages.push_back(Message::Query(query, then));
        drop(post);
        self.shared.changed.notify_all();
        // By hand nobody else would answer, and whoever asks may wait; what is claimed alone comes by the inbox.
        while self.node.is_some() && !claims && self.step() {}
    }

    fn found(&self) -> &Found {
        &self.found
    }

    fn close(&self) -> Result<(), Error> {
        self.lock().closing = true;
        self.shared.changed.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(node) = &self.node {
            while self.step() {}
            node.lock().unwrap_or_else(PoisonError::into_inner).leave();
        }
        match thread.map(JoinHandle::join) {
            Some(Err(_)) => Err(Error::Poisoned(
                "the thread of the node has panicked".into(),
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for SharedStore {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `close`.
        let _ = self.close();
    }
}
