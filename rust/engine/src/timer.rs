//! Who sleeps until the next due hands over what is due then, and sleeps again: not once more.
//!
//! Where a worker is idle, it is the one who sleeps ([`Seat::Worker`]): at the due one thread wakes up, hands over and runs. The
//! timer's thread sleeps for the same beside it, and is woken when no worker is: all of them are in handlers, or there are none.
//! Nothing is told from the one to the other, for both do the same: who wakes up looks what is due, and sets the timers for
//! what comes next. So a worker that becomes busy has nothing to give up, and one that is idle again only sits down.
//!
//! | the worker in the seat | what comes | who wakes up |
//! | --- | --- | --- |
//! | sleeps | a due, an earlier due, a retry | the worker: it hands over, sets the timers, and comes if there is work for it |
//! | sleeps | work from elsewhere, a page | another idle worker; the one in the seat if there is none |
//! | has risen, or is in a handler | a due, an earlier due | the timer's thread, which calls an idle worker |
//! | has risen | work from elsewhere | nobody: it looks before it sits down again |
//! | is about to sleep | any of it | the timer's thread, unless it is about to sleep as well; the next sleep of either ends at once |
//! | any | the end | both |

use crate::engine::{BATCHES_OF_A_LANE, Engine, Pumped};
use crate::handover::idle::Waited;
use crate::jobs::record::Payload;
use crate::sleep::Seat;
use std::sync::Arc;

/// Run the timer's loop on a thread of its own until the engine is closed.
///
/// # Errors
///
/// When the operating system gives no thread.
pub fn spawn<P: Payload>(engine: Arc<Engine<P>>) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name("duewheel-timer".into())
        .spawn(move || run(&engine))
}

/// The loop itself; returns when the engine is closed.
pub fn run<P: Payload>(engine: &Engine<P>) {
    // Without slack the kernel may wake a thread 50 µs late to save power.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    loop {
        match look(engine) {
            Looked::More => {}
            Looked::Sleep { send } => {
                if send {
                    engine.ready().wake_early();
                }
                engine.sleeper().sleep(Seat::Timer);
            }
            Looked::Closed => return,
        }
    }
}

/// Wait until there is work for this worker, be it by sleeping until it is due; `false`: there never will be again.
pub fn wait_for_work<P: Payload>(engine: &Engine<P>) -> bool {
    let ready = engine.ready();
    loop {
        match ready.wait_for_work() {
            Waited::Comes => return true,
            Waited::Ends => return false,
            Waited::Sits => engine.sleeper().sleep(Seat::Worker),
        }
        // Whatever has ended the sleep, a due may have come with it, of which nobody else was told.
        let risen = ready.rise();
        let wanted = look_as_worker(engine);
        if ready.come(risen, wanted) {
            return true;
        }
    }
}

/// Hand over what is due, as much as a lane takes; whether the worker is to wait for the interpreter ahead of a due.
fn look_as_worker<P: Payload>(engine: &Engine<P>) -> bool {
    for _ in 0..BATCHES_OF_A_LANE {
        match look(engine) {
            Looked::More => {}
            Looked::Sleep { send } => return send,
            Looked::Closed => return false,
        }
    }
    // The rest is for others, or nothing to wait for.
    engine.wake_timer();
    false
}

enum Looked {
    /// Look again at once.
    More,
    /// The timers are set. `send`: first a worker is to wait for the interpreter.
    Sleep {
        send: bool,
    },
    Closed,
}

/// Hand over a batch of what is due, and set the timers when there is no more. One thread at a time: they are to be set
/// for what was seen last.
fn look<P: Payload>(engine: &Engine<P>) -> Looked {
    let mut sent = engine.lead().lock();
    match engine.pump() {
        Pumped::More => Looked::More,
        Pumped::Sleep(until) => {
            let lead = engine.ready().early_wake.lead();
            let (until, send) = sent.plan(until, lead, engine.clock());
            engine.sleeper().arm(until);
            Looked::Sleep { send }
        }
        Pumped::Closed => Looked::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::engine::Due;
    use crate::jobs::record::Released;
    use crate::testing::For;
    use duewheel_model::time::SECOND;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::Duration;

    #[test]
    fn while_the_interpreter_is_busy_a_worker_is_called_before_the_due() {
        let engine = Arc::new(Engine::<For>::new(Box::new(SystemClock)).unwrap());
        engine.set_registered(0, "", Some(crate::handover::queue::Lane::Workers));
        engine.start().unwrap();
        let timer = spawn(engine.clone()).unwrap();
        assert!(engine.ready().early_wake.found_busy(7_200 * SECOND));
        let called = Arc::new(AtomicBool::new(false));
        let worker = std::thread::spawn({
            let (engine, called) = (engine.clone(), called.clone());
            move || {
                assert!(wait_for_work(&engine));
                called.store(true, Relaxed);
                assert!(!engine.ready().has_due());
            }
        });
        // A worker that does not wait yet is not called: so each due is earlier than the last.
        let mut due = 3_600;
        while !called.load(Relaxed) && !worker.is_finished() {
            engine
                .schedule(Due::In(due * SECOND), For(0), &mut Released::default())
                .unwrap();
            due = (due - 1).max(1_800);
            std::thread::sleep(Duration::from_millis(5));
        }
        engine.close(&mut Released::default());
        worker.join().unwrap();
        timer.join().unwrap();
    }
}
