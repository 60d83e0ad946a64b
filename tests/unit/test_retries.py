"""Hold what is promised of retries, over the engine and the reference alike.

The first part is the list of mistakes that the Go ancestor made; each test says one in words.
"""

import logging
from datetime import timedelta
from itertools import pairwise

import pytest

from duewheel import Consistency, Discard, JobOptions, Scheduler, Snooze
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

SECOND = 1_000_000_000


class Bench:
    """A scheduler in virtual time with one target that fails as long as it is told to."""

    def __init__(self, make):
        self.clock = ManualClock()
        self.scheduler = make(clock=self.clock, seed=1)
        self.runs = []
        self.fails = True
        self.scheduler.handle("work", self.work)
        self.scheduler.start()

    def work(self, event):
        self.runs.append((event.run, event.attempt, self.clock.now()))
        if callable(self.fails):
            self.fails(event)
        elif self.fails:
            raise RuntimeError("no luck")

    def times(self):
        return [time for _, _, time in self.runs]

    def attempts(self):
        return [attempt for _, attempt, _ in self.runs]

    def the_dead(self):
        return [(dead.event.attempt, dead.reason) for dead in self.scheduler.dead()]


@pytest.fixture(params=[Scheduler, ReferenceScheduler], ids=["engine", "reference"])
def bench(request):
    logger = logging.getLogger("duewheel")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    bench = Bench(request.param)
    yield bench
    bench.scheduler.close()
    logger.setLevel(level)


# What the ancestor got wrong


def test_an_age_limit_does_not_stop_every_retry(bench):
    """In Go a job with an age limit was never retried; here it is, until that age."""
    bench.scheduler.in_(0, "work", age_limit=10, min_backoff=3, max_backoff=3)
    bench.clock.advance(100)
    assert bench.times() == [0, 3, 6, 9, 12]
    assert bench.the_dead() == [(5, "failed")]


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_a_limit_of_n_retries_gives_n_retries(bench, limit):
    """In Go a limit of n gave n runs; here it gives the first attempt and n retries."""
    bench.scheduler.in_(0, "work", retry_limit=limit)
    bench.clock.advance(timedelta(days=1))
    assert bench.attempts() == list(range(1, limit + 2))
    assert bench.the_dead() == [(limit + 1, "failed")]


def test_an_unknown_target_is_no_success(bench):
    """In Go a job for an unknown target counted as done; here it waits, parked, for its handler."""
    bench.scheduler.in_(1, "stranger", id="kept")
    bench.clock.advance(5)
    stats = bench.scheduler.stats()
    assert (stats.parked, stats.pending, stats.started, stats.succeeded) == (1, 1, 0, 0)
    assert "kept" in bench.scheduler
    seen = []
    bench.scheduler.handle("stranger", lambda event: seen.append((event.run, event.attempt, event.due)))
    bench.clock.advance(0)
    assert seen == [(1, 1, SECOND)]
    assert bench.scheduler.stats().succeeded == 1


def test_a_backoff_of_zero_does_not_panic(bench):
    """In Go a backoff of zero panicked in the random number; here the retries follow at once."""
    bench.scheduler.in_(2, "work", retry_limit=3, min_backoff=0, max_backoff=0)
    bench.clock.advance(2)
    assert bench.times() == [2, 2, 2, 2]


def test_a_smallest_backoff_of_zero_stays_zero(bench):
    """Twice nothing is nothing, whatever the largest is."""
    bench.scheduler.in_(0, "work", retry_limit=3, min_backoff=0)
    bench.clock.advance(0)
    assert bench.times() == [0, 0, 0, 0]


def test_high_attempts_do_not_overflow(bench):
    """In Go 2ⁿ overflowed at high attempts and the backoff turned negative; here it stays within its bounds."""
    bench.scheduler.in_(0, "work", id="patient", retry_limit=200, min_backoff=1, max_backoff=50)
    bench.clock.advance(201 * 50)
    assert bench.attempts() == list(range(1, 202))
    times = bench.times()
    pauses = [after - before for before, after in pairwise(times)]
    assert all(1 <= pause <= 50.000001 for pause in pauses)
    assert max(pauses[70:]) > 25  # far beyond 64 doublings it still draws from the whole range


# The limits


def test_unlimited_says_none(bench):
    bench.scheduler.in_(0, "work", retry_limit=None, min_backoff=1, max_backoff=1)
    bench.clock.advance(99)
    assert bench.attempts() == list(range(1, 101))
    assert bench.the_dead() == []


def test_the_default_is_five_retries(bench):
    bench.scheduler.in_(0, "work")
    bench.clock.advance(timedelta(days=2))
    assert bench.attempts() == [1, 2, 3, 4, 5, 6]


def test_with_both_limits_the_age_may_be_the_later(bench):
    bench.scheduler.in_(0, "work", retry_limit=1, age_limit=5, min_backoff=2, max_backoff=2)
    bench.clock.advance(60)
    assert bench.times() == [0, 2, 4, 6]


def test_with_both_limits_the_count_may_be_the_later(bench):
    bench.scheduler.in_(0, "work", retry_limit=4, age_limit=3, min_backoff=2, max_backoff=2)
    bench.clock.advance(60)
    assert bench.times() == [0, 2, 4, 6, 8]


def test_an_age_that_meets_its_limit_is_reached(bench):
    bench.scheduler.in_(0, "work", age_limit=4, min_backoff=2, max_backoff=2)
    bench.clock.advance(60)
    assert bench.times() == [0, 2, 4]


def test_the_age_counts_from_the_first_start(bench):
    """Neither the wait for the due nor the time parked makes a job older."""
    deregister = bench.scheduler.handle("late", bench.work)
    deregister()
    bench.scheduler.in_(50, "late", age_limit=4, min_backoff=2, max_backoff=2)
    bench.clock.advance(100)
    bench.scheduler.handle("late", bench.work)
    bench.clock.advance(60)
    assert bench.times() == [100, 102, 104]


def test_the_age_is_of_the_boot_clock(bench):
    bench.scheduler.in_(0, "work", age_limit=4, min_backoff=2, max_backoff=2)
    bench.clock.advance(1)
    bench.clock.step(1_000_000)
    bench.clock.advance(60)
    assert bench.attempts() == [1, 2, 3]


def test_a_retry_waits_on_the_boot_clock(bench):
    """A step of the wall clock neither hastens nor delays it, though the job was scheduled with ``at``."""
    bench.scheduler.at(0, "work", min_backoff=10, max_backoff=10, retry_limit=1)
    bench.clock.advance(0)
    bench.clock.step(1_000)
    bench.clock.advance(9)
    assert len(bench.runs) == 1
    bench.clock.advance(1)
    assert bench.times() == [0, 1_010]


# At most once


def test_at_most_once_is_never_retried(bench):
    bench.scheduler.in_(0, "work", consistency=Consistency.AT_MOST_ONCE)
    bench.clock.advance(timedelta(days=1))
    assert bench.attempts() == [1]
    assert bench.the_dead() == [(1, "failed")]


def test_at_most_once_is_not_made_older_by_an_age_limit(bench):
    bench.scheduler.in_(0, "work", consistency=Consistency.AT_MOST_ONCE, age_limit=100)
    bench.clock.advance(timedelta(days=1))
    assert bench.attempts() == [1]


def test_at_most_once_is_not_snoozed(bench):
    def snooze(event):
        raise Snooze(1)

    bench.fails = snooze
    bench.scheduler.in_(0, "work", consistency=Consistency.AT_MOST_ONCE)
    bench.clock.advance(10)
    assert bench.attempts() == [1]
    assert bench.the_dead() == [(1, "failed")]
    assert bench.scheduler.stats().snoozed == 0


@pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler])
def test_at_most_once_ignores_a_retry_limit_from_below(make):
    scheduler = make(clock=ManualClock(), options=JobOptions(retry_limit=7))
    id = scheduler.in_(0, "work", consistency=Consistency.AT_MOST_ONCE)
    assert scheduler.get(id).job.options.retry_limit == 0
    with pytest.raises(ValueError, match="retry_limit"):
        scheduler.in_(0, "work", consistency=Consistency.AT_MOST_ONCE, retry_limit=1)
    with pytest.raises(ValueError, match="retry_limit"):
        scheduler.in_(0, "work", options=JobOptions(retry_limit=1), consistency=Consistency.AT_MOST_ONCE)
    assert len(scheduler) == 1
    scheduler.close()


# What a handler says


def test_a_snooze_is_not_counted(bench):
    def snooze_twice(event):
        if event.run <= 2:
            raise Snooze(timedelta(minutes=1))
        raise RuntimeError

    bench.fails = snooze_twice
    bench.scheduler.in_(0, "work", retry_limit=1, min_backoff=1, max_backoff=1)
    bench.clock.advance(1_000)
    assert bench.runs == [(1, 1, 0), (2, 1, 60), (3, 1, 120), (4, 2, 121)]
    stats = bench.scheduler.stats()
    assert (stats.snoozed, stats.retried, stats.dead) == (2, 1, 1)


def test_a_snooze_makes_a_job_no_younger(bench):
    def snooze_once(event):
        if event.run == 1:
            raise Snooze(100)
        raise RuntimeError

    bench.fails = snooze_once
    bench.scheduler.in_(0, "work", age_limit=100)
    bench.clock.advance(1_000)
    assert bench.times() == [0, 100]


def test_a_discard_ends_it(bench):
    def discard(event):
        raise Discard("the account is gone")

    bench.fails = discard
    bench.scheduler.in_(3, "work", id="gone", retry_limit=9)
    bench.clock.advance(1_000)
    (dead,) = bench.scheduler.dead()
    assert (dead.reason, dead.error, dead.died, dead.event.id) == (
        "discarded", "the account is gone", 3 * SECOND, "gone/1",
    )  # fmt: skip
    assert "gone" not in bench.scheduler


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), ValueError("x")], ids=repr)
def test_every_other_exception_is_a_failure(bench, error):
    def fail(event):
        if event.run == 1:
            raise error

    bench.fails = fail
    bench.scheduler.in_(0, "work")
    bench.clock.advance(100)
    assert bench.attempts() == [1, 2]


def test_the_dead_say_why(bench):
    bench.scheduler.in_(0, "work", retry_limit=0)
    bench.clock.advance(0)
    (dead,) = bench.scheduler.dead()
    assert dead.error.startswith("Traceback (most recent call last):\n")
    assert dead.error.endswith("RuntimeError: no luck\n")


# Afterwards


def test_a_revived_job_begins_anew(bench):
    """Attempt 1 and a new age; the runs go on counting."""
    bench.scheduler.in_(0, "work", id="lazarus", age_limit=4, min_backoff=2, max_backoff=2)
    bench.clock.advance(100)
    assert bench.scheduler.revive("lazarus")
    assert bench.the_dead() == []
    event = bench.scheduler.get("lazarus")
    assert (event.run, event.attempt, event.due, event.job.due) == (4, 1, 100 * SECOND, 0)
    bench.clock.advance(100)
    assert bench.runs[3:] == [(4, 1, 100), (5, 2, 102), (6, 3, 104)]


def test_a_job_that_waits_for_its_retry_can_be_cancelled(bench):
    bench.scheduler.in_(0, "work", id="a")
    bench.clock.advance(0)
    assert bench.scheduler.cancel("a")
    bench.clock.advance(1_000)
    assert len(bench.runs) == 1


def test_a_job_that_waits_for_its_retry_can_be_moved(bench):
    bench.scheduler.in_(0, "work", id="a", retry_limit=1)
    bench.clock.advance(0)
    assert bench.scheduler.reschedule("a", 500)
    bench.clock.advance(1_000)
    assert bench.runs == [(1, 1, 0), (2, 2, 500)]


def test_a_retry_takes_a_new_place(bench):
    """Due at the same time as another, it comes after it, for it was scheduled later."""
    order = []

    def log(event):
        order.append((event.job_id, event.attempt))
        if event.job_id == "first" and event.attempt == 1:
            raise RuntimeError

    bench.fails = log
    bench.scheduler.in_(0, "work", id="first", min_backoff=5, max_backoff=5)
    bench.scheduler.in_(5, "work", id="second")
    bench.clock.advance(10)
    assert order == [("first", 1), ("second", 1), ("first", 2)]


async def work_left():
    pass


async def more_left():
    yield


def test_work_that_a_handler_hands_back_is_done(bench):
    """A lambda around an ``async def`` function is a plain function: what it returns is run."""
    bench.scheduler.handle("left", lambda event: work_left())
    bench.scheduler.in_(0, "left", retry_limit=0)
    bench.clock.advance(0)
    assert (list(bench.scheduler.dead()), bench.scheduler.stats().succeeded) == ([], 1)


@pytest.mark.parametrize("left", [more_left, lambda: (n for n in "ab")], ids=["async generator", "generator"])
def test_work_that_a_handler_hands_back_undone_is_no_success(bench, left):
    bench.scheduler.handle("left", lambda event: left())
    bench.scheduler.in_(0, "left", retry_limit=0)
    bench.clock.advance(0)
    (dead,) = bench.scheduler.dead()
    assert (dead.reason, bench.scheduler.stats().succeeded) == ("failed", 0)
    assert "TypeError: the handler <function" in dead.error
    assert left.__name__ in dead.error or "genexpr" in dead.error
