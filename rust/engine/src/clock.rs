//! The clocks that the engine reads, in `i64` nanoseconds.
//!
//! The wall clock counts from the Unix epoch; the boot clock is monotonic, counts suspended time and
//! starts anywhere.

use crate::sync::Mutex;
use duewheel_model::time::SECOND;
use std::sync::Arc;

/// Two clocks, read without side effects.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since an arbitrary origin: monotonic, counts suspended time.
    fn boot(&self) -> i64;
    /// Nanoseconds since the Unix epoch: may step in both directions.
    fn wall(&self) -> i64;
    /// How far two readings of `wall − boot` may differ without the wall clock having stepped.
    fn jitter(&self) -> i64;
    /// `wall − boot`, as closely as it can be read.
    fn offset(&self) -> i64 {
        // The narrowest of a few pairs: a thread that is suspended between the two readings
        // would see a step that never was.
        let mut best = (i64::MAX, 0);
        for _ in 0..4 {
            let before = self.boot();
            let wall = self.wall();
            let width = self.boot() - before;
            if width < best.0 {
                best = (width, wall.saturating_sub(before.saturating_add(width / 2)));
            }
            if width <= 1_000 {
                break;
            }
        }
        best.1
    }
}

impl<C: Clock> Clock for Arc<C> {
    fn boot(&self) -> i64 {
        (**self).boot()
    }

    fn wall(&self) -> i64 {
        (**self).wall()
    }

    fn jitter(&self) -> i64 {
        (**self).jitter()
    }

    fn offset(&self) -> i64 {
        (**self).offset()
    }
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[cfg(target_os = "linux")]
impl Clock for SystemClock {
    #[inline]
    fn boot(&self) -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        now.tv_sec * SECOND + now.tv_nsec
    }

    #[inline]
    fn wall(&self) -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        now.tv_sec * SECOND + now.tv_nsec
    }

    fn jitter(&self) -> i64 {
        5_000
    }
}

#[cfg(not(target_os = "linux"))]
impl Clock for SystemClock {
    fn boot(&self) -> i64 {
        // `Instant` is the best that the standard library has: on macOS and Windows it may
        // stand still while the machine sleeps.
        static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        ORIGIN
            .get_or_init(std::time::Instant::now)
            .elapsed()
            .as_nanos() as i64
    }

    fn wall(&self) -> i64 {
        use std::time::{SystemTime, UNIX_EPOCH};
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos() as i64,
            Err(before) => -(before.duration().as_nanos() as i64),
        }
    }

    fn jitter(&self) -> i64 {
        100_000
    }
}

/// Clocks that stand still until they are set: time travel for tests.
#[derive(Debug)]
pub struct ManualClock {
    /// Wall and boot. Together: who reads one before they are set and one after sees a step of
    /// the wall clock that never was.
    readings: Mutex<(i64, i64)>,
}

impl ManualClock {
    /// Two clocks at the given readings.
    pub fn new(wall: i64, boot: i64) -> Self {
        ManualClock {
            readings: Mutex::new((wall, boot)),
        }
    }

    /// Set both readings.
    pub fn set(&self, wall: i64, boot: i64) {
        *self.readings.lock() = (wall, boot);
    }
}

impl Clock for ManualClock {
    fn boot(&self) -> i64 {
        self.readings.lock().1
    }

    fn wall(&self) -> i64 {
        self.readings.lock().0
    }

    fn jitter(&self) -> i64 {
        0
    }

    fn offset(&self) -> i64 {
        let (wall, boot) = *self.readings.lock();
        wall.saturating_sub(boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_manual_clock_is_advanced_it_does_not_seem_to_step() {
        let clock = ManualClock::new(0, 7);
        std::thread::scope(|scope| {
            let advancing = scope.spawn(|| {
                (0..100_000).for_each(|at| clock.set(at * SECOND, at * SECOND + 7));
            });
            while !advancing.is_finished() {
                assert_eq!(clock.offset(), -7);
            }
        });
    }
}
