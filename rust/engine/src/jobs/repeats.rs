//! What only repeats have beside their entry: their plan, and how far they have come.

use crate::due::queue::ClockKind;
use duewheel_model::repeat::{Definition, Standing, Terms, Times};
use duewheel_schedule::{Error as ScheduleError, Schedule};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

/// The time of a repeat that has none left.
pub const NEVER: i64 = i64::MAX;

/// How far the wall clock is ahead of this one; `ahead`: of the boot clock.
pub(crate) fn ahead_of(clock: ClockKind, ahead: i64) -> i64 {
    match clock {
        ClockKind::Wall => 0,
        ClockKind::Boot => ahead,
    }
}

/// This moment of the boot clock, on a clock.
pub(crate) fn moment_on(clock: ClockKind, boot: i64, ahead: i64) -> i64 {
    match clock {
        ClockKind::Wall => boot.saturating_add(ahead),
        ClockKind::Boot => boot,
    }
}

/// When a repeat comes again: its schedule and its terms. It never changes; an edit is another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    schedule: Schedule,
    terms: Terms,
    /// Of the rules of its zones, by which times of it were found: a fingerprint.
    rules: u64,
}

impl Plan {
    /// Of a schedule and terms.
    #[must_use]
    pub fn new(schedule: Schedule, terms: Terms) -> Arc<Self> {
        let ends = schedule.ends();
        Arc::new(Plan {
            schedule,
            terms: Terms { ends, ..terms },
            rules: 0,
        })
    }

    /// The same, by other rules of its zones.
    pub(crate) fn found_by(&self, rules: u64) -> Arc<Self> {
        Arc::new(Plan {
            rules,
            ..self.clone()
        })
    }

    /// The fingerprint of the rules of its zones, by which times of it were found.
    pub(crate) fn rules(&self) -> u64 {
        self.rules
    }

    /// Whether it says the same, by whatever rules of its zones.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.schedule == other.schedule && self.terms == other.terms
    }

    /// Of what a store keeps of them; an unknown zone is no error here.
    ///
    /// # Errors
    ///
    /// What is wrong with the text of the schedule.
    pub fn read(definition: &Definition) -> Result<Arc<Self>, ScheduleError> {
        let schedule = Schedule::from_definition(&definition.schedule)?;
        Ok(Plan::new(schedule, definition.terms.clone()))
    }

    /// What a store keeps of it.
    #[must_use]
    pub fn definition(&self) -> Definition {
        Definition {
            schedule: self.schedule.definition(),
            terms: self.terms.clone(),
        }
    }

    /// Its schedule.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Its terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The clock that a repeat scheduled now is due on: that of an interval without an anchor is the boot clock.
    #[must_use]
    pub(crate) fn clock(&self) -> ClockKind {
        match self.schedule.interval() {
            Some(_) => ClockKind::Boot,
            None => ClockKind::Wall,
        }
    }

    /// Whether each time is a period after the end of the occurrence before.
    pub(crate) fn is_from_end(&self) -> bool {
        self.schedule
            .interval()
            .is_some_and(|interval| interval.from_end)
    }

    /// The period of an interval without an anchor.
    pub(crate) fn period(&self) -> Option<i64> {
        self.schedule.interval().map(|interval| interval.period)
    }

    /// Its times on a clock; `ahead`: how far the wall clock is ahead of the boot clock.
    pub(crate) fn times_on(&self, clock: ClockKind, anchor: i64, ahead: i64) -> PlanTimes<'_> {
        self.times(anchor, ahead_of(clock, ahead))
    }

    /// Its times; `ahead`: how far the wall clock is ahead of the clock that they are on.
    pub(crate) fn times(&self, anchor: i64, ahead: i64) -> PlanTimes<'_> {
        // The grid of what is combined with an interval without an anchor begins where it was scheduled.
        let anchored = match self.schedule.interval() {
            Some(_) => None,
            None => Some(self.schedule.anchored(anchor)),
        };
        PlanTimes {
            plan: self,
            anchored,
            anchor,
            ahead,
        }
    }

    /// The next `n` dues of a repeat that stands so on the wall clock, the first of which is `due`.
    #[must_use]
    pub fn upcoming(&self, standing: &Standing, due: i64, n: usize) -> Vec<i64> {
        let left = (self.terms.count).map(|count| (count + 1).saturating_sub(standing.occurrence));
        let most = left.map_or(n, |left| n.min(usize::try_from(left).unwrap_or(usize::MAX)));
        let times = self.times(standing.anchor, 0);
        let mut time = standing.time;
        let mut dues = Vec::new();
        if due != NEVER && most > 0 {
            dues.push(due);
        }
        if standing.triggered.is_some() && time != NEVER && dues.len() < most {
            dues.push(standing.due());
        }
        while dues.len() < most
            && time != NEVER
            && let Some(next) = times.next(time.max(standing.last))
        {
            dues.push(next.saturating_add(standing.offset));
            time = next;
        }
        dues
    }

    /// The anchor of the grid of an interval, moved by whole periods to before a moment, if it is after that.
    pub(crate) fn at_or_before(&self, moment: i64, anchor: i64) -> i64 {
        match self.period() {
            Some(period) if anchor > moment => {
                let past = moment.saturating_sub(anchor).rem_euclid(period);
                moment.saturating_sub(past)
            }
            _ => anchor,
        }
    }

    /// What follows an occurrence, if the first time after it is this one.
    pub(crate) fn then(&self, next: i64) -> Then {
        if self.is_from_end() {
            Then::AfterEnd(self.period().unwrap_or(NEVER))
        } else {
            Then::At(next)
        }
    }

    /// Whether it may come for ever: nothing but being cancelled ends it for certain.
    pub(crate) fn is_endless(&self) -> bool {
        self.terms.is_endless()
    }
}

/// The times of a plan, from an anchor, within the bounds of its terms.
pub(crate) struct PlanTimes<'a> {
    plan: &'a Plan,
    anchored: Option<Schedule>,
    anchor: i64,
    ahead: i64,
}

impl PlanTimes<'_> {
    /// As `next`.
    ///
    /// # Errors
    ///
    /// Those of the schedule.
    pub(crate) fn try_next(&self, after: i64) -> Result<Option<i64>, ScheduleError> {
        let start = self.bound(self.plan.terms.start).unwrap_or(i64::MIN);
        let end = self.bound(self.plan.terms.end);
        let within = after.max(start.saturating_sub(1));
        let next = match (&self.anchored, self.plan.period()) {
            (Some(schedule), _) => schedule.next(within)?,
            // Its period does not count from `start`, which it only waits for.
            (None, Some(period)) if self.plan.is_from_end() => {
                after.checked_add(period).map(|next| next.max(start))
            }
            (None, Some(period)) => self.of_grid(within, period),
            (None, None) => None,
        };
        Ok(next.filter(|&next| next < NEVER && end.is_none_or(|end| next < end)))
    }

    fn of_grid(&self, after: i64, period: i64) -> Option<i64> {
        let passed = i128::from(after) - i128::from(self.anchor);
        let next = i128::from(self.anchor)
            + (passed.div_euclid(period.into()) + 1).max(1) * i128::from(period);
        i64::try_from(next).ok()
    }

    fn bound(&self, bound: Option<i64>) -> Option<i64> {
        bound.map(|wall| wall.saturating_sub(self.ahead))
    }
}

impl Times for PlanTimes<'_> {
    fn next(&self, after: i64) -> Option<i64> {
        // A zone that has become unknown meanwhile gives no time: whoever holds it back says so.
        self.try_next(after).ok()?
    }

    fn last(&self, after: i64, until: i64) -> Option<i64> {
        let end = self.bound(self.plan.terms.end);
        let until = end.map_or(until, |end| until.min(end.saturating_sub(1)));
        if self.plan.is_from_end() {
            return None;
        }
        let Some(period) = self.plan.period() else {
            return self.anchored.as_ref()?.last(after, until).ok()?;
        };
        let passed = i128::from(until) - i128::from(self.anchor);
        let last = i128::from(self.anchor) + passed.div_euclid(period.into()) * i128::from(period);
        let last = i64::try_from(last).ok()?;
        (last > after && last > self.anchor).then_some(last)
    }
}

/// What follows the occurrence that runs, found when it was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The first time after it; [`NEVER`]: there is none.
    At(i64),
    /// A period after its end.
    AfterEnd(i64),
    /// It was not taken up.
    Unknown,
}

/// What replaces a repeat's own when the occurrence that runs has ended.
#[derive(Debug)]
pub(crate) struct Edit<P> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) payload: P,
    pub(crate) standing: Standing,
    pub(crate) clock: ClockKind,
    /// What follows that occurrence, where the schedule counts from the moment of the edit on.
    pub(crate) then: Option<Then>,
}

impl<P> Edit<P> {
    /// How far the repeat has come with it, after this: what has come meanwhile is not of the edit.
    pub(crate) fn standing_after(&self, standing: &Standing) -> Standing {
        Standing {
            occurrence: standing.occurrence,
            previous: standing.previous,
            missed: standing.missed,
            triggered: standing.triggered,
            wanted: standing.wanted,
            paused: standing.paused,
            spent: standing.spent,
            ..self.standing
        }
    }

    /// Have what follows count from this moment on, whose first time is `next`: how far the repeat has come is behind it.
    pub(crate) fn count_from(&mut self, moment: i64, next: i64) {
        self.then = Some(self.plan.then(next));
        self.standing.count_from(moment, next);
    }
}

/// A standing on this clock with its times on the wall clock.
pub(crate) fn on_wall(standing: Standing, clock: ClockKind, ahead: i64) -> Standing {
    match clock {
        ClockKind::Wall => standing,
        ClockKind::Boot => {
            let never = standing.time == NEVER;
            let shifted = standing.shifted(ahead);
            Standing {
                time: if never { NEVER } else { shifted.time },
                ..shifted
            }
        }
    }
}

/// A standing of one clock with its times on another.
pub(crate) fn carried(standing: Standing, from: ClockKind, to: ClockKind, ahead: i64) -> Standing {
    match (from, to) {
        (ClockKind::Boot, ClockKind::Wall) => on_wall(standing, from, ahead),
        (ClockKind::Wall, ClockKind::Boot) => on_wall(standing, to, ahead.saturating_neg()),
        _ => standing,
    }
}

/// The wall clock has gone back by hours: what waited on it then is due anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Review {
    /// What had a place then has a lower sequence.
    pub(crate) before: u64,
    /// Where the wall clock stood then.
    pub(crate) from: i64,
}

/// A repeat that is held back, since a zone of its schedule is unknown here and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: String,
    /// Which zone that is, and the remedy.
    pub why: Arc<str>,
}

/// How many plans are looked at when another is made.
const LATEST: usize = 64;

/// The latest plans: many repeats that come alike share one.
#[derive(Debug, Default)]
pub(crate) struct Plans(HashMap<u64, Weak<Plan>>);

impl Plans {
    /// The plan that is kept instead of this one, which is equal.
    pub(crate) fn shared(&mut self, plan: Arc<Plan>) -> Arc<Plan> {
        let mut hasher = DefaultHasher::new();
        plan.hash(&mut hasher);
        let kept = self.0.entry(hasher.finish() % LATEST as u64).or_default();
        match kept.upgrade() {
            Some(found) if found == plan => found,
            _ => {
                *kept = Arc::downgrade(&plan);
                plan
            }
        }
    }
}
