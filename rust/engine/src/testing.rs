//! What tests of the engine share: payloads without an owner, and random numbers that a seed repeats.

use crate::jobs::record::{Parts, Payload};
use duewheel_model::retry::RetryOptions;
use duewheel_model::time::SECOND;

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
