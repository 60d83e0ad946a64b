//! A store in memory that many nodes share, with bad weather: the simplest that does all that
//! the boundary leaves room for. Claims are kept under the epoch of a node's lease.

use crate::Error;
use crate::{
    Answer, Answered, DeadJob, DeadPage, Ending, Event, Events, Found, Grant, Job, Op, Page, Place,
    Query, Reason, Settled, Store, Ticket,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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

#[derive(Clone, Debug)]
struct Row {
    job: Job<'static>,
    /// Under which epoch it is claimed.
    owner: Option<u64>,
    begun: bool,
}

#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<Place, Row>,
    dead: Vec<DeadJob>,
    /// The ids of what was done, deleted or cancelled.
    over: Vec<String>,
    epochs: u64,
    /// Those whose nodes end in order.
    left: BTreeSet<u64>,
    max_interruptions: u32,
}

type Nodes = Vec<(u64, Arc<Events>)>;

/// What the nodes share.
#[derive(Clone)]
pub struct SharedJobs {
    table: Arc<Mutex<Table>>,
    /// The nodes that hear of what is available, by number.
    nodes: Arc<Mutex<Nodes>>,
    poll: Duration,
}

impl SharedJobs {
    /// Nothing.
    pub fn new(max_interruptions: u32) -> Self {
        SharedJobs {
            table: Arc::new(Mutex::new(Table {
                max_interruptions,
                ..Table::default()
            })),
            nodes: Arc::default(),
            poll: Duration::from_secs(1),
        }
    }

    /// The same, for nodes that ask for pages so seldom if they are told of none.
    pub fn polled(self, poll: Duration) -> Self {
        SharedJobs { poll, ..self }
    }

    /// The ids of the jobs that have ended and are not dead, in that order.
    pub fn over(&self) -> Vec<String> {
        self.lock().over.clone()
    }

    /// How many jobs are stored, running ones included.
    pub fn stored(&self) -> usize {
        self.lock().rows.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tell the other nodes of a job that is no node's.
    fn tell(&self, node: u64, due: i64) {
        let others = self.nodes().clone();
        for (_, events) in others.iter().filter(|(other, _)| *other != node) {
            events(Event::Available(due));
        }
    }
}

impl Table {
    /// The place of a job that is this epoch's.
    fn own(&self, seq: u64, epoch: u64) -> Option<Place> {
        let mine = |row: &&Row| row.job.place.seq == seq && row.owner == Some(epoch);
        self.rows.values().find(mine).map(|row| row.job.place)
    }

    fn find(&self, id: &str) -> Option<&Row> {
        self.rows.values().find(|row| row.job.id == id)
    }

    fn put(&mut self, job: Job<'static>, owner: Option<u64>) {
        let begun = false;
        self.rows.insert(job.place, Row { job, owner, begun });
    }

    fn end(&mut self, at: Place) -> bool {
        let ended = self.rows.remove(&at);
        let id = ended.map(|row| row.job.id.into_owned());
        let there = id.is_some();
        self.over.extend(id);
        there
    }

    fn bury(&mut self, at: Place, reason: Reason, error: &str, died: i64) {
        if let Some(row) = self.rows.remove(&at) {
            self.dead.push(DeadJob {
                number: self.dead.last().map_or(1, |dead| dead.number + 1),
                job: row.job,
                reason,
                error: error.to_owned(),
                died,
            });
        }
    }

    /// What was claimed under a lease is everybody's, what had begun interrupted; their sequences.
    fn expire(&mut self, epoch: u64, mut which: impl FnMut() -> bool) -> Vec<u64> {
        let places: Vec<Place> = self
            .rows
            .values()
            .filter(|row| row.owner == Some(epoch) && which())
            .map(|row| row.job.place)
            .collect();
        let interruptions = u32::from(!self.left.contains(&epoch));
        for &place in &places {
            let limit = self.max_interruptions;
            let Some(row) = self.rows.get_mut(&place) else {
                continue;
            };
            row.owner = None;
            if std::mem::take(&mut row.begun) {
                row.job.interruptions += interruptions;
                if row.job.options.at_most_once || row.job.interruptions >= limit {
                    self.bury(place, Reason::Interrupted, "its node was lost", 0);
                } else {
                    row.job.progress.run = row.job.progress.run.saturating_add(1);
                }
            }
        }
        places.into_iter().map(|place| place.seq).collect()
    }

    fn apply(&mut self, op: Op<'static>, epoch: u64) {
        // What is no longer this node's is not changed: its new owner decides.
        let seq = match &op {
            Op::Insert(job) => return self.put(job.clone(), Some(epoch)),
            Op::Leave => {
                self.left.insert(epoch);
                return;
            }
            Op::Delete(seq) | Op::Release(seq) | Op::Yield(seq) => *seq,
            Op::Move { seq, .. } | Op::Begin { seq, .. } | Op::Finish { seq, .. } => *seq,
        };
        let Some(at) = self.own(seq, epoch) else {
            return;
        };
        match op {
            Op::Insert(_) | Op::Leave => {}
            Op::Delete(_) => {
                self.end(at);
            }
            Op::Move { to, clock, .. } => self.shift(at, to, Some(epoch), |job| job.clock = clock),
            Op::Begin { .. } => self.row(at, |row| row.begun = true),
            Op::Release(_) => self.row(at, |row| row.begun = false),
            Op::Yield(_) => self.row(at, |row| row.owner = None),
            Op::Finish { outcome, .. } => match outcome {
                Ending::Done => {
                    self.end(at);
                }
                Ending::Again {
                    to,
                    clock,
                    progress,
                } => self.shift(at, to, Some(epoch), |job| {
                    (job.clock, job.progress) = (clock, progress);
                }),
                Ending::Dead {
                    reason,
                    error,
                    died,
                } => self.bury(at, reason, &error, died),
            },
        }
    }

    fn row(&mut self, at: Place, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut(&at) {
            change(row);
        }
    }

    fn shift(
        &mut self,
        at: Place,
        to: Place,
        owner: Option<u64>,
        change: impl FnOnce(&mut Job<'static>),
    ) {
        if let Some(Row { mut job, .. }) = self.rows.remove(&at) {
            job.place = to;
            change(&mut job);
            self.put(job, owner);
        }
    }

    fn answer(&mut self, query: Query, epoch: u64) -> Result<Answer, Error> {
        // Of jobs of other nodes nobody here can say that they will not start.
        let free = |row: &Row| !row.begun && row.owner.is_none_or(|owner| owner == epoch);
        Ok(match query {
            Query::Page { until, limit, .. } => {
                let free = |row: &&mut Row| row.owner.is_none() && row.job.place.due < until;
                let mut jobs = Vec::new();
                let mut rows = self.rows.values_mut().filter(free);
                for row in rows.by_ref().take(limit) {
                    row.owner = Some(epoch);
                    jobs.push(row.job.clone());
                }
                let more = rows.next().is_some();
                Answer::Page(Page {
                    last: jobs.last().map(|job| job.place),
                    jobs,
                    unreadable: Vec::new(),
                    more,
                    epoch,
                })
            }
            Query::Get(id) => Answer::Job(self.find(&id).map(|row| row.job.clone())),
            Query::Insert(jobs) => {
                for (at, job) in jobs.iter().enumerate() {
                    let twice = jobs[..at].iter().any(|other| other.id == job.id);
                    if twice || self.find(&job.id).is_some() {
                        return Err(Error::Duplicate(job.id.to_string()));
                    }
                }
                for job in jobs {
                    self.put(job, Some(epoch));
                }
                Answer::Done
            }
            Query::Cancel(id) => match self.find(&id).filter(|row| free(row)) {
                Some(row) => {
                    let place = row.job.place;
                    Answer::Changed(self.end(place))
                }
                None => Answer::Changed(false),
            },
            Query::Move { id, to, clock } => match self.find(&id).filter(|row| free(row)) {
                Some(row) => {
                    let (place, owner) = (row.job.place, row.owner);
                    self.shift(place, to, owner, |job| job.clock = clock);
                    Answer::Changed(true)
                }
                None => Answer::Changed(false),
            },
            Query::Dead { before, limit } => {
                let older = |dead: &&DeadJob| before.is_none_or(|before| dead.number < before);
                let dead = self.dead.iter().rev().filter(older);
                let jobs: Vec<DeadJob> = dead.take(limit).cloned().collect();
                let full = jobs.last().filter(|_| jobs.len() == limit);
                Answer::Dead(DeadPage {
                    last: full.map(|dead| dead.number),
                    unreadable: Vec::new(),
                    jobs,
                })
            }
            Query::Revive { id, to, clock } => {
                let Some(at) = self.dead.iter().rposition(|dead| dead.job.id == id) else {
                    return Ok(Answer::Job(None));
                };
                if self.find(&id).is_some() {
                    return Err(Error::Duplicate(id));
                }
                let mut job = self.dead.remove(at).job;
                (job.place, job.clock) = (to, clock);
                (job.progress, job.interruptions) = (job.progress.revived(), 0);
                self.put(job.clone(), Some(epoch));
                Answer::Job(Some(job))
            }
            Query::Purge(before) => {
                let all = self.dead.len();
                let kept = |dead: &DeadJob| before.is_some_and(|before| dead.died >= before);
                self.dead.retain(kept);
                Answer::Count((all - self.dead.len()) as u64)
            }
        })
    }
}

enum Message {
    Batch(u64, Vec<Op<'static>>),
    /// It has taken effect, which the node has yet to find out.
    InDoubt(u64),
    Query(Query, Answered),
}

#[derive(Default)]
struct Post {
    sent: u64,
    settled: u64,
    messages: VecDeque<Message>,
    callbacks: Vec<(u64, Settled)>,
    closing: bool,
}

struct Shared {
    post: Mutex<Post>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One node's store over what is shared.
pub struct SharedStore {
    shared: Arc<Shared>,
    found: Found,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What is driven by hand.
    node: Option<Mutex<Node>>,
}

/// What takes messages to what is shared.
struct Node {
    jobs: SharedJobs,
    weather: Weather,
    events: Arc<Events>,
    number: u64,
    epoch: u64,
    random: u64,
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
        let mut node = node.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Node {
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn run(&mut self, shared: &Shared) {
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

    fn leave(&self) {
        self.jobs.lock().expire(self.epoch, || true);
        self.jobs.nodes().retain(|(node, _)| *node != self.number);
    }

    /// What is taken back before a message: the node hears of it before anything is answered.
    fn take_back(&mut self) {
        let (lost, revoked) = (self.random() % 1000, self.random() % 1000);
        let mut table = self.jobs.lock();
        if lost < self.weather.lost_leases {
            table.expire(self.epoch, || true);
            table.epochs += 1;
            let lost = std::mem::replace(&mut self.epoch, table.epochs);
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

    fn deliver(&mut self, shared: &Shared) {
        let mut post = shared.lock();
        let Some(message) = post.messages.pop_front() else {
            return;
        };
        drop(post);
        self.take_back();
        let doubt = self.random() % 100 < self.weather.doubts;
        match message {
            Message::Batch(number, ops) => {
                if let Some(due) = self.apply(ops) {
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
                if !matches!(query, Query::Page { .. }) && self.random().is_multiple_of(2) {
                    let _ = self.jobs.lock().answer(query, self.epoch);
                }
                then(Err(Error::InDoubt));
            }
            Message::Query(query, then) => {
                let answer = self.jobs.lock().answer(query, self.epoch);
                then(answer);
            }
        }
    }

    /// Make a batch true; when the first of the jobs is due that it yields.
    fn apply(&self, ops: Vec<Op<'static>>) -> Option<i64> {
        let mut table = self.jobs.lock();
        let mut yielded = None;
        for op in ops {
            let own = match op {
                Op::Yield(seq) => table.own(seq, self.epoch),
                _ => None,
            };
            let due = own.map(|place| place.due);
            yielded = yielded.into_iter().chain(due).min();
            table.apply(op, self.epoch);
        }
        yielded
    }
}

impl Shared {
    /// All batches up to this one are settled.
    fn settle(&self, number: u64) {
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

fn owned(op: &Op<'_>) -> Op<'static> {
    match op.clone() {
        Op::Insert(job) => Op::Insert(job.into_owned()),
        Op::Delete(seq) => Op::Delete(seq),
        Op::Move { seq, to, clock } => Op::Move { seq, to, clock },
        Op::Begin { seq, at } => Op::Begin { seq, at },
        Op::Release(seq) => Op::Release(seq),
        Op::Yield(seq) => Op::Yield(seq),
        Op::Leave => Op::Leave,
        Op::Finish { seq, outcome } => Op::Finish {
            seq,
            outcome: match outcome {
                Ending::Done => Ending::Done,
                Ending::Again {
                    to,
                    clock,
                    progress,
                } => Ending::Again {
                    to,
                    clock,
                    progress,
                },
                Ending::Dead {
                    reason,
                    error,
                    died,
                } => Ending::Dead {
                    reason,
                    error: error.into_owned().into(),
                    died,
                },
            },
        },
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
        let ops = batch.iter().map(owned).collect();
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
        let page = matches!(query, Query::Page { .. });
        post.messages.push_back(Message::Query(query, then));
        drop(post);
        self.shared.changed.notify_all();
        // By hand nobody else would answer, and whoever asks may wait; pages alone come by mail.
        while self.node.is_some() && !page && self.step() {}
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
