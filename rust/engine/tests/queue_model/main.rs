//! The due-queue against a plain model: `check()` after every operation.

mod bounds;
mod bursts;
mod pair;
mod random;

use duewheel_engine::due::queue::Now;

const START: Now = Now {
    wall: 1_760_000_000_123_456_789,
    boot: 77_000_000_123,
};

// Not random, so that what fails once fails again; not rising, so that sorting matters.
fn scatter(n: u64, spread: i64) -> i64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1) as i64 % spread
}
