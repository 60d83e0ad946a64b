//! Repeats in the engine, on a clock that the test moves: what runs, what follows it, and what the calls make of that.

use duewheel_engine::clock::ManualClock;
use duewheel_engine::due::queue::ClockKind;
use duewheel_engine::engine::{Engine, NewRepeat, Pending, Refused};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Released, Started};
use duewheel_engine::jobs::repeats::Plan;
use duewheel_engine::testing::For;
use duewheel_model::outcome::{Cause, Outcome, Reason};
use duewheel_model::repeat::{CatchUp, Standing, Terms};
use duewheel_model::time::SECOND;
use duewheel_schedule::Schedule;
use std::sync::Arc;

/// The wall clock begins elsewhere than the boot clock: a mix-up of them shows.
const START: i64 = 1_000_000;

/// A time of the wall clock, from seconds after the start.
fn at(seconds: i64) -> i64 {
    (START + seconds) * SECOND
}

/// A scheduler whose clock, timer and worker the test is; its times are seconds after the start.
struct Bench {
    clock: Arc<ManualClock>,
    engine: Engine<For>,
    released: Released<For>,
    now: i64,
    /// The due and the number of each occurrence that was started.
    ran: Vec<(i64, u64)>,
    /// How often a schedule was asked outside.
    outside: u32,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(at(0), 77 * SECOND));
        let engine = Engine::new(Box::new(clock.clone())).unwrap();
        engine.set_registered(0, "", Some(Lane::Workers));
        engine.start().unwrap();
        Bench {
            clock,
            engine,
            released: Released::default(),
            now: 0,
            ran: Vec::new(),
            outside: 0,
        }
    }

    /// One with a repeat of ten seconds.
    fn with(terms: Terms) -> Self {
        let mut bench = Bench::new();
        bench.repeat(every(10), terms).unwrap();
        bench
    }

    fn repeat(&mut self, schedule: Schedule, terms: Terms) -> Result<(), Refused> {
        let new = NewRepeat {
            id: Some("r".into()),
            plan: Plan::new(schedule, terms),
            declared: false,
            payload: For(0),
            seed: 7,
        };
        let made = self.engine.repeat(new, &mut self.released)?;
        assert!(matches!(made, Pending::Made(None, _)));
        Ok(())
    }

    fn move_to(&mut self, seconds: i64) {
        self.clock.set(at(seconds), (77 + seconds) * SECOND);
        self.now = seconds;
    }

    /// What a worker starts now, if anything.
    fn begin(&mut self) -> Option<Started<For>> {
        loop {
            while self.engine.manual_expire() {}
            match self.engine.ready().turn(None, self.engine.clock()) {
                Turn::Run(mut started) => {
                    let outside = |find: &mut (dyn FnMut() + Send)| {
                        self.outside += 1;
                        find();
                    };
                    let taken = self.engine.take_up(&mut started, outside);
                    let taken = taken.unwrap();
                    if taken.runs {
                        let number = started.occurrence.as_ref().unwrap().number;
                        let due = started.execution.job_due / SECOND - START;
                        self.ran.push((due, number));
                        return Some(started);
                    }
                    self.engine
                        .ready()
                        .end(started.unhandled(), self.engine.clock());
                    self.settle();
                }
                Turn::Settle => self.settle(),
                Turn::Mark | Turn::Rest => return None,
            }
        }
    }

    fn settle(&mut self) {
        self.engine
            .settle_and_refill(Lane::Workers, &mut self.released);
        self.engine.check().unwrap();
    }

    fn end(&mut self, started: &Started<For>, outcome: Outcome) {
        self.engine
            .ready()
            .end(started.ended(outcome), self.engine.clock());
        self.settle();
    }

    /// Move the clock to these moments, and let all that is due then run.
    fn run(&mut self, moments: &[i64]) -> Vec<(i64, u64)> {
        for &moment in moments {
            self.move_to(moment);
            while let Some(started) = self.begin() {
                self.end(&started, Outcome::Done);
            }
        }
        std::mem::take(&mut self.ran)
    }

    /// Take up what is due at a moment; it runs on.
    fn begin_at(&mut self, seconds: i64) -> Started<For> {
        self.move_to(seconds);
        self.begin().expect("it is due")
    }

    fn standing(&mut self) -> Option<Standing> {
        let look = |view: duewheel_engine::engine::RepeatView<'_, For>| view.standing;
        self.engine
            .repeat_view("r", &mut self.released, look)
            .unwrap()
    }

    /// The number of the occurrence that comes, its time, and how many were missed.
    fn coming(&mut self) -> (u64, i64, u64) {
        let standing = self.standing().expect("it goes on");
        let time = standing.time / SECOND - START;
        (standing.occurrence, time, standing.missed)
    }
}

fn every(seconds: i64) -> Schedule {
    Schedule::every(seconds * SECOND, None, false).unwrap()
}

fn catching_up(catch_up: CatchUp) -> Terms {
    Terms {
        catch_up,
        window: Some(1_000 * SECOND),
        ..Terms::default()
    }
}

#[test]
fn each_occurrence_follows_the_one_before_on_the_grid() {
    let mut bench = Bench::with(Terms::default());
    assert_eq!(bench.run(&[10, 20, 30]), [(10, 1), (20, 2), (30, 3)]);
    assert_eq!(bench.coming(), (4, 40, 0));
    assert_eq!(bench.standing().unwrap().previous, Some(at(30)));
    let stats = bench.engine.stats(&mut bench.released);
    assert_eq!((stats.scheduled, stats.succeeded, stats.pending), (4, 3, 1));
}

#[test]
fn what_passes_while_no_worker_is_free_is_late_and_merged() {
    let mut bench = Bench::with(Terms::default());
    assert_eq!(bench.run(&[45]), [(40, 1)]);
    assert_eq!(bench.coming(), (2, 50, 3));
    // Late alone, it is not missed: it runs even where nothing is caught up.
    let mut bench = Bench::with(catching_up(CatchUp::None));
    assert_eq!(bench.run(&[45]), [(40, 1)]);
}

#[test]
fn what_passes_while_it_runs_is_missed() {
    for (catch_up, ran, coming) in [
        (CatchUp::One, vec![(30, 2)], (3, 40, 1)),
        (CatchUp::All, vec![(20, 2), (30, 3)], (4, 40, 0)),
        (CatchUp::None, vec![], (2, 40, 2)),
    ] {
        let mut bench = Bench::with(catching_up(catch_up));
        let running = bench.begin_at(10);
        bench.move_to(35);
        bench.end(&running, Outcome::Done);
        bench.ran.clear();
        assert_eq!(bench.run(&[35]), ran, "{catch_up:?}");
        assert_eq!(bench.coming(), coming, "{catch_up:?}");
    }
}

#[test]
fn a_retry_is_the_same_occurrence_and_the_next_one_starts_anew() {
    let mut bench = Bench::with(Terms::default());
    let failed = bench.begin_at(10);
    let due = (77 + 25) * SECOND;
    let again = Outcome::again(due, Cause::Retry, failed.progress());
    bench.end(&failed, again);
    let retried = bench.begin_at(25);
    assert_eq!(retried.execution.progress.attempt, 2);
    bench.end(&retried, Outcome::Done);
    assert_eq!(bench.ran, [(10, 1), (10, 1)]);
    let next = bench.begin_at(25);
    assert_eq!(bench.ran[2], (20, 2));
    let progress = next.execution.progress;
    assert_eq!((progress.attempt, progress.run), (1, 3));
    assert_eq!(progress.first_start, None);
}

#[test]
fn a_death_is_listed_and_the_repeat_goes_on_or_pauses() {
    for pause_on_dead in [false, true] {
        let mut bench = Bench::with(Terms {
            pause_on_dead,
            ..Terms::default()
        });
        let failed = bench.begin_at(10);
        let dead = Outcome::Dead {
            reason: Reason::Failed,
            failure: (),
        };
        bench.end(&failed, dead);
        let standing = bench.standing().unwrap();
        assert_eq!((standing.occurrence, standing.previous), (2, None));
        assert_eq!(standing.paused, pause_on_dead);
        let runs = bench.run(&[20]).len();
        assert_eq!(runs, 1 + usize::from(!pause_on_dead));
    }
}

#[test]
fn a_trigger_is_one_more_and_the_grid_stays() {
    let mut bench = Bench::with(Terms::default());
    bench.move_to(4);
    for seconds in [4, 5] {
        bench.move_to(seconds);
        let _ = bench.engine.trigger("r", &mut bench.released).unwrap();
    }
    assert_eq!(bench.run(&[5, 10]), [(4, 1), (10, 2)], "asked for twice");
    let running = bench.begin_at(20);
    bench.move_to(23);
    for _ in 0..2 {
        let _ = bench.engine.trigger("r", &mut bench.released).unwrap();
    }
    bench.end(&running, Outcome::Done);
    assert_eq!(bench.run(&[24, 30]), [(20, 3), (23, 4), (30, 5)]);
}

#[test]
fn resumed_it_goes_on_with_the_first_time_after_now() {
    let mut bench = Bench::with(catching_up(CatchUp::All));
    let _ = bench.engine.pause("r", &mut bench.released).unwrap();
    assert_eq!(bench.run(&[10, 20, 25]), []);
    let _ = bench.engine.trigger("r", &mut bench.released).unwrap();
    assert_eq!(bench.run(&[26]), [(25, 1)], "also while it is paused");
    let _ = bench.engine.resume("r", &mut bench.released).unwrap();
    assert_eq!(bench.run(&[27, 30]), [(30, 2)]);
    assert_eq!(bench.coming(), (3, 40, 0));
}

#[test]
fn an_edit_counts_from_now() {
    let mut bench = Bench::with(catching_up(CatchUp::All));
    assert_eq!(bench.run(&[10]), [(10, 1)]);
    bench.move_to(35);
    bench
        .repeat(every(7), catching_up(CatchUp::All))
        .expect("it has times");
    // From the last time, 10, on: 17, 24, 31 are before now.
    assert_eq!(bench.run(&[35, 38, 45]), [(38, 2), (45, 3)]);
    let running = bench.begin_at(52);
    bench.move_to(53);
    bench.repeat(every(100), Terms::default()).unwrap();
    assert_eq!(bench.coming().0, 4);
    bench.end(&running, Outcome::Done);
    assert_eq!(bench.run(&[59, 152]), [(52, 4), (152, 5)]);
}

#[test]
fn an_edit_of_what_runs_may_put_it_on_the_other_clock() {
    let cron = || Schedule::cron("* * * * *", duewheel_schedule::Zone::utc()).unwrap();
    let from_end = Schedule::every(5 * SECOND, None, true).unwrap();
    // The start is forty seconds after a whole minute.
    for (old, new, begun, next, period) in [
        (every(10), cron(), 10, 20, 60),
        (cron(), every(30), 20, 50, 30),
        (every(10), from_end, 10, 18, 5),
    ] {
        let mut bench = Bench::new();
        bench.repeat(old, Terms::default()).unwrap();
        let begun = bench.begin_at(begun);
        bench.move_to(bench.now + 1);
        bench.repeat(new, Terms::default()).unwrap();
        bench.move_to(bench.now + 2);
        bench.end(&begun, Outcome::Done);
        let (number, coming, missed) = bench.coming();
        assert_eq!((number, coming, missed), (2, next, 0));
        assert_eq!(bench.run(&[next - 1]).len(), 1);
        assert_eq!(bench.run(&[next]), [(next, 2)]);
        assert_eq!(bench.coming(), (3, next + period, 0));
    }
}

#[test]
fn it_is_over_after_its_count_and_at_its_end() {
    let count = Terms {
        count: Some(2),
        ..Terms::default()
    };
    let mut bench = Bench::with(count);
    assert_eq!(bench.run(&[10, 20]), [(10, 1), (20, 2)]);
    assert_eq!(bench.standing(), None, "with the last one it is over");
    assert_eq!(bench.released.payloads, [For(0)]);
    let stats = bench.engine.stats(&mut bench.released);
    assert_eq!(
        (stats.scheduled, stats.succeeded, stats.cancelled),
        (2, 2, 0)
    );
    let end = |seconds| Terms {
        end: Some(at(seconds)),
        ..Terms::default()
    };
    let mut bench = Bench::with(end(30));
    assert_eq!(bench.run(&[10, 20, 30, 40]), [(10, 1), (20, 2)]);
    assert_eq!(bench.standing(), None);
    // Its last time is found where it comes late, too.
    let mut bench = Bench::with(end(30));
    assert_eq!(bench.run(&[45]), [(20, 1)]);
    assert_eq!(bench.standing(), None);
    let refused = Bench::new().repeat(every(10), end(10));
    assert!(matches!(refused, Err(Refused::Never)));
}

#[test]
fn cancelled_while_it_runs_it_ends_with_that() {
    for fails in [false, true] {
        let mut bench = Bench::with(Terms::default());
        let running = bench.begin_at(10);
        let _ = bench.engine.cancel("r", &mut bench.released).unwrap();
        let outcome = if fails {
            Outcome::again(0, Cause::Retry, running.progress())
        } else {
            Outcome::Done
        };
        bench.end(&running, outcome);
        assert_eq!(bench.run(&[20, 30]), [(10, 1)]);
        assert_eq!(bench.standing(), None);
        assert_eq!(bench.engine.stats(&mut bench.released).pending, 0);
    }
}

#[test]
fn from_the_end_a_period_is_counted_from_the_end() {
    let mut bench = Bench::new();
    let schedule = Schedule::every(10 * SECOND, None, true).unwrap();
    bench.repeat(schedule, Terms::default()).unwrap();
    let running = bench.begin_at(10);
    bench.move_to(17);
    bench.end(&running, Outcome::Done);
    assert_eq!(bench.run(&[26, 27]), [(10, 1), (27, 2)]);
}

#[test]
fn a_spread_is_a_fixed_part_of_each_due() {
    let mut bench = Bench::with(Terms {
        spread: 10 * SECOND,
        ..Terms::default()
    });
    let offset = bench.standing().unwrap().offset;
    assert!((SECOND..9 * SECOND).contains(&offset), "of this seed");
    let due = |bench: &mut Bench| {
        let next = bench.engine.manual_next();
        next.expect("it waits").1 - at(0)
    };
    assert_eq!(due(&mut bench), 10 * SECOND + offset);
    // At 35 the time 30 is not due yet, if its offset is more.
    let last = if offset > 5 * SECOND { 20 } else { 30 };
    assert_eq!(bench.run(&[35])[..1], [(last, 1)]);
    assert_eq!(due(&mut bench), (last + 10) * SECOND + offset);
}

#[test]
fn a_calendar_goes_by_the_wall_clock_and_an_interval_by_the_other() {
    let cron = Schedule::cron("* * * * *", duewheel_schedule::Zone::utc()).unwrap();
    for (schedule, clock) in [(cron, ClockKind::Wall), (every(60), ClockKind::Boot)] {
        let mut bench = Bench::new();
        bench.repeat(schedule, Terms::default()).unwrap();
        // The wall clock is stepped by half a minute.
        bench.clock.set(at(50), (77 + 20) * SECOND);
        let started = bench.begin();
        assert_eq!(started.is_some(), clock == ClockKind::Wall);
    }
}

#[test]
fn a_schedule_is_asked_outside_where_more_than_the_next_time_is_due() {
    let mut bench = Bench::with(Terms::default());
    assert_eq!(bench.run(&[10, 29]), [(10, 1), (20, 2)]);
    assert_eq!(bench.outside, 0);
    assert_eq!(bench.run(&[40]), [(40, 3)]);
    assert_eq!(bench.outside, 1, "two times were due");
    let zone = duewheel_schedule::Zone::named("Europe/Paris").unwrap();
    let slow = Schedule::cron("* * * * *", zone).unwrap();
    bench
        .repeat(slow.union(every(7)).unwrap(), Terms::default())
        .unwrap();
    assert_eq!(bench.run(&[48]).len(), 1);
    assert_eq!(bench.outside, 2, "a combination may be slow");
}
