//! What the engine's threads leave for the thread of the connection, and what they wait for.

use crate::node::steps::Sealed;
use duewheel_store::{Answered, Error, Op, Query, Settled, Ticket};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How many bytes may wait for the server before insertions are refused, and a flight takes before it takes no more batches.
const MOST_WAITING: usize = 32 << 20;
/// How many operations one flight takes at most.
const FLIGHT: usize = 8_192;
/// How many refusals are remembered for waits that have not begun.
const REFUSALS: usize = 10_000;
/// What an operation takes beside its payload.
const OVERHEAD: usize = 200;

/// A batch as it was submitted.
pub(crate) struct Batch {
    pub(crate) ticket: u64,
    pub(crate) ops: Vec<Sealed>,
    bytes: usize,
}

enum Message {
    Batch(Batch),
    Query(Query, Answered),
}

/// What is to be done next.
pub(crate) enum Work {
    Batches(Vec<Batch>),
    Query(Query, Answered),
    Nothing,
    /// Everything is done, and nothing more will come.
    Close,
}

#[derive(Default)]
struct State {
    sent: u64,
    settled: u64,
    /// Batches that the server has refused, each by itself.
    refused: BTreeMap<u64, Error>,
    messages: VecDeque<Message>,
    callbacks: BTreeMap<u64, Vec<Settled>>,
    bytes: usize,
    is_closing: bool,
    /// Whether the process ends in order.
    leaves: bool,
    failed: Option<Error>,
    /// Since when there is no connection.
    away: Option<(Instant, String)>,
}

/// The messages, in order.
pub(crate) struct Post {
    state: Mutex<State>,
    changed: Condvar,
    /// Wakes the thread of the connection.
    pub(crate) notify: Notify,
    timeout: Duration,
}

impl Post {
    pub(crate) fn new(timeout: Duration) -> Self {
        Post {
            state: Mutex::default(),
            changed: Condvar::new(),
            notify: Notify::new(),
            timeout,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn submit(&self, ops: Vec<Sealed>, inserts: bool) -> Result<Ticket, Error> {
        let bytes = ops.iter().map(|(_, (data, _))| data.len() + OVERHEAD).sum();
        let mut state = self.lock();
        state.check_open()?;
        if inserts && state.bytes > MOST_WAITING {
            return Err(Error::Full);
        }
        state.leaves |= ops.iter().any(|(op, _)| matches!(op, Op::Leave));
        state.sent += 1;
        let ticket = state.sent;
        state.bytes += bytes;
        state
            .messages
            .push_back(Message::Batch(Batch { ticket, ops, bytes }));
        drop(state);
        self.notify.notify_one();
        Ok(Ticket(ticket))
    }

    pub(crate) fn ask(&self, query: Query, then: Answered) {
        let mut state = self.lock();
        if let Err(error) = state.check_open() {
            drop(state);
            return then(Err(error));
        }
        state.messages.push_back(Message::Query(query, then));
        drop(state);
        self.notify.notify_one();
    }

    pub(crate) fn wait(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<bool, Error> {
        let mut state = self.lock();
        loop {
            if let Some(error) = state.refused.remove(&ticket.0) {
                return Err(error);
            }
            if state.settled >= ticket.0 {
                return Ok(true);
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if let Some(error) = state.give_up(ticket.0, self.timeout) {
                return Err(error);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            let slice = left
                .unwrap_or(Duration::MAX)
                .min(Duration::from_millis(100));
            state = self
                .changed
                .wait_timeout(state, slice)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn when(&self, ticket: Ticket, then: Settled) {
        let mut state = self.lock();
        let answer = if let Some(error) = state.refused.remove(&ticket.0) {
            Err(error)
        } else if state.settled >= ticket.0 {
            Ok(())
        } else if let Some(error) = &state.failed {
            Err(error.clone())
        } else {
            state.callbacks.entry(ticket.0).or_default().push(then);
            return;
        };
        drop(state);
        then(answer);
    }

    pub(crate) fn close(&self) {
        self.lock().is_closing = true;
        self.notify.notify_one();
    }

    // What the thread of the connection does

    pub(crate) fn take(&self) -> Work {
        let mut state = self.lock();
        let mut batches: Vec<Batch> = Vec::new();
        let (mut ops, mut bytes) = (0, 0);
        while let Some(Message::Batch(batch)) = state.messages.front()
            && (batches.is_empty()
                || (ops + batch.ops.len() <= FLIGHT && bytes + batch.bytes <= MOST_WAITING))
        {
            ops += batch.ops.len();
            bytes += batch.bytes;
            if let Some(Message::Batch(batch)) = state.messages.pop_front() {
                state.bytes -= batch.bytes;
                batches.push(batch);
            }
        }
        if !batches.is_empty() {
            return Work::Batches(batches);
        }
        match state.messages.pop_front() {
            Some(Message::Query(query, then)) => Work::Query(query, then),
            _ if state.is_closing => Work::Close,
            _ => Work::Nothing,
        }
    }

    /// All batches up to this one are settled.
    pub(crate) fn settle(&self, ticket: u64) {
        let mut state = self.lock();
        state.settled = state.settled.max(ticket);
        let later = state.callbacks.split_off(&(ticket + 1));
        let called = std::mem::replace(&mut state.callbacks, later);
        let mut answers = Vec::new();
        for (of, callbacks) in called {
            let answer = state
                .refused
                .get(&of)
                .map_or(Ok(()), |error| Err(error.clone()));
            answers.extend(callbacks.into_iter().map(|then| (then, answer.clone())));
        }
        drop(state);
        self.changed.notify_all();
        for (then, answer) in answers {
            then(answer);
        }
    }

    /// The server refuses a batch: nothing of it has taken effect.
    pub(crate) fn refuse(&self, ticket: u64, error: Error) {
        let mut state = self.lock();
        state.refused.insert(ticket, error);
        while state.refused.len() > REFUSALS {
            state.refused.pop_first();
        }
        drop(state);
        self.settle(ticket);
    }

    /// There is no connection.
    pub(crate) fn note_away(&self, why: &str) {
        let mut state = self.lock();
        let since = state
            .away
            .as_ref()
            .map_or_else(Instant::now, |(since, _)| *since);
        state.away = Some((since, why.to_owned()));
    }

    /// There is one again.
    pub(crate) fn note_back(&self) {
        self.lock().away = None;
    }

    /// Whether there has been no connection for longer than a call waits.
    pub(crate) fn is_given_up(&self) -> bool {
        let state = self.lock();
        state
            .away
            .as_ref()
            .is_some_and(|(since, _)| since.elapsed() >= self.timeout)
    }

    /// The questions that wait, where there has been no connection for too long.
    pub(crate) fn take_questions(&self) -> Vec<(Query, Answered)> {
        if !self.is_given_up() {
            return Vec::new();
        }
        let mut state = self.lock();
        let (mut kept, mut taken) = (VecDeque::new(), Vec::new());
        for message in std::mem::take(&mut state.messages) {
            match message {
                Message::Query(query, then) => taken.push((query, then)),
                batch => kept.push_back(batch),
            }
        }
        state.messages = kept;
        taken
    }

    /// How the thread of the connection has ended.
    pub(crate) fn ended(&self) -> Result<(), Error> {
        match &self.lock().failed {
            None | Some(Error::Closed) => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().is_closing
    }

    pub(crate) fn leaves(&self) -> bool {
        self.lock().leaves
    }

    /// Nothing more is accepted, and whoever waits gets this error.
    pub(crate) fn fail(&self, error: &Error) {
        let mut state = self.lock();
        state.failed.get_or_insert_with(|| error.clone());
        let callbacks = std::mem::take(&mut state.callbacks);
        let messages = std::mem::take(&mut state.messages);
        drop(state);
        self.changed.notify_all();
        for then in callbacks.into_values().flatten() {
            then(Err(error.clone()));
        }
        for message in messages {
            if let Message::Query(_, then) = message {
                then(Err(error.clone()));
            }
        }
    }
}

impl State {
    fn check_open(&self) -> Result<(), Error> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.is_closing => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Withdraw a batch of new jobs that has waited for the server for too long, and was not sent.
    fn give_up(&mut self, ticket: u64, timeout: Duration) -> Option<Error> {
        let (since, why) = self.away.as_ref()?;
        if since.elapsed() < timeout {
            return None;
        }
        let why = why.clone();
        let at = self.messages.iter().position(|message| match message {
            Message::Batch(batch) => batch.ticket == ticket,
            Message::Query(..) => false,
        })?;
        let Some(Message::Batch(batch)) = self.messages.get_mut(at) else {
            return None;
        };
        let is_new = batch
            .ops
            .iter()
            .all(|(op, _)| matches!(op, Op::Insert(_) | Op::Yield(_)));
        if !is_new {
            return None;
        }
        // Its place stays, so that tickets settle in order.
        batch.ops.clear();
        Some(Error::Unavailable(why))
    }
}
