//! The next time of a schedule, and the last.

use super::tree::{Condition, Kind, Schedule};
use crate::cron::Cron;
use crate::error::Error;
use std::cell::Cell;

/// After how many steps a search is given up: some tenths of a second.
const MOST_STEPS: u32 = 1_000_000;

/// How far one search may go.
#[derive(Clone, Copy)]
struct Budget<'a> {
    steps: &'a Cell<u32>,
    /// What is after this is not asked for.
    until: i64,
}

impl Budget<'_> {
    fn spend(&self, schedule: &Schedule) -> Result<(), Error> {
        match self.steps.get().checked_sub(1) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Error::Endless(format!(
                "no time was found in {MOST_STEPS} steps: the parts of {schedule} may never meet"
            ))),
        }
    }
}

impl Schedule {
    /// The first time after one, or `None` if there is no more until 2262.
    ///
    /// An `Every` without an anchor counts from `after`: see [`Schedule::anchored`].
    ///
    /// # Errors
    /// [`Error::UnknownZone`] if a zone is not known now, [`Error::Endless`] if parts of a combination do not meet,
    /// [`Error::Invalid`] for `Days`.
    #[inline]
    pub fn next(&self, after: i64) -> Result<Option<i64>, Error> {
        match self.kind() {
            Kind::Cron(cron) => cron.next(after),
            Kind::Every(every) => Ok(every.next(after)),
            Kind::Times(times) => Ok(first_after(times, after)),
            Kind::RRule(rule) => rule.next(after),
            _ => self.next_of_combined(after),
        }
    }

    fn next_of_combined(&self, after: i64) -> Result<Option<i64>, Error> {
        self.check_gives_times()?;
        if self.floats() {
            return self.anchored(after).next_until(after, i64::MAX);
        }
        self.next_until(after, i64::MAX)
    }

    /// The first time after one, if it is not after another, up to which alone it is looked for.
    ///
    /// # Errors
    /// As for [`Schedule::next`]; an `Every` without an anchor counts from `after`.
    pub fn next_until(&self, after: i64, until: i64) -> Result<Option<i64>, Error> {
        let steps = Cell::new(MOST_STEPS);
        let budget = Budget {
            steps: &steps,
            until,
        };
        let found = self.next_within(after, &budget)?;
        Ok(found.filter(|&time| time <= until))
    }

    /// The last time *t* with `after < t <= until`.
    ///
    /// # Errors
    /// As for [`Schedule::next`]; an `Every` without an anchor counts from `after`.
    ///
    /// # Cost
    /// A logarithm of the span and of how many times are in it, each for a `next`.
    pub fn last(&self, after: i64, until: i64) -> Result<Option<i64>, Error> {
        self.check_gives_times()?;
        if self.floats() {
            return self.anchored(after).last(after, until);
        }
        match self.kind() {
            Kind::Every(every) => return Ok(every.last(until).filter(|&last| last > after)),
            Kind::Times(times) => {
                let before = times.partition_point(|&time| time <= until);
                return Ok(times[..before].last().copied().filter(|&last| last > after));
            }
            _ => {}
        }
        // Windows back from the end, each twice as long, until one has a time.
        let mut width = 1_i64;
        let mut low = loop {
            let begin = until.saturating_sub(width).max(after);
            match self.next_until(begin, until)? {
                Some(found) => break found,
                None if begin <= after => return Ok(None),
                None => width = width.saturating_mul(2),
            }
        };
        // `low` is a time, and there is none after `high`.
        let mut high = until;
        while let Some(after_low) = self.next_until(low, high)? {
            let middle = low.midpoint(high);
            match self.next_until(middle, high)? {
                Some(found) => low = found,
                None => (low, high) = (after_low, middle.max(after_low)),
            }
        }
        Ok(Some(low))
    }

    /// Whether it has a time: exactly this one, of `Days` one of theirs.
    ///
    /// # Errors
    /// As for [`Schedule::next`], and [`Error::Invalid`] for what counts from when it is scheduled.
    pub fn contains(&self, time: i64) -> Result<bool, Error> {
        if self.floats() {
            return Err(Error::invalid(
                "Every without an anchor has no times before it is scheduled: give it an anchor=",
            ));
        }
        let steps = Cell::new(MOST_STEPS);
        self.has(
            time,
            &Budget {
                steps: &steps,
                until: time,
            },
        )
    }

    fn has(&self, time: i64, budget: &Budget) -> Result<bool, Error> {
        match self.kind() {
            Kind::Days(days) => days.covers(time),
            Kind::Union(parts) => any(parts, |part| part.has(time, budget)),
            Kind::Filtered(left, conditions) => Ok(left.has(time, budget)?
                && !any(conditions, |condition| Ok(!condition.holds(time, budget)?))?),
            Kind::Every(_) | Kind::Cron(_) | Kind::Times(_) | Kind::RRule(_) => {
                let Some(before) = time.checked_sub(1) else {
                    return Ok(false);
                };
                Ok(self.next(before)? == Some(time))
            }
        }
    }

    fn next_within(&self, after: i64, budget: &Budget) -> Result<Option<i64>, Error> {
        match self.kind() {
            Kind::Union(parts) => {
                budget.earliest(parts, after, |part, budget| part.next_within(after, budget))
            }
            Kind::Filtered(left, conditions) => {
                let mut after = after;
                while let Some(found) = left
                    .next_within(after, budget)?
                    .filter(|&time| time <= budget.until)
                {
                    budget.spend(self)?;
                    let Some(from) = budget.all_hold_from(self, conditions, found)? else {
                        return Ok(None);
                    };
                    if from == found {
                        return Ok(Some(found));
                    }
                    after = from - 1;
                }
                Ok(None)
            }
            _ => self.next(after),
        }
    }

    /// Whether a time lies in it, on the right of an operator.
    fn covers(&self, time: i64, budget: &Budget) -> Result<bool, Error> {
        match self.kind() {
            Kind::Cron(cron) => Ok(started(cron, time)?.is_some()),
            Kind::Union(parts) => any(parts, |part| part.covers(time, budget)),
            Kind::Filtered(left, conditions) => Ok(left.covers(time, budget)?
                && !any(conditions, |condition| Ok(!condition.holds(time, budget)?))?),
            _ => self.has(time, budget),
        }
    }

    /// The first time from one on that lies in it (`within`), or that does not.
    fn first(&self, from: i64, within: bool, budget: &Budget) -> Result<Option<i64>, Error> {
        match self.kind() {
            Kind::Days(days) => days.first(from, within),
            Kind::Union(parts) if within => {
                budget.earliest(parts, from, |part, budget| part.first(from, true, budget))
            }
            Kind::Union(parts) => {
                let out = |part: &Self, from| part.first(from, false, budget);
                budget.agreed(self, parts, from, out)
            }
            Kind::Filtered(left, conditions) if within => {
                let mut parts = vec![Condition {
                    within: true,
                    of: left.clone(),
                }];
                parts.extend(conditions.iter().cloned());
                budget.all_hold_from(self, &parts, from)
            }
            Kind::Filtered(left, conditions) => {
                let mut parts = vec![Condition {
                    within: true,
                    of: left.clone(),
                }];
                parts.extend(conditions.iter().cloned());
                budget.earliest(&parts, from, |one, budget| {
                    one.of.first(from, !one.within, budget)
                })
            }
            _ if within => match from.checked_sub(1) {
                _ if self.covers(from, budget)? => Ok(Some(from)),
                Some(before) => self.next(before),
                None => self.next(from),
            },
            _ => self.end_of(from, budget),
        }
    }

    /// The first time from one on that does not lie in it, which is a cron expression or has single times.
    fn end_of(&self, from: i64, budget: &Budget) -> Result<Option<i64>, Error> {
        let mut from = from;
        while from <= budget.until && self.covers(from, budget)? {
            budget.spend(self)?;
            let end = match self.kind() {
                Kind::Cron(cron) => {
                    started(cron, from)?.and_then(|start| start.checked_add(cron.lasts()))
                }
                _ => from.checked_add(1),
            };
            match end {
                Some(end) => from = end,
                None => return Ok(None),
            }
        }
        Ok(Some(from))
    }
}

impl Condition {
    fn holds(&self, time: i64, budget: &Budget) -> Result<bool, Error> {
        Ok(self.of.covers(time, budget)? == self.within)
    }
}

impl Budget<'_> {
    /// The first time from one on at which all conditions hold.
    fn all_hold_from(
        &self,
        whole: &Schedule,
        conditions: &[Condition],
        from: i64,
    ) -> Result<Option<i64>, Error> {
        let first = |one: &Condition, from| one.of.first(from, one.within, self);
        self.agreed(whole, conditions, from, first)
    }

    /// The earliest time of all parts, from one on.
    ///
    /// They are asked for longer and longer spans: one whose own parts never meet holds up no other.
    fn earliest<T>(
        &self,
        parts: &[T],
        from: i64,
        first: impl Fn(&T, &Self) -> Result<Option<i64>, Error>,
    ) -> Result<Option<i64>, Error> {
        let mut span = 3_600_000_000_000_i64;
        loop {
            span = span.saturating_mul(16);
            let until = from.saturating_add(span).min(self.until);
            let mut budget = Self { until, ..*self };
            let mut found = None;
            for part in parts {
                if let Some(time) = first(part, &budget)?.filter(|&time| time <= budget.until) {
                    found = Some(time);
                    budget.until = time;
                }
            }
            if found.is_some() || until == self.until {
                return Ok(found);
            }
        }
    }

    /// The first time from one on that is the first of all parts.
    fn agreed<T>(
        &self,
        whole: &Schedule,
        parts: &[T],
        from: i64,
        first: impl Fn(&T, i64) -> Result<Option<i64>, Error>,
    ) -> Result<Option<i64>, Error> {
        let mut from = from;
        while from <= self.until {
            let before = from;
            for part in parts {
                match first(part, from)? {
                    Some(found) => from = found,
                    None => return Ok(None),
                }
            }
            if from == before || parts.len() == 1 {
                return Ok(Some(from));
            }
            self.spend(whole)?;
        }
        Ok(None)
    }
}

fn any<T>(parts: &[T], is: impl Fn(&T) -> Result<bool, Error>) -> Result<bool, Error> {
    for part in parts {
        if is(part)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The time of a cron expression that lasts at a time, if one does.
fn started(cron: &Cron, time: i64) -> Result<Option<i64>, Error> {
    let before = time.saturating_sub(cron.lasts());
    Ok(cron.next(before)?.filter(|&start| start <= time))
}

fn first_after(times: &[i64], after: i64) -> Option<i64> {
    times
        .get(times.partition_point(|&time| time <= after))
        .copied()
}
