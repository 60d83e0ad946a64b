//! Where a node begins to look for what is due.

use duewheel_store::Place;
use std::time::{Duration, Instant};

/// How far behind the clock what others schedule is looked for at each look, in nanoseconds.
const BEHIND: i64 = 2_000_000_000;
/// How often it is looked for from the beginning.
const SWEEP: Duration = Duration::from_secs(5);

/// Up to where looks have found everything.
#[derive(Debug)]
pub(crate) struct Looks {
    /// The last place of a page that had more behind it.
    resume: Option<Place>,
    /// The first due of what this node has let others have since.
    let_go: i64,
    swept: Option<Instant>,
    /// How far ahead of now a look goes, in nanoseconds.
    window: i64,
}

impl Looks {
    /// A place before all.
    pub(crate) const START: Place = Place {
        due: i64::MIN,
        seq: 0,
    };

    pub(crate) fn new(window: Duration) -> Self {
        Looks {
            resume: None,
            let_go: i64::MAX,
            swept: None,
            window: window.as_nanos() as i64,
        }
    }

    /// Others may have a job of this due from now on.
    pub(crate) fn note_let_go(&mut self, due: i64) {
        self.let_go = self.let_go.min(due);
    }

    /// Anything may be to be had from now on: the next look begins at the beginning.
    pub(crate) fn start_over(&mut self) {
        (self.resume, self.swept) = (None, None);
    }

    /// Where a look begins that goes up to `until`.
    pub(crate) fn begin(&mut self, until: i64) -> Place {
        if let Some(resume) = self.resume.filter(|resume| resume.due < self.let_go) {
            return resume;
        }
        if self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP) {
            self.swept = Some(Instant::now());
            return Self::START;
        }
        let mark = until.saturating_sub(self.window).saturating_sub(BEHIND);
        let due = mark.min(self.let_go).saturating_sub(1);
        Place {
            due,
            seq: i64::MAX as u64,
        }
    }

    /// A look is over; `resume`: there is more after this place.
    pub(crate) fn end(&mut self, resume: Option<Place>) {
        self.resume = resume;
        if resume.is_none() {
            self.let_go = i64::MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn it_begins_at_the_beginning_then_behind_the_clock_or_where_something_was_let_go() {
        let mut looks = Looks::new(Duration::from_secs(10));
        let now = 100 * SECOND;
        let until = now + 10 * SECOND;
        assert_eq!(looks.begin(until), Looks::START);
        looks.end(None);
        assert_eq!(looks.begin(until).due, now - BEHIND - 1);
        looks.note_let_go(5);
        assert_eq!(looks.begin(until).due, 4);
        looks.end(None);
        assert_eq!(looks.begin(until).due, now - BEHIND - 1);
        let last = Place { due: 7, seq: 9 };
        looks.end(Some(last));
        assert_eq!(looks.begin(until), last);
        looks.note_let_go(6);
        assert_eq!(looks.begin(until).due, 5, "it may be before the mark");
        looks.start_over();
        looks.end(None);
        assert_eq!(looks.begin(until), Looks::START);
    }
}
