//! What of a store's jobs is in memory, and why.
//!
//! - **A job before the frontier may be out of memory**: left on disk, parked for want of a handler or held until its
//!   turn. All else that is pending before the frontier is in memory.
//! - Decisions are pure: of both clocks, of how many jobs are in memory, and of the first of them.
//!   They return a value; a verb applies it.
//! - Nothing here locks, calls a store, or knows the engine, which does what is decided.
//! - In a shared store the frontier decides nothing: all that this node has came with a page. What it
//!   takes in, moves or ends as due again it yields to whichever node gets it.

mod arrivals;
mod boot_offsets;
mod dead_bounds;
mod frontier;
mod lease;
mod left;
mod outbox;
mod turns;

pub(crate) use arrivals::Arrivals;
pub(crate) use boot_offsets::BootOffsets;
pub use dead_bounds::DeadBounds;
pub use frontier::Window;
pub(crate) use frontier::{Decision, Frontier, START};
pub(crate) use lease::{Evicted, Lease};
pub(crate) use left::{LeftOnDisk, Why};
pub(crate) use outbox::Outbox;
pub(crate) use turns::{Turns, Waiter};

use crate::due::queue::Now;
use crate::sleep::Until;
use duewheel_store::{Place, Query};

/// What is known of a store's jobs beside those that are in memory.
pub(crate) struct Residency {
    pub(crate) frontier: Frontier,
    pub(crate) boot_offsets: BootOffsets,
    pub(crate) left: LeftOnDisk,
    /// The target whose page is under way: the next of what is held of it.
    pub(crate) held_page: Option<HeldPage>,
    /// Where pages of targets are wanted too, the next one is such a page.
    held_next: bool,
    /// How many jobs are held in memory at most, before they are paged out.
    pub(crate) most_held: usize,
    pub(crate) arrivals: Arrivals,
    pub(crate) outbox: Outbox,
    pub(crate) turns: Turns,
    /// What a shared store wants to be known; `None`: it is none.
    pub(crate) lease: Option<Lease>,
}

/// A page of one target that is under way.
#[derive(Clone, Debug)]
pub(crate) struct HeldPage {
    /// Its number.
    pub(crate) number: u32,
    /// Its name: the number may stand for another target by the time the page has come.
    pub(crate) name: Box<str>,
    /// The first place of a job that has not come, for it has changed since.
    pub(crate) missed: Option<Place>,
}

impl Residency {
    /// What is known of a store with these jobs.
    pub(crate) fn new(frontier: Frontier, boot_offsets: BootOffsets, lease: Option<Lease>) -> Self {
        Residency {
            frontier,
            boot_offsets,
            left: LeftOnDisk::default(),
            held_page: None,
            held_next: false,
            most_held: 0,
            arrivals: Arrivals::default(),
            outbox: Outbox::default(),
            turns: Turns::default(),
            lease,
        }
    }

    /// Whether there may be jobs that are not in memory.
    pub(crate) fn has_paged_out(&self) -> bool {
        self.lease.is_some() || self.frontier.paged_out > 0
    }

    /// Count a job that was not in memory as one that is, or is no longer pending.
    pub(crate) fn note_paged_in(&mut self) {
        if self.has_paged_out() {
            self.frontier.paged_out -= 1;
        }
    }

    /// The page from the frontier on, which is under way from now on.
    pub(crate) fn begin_page(&mut self, until: i64, count: usize) -> Query {
        self.arrivals.begin_page(self.outbox.ended());
        let least = match self.left.is_empty() {
            true => frontier::LEAST_PAGE,
            // Most of what comes may stay on disk.
            false => frontier::LEAST_PAGE.max(self.frontier.most_parked()),
        };
        self.frontier.begin_page(until, count, least)
    }

    /// Whether the next page is to be one of a target, where one of either kind is wanted: they take turns.
    pub(crate) fn turn_to_held(&mut self) -> bool {
        self.held_next = !self.held_next;
        self.held_next
    }

    /// The next page of what a target holds, which is under way from now on: from this place on, so many at most.
    pub(crate) fn begin_held_page(
        &mut self,
        page: HeldPage,
        from: Place,
        (until, limit): (i64, usize),
    ) -> Query {
        self.arrivals.begin_page(self.outbox.ended());
        let query = frontier::page_from(from, until, limit, Some(page.name.to_string()));
        self.held_page = Some(page);
        query
    }

    /// Whether a page is under way.
    pub(crate) fn is_page_under_way(&self) -> bool {
        self.held_page.is_some() || self.frontier.is_page_under_way()
    }

    /// A page that is under way may hold this job as it was.
    pub(crate) fn note_changed(&mut self, id: &str) {
        if self.is_page_under_way() {
            self.arrivals.note_changed(id);
        }
    }

    /// Whether a page is wanted now.
    pub(crate) fn wants_page(
        &self,
        now: Now,
        count: usize,
        first: impl FnOnce() -> Option<(i64, u64)>,
    ) -> bool {
        match &self.lease {
            None => self.held_page.is_none() && self.frontier.wants_page(now, count, first),
            Some(lease) => !self.is_lease_busy(count) && lease.is_time(now.wall),
        }
    }

    fn is_lease_busy(&self, count: usize) -> bool {
        self.frontier.is_page_under_way() || count >= self.frontier.window().resident
    }

    /// When the timer is to look for a page, on either clock.
    pub(crate) fn plan_page(
        &mut self,
        count: usize,
        first: impl FnOnce() -> Option<(i64, u64)>,
    ) -> Until {
        let Some(lease) = &mut self.lease else {
            let look = || self.frontier.next_look(count, first);
            return if self.held_page.is_some() {
                Until::default()
            } else {
                look()
            };
        };
        let poll = lease.plan_poll(count >= self.frontier.window().resident);
        let wall = poll.filter(|_| !self.frontier.is_page_under_way());
        Until { wall, boot: None }
    }

    /// The page that is wanted now, which is under way from now on.
    pub(crate) fn begin_wanted_page(&mut self, now: Now, count: usize) -> Query {
        if let Some(lease) = &mut self.lease {
            lease.begin_page(now.wall);
        }
        let until = self.frontier.page_bound(now);
        let page = self.begin_page(until, count);
        match (&self.lease, page) {
            (Some(lease), Query::Page { until, limit, .. }) => lease.claim(now.wall, until, limit),
            (_, page) => page,
        }
    }

    /// The page was taken in; `last` is where the next one goes on. The target whose page it was, if it was one of a target.
    pub(crate) fn end_page(&mut self, last: Option<Place>) -> Option<HeldPage> {
        self.arrivals.end_page();
        if let Some(page) = self.held_page.take() {
            return Some(page);
        }
        if let Some(lease) = &mut self.lease {
            lease.end_page(last.is_some());
        }
        self.frontier.end_page(last);
        None
    }

    /// The page is done without: it may be asked for again.
    pub(crate) fn drop_page(&mut self) {
        self.arrivals.end_page();
        if self.held_page.take().is_none() {
            self.frontier.drop_page();
        }
    }

    /// Whether a place is, or will be, before the frontier without having been looked for there.
    pub(crate) fn is_passed(&self, place: Place) -> bool {
        self.lease.is_none() && self.frontier.is_passed(place)
    }

    /// A job that was not in memory was cancelled.
    pub(crate) fn forget(&mut self, id: &str) {
        self.note_changed(id);
        self.arrivals.forget_unreadable(id);
        self.arrivals.forget_expected(id);
        self.note_paged_in();
    }

    /// Report the first broken invariant.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (left, paged_out) = (self.left.len(), self.frontier.paged_out);
        if self.lease.is_none() && left as i64 > paged_out {
            return Err(format!(
                "{left} jobs are left on disk, {paged_out} paged out"
            ));
        }
        self.frontier.check()
    }
}
