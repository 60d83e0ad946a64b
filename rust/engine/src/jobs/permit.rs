//! Permits, by which what is handed over of a limited target is counted.

/// What lets an execution of a limited target be handed over; others need none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit(u32);

impl Permit {
    /// None is needed.
    pub(crate) const NONE: Permit = Permit(u32::MAX);
    const RATED: u32 = 1 << 31;

    /// One of the target of this number.
    pub(crate) fn of(number: u32, is_rated: bool) -> Self {
        Permit(number | if is_rated { Self::RATED } else { 0 })
    }

    /// The number of the target that gave it.
    pub(crate) fn target(self) -> Option<u32> {
        (self != Permit::NONE).then_some(self.0 & !Self::RATED)
    }

    /// Whether the target wants to know of the start.
    #[inline]
    pub(crate) fn is_rated(self) -> bool {
        self != Permit::NONE && self.0 & Self::RATED != 0
    }
}
