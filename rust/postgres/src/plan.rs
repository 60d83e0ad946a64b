//! Batches as statements: operations of one kind on many jobs are one statement, as far as the order on each job allows.

use crate::held::Held;
use crate::names::key_of;
use crate::rows::{NewRow, Params, edition, flags, insertion};
use crate::sql::Sql;
use duewheel_store::{ClockKind, Ending, Next, Op, Place, Progress, Reason, Standing, standing};
use std::collections::HashMap;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A batch whose jobs are known by their ids in the tables.
pub(crate) struct Resolved {
    pub(crate) ticket: u64,
    steps: Vec<Step>,
}

/// An operation on one job that this node holds, or brings.
enum Step {
    Insert(Box<NewRow>),
    Begin {
        id: Uuid,
        seq: u64,
        at: i64,
    },
    Release(Uuid),
    GiveBack(Uuid),
    Over(Uuid),
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
enum Kind {
    Insert,
    Begin,
    Release,
    GiveBack,
    Over,
    Again,
    Move,
    Next,
    Bury,
    Edit,
    Stand,
}

impl Step {
    fn of(&self) -> (Kind, Uuid) {
        match self {
            Step::Insert(row) => (Kind::Insert, key_of(&row.job.id).0),
            Step::Begin { id, .. } => (Kind::Begin, *id),
            Step::Release(id) => (Kind::Release, *id),
            Step::GiveBack(id) => (Kind::GiveBack, *id),
            Step::Over(id) => (Kind::Over, *id),
            Step::Again { id, .. } => (Kind::Again, *id),
            Step::Move { id, .. } => (Kind::Move, *id),
            Step::Next { id, .. } => (Kind::Next, *id),
            Step::Bury { id, .. } => (Kind::Bury, *id),
            Step::Edit { id, .. } => (Kind::Edit, *id),
            Step::Stand { id, .. } => (Kind::Stand, *id),
        }
    }

    /// Let others have the job after this step; `false`: that takes a step of its own.
    fn yields(&mut self) -> bool {
        match self {
            Step::Insert(row) => row.is_held = false,
            Step::Again { keeps, .. } | Step::Move { keeps, .. } | Step::Next { keeps, .. } => {
                *keeps = false
            }
            _ => return false,
        }
        true
    }

    /// The due of the job, where this node holds it after the step.
    fn held_until(&self) -> Option<i64> {
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

    pub(crate) fn row(
        &self,
        job: duewheel_store::Job<'static>,
        (data, key): (Vec<u8>, Option<u32>),
    ) -> NewRow {
        let mut job = job;
        job.place = self.on_server(job.place, job.clock);
        NewRow {
            target: self.targets.get(&*job.target).copied().unwrap_or_default(),
            job,
            data,
            key,
            is_held: true,
        }
    }
}

/// An operation, and the payload that it stores and its key.
pub(crate) type Sealed = (Op<'static>, (Vec<u8>, Option<u32>));

impl Resolved {
    /// Know the jobs of a batch by their ids. What this node does not hold any more is left out: its new owner decides.
    pub(crate) fn of(ticket: u64, ops: Vec<Sealed>, given: &Given<'_>, held: &mut Held) -> Self {
        let mut resolved = Resolved {
            ticket,
            steps: Vec::new(),
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
            Op::Insert(job) => {
                let row = given.row(job, data);
                held.insert(row.job.place.seq, key_of(&row.job.id).0);
                Step::Insert(Box::new(row))
            }
            Op::Leave => return,
            Op::Yield(seq) => {
                let Some(id) = held.remove(seq) else { return };
                let last = self.steps.iter_mut().rev().find(|step| step.of().1 == id);
                if last.is_some_and(Step::yields) {
                    return;
                }
                Step::GiveBack(id)
            }
            Op::Delete(seq) => match held.remove(seq) {
                Some(id) => Step::Over(id),
                None => return,
            },
            Op::Finish { seq, outcome } => return self.finish(seq, outcome, given, held),
            Op::Begin { seq, at } => match held.begin(seq) {
                Some(id) => Step::Begin { id, seq, at },
                None => return,
            },
            Op::Release(seq) => match held.release(seq) {
                Some(id) => Step::Release(id),
                None => return,
            },
            Op::Move { seq, to, clock } => match held.rename(seq, to.seq) {
                Some(id) => Step::Move {
                    id,
                    to: given.on_server(to, clock),
                    clock,
                    keeps: true,
                },
                None => return,
            },
            Op::Edit(job) => match held.id(job.place.seq) {
                Some(id) => Step::Edit {
                    id,
                    row: Box::new(given.row(job, data)),
                },
                None => return,
            },
            Op::Stand {
                seq,
                job_due,
                standing,
            } => match held.id(seq) {
                Some(id) => Step::Stand {
                    id,
                    job_due,
                    standing,
                },
                None => return,
            },
        };
        self.steps.push(step);
    }

    fn finish(&mut self, seq: u64, outcome: Ending<'static>, given: &Given<'_>, held: &mut Held) {
        match outcome {
            Ending::Done => self.steps.extend(held.remove(seq).map(Step::Over)),
            Ending::Again {
                to,
                clock,
                progress,
            } => {
                let to = given.on_server(to, clock);
                let again = |id| Step::Again {
                    id,
                    to,
                    clock,
                    progress,
                    keeps: true,
                };
                self.steps.extend(held.rename(seq, to.seq).map(again));
            }
            Ending::Next(next) => self.follow(seq, next, given, held),
            Ending::Dead {
                reason,
                error,
                died,
                next,
            } => {
                let Some(id) = held.id(seq) else { return };
                let error = error.into_owned();
                self.steps.push(Step::Bury {
                    id,
                    reason,
                    died,
                    error,
                });
                match next {
                    Some(next) => self.follow(seq, next, given, held),
                    None => self.steps.extend(held.remove(seq).map(Step::Over)),
                }
            }
        }
    }

    fn follow(&mut self, seq: u64, mut next: Box<Next>, given: &Given<'_>, held: &mut Held) {
        next.to = given.on_server(next.to, next.clock);
        if let Some(id) = held.rename(seq, next.to.seq) {
            self.steps.push(Step::Next {
                id,
                next,
                keeps: true,
            });
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

    /// The targets of jobs that a batch brings or edits.
    pub(crate) fn targets(ops: &[Sealed]) -> impl Iterator<Item = &str> {
        ops.iter().filter_map(|(op, _)| match op {
            Op::Insert(job) | Op::Edit(job) => Some(&*job.target),
            _ => None,
        })
    }
}

/// One statement, and what is to be made of its rows.
pub(crate) struct Statement<'a> {
    pub(crate) sql: &'a str,
    pub(crate) params: Params,
    /// The jobs that it marks as started: those that it does not return are no longer this node's.
    pub(crate) marks: Vec<u64>,
}

struct Group<'a> {
    kind: Kind,
    steps: Vec<Option<&'a Step>>,
}

/// The statements of batches, and the latest due of the jobs that this node holds by them.
pub(crate) fn statements<'a>(
    sql: &'a Sql,
    batches: &[Resolved],
    epoch: i64,
) -> (Vec<Statement<'a>>, i64) {
    let mut groups: Vec<Group<'_>> = Vec::new();
    // Where the last step of each job is.
    let mut last: HashMap<Uuid, (usize, usize)> = HashMap::new();
    let mut until = i64::MIN;
    for step in batches.iter().flat_map(|batch| &batch.steps) {
        let (kind, id) = step.of();
        until = until.max(step.held_until().unwrap_or(i64::MIN));
        let before = last.get(&id).copied();
        if let Some((group, at)) = before
            && groups[group].kind == Kind::Begin
            && kind != Kind::Stand
            && kind != Kind::Edit
        {
            // What begins and ends in one go need not be known to have begun.
            groups[group].steps[at] = None;
        }
        let first = before.map_or(0, |(group, _)| group + 1);
        let joins = groups
            .iter()
            .skip(first)
            .position(|group| group.kind == kind && kind != Kind::Edit);
        let group = joins.map_or(groups.len(), |at| first + at);
        if group == groups.len() {
            groups.push(Group {
                kind,
                steps: Vec::new(),
            });
        }
        last.insert(id, (group, groups[group].steps.len()));
        groups[group].steps.push(Some(step));
    }
    let written = groups.iter().flat_map(|group| {
        let steps: Vec<&Step> = group.steps.iter().copied().flatten().collect();
        let each = matches!(group.kind, Kind::Edit | Kind::Stand);
        let parts = if each {
            steps.chunks(1)
        } else {
            steps.chunks(usize::MAX)
        };
        parts
            .map(|steps| statement(sql, steps, epoch))
            .collect::<Vec<_>>()
    });
    (written.collect(), until)
}

/// The statement of steps of one kind; there is at least one.
fn statement<'a>(sql: &'a Sql, steps: &[&Step], epoch: i64) -> Statement<'a> {
    let ids = || Params::default().ids(steps.iter().map(|step| step.of().1));
    let mut marks = Vec::new();
    let (sql, params) = match steps[0] {
        Step::Insert(_) => {
            let rows = steps.iter().filter_map(|step| match step {
                Step::Insert(row) => Some(&**row),
                _ => None,
            });
            (&sql.insert, insertion(&rows.collect::<Vec<_>>(), epoch))
        }
        Step::Begin { .. } => {
            let starts = steps.iter().filter_map(|step| match step {
                Step::Begin { seq, at, .. } => Some((*seq, *at)),
                _ => None,
            });
            let starts: Vec<_> = starts.collect();
            marks.extend(starts.iter().map(|(seq, _)| *seq));
            (
                &sql.begin,
                ids()
                    .longs(starts.iter().map(|(_, at)| *at))
                    .with(epoch, Type::INT8),
            )
        }
        Step::Release(_) => (&sql.release, ids().with(epoch, Type::INT8)),
        Step::GiveBack(_) => (&sql.give_back, ids().with(epoch, Type::INT8)),
        Step::Over(_) => (&sql.over, ids().with(epoch, Type::INT8)),
        Step::Again { .. } => (&sql.again, again(steps, ids(), epoch)),
        Step::Move { .. } => (&sql.shift, shift(steps, ids(), epoch)),
        Step::Next { .. } => (&sql.next, next(steps, ids(), epoch)),
        Step::Bury { .. } => (&sql.bury, bury(steps, ids(), epoch)),
        Step::Edit { id, row } => (&sql.edit, edition(*id, row).with(epoch, Type::INT8)),
        Step::Stand {
            id,
            job_due,
            standing,
        } => {
            let standing = standing::encode(standing).to_vec();
            let params = Params::default()
                .with(*id, Type::UUID)
                .with(*job_due, Type::INT8);
            (
                &sql.stand,
                params.with(standing, Type::BYTEA).with(epoch, Type::INT8),
            )
        }
    };
    Statement { sql, params, marks }
}

fn placed(params: Params, to: impl Iterator<Item = (Place, ClockKind)> + Clone) -> Params {
    let flags = to.clone().map(|(_, clock)| flags(clock, false));
    params
        .longs(to.clone().map(|(to, _)| to.due))
        .longs(to.map(|(to, _)| to.seq as i64))
        .with(flags.collect::<Vec<_>>(), Type::INT2_ARRAY)
}

fn again(steps: &[&Step], params: Params, epoch: i64) -> Params {
    let all = steps.iter().filter_map(|step| match step {
        Step::Again {
            to,
            clock,
            progress,
            keeps,
            ..
        } => Some((*to, *clock, *progress, *keeps)),
        _ => None,
    });
    placed(params, all.clone().map(|(to, clock, ..)| (to, clock)))
        .longs(
            all.clone()
                .map(|(_, _, progress, _)| progress.attempt.into()),
        )
        .longs(all.clone().map(|(_, _, progress, _)| progress.run.into()))
        .maybe_longs(all.clone().map(|(_, _, progress, _)| progress.first_start))
        .maybe_longs(all.map(|(.., keeps)| keeps.then_some(epoch)))
        .with(epoch, Type::INT8)
}

fn shift(steps: &[&Step], params: Params, epoch: i64) -> Params {
    let all = steps.iter().filter_map(|step| match step {
        Step::Move {
            to, clock, keeps, ..
        } => Some((*to, *clock, *keeps)),
        _ => None,
    });
    placed(params, all.clone().map(|(to, clock, _)| (to, clock)))
        .maybe_longs(all.map(|(.., keeps)| keeps.then_some(epoch)))
        .with(epoch, Type::INT8)
}

fn next(steps: &[&Step], params: Params, epoch: i64) -> Params {
    let all = steps.iter().filter_map(|step| match step {
        Step::Next { next, keeps, .. } => Some((&**next, *keeps)),
        _ => None,
    });
    let standings = all
        .clone()
        .map(|(next, _)| standing::encode(&next.standing).to_vec());
    placed(params, all.clone().map(|(next, _)| (next.to, next.clock)))
        .longs(all.clone().map(|(next, _)| next.job_due))
        .longs(all.clone().map(|(next, _)| next.run.into()))
        .with(standings.collect::<Vec<_>>(), Type::BYTEA_ARRAY)
        .maybe_longs(all.map(|(_, keeps)| keeps.then_some(epoch)))
        .with(epoch, Type::INT8)
}

fn bury(steps: &[&Step], params: Params, epoch: i64) -> Params {
    let all = steps.iter().filter_map(|step| match step {
        Step::Bury {
            reason,
            died,
            error,
            ..
        } => Some((*reason as i16, *died, error.replace('\0', "\u{fffd}"))),
        _ => None,
    });
    params
        .with(
            all.clone().map(|(reason, ..)| reason).collect::<Vec<_>>(),
            Type::INT2_ARRAY,
        )
        .longs(all.clone().map(|(_, died, _)| died))
        .with(
            all.map(|(.., error)| error).collect::<Vec<_>>(),
            Type::TEXT_ARRAY,
        )
        .with(epoch, Type::INT8)
}
