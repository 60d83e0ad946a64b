//! What takes the messages of a node to what is shared, in bad weather.

use super::jobs::SharedJobs;
use crate::{Answer, Answered, Error, Event, Events, Op, Query, Settled};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens between a node and what is shared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// What a message takes at most.
    pub delay: Duration,
    /// Of 100 messages, how many are lost and sent again.
    pub drops: u64,
    /// Of 100 messages that have arrived, of how many the reply is lost with the connection.
    pub doubts: u64,
    /// Of 1,000 messages, before how many the lease is lost.
    pub lost_leases: u64,
    /// Of 1,000 messages, before how many about half of what is claimed is revoked.
    pub revocations: u64,
    /// What it all comes from.
    pub seed: u64,
}

pub(super) enum Message {
    Batch(u64, Vec<Op<'static>>),
    /// It has taken effect, which the node has yet to find out.
    InDoubt(u64),
    Query(Query, Answered),
}

#[derive(Default)]
pub(super) struct Post {
    pub(super) sent: u64,
    pub(super) settled: u64,
    pub(super) messages: VecDeque<Message>,
    pub(super) callbacks: Vec<(u64, Settled)>,
    pub(super) closing: bool,
}

pub(super) struct Shared {
    pub(super) post: Mutex<Post>,
    pub(super) changed: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What takes messages to what is shared.
pub(super) struct Node {
    pub(super) jobs: SharedJobs,
    pub(super) weather: Weather,
    pub(super) events: Arc<Events>,
    pub(super) number: u64,
    pub(super) epoch: u64,
    pub(super) random: u64,
}

impl Node {
    pub(super) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    pub(super) fn run(&mut self, shared: &Shared) {
        loop {
            let post = shared.lock();
            if post.messages.is_empty() {
                if post.closing {
                    break;
                }
                drop(shared.changed.wait(post));
                continue;
            }
            drop(post);
            // A message that is lost is sent again, after a while.
            while !self.weather.delay.is_zero() {
                let part = (self.random() % 100) as f64 / 100.0;
                std::thread::sleep(self.weather.delay.mul_f64(part));
                if self.random() % 100 >= self.weather.drops {
                    break;
                }
            }
            self.deliver(shared);
        }
        self.leave();
    }

    pub(super) fn leave(&self) {
        let mut table = self.jobs.lock();
        table.expire(self.epoch, || true);
        table.declare_again(self.epoch, None);
        drop(table);
        self.jobs.nodes().retain(|(node, _)| *node != self.number);
    }

    /// What is taken back before a message: its event comes before anything is answered.
    pub(super) fn take_back(&mut self) {
        let (lost, revoked) = (self.random() % 1000, self.random() % 1000);
        let mut table = self.jobs.lock();
        if lost < self.weather.lost_leases {
            table.expire(self.epoch, || true);
            table.epochs += 1;
            let lost = std::mem::replace(&mut self.epoch, table.epochs);
            table.declare_again(lost, Some(self.epoch));
            drop(table);
            (self.events)(Event::LeaseLost(lost));
        } else if revoked < self.weather.revocations {
            let mut coins = revoked.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.random;
            let revoked = table.expire(self.epoch, || {
                coins = coins.rotate_left(7).wrapping_mul(5);
                coins >> 63 == 0
            });
            drop(table);
            (self.events)(Event::Revoked(revoked));
        }
    }

    pub(super) fn deliver(&mut self, shared: &Shared) {
        let mut post = shared.lock();
        let Some(message) = post.messages.pop_front() else {
            return;
        };
        drop(post);
        self.take_back();
        let doubt = self.random() % 100 < self.weather.doubts;
        match message {
            Message::Batch(number, ops) => {
                let (due, lost) = self.apply(ops);
                if !lost.is_empty() {
                    (self.events)(Event::Revoked(lost));
                }
                if let Some(due) = due {
                    self.jobs.tell(self.number, due);
                }
                if doubt {
                    let in_doubt = Message::InDoubt(number);
                    shared.lock().messages.push_front(in_doubt);
                } else {
                    shared.settle(number);
                }
            }
            Message::InDoubt(number) => shared.settle(number),
            Message::Query(query, then) if doubt => {
                // What a page would have claimed is given back.
                if !is_claim(&query) && self.random().is_multiple_of(2) {
                    let pauses = matches!(query, Query::SetPaused { .. });
                    let _ = self.jobs.lock().answer(query, self.epoch);
                    if pauses {
                        self.jobs.tell_paused();
                    }
                }
                then(Err(Error::InDoubt));
            }
            Message::Query(query, then) => {
                let pauses = matches!(query, Query::SetPaused { .. });
                let (answer, lost) = self.answer(query);
                if !lost.is_empty() {
                    (self.events)(Event::Revoked(lost));
                }
                if pauses {
                    self.jobs.tell_paused();
                }
                then(answer);
            }
        }
    }

    /// The answer, and under which sequences this node held what it claims with it, and was taken from it meanwhile.
    fn answer(&self, query: Query) -> (Result<Answer, Error>, Vec<u64>) {
        let claims = is_claim(&query);
        if let Query::Recall(id) = &query {
            self.jobs.tell_wanted(id);
        }
        let mut table = self.jobs.lock();
        let answer = table.answer(query, self.epoch);
        let mut lost = Vec::new();
        if let (true, Ok(Answer::Page(page))) = (claims, &answer) {
            let is_again = |id: &str| page.jobs.iter().any(|job| job.id == id);
            table.untold.retain(|(epoch, id, seq)| {
                let told = *epoch == self.epoch && is_again(id);
                lost.extend(told.then_some(*seq));
                !told
            });
        }
        (answer, lost)
    }

    /// Make a batch true; when the first of the jobs is due that it yields, and what it marks that is not this node's.
    pub(super) fn apply(&self, ops: Vec<Op<'static>>) -> (Option<i64>, Vec<u64>) {
        let mut table = self.jobs.lock();
        let (mut yielded, mut lost) = (None, Vec::new());
        for op in ops {
            let own = match op {
                Op::Yield(seq) => table.own(seq, self.epoch),
                Op::Begin { seq, .. } => {
                    let is_own = table.own(seq, self.epoch).is_some();
                    lost.extend((!is_own).then_some(seq));
                    None
                }
                _ => None,
            };
            let due = own.map(|place| place.due);
            yielded = yielded.into_iter().chain(due).min();
            table.apply(op, self.epoch);
        }
        (yielded, lost)
    }
}

impl Shared {
    /// All batches up to this one are settled.
    pub(super) fn settle(&self, number: u64) {
        let mut post = self.lock();
        post.settled = number;
        let mut called = Vec::new();
        let mut at = 0;
        while at < post.callbacks.len() {
            if post.callbacks[at].0 <= number {
                called.push(post.callbacks.swap_remove(at).1);
            } else {
                at += 1;
            }
        }
        drop(post);
        self.changed.notify_all();
        called.into_iter().for_each(|then| then(Ok(())));
    }
}

/// Whether the answer claims jobs, and is taken in by an engine when it comes.
pub(super) fn is_claim(query: &Query) -> bool {
    matches!(query, Query::Claim { .. })
}
