//! Tests: which jobs are in memory as a record alone.

use super::super::*;
use crate::clock::ManualClock;
use crate::due::queue::ClockKind;
use crate::jobs::record::{Detail, Id};
use duewheel_model::job::Progress;

#[derive(Clone, Copy)]
struct Nothing;

impl Payload for Nothing {
    type Failure = ();
    fn target(self) -> u32 {
        0
    }
}

/// A million of them may be in memory.
#[test]
fn a_job_without_a_past_comes_in_without_a_side() {
    let clock = ManualClock::new(100, 30);
    let engine = Engine::<Nothing>::new(Box::new(Arc::new(clock))).unwrap();
    let mut state = engine.state.lock();
    let id = |high, low| Id::Generated([high, low]);
    let made = id(0x0189_0000_0000_7fff, 0x8000_0000_0000_0001);
    let detail = Detail {
        id: made,
        job_due: 90,
        progress: Progress::NEW,
    };
    // The due on the boot clock is 70 less than on the wall clock.
    assert!(state.plain(ClockKind::Wall, 90, &detail, Nothing).is_some());
    assert_eq!(state.offsets.jobs, [0; 3]);
    assert!(state.plain(ClockKind::Boot, 20, &detail, Nothing).is_some());
    assert_eq!(state.offsets.jobs, [1, 0, 0]);

    let others = [
        (91, detail.clone()),
        (
            90,
            Detail {
                progress: Progress {
                    attempt: 2,
                    ..Progress::NEW
                },
                ..detail.clone()
            },
        ),
        (
            90,
            Detail {
                progress: Progress {
                    run: 2,
                    ..Progress::NEW
                },
                ..detail.clone()
            },
        ),
        (
            90,
            Detail {
                progress: Progress {
                    first_start: Some(0),
                    ..Progress::NEW
                },
                ..detail.clone()
            },
        ),
        (
            90,
            Detail {
                id: Id::Given("given".into()),
                ..detail.clone()
            },
        ),
        (
            90,
            Detail {
                id: id(0x0189_0000_0000_4fff, 0x8000_0000_0000_0001),
                ..detail.clone()
            },
        ),
        (
            90,
            Detail {
                id: id(0x0189_0000_0000_7fff, 0xc000_0000_0000_0001),
                ..detail
            },
        ),
    ];
    for (due, detail) in others {
        assert!(
            state
                .plain(ClockKind::Wall, due, &detail, Nothing)
                .is_none(),
            "{detail:?}"
        );
        assert!(
            state
                .plain(ClockKind::Boot, due - 70, &detail, Nothing)
                .is_none()
        );
    }
    assert_eq!(state.offsets.jobs, [1, 0, 0]);
}
