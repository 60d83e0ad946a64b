//! Nanoseconds: the only owner of time conversion.
//!
//! All times are `i64` nanoseconds.

use std::fmt;

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
/// use duewheel_model::time::ceil_ns;
/// assert_eq!(ceil_ns(0.1), Ok(100_000_001));
/// assert_eq!(ceil_ns(0.5), Ok(500_000_000));
/// ```
#[inline]
pub fn ceil_ns(seconds: f64) -> Result<i64, TimeError> {
    let bits = seconds.to_bits();
    // Positive, and so common that it counts: half a millisecond to 272 years.
    let shift = 1075_u64.wrapping_sub(bits >> 52);
    if (20..64).contains(&shift) {
        let product = u128::from(bits & ((1 << 52) - 1) | 1 << 52) * SECOND as u128;
        let below_one = (1 << (shift & 63)) - 1;
        return Ok(((product + below_one) >> (shift & 63)) as i64);
    }
    ceil_any(seconds)
}

/// The same of any number.
fn ceil_any(seconds: f64) -> Result<i64, TimeError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_common_is_no_exception(seconds in prop::num::f64::ANY | prop::num::f64::POSITIVE, near in 0.0..9e9) {
            prop_assert_eq!(ceil_ns(seconds), ceil_any(seconds));
            prop_assert_eq!(ceil_ns(near), ceil_any(near));
            prop_assert_eq!(ceil_ns(near / 1e9), ceil_any(near / 1e9));
        }
    }

    #[test]
    fn the_ends_of_what_is_common_are_no_exception() {
        for power in -1075..1024 {
            let seconds = 2f64.powi(power);
            for seconds in [seconds.next_down(), seconds, seconds.next_up()] {
                assert_eq!(ceil_ns(seconds), ceil_any(seconds), "{seconds:e}");
                assert_eq!(ceil_ns(-seconds), ceil_any(-seconds), "{seconds:e}");
            }
        }
    }

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
    fn what_is_no_time_is_refused() {
        assert_eq!(ceil_ns(f64::NAN), Err(TimeError::NotFinite));
        assert_eq!(ceil_ns(f64::INFINITY), Err(TimeError::NotFinite));
        assert_eq!(ceil_ns(1e10), Err(TimeError::Overflow));
        assert_eq!(ceil_ns(-1e10), Err(TimeError::Overflow));
        assert_eq!(ceil_ns(1e300), Err(TimeError::Overflow));
    }
}
