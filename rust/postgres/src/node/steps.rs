//! What batches do, job by job, with the jobs known by their ids in the tables.

use crate::node::held::Held;
use crate::tables::names::key_of;
use crate::tables::rows::NewRow;
use duewheel_store::{ClockKind, Ending, Kept, Next, Op, Place, Progress, Reason, Standing};
use std::collections::HashMap;
use uuid::Uuid;

/// A batch whose jobs are known by their ids in the tables.
pub(crate) struct Resolved {
    pub(crate) ticket: u64,
    pub(super) steps: Vec<Step>,
    /// What was to be marked as started and is not this node's.
    pub(super) unheld: Vec<u64>,
    /// Where the last step on each job is.
    last: HashMap<Uuid, usize>,
}

/// An operation on one job that this node holds, or brings.
pub(super) enum Step {
    Insert(Box<NewRow>),
    Begin {
        id: Uuid,
        seq: u64,
        at: i64,
    },
    Release(Uuid),
    GiveBack(Uuid),
    Over(Uuid),
    /// A repeat, before its end: others may have cancelled or amended it while it ran. `ends`: it is no retry; `ended`: what
    /// was found as next.
    Close {
        id: Uuid,
        ends: bool,
        ended: Option<Box<Standing>>,
    },
    Again {
        id: Uuid,
        to: Place,
        clock: ClockKind,
        progress: Progress,
        keeps: bool,
    },
    Move {
        id: Uuid,
        to: Place,
        clock: ClockKind,
        keeps: bool,
    },
    Next {
        id: Uuid,
        next: Box<Next>,
        keeps: bool,
    },
    Bury {
        id: Uuid,
        reason: Reason,
        died: i64,
        error: String,
    },
    /// What is kept of its end, without the result, which is here as it is stored.
    Keep {
        id: Uuid,
        kept: Box<Kept>,
        data: (Vec<u8>, Option<u32>),
    },
    Edit {
        id: Uuid,
        row: Box<NewRow>,
    },
    Stand {
        id: Uuid,
        job_due: i64,
        standing: Box<Standing>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Insert,
    Begin,
    Release,
    GiveBack,
    Over,
    Close,
    Again,
    Move,
    Next,
    Bury,
    Keep,
    Edit,
    Stand,
}

impl Step {
    pub(super) fn of(&self) -> (Kind, Uuid) {
        match self {
            Step::Insert(row) => (Kind::Insert, row.id),
            Step::Begin { id, .. } => (Kind::Begin, *id),
            Step::Release(id) => (Kind::Release, *id),
            Step::GiveBack(id) => (Kind::GiveBack, *id),
            Step::Over(id) => (Kind::Over, *id),
            Step::Close { id, .. } => (Kind::Close, *id),
            Step::Again { id, .. } => (Kind::Again, *id),
            Step::Move { id, .. } => (Kind::Move, *id),
            Step::Next { id, .. } => (Kind::Next, *id),
            Step::Bury { id, .. } => (Kind::Bury, *id),
            Step::Keep { id, .. } => (Kind::Keep, *id),
            Step::Edit { id, .. } => (Kind::Edit, *id),
            Step::Stand { id, .. } => (Kind::Stand, *id),
        }
    }

    /// Let others have the job after this step; `false`: that takes a step of its own.
    fn yields(&mut self) -> bool {
        match self {
            Step::Insert(row) => row.is_held = false,
            Step::Again { keeps, .. } | Step::Move { keeps, .. } | Step::Next { keeps, .. } => {
                *keeps = false;
            }
            _ => return false,
        }
        true
    }

    /// The due of the job, where this node holds it after the step.
    pub(super) fn held_until(&self) -> Option<i64> {
        match self {
            Step::Insert(row) => row.is_held.then_some(row.job.place.due),
            Step::Again { to, keeps, .. } | Step::Move { to, keeps, .. } => keeps.then_some(to.due),
            Step::Next { next, keeps, .. } => keeps.then_some(next.to.due),
            _ => None,
        }
    }
}

/// Sealed payloads and numbers of targets, as the operations of a batch need them.
pub(crate) struct Given<'a> {
    pub(crate) targets: &'a HashMap<String, i32>,
    /// How far the server's clock is ahead of this machine's.
    pub(crate) ahead: i64,
}

impl Given<'_> {
    /// A place on the server's clock: one on the wall clock is as it was given, one that this machine's clock has counted is not.
    pub(crate) fn on_server(&self, to: Place, clock: ClockKind) -> Place {
        match clock {
            ClockKind::Wall => to,
            ClockKind::Boot => Place {
                due: to.due.saturating_add(self.ahead),
                ..to
            },
        }
    }

    fn keep(&self, id: Uuid, mut kept: Box<Kept>, data: (Vec<u8>, Option<u32>)) -> Step {
        for time in [&mut kept.ended, &mut kept.until] {
            *time = time.saturating_add(self.ahead);
        }
        Step::Keep { id, kept, data }
    }

    pub(crate) fn row(
        &self,
        job: duewheel_store::Job<'static>,
        (data, key): (Vec<u8>, Option<u32>),
    ) -> NewRow {
        let mut job = job;
        job.place = self.on_server(job.place, job.clock);
        job.created = job.created.saturating_add(self.ahead);
        let (id, name) = key_of(&job.id);
        NewRow {
            id,
            name: name.map(str::to_owned),
            target: self.targets.get(&*job.target).copied().unwrap_or_default(),
            job,
            data,
            key,
            is_held: true,
        }
    }
}

/// An operation, and the payload or result that it stores and its key.
pub(crate) type Sealed = (Op<'static>, (Vec<u8>, Option<u32>));

impl Resolved {
    /// Know the jobs of a batch by their ids. What this node does not hold any more is left out: its new owner decides.
    pub(crate) fn of(ticket: u64, ops: Vec<Sealed>, given: &Given<'_>, held: &mut Held) -> Self {
        let mut resolved = Resolved {
            ticket,
            steps: Vec::new(),
            unheld: Vec::new(),
            last: HashMap::new(),
        };
        for (op, data) in ops {
            resolved.push(op, data, given, held);
        }
        resolved
    }

    fn push(
        &mut self,
        op: Op<'static>,
        data: (Vec<u8>, Option<u32>),
        given: &Given<'_>,
        held: &mut Held,
    ) {
        let step = match op {
            Op::Leave | Op::Inherited(_) => None, // a file alone owes something of the dead
            Op::Keep { seq, kept } => held.id(seq).map(|id| given.keep(id, kept, data)),
            Op::Insert(job) => {
                let row = given.row(job, data);
                held.insert(row.job.place.seq, row.id);
                if row.job.repeat.is_some() {
                    held.note_repeat(row.id);
                }
                Some(Step::Insert(Box::new(row)))
            }
            Op::Yield(seq) => {
                let id = held.remove(seq).filter(|id| !self.last_yields(*id));
                id.map(Step::GiveBack)
            }
            Op::Delete(seq) => held.remove(seq).map(Step::Over),
            Op::Finish { seq, outcome } => return self.finish(seq, outcome, given, held),
            Op::Begin { seq, at } => {
                let id = held.begin(seq);
                // A mark that is settled counts: so what cannot be marked is said to be lost before.
                self.unheld.extend(id.is_none().then_some(seq));
                id.map(|id| Step::Begin { id, seq, at })
            }
            Op::Release(seq) => {
                self.close(seq, held, false, None);
                held.release(seq).map(Step::Release)
            }
            Op::Move { seq, to, clock } => held.rename(seq, to.seq).map(|id| {
                let to = given.on_server(to, clock);
                let keeps = true;
                Step::Move {
                    id,
                    to,
                    clock,
                    keeps,
                }
            }),
            Op::Edit(job) => held.id(job.place.seq).map(|id| {
                let row = Box::new(given.row(job, data));
                Step::Edit { id, row }
            }),
            Op::Stand {
                seq,
                job_due,
                standing,
            } => held.id(seq).map(|id| Step::Stand {
                id,
                job_due,
                standing,
            }),
        };
        self.add(step);
    }

    fn add(&mut self, step: impl IntoIterator<Item = Step>) {
        for step in step {
            self.last.insert(step.of().1, self.steps.len());
            self.steps.push(step);
        }
    }

    /// Let others have a job by the last step on it; `false`: that takes a step of its own.
    fn last_yields(&mut self, id: Uuid) -> bool {
        let last = self.last.get(&id).copied();
        last.is_some_and(|at| self.steps[at].yields())
    }

    fn finish(&mut self, seq: u64, outcome: Ending<'static>, given: &Given<'_>, held: &mut Held) {
        match outcome {
            Ending::Done => {
                self.close(seq, held, true, None);
                self.add(held.remove(seq).map(Step::Over));
            }
            Ending::Again {
                to,
                clock,
                progress,
            } => {
                self.close(seq, held, false, None);
                let to = given.on_server(to, clock);
                let again = |id| Step::Again {
                    id,
                    to,
                    clock,
                    progress,
                    keeps: true,
                };
                self.add(held.rename(seq, to.seq).map(again));
            }
            Ending::Next(next) => {
                self.close(seq, held, true, Some(next.standing));
                self.follow(seq, next, given, held);
            }
            Ending::Dead {
                reason,
                error,
                died,
                next,
            } => {
                let Some(id) = held.id(seq) else { return };
                let error = error.into_owned();
                self.add([Step::Bury {
                    id,
                    reason,
                    died,
                    error,
                }]);
                let ended = next.as_ref().map(|next| next.standing);
                self.close(seq, held, true, ended);
                match next {
                    Some(next) => self.follow(seq, next, given, held),
                    None => self.add(held.remove(seq).map(Step::Over)),
                }
            }
        }
    }

    fn close(&mut self, seq: u64, held: &Held, ends: bool, ended: Option<Standing>) {
        let ended = ended.map(Box::new);
        let repeat = held.id(seq).filter(|id| held.is_repeat(*id));
        self.add(repeat.map(|id| Step::Close { id, ends, ended }));
    }

    fn follow(&mut self, seq: u64, mut next: Box<Next>, given: &Given<'_>, held: &mut Held) {
        next.to = given.on_server(next.to, next.clock);
        if let Some(id) = held.rename(seq, next.to.seq) {
            self.add([Step::Next {
                id,
                next,
                keeps: true,
            }]);
        }
    }

    /// The first due of what others may have from now on.
    pub(crate) fn let_go(&self) -> Option<i64> {
        let dues = self.steps.iter().filter_map(|step| match step {
            Step::Insert(row) => (!row.is_held).then_some(row.job.place.due),
            Step::Again { to, keeps, .. } | Step::Move { to, keeps, .. } => {
                (!keeps).then_some(to.due)
            }
            Step::Next { next, keeps, .. } => (!keeps).then_some(next.to.due),
            // When that is due is not known here.
            Step::GiveBack(_) => Some(i64::MIN),
            _ => None,
        });
        dues.min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether this node lets go of any job that it held.
    pub(crate) fn ends_any(&self) -> bool {
        self.steps.iter().any(|step| {
            !matches!(
                step,
                Step::Insert(_) | Step::Begin { .. } | Step::Release(_) | Step::Edit { .. }
            )
        })
    }

    /// The targets of jobs that a batch brings or edits.
    pub(crate) fn targets(ops: &[Sealed]) -> impl Iterator<Item = &str> {
        ops.iter().filter_map(|(op, _)| match op {
            Op::Insert(job) | Op::Edit(job) => Some(&*job.target),
            _ => None,
        })
    }
}
