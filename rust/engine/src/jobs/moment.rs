//! A moment that may be none, in eight bytes.

/// A moment that there may be, no larger than one. The least of all stands for none: no clock comes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maybe(i64);

impl Maybe {
    pub(crate) const NONE: Maybe = Maybe(i64::MIN);

    #[inline]
    pub(crate) fn get(self) -> Option<i64> {
        (self != Maybe::NONE).then_some(self.0)
    }
}

impl From<Option<i64>> for Maybe {
    #[inline]
    fn from(moment: Option<i64>) -> Self {
        moment.map_or(Maybe::NONE, |moment| Maybe(moment.max(-i64::MAX)))
    }
}
