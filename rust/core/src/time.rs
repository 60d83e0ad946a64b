//! Nanoseconds: the only owner of time conversion, and the clocks that the engine reads.
//!
//! All times are `i64` nanoseconds. The wall clock counts from the Unix epoch; the boot clock is
//! monotonic, counts suspended time and starts anywhere.

use crate::sync::Mutex;
use std::fmt;
use std::sync::Arc;

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;

/// Why a number of seconds is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeError {
    /// Not a number, or infinite.
    NotFinite,
    /// More than an `i64` of nanoseconds holds.
    Overflow,
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimeError::NotFinite => "must be finite",
            TimeError::Overflow => "is beyond what 64 bits of nanoseconds hold",
        })
    }
}

impl std::error::Error for TimeError {}

/// The exact ceiling of `seconds` × 10⁹, so that nothing is ever early by a rounding.
///
/// The product is taken in integers: the binary value of the float has at most 53 bits, its
/// nanoseconds at most 83, which a `u128` holds.
///
/// # Errors
///
/// [`TimeError::NotFinite`] and [`TimeError::Overflow`].
///
/// ```
/// use duewheel_core::time::ceil_ns;
/// assert_eq!(ceil_ns(0.1), Ok(100_000_001));
/// assert_eq!(ceil_ns(0.5), Ok(500_000_000));
/// ```
#[inline]
pub fn ceil_ns(seconds: f64) -> Result<i64, TimeError> {
    if !seconds.is_finite() {
        return Err(TimeError::NotFinite);
    }
    let bits = seconds.to_bits();
    let negative = bits >> 63 == 1;
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, shift) = if exponent == 0 {
        (fraction, -1074)
    } else {
        (fraction | 1 << 52, exponent - 1075)
    };
    let product = u128::from(mantissa) * SECOND as u128;
    let (whole, rest) = if shift >= 0 {
        if shift > 40 {
            return Err(TimeError::Overflow);
        }
        (product << shift, false)
    } else if shift <= -128 {
        (0, product != 0)
    } else {
        (product >> -shift, product & ((1u128 << -shift) - 1) != 0)
    };
    if negative {
        // The ceiling of a negative number drops its fraction.
        if whole > 1 << 63 {
            Err(TimeError::Overflow)
        } else {
            Ok((whole as i128).wrapping_neg() as i64)
        }
    } else {
        i64::try_from(whole + u128::from(rest)).map_err(|_| TimeError::Overflow)
    }
}

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
        // The narrowest of a few pairs: a thread that is put aside between the two readings
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
    fn floats_become_the_ceiling_of_their_binary_value() {
        assert_eq!(ceil_ns(0.1), Ok(100_000_001));
        assert_eq!(ceil_ns(-0.1), Ok(-100_000_000));
        assert_eq!(ceil_ns(1.0), Ok(SECOND));
        assert_eq!(ceil_ns(0.0), Ok(0));
        assert_eq!(ceil_ns(-0.0), Ok(0));
        assert_eq!(ceil_ns(f64::MIN_POSITIVE), Ok(1));
        assert_eq!(ceil_ns(5e-324), Ok(1));
        assert_eq!(ceil_ns(-5e-324), Ok(0));
        assert_eq!(ceil_ns(1e-9), Ok(2)); // 1e-9 is a hair above one nanosecond
        assert_eq!(ceil_ns(9_223_372_036.0), Ok(9_223_372_036 * SECOND));
    }

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

    #[test]
    fn what_is_no_time_is_refused() {
        assert_eq!(ceil_ns(f64::NAN), Err(TimeError::NotFinite));
        assert_eq!(ceil_ns(f64::INFINITY), Err(TimeError::NotFinite));
        assert_eq!(ceil_ns(1e10), Err(TimeError::Overflow));
        assert_eq!(ceil_ns(-1e10), Err(TimeError::Overflow));
        assert_eq!(ceil_ns(1e300), Err(TimeError::Overflow));
    }
}
