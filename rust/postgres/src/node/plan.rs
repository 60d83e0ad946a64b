//! Batches as statements: operations of one kind on many jobs are one statement, as far as the order on each job allows.

use crate::node::outcomes::keep;
use crate::node::steps::{Kind, Resolved, Step};
use crate::tables::rows::{edition, flags, insertion};
use crate::tables::sql::Sql;
use crate::tables::statement::{Params, Statement};
use duewheel_store::{ClockKind, Place, standing};
use std::collections::HashMap;
use tokio_postgres::types::Type;
use uuid::Uuid;

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
    let mut last_bury = 0;
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
        let mut first = before.map_or(0, |(group, _)| group + 1);
        if kind == Kind::Bury {
            // The dead are numbered in the order of their deaths.
            first = first.max(last_bury);
        }
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
        if kind == Kind::Bury {
            last_bury = group;
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

/// Those that mark jobs as started, alone: made once more they change nothing, and say again which jobs they find.
pub(crate) fn marks<'a>(sql: &'a Sql, batches: &[Resolved], epoch: i64) -> Vec<Statement<'a>> {
    let (mut made, _) = statements(sql, batches, epoch);
    made.retain(|statement| !statement.marks.is_empty());
    made
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
        Step::Close { .. } => (&sql.close, close(steps, ids(), epoch)),
        Step::Again { .. } => (&sql.again, again(steps, ids(), epoch)),
        Step::Move { .. } => (&sql.shift, shift(steps, ids(), epoch)),
        Step::Next { .. } => (&sql.next, next(steps, ids(), epoch)),
        Step::Bury { .. } => (&sql.bury, bury(steps, ids(), epoch)),
        Step::Keep { .. } => (&sql.keep, keep(steps, ids(), epoch)),
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
    let ends = matches!(steps[0], Step::Over(_) | Step::Again { .. });
    Statement {
        sql,
        params,
        marks,
        ends,
    }
}

fn placed(params: Params, to: impl Iterator<Item = (Place, ClockKind)> + Clone) -> Params {
    let flags = to.clone().map(|(_, clock)| flags(clock, false));
    params
        .longs(to.clone().map(|(to, _)| to.due))
        .longs(to.map(|(to, _)| to.seq as i64))
        .with(flags.collect::<Vec<_>>(), Type::INT2_ARRAY)
}

fn close(steps: &[&Step], params: Params, epoch: i64) -> Params {
    let all = steps.iter().filter_map(|step| match step {
        Step::Close { ends, ended, .. } => Some((*ends, ended.as_deref())),
        _ => None,
    });
    let ended = all
        .clone()
        .map(|(_, ended)| ended.map(|ended| standing::encode(ended).to_vec()));
    let ended: Vec<_> = ended.collect();
    params
        .with(
            all.map(|(ends, _)| ends).collect::<Vec<_>>(),
            Type::BOOL_ARRAY,
        )
        .with(ended, Type::BYTEA_ARRAY)
        .with(epoch, Type::INT8)
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
