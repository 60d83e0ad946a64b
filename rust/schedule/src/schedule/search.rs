//! The next time of a schedule, and the last.

use super::tree::{Condition, Kind, Schedule};
use crate::cron::Cron;
use crate::error::Error;
use std::cell::Cell;

/// After how many steps a search is given up: some tenths of a second.
const MOST_STEPS: u32 = 1_000_000;

/// How far one search may go.
struct Budget(Cell<u32>);

impl Budget {
    fn new() -> Self {
        Self(Cell::new(MOST_STEPS))
    }

    fn spend(&self, schedule: &Schedule) -> Result<(), Error> {
        match self.0.get().checked_sub(1) {
            Some(left) => {
                self.0.set(left);
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
            _ => self.next_of_combined(after),
        }
    }

    fn next_of_combined(&self, after: i64) -> Result<Option<i64>, Error> {
        self.check_gives_times()?;
        let budget = Budget::new();
        if self.floats() {
            return self.anchored(after).next_within(after, &budget);
        }
        self.next_within(after, &budget)
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
        let within = |found: Option<i64>| found.filter(|&time| time <= until);
        // Windows back from the end, each twice as long, until one has a time.
        let mut width = 1_i64;
        let mut low = loop {
            let begin = until.saturating_sub(width).max(after);
            match within(self.next(begin)?) {
                Some(found) => break found,
                None if begin <= after => return Ok(None),
                None => width = width.saturating_mul(2),
            }
        };
        // `low` is a time, and there is none after `high`.
        let mut high = until;
        while let Some(after_low) = self.next(low)?.filter(|&time| time <= high) {
            let middle = low.midpoint(high);
            match self.next(middle)?.filter(|&time| time <= high) {
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
        self.has(time, &Budget::new())
    }

    fn has(&self, time: i64, budget: &Budget) -> Result<bool, Error> {
        match self.kind() {
            Kind::Days(days) => days.covers(time),
            Kind::Union(parts) => any(parts, |part| part.has(time, budget)),
            Kind::Filtered(left, conditions) => Ok(left.has(time, budget)?
                && !any(conditions, |condition| Ok(!condition.holds(time, budget)?))?),
            Kind::Every(_) | Kind::Cron(_) | Kind::Times(_) => {
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
                let mut first: Option<i64> = None;
                for part in parts {
                    if let Some(found) = part.next_within(after, budget)? {
                        first = Some(first.map_or(found, |first| first.min(found)));
                    }
                }
                Ok(first)
            }
            Kind::Filtered(left, conditions) => {
                let mut after = after;
                while let Some(found) = left.next_within(after, budget)? {
                    budget.spend(self)?;
                    let Some(from) = all_hold_from(conditions, found, budget)? else {
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
            Kind::Union(parts) if within => earliest(parts, |part| part.first(from, true, budget)),
            Kind::Union(parts) => {
                let out = |part: &Self, from| part.first(from, false, budget);
                agreed(parts, from, out, || budget.spend(self))
            }
            Kind::Filtered(left, conditions) if within => {
                let mut parts = vec![Condition {
                    within: true,
                    of: left.clone(),
                }];
                parts.extend(conditions.iter().cloned());
                all_hold_from(&parts, from, budget)
            }
            Kind::Filtered(left, conditions) => {
                let out = left.first(from, false, budget)?;
                let fails = |one: &Condition| one.of.first(from, !one.within, budget);
                let other = earliest(conditions, fails)?;
                Ok(out.into_iter().chain(other).min())
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
        while self.covers(from, budget)? {
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

/// The first time from one on at which all conditions hold.
fn all_hold_from(
    conditions: &[Condition],
    from: i64,
    budget: &Budget,
) -> Result<Option<i64>, Error> {
    let first = |one: &Condition, from| one.of.first(from, one.within, budget);
    let spend = || {
        conditions
            .first()
            .map_or(Ok(()), |one| budget.spend(&one.of))
    };
    agreed(conditions, from, first, spend)
}

/// The first time from one on that is the first of all parts.
fn agreed<T>(
    parts: &[T],
    from: i64,
    first: impl Fn(&T, i64) -> Result<Option<i64>, Error>,
    spend: impl Fn() -> Result<(), Error>,
) -> Result<Option<i64>, Error> {
    let mut from = from;
    loop {
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
        spend()?;
    }
}

fn earliest<T>(
    parts: &[T],
    first: impl Fn(&T) -> Result<Option<i64>, Error>,
) -> Result<Option<i64>, Error> {
    let mut found = None;
    for part in parts {
        let time = first(part)?;
        found = found.into_iter().chain(time).min();
    }
    Ok(found)
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
