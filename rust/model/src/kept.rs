//! How a job has ended, as it is kept for a while.

use crate::outcome::Reason;

/// How a job has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Its handler has returned.
    Succeeded,
    /// It was withdrawn before it started.
    Cancelled,
    /// It is dead.
    Dead(Reason),
}

impl Over {
    /// All there are, in the order of their numbers.
    const ALL: [Over; 5] = [
        Over::Succeeded,
        Over::Cancelled,
        Over::Dead(Reason::Failed),
        Over::Dead(Reason::Discarded),
        Over::Dead(Reason::Interrupted),
    ];

    /// The number that stores keep it as.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Over::Succeeded => 0,
            Over::Cancelled => 1,
            Over::Dead(reason) => 2 + reason as u8,
        }
    }

    /// What has this number; `None`: nothing has.
    #[must_use]
    pub fn of_number(number: i64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|over| i64::from(over.number()) == number)
    }
}

/// How a job has ended, and what its handler returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its id, which is taken as long as this is kept.
    pub id: String,
    /// Its target.
    pub target: String,
    /// How it has ended.
    pub over: Over,
    /// What its handler returned.
    pub result: Vec<u8>,
    /// What is kept of its failure, of a dead one.
    pub error: String,
    /// When it has ended, on the wall clock.
    pub ended: i64,
    /// Until when this is kept, on the wall clock.
    pub until: i64,
}

impl Kept {
    /// How a job has ended that was never to run: it was withdrawn.
    #[must_use]
    pub fn cancelled(id: &str, target: &str, ended: i64, keep: i64) -> Self {
        Kept {
            id: id.to_owned(),
            target: target.to_owned(),
            over: Over::Cancelled,
            result: Vec::new(),
            error: String::new(),
            ended,
            until: ended.saturating_add(keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_a_number_of_its_own() {
        for (at, over) in Over::ALL.into_iter().enumerate() {
            assert_eq!(over.number() as usize, at);
            assert_eq!(Over::of_number(at as i64), Some(over));
        }
        assert_eq!(Over::of_number(5), None);
        assert_eq!(Over::of_number(-1), None);
    }
}
