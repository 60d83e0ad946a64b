//! Whether a job that comes to a place belongs in memory.

use super::END;
use crate::due::queue::{ClockKind, Now};
use crate::engine::State;
use crate::jobs::record::Payload;
use duewheel_store::Place;

impl<P: Payload> State<P> {
    /// Whether a new job at this due is kept in memory; if not, it counts as away.
    pub(in crate::engine) fn stays(&mut self, clock: ClockKind, due: i64) -> bool {
        let place = self.next_place(clock, due);
        let near = self.is_near(place);
        if let Some(residency) = &mut self.residency
            && !near
        {
            residency.paged_out += 1;
            if clock == ClockKind::Boot {
                residency.note_paged_out(self.offset, place.due);
            }
        }
        near
    }

    /// Whether a job that comes to this place belongs in memory; if not, the frontier is before it.
    pub(in crate::engine) fn is_near(&mut self, place: Place) -> bool {
        let count = self.resident_count();
        let boot = self.offset_read;
        let now = boot.saturating_add(self.offset);
        if self.is_shared() {
            // It comes with a page, if this node gets it.
            self.request_page_if_near(place, now);
            return false;
        }
        let Some(residency) = &mut self.residency else {
            return true;
        };
        if residency.paging.is_some() {
            // It may or may not be in the page.
            return true;
        }
        if residency.paged_out == 0 {
            residency.frontier = END;
            residency.boot_paged_out = None;
        }
        let near = residency.reached(Now { wall: now, boot });
        let near = near.saturating_add(residency.window.horizon);
        let beyond = place.due > near || count >= residency.window.resident;
        if place < residency.frontier && !beyond {
            return true;
        }
        residency.frontier = residency.frontier.min(place);
        if count >= residency.window.resident {
            // It may be due before all for which there was room: then the timer must bring it in.
            let sleeper = residency.inbox.sleeper();
            if place.due <= now.saturating_add(residency.window.horizon) && self.is_first(place) {
                self.asleep = None;
                sleeper.wake();
            }
        }
        false
    }

    /// Whether a place is, or will be, before the frontier without having been looked for there.
    pub(in crate::engine) fn is_passed(&self, place: Place) -> bool {
        let residency = self
            .residency
            .as_ref()
            .filter(|residency| residency.lease.is_none());
        residency.is_some_and(|residency| residency.paging.is_some() || place < residency.frontier)
    }

    /// A new job was not taken in after all.
    pub(in crate::engine) fn not_paged_out(&mut self, stays: bool) {
        if let Some(residency) = &mut self.residency {
            residency.paged_out -= i64::from(!stays);
        }
    }

    /// A page that is under way may hold this job as it was.
    pub(in crate::engine) fn note_changed(&mut self, id: &str) {
        if let Some(residency) = &mut self.residency
            && residency.paging.is_some()
        {
            residency.changed.insert(id.to_owned());
        }
    }

    pub(in crate::engine) fn left_paged_out(&mut self, id: &str) {
        self.note_changed(id);
        if let Some(residency) = &mut self.residency {
            residency
                .unreadable
                .retain(|_, known| known.as_deref() != Some(id));
            residency.came();
            residency.comes_no_more(id);
        }
    }
}
