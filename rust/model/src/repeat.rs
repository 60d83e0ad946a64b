//! Repeats: one job that comes again, and the rule of what runs where times were missed.
//!
//! A *repeat* has exactly one *occurrence*, pending or running: it never overlaps itself. So what of
//! the times that pass while it cannot start is one question, whatever kept it: [`take_up`] answers it.
//!
//! All times are nanoseconds, on the clock that the repeat is due on.

use std::fmt;
use std::str::FromStr;

/// What becomes of times at which a repeat could not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CatchUp {
    /// The last of them runs, for all.
    One,
    /// Each runs, as soon as possible.
    All,
    /// None runs.
    None,
}

impl CatchUp {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            CatchUp::One => "one",
            CatchUp::All => "all",
            CatchUp::None => "none",
        }
    }
}

impl FromStr for CatchUp {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "one" => Ok(CatchUp::One),
            "all" => Ok(CatchUp::All),
            "none" => Ok(CatchUp::None),
            _ => Err(()),
        }
    }
}

/// How a repeat comes again, beside its schedule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Its first time is not before this, on the wall clock.
    pub start: Option<i64>,
    /// Its last time is before this, on the wall clock.
    pub end: Option<i64>,
    /// How many occurrences there are in all.
    pub count: Option<u64>,
    /// The largest offset of its dues from its times, in nanoseconds.
    pub spread: i64,
    /// What becomes of times that were missed.
    pub catch_up: CatchUp,
    /// How late an occurrence may start, in nanoseconds; later, it is passed over.
    pub window: Option<i64>,
    /// Whether it pauses when an occurrence ends as dead.
    pub pause_on_dead: bool,
    /// Whether its schedule has a last time of its own: for who cannot ask the schedule.
    pub ends: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            start: None,
            end: None,
            count: None,
            spread: 0,
            catch_up: CatchUp::One,
            window: None,
            pause_on_dead: false,
            ends: false,
        }
    }
}

impl Terms {
    /// Whether this time is within its bounds.
    #[must_use]
    pub fn admit(&self, time: i64) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }

    /// Whether it may come for ever: nothing but being cancelled ends it for certain.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.count.is_none() && self.end.is_none() && !self.ends
    }
}

/// What is kept of a repeat in a store: its schedule, in a text that only the schedule's own code
/// reads, and its terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Definition {
    /// Its schedule.
    pub schedule: String,
    /// Its terms.
    pub terms: Terms,
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = &self.terms;
        for (name, number) in [
            ("start", terms.start),
            ("end", terms.end),
            ("window", terms.window),
            ("spread", Some(terms.spread).filter(|&spread| spread != 0)),
        ] {
            if let Some(number) = number {
                write!(f, "{name}={number} ")?;
            }
        }
        if let Some(count) = terms.count {
            write!(f, "count={count} ")?;
        }
        if terms.pause_on_dead {
            f.write_str("pause_on_dead ")?;
        }
        if terms.ends {
            f.write_str("ends ")?;
        }
        write!(f, "catch_up={} {}", terms.catch_up.word(), self.schedule)
    }
}

/// A text that is no definition of a repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoDefinition;

impl FromStr for Definition {
    type Err = NoDefinition;

    /// Read what `Display` writes: the word for what is caught up is the last before the schedule.
    fn from_str(text: &str) -> Result<Self, NoDefinition> {
        let mut terms = Terms::default();
        let mut rest = text;
        loop {
            let (word, after) = rest.split_once(' ').ok_or(NoDefinition)?;
            rest = after;
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<i64>().map_err(|_| NoDefinition);
            match name {
                "start" => terms.start = Some(number()?),
                "end" => terms.end = Some(number()?),
                "window" => terms.window = Some(number()?),
                "spread" => terms.spread = number()?,
                "count" => terms.count = Some(value.parse().map_err(|_| NoDefinition)?),
                "pause_on_dead" => terms.pause_on_dead = true,
                "ends" => terms.ends = true,
                "catch_up" => {
                    terms.catch_up = value.parse().map_err(|()| NoDefinition)?;
                    break;
                }
                _ => return Err(NoDefinition),
            }
        }
        let schedule = rest.to_owned();
        Ok(Definition { schedule, terms })
    }
}

/// How far a repeat has come.
///
/// Its times are on its clock: the wall clock in a store; in an engine the boot clock, where it is due
/// on that one. Moments that handlers see are on the wall clock everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The time of the schedule that comes, or that runs.
    pub time: i64,
    /// The schedule is used up to here: the time that comes is the first after it.
    pub last: i64,
    /// Where the grid of an interval without an anchor begins.
    pub anchor: i64,
    /// The offset of its dues from its times.
    pub offset: i64,
    /// The number of the occurrence that comes, or runs: from 1.
    pub occurrence: u64,
    /// The first due of the last occurrence that succeeded: of the wall clock.
    pub previous: Option<i64>,
    /// How many times were passed over or merged.
    pub missed: u64,
    /// The occurrence that comes, or runs, was asked for at this moment of the wall clock: it is one more.
    pub triggered: Option<i64>,
    /// One more was asked for at this moment of the wall clock, while another ran.
    pub wanted: Option<i64>,
    /// Of the rules of its zones, by which the time that comes was found.
    pub fingerprint: u64,
    /// It does not start until it is resumed.
    pub paused: bool,
    /// It starts only in a life of the program that declares it.
    pub declared: bool,
    /// Its occurrence has ended, and nobody has found yet what follows: the first time after `time`.
    pub spent: bool,
    /// Its due came while it could not start: noted by who knows, where another may take it up.
    pub overdue: bool,
}

impl Standing {
    /// That of a repeat that is new at this moment; its first time is set by who knows the schedule.
    #[must_use]
    pub fn new(now: i64) -> Self {
        Standing {
            time: now,
            last: now,
            anchor: now,
            offset: 0,
            occurrence: 1,
            previous: None,
            missed: 0,
            triggered: None,
            wanted: None,
            fingerprint: 0,
            paused: false,
            declared: false,
            spent: false,
            overdue: false,
        }
    }

    /// Whether it is not to start, though due. What is spent is looked at once more, for what follows.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.paused && self.triggered.is_none() && !self.spent
    }

    /// The same once its occurrence has ended, where it was changed while that ran: whoever reads it finds what follows.
    /// `ended`: what was found without that change; `None`: nothing was to follow.
    #[must_use]
    pub fn spent_with(self, ended: Option<&Standing>) -> Self {
        let pauses = ended.is_some_and(|ended| ended.paused) && self.triggered.is_none();
        Standing {
            previous: ended.map_or(self.previous, |ended| ended.previous),
            paused: self.paused || pauses,
            spent: true,
            ..self
        }
    }

    /// Have the schedule count from this moment on, while an occurrence that has started keeps what it has of its own;
    /// `next` is the first time after it, which an occurrence that was asked for leaves to come.
    pub fn count_from(&mut self, moment: i64, next: i64) {
        self.last = moment;
        self.time = if self.triggered.is_some() {
            next
        } else {
            moment
        };
    }

    /// When the time that comes is due.
    #[must_use]
    pub fn due(&self) -> i64 {
        self.time.saturating_add(self.offset)
    }

    /// The same with its times shifted to another clock.
    #[must_use]
    pub fn shifted(self, by: i64) -> Self {
        Standing {
            time: self.time.saturating_add(by),
            last: self.last.saturating_add(by),
            anchor: self.anchor.saturating_add(by),
            ..self
        }
    }
}

/// The times of a repeat, within its bounds.
pub trait Times {
    /// The first after a moment.
    fn next(&self, after: i64) -> Option<i64>;
    /// The last that is after `after` and not after `until`.
    fn last(&self, after: i64, until: i64) -> Option<i64>;
}

/// How many times of one take-up are counted as missed at most.
pub const MOST_MISSED: u64 = 1_000;

/// What becomes of an occurrence that is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenUp {
    /// The time that runs now, or comes; `None`: there is no more.
    pub time: Option<i64>,
    /// Whether it runs now.
    pub runs: bool,
    /// How many times before it were passed over or merged, [`MOST_MISSED`] at most.
    pub missed: u64,
}

/// What becomes of the first attempt of the occurrence of `time`, which is due at `due`, when a worker takes it up.
///
/// `is_missed`: its due came while it could not start.
///
/// 1. `All`: its time runs.
/// 2. `None` and missed: passed over, to the first time that is due after now.
/// 3. Else its time becomes the last one that is due by now.
/// 4. Due before now by more than the window: passed over, to the first time that is due after now; `All`: to the
///    first that is within the window.
pub fn take_up(
    terms: &Terms,
    (time, due, offset): (i64, i64, i64),
    now: i64,
    is_missed: bool,
    times: &impl Times,
) -> TakenUp {
    let runs = |to: i64| TakenUp {
        time: Some(to),
        runs: true,
        missed: count(times, time, to),
    };
    // A time is due by now, if it is not after this.
    let by_now = now.saturating_sub(offset);
    let pass = |after: i64| {
        let to = times.next(after.max(time));
        let is_due = to.is_some_and(|to| to <= by_now);
        let missed = count(times, time, to.unwrap_or(by_now.saturating_add(1)));
        TakenUp {
            time: to,
            runs: is_due,
            missed,
        }
    };
    let is_late = |due: i64| {
        terms
            .window
            .is_some_and(|window| now.saturating_sub(due) > window)
    };
    match terms.catch_up {
        CatchUp::All => match terms.window.filter(|_| is_late(due)) {
            Some(window) => pass(by_now.saturating_sub(window).saturating_sub(1)),
            None => runs(time),
        },
        CatchUp::None if is_missed => pass(by_now),
        CatchUp::One | CatchUp::None => {
            let last = times.last(time, by_now);
            let due = last.map_or(due, |last| last.saturating_add(offset));
            if is_late(due) {
                pass(by_now)
            } else {
                runs(last.unwrap_or(time))
            }
        }
    }
}

/// How many times there are from `from`, which is one, to before `to`.
fn count(times: &impl Times, from: i64, to: i64) -> u64 {
    let (mut count, mut at) = (0, Some(from));
    while let Some(time) = at
        && time < to
        && count < MOST_MISSED
    {
        count += 1;
        at = times.next(time);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every so many nanoseconds, from 0 on.
    struct Grid(i64);

    impl Times for Grid {
        fn next(&self, after: i64) -> Option<i64> {
            Some((after.div_euclid(self.0) + 1) * self.0)
        }
        fn last(&self, after: i64, until: i64) -> Option<i64> {
            let last = until.div_euclid(self.0) * self.0;
            (last > after).then_some(last)
        }
    }

    fn terms(catch_up: CatchUp, window: Option<i64>) -> Terms {
        Terms {
            catch_up,
            window,
            ..Terms::default()
        }
    }

    #[test]
    fn what_was_missed_is_merged_run_or_passed_over() {
        let take = |terms: &Terms, is_missed| take_up(terms, (10, 10, 0), 45, is_missed, &Grid(10));
        let found = |time, runs, missed| TakenUp {
            time: Some(time),
            runs,
            missed,
        };
        assert_eq!(take(&terms(CatchUp::One, None), true), found(40, true, 3));
        assert_eq!(take(&terms(CatchUp::All, None), true), found(10, true, 0));
        assert_eq!(take(&terms(CatchUp::None, None), true), found(50, false, 4));
        assert_eq!(take(&terms(CatchUp::None, None), false), found(40, true, 3));
        assert_eq!(
            take(&terms(CatchUp::One, Some(4)), false),
            found(50, false, 4)
        );
        assert_eq!(
            take(&terms(CatchUp::One, Some(5)), false),
            found(40, true, 3)
        );
        assert_eq!(
            take(&terms(CatchUp::All, Some(20)), true),
            found(30, true, 2)
        );
        assert_eq!(
            take(&terms(CatchUp::All, Some(2)), true),
            found(50, false, 4)
        );
        assert_eq!(
            take(&terms(CatchUp::All, Some(35)), true),
            found(10, true, 0)
        );
    }

    #[test]
    fn what_is_not_due_yet_with_its_offset_does_not_run() {
        let found = take_up(&terms(CatchUp::One, None), (10, 17, 7), 45, true, &Grid(10));
        assert_eq!((found.time, found.runs, found.missed), (Some(30), true, 2));
    }

    fn any_terms() -> impl Strategy<Value = Terms> {
        let catch_up = prop_oneof![Just(CatchUp::One), Just(CatchUp::All), Just(CatchUp::None)];
        (catch_up, prop::option::of(0..100i64))
            .prop_map(|(catch_up, window)| terms(catch_up, window))
    }

    proptest! {
        #[test]
        fn no_time_goes_back_or_starts_early_or_too_late(
            terms in any_terms(), period in 1..20i64, k in 0..50i64, late in 0..300i64, offset in 0..30i64,
            is_missed in any::<bool>(),
        ) {
            let time = k * period;
            let now = time + offset + late;
            let found = take_up(&terms, (time, time + offset, offset), now, is_missed, &Grid(period));
            let to = found.time.unwrap();
            prop_assert!(to >= time);
            prop_assert_eq!(found.runs, to + offset <= now);
            prop_assert_eq!(found.missed, ((to - time) / period) as u64);
            if let (true, Some(window)) = (found.runs, terms.window) {
                prop_assert!(now - (to + offset) <= window);
            }
            if terms.catch_up == CatchUp::None && is_missed {
                prop_assert!(!found.runs);
            }
        }

        #[test]
        fn a_definition_is_read_as_it_was_written(
            numbers in (prop::option::of(any::<i64>()), prop::option::of(any::<i64>()), prop::option::of(any::<u64>())),
            spread in 0..5i64, terms in any_terms(), pause_on_dead in any::<bool>(), schedule in ".{0,20}",
        ) {
            let (start, end, count) = numbers;
            let terms = Terms { start, end, count, spread, pause_on_dead, ..terms };
            let definition = Definition { schedule, terms };
            prop_assert_eq!(definition.to_string().parse(), Ok(definition));
        }
    }
}
