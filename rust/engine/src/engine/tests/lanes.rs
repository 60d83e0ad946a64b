//! Tests: two lanes, one or both of them full, at random.

use super::super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::handover::loop_waker::LoopWaker;
use crate::handover::queue::{CAPACITY, Turn};
use crate::jobs::record::Started;
use crate::testing::{For, Random};
use duewheel_model::outcome::Outcome;
use duewheel_model::time::SECOND;

/// An engine whose jobs are all due, driven by one thread that does as the timer and the runners do.
struct Bench {
    engine: Engine<For>,
    /// The timer: asleep until it is woken.
    asleep: bool,
    running: [Vec<Done<()>>; 2],
    /// The place of what started last, by lane, since anything came that may be due before it.
    last: [Option<(i64, u64)>; 2],
}

impl Bench {
    fn new(tasks: usize) -> Self {
        let clock = ManualClock::new(1_000 * SECOND, 1_000 * SECOND);
        let engine = Engine::new(Box::new(clock)).unwrap();
        engine.lane(Lane::Loop).attach(None, tasks);
        engine.start().unwrap();
        Bench {
            engine,
            asleep: false,
            running: Default::default(),
            last: [None; 2],
        }
    }

    /// Let the timer do as far as it goes, if anything has woken it.
    fn timer(&mut self) {
        self.asleep &= !self.engine.sleeper().take_woken();
        while !self.asleep {
            self.asleep = self.engine.pump() != Pumped::More;
        }
    }

    /// One turn of a runner; `false`: it rests.
    fn turn(&mut self, lane: Lane, ends: bool, keeps_order: bool) -> bool {
        let done = match (
            ends || lane == Lane::Workers,
            self.running[lane as usize].pop(),
        ) {
            (true, done) => done,
            (false, Some(done)) => {
                self.running[lane as usize].push(done);
                None
            }
            (false, None) => None,
        };
        match self.engine.lane(lane).turn(done, self.engine.clock()) {
            Turn::Run(started) => {
                let Started { execution, .. } = &started;
                let place = (execution.due, execution.sequence);
                if keeps_order && let Some(last) = self.last[lane as usize] {
                    assert!(last < place, "{lane:?}: {place:?} after {last:?}");
                }
                self.last[lane as usize] = Some(place);
                let here = self
                    .engine
                    .state
                    .lock()
                    .targets
                    .lane_of(execution.payload.target());
                self.running[lane as usize].push(if here == Some(lane) {
                    started.ended(Outcome::Done)
                } else {
                    started.unhandled()
                });
                true
            }
            Turn::Settle => {
                self.engine
                    .settle_and_refill(lane, &mut Released::default());
                true
            }
            Turn::Mark | Turn::Rest => false,
        }
    }

    /// Settle each job before the next one starts, as over a store.
    fn settle_each(&self) {
        for lane in Lane::ALL {
            self.engine.lane(lane).lock().settle_at = 1;
        }
    }

    /// Hold that nothing is broken, that no lane is overfull, and that a backlog has a runner
    /// or the timer to refill its lane.
    fn check(&mut self) {
        self.engine.check().unwrap();
        self.asleep &= !self.engine.sleeper().take_woken();
        for lane in Lane::ALL {
            let backlog = self.engine.state.lock().backlogs[lane].len();
            let wanted = self.engine.lane(lane).lock().room_wanted;
            assert!(self.engine.lane(lane).lock().queue.len() <= CAPACITY);
            assert!(
                backlog == 0 || wanted || !self.asleep,
                "{lane:?}: {backlog}"
            );
        }
    }

    fn schedule(&mut self, random: &mut Random) -> crate::jobs::ids::Halves {
        let due = Due::At(random.below(20) as i64);
        let target = random.below(4) as u32;
        self.engine
            .schedule(due, For(target), &mut Released::default())
            .unwrap()
            .0
    }

    /// Run all that is left, with nobody but the timer and the runners to bring it on.
    fn finish(&mut self) {
        loop {
            self.timer();
            let mut any = false;
            for lane in Lane::ALL {
                while self.turn(lane, true, false) {
                    any = true;
                }
            }
            if !any {
                break;
            }
            self.check();
        }
    }
}

fn text(id: crate::jobs::ids::Halves) -> String {
    crate::jobs::record::Id::Generated(id).with_str(str::to_owned)
}

#[test]
fn nothing_is_lost_whatever_happens_to_full_lanes() {
    for seed in 1..60 {
        let mut random = Random::new(seed);
        let mut bench = Bench::new(1 + random.below(3) as usize);
        if seed % 2 == 0 {
            bench.settle_each();
        }
        let mut ids = Vec::new();
        let (mut scheduled, mut cancelled) = (0, 0);
        for target in 0..3 {
            let lane = Lane::ALL[target % 2];
            bench.engine.set_registered(target as u32, "", Some(lane));
        }
        for _ in 0..300 {
            match random.below(12) {
                0 | 1 => {
                    for _ in 0..random.below(3 * CAPACITY as u64) {
                        ids.push(text(bench.schedule(&mut random)));
                        scheduled += 1;
                    }
                }
                2 if !ids.is_empty() => {
                    let first = random.below(ids.len() as u64) as usize;
                    for id in ids.iter().skip(first).take(200) {
                        let gone = bench.engine.cancel(id, &mut Released::default());
                        let gone = matches!(gone, Ok(Pending::Made(Cancelled::Here(_), _)));
                        cancelled += u64::from(gone);
                    }
                }
                3 if !ids.is_empty() => {
                    let id = &ids[random.below(ids.len() as u64) as usize];
                    let due = random.below(30) as i64;
                    bench
                        .engine
                        .reschedule(id, due, &mut Released::default())
                        .map(drop)
                        .unwrap();
                }
                4 => {
                    let lane = [None, Some(Lane::Workers), Some(Lane::Loop)];
                    let lane = lane[random.below(3) as usize];
                    bench
                        .engine
                        .set_registered(random.below(4) as u32, "", lane);
                }
                5 if random.below(4) == 0 => bench.engine.stop(),
                6 => bench.engine.start().unwrap(),
                7 => bench.timer(),
                _ => {
                    let lane = Lane::ALL[random.below(2) as usize];
                    for _ in 0..random.below(CAPACITY as u64) {
                        let ends = random.below(3) > 0;
                        bench.turn(lane, ends, false);
                    }
                }
            }
            bench.check();
        }
        for target in 0..4 {
            let lane = Lane::ALL[target % 2];
            bench.engine.set_registered(target as u32, "", Some(lane));
        }
        bench.engine.start().unwrap();
        bench.finish();
        let stats = bench.engine.stats(&mut Released::default());
        assert_eq!(
            (stats.pending, stats.running, stats.parked),
            (0, 0, 0),
            "seed {seed}"
        );
        assert_eq!(stats.succeeded + stats.cancelled, scheduled, "seed {seed}");
        assert_eq!(stats.cancelled, cancelled, "seed {seed}");
    }
}

#[test]
fn each_lane_keeps_the_order_of_due_and_sequence() {
    for seed in 1..60 {
        let mut random = Random::new(seed);
        let mut bench = Bench::new(2);
        for target in 0..4 {
            let lane = Lane::ALL[target % 2];
            bench.engine.set_registered(target as u32, "", Some(lane));
        }
        bench.engine.stop();
        let ids: Vec<_> = (0..1_500)
            .map(|_| text(bench.schedule(&mut random)))
            .collect();
        bench.engine.start().unwrap();
        let stubborn = Lane::ALL[random.below(2) as usize];
        for _ in 0..200 {
            bench.timer();
            // One lane is slow, so that a good part of what is due is in its backlog.
            let slow = random.below(8) > 0;
            let lane = if slow {
                Lane::ALL[1 - stubborn as usize]
            } else {
                stubborn
            };
            for _ in 0..random.below(60) {
                bench.turn(lane, true, true);
            }
            let id = &ids[random.below(1_500) as usize];
            bench
                .engine
                .cancel(id, &mut Released::default())
                .map(drop)
                .unwrap();
            match random.below(40) {
                // What is handed over or in a backlog goes back to its old place.
                0 => {
                    bench.engine.stop();
                    bench.engine.start().unwrap();
                }
                // A target without jobs: backlogs are queued again.
                1 => bench.engine.set_registered(9, "", Some(stubborn)),
                2 => bench.engine.set_registered(9, "", None),
                _ => {}
            }
            bench.check();
        }
        bench.finish();
        let stats = bench.engine.stats(&mut Released::default());
        assert_eq!(stats.succeeded + stats.cancelled, 1_500, "seed {seed}");
    }
}

#[test]
fn a_runner_leaves_to_the_timer_what_its_lane_gains_nothing_by() {
    let mut bench = Bench::new(1);
    for (target, lane) in [(0, Lane::Workers), (1, Lane::Loop)] {
        bench.engine.set_registered(target, "", Some(lane));
    }
    bench.engine.stop();
    for (target, count) in [(1, CAPACITY + 40), (0, 20_000)] {
        for _ in 0..count {
            bench
                .engine
                .schedule(Due::At(0), For(target), &mut Released::default())
                .unwrap();
        }
    }
    bench.engine.start().unwrap();
    while bench.engine.lane(Lane::Loop).lock().room() > 0
        || bench.engine.state.lock().backlog_count() == 0
    {
        assert_eq!(bench.engine.pump(), Pumped::More);
    }
    let mut settled = 0;
    while !bench.running[1].is_empty() || bench.engine.lane(Lane::Loop).has_due() {
        let before = bench.engine.lane(Lane::Loop).lock().started;
        assert!(bench.turn(Lane::Loop, true, true));
        settled += usize::from(bench.engine.lane(Lane::Loop).lock().started == before);
    }
    assert!(settled < 20, "{settled} times");
    let moved = bench.engine.state.lock().backlog_count();
    assert!(
        moved < 2_000,
        "the event loop has moved {moved} jobs of the workers"
    );
}

#[test]
fn an_event_loop_that_comes_to_an_engine_closed_meanwhile_is_told() {
    let bench = Bench::new(1);
    bench.engine.close(&mut Released::default());
    let loop_waker = Arc::new(LoopWaker::without_descriptor());
    let lane = bench.engine.lane(Lane::Loop);
    lane.attach(Some(loop_waker.clone()), 1);
    assert!(loop_waker.take_rung());
    assert!(!bench.engine.begin_drain());
}

#[test]
fn the_event_loop_is_called_once_for_what_it_has_not_seen() {
    let mut bench = Bench::new(1);
    let loop_waker = Arc::new(LoopWaker::without_descriptor());
    let due = |bench: &mut Bench| {
        bench
            .engine
            .schedule(Due::At(0), For(0), &mut Released::default())
            .unwrap();
        bench.timer();
    };
    bench.engine.set_registered(0, "", Some(Lane::Loop));
    let attached = Some(loop_waker.clone());
    bench.engine.lane(Lane::Loop).attach(attached, 1);
    due(&mut bench);
    assert!(loop_waker.take_rung());
    due(&mut bench);
    assert!(!loop_waker.take_rung(), "it is on its way");
    assert!(bench.engine.begin_drain());
    while bench.turn(Lane::Loop, true, true) {}
    due(&mut bench);
    assert!(!loop_waker.take_rung(), "it is not asleep yet");
    bench.engine.lane(Lane::Loop).rest();
    assert!(loop_waker.take_rung(), "what came before it rested is due");
    assert!(bench.engine.begin_drain());
    assert!(bench.turn(Lane::Loop, false, true));
    due(&mut bench);
    assert!(!bench.turn(Lane::Loop, false, true), "one is running");
    bench.engine.lane(Lane::Loop).rest();
    assert!(!loop_waker.take_rung(), "it can do nothing");
    let done = bench.running[Lane::Loop as usize].pop().unwrap();
    bench
        .engine
        .lane(Lane::Loop)
        .end(done, bench.engine.clock());
    assert!(loop_waker.take_rung(), "there is room again");
}

#[test]
fn the_loop_alone_is_called_by_its_own_alarm_and_does_what_the_timer_would() {
    let engine = Engine::new(Box::new(SystemClock)).unwrap();
    let (loop_waker, lane) = (Arc::new(LoopWaker::new().unwrap()), engine.lane(Lane::Loop));
    lane.attach(Some(loop_waker.clone()), 9);
    engine.set_registered(0, "", Some(Lane::Loop));
    engine.start().unwrap();
    let woken = || engine.sleeper().take_woken();
    let sleeps = |for_longer: bool| {
        let Pumped::Sleep(until) = engine.pump() else {
            panic!("nothing is due");
        };
        let due = engine.state.lock().asleep.unwrap().boot;
        assert_eq!(until.boot > due, for_longer);
    };
    let schedule = |delay| {
        engine
            .schedule(Due::In(delay), For(0), &mut Released::default())
            .map(drop)
    };
    schedule(SECOND / 50).unwrap();
    sleeps(true);
    assert!(woken(), "by the start");
    loop_waker.await_alarm();
    assert!(engine.begin_drain());
    assert!(lane.has_due());
    // The timer sleeps on, and is woken by what is due before its next look.
    for delay in [9 * SECOND, 8 * SECOND] {
        assert!(!woken());
        schedule(delay).unwrap();
        assert!(woken());
        sleeps(true);
    }
    schedule(9 * SECOND).unwrap();
    assert!(!woken());
    // Beside sync handlers the timer comes at the due itself.
    engine.set_registered(1, "", Some(Lane::Workers));
    assert!(woken());
    sleeps(false);
}
