//! How executions end, and what becomes of their jobs: one rule, whatever ran them.

use crate::job::Progress;
use crate::retry::RetryOptions;

/// Why a job is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It failed and its limits are reached.
    Failed,
    /// Its handler discarded it.
    Discarded,
    /// Its process died too often, or once if at most once.
    Interrupted,
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its handler returned.
    Returned,
    /// Its handler failed.
    Failed,
    /// Its handler asked for the same attempt again, after so many nanoseconds.
    Snoozed(i64),
    /// Its handler discarded the job.
    Discarded,
    /// Its handler could not read the job's data, and no retry will.
    Unreadable,
    /// Its scheduler was closed, or its process ended in order, before it did.
    Closed,
    /// Its process died.
    Interrupted {
        /// How often that has happened to the job, this time included.
        interruptions: u32,
        /// How often is too often.
        limit: u32,
    },
}

/// Why a job is due again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The next attempt, after a failure.
    Retry,
    /// The same attempt: the handler asked for it, or was interrupted.
    Snooze,
}

/// What becomes of a job whose execution has ended; `F` is what is kept of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<F = ()> {
    /// It is over.
    Done,
    /// It is due again.
    Again {
        /// When, in nanoseconds of the clock of `now`.
        due: i64,
        /// Why.
        cause: Cause,
        /// The progress with which it is due, on the clock of the progress before.
        progress: Progress,
    },
    /// It ends as dead.
    Dead {
        /// Why.
        reason: Reason,
        /// What is kept of its failure.
        failure: F,
    },
}

impl<F> Outcome<F> {
    /// Due again at `due`; `progress` is that of the execution that has ended.
    #[must_use]
    pub fn again(due: i64, cause: Cause, progress: Progress) -> Self {
        let failures = u32::from(cause == Cause::Retry);
        let progress = Progress {
            attempt: progress.attempt.saturating_add(failures),
            run: progress.run.saturating_add(1),
            ..progress
        };
        Outcome::Again {
            due,
            cause,
            progress,
        }
    }

    /// The same, with what is kept of the failure.
    #[must_use]
    pub fn with_failure<G>(self, failure: impl FnOnce(Reason) -> G) -> Outcome<G> {
        match self {
            Outcome::Done => Outcome::Done,
            Outcome::Again {
                due,
                cause,
                progress,
            } => Outcome::Again {
                due,
                cause,
                progress,
            },
            Outcome::Dead { reason, .. } => Outcome::Dead {
                reason,
                failure: failure(reason),
            },
        }
    }
}

/// What becomes of a job whose execution has ended.
///
/// `progress` is that of the execution, `now` is in nanoseconds of the clock of its first start, and `draw` gives
/// the random number of this attempt ([`Jitter::draw`](crate::retry::Jitter::draw)) for a retry.
///
/// - What is started at most once is never due again.
/// - An interrupted job is due at `now`: who notes the interruption says when that is.
/// - Its age counts from the first start; without one, it begins at `now`.
pub fn after(
    options: &RetryOptions,
    progress: Progress,
    ended: Ended,
    now: i64,
    draw: impl FnOnce() -> u64,
) -> Outcome {
    let progress = progress.begun(now);
    let dead = |reason| Outcome::Dead {
        reason,
        failure: (),
    };
    let again = |delay, cause| Outcome::again(now.saturating_add(delay), cause, progress);
    match ended {
        Ended::Returned => Outcome::Done,
        Ended::Discarded => dead(Reason::Discarded),
        Ended::Unreadable => dead(Reason::Failed),
        Ended::Closed | Ended::Interrupted { .. } if options.at_most_once => {
            dead(Reason::Interrupted)
        }
        Ended::Interrupted {
            interruptions,
            limit,
        } if interruptions >= limit => dead(Reason::Interrupted),
        Ended::Closed | Ended::Interrupted { .. } => again(0, Cause::Snooze),
        Ended::Snoozed(delay) if !options.at_most_once => again(delay, Cause::Snooze),
        Ended::Failed | Ended::Snoozed(_) => {
            let age = now.saturating_sub(progress.first_start.unwrap_or(now));
            if options.exhausted(progress.attempt, age) {
                dead(Reason::Failed)
            } else {
                again(options.backoff(progress.attempt, draw()), Cause::Retry)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rules as a reader of the guarantees would write them down, in numbers that cannot overflow.
    fn by_the_book(
        options: &RetryOptions,
        progress: Progress,
        ended: Ended,
        now: i64,
        draw: u64,
    ) -> Outcome {
        let first_start = progress.first_start.unwrap_or(now);
        let again = |delay: i64, cause, attempt: u64| Outcome::Again {
            due: (i128::from(now) + i128::from(delay)).clamp(i64::MIN.into(), i64::MAX.into())
                as i64,
            cause,
            progress: Progress {
                attempt: attempt.min(u32::MAX.into()) as u32,
                run: (u64::from(progress.run) + 1).min(u32::MAX.into()) as u32,
                first_start: Some(first_start),
            },
        };
        let dead = |reason| Outcome::Dead {
            reason,
            failure: (),
        };
        let attempt = u64::from(progress.attempt);
        let once = options.at_most_once;
        let failed = || {
            let retries_used_up = options.retry_limit.map(|limit| attempt > limit.into());
            let age = (i128::from(now) - i128::from(first_start)).min(i64::MAX.into());
            let too_old = options.age_limit.map(|limit| age >= limit.into());
            let over = match (retries_used_up, too_old) {
                (Some(used_up), Some(too_old)) => used_up && too_old,
                (Some(reached), None) | (None, Some(reached)) => reached,
                (None, None) => false,
            };
            if once || over {
                return dead(Reason::Failed);
            }
            // From 63 doublings on even the shortest pause is past every ceiling.
            let doubled = i128::from(options.min_backoff) << attempt.min(63);
            let ceiling = doubled.min(options.max_backoff.into());
            let span = (ceiling - i128::from(options.min_backoff) + 1) as u128;
            let delay = i128::from(options.min_backoff) + ((u128::from(draw) * span) >> 64) as i128;
            again(delay as i64, Cause::Retry, attempt + 1)
        };
        match (ended, once) {
            (Ended::Returned, _) => Outcome::Done,
            (Ended::Discarded, _) => dead(Reason::Discarded),
            (Ended::Unreadable, _) => dead(Reason::Failed),
            (Ended::Failed, _) | (Ended::Snoozed(_), true) => failed(),
            (Ended::Snoozed(delay), false) => again(delay, Cause::Snooze, attempt),
            (Ended::Closed | Ended::Interrupted { .. }, true) => dead(Reason::Interrupted),
            (Ended::Closed, false) => again(0, Cause::Snooze, attempt),
            (
                Ended::Interrupted {
                    interruptions,
                    limit,
                },
                false,
            ) => {
                if interruptions < limit {
                    again(0, Cause::Snooze, attempt)
                } else {
                    dead(Reason::Interrupted)
                }
            }
        }
    }

    /// Numbers of every size, those at the ends and small ones often.
    fn any_duration() -> impl Strategy<Value = i64> {
        prop_oneof![0..1_000i64, 0..=i64::MAX, Just(i64::MAX)]
    }

    fn any_count() -> impl Strategy<Value = u32> {
        prop_oneof![0..70u32, any::<u32>(), Just(u32::MAX)]
    }

    prop_compose! {
        fn any_options()(
            retry_limit in prop::option::of(any_count()), age_limit in prop::option::of(any_duration()),
            backoffs in (any_duration(), any_duration()), at_most_once in prop::bool::weighted(0.2),
        ) -> RetryOptions {
            RetryOptions {
                retry_limit, age_limit, min_backoff: backoffs.0.min(backoffs.1),
                max_backoff: backoffs.0.max(backoffs.1), at_most_once,
            }
        }
    }

    prop_compose! {
        fn any_progress()(
            attempt in any_count(), run in any_count(),
            first_start in prop::option::of(prop_oneof![any::<i64>(), 0..1_000i64]),
        ) -> Progress {
            Progress { attempt: attempt.max(1), run: run.max(1), first_start }
        }
    }

    fn any_end() -> impl Strategy<Value = Ended> {
        prop_oneof![
            Just(Ended::Returned),
            Just(Ended::Failed),
            any_duration().prop_map(Ended::Snoozed),
            Just(Ended::Discarded),
            Just(Ended::Unreadable),
            Just(Ended::Closed),
            (any_count(), any_count()).prop_map(|(interruptions, limit)| Ended::Interrupted {
                interruptions,
                limit
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn every_end_has_the_outcome_of_the_rules(
            options in any_options(), progress in any_progress(), ended in any_end(),
            now in prop_oneof![any::<i64>(), 0..2_000i64], draw in any::<u64>(),
        ) {
            let outcome = after(&options, progress, ended, now, || draw);
            prop_assert_eq!(outcome, by_the_book(&options, progress, ended, now, draw));
        }
    }

    #[test]
    fn only_a_retry_draws_a_number() {
        let options = RetryOptions {
            retry_limit: Some(1),
            age_limit: None,
            min_backoff: 0,
            max_backoff: 8,
            at_most_once: false,
        };
        let none = || panic!("a number is drawn");
        for ended in [
            Ended::Returned,
            Ended::Snoozed(1),
            Ended::Discarded,
            Ended::Unreadable,
            Ended::Closed,
        ] {
            let _ = after(&options, Progress::NEW, ended, 5, none);
        }
        let second = Progress {
            attempt: 2,
            ..Progress::NEW
        };
        let last = after(&options, second, Ended::Failed, 5, none);
        let reason = Reason::Failed;
        assert_eq!(
            last,
            Outcome::Dead {
                reason,
                failure: ()
            }
        );
    }
}
