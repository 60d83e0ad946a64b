//! The schedulers of this process: a fork disowns them, and the end of the interpreter closes them.

use crate::interpreter::{gil, process};
use crate::shared::Shared;
use crate::values::payload::release;
use duewheel_engine::sync::Mutex;
use pyo3::prelude::*;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The schedulers that were made here, and may be open.
static ALIVE: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// How often the end of the interpreter closes schedulers: a logging handler may make one while others are closed.
const ROUNDS: usize = 3;

/// How long the end of the interpreter waits for idle threads to end.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for event loops whose tasks have been cancelled.
const LOOP_PATIENCE: Duration = Duration::from_secs(1);

/// Close a scheduler at the end of the interpreter, if it is not closed by then.
pub(crate) fn remember(shared: &Arc<Shared>) {
    let mut alive = ALIVE.lock();
    alive.retain(|known| known.strong_count() > 0);
    alive.push(Arc::downgrade(shared));
}

/// Disown the schedulers of the parent: called in the child of every fork.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    process::after_fork_in_child();
    gil::after_fork_in_child();
    // Another thread may have held the lock when the process was copied: then it is never released here.
    if let Some(mut alive) = ALIVE.try_lock() {
        std::mem::take(&mut *alive)
            .into_iter()
            .for_each(std::mem::forget);
    }
}

/// Take the schedulers of this process that were made since the last call.
fn take_alive() -> Vec<Arc<Shared>> {
    // Another thread holds it for a moment; for ever in the child of a fork that did not call
    // `after_fork_in_child`.
    let held = (0..1_000).find_map(|_| {
        std::thread::yield_now();
        ALIVE.try_lock()
    });
    let alive = held.map_or_else(Vec::new, |mut alive| std::mem::take(&mut *alive));
    let alive = alive.iter().filter_map(Weak::upgrade);
    alive.filter(|shared| !shared.is_forked()).collect()
}

/// Close every scheduler and wait until no thread of duewheel needs the interpreter any more.
///
/// Threads that are in a handler are not waited for.
#[pyfunction]
pub(crate) fn at_exit(py: Python<'_>) {
    process::set_ending();
    let mut closed = Vec::new();
    for _ in 0..ROUNDS {
        // Closing logs, and what is called so may make, use and close schedulers.
        let alive = take_alive();
        if alive.is_empty() {
            break;
        }
        for shared in &alive {
            shared.close(py, release);
        }
        closed.extend(alive);
    }
    py.detach(|| {
        let wait_while = |patience, busy: &dyn Fn(&Arc<Shared>) -> bool| {
            let deadline = Instant::now() + patience;
            while closed.iter().any(busy) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
        };
        // A loop runs as long as a task of it, which may suppress its cancellation.
        wait_while(LOOP_PATIENCE, &|shared| shared.threads.loops() > 0);
        wait_while(WORKER_PATIENCE, &|shared| {
            shared.threads.workers() > shared.engine.ready().running()
        });
        let deadline = Instant::now() + LOOP_PATIENCE;
        while process::leaving() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(200));
        }
    });
}
