//! The timer loop: hand over what is due, sleep until the next due, and not once more.

use crate::ahead::Sent;
use crate::engine::{Engine, Pumped};
use crate::record::Payload;
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
    let mut sent = Sent::default();
    loop {
        match engine.pump() {
            Pumped::More => {}
            Pumped::Sleep(until) => {
                let lead = engine.ready().ahead.lead();
                let (until, send) = sent.plan(until, lead, engine.clock());
                if send {
                    engine.ready().send_ahead();
                }
                engine.sleeper().sleep(until);
            }
            Pumped::Closed => return,
        }
    }
}
