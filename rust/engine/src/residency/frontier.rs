//! The frontier: the place up to which all that is pending is in memory.

use crate::due::queue::Now;
use crate::sleep::Until;
use duewheel_model::time::SECOND;
use duewheel_store::{Place, Query};

/// How many jobs one page brings at most: other questions to the store wait for some milliseconds, not for its hundred.
const MOST_IN_A_PAGE: usize = 2_000;
/// How many a page brings at least, room or not.
pub(super) const LEAST_PAGE: usize = 16;
/// Which part of what may be resident is parked at most, and which is held.
const PART_ASIDE: usize = 32;
/// How many that are held stay in memory of each target at least, if so many may be resident.
const LEAST_HELD: usize = 16;
/// How long before its due a job is brought in for which there is no room.
const LEAD_WITHOUT_ROOM: i64 = SECOND;
/// How far what is due is taken in before a store is served that others wait for: by then the next page has come.
const LEAD_OF_A_SUCCESSOR: i64 = 5 * SECOND;
/// Pages that cover less time would follow each other without a pause.
const LEAST_HORIZON: i64 = SECOND / 10;
/// A place before all.
pub(crate) const START: Place = Place {
    due: i64::MIN,
    seq: 0,
};
/// A place past all.
const END: Place = Place {
    due: i64::MAX,
    seq: i64::MAX as u64,
};

/// How much of the future is in memory.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// What is due within so many nanoseconds,
    pub horizon: i64,
    /// and no more than so many jobs; those that are parked do not count.
    pub resident: usize,
}

/// Where a job that comes to a place belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// In memory.
    Resident,
    /// In the store alone. Where there is no room and it is due first, the timer must plan anew.
    PagedOut { plan_anew: bool },
}

/// Jobs on the boot clock whose stored dues are past the frontier: a bound of all of them.
#[derive(Clone, Copy, Debug)]
struct BootPagedOut {
    /// The largest `wall − boot` by which such a due was stored.
    offset: i64,
    /// The latest of the stored dues.
    last: i64,
}

/// Up to where jobs are in memory, and which page comes next.
///
/// - A page is wanted when half of the horizon is used up or, where the last one was cut off for want
///   of room, half of the room is free.
/// - Where there is no room, what is due before all in memory is brought in all the same.
/// - Orders of jobs in memory, `first`, are (due on the wall clock, sequence); they cost a look at the
///   wheel, so they are asked for where they decide.
#[derive(Debug)]
pub(crate) struct Frontier {
    window: Window,
    /// All that is pending before this place is in memory, or parked on disk.
    place: Place,
    boot: Option<BootPagedOut>,
    /// The frontier goes back to the start when the page that is under way has come.
    starts_over: bool,
    /// The bound of the page that is under way.
    page: Option<i64>,
    /// How many pending jobs are not in memory. In a shared store, where no node knows: how many left
    /// memory, less those that have come.
    pub(crate) paged_out: i64,
}

/// The (due, sequence) of the first job in memory.
type First = Option<(i64, u64)>;

impl Frontier {
    pub(crate) fn new(window: Window, paged_out: u64) -> Self {
        Frontier {
            window: Window {
                horizon: window.horizon.max(LEAST_HORIZON),
                ..window
            },
            place: if paged_out > 0 { START } else { END },
            boot: None,
            starts_over: false,
            page: None,
            paged_out: paged_out as i64,
        }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// The most parked jobs that are in memory.
    pub(crate) fn most_parked(&self) -> usize {
        self.window.resident / PART_ASIDE
    }

    /// How many jobs of each of so many targets stay in memory when what is held is paged out.
    pub(crate) fn held_of_each(&self, targets: usize) -> usize {
        let Window { resident, .. } = self.window;
        let share = resident / PART_ASIDE / 2 / targets.max(1);
        share.max(LEAST_HELD.min(resident / 2 + 1))
    }

    pub(crate) fn is_page_under_way(&self) -> bool {
        self.page.is_some()
    }

    /// Whether so few jobs are in memory that what was cut off for want of room is to come.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        count < self.window.resident / 2 + 1
    }

    fn is_full(&self, count: usize) -> bool {
        count >= self.window.resident
    }

    /// How far the stored dues of what is not in memory may have come by now: as far as the wall clock or,
    /// where it was set back since, as far as the boot clock says.
    fn reached(&self, now: Now) -> i64 {
        let boot = self.boot_offset();
        let boot = boot.map(|offset| now.boot.saturating_add(offset));
        boot.map_or(now.wall, |boot| boot.max(now.wall))
    }

    /// The offset by which what is not in memory may be due on the boot clock, if any of it is.
    fn boot_offset(&self) -> Option<i64> {
        let boot = self.boot?;
        (self.place.due <= boot.last).then_some(boot.offset)
    }

    /// Where a job that comes to this place belongs.
    pub(crate) fn decide(
        &self,
        place: Place,
        now: Now,
        count: usize,
        first: impl FnOnce() -> First,
    ) -> Decision {
        if self.page.is_some() {
            // It may or may not be in the page.
            return Decision::Resident;
        }
        let (frontier, reached) = match self.paged_out {
            0 => (END, now.wall),
            _ => (self.place, self.reached(now)),
        };
        let (near, full) = (
            reached.saturating_add(self.window.horizon),
            self.is_full(count),
        );
        if place < frontier && place.due <= near && !full {
            return Decision::Resident;
        }
        let is_soon = place.due <= now.wall.saturating_add(self.window.horizon);
        Decision::PagedOut {
            plan_anew: full && is_soon && is_before(place, first()),
        }
    }

    /// Do as was decided of a place: what is not to be in memory is past the frontier.
    pub(crate) fn apply(&mut self, decision: Decision, place: Place) {
        if self.page.is_some() {
            return;
        }
        if self.paged_out == 0 {
            self.place = END;
            self.boot = None;
        }
        if decision != Decision::Resident {
            self.place = self.place.min(place);
        }
    }

    /// A due on the boot clock is stored past the frontier, as this wall time.
    pub(crate) fn note_boot_paged_out(&mut self, offset: i64, due: i64) {
        let boot = self.boot.get_or_insert(BootPagedOut { offset, last: due });
        boot.offset = boot.offset.max(offset);
        boot.last = boot.last.max(due);
    }

    /// Whether a place is, or will be, before the frontier without having been looked for there.
    pub(crate) fn is_passed(&self, place: Place) -> bool {
        self.page.is_some() || place < self.place
    }

    /// Whether a page is wanted now.
    pub(crate) fn wants_page(&self, now: Now, count: usize, first: impl FnOnce() -> First) -> bool {
        if self.paged_out <= 0 || self.page.is_some() {
            return false;
        }
        if self.is_full(count) {
            return self.place.due <= now.wall.saturating_add(LEAD_WITHOUT_ROOM)
                && is_before(self.place, first());
        }
        let Window { horizon, .. } = self.window;
        let reached = self.reached(now);
        let is_near = self.place.due <= reached.saturating_add(horizon / 2);
        // At a sequence it was cut off for want of room; else all within the horizon is here.
        let is_cut_off = self.place.seq > 0 && self.has_room(count);
        self.place.due < reached.saturating_add(horizon) && (is_near || is_cut_off)
    }

    /// When the timer is to look for a page, on either clock.
    pub(crate) fn next_look(&self, count: usize, first: impl FnOnce() -> First) -> Until {
        if self.paged_out <= 0 || self.page.is_some() {
            return Until::default();
        }
        if self.is_full(count) {
            let due = self.place.due.saturating_sub(LEAD_WITHOUT_ROOM);
            let wall = is_before(self.place, first()).then_some(due);
            return Until { wall, boot: None };
        }
        let stored = self.place.due.saturating_sub(self.window.horizon / 2);
        let boot = self.boot_offset();
        Until {
            wall: Some(stored),
            boot: boot.map(|offset| stored.saturating_sub(offset)),
        }
    }

    /// Whether what is not in memory may be due before all that is.
    pub(crate) fn may_be_first(&self, now: Now, first: First) -> bool {
        if self.paged_out == 0 || self.page.is_some() || self.place == END {
            return false;
        }
        // On the boot clock it may be due as much earlier as the wall clock was set back since.
        let back = self.reached(now).saturating_sub(now.wall);
        let place = Place {
            due: self.place.due.saturating_sub(back),
            ..self.place
        };
        // Equal places are no contradiction: the frontier is the first that may be out of memory.
        first.is_none_or(|first| first >= (place.due, place.seq))
    }

    /// Up to where all that is due must be in memory before it may begin to run, in order.
    pub(crate) fn soon(&self, now: Now) -> i64 {
        let lead = LEAD_OF_A_SUCCESSOR.min(self.window.horizon);
        self.reached(now).saturating_add(lead)
    }

    /// Whether a job that is due before this time may not be in memory, though there is room.
    pub(crate) fn lacks_before(&self, until: i64, count: usize) -> bool {
        self.paged_out > 0 && self.page.is_none() && !self.is_full(count) && self.place.due < until
    }

    /// The bound of the page that is wanted now.
    pub(crate) fn page_bound(&self, now: Now) -> i64 {
        self.reached(now).saturating_add(self.window.horizon)
    }

    /// The page from the frontier on, which is under way from now on.
    pub(crate) fn begin_page(&mut self, until: i64, count: usize, least: usize) -> Query {
        self.page = Some(until);
        let room = self.window.resident.saturating_sub(count);
        // Where there is no room, what comes is due before all that is here.
        let limit = MOST_IN_A_PAGE.min(room.max(least));
        page_from(self.place, until, limit, None)
    }

    /// The page was taken in; `last` is its last place, if more are due before its bound.
    pub(crate) fn end_page(&mut self, last: Option<Place>) {
        let until = self.page.take().unwrap_or(i64::MIN);
        self.place = match last {
            Some(last) => Place {
                due: last.due,
                seq: last.seq + 1,
            },
            // What is not in memory all the same is parked on disk.
            None if until == i64::MAX => END,
            None => Place { due: until, seq: 0 },
        };
        if self.boot_offset().is_none() {
            self.boot = None;
        }
        self.start_over_if_due();
    }

    /// The page is done without: it may be asked for again.
    pub(crate) fn drop_page(&mut self) {
        self.page = None;
        self.start_over_if_due();
    }

    fn start_over_if_due(&mut self) {
        if std::mem::take(&mut self.starts_over) {
            self.place = START;
        }
    }

    /// Let the pages begin again, from the first place on.
    pub(crate) fn start_over(&mut self) {
        self.place = START;
        // The page that is under way moves the frontier, too.
        self.starts_over = self.page.is_some();
    }

    /// A job that was to be taken in is not: a page is to bring it.
    pub(crate) fn move_back_to(&mut self, place: Place) {
        self.place = self.place.min(place);
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.place == END && self.starts_over {
            return Err("pages begin again behind the end".to_owned());
        }
        Ok(())
    }
}

/// A page that begins at a place, of one target or of all.
pub(super) fn page_from(from: Place, until: i64, limit: usize, target: Option<String>) -> Query {
    let after = match (from.due, from.seq) {
        (i64::MIN, 0) => None,
        (due, 0) => Some(Place {
            due: due - 1,
            seq: END.seq,
        }),
        (due, seq) => Some(Place { due, seq: seq - 1 }),
    };
    Query::Page {
        target,
        after,
        until,
        limit,
    }
}

fn is_before(place: Place, first: First) -> bool {
    first.is_none_or(|first| (place.due, place.seq) < first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        horizon: 100 * SECOND,
        resident: 10,
    };
    const NOW: Now = Now {
        wall: 1_000 * SECOND,
        boot: 0,
    };
    const PAGED_OUT: Decision = Decision::PagedOut { plan_anew: false };

    fn at(seconds: i64) -> Place {
        let due = NOW.wall + seconds * SECOND;
        Place { due, seq: 7 }
    }

    fn unasked() -> First {
        panic!("the first job in memory decides nothing here")
    }

    /// Decide, and do as was decided.
    fn admit(frontier: &mut Frontier, place: Place, count: usize, first: First) -> Decision {
        let decision = frontier.decide(place, NOW, count, || first);
        frontier.apply(decision, place);
        frontier.paged_out += i64::from(decision != Decision::Resident);
        decision
    }

    #[test]
    fn a_job_is_in_memory_if_it_is_near_and_before_all_that_is_not() {
        let mut frontier = Frontier::new(WINDOW, 0);
        assert_eq!(admit(&mut frontier, at(101), 0, None), PAGED_OUT);
        assert_eq!(admit(&mut frontier, at(100), 0, None), Decision::Resident);
        assert_eq!(admit(&mut frontier, at(300), 1, None), PAGED_OUT);
        assert!(frontier.is_passed(at(100)) && !frontier.is_passed(at(101)));
        // All that was not in memory has gone: nothing is past the frontier.
        frontier.paged_out = 0;
        assert_eq!(admit(&mut frontier, at(99), 1, None), Decision::Resident);
        assert!(frontier.is_passed(at(300)));
    }

    #[test]
    fn without_room_what_is_due_first_lets_the_timer_plan_anew() {
        let mut frontier = Frontier::new(WINDOW, 0);
        let first = Some((at(10).due, 7));
        assert_eq!(admit(&mut frontier, at(20), 10, first), PAGED_OUT);
        let anew = Decision::PagedOut { plan_anew: true };
        assert_eq!(admit(&mut frontier, at(5), 10, first), anew);
        assert!(
            !frontier.wants_page(NOW, 10, || first),
            "it is not due within a second"
        );
        let look = frontier.next_look(10, || first);
        assert_eq!((look.wall, look.boot), (Some(at(4).due), None));
        let soon = Now {
            wall: at(4).due,
            boot: 4 * SECOND,
        };
        assert!(frontier.wants_page(soon, 10, || first));
        assert!(!frontier.wants_page(soon, 10, || Some((at(3).due, 0))));
    }

    #[test]
    fn a_page_is_wanted_at_half_of_the_horizon_or_of_the_room() {
        let mut frontier = Frontier::new(WINDOW, 50);
        assert!(frontier.wants_page(NOW, 0, unasked));
        let Query::Page {
            after,
            until,
            limit,
            ..
        } = frontier.begin_page(at(100).due, 4, LEAST_PAGE)
        else {
            panic!("a page");
        };
        assert_eq!((after, until, limit), (None, at(100).due, LEAST_PAGE));
        assert!(!frontier.wants_page(NOW, 0, unasked), "one is under way");
        assert_eq!(
            frontier.decide(at(500), NOW, 0, unasked),
            Decision::Resident
        );
        // Cut off for want of room.
        frontier.end_page(Some(at(80)));
        assert!(!frontier.wants_page(NOW, 6, unasked));
        assert!(frontier.wants_page(NOW, 5, unasked));
        frontier.begin_page(at(100).due, 4, LEAST_PAGE);
        frontier.end_page(None);
        let look = frontier.next_look(6, unasked);
        assert_eq!(look.wall, Some(at(50).due));
        let (wall, boot) = (at(50).due, 0);
        assert!(frontier.wants_page(Now { wall, boot }, 6, unasked));
        assert!(!frontier.wants_page(NOW, 0, unasked));
    }

    #[test]
    fn a_handler_that_comes_lets_the_pages_begin_again_after_the_one_under_way() {
        let mut frontier = Frontier::new(WINDOW, 5);
        frontier.begin_page(at(100).due, 0, LEAST_PAGE);
        frontier.start_over();
        frontier.check().unwrap();
        frontier.end_page(None);
        assert!(!frontier.is_passed(at(-5_000)));
        frontier.begin_page(i64::MAX, 0, LEAST_PAGE);
        frontier.drop_page();
        assert!(!frontier.is_passed(at(-5_000)));
        frontier.begin_page(i64::MAX, 0, LEAST_PAGE);
        frontier.end_page(None);
        assert!(frontier.is_passed(at(5_000)));
        frontier.move_back_to(at(7));
        assert!(!frontier.is_passed(at(7)));
    }

    #[test]
    fn where_the_wall_clock_was_set_back_dues_on_the_boot_clock_come_by_that() {
        let mut frontier = Frontier::new(WINDOW, 0);
        let offset = NOW.wall - NOW.boot;
        assert_eq!(admit(&mut frontier, at(200), 0, None), PAGED_OUT);
        frontier.note_boot_paged_out(offset, at(200).due);
        // An hour back, and 150 seconds on.
        let now = Now {
            wall: at(-3_450).due,
            boot: NOW.boot + 150 * SECOND,
        };
        assert!(frontier.wants_page(now, 0, unasked));
        assert!(frontier.may_be_first(now, Some((at(-3_400).due, 7))));
        let look = frontier.next_look(0, unasked);
        assert_eq!(look.boot, Some(NOW.boot + 150 * SECOND));
    }
}
