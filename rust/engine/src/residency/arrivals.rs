//! Which of the jobs that a store sends may still be taken in as they were sent.

use duewheel_store::{Error, Unreadable};
use std::collections::{HashMap, HashSet};

/// What has happened to stored jobs since they were asked for.
///
/// - A page is as old as its query: a job that changed or ended since must not come with it.
/// - While a call asks about a job, no page is taken in at all.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// How many calls wait for an answer about a job that is not in memory.
    asking: usize,
    /// Jobs that are about to be taken in one by one, by id and sequence, unless they change before.
    expected: Vec<(String, u64)>,
    /// Jobs that changed while a page was under way.
    changed: HashSet<String>,
    /// What had ended when the page was asked for, and the store did not know.
    ended: HashSet<u64>,
    /// Stored jobs that cannot be read, by sequence: waiting for idleness does not wait for them.
    unreadable: HashMap<u64, Unreadable>,
}

impl Arrivals {
    /// Take in no page for now.
    pub(crate) fn hold_pages(&mut self) {
        self.asking += 1;
    }

    /// Pages may be taken in again, as far as one call goes.
    pub(crate) fn free_pages(&mut self) {
        self.asking = self.asking.saturating_sub(1);
    }

    pub(crate) fn are_pages_held(&self) -> bool {
        self.asking > 0
    }

    /// A job is about to be taken in; pages are held until it is.
    pub(crate) fn expect(&mut self, id: &str, seq: u64) {
        self.hold_pages();
        self.expected.push((id.to_owned(), seq));
    }

    /// Whether a job was about to be taken in and has not changed since; it is expected no longer.
    pub(crate) fn take_expected(&mut self, seq: u64) -> bool {
        let at = self.expected.iter().position(|(_, of)| *of == seq);
        at.map(|at| self.expected.swap_remove(at)).is_some()
    }

    /// A job that is not in memory has changed: the answer that is to take it in is older.
    pub(crate) fn forget_expected(&mut self, id: &str) {
        self.expected.retain(|(of, _)| of != id);
    }

    /// A page is asked for while these jobs are over for the engine alone.
    pub(crate) fn begin_page(&mut self, ended: impl Iterator<Item = u64>) {
        self.ended = ended.collect();
    }

    /// The page was taken in, or is done without.
    pub(crate) fn end_page(&mut self) {
        self.changed.clear();
        self.ended.clear();
    }

    /// The page that is under way may hold this job as it was.
    pub(crate) fn note_changed(&mut self, id: &str) {
        self.changed.insert(id.to_owned());
    }

    /// Whether a job of a page is older than what is known of it.
    pub(crate) fn is_stale(&self, seq: u64, id: &str) -> bool {
        self.ended.contains(&seq) || self.changed.contains(id)
    }

    /// Note a stored job that cannot be read; whether that is news.
    pub(crate) fn note_unreadable(&mut self, job: Unreadable) -> bool {
        self.unreadable.insert(job.place.seq, job).is_none()
    }

    /// What is wrong with the stored job of this id, if it is known that it cannot be read.
    pub(crate) fn why_unreadable(&self, id: &str) -> Option<&Error> {
        let mut all = self.unreadable.values();
        let found = all.find(|job| job.id.as_deref() == Some(id))?;
        Some(&found.why)
    }

    /// A job was cancelled, readable or not.
    pub(crate) fn forget_unreadable(&mut self, id: &str) {
        self.unreadable
            .retain(|_, known| known.id.as_deref() != Some(id));
    }

    pub(crate) fn unreadable_count(&self) -> usize {
        self.unreadable.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_or_ended_since_a_page_was_asked_for_is_stale_until_it_has_come() {
        let mut arrivals = Arrivals::default();
        arrivals.begin_page([7].into_iter());
        arrivals.note_changed("a");
        let stale = |arrivals: &Arrivals| {
            [(1, "c"), (2, "a"), (7, "b")].map(|(seq, id)| arrivals.is_stale(seq, id))
        };
        assert_eq!(stale(&arrivals), [false, true, true]);
        arrivals.end_page();
        assert_eq!(stale(&arrivals), [false; 3]);
    }

    #[test]
    fn a_job_is_expected_once_and_not_after_it_has_changed() {
        let mut arrivals = Arrivals::default();
        arrivals.expect("a", 1);
        arrivals.expect("b", 2);
        assert!(arrivals.are_pages_held());
        arrivals.forget_expected("b");
        assert!(!arrivals.take_expected(2));
        assert!(arrivals.take_expected(1));
        assert!(!arrivals.take_expected(1));
        arrivals.free_pages();
        assert!(arrivals.are_pages_held());
        arrivals.free_pages();
        assert!(!arrivals.are_pages_held());
    }
}
