//! Tests: controlled targets, by themselves and at random.

use super::super::*;
use crate::clock::ManualClock;
use crate::controls::{Controls, HeldBy, Rate};
use crate::handover::queue::Turn;
use crate::jobs::record::Started;
use crate::testing::{For, Random};
use duewheel_model::outcome::{Cause, Outcome};
use duewheel_model::time::SECOND;

const FREE: Controls = Controls {
    concurrency: None,
    is_over_nodes: false,
    rate: None,
    priority: 0,
};

fn limit(concurrency: usize) -> Controls {
    Controls {
        concurrency: Some(concurrency),
        ..FREE
    }
}

fn rate(interval: i64, burst: i64) -> Controls {
    let tolerance = (burst - 1) * interval;
    Controls {
        rate: Some(Rate {
            interval,
            tolerance,
        }),
        ..FREE
    }
}

/// An engine driven by one thread that does as the timer and the runners do, with as many runners as there is need of.
struct Bench {
    clock: Arc<ManualClock>,
    engine: Engine<For>,
    /// What the timer sleeps for, until it is woken.
    asleep: Option<Until>,
    running: Vec<(Lane, Started<For>)>,
    /// Target, sequence and time of each start.
    starts: Vec<(u32, u64, i64)>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_000 * SECOND, 1_000 * SECOND));
        let engine = Engine::new(Box::new(clock.clone())).unwrap();
        engine.lane(Lane::Loop).attach(None, usize::MAX);
        engine.start().unwrap();
        Bench {
            clock,
            engine,
            asleep: None,
            running: Vec::new(),
            starts: Vec::new(),
        }
    }

    fn with(controls: &[Controls]) -> Self {
        let bench = Bench::new();
        for (target, &controls) in controls.iter().enumerate() {
            bench.control(target as u32, Some(Lane::Workers), controls);
        }
        bench
    }

    fn control(&self, target: u32, lane: Option<Lane>, controls: Controls) {
        self.engine.set_controlled(target, "", lane, controls);
    }

    fn schedule(&self, due: i64, target: u32) -> String {
        let due = Due::At(due);
        let made = self
            .engine
            .schedule(due, For(target), &mut Released::default());
        crate::jobs::record::Id::Generated(made.unwrap().0).with_str(str::to_owned)
    }

    fn cancel(&self, id: &str) -> bool {
        let gone = self.engine.cancel(id, &mut Released::default());
        matches!(gone, Ok(Pending::Made(Cancelled::Here(_), _)))
    }

    fn now(&self) -> i64 {
        self.engine.clock().boot()
    }

    fn advance(&mut self, by: i64) {
        let (wall, boot) = (self.engine.clock().wall() + by, self.now() + by);
        self.clock.set(wall, boot);
        let woken = self.asleep.is_some_and(|until| {
            until.wall.is_some_and(|at| at <= wall) || until.boot.is_some_and(|at| at <= boot)
        });
        if woken {
            self.asleep = None;
        }
    }

    /// Let the timer do as far as it goes, if anything has woken it.
    fn timer(&mut self) {
        if self.engine.sleeper().take_woken() {
            self.asleep = None;
        }
        while self.asleep.is_none() {
            if let Pumped::Sleep(until) = self.engine.pump() {
                self.asleep = Some(until);
            }
        }
    }

    /// One turn of a runner; `false`: it rests.
    fn turn(&mut self, lane: Lane, done: Option<Done<()>>) -> bool {
        match self.engine.lane(lane).turn(done, self.engine.clock()) {
            Turn::Run(started) => {
                let Started { execution, .. } = &started;
                let target = execution.payload.target();
                if self.engine.state.lock().targets.lane_of(target) != Some(lane) {
                    return self.turn(lane, Some(started.unhandled()));
                }
                self.engine.note_start(&started);
                let now = self.now();
                self.starts.push((target, execution.sequence, now));
                self.running.push((lane, started));
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

    /// Let idle runners and the timer do all that can be done.
    fn run(&mut self) {
        loop {
            self.timer();
            let mut any = false;
            for lane in Lane::ALL {
                while self.turn(lane, None) {
                    any = true;
                }
            }
            if !any && !self.engine.sleeper().take_woken() {
                break;
            }
            if !any {
                self.asleep = None;
            }
        }
        self.engine.check().unwrap();
    }

    /// One of those that run ends so; its runner takes its next turn.
    fn end(&mut self, at: usize, outcome: Outcome<()>) {
        let (lane, started) = self.running.remove(at);
        self.turn(lane, Some(started.ended(outcome)));
    }

    /// The sequences of what has started since this was asked before, with their targets.
    fn started(&mut self) -> Vec<(u32, u64)> {
        let starts = std::mem::take(&mut self.starts);
        starts
            .into_iter()
            .map(|(target, seq, _)| (target, seq))
            .collect()
    }
}

#[test]
fn what_a_target_holds_blocks_no_other_and_a_place_is_free_at_once() {
    let mut bench = Bench::with(&[limit(2), FREE]);
    let ids: Vec<_> = (0..5).map(|_| bench.schedule(5, 0)).collect();
    bench.schedule(6, 1);
    bench.run();
    assert_eq!(bench.started(), [(0, 0), (0, 1), (1, 5)]);
    let held_by = |bench: &Bench, id: &str| bench.engine.held_by(id).unwrap();
    assert_eq!(held_by(&bench, &ids[2]), Some(HeldBy::Concurrency(2)));
    assert_eq!(held_by(&bench, &ids[0]), None);
    // What runs of the other target is of no account, and a retry gives its place back, too.
    bench.end(2, Outcome::Done);
    bench.run();
    assert_eq!(bench.started(), []);
    let progress = bench.running[0].1.progress();
    let again = Outcome::again(bench.now(), Cause::Retry, progress);
    bench.end(0, again);
    bench.run();
    assert_eq!(bench.started(), [(0, 2)]);
    assert!(bench.cancel(&ids[3]));
    bench.end(0, Outcome::Done);
    bench.run();
    assert_eq!(bench.started(), [(0, 4)]);
    bench.end(0, Outcome::Done);
    bench.run();
    assert_eq!(bench.started(), [(0, 6)], "the retry");
    assert_eq!(bench.engine.stats(&mut Released::default()).pending, 0);
}

#[test]
fn what_was_held_takes_its_old_place_among_what_waits_for_a_runner() {
    let mut bench = Bench::with(&[limit(1), FREE]);
    for target in [0, 0, 1, 1] {
        bench.schedule(5, target);
    }
    bench.timer();
    assert!(bench.turn(Lane::Workers, None));
    // The only worker: its end lets the second go before the others, which were handed over.
    bench.end(0, Outcome::Done);
    bench.run();
    assert_eq!(bench.started(), [(0, 0), (0, 1), (1, 2), (1, 3)]);
}

#[test]
fn a_rate_counts_starts_as_they_happen() {
    let mut bench = Bench::with(&[rate(SECOND, 1)]);
    for _ in 0..4 {
        bench.schedule(5, 0);
    }
    bench.timer();
    // No worker is free for ten seconds.
    bench.advance(10 * SECOND);
    bench.run();
    assert_eq!(bench.started(), [(0, 0)]);
    let until = bench.asleep.unwrap();
    assert_eq!(until.boot, Some(bench.now() + SECOND));
    bench.advance(SECOND - 1);
    bench.run();
    assert_eq!(bench.started(), []);
    bench.advance(1);
    bench.run();
    assert_eq!(bench.started(), [(0, 1)]);
    bench.advance(7 * SECOND);
    bench.run();
    assert_eq!(bench.started(), [(0, 2)]);
}

#[test]
fn a_burst_starts_at_once_and_comes_back_with_time() {
    let mut bench = Bench::with(&[rate(SECOND, 3)]);
    for _ in 0..8 {
        bench.schedule(5, 0);
    }
    bench.run();
    assert_eq!(bench.started().len(), 3);
    bench.advance(2 * SECOND);
    bench.run();
    assert_eq!(bench.started().len(), 2);
    bench.advance(60 * SECOND);
    bench.run();
    assert_eq!(bench.started().len(), 3);
}

#[test]
fn a_head_start_counts_among_what_is_due_and_was_handed_over() {
    let prior = |seconds: i64| Controls {
        priority: seconds * SECOND,
        ..FREE
    };
    let mut bench = Bench::with(&[FREE, prior(10), prior(-5)]);
    for due in 0..300 {
        bench.schedule(due * SECOND, 0);
    }
    bench.timer();
    for (due, target) in [(20, 1), (40, 2), (4, 1)] {
        bench.schedule(due * SECOND, target);
        bench.timer();
    }
    let mut expected: Vec<_> = (0..300).map(|due| (due, due as u64, 0)).collect();
    expected.extend([(20 - 10, 300, 1), (40 + 5, 301, 2), (4 - 10, 302, 1)]);
    expected.sort_unstable();
    let mut order = Vec::new();
    while order.len() < expected.len() {
        bench.run();
        order.append(&mut bench.started());
        bench.running.clear();
    }
    let expected: Vec<_> = (expected.iter())
        .map(|&(_, seq, target)| (target, seq))
        .collect();
    assert_eq!(order, expected);
}

/// How many batches and turns it takes to run what is due of a free target beside what others hold.
fn steps_beside(held: usize) -> usize {
    let mut bench = Bench::with(&[limit(1), rate(3_600 * SECOND, 1), FREE]);
    for target in 0..2 {
        for _ in 0..=held {
            bench.schedule(5, target);
        }
    }
    bench.run();
    assert_eq!(bench.engine.state.lock().backlog_count(), 2 * held);
    bench.started();
    // What runs of the others does not end.
    bench.running.clear();
    for _ in 0..1_000 {
        bench.schedule(6, 2);
    }
    let mut steps = 0;
    while bench.starts.len() < 1_000 {
        steps += 1;
        if bench.engine.sleeper().take_woken() || bench.asleep.is_none() {
            bench.asleep = match bench.engine.pump() {
                Pumped::Sleep(until) => Some(until),
                _ => None,
            };
        }
        let done = bench
            .running
            .pop()
            .map(|(_, started)| started.ended(Outcome::Done));
        bench.turn(Lane::Workers, done);
    }
    assert!(bench.starts.iter().all(|start| start.0 == 2));
    steps
}

#[test]
fn a_target_at_its_limit_costs_others_nothing() {
    assert_eq!(steps_beside(100_000), steps_beside(10));
}

const CONTROLS: [Controls; 6] = [
    FREE,
    Controls {
        concurrency: Some(1),
        is_over_nodes: false,
        rate: None,
        priority: 0,
    },
    Controls {
        concurrency: Some(3),
        is_over_nodes: false,
        rate: None,
        priority: 7,
    },
    Controls {
        concurrency: None,
        is_over_nodes: false,
        rate: Some(Rate {
            interval: 10,
            tolerance: 0,
        }),
        priority: 0,
    },
    Controls {
        concurrency: Some(2),
        is_over_nodes: false,
        rate: Some(Rate {
            interval: 7,
            tolerance: 14,
        }),
        priority: -3,
    },
    Controls {
        concurrency: None,
        is_over_nodes: false,
        rate: None,
        priority: 20,
    },
];

impl Bench {
    /// Hold that no more of a target run than may, that no window has more starts than may be, and that what is held
    /// waits for an end, or for a time at which the timer looks.
    fn check_limits(&self, from: usize) {
        for (target, controls) in CONTROLS.iter().enumerate() {
            let runs = self.running.iter();
            let runs = runs.filter(|(_, started)| started.execution.payload.0 as usize == target);
            assert!(runs.count() <= controls.concurrency.unwrap_or(usize::MAX));
            let of_it = self
                .starts
                .iter()
                .filter(|start| start.0 as usize == target);
            let times: Vec<i64> = of_it.map(|start| start.2).collect();
            if let Some(Rate {
                interval,
                tolerance,
            }) = controls.rate
            {
                let burst = (tolerance / interval + 1) as usize;
                for n in 1..6 {
                    // In any window of n intervals no more than n + burst - 1.
                    for (first, last) in times.iter().zip(times.iter().skip(n + burst - 1)) {
                        assert!(last - first >= n as i64 * interval, "{times:?} {from}");
                    }
                }
            }
            let state = self.engine.state.lock();
            let is_holding = state.targets.controls.holding().contains(&(target as u32));
            match state.targets.controls.held_by(target as u32, self.now()) {
                HeldBy::Rate(Some(at)) if is_holding => {
                    assert!(self.asleep.unwrap().boot.is_some_and(|boot| boot <= at));
                }
                held_by => assert!(!is_holding || matches!(held_by, HeldBy::Concurrency(_))),
            }
        }
    }
}

#[test]
fn limits_hold_and_nothing_waits_longer_whatever_happens() {
    for seed in 1..40 {
        let mut random = Random::new(seed);
        let mut bench = Bench::new();
        let lane_of = |target: u32| Lane::ALL[(target as usize + seed as usize) % 3 % 2];
        for target in 0..6 {
            bench.control(target, Some(lane_of(target)), CONTROLS[target as usize]);
        }
        let (mut ids, mut cancelled, mut scheduled) = (Vec::new(), 0, 0);
        for _ in 0..120 {
            match random.below(12) {
                0..3 => {
                    for _ in 0..random.below(40) {
                        let due = bench.now() + random.below(60) as i64 - 40;
                        ids.push(bench.schedule(due, random.below(6) as u32));
                        scheduled += 1;
                    }
                }
                3 if !ids.is_empty() => {
                    for _ in 0..random.below(20) {
                        let id = &ids[random.below(ids.len() as u64) as usize];
                        cancelled += u64::from(bench.cancel(id));
                    }
                }
                4 if !ids.is_empty() => {
                    let id = &ids[random.below(ids.len() as u64) as usize];
                    let due = bench.now() + random.below(30) as i64 - 15;
                    let moved = bench.engine.reschedule(id, due, &mut Released::default());
                    moved.map(drop).unwrap();
                }
                5 => {
                    let target = random.below(6) as u32;
                    bench.control(target, None, FREE);
                    if random.below(3) > 0 {
                        bench.control(target, Some(lane_of(target)), CONTROLS[target as usize]);
                    }
                }
                6 if random.below(4) == 0 => bench.engine.stop(),
                7 => bench.engine.start().unwrap(),
                8 => {
                    let step = random.below(60) as i64 - 30;
                    let wall = bench.engine.clock().wall() + step;
                    bench.clock.set(wall, bench.now());
                    bench.asleep = None;
                }
                _ => bench.advance(random.below(20) as i64),
            }
            for _ in 0..random.below(6) {
                if !bench.running.is_empty() {
                    let at = random.below(bench.running.len() as u64) as usize;
                    let progress = bench.running[at].1.progress();
                    let outcome = match random.below(4) {
                        0 => Outcome::again(bench.now() + 3, Cause::Retry, progress),
                        _ => Outcome::Done,
                    };
                    bench.end(at, outcome);
                }
            }
            bench.run();
            bench.check_limits(seed as usize);
        }
        for target in 0..6 {
            bench.control(target, Some(lane_of(target)), CONTROLS[target as usize]);
        }
        bench.engine.start().unwrap();
        while bench.engine.stats(&mut Released::default()).pending > 0 || !bench.running.is_empty()
        {
            bench.advance(20);
            while !bench.running.is_empty() {
                bench.end(0, Outcome::Done);
            }
            bench.run();
        }
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
