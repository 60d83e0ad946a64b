//! The differences of wall and boot clock under which waiting jobs were scheduled.

use crate::due::queue::{ClockKind, Now};

/// How many offsets are told apart: as many as a record has values for, less the one for none.
const SLOTS: usize = 3;

/// `wall − boot`, as it is and as it was when waiting jobs were scheduled.
///
/// - The first due of a job on the boot clock never changes, though the wall clock may step. All that
///   the job keeps of it is a slot of this table.
/// - When more offsets are in use at once than there are slots, [`take`](Self::take) gives none: the
///   job needs a [`Detail`](crate::jobs::record::Detail).
#[derive(Debug)]
pub(crate) struct Offsets {
    /// As last measured; every slot may be of another offset.
    measured: i64,
    /// The boot time of that measurement.
    measured_at: i64,
    values: [i64; SLOTS],
    jobs: [u64; SLOTS],
    current: usize,
}

impl Offsets {
    pub(crate) fn new(offset: i64, boot: i64) -> Self {
        let mut values = [0; SLOTS];
        values[0] = offset;
        Offsets {
            measured: offset,
            measured_at: boot,
            values,
            jobs: [0; SLOTS],
            current: 0,
        }
    }

    /// The offset as last measured.
    #[inline]
    pub(crate) fn measured(&self) -> i64 {
        self.measured
    }

    /// How long ago it was measured, on the boot clock.
    #[inline]
    pub(crate) fn age(&self, boot: i64) -> i64 {
        boot.saturating_sub(self.measured_at)
    }

    /// Both clocks when it was measured.
    pub(crate) fn measured_now(&self) -> Now {
        Now {
            wall: self.measured_at.saturating_add(self.measured),
            boot: self.measured_at,
        }
    }

    /// It was measured again, and is the same but for its jitter.
    pub(crate) fn confirm(&mut self, boot: i64) {
        self.measured_at = boot;
    }

    /// A clock was stepped: use a free slot, if there is one.
    pub(crate) fn step(&mut self, offset: i64) {
        self.measured = offset;
        if let Some(free) = self.jobs.iter().position(|&jobs| jobs == 0) {
            self.values[free] = offset;
            self.current = free;
        }
    }

    /// What a due on `clock` is on the wall clock, now.
    #[inline]
    pub(crate) fn on_wall(&self, clock: ClockKind, due: i64) -> i64 {
        match clock {
            ClockKind::Wall => due,
            ClockKind::Boot => due.saturating_add(self.measured),
        }
    }

    /// The slot of the offset as it is, for one more job; `None`: it has none.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u8> {
        if self.values[self.current] != self.measured {
            return None;
        }
        self.jobs[self.current] += 1;
        Some(self.current as u8)
    }

    /// A job that had this slot, if it had one, needs it no longer.
    #[inline]
    pub(crate) fn release(&mut self, slot: Option<u8>) {
        if let Some(slot) = slot {
            self.jobs[usize::from(slot)] -= 1;
        }
    }

    /// The due that a job was first scheduled for, on the wall clock; without a slot it is on that.
    pub(crate) fn first_due(&self, slot: Option<u8>, due: i64) -> i64 {
        slot.map_or(due, |slot| {
            due.saturating_add(self.values[usize::from(slot)])
        })
    }

    /// Compare the counts with the slots that jobs were found to have.
    pub(crate) fn check(&self, slots: impl Iterator<Item = u8>) -> Result<(), String> {
        let mut counted = [0; SLOTS];
        slots.for_each(|slot| counted[usize::from(slot)] += 1);
        if counted != self.jobs {
            return Err(format!(
                "offsets: {counted:?} jobs were counted, {:?} are noted",
                self.jobs
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_dues_stay_though_the_clock_steps_as_far_as_slots_go() {
        let mut offsets = Offsets::new(100, 5);
        let first = offsets.take();
        offsets.step(200);
        let second = offsets.take();
        offsets.step(300);
        let third = offsets.take();
        offsets.step(400);
        assert_eq!(offsets.take(), None);
        assert_eq!(offsets.on_wall(ClockKind::Boot, 1), 401);
        assert_eq!(offsets.on_wall(ClockKind::Wall, 1), 1);
        for (slot, due) in [(first, 101), (second, 201), (third, 301), (None, 1)] {
            assert_eq!(offsets.first_due(slot, 1), due);
        }
        offsets.check([0, 1, 2].into_iter()).unwrap();
        offsets.check([0, 1].into_iter()).unwrap_err();

        offsets.release(second);
        offsets.release(None);
        offsets.step(500);
        assert_eq!(offsets.take(), second);
        assert_eq!(offsets.first_due(second, 1), 501);
        assert_eq!(offsets.age(9), 4);
        assert_eq!(offsets.measured_now(), Now { wall: 505, boot: 5 });
    }
}
