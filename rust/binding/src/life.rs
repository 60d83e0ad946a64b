//! Life in a process: forks, and the end of the interpreter.

use crate::nudge;
use crate::shared::Shared;
use duewheel_core::sync::Mutex;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often this process was made by a fork of one that had loaded the module.
static FORKS: AtomicUsize = AtomicUsize::new(0);

static ALIVE: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// How long the end of the interpreter waits for idle threads to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long it waits for event loops whose tasks have been cancelled.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[inline]
pub(crate) fn forks() -> usize {
    FORKS.load(Ordering::Relaxed)
}

pub(crate) fn remember(shared: &Arc<Shared>) {
    let mut alive = ALIVE.lock();
    alive.retain(|known| known.strong_count() > 0);
    alive.push(Arc::downgrade(shared));
}

/// Disown what was made before: called in the child of every fork.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    nudge::after_fork_in_child();
    // Another thread may have held the lock when the process was copied: it never lets go.
    if let Some(mut alive) = ALIVE.try_lock() {
        std::mem::take(&mut *alive)
            .into_iter()
            .for_each(std::mem::forget);
    }
}

/// Close every scheduler and wait until no thread of ours will want the interpreter again.
///
/// Those aside that are inside a handler.
#[pyfunction]
pub(crate) fn at_exit(py: Python<'_>) {
    // Who holds it lets go at once, but for ever in a child forked meanwhile that did not tell us.
    let held = (0..1_000).find_map(|_| {
        std::thread::yield_now();
        ALIVE.try_lock()
    });
    let Some(mut alive) = held else {
        return;
    };
    let alive: Vec<Arc<Shared>> = std::mem::take(&mut *alive)
        .iter()
        .filter_map(Weak::upgrade)
        .collect();
    let alive: Vec<Arc<Shared>> = alive
        .into_iter()
        .filter(|shared| !shared.is_forked())
        .collect();
    for shared in &alive {
        shared.close(py);
    }
    py.detach(|| {
        let wait_while = |patience, busy: &dyn Fn(&Arc<Shared>) -> bool| {
            let deadline = Instant::now() + patience;
            while alive.iter().any(busy) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
        };
        // A loop goes on while a task of it does, which may swallow that it is cancelled.
        wait_while(LAST_WORDS, &|shared| {
            shared.loops.load(Ordering::SeqCst) > 0
        });
        wait_while(FAREWELL, &|shared| {
            shared.threads() > shared.engine.ready().running()
        });
    });
}
