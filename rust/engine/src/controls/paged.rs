//! What is held on disk alone: over a file a target keeps few of its held jobs in memory.

use super::on_disk::{OnDisk, Refill};
use super::{HeldBy, Limited, TargetControls};
use crate::due::queue::Key;
use crate::handover::lanes::Rank;
use crate::residency::START;
use duewheel_store::Place;
use std::collections::BTreeSet;

impl Limited {
    /// Whether it is to have a page of what it holds on disk, with so many in memory of each: few are there, or the first
    /// comes after what is on disk.
    pub(super) fn is_short(&self, first: Option<Rank>, kept: usize) -> bool {
        let is_behind = |from: Rank| first.is_none_or(|first| first >= from);
        let is_short = |on_disk: &OnDisk| self.held.len() <= kept / 2 || is_behind(on_disk.from);
        self.on_disk.as_ref().is_some_and(is_short)
    }
}

impl TargetControls {
    /// The targets that hold jobs in memory.
    pub(crate) fn holding(&self) -> &BTreeSet<u32> {
        &self.holding
    }

    /// The rank of a job of a target, from its place; and back.
    fn rank_at(&self, number: u32, place: Place) -> Rank {
        Rank {
            due: place.due.saturating_sub(self.priority(number)),
            sequence: place.seq,
        }
    }

    fn place_at(&self, number: u32, rank: Rank) -> Place {
        if rank == Rank::FIRST {
            return START;
        }
        Place {
            due: rank.due.saturating_add(self.priority(number)),
            seq: rank.sequence,
        }
    }

    /// Whether a job of a target, at this place, belongs behind what the target holds on disk.
    pub(crate) fn is_behind_disk(&self, number: u32, place: Place) -> bool {
        let limited = self.limited(number);
        let on_disk = limited.and_then(|limited| limited.on_disk.as_ref());
        on_disk.is_some_and(|on_disk| self.rank_at(number, place) >= on_disk.from)
    }

    /// Take the last job that a target holds in memory, where that is more than `kept`.
    pub(crate) fn take_last(
        &mut self,
        number: u32,
        kept: usize,
        waits: impl Fn(Rank, Key) -> bool,
    ) -> Option<(Rank, Key)> {
        self.kept = kept;
        let limited = self.limited_mut(number)?;
        if limited.held.len() <= kept {
            return None;
        }
        let last = limited.held.pop_last(waits)?;
        self.held -= 1;
        Some(last)
    }

    /// A job that ranks so is held on disk alone, but not the first: so the target stands where it does.
    pub(crate) fn note_on_disk(&mut self, (number, name): (u32, &str), rank: Rank) {
        if let Some(limited) = self.limited_mut(number) {
            let made = || OnDisk::from(name, rank);
            let on_disk = limited.on_disk.get_or_insert_with(made);
            on_disk.from = on_disk.from.min(rank);
        }
    }

    /// All that is on disk alone of a target of this name is held, wherever it stands; or none of it is. The target is to be
    /// [seen](Self::see).
    pub(crate) fn set_on_disk(&mut self, number: u32, name: Option<&str>) {
        if let Some(limited) = self.limited_mut(number) {
            limited.on_disk = name.map(|name| OnDisk::from(name, Rank::FIRST));
        }
    }

    /// A page has brought all that is held before a place, or has none after it (`None`); `is_any_left`: some of it is on
    /// disk still. Whether that is there no more, for a page looked at every due. The target is to be [seen](Self::see).
    pub(crate) fn note_page(
        &mut self,
        number: u32,
        next: Option<Place>,
        is_any_left: bool,
    ) -> bool {
        let next = next.map(|place| self.rank_at(number, place));
        let Some(limited) = self.limited_mut(number) else {
            return false;
        };
        let Some(on_disk) = limited.on_disk.as_mut().filter(|_| is_any_left) else {
            limited.on_disk = None;
            return false;
        };
        match next {
            Some(next) => on_disk.from = next,
            None if on_disk.is_later => {
                limited.on_disk = None;
                return true;
            }
            None => on_disk.is_later = true,
        }
        false
    }

    /// Why the target of this name starts nothing of what it holds on disk, if it holds any there.
    pub(crate) fn held_on_disk_by(&self, name: &str, now: i64) -> Option<HeldBy> {
        let mut limited = self.limited.iter().map(Option::as_deref);
        let is_of = |on_disk: &OnDisk| *on_disk.name == *name;
        let number = limited.position(|limited| {
            limited.is_some_and(|limited| limited.on_disk.as_ref().is_some_and(is_of))
        })?;
        Some(self.held_by(number as u32, now))
    }

    /// Whether a target is to have a page of what it holds on disk.
    pub(crate) fn is_any_short(&self) -> bool {
        !self.short.is_empty()
    }

    /// The page that a target is to have, one target after the other.
    pub(crate) fn refill(&mut self) -> Option<Refill> {
        let next = self.short.range(self.refilled.saturating_add(1)..).next();
        let number = *next.or_else(|| self.short.first())?;
        self.refilled = number;
        let on_disk = self.limited(number)?.on_disk.as_ref()?;
        Some(Refill {
            number,
            name: on_disk.name.clone(),
            from: self.place_at(number, on_disk.from),
            limit: self.kept.max(1),
            is_later: on_disk.is_later,
        })
    }
}
