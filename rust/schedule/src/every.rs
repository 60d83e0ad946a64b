//! Fixed periods.

use crate::error::Error;

/// The times `anchor + k * period`, in nanoseconds; without an anchor those of what is scheduled at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Every {
    pub(crate) period: i64,
    pub(crate) anchor: Option<i64>,
    pub(crate) from_end: bool,
    /// Whether its times are those after the anchor alone: that is where it was scheduled.
    pub(crate) is_begun: bool,
}

impl Every {
    pub(crate) fn new(period: i64, anchor: Option<i64>, from_end: bool) -> Result<Self, Error> {
        if period <= 0 {
            return Err(Error::invalid(format!(
                "period must be 1 ns or more, not {period} ns"
            )));
        }
        if from_end && anchor.is_some() {
            return Err(Error::invalid(
                "from_end counts from the end of each occurrence, so that no anchor fits: leave one of them out",
            ));
        }
        Ok(Self {
            period,
            anchor,
            from_end,
            is_begun: false,
        })
    }

    /// What is scheduled at a time: it has none until then.
    pub(crate) fn begun(self, anchor: i64) -> Self {
        Self {
            anchor: Some(anchor),
            from_end: false,
            is_begun: true,
            ..self
        }
    }

    /// The first time after one. Without an anchor it is one period later.
    #[inline]
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let anchor = self.anchor.unwrap_or(after);
        let after = if self.is_begun {
            after.max(anchor)
        } else {
            after
        };
        let since = i128::from(after) - i128::from(anchor);
        let period = i128::from(self.period);
        i64::try_from(i128::from(after) + period - since.rem_euclid(period)).ok()
    }

    /// The last time until one, that one included.
    pub(crate) fn last(&self, until: i64) -> Option<i64> {
        let anchor = self.anchor?;
        let since = i128::from(until) - i128::from(anchor);
        let last = i128::from(until) - since.rem_euclid(self.period.into());
        let last = i64::try_from(last).ok()?;
        (!self.is_begun || last > anchor).then_some(last)
    }
}
