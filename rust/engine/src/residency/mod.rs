//! What of a store's jobs is in memory, and why.
//!
//! - **A job before the frontier may be out of memory**: parked on disk, for want of a handler.
//!   All else that is pending before the frontier is in memory.
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
mod outbox;
mod parked;
mod turns;

pub(crate) use arrivals::Arrivals;
pub(crate) use boot_offsets::BootOffsets;
pub use dead_bounds::DeadBounds;
pub use frontier::Window;
pub(crate) use frontier::{Decision, Frontier};
pub(crate) use lease::{Evicted, Lease};
pub(crate) use outbox::Outbox;
pub(crate) use parked::ParkedOnDisk;
pub(crate) use turns::{Turns, Waiter};

use crate::due::queue::Now;
use crate::sleep::Until;
use duewheel_store::{Place, Query};

/// What is known of a store's jobs beside those that are in memory.
pub(crate) struct Residency {
    pub(crate) frontier: Frontier,
    pub(crate) boot_offsets: BootOffsets,
    pub(crate) parked: ParkedOnDisk,
    pub(crate) arrivals: Arrivals,
    pub(crate) outbox: Outbox,
    pub(crate) turns: Turns,
    /// What a shared store wants to be known; `None`: it is none.
    pub(crate) lease: Option<Lease>,
}

impl Residency {
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
        let least = match self.parked.is_empty() {
            true => frontier::LEAST_PAGE,
            // Most of what comes may stay parked on disk.
            false => frontier::LEAST_PAGE.max(self.frontier.most_parked()),
        };
        self.frontier.begin_page(until, count, least)
    }

    /// A page that is under way may hold this job as it was.
    pub(crate) fn note_changed(&mut self, id: &str) {
        if self.frontier.is_page_under_way() {
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
            None => self.frontier.wants_page(now, count, first),
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
            return self.frontier.next_look(count, first);
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

    /// The page was taken in; `last` is where the next one goes on.
    pub(crate) fn end_page(&mut self, last: Option<Place>) {
        self.arrivals.end_page();
        if let Some(lease) = &mut self.lease {
            lease.end_page(last.is_some());
        }
        self.frontier.end_page(last);
    }

    /// The page is done without: it may be asked for again.
    pub(crate) fn drop_page(&mut self) {
        self.arrivals.end_page();
        self.frontier.drop_page();
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
        let (parked, paged_out) = (self.parked.len(), self.frontier.paged_out);
        if self.lease.is_none() && parked as i64 > paged_out {
            return Err(format!(
                "{parked} jobs are parked on disk, {paged_out} paged out"
            ));
        }
        self.frontier.check()
    }
}
