//! How jobs have ended, as long as that is kept in memory, and who waits for an end.

use duewheel_store::{Kept, Over};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// How many that are kept no longer are forgotten with each that comes, and each time that the timer looks: what is
/// forgotten keeps up with what comes, and nothing takes long.
const FORGOTTEN_AT_ONCE: usize = 8;

/// Called once, under the engine's lock: so it must be short, and calls no engine.
pub(crate) type Waiter = Box<dyn FnOnce() + Send>;

/// What is kept in memory, and who waits for what is not over.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// Each with the time of the boot clock until which it is kept.
    kept: HashMap<Arc<str>, (Kept, i64)>,
    /// The same by that time.
    by_time: BTreeSet<(i64, Arc<str>)>,
    /// Who waits for the end of a job, by number.
    waiting: HashMap<Arc<str>, Vec<(u64, Waiter)>>,
    /// The last number.
    number: u64,
    /// Whether a store has some, or may have.
    pub(crate) stored: bool,
}

impl Outcomes {
    pub(crate) fn insert(&mut self, kept: Kept, boot: i64) {
        self.forget(boot);
        let id: Arc<str> = kept.id.as_str().into();
        self.remove(&id);
        let until = boot.saturating_add(kept.until.saturating_sub(kept.ended));
        self.by_time.insert((until, id.clone()));
        self.kept.insert(id, (kept, until));
    }

    fn remove(&mut self, id: &str) {
        if let Some((id, (_, until))) = self.kept.remove_entry(id) {
            self.by_time.remove(&(until, id));
        }
    }

    /// Forget some that are kept no longer.
    #[inline]
    pub(crate) fn forget(&mut self, now: i64) {
        if !self.by_time.is_empty() {
            self.forget_some(now);
        }
    }

    fn forget_some(&mut self, now: i64) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            match self.by_time.pop_first() {
                Some((until, id)) if until <= now => drop(self.kept.remove(&id)),
                Some(first) => {
                    self.by_time.insert(first);
                    return;
                }
                None => return,
            }
        }
    }

    pub(crate) fn get(&self, id: &str, now: i64) -> Option<&Kept> {
        let (kept, _) = self.kept.get(id).filter(|(_, until)| *until > now)?;
        Some(kept)
    }

    /// Whether an id is taken by what is kept in memory.
    #[inline]
    pub(crate) fn has(&self, id: &str, boot: i64) -> bool {
        !self.kept.is_empty() && self.get(id, boot).is_some()
    }

    /// Forget a death; whether the id is free then.
    pub(crate) fn let_go_of_death(&mut self, id: &str, now: i64) -> bool {
        match self.get(id, now).map(|kept| kept.over) {
            Some(Over::Dead(_)) => self.remove(id),
            Some(_) => return false,
            None => {}
        }
        true
    }

    /// Call those who wait for the end of a job: it has ended, or how it ends is not kept any more.
    #[inline]
    pub(crate) fn wake(&mut self, id: &str) {
        if !self.waiting.is_empty() {
            let waiting = self.waiting.remove(id);
            waiting.into_iter().flatten().for_each(|(_, wake)| wake());
        }
    }

    /// Have this called for the end of a job; the number to forget that by.
    pub(crate) fn wait(&mut self, id: &str, then: Waiter) -> u64 {
        self.number += 1;
        let waiting = self.waiting.entry(id.into()).or_default();
        waiting.push((self.number, then));
        self.number
    }

    /// Forget who was to be called under this number.
    pub(crate) fn wait_no_more(&mut self, id: &str, number: u64) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            waiting.retain(|(waits, _)| *waits != number);
            if waiting.is_empty() {
                self.waiting.remove(id);
            }
        }
    }

    /// Call all who wait.
    pub(crate) fn wake_all(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = waiting.into_values().flatten();
        waiting.for_each(|(_, wake)| wake());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: &str, ended: i64, keep: i64) -> Kept {
        Kept::cancelled(id, "t", ended, keep)
    }

    #[test]
    fn what_is_kept_no_longer_is_forgotten_as_more_comes() {
        let mut outcomes = Outcomes::default();
        for at in 0..1_000 {
            outcomes.insert(kept(&at.to_string(), at + 77, 10), at);
            assert!(outcomes.has(&at.to_string(), at + 9));
            assert!(!outcomes.has(&at.to_string(), at + 10));
            assert!(outcomes.kept.len() <= 10);
            assert_eq!(outcomes.kept.len(), outcomes.by_time.len());
        }
        for _ in 0..2 {
            outcomes.forget(2_000);
        }
        assert!(outcomes.kept.is_empty() && outcomes.by_time.is_empty());
    }

    #[test]
    fn the_same_id_takes_the_place_of_what_was_kept_and_a_death_is_let_go_of() {
        let mut outcomes = Outcomes::default();
        outcomes.insert(kept("a", 0, 1_000), 0);
        assert!(!outcomes.let_go_of_death("a", 5), "it was cancelled");
        let died = Kept {
            over: Over::Dead(duewheel_store::Reason::Failed),
            ..kept("a", 5, 10)
        };
        outcomes.insert(died, 5);
        assert_eq!(outcomes.by_time.len(), 1);
        assert!(outcomes.let_go_of_death("a", 6));
        assert!(!outcomes.has("a", 6) && outcomes.by_time.is_empty());
    }
}
