//! What is held over a file: a few jobs of each target in memory, the rest on disk, and back when its turn comes.

use super::lanes::is_held;
use super::{Engine, Phase, State};
use crate::controls::Refill;
use crate::due::queue::{Key, Now};
use crate::handover::lanes::Rank;
use crate::jobs::record::{Payload, Released};
use crate::residency::{HeldPage, Residency, Why};
use duewheel_store::{Job, Place, Query};

impl<P: Payload> State<P> {
    /// Page out what is held beyond a few of each target, where it is much: so many at once.
    pub(super) fn page_out_held(&mut self, mut at_once: usize, released: &mut Released<P>) {
        let held = self.targets.controls.held_count();
        let Some(residency) = self.residency.as_mut().filter(|_| held > 0) else {
            return;
        };
        if held <= residency.most_held || residency.lease.is_some() {
            return;
        }
        // As for what is parked.
        if !residency.outbox.is_empty() || residency.arrivals.are_pages_held() {
            return;
        }
        let holding: Vec<u32> = self.targets.controls.holding().iter().copied().collect();
        let kept = residency.frontier.held_of_each(holding.len());
        for number in holding {
            let mut stay = Vec::new();
            while at_once > 0
                && let Some((rank, key)) = self.take_last_held(number, kept)
            {
                at_once -= 1;
                if self.page_out_one_held(number, (rank, key), released) {
                    continue;
                }
                stay.push((rank, key));
            }
            for (rank, key) in stay.into_iter().rev() {
                self.targets.controls.hold(number, rank, key);
            }
        }
        // What stays all the same is not looked at each time.
        let left = self.targets.controls.held_count();
        if let Some(residency) = &mut self.residency {
            let most = residency.frontier.most_parked().max(2 * kept);
            residency.most_held = if at_once > 0 {
                most.max(2 * left)
            } else {
                most
            };
        }
    }

    fn take_last_held(&mut self, number: u32, kept: usize) -> Option<(Rank, Key)> {
        let (controls, queue) = (&mut self.targets.controls, &self.jobs.queue);
        controls.take_last(number, kept, |rank, key| is_held(queue, number, rank, key))
    }

    /// Page out one job; `false`: it stays, for all repeats are in memory, and one with a key may have its gate.
    fn page_out_one_held(
        &mut self,
        number: u32,
        (rank, key): (Rank, Key),
        released: &mut Released<P>,
    ) -> bool {
        let payload = self.jobs.queue.get(key).map(|entry| entry.value.payload);
        let is_bound = payload.is_none_or(|payload| payload.is_keyed());
        let (Some(payload), false, None) = (payload, is_bound, self.jobs.repeat(key)) else {
            return false;
        };
        if let Some(residency) = &mut self.residency {
            residency.frontier.paged_out += 1;
            payload.parts(|parts| {
                let of = (number, parts.target);
                residency.left.add(parts.target, rank.sequence, Why::Held);
                self.targets.controls.note_on_disk(of, rank);
            });
        }
        self.remove(key, released);
        true
    }

    /// Whether a job that has come with a page, and is no repeat, is left on disk.
    pub(super) fn leave_on_disk(&mut self, job: &Job<'_>, payload: P) -> bool {
        let (seq, number) = (job.place.seq, payload.target());
        let is_behind = self.targets.controls.is_behind_disk(number, job.place)
            && job.place.due <= self.jobs.offsets.measured_now().wall
            && !payload.is_keyed();
        let Some(residency) = &mut self.residency else {
            return false;
        };
        if residency.left.is_empty() {
            return false;
        }
        let Residency {
            left, held_page, ..
        } = &mut **residency;
        let brings = |target: &str| held_page.as_ref().is_some_and(|page| *page.name == *target);
        payload.parts(|parts| match left.why(parts.target, seq) {
            Some(Why::Parked) => true,
            Some(Why::Held) if !brings(parts.target) => true,
            Some(_) => {
                left.forget(seq);
                false
            }
            // What is no longer listed there is not the next of what is held.
            None if brings(parts.target) => true,
            None if is_behind => {
                left.add(parts.target, seq, Why::Held);
                true
            }
            None => false,
        })
    }

    /// A job of a page is older than what is known of it: if it is held on disk still, another page brings it.
    pub(super) fn note_missed(&mut self, job: &Job<'_>) {
        if let Some(residency) = &mut self.residency
            && let Some(page) = &mut residency.held_page
            && residency.left.has(&page.name, job.place.seq)
        {
            page.missed = Some(
                page.missed
                    .map_or(job.place, |missed| missed.min(job.place)),
            );
        }
    }

    /// A job that has come with a page of its target is held at once: what ranks after it may be so already.
    pub(super) fn hold_at_once(&mut self, engine: &Engine<P>, key: Key) {
        let number = self.target_of(key);
        let residency = self.residency.as_ref();
        let page = residency.and_then(|residency| residency.held_page.as_ref());
        let is_of_page = number.is_some() && page.map(|page| page.number) == number;
        let now = self.jobs.offsets.measured_now().wall;
        let is_due = self.place(key).is_some_and(|place| place.due <= now);
        if !is_of_page || !is_due || self.phase != Phase::Started {
            return;
        }
        if let Some(execution) = self.jobs.take_off(key) {
            self.hold(engine, &execution);
        }
    }

    /// A page of what a target holds was taken in; `last` is where the next one goes on.
    pub(super) fn end_held_page(
        &mut self,
        engine: &Engine<P>,
        page: &HeldPage,
        last: Option<Place>,
    ) {
        let Some(residency) = &mut self.residency else {
            return;
        };
        let next = last.map(|last| Place {
            due: last.due,
            seq: last.seq + 1,
        });
        let next = next.into_iter().chain(page.missed).min();
        let left = residency.left.len_of(&page.name);
        let is_over = self.targets.controls.note_page(page.number, next, left > 0);
        if is_over {
            // They cannot be read any more.
            residency.left.forget_all_of(&page.name);
        }
        self.see_held(engine, page.number);
    }

    /// Whether a page of what a target holds is wanted.
    pub(super) fn wants_held_page(&self) -> bool {
        let is_under_way = |residency: &Residency| residency.is_page_under_way();
        self.targets.controls.is_any_short()
            && self.phase == Phase::Started
            && self
                .residency
                .as_deref()
                .is_some_and(|residency| !is_under_way(residency))
    }

    /// Begin the page that a target is to have, if one is.
    pub(super) fn begin_held_page(&mut self, now: Now) -> Option<Query> {
        if !self.wants_held_page() {
            return None;
        }
        let Refill {
            number,
            name,
            from,
            limit,
            is_later,
        } = self.targets.controls.refill()?;
        let residency = self.residency.as_mut()?;
        let until = match is_later {
            true => i64::MAX,
            false => residency.frontier.page_bound(now),
        };
        let page = HeldPage {
            number,
            name,
            missed: None,
        };
        Some(residency.begin_held_page(page, from, (until, limit)))
    }
}
