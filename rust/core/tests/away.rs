//! A call about a job that is away, which comes in while the call is on its way.

use duewheel_core::engine::{Asked, Changed, Due, Engine, Mail, Window};
use duewheel_core::record::{Parts, Payload, Released};
use duewheel_core::store::{Answer, Options, ask};
use duewheel_core::time::{Clock, ManualClock, SECOND};
use duewheel_store::{LocalStore, Settings};
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
struct Nothing;

impl Payload for Nothing {
    type Failure = String;

    fn target(self) -> u32 {
        0
    }

    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        look(Parts {
            target: "t",
            data: b"",
            options: Options {
                retry_limit: None,
                age_limit: None,
                min_backoff: SECOND,
                max_backoff: SECOND,
                at_most_once: false,
            },
        })
    }

    fn text(failure: &String) -> String {
        failure.clone()
    }
}

/// Asked for all the same, the store would move or cancel what may have started by then: it ran
/// again, or ran although its cancel was told to have come in time.
#[test]
fn a_job_that_has_come_in_is_not_asked_for() {
    let path = std::env::temp_dir().join(format!("duewheel-{}-away.db", std::process::id()));
    let clock = Arc::new(ManualClock::new(0, 0));
    let mail = Mail::new().unwrap();
    let store = LocalStore::open(&path, Settings::default(), mail.events()).unwrap();
    let mut engine = Engine::new(Box::new(clock.clone())).unwrap();
    let window = Window {
        horizon: 2 * SECOND,
        resident: 10,
    };
    engine.keep_in(Arc::new(store), mail, window);
    let released = &mut Released::default();
    let (id, _) = engine
        .keep(Due::In(10 * SECOND), Nothing, released)
        .unwrap();
    let mut text = [0; 36];
    duewheel_core::ids::format(id, &mut text);
    let id = std::str::from_utf8(&text).unwrap();
    assert!(matches!(engine.cancel_kept(id), Ok(Changed::Away)));
    assert!(matches!(
        engine.reschedule_kept(id, 11 * SECOND),
        Ok(Changed::Away)
    ));

    clock.set(9 * SECOND, 9 * SECOND);
    let question = engine.page_wanted().unwrap();
    let store = engine.store().unwrap();
    let Ok(Answer::Page(page)) = ask(&*store, question) else {
        panic!("no page");
    };
    let jobs = page.jobs.into_iter().map(|job| (job, Nothing)).collect();
    engine.load(page.epoch, None, jobs, released);
    assert!(engine.holds(id));

    assert_eq!(engine.cancel_away(id, released), Ok(Asked::Here));
    assert_eq!(
        engine.reschedule_away(id, 11 * SECOND, released),
        Ok(Asked::Here)
    );
    assert_eq!(clock.wall(), 9 * SECOND);
    assert!(matches!(engine.cancel_kept(id), Ok(Changed::Yes(..))));
    assert_eq!(engine.away(), 0);
    engine.close(released);
    std::fs::remove_file(path).unwrap();
}
