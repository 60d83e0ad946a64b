//! What is written to the journal is read again as it was.

use super::codec::*;
use crate::journal::standing_tests::any_standing;
use duewheel_store::{
    Carried, ClockKind, Definition, Ending, Job, Kept, Next, Op, Over, Place, Progress, Recurring,
    RetryOptions,
};
use proptest::prelude::*;
use std::sync::Arc;

fn any_place() -> impl Strategy<Value = Place> {
    (any::<i64>(), any::<u64>()).prop_map(|(due, seq)| Place { due, seq })
}

fn any_clock() -> impl Strategy<Value = ClockKind> {
    any::<bool>().prop_map(|boot| {
        if boot {
            ClockKind::Boot
        } else {
            ClockKind::Wall
        }
    })
}

fn any_progress() -> impl Strategy<Value = Progress> {
    any::<(u32, u32, Option<i64>)>().prop_map(|(attempt, run, first_start)| Progress {
        attempt,
        run,
        first_start,
    })
}

fn any_repeat() -> impl Strategy<Value = Option<Box<Recurring>>> {
    let definition = (any::<Option<i64>>(), ".{0,20}").prop_map(|(start, schedule)| {
        let mut definition: Definition = "catch_up=all ".parse().unwrap();
        (definition.terms.start, definition.schedule) = (start, schedule);
        definition
    });
    let repeat = (definition, any_standing()).prop_map(|(definition, standing)| {
        Box::new(Recurring {
            definition,
            standing,
        })
    });
    prop::option::of(repeat)
}

prop_compose! {
    fn any_next()(
        to in any_place(), clock in any_clock(), job_due in any::<i64>(), run in any::<u32>(),
        standing in any_standing(),
    ) -> Box<Next> {
        Box::new(Next { to, clock, job_due, run, standing })
    }
}

prop_compose! {
    fn any_job()(
        id in ".{1,40}", target in ".{1,20}", data in any::<Vec<u8>>(), place in any_place(),
        clock in any_clock(), times in any::<(i64, i64)>(), progress in any_progress(),
        interruptions in any::<u32>(), limits in any::<(Option<u32>, Option<i64>)>(),
        backoff in any::<(i64, i64)>(), at_most_once in any::<bool>(), repeat in any_repeat(),
        headers in prop::option::of(prop::collection::btree_map(".{0,9}", ".{0,9}", 0..3)), follow in any::<Option<i64>>(),
    ) -> Job<'static> {
        Job {
            id: id.into(), target: target.into(), data: data.into(), place, clock,
            job_due: times.0, created: times.1, progress, interruptions,
            options: RetryOptions {
                retry_limit: limits.0, age_limit: limits.1, min_backoff: backoff.0,
                max_backoff: backoff.1, at_most_once,
            },
            repeat,
            carried: headers.map(|headers| Arc::new(Carried { headers, key: Some("k".into()), keep: follow })),
            follow,
        }
    }
}

fn any_kept() -> impl Strategy<Value = Entry<'static>> {
    let texts = (".{1,40}", ".{1,20}", ".{0,40}");
    let numbers = any::<(u64, i64, i64, Option<u32>)>();
    (texts, numbers, 0i64..5, any::<Vec<u8>>()).prop_map(
        |((id, target, error), (seq, ended, until, key), over, result)| {
            let kept = Box::new(Kept {
                id,
                target,
                over: Over::of_number(over).unwrap(),
                result,
                error,
                ended,
                until,
            });
            (Op::Keep { seq, kept }, key)
        },
    )
}

fn any_op() -> impl Strategy<Value = Entry<'static>> {
    let outcome = prop_oneof![
        Just(Ending::Done),
        (any_place(), any_clock(), any_progress()).prop_map(|(to, clock, progress)| {
            Ending::Again {
                to,
                clock,
                progress,
            }
        }),
        any_next().prop_map(Ending::Next),
        (0..3i64, ".*", any::<i64>(), prop::option::of(any_next())).prop_map(
            |(number, error, died, next)| Ending::Dead {
                reason: reason(number).unwrap(),
                error: error.into(),
                died,
                next,
            }
        ),
    ];
    prop_oneof![
        (any_job(), any::<Option<u32>>()).prop_map(|(job, key)| (Op::Insert(job), key)),
        (any_job(), any::<Option<u32>>()).prop_map(|(job, key)| (Op::Edit(job), key)),
        (any::<u64>(), any::<i64>(), any_standing()).prop_map(|(seq, job_due, standing)| {
            let standing = Box::new(standing);
            (
                Op::Stand {
                    seq,
                    job_due,
                    standing,
                },
                None,
            )
        }),
        any::<u64>().prop_map(|seq| (Op::Delete(seq), None)),
        (any::<u64>(), any_place(), any_clock())
            .prop_map(|(seq, to, clock)| (Op::Move { seq, to, clock }, None)),
        any::<(u64, i64)>().prop_map(|(seq, at)| (Op::Begin { seq, at }, None)),
        any::<u64>().prop_map(|seq| (Op::Release(seq), None)),
        any::<u64>().prop_map(|number| (Op::Inherited(number), None)),
        Just((Op::Leave, None)),
        any_kept(),
        (any::<u64>(), outcome).prop_map(|(seq, outcome)| (Op::Finish { seq, outcome }, None)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(ops in prop::collection::vec(any_op(), 0..8)) {
        let mut batch = Vec::new();
        for (op, key) in &ops {
            let data = match op {
                Op::Insert(job) | Op::Edit(job) => &job.data[..],
                Op::Keep { kept, .. } => &kept.result[..],
                _ => &[],
            };
            encode(op, data, *key, &mut batch);
        }
        let read: Result<Vec<Entry<'_>>, ()> = Reader::new(&batch).collect();
        prop_assert_eq!(read, Ok(ops));
    }

    #[test]
    fn other_bytes_are_refused_or_read_but_never_a_panic(batch in any::<Vec<u8>>()) {
        let _ = Reader::new(&batch).count();
    }
}
