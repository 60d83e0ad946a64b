//! What enters memory and what leaves it: new jobs by their place, parked ones by their number.

use super::State;
use crate::due::queue::{ClockKind, Key, Now};
use crate::jobs::record::{Detail, Parts, Payload, Released, Stage};
use crate::residency::{Decision, Lease, Why};
use duewheel_store::Place;

impl<P: Payload> State<P> {
    pub(super) fn is_shared(&self) -> bool {
        self.residency
            .as_ref()
            .is_some_and(|residency| residency.lease.is_some())
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.residency.as_ref()?.lease.as_ref()
    }

    pub(super) fn lease_mut(&mut self) -> Option<&mut Lease> {
        self.residency.as_mut()?.lease.as_mut()
    }

    /// Whether what is held may start: past the end of its lease a node starts nothing.
    pub(super) fn may_start(&self) -> bool {
        self.lease().is_none_or(Lease::may_start)
    }

    /// The place that the next job at this due takes.
    pub(super) fn next_place(&self, clock: ClockKind, due: i64) -> Place {
        Place {
            due: self.jobs.on_wall(clock, due),
            seq: self.next_given(),
        }
    }

    /// The sequence that the next place has.
    pub(super) fn next_given(&self) -> u64 {
        let lease = self.lease();
        lease.map_or_else(|| self.jobs.queue.next_sequence(), Lease::next_seq)
    }

    /// A job that is not in memory has a place with this sequence.
    pub(super) fn reserve_seq(&mut self, seq: u64) {
        match self.lease_mut() {
            Some(lease) => lease.reserve_seq(seq),
            None => self.jobs.queue.skip_sequences(seq + 1),
        }
    }

    /// The sequence that a job in memory has in the store: where that is not shared, its own.
    pub(super) fn store_seq(&self, key: Key, sequence: u64) -> u64 {
        let seq = self.lease().and_then(|lease| lease.store_seq(key));
        seq.unwrap_or(sequence)
    }

    /// Insert a job under an id that is free; over a store, with a sequence that was reserved.
    pub(super) fn put_detail(
        &mut self,
        clock: ClockKind,
        due: i64,
        sequence: u64,
        detail: Detail,
        payload: P,
    ) -> Key {
        // In a shared store other nodes give sequences, too.
        let is_own = self.residency.is_some() && !self.is_shared();
        let own = is_own.then_some(sequence);
        let key = self.jobs.insert_stored(clock, due, own, detail, payload);
        if let Some(lease) = self.lease_mut() {
            lease.set_store_seq(key, sequence);
        }
        key
    }

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

    /// A job comes to this place: ask for it soon, if it is near.
    pub(super) fn request_page_if_near(&mut self, place: Place, now: i64) {
        let residency = self.residency.as_ref();
        let horizon = residency.map_or(0, |residency| residency.frontier.window().horizon);
        if place.due <= now.saturating_add(horizon) {
            self.poll_now();
        }
    }

    /// Ask a shared store for a page soon.
    pub(super) fn poll_now(&mut self) {
        if let Some(lease) = self.lease_mut() {
            lease.poll_now();
            self.wake_by_inbox();
        }
    }

    /// Wake the timer by the inbox, whose sleeper is the engine's.
    pub(super) fn wake_by_inbox(&self) {
        if let Some(backing) = &self.backing {
            backing.inbox.sleeper.wake();
        }
    }

    /// The (due, sequence) of what waits first in memory.
    pub(super) fn first_order(&self, now: Now) -> Option<(i64, u64)> {
        let first = self.jobs.queue.first(now).and_then(|key| self.place(key));
        first.map(|first| first.order())
    }

    pub(super) fn first_order_as_measured(&self) -> Option<(i64, u64)> {
        self.first_order(self.jobs.offsets.measured_now())
    }

    /// A new job was refused after all.
    pub(super) fn not_paged_out(&mut self, admitted: bool) {
        if let Some(residency) = &mut self.residency {
            residency.frontier.paged_out -= i64::from(!admitted);
        }
    }

    /// A page that is under way may hold this job as it was.
    pub(super) fn note_changed(&mut self, id: &str) {
        if let Some(residency) = &mut self.residency {
            residency.note_changed(id);
        }
    }

    /// How many jobs are parked, in memory and on disk.
    pub(super) fn all_parked(&self) -> u64 {
        let residency = self.residency.as_ref();
        let on_disk = residency.map_or(0, |residency| residency.left.parked());
        self.targets.parked_count() as u64 + on_disk
    }

    /// Page out what is due and does not start, if it is too much: so many at once of what is parked and of what is held.
    pub(super) fn page_out(&mut self, at_once: usize, released: &mut Released<P>) {
        self.page_out_parked(at_once, released);
        self.page_out_held(at_once, released);
    }

    fn page_out_parked(&mut self, mut at_once: usize, released: &mut Released<P>) {
        let Some(residency) = &self.residency else {
            return;
        };
        let most = residency.frontier.most_parked();
        if self.targets.parked_count() <= most || residency.lease.is_some() {
            return;
        }
        // What the store does not know yet could not be distinguished from what comes with a page; and a call that
        // asks about a job has looked already whether it is parked on disk.
        if !residency.outbox.is_empty() || residency.arrivals.are_pages_held() {
            return;
        }
        let mut parked = self.targets.take_parked_lists();
        for keys in parked.values_mut() {
            // Repeats stay: all of them are in memory.
            let mut repeats = Vec::new();
            while self.targets.parked_count() > most / 2
                && at_once > 0
                && let Some(key) = keys.pop()
            {
                at_once -= 1;
                if self.jobs.repeat(key).is_some() {
                    repeats.push(key);
                } else {
                    self.page_out_one(key, released);
                }
            }
            keys.append(&mut repeats);
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
            payload.parts(|parts| residency.left.add(parts.target, seq, Why::Parked));
        }
        self.unpark(key);
        self.remove(key, released);
    }

    /// A job that was not in memory was withdrawn or moved.
    pub(super) fn forget_left(&mut self, seq: Option<u64>) {
        if let (Some(residency), Some(seq)) = (&mut self.residency, seq) {
            residency.left.forget(seq);
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
            let is_on_disk = |parts: Parts<'_>| residency.left.has(parts.target, seq);
            if entry.value.payload.parts(is_on_disk) {
                return Err(format!("{key:?} is in memory and left on disk"));
            }
        }
        Ok(())
    }
}
