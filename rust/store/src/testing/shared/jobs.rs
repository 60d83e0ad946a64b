//! What the nodes share: jobs, each claimed under the epoch of a node's lease or under none.

use super::kept::keep_of;
use super::puts::Follow;
use super::repeats::Changed;
use crate::testing::model::{edit, follow, stand};
use crate::{
    Answer, DeadJob, DeadPage, Ending, Error, Event, Events, Job, Kept, Op, Over, Page, Place,
    Query, Reason, StoredOutcome,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) job: Job<'static>,
    /// Under which epoch it is claimed.
    pub(super) owner: Option<u64>,
    pub(super) begun: bool,
    /// What was done to a repeat while it runs.
    pub(super) changed: Changed,
    /// What follows it, where it was changed while it runs and does not come again by itself.
    pub(super) follow: Option<Follow>,
    /// Another one with each change.
    pub(super) version: u64,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<Place, Row>,
    pub(super) dead: Vec<DeadJob>,
    /// How jobs have ended, as long as that is kept.
    pub(super) kept: BTreeMap<String, Kept>,
    /// The ids of what was done, deleted or cancelled.
    pub(super) over: Vec<String>,
    pub(super) epochs: u64,
    pub(super) versions: u64,
    /// How many were changed while they ran, and have come as they were changed.
    pub(super) followed: u64,
    /// The targets that are paused.
    pub(super) paused: BTreeSet<String>,
    /// The repeats that each epoch declares.
    pub(super) declared: BTreeSet<(u64, String)>,
    /// What was taken from an epoch that has not been told: its id and sequence there.
    pub(super) untold: Vec<(u64, String, u64)>,
    /// Those whose nodes end in order.
    pub(super) left: BTreeSet<u64>,
    pub(super) max_interruptions: u32,
}

pub(super) type Nodes = Vec<(u64, Arc<Events>)>;

/// What the nodes share.
#[derive(Clone)]
pub struct SharedJobs {
    pub(super) table: Arc<Mutex<Table>>,
    /// The nodes that get events of what is available, by number.
    pub(super) nodes: Arc<Mutex<Nodes>>,
    pub(super) poll: Duration,
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

    /// The same, for nodes that ask for pages so seldom if no event says that one is to be had.
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tell who holds a job that another node asks for it: no other node has its sequence.
    pub(super) fn tell_wanted(&self, id: &str) {
        let seq = self.lock().find(id).map(|row| row.job.place.seq);
        for (_, events) in self.nodes().clone() {
            events(Event::Wanted(seq.into_iter().collect()));
        }
    }

    /// Tell all nodes which targets are paused.
    pub(super) fn tell_paused(&self) {
        let paused: Vec<String> = self.lock().paused.iter().cloned().collect();
        for (_, events) in self.nodes().clone() {
            events(Event::Paused(paused.clone()));
            events(Event::Available(i64::MIN));
        }
    }

    /// Send the other nodes the event of a job that is no node's.
    pub(super) fn tell(&self, node: u64, due: i64) {
        let others = self.nodes().clone();
        for (_, events) in others.iter().filter(|(other, _)| *other != node) {
            events(Event::Available(due));
        }
    }
}

impl Table {
    /// The place of a job that is this epoch's.
    pub(super) fn own(&self, seq: u64, epoch: u64) -> Option<Place> {
        let mine = |row: &&Row| row.job.place.seq == seq && row.owner == Some(epoch);
        self.rows.values().find(mine).map(|row| row.job.place)
    }

    pub(super) fn find(&self, id: &str) -> Option<&Row> {
        self.rows.values().find(|row| row.job.id == id)
    }

    pub(super) fn put(&mut self, job: Job<'static>, owner: Option<u64>) {
        self.versions += 1;
        let row = Row {
            job,
            owner,
            begun: false,
            changed: Changed::No,
            follow: None,
            version: self.versions,
        };
        self.rows.insert(row.job.place, row);
    }

    pub(super) fn end(&mut self, at: Place) -> bool {
        let ended = self.rows.remove(&at);
        let id = ended.map(|row| row.job.id.into_owned());
        let there = id.is_some();
        self.over.extend(id);
        there
    }

    /// A copy of it is among the dead.
    pub(super) fn bury(&mut self, at: Place, reason: Reason, error: &str, died: i64) {
        if let Some(row) = self.rows.get(&at) {
            self.dead.push(DeadJob {
                number: self.dead.last().map_or(1, |dead| dead.number + 1),
                job: row.job.clone(),
                reason,
                error: error.to_owned(),
                died,
            });
        }
    }

    pub(super) fn apply(&mut self, op: Op<'static>, epoch: u64) {
        // What is no longer this node's is not changed: its new owner decides.
        let seq = match &op {
            Op::Insert(job) => return self.put(job.clone(), Some(epoch)),
            Op::Inherited(_) => return, // a store of one process owes
            Op::Leave => {
                self.left.insert(epoch);
                return;
            }
            Op::Edit(job) => job.place.seq,
            Op::Delete(seq) | Op::Release(seq) | Op::Yield(seq) => *seq,
            Op::Move { seq, .. } | Op::Begin { seq, .. } | Op::Finish { seq, .. } => *seq,
            Op::Stand { seq, .. } | Op::Keep { seq, .. } => *seq,
        };
        let Some(at) = self.own(seq, epoch) else {
            return;
        };
        match op {
            Op::Insert(_) | Op::Leave | Op::Inherited(_) => {}
            Op::Delete(_) => {
                self.end(at);
            }
            Op::Move { to, clock, .. } => self.shift(at, to, Some(epoch), |job| job.clock = clock),
            Op::Edit(job) => self.row(at, |row| edit(&mut row.job, job)),
            Op::Stand {
                job_due, standing, ..
            } => self.row(at, |row| stand(&mut row.job, job_due, *standing)),
            Op::Begin { .. } => self.row(at, |row| row.begun = true),
            Op::Release(_) => self.release(at),
            Op::Keep { kept, .. } => self.keep_at(at, *kept),
            Op::Yield(_) => {
                self.row(at, |row| (row.owner, row.begun) = (None, false));
                self.come_changed(at, false);
            }
            Op::Finish { outcome, .. } => {
                let outcome = match self.close_repeat(at, outcome) {
                    Some(outcome) => outcome,
                    None => return,
                };
                self.finish(at, outcome, epoch);
            }
        }
    }

    fn finish(&mut self, at: Place, outcome: Ending<'static>, epoch: u64) {
        match outcome {
            Ending::Done => {
                if !self.is_followed(at) {
                    self.end(at);
                }
            }
            Ending::Again {
                to,
                clock,
                progress,
            } => {
                let follow = self.rows.get(&at).and_then(|row| row.follow);
                self.shift(at, to, Some(epoch), |job| {
                    (job.clock, job.progress) = (clock, progress);
                });
                self.row(to, |row| row.follow = follow);
                self.come_changed(to, false);
            }
            Ending::Dead {
                reason,
                error,
                died,
                next,
            } => {
                self.bury(at, reason, &error, died);
                match next {
                    Some(next) => {
                        self.shift(at, next.to, Some(epoch), |job| follow(job, &next));
                    }
                    None if self.is_followed(at) => {}
                    None => drop(self.rows.remove(&at)),
                }
            }
            Ending::Next(next) => {
                self.shift(at, next.to, Some(epoch), |job| follow(job, &next));
            }
        }
    }

    pub(super) fn row(&mut self, at: Place, change: impl FnOnce(&mut Row)) {
        self.versions += 1;
        if let Some(row) = self.rows.get_mut(&at) {
            row.version = self.versions;
            change(row);
        }
    }

    pub(super) fn shift(
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

    pub(super) fn answer(&mut self, query: Query, epoch: u64) -> Result<Answer, Error> {
        // Of jobs of other nodes nobody here can say that they will not start, but of repeats, which are marked before.
        let free = |row: &Row| {
            let is_own = row.owner.is_none_or(|owner| owner == epoch);
            !row.begun && (is_own || row.job.repeat.is_some())
        };
        Ok(match query {
            Query::Page {
                target,
                after,
                until,
                limit,
            } => {
                let is_there = |row: &&Row| {
                    let place = row.job.place;
                    let is_of_it = target
                        .as_ref()
                        .is_none_or(|target| row.job.target == *target);
                    is_of_it
                        && !row.begun
                        && after.is_none_or(|after| place > after)
                        && place.due < until
                };
                let mut rows = self.rows.values().filter(is_there);
                let jobs: Vec<_> = rows
                    .by_ref()
                    .take(limit)
                    .map(|row| row.job.clone())
                    .collect();
                Answer::Page(Page {
                    last: jobs.last().map(|job| job.place),
                    jobs,
                    unreadable: Vec::new(),
                    more: rows.next().is_some(),
                    epoch,
                })
            }
            Query::Claim {
                targets,
                limited,
                until,
                limit,
            } => {
                let page = self.claim_page(epoch, (&targets, limited), until, limit);
                Answer::Page(page)
            }
            // They come with claims, to one node each.
            Query::Repeats { .. } => Answer::Page(Page {
                epoch,
                ..Page::default()
            }),
            Query::Get(id) => Answer::Job(self.find(&id).map(|row| row.job.clone())),
            Query::Pending(id) => {
                let row = self.find(&id).filter(|row| !row.begun);
                Answer::Job(row.map(|row| row.job.clone()))
            }
            Query::Unfinished(targets) => {
                let rows = self.rows.values();
                let is_of = |row: &&Row| targets.iter().any(|target| *target == row.job.target);
                let is_awaited = |row: &&Row| {
                    let is_paused = self.paused.contains(&*row.job.target);
                    !row.waits_for_ever() && (row.begun || !is_paused)
                };
                Answer::Count(rows.filter(is_of).filter(is_awaited).count() as u64)
            }
            Query::Count => {
                let pending = self.rows.values().filter(|row| !row.begun);
                Answer::Count(pending.count() as u64)
            }
            Query::Targets => {
                let mut targets = BTreeMap::<String, u64>::new();
                for row in self.rows.values() {
                    *targets.entry(row.job.target.to_string()).or_default() += 1;
                }
                Answer::Targets(targets.into_iter().collect())
            }
            Query::TargetOf(id) => {
                let found = self.find(&id).map(|row| &row.job);
                Answer::TargetOf(found.map(|job| (job.target.to_string(), job.place.seq)))
            }
            Query::SetPaused { target, paused } => Answer::Changed(if paused {
                self.paused.insert(target)
            } else {
                self.paused.remove(&target)
            }),
            Query::PausedTargets => Answer::Ids(self.paused.iter().cloned().collect()),
            Query::Put {
                job,
                replaces,
                runs,
            } => return self.place_over(*job, (replaces, runs), epoch),
            Query::TrimDead { .. } | Query::Owed { .. } | Query::OwedTargets => {
                let why = "this is asked of a store of one process";
                return Err(Error::Io(why.into()));
            }
            // Who holds it is told by who delivers this, and gives it back to anybody.
            Query::Recall(_) => Answer::Done,
            // It has leases, and no names for them.
            Query::Nodes => Answer::Nodes(Vec::new()),
            Query::Insert(jobs) => {
                for (at, job) in jobs.iter().enumerate() {
                    let twice = jobs[..at].iter().any(|other| other.id == job.id);
                    let is_kept = self.kept_at(&job.id, job.created).is_some();
                    if twice || is_kept || self.find(&job.id).is_some() {
                        return Err(Error::Duplicate(job.id.to_string()));
                    }
                }
                for job in jobs {
                    self.put(job, Some(epoch));
                }
                Answer::Done
            }
            Query::Cancel { id, at } => match self.find(&id).filter(|row| free(row)) {
                Some(row) => {
                    let (place, job) = (row.job.place, row.job.clone());
                    let target = job.target.to_string();
                    self.keep_of(&job, Over::Cancelled, "", at);
                    self.take_back(place);
                    self.end(place);
                    Answer::Cancelled(target)
                }
                None => match self.end_running(&id) {
                    Some(target) => Answer::Cancelled(target),
                    None => Answer::Changed(false),
                },
            },
            Query::Move { id, to, clock } => match self.find(&id).filter(|row| free(row)) {
                Some(row) => {
                    let (place, owner) = (row.job.place, row.owner);
                    let owner = owner.filter(|owner| *owner == epoch);
                    self.take_back(place);
                    self.shift(place, to, owner, |job| job.clock = clock);
                    Answer::Changed(true)
                }
                None => Answer::Changed(false),
            },
            Query::Dead {
                which,
                before,
                limit,
            } => {
                let older = |dead: &&DeadJob| {
                    before.is_none_or(|before| dead.number < before)
                        && which.has_id(|id| dead.job.id == id)
                        && which.has(&dead.job.target, dead.died)
                };
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
                self.forget_death(&id);
                if self.find(&id).is_some() || self.kept_at(&id, to.due).is_some() {
                    return Err(Error::Duplicate(id));
                }
                let mut job = self.dead.remove(at).job;
                (job.place, job.clock) = (to, clock);
                (job.progress, job.interruptions) = (job.progress.revived(), 0);
                job.repeat = None;
                self.put(job.clone(), Some(epoch));
                Answer::Job(Some(job))
            }
            Query::Outcome { id, now } => {
                let keeps = |row: &Row| keep_of(&row.job).is_some();
                let pending = self.find(&id).map(|row| StoredOutcome::Pending(keeps(row)));
                let kept = || self.kept_at(&id, now).cloned().map(Box::new);
                let found = pending.or_else(|| kept().map(StoredOutcome::Kept));
                Answer::Outcome(found.unwrap_or(StoredOutcome::Unknown))
            }
            Query::Repeat(id) => Answer::Repeat(self.stored_repeat(&id)),
            Query::RepeatIds => {
                let repeats = self.rows.values().filter(|row| row.job.repeat.is_some());
                Answer::Ids(repeats.map(|row| row.job.id.to_string()).collect())
            }
            Query::Amend { was, to } => Answer::Changed(self.amend(&was, to)),
            Query::Declare { id, .. } => {
                self.declared.insert((epoch, id));
                Answer::Done
            }
            Query::Purge { before, ids } => {
                let all = self.dead.len();
                let of_id = |dead: &DeadJob| {
                    let named = |ids: &Vec<String>| ids.iter().any(|id| *id == dead.job.id);
                    ids.as_ref().is_none_or(named)
                };
                let in_time = |dead: &DeadJob| before.is_none_or(|before| dead.died < before);
                self.dead.retain(|dead| !(of_id(dead) && in_time(dead)));
                Answer::Count((all - self.dead.len()) as u64)
            }
        })
    }
}
