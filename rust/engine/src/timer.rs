//! The timer loop: hand over what is due, sleep until the next due, and not once more.

use crate::engine::{Engine, Pumped};
use crate::handover::early_wake::Lead;
use crate::jobs::record::Payload;
use std::sync::Arc;

/// Run the loop on a thread of its own until the engine is closed.
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
    let mut sent = Lead::default();
    loop {
        match engine.pump() {
            Pumped::More => {}
            Pumped::Sleep(until) => {
                let lead = engine.ready().early_wake.lead();
                let (until, send) = sent.plan(until, lead, engine.clock());
                if send {
                    engine.ready().wake_early();
                }
                engine.sleeper().sleep(until);
            }
            Pumped::Closed => return,
        }
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
                assert!(engine.ready().wait_for_work());
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
