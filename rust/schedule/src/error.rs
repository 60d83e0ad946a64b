//! What is refused, and why.

use std::fmt;

/// Why there is no schedule, or no answer. Its text names the value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A value that no schedule can be made of.
    Invalid(String),
    /// A zone that is not known here and now: it may be after an update of the zones.
    UnknownZone(String),
    /// The search was given up: so many times of a left operand lie outside of its right one, or all of them.
    Endless(String),
}

impl Error {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::Endless(text) => f.write_str(text),
            Self::UnknownZone(name) => write!(
                f,
                "tz {name:?} is not known here: give an IANA name such as 'Europe/Paris', or update the zones (tzdata)"
            ),
        }
    }
}

impl std::error::Error for Error {}
