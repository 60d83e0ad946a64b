//! No wake-up is lost between the workers, one of whom sleeps until the next due, and the timer's thread: with real threads,
//! and never more than one job on its way, so that nothing else would wake up who sleeps too long.

use duewheel_engine::clock::SystemClock;
use duewheel_engine::engine::{Due, Engine};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Done, Payload, Released};
use duewheel_engine::testing::{For, Random};
use duewheel_engine::timer;
use duewheel_model::outcome::{Cause, Outcome};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
/// Its handler ends when it is told to.
const WAITS: For = For(0);
/// Its handler ends at once.
const ENDS: For = For(1);
/// Its handler fails twice, and is tried again a little later.
const RETRIED: For = For(2);

struct Threads {
    engine: Arc<Engine<For>>,
    starts: Receiver<For>,
    go_on: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    fn new(workers: usize) -> Self {
        let engine = Arc::new(Engine::new(Box::new(SystemClock)).unwrap());
        for target in [WAITS, ENDS, RETRIED] {
            engine.set_registered(target.target(), "", Some(Lane::Workers));
        }
        engine.start().unwrap();
        let ((started, starts), (go_on, told)) = (channel(), channel());
        let told = Arc::new(std::sync::Mutex::new(told));
        let mut threads: Vec<_> = (0..workers)
            .map(|_| {
                let (engine, started, told) = (engine.clone(), started.clone(), told.clone());
                std::thread::spawn(move || work(&engine, &started, &told))
            })
            .collect();
        threads.push(timer::spawn(engine.clone()).unwrap());
        Threads {
            engine,
            starts,
            go_on,
            threads,
        }
    }

    fn schedule(&self, target: For, delay: i64) {
        self.engine
            .schedule(Due::In(delay), target, &mut Released::default())
            .unwrap();
    }

    fn next(&self) -> For {
        let next = self.starts.recv_timeout(LONG);
        next.expect("what is due starts: somebody was woken")
    }

    fn end(self) {
        self.engine.close(&mut Released::default());
        drop(self.go_on);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn work(engine: &Engine<For>, starts: &Sender<For>, told: &std::sync::Mutex<Receiver<()>>) {
    while timer::wait_for_work(engine) {
        engine.ready().arrived();
        let mut done: Option<Done<()>> = None;
        loop {
            let started = match engine.ready().turn(done.take(), engine.clock()) {
                Turn::Run(started) => started,
                Turn::Settle => {
                    engine.settle_and_refill(Lane::Workers, &mut Released::default());
                    continue;
                }
                Turn::Mark | Turn::Rest => break,
            };
            assert!(started.lateness >= 0);
            let target = started.execution.payload;
            starts.send(target).unwrap();
            let attempts = started.progress().attempt;
            done = Some(started.ended(match target {
                WAITS => {
                    let _ = told.lock().unwrap().recv();
                    Outcome::Done
                }
                RETRIED if attempts < 3 => {
                    Outcome::again(started.at + 50_000, Cause::Retry, started.progress())
                }
                _ => Outcome::Done,
            }));
        }
    }
}

#[test]
fn what_is_due_starts_whoever_sleeps_or_is_about_to() {
    for workers in 1..=3 {
        let threads = Threads::new(workers);
        let mut random = Random::new(workers as u64);
        for _ in 0..3_000 {
            // Around the time that a worker takes to go to sleep, or to wake up.
            match random.below(4) {
                0 => threads.schedule(ENDS, random.below(100_000) as i64),
                1 => threads.schedule(ENDS, 0),
                2 => {
                    threads.schedule(ENDS, 60_000_000_000);
                    std::thread::sleep(Duration::from_nanos(random.below(60_000)));
                    threads.schedule(ENDS, random.below(60_000) as i64);
                }
                _ => {
                    threads.schedule(RETRIED, random.below(30_000) as i64);
                    for _ in 0..2 {
                        assert_eq!(threads.next(), RETRIED);
                    }
                }
            }
            threads.next();
        }
        threads.end();
    }
}

#[test]
fn while_a_worker_is_in_a_handler_the_others_are_called_at_the_due() {
    for workers in 2..=4 {
        let threads = Threads::new(workers);
        for delay in (0..200).map(|turn| turn * 2_000) {
            for _ in 1..workers {
                threads.schedule(WAITS, delay);
                assert_eq!(threads.next(), WAITS);
            }
            // The last one is called again and again, by the timer's thread or by itself.
            for _ in 0..3 {
                threads.schedule(ENDS, delay);
                assert_eq!(threads.next(), ENDS);
            }
            for _ in 1..workers {
                threads.go_on.send(()).unwrap();
            }
        }
        threads.end();
    }
}

#[test]
fn whoever_sleeps_ends_when_the_engine_is_closed() {
    let mut random = Random::new(1);
    for turn in 0..300 {
        let threads = Threads::new(turn % 4);
        threads.schedule(ENDS, 60_000_000_000);
        if turn % 3 == 0 {
            threads.schedule(ENDS, random.below(100_000) as i64);
        }
        std::thread::sleep(Duration::from_nanos(random.below(200_000)));
        threads.end();
    }
}

#[test]
fn what_was_stopped_and_is_started_again_is_woken_for() {
    let threads = Threads::new(2);
    for delay in 0..500 {
        threads.engine.stop();
        threads.schedule(ENDS, delay * 100);
        threads.engine.start().unwrap();
        threads.next();
    }
    threads.end();
}
