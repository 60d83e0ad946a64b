//! What tests of the engine share: payloads without an owner, a wait for a call, and random numbers that a seed repeats.

use crate::due::queue::Key;
use crate::engine::{Engine, Pending, Refused};
use crate::jobs::record::{Parts, Payload, Released};
use duewheel_model::retry::RetryOptions;
use duewheel_model::time::SECOND;
use std::sync::{Arc, mpsc};

/// A payload that is the number of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct For(pub u32);

impl Payload for For {
    type Failure = ();

    fn target(self) -> u32 {
        self.0
    }
}

/// A payload without data, for the target `t`: a store has something to keep of it.
#[derive(Clone, Copy, Debug)]
pub struct Empty;

impl Payload for Empty {
    type Failure = String;

    fn target(self) -> u32 {
        0
    }

    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        look(Parts {
            target: "t",
            data: b"",
            carried: None,
            options: RetryOptions {
                retry_limit: None,
                age_limit: None,
                min_backoff: SECOND,
                max_backoff: SECOND,
                at_most_once: false,
            },
        })
    }
}

/// The key of an entry at this index, for what looks at no entry.
#[must_use]
pub fn key(index: u32) -> Key {
    Key {
        index,
        generation: 0,
    }
}

/// Wait for a call, but not for its ticket.
///
/// # Errors
///
/// Those of the call.
pub fn made<T: Send + 'static, P: Payload>(
    engine: &Arc<Engine<P>>,
    pending: Result<Pending<T, P>, Refused>,
    released: &mut Released<P>,
) -> Result<T, Refused> {
    let ask = match pending? {
        Pending::Made(value, _) => return Ok(value),
        Pending::Asks(ask) => ask,
    };
    let (send, receive) = mpsc::sync_channel(1);
    engine.ask(ask, move |delivered| drop(send.send(delivered)));
    let delivered = receive.recv().map_err(|_| Refused::Closed)?;
    delivered.take(released).map(|(value, _)| value)
}

/// Random numbers, the same for the same seed: xorshift64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Small seeds lie far apart, and no state is 0.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits are the weak ones.
        (self.0 >> 11) % bound
    }
}
