//! A repeat in memory, in few words: a million of them wait.

use crate::due::queue::ClockKind;
use crate::jobs::moment::Maybe;
use crate::jobs::record::Occurrence;
use crate::jobs::repeats::{Edit, Plan, Then, on_wall};
use duewheel_model::repeat::Standing;
use std::sync::Arc;

/// What holds of a repeat or not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flag {
    /// It was passed over when it was taken up: the occurrence that comes instead is in the standing.
    Passed,
    /// It was cancelled while it ran.
    Ends,
    /// This life of the program declares it, or need not.
    Wanted,
    /// That this life does not declare it was reported.
    Reported,
    /// Its times are on the boot clock.
    OnBoot,
    /// Those of its standing.
    Paused,
    Declared,
    Spent,
    Overdue,
    /// `turn` is the time that follows the occurrence that was taken up.
    FollowedAt,
    /// `turn` is the period after its end.
    FollowedAfterEnd,
}

/// A repeat: its plan, and how far it has come.
///
/// - All of its [standing](Self::standing) is here: the fingerprint in the plan, what most do not have in [`Rare`].
/// - What it could not start before matters until it is taken up, what follows it only thereafter: they share a word.
/// - What is rare is in memory as long as something of it is not as it is by itself.
#[derive(Debug)]
pub(crate) struct Repeat<P> {
    pub(crate) plan: Arc<Plan>,
    time: i64,
    last: i64,
    anchor: i64,
    previous: Maybe,
    /// Of two flags neither: [`Self::since`].
    turn: i64,
    rare: Option<Box<Rare<P>>>,
    /// The lower halves of both numbers.
    occurrence: u32,
    missed: u32,
    /// Of its job, in the slab.
    pub(crate) index: u32,
    flags: u16,
}

/// What few repeats have.
#[derive(Debug)]
struct Rare<P> {
    offset: i64,
    triggered: Maybe,
    wanted: Maybe,
    /// The upper halves.
    occurrence: u32,
    missed: u32,
    unknown: Option<Arc<str>>,
    edit: Option<Box<Edit<P>>>,
}

impl<P> Rare<P> {
    const NOTHING: Self = Rare {
        offset: 0,
        triggered: Maybe::NONE,
        wanted: Maybe::NONE,
        occurrence: 0,
        missed: 0,
        unknown: None,
        edit: None,
    };

    fn is_nothing(&self) -> bool {
        let numbers = self.occurrence == 0 && self.missed == 0 && self.offset == 0;
        let asked = self.triggered != Maybe::NONE || self.wanted != Maybe::NONE;
        numbers && !asked && self.unknown.is_none() && self.edit.is_none()
    }
}

fn halves(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

fn whole(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl<P> Repeat<P> {
    /// One that is new, or comes from a store; its times are on `clock`.
    pub(crate) fn new(plan: Arc<Plan>, standing: Standing, clock: ClockKind) -> Self {
        let mut repeat = Repeat {
            plan,
            time: 0,
            last: 0,
            anchor: 0,
            previous: Maybe::NONE,
            turn: i64::MIN,
            rare: None,
            occurrence: 0,
            missed: 0,
            index: 0,
            flags: 0,
        };
        repeat.set(Flag::Wanted, true);
        repeat.set_clock(clock);
        repeat.set_standing(standing);
        repeat
    }

    #[inline]
    pub(crate) fn is(&self, flag: Flag) -> bool {
        self.flags >> flag as u16 & 1 == 1
    }

    /// Set a flag; what it was.
    #[inline]
    pub(crate) fn set(&mut self, flag: Flag, holds: bool) -> bool {
        let was = self.is(flag);
        self.flags = self.flags & !(1 << flag as u16) | u16::from(holds) << flag as u16;
        was
    }

    #[inline]
    pub(crate) fn clock(&self) -> ClockKind {
        if self.is(Flag::OnBoot) {
            ClockKind::Boot
        } else {
            ClockKind::Wall
        }
    }

    pub(crate) fn set_clock(&mut self, clock: ClockKind) {
        self.set(Flag::OnBoot, clock == ClockKind::Boot);
    }

    /// How far it has come; its times are on its clock.
    #[inline]
    pub(crate) fn standing(&self) -> Standing {
        let rare = self.rare.as_deref().unwrap_or(&Rare::NOTHING);
        Standing {
            time: self.time,
            last: self.last,
            anchor: self.anchor,
            offset: rare.offset,
            occurrence: whole(rare.occurrence, self.occurrence),
            previous: self.previous.get(),
            missed: whole(rare.missed, self.missed),
            triggered: rare.triggered.get(),
            wanted: rare.wanted.get(),
            fingerprint: self.plan.rules(),
            paused: self.is(Flag::Paused),
            declared: self.is(Flag::Declared),
            spent: self.is(Flag::Spent),
            overdue: self.is(Flag::Overdue),
        }
    }

    pub(crate) fn set_standing(&mut self, standing: Standing) {
        if self.plan.rules() != standing.fingerprint {
            self.plan = self.plan.found_by(standing.fingerprint);
        }
        (self.time, self.last) = (standing.time, standing.last);
        self.anchor = standing.anchor;
        self.previous = standing.previous.into();
        let (occurrences, occurrence) = halves(standing.occurrence);
        let (many_missed, missed) = halves(standing.missed);
        (self.occurrence, self.missed) = (occurrence, missed);
        self.set(Flag::Paused, standing.paused);
        self.set(Flag::Declared, standing.declared);
        self.set(Flag::Spent, standing.spent);
        self.set(Flag::Overdue, standing.overdue);
        let asked = standing.triggered.or(standing.wanted);
        if self.rare.is_some()
            || asked.is_some()
            || standing.offset | i64::from(occurrences | many_missed) != 0
        {
            self.change_rare(|rare| {
                rare.offset = standing.offset;
                rare.triggered = standing.triggered.into();
                rare.wanted = standing.wanted.into();
                (rare.occurrence, rare.missed) = (occurrences, many_missed);
            });
        }
    }

    /// The first due of the last occurrence that succeeded, on the wall clock.
    pub(crate) fn set_previous(&mut self, due: i64) {
        self.previous = Some(due).into();
    }

    /// Change how far it has come.
    #[inline]
    pub(crate) fn change<R>(&mut self, change: impl FnOnce(&mut Standing) -> R) -> R {
        let mut standing = self.standing();
        let result = change(&mut standing);
        self.set_standing(standing);
        result
    }

    #[cold]
    fn change_rare<R>(&mut self, change: impl FnOnce(&mut Rare<P>) -> R) -> R {
        if let Some(rare) = self.rare.as_deref_mut() {
            let result = change(rare);
            if rare.is_nothing() {
                self.rare = None;
            }
            return result;
        }
        let mut rare = Rare::NOTHING;
        let result = change(&mut rare);
        if !rare.is_nothing() {
            self.rare = Some(Box::new(rare));
        }
        result
    }

    /// When the occurrence before ended, on the boot clock: what was due before could not start.
    pub(crate) fn since(&self) -> i64 {
        if self.is(Flag::FollowedAt) || self.is(Flag::FollowedAfterEnd) {
            i64::MIN
        } else {
            self.turn
        }
    }

    /// The occurrence before has ended: what follows the next one is not known.
    pub(crate) fn set_since(&mut self, boot: i64) {
        self.set(Flag::FollowedAt, false);
        self.set(Flag::FollowedAfterEnd, false);
        self.turn = boot;
    }

    /// What follows the occurrence that was taken up.
    pub(crate) fn then(&self) -> Then {
        if self.is(Flag::FollowedAt) {
            Then::At(self.turn)
        } else if self.is(Flag::FollowedAfterEnd) {
            Then::AfterEnd(self.turn)
        } else {
            Then::Unknown
        }
    }

    /// It was taken up, and this follows. One that runs was not missed: no more is to be known of what was before.
    pub(crate) fn set_then(&mut self, then: Then) {
        self.turn = match then {
            Then::At(time) => time,
            Then::AfterEnd(period) => period,
            Then::Unknown => self.since(),
        };
        self.set(Flag::FollowedAt, matches!(then, Then::At(_)));
        self.set(Flag::FollowedAfterEnd, matches!(then, Then::AfterEnd(_)));
    }

    /// Have what follows the occurrence that has started count from this moment on, whose first time is `next`.
    pub(crate) fn count_from(&mut self, moment: i64, next: i64) {
        // What was handed over and not taken up is asked for what follows then.
        if self.since() == i64::MIN {
            self.set_then(self.plan.then(next));
        }
        self.change(|standing| standing.count_from(moment, next));
    }

    /// Why it cannot be evaluated, if it cannot.
    pub(crate) fn unknown(&self) -> Option<&Arc<str>> {
        self.rare.as_deref()?.unknown.as_ref()
    }

    pub(crate) fn set_unknown(&mut self, unknown: Option<Arc<str>>) {
        self.change_rare(|rare| rare.unknown = unknown);
    }

    /// What it is to be when the occurrence that runs has ended.
    pub(crate) fn edit(&self) -> Option<&Edit<P>> {
        self.rare.as_deref()?.edit.as_deref()
    }

    pub(crate) fn edit_mut(&mut self) -> Option<&mut Edit<P>> {
        self.rare.as_deref_mut()?.edit.as_deref_mut()
    }

    /// Put an edit in the place of another; the other.
    pub(crate) fn replace_edit(&mut self, edit: Option<Box<Edit<P>>>) -> Option<Box<Edit<P>>> {
        self.change_rare(|rare| std::mem::replace(&mut rare.edit, edit))
    }

    /// What comes after the occurrence that runs: the plan, how far that has come, and the clock.
    pub(crate) fn coming(&self) -> (Arc<Plan>, Standing, ClockKind) {
        match self.edit() {
            Some(edit) => {
                let standing = edit.standing_after(&self.standing());
                (edit.plan.clone(), standing, edit.clock)
            }
            None => (self.plan.clone(), self.standing(), self.clock()),
        }
    }

    /// Whether it does not start, though due.
    pub(crate) fn is_held(&self) -> bool {
        self.unknown().is_some()
            || !self.is(Flag::Wanted)
            || (self.is(Flag::Paused) && self.standing().triggered.is_none())
    }

    /// Which occurrence comes, or runs.
    pub(crate) fn occurrence(&self) -> Occurrence {
        let high = self.rare.as_deref().map_or(0, |rare| rare.occurrence);
        Occurrence {
            number: whole(high, self.occurrence),
            previous: self.previous.get(),
        }
    }

    /// When what comes is due, and on which clock.
    pub(crate) fn due(&self) -> (ClockKind, i64) {
        let rare = self.rare.as_deref().unwrap_or(&Rare::NOTHING);
        match rare.triggered.get() {
            Some(at) => (ClockKind::Wall, at),
            None => (self.clock(), self.time.saturating_add(rare.offset)),
        }
    }

    /// How far it has come, as a store has it: with what an edit has said meanwhile, and the time of what runs.
    pub(crate) fn stored(&self, ahead: i64) -> Standing {
        let (_, standing, clock) = self.coming();
        let mut stored = on_wall(standing, clock, ahead);
        if self.edit().is_some() && stored.triggered.is_none() {
            stored.time = self.on_wall(ahead).time;
        }
        stored
    }

    /// How far it has come, with its times on the wall clock; `ahead`: how far the wall clock is ahead of the boot clock.
    pub(crate) fn on_wall(&self, ahead: i64) -> Standing {
        on_wall(self.standing(), self.clock(), ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duewheel_model::repeat::Terms;
    use duewheel_schedule::Schedule;

    fn repeat(standing: Standing) -> Repeat<()> {
        let plan = Plan::new(Schedule::every(7, None, false).unwrap(), Terms::default());
        Repeat::new(plan, standing, ClockKind::Boot)
    }

    fn standings() -> [Standing; 6] {
        let new = Standing::new(5);
        [
            new,
            Standing {
                time: i64::MAX,
                last: -1,
                anchor: i64::MIN,
                previous: Some(0),
                fingerprint: 9,
                ..new
            },
            Standing { offset: 3, ..new },
            Standing {
                occurrence: u64::MAX - 1,
                missed: 1 << 40 | 7,
                ..new
            },
            Standing {
                triggered: Some(-4),
                wanted: Some(0),
                ..new
            },
            Standing {
                paused: true,
                declared: true,
                spent: true,
                overdue: true,
                ..new
            },
        ]
    }

    #[test]
    fn a_standing_is_kept_as_it_is_and_what_is_rare_is_let_go_of() {
        assert!(size_of::<Repeat<()>>() <= 72, "a million of them wait");
        let new = Standing::new(5);
        for standing in standings() {
            for other in standings() {
                let mut repeat = repeat(standing);
                assert_eq!(repeat.standing(), standing);
                repeat.set_standing(other);
                assert_eq!(repeat.standing(), other);
                repeat.set_standing(new);
                assert!(repeat.rare.is_none());
                assert_eq!(
                    (repeat.clock(), repeat.is(Flag::Wanted)),
                    (ClockKind::Boot, true)
                );
            }
        }
    }

    #[test]
    fn what_could_not_start_is_known_until_it_is_taken_up() {
        let mut repeat = repeat(Standing::new(5));
        repeat.set_since(11);
        repeat.count_from(20, 27);
        assert_eq!((repeat.since(), repeat.then()), (11, Then::Unknown));
        assert_eq!(repeat.standing().last, 20);
        repeat.set_then(Then::Unknown);
        assert_eq!(repeat.since(), 11);
        repeat.set_then(Then::AfterEnd(7));
        assert_eq!(
            (repeat.since(), repeat.then()),
            (i64::MIN, Then::AfterEnd(7))
        );
        repeat.count_from(30, 37);
        assert_eq!(repeat.then(), Then::At(37));
        repeat.set_then(Then::Unknown);
        assert_eq!((repeat.since(), repeat.then()), (i64::MIN, Then::Unknown));
        repeat.set_since(40);
        assert_eq!((repeat.since(), repeat.then()), (40, Then::Unknown));
    }
}
