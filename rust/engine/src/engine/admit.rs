//! What enters memory and what leaves it: new jobs by their place, parked ones by their number.

use super::State;
use crate::due::queue::{ClockKind, Key};
use crate::jobs::record::{Parts, Payload, Released, Stage};
use crate::residency::Decision;
use duewheel_store::Place;

impl<P: Payload> State<P> {
    /// Admit a new job at this due to memory, or count it as paged out; whether it is admitted.
    pub(super) fn admit_new(&mut self, clock: ClockKind, due: i64) -> bool {
        let place = self.next_place(clock, due);
        let admitted = self.admit_to(place);
        let offset = self.jobs.offsets.measured();
        if let Some(residency) = &mut self.residency
            && !admitted
        {
            residency.frontier.paged_out += 1;
            if clock == ClockKind::Boot {
                residency.frontier.note_boot_paged_out(offset, place.due);
            }
        }
        admitted
    }

    /// Admit a job that comes to this place to memory, or set the frontier before it; whether it is admitted.
    pub(super) fn admit_to(&mut self, place: Place) -> bool {
        let now = self.jobs.offsets.measured_now();
        if self.is_shared() {
            // It comes with a page, if this node gets it.
            self.request_page_if_near(place, now.wall);
            return false;
        }
        let Some(residency) = &self.residency else {
            return true;
        };
        let (count, first) = (self.resident_count(), || self.first_order_as_measured());
        let decision = residency.frontier.decide(place, now, count, first);
        if let Some(residency) = &mut self.residency {
            residency.frontier.apply(decision, place);
        }
        if decision == (Decision::PagedOut { plan_anew: true }) {
            self.asleep = None;
            self.wake_by_inbox();
        }
        decision == Decision::Resident
    }

    /// A new job was refused after all.
    pub(super) fn not_paged_out(&mut self, admitted: bool) {
        if let Some(residency) = &mut self.residency {
            residency.frontier.paged_out -= i64::from(!admitted);
        }
    }

    /// Whether a place is, or will be, before the frontier without having been looked for there.
    pub(super) fn is_passed(&self, place: Place) -> bool {
        let residency = self.residency.as_ref();
        residency.is_some_and(|residency| residency.is_passed(place))
    }

    /// A page that is under way may hold this job as it was.
    pub(super) fn note_changed(&mut self, id: &str) {
        if let Some(residency) = &mut self.residency {
            residency.note_changed(id);
        }
    }

    /// A job that was not in memory was cancelled.
    pub(super) fn left_paged_out(&mut self, id: &str) {
        if let Some(residency) = &mut self.residency {
            residency.forget(id);
        }
    }

    /// Whether a job that is not in memory may be parked.
    pub(super) fn has_parked_on_disk(&self) -> bool {
        let residency = self.residency.as_ref();
        residency.is_some_and(|residency| !residency.parked.is_empty())
    }

    /// How many jobs are parked, in memory and on disk.
    pub(super) fn all_parked(&self) -> u64 {
        let residency = self.residency.as_ref();
        let on_disk = residency.map_or(0, |residency| residency.parked.unhandled());
        self.targets.parked_count() as u64 + on_disk
    }

    /// Page out parked jobs, if they are too many: so many at once.
    pub(super) fn page_out_parked(&mut self, mut at_once: usize, released: &mut Released<P>) {
        let Some(residency) = &self.residency else {
            return;
        };
        let most = residency.most_parked();
        if self.targets.parked_count() <= most || residency.lease.is_some() {
            return;
        }
        // What the store does not know yet could not be told from what comes with a page; and a call that
        // asks about a job has looked already whether it is parked on disk.
        if !residency.outbox.is_empty() || residency.arrivals.are_pages_held() {
            return;
        }
        let mut parked = self.targets.take_parked_lists();
        for keys in parked.values_mut() {
            while self.targets.parked_count() > most / 2
                && at_once > 0
                && let Some(key) = keys.pop()
            {
                at_once -= 1;
                self.page_out_one(key, released);
            }
        }
        self.targets.put_parked_lists(parked);
    }

    fn page_out_one(&mut self, key: Key, released: &mut Released<P>) {
        let parked = self.jobs.queue.get(key);
        let Some(entry) = parked.filter(|entry| entry.value.stage() == Stage::Parked) else {
            return; // it has left since
        };
        let seq = self.store_seq(key, entry.sequence);
        let payload = entry.value.payload;
        if let Some(residency) = &mut self.residency {
            residency.frontier.paged_out += 1;
            payload.parts(|parts| residency.parked.add(parts.target, seq));
        }
        self.unpark(key);
        self.remove(key, released);
    }

    /// Leave a job that has come with a page parked on disk, while it has no handler; whether it is left.
    pub(super) fn leave_parked(&mut self, payload: P, seq: u64) -> bool {
        let Some(residency) = &mut self.residency else {
            return false;
        };
        if residency.parked.is_empty() {
            return false;
        }
        let keeps = payload.parts(|parts| residency.parked.keeps(parts.target, seq));
        if keeps == Some(false) {
            residency.parked.forget(seq);
        }
        keeps == Some(true)
    }

    /// A job that was not in memory was withdrawn or moved.
    pub(super) fn left_parked(&mut self, seq: Option<u64>) {
        if let (Some(residency), Some(seq)) = (&mut self.residency, seq) {
            residency.parked.forget(seq);
        }
    }

    /// A target has a handler or has lost it; what is parked on disk for want of one is brought in.
    pub(super) fn handler_changed(&mut self, target: &str, handled: bool) {
        if let Some(residency) = &mut self.residency
            && residency.parked.set_handled(target, handled)
            && handled
        {
            residency.frontier.start_over();
        }
    }

    /// Report a broken invariant of what is in memory and what is not.
    pub(super) fn check_residency(&self) -> Result<(), String> {
        let Some(residency) = &self.residency else {
            return Ok(());
        };
        residency.check()?;
        for (key, entry) in self.jobs.queue.iter() {
            let seq = self.store_seq(key, entry.sequence);
            let is_on_disk = |parts: Parts<'_>| residency.parked.has(parts.target, seq);
            if entry.value.payload.parts(is_on_disk) {
                return Err(format!("{key:?} is in memory and parked on disk"));
            }
        }
        Ok(())
    }
}
