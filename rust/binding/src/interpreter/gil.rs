//! The wait of a worker for the interpreter's lock, while another thread spins in Python.
//!
//! Beside a thread that never waits, a thread that wants the lock gets it a switch interval later: 5 ms.
//! Two ways round that, both without touching the interval. Jobs whose due is known in time
//! have a worker that waits already ([`duewheel_engine::handover::early_wake`]). For the others, where the thread
//! that spins is the main one, a pending call hands the interpreter over.

use crate::interpreter::call;
use crate::interpreter::process;
use duewheel_engine::clock::{Clock, SystemClock};
use duewheel_engine::handover::early_wake::EarlyWake;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

/// How long the main thread waits for the worker to whom it hands over, in nanoseconds.
const HAND_OVER: i64 = 500_000;

/// How long the main thread is not asked again after that, or as long as it has waited, if that is
/// longer: a hand-over costs it about 100 µs, so that many of them take 5 % of its time.
const REST: i64 = 2_000_000;

// Of the process, as the interpreter's lock is.

/// A call is posted that has not run yet.
static POSTED: AtomicBool = AtomicBool::new(false);
/// Workers that wait for the interpreter, and would be handed it.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// How many of them have got it so far.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
/// How often the main thread has handed it over.
static HANDED: AtomicU64 = AtomicU64::new(0);
/// Until when the main thread is not asked again, on the boot clock.
static REST_UNTIL: AtomicI64 = AtomicI64::new(0);

/// A worker's wait for the interpreter.
pub(crate) struct GilWait {
    since: i64,
    handed: u64,
    posted: bool,
}

impl GilWait {
    /// Begin it, detached; `urgent`: a job is due, and the interpreter is busy.
    pub(crate) fn begin(urgent: bool) -> Self {
        let since = SystemClock.boot();
        let handed = HANDED.load(SeqCst);
        let posted = urgent && since >= REST_UNTIL.load(Relaxed) && post();
        GilWait {
            since,
            handed,
            posted,
        }
    }

    /// End it, attached, and note whether the interpreter was busy. `true`: the timer is to be woken.
    #[inline]
    pub(crate) fn end(self, py: Python<'_>, early_wake: &EarlyWake) -> bool {
        if self.posted {
            ARRIVED.fetch_add(1, SeqCst);
            WAITING.fetch_sub(1, SeqCst);
        }
        let took = SystemClock.boot() - self.since;
        let handed = self.posted && HANDED.load(SeqCst) != self.handed;
        if took < 100_000 && !handed {
            early_wake.found_free();
            return false;
        }
        let interval = switch_interval(py);
        if handed || took >= interval / 2 {
            early_wake.found_busy(interval)
        } else {
            early_wake.found_free();
            false
        }
    }
}

/// Ask the main thread to hand over at the next place where it may.
fn post() -> bool {
    if !HANDS_OVER.load(Relaxed) {
        return false;
    }
    WAITING.fetch_add(1, SeqCst);
    if !POSTED.swap(true, SeqCst) {
        let fork = std::ptr::without_provenance_mut(process::forks());
        // SAFETY: it may be called without the interpreter, by a thread that has a thread state;
        // what is posted is a function of this module, which is never unloaded.
        if unsafe { ffi::Py_AddPendingCall(Some(hand_over), fork) } != 0 {
            // No place among the calls of others.
            POSTED.store(false, SeqCst);
        }
    }
    true
}

/// Runs on the main thread, between two of its steps, some time after it was posted: the worker may have
/// the interpreter already, or have ended.
extern "C" fn hand_over(fork: *mut c_void) -> c_int {
    if fork.addr() != process::forks() {
        // It was posted in the parent of this process.
        return 0;
    }
    POSTED.store(false, SeqCst);
    if WAITING.load(SeqCst) > 0 {
        Python::try_attach(|py| {
            let begun = SystemClock.boot();
            let arrived = ARRIVED.load(SeqCst);
            HANDED.fetch_add(1, SeqCst);
            py.detach(|| {
                // No lock and no condition: a child forked meanwhile must find none taken.
                while ARRIVED.load(SeqCst) == arrived && SystemClock.boot() - begun < HAND_OVER {
                    std::thread::yield_now();
                }
            });
            let now = SystemClock.boot();
            REST_UNTIL.store(now + REST.max(now - begun), Relaxed);
        });
    }
    0
}

/// Whether a call that another thread posts interrupts the main thread: not before 3.13 (there it
/// waits until the main thread has released the interpreter anyway), and without a lock there is no need.
static HANDS_OVER: AtomicBool = AtomicBool::new(false);

/// Find out what this interpreter can; called once, when the module is made.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let lock = match call::import(py, "sys")?.getattr_opt("_is_gil_enabled")? {
        Some(enabled) => enabled.call0()?.is_truthy()?,
        None => true,
    };
    HANDS_OVER.store(lock && py.version_info() >= (3, 13), Relaxed);
    Ok(())
}

/// No worker of the parent waits here.
pub(crate) fn after_fork_in_child() {
    POSTED.store(false, SeqCst);
    WAITING.store(0, SeqCst);
}

/// `sys.getswitchinterval()`, in nanoseconds.
fn switch_interval(py: Python<'_>) -> i64 {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let get = GET.get_or_try_init(py, || {
        Ok::<_, PyErr>(
            call::import(py, "sys")?
                .getattr("getswitchinterval")?
                .unbind(),
        )
    });
    let seconds = get.and_then(|get| get.bind(py).call0()?.extract::<f64>());
    (seconds.unwrap_or(0.005) * 1e9) as i64
}
