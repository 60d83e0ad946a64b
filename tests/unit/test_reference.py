"""Show the reference at work: the semantics by example, and the backoff computed by hand."""

import logging
import sys
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import pytest

from duewheel import (
    ClosedError,
    DuplicateJobError,
    DuplicateTargetError,
    Event,
    Job,
    JobOptions,
    Scheduler,
    Snooze,
    StateError,
)
from duewheel.reference import ReferenceScheduler, backoff_ns, ceiling_ns, exhausted, resolve
from duewheel.testing import ManualClock

SECOND = 1_000_000_000


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def scheduler(clock):
    with ReferenceScheduler(clock=clock, seed=7) as scheduler:
        yield scheduler


@pytest.fixture
def log(scheduler, clock):
    """What target ``t`` ran: ids with the time of the wall clock."""
    log = []
    scheduler.handle("t", lambda event: log.append((event.job_id, clock.now())))
    return log


# Backoff


@pytest.mark.parametrize(
    ("attempt", "u"),
    # int.from_bytes(blake2b(b"a" + n.to_bytes(4, "little"), digest_size=8, key=seed 7).digest(), "little")
    [(1, 4302665141958122321)],
)
def test_the_draw_is_the_one_written_down(attempt, u):
    """The same number stands in the tests of the Rust core."""
    options = resolve(JobOptions(), JobOptions())
    low, high = SECOND, 2 * SECOND
    assert backoff_ns(options, 7, "a", attempt) == low + ((u * (high - low + 1)) >> 64)


@pytest.mark.parametrize("attempt", [1, 2, 5, 11, 12, 63, 64, 65, 2**32 - 1])
@pytest.mark.parametrize("id", ["a", "ünïcode ☃", "x" * 255])
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_backoff_follows_the_formula(attempt, id, seed):
    options = resolve(JobOptions(min_backoff=1, max_backoff=3600), JobOptions())
    ceiling = min(3600 * SECOND, SECOND * 2 ** min(attempt, 100))
    key = seed.to_bytes(8, "little")
    draw = blake2b(id.encode("utf-8") + attempt.to_bytes(4, "little"), digest_size=8, key=key).digest()
    u = int.from_bytes(draw, "little")
    expected = SECOND + ((u * (ceiling - SECOND + 1)) >> 64)
    assert backoff_ns(options, seed, id, attempt) == expected
    assert SECOND <= expected <= ceiling == ceiling_ns(options, attempt)


def test_exhausted_asks_every_limit():
    both = resolve(JobOptions(retry_limit=3, age_limit=10), JobOptions())
    assert not exhausted(both, 3, 10 * SECOND)
    assert not exhausted(both, 4, 10 * SECOND - 1)
    assert exhausted(both, 4, 10 * SECOND)
    assert not exhausted(resolve(JobOptions(retry_limit=None), JobOptions()), 2**31, 2**62)


@pytest.mark.parametrize(
    "given",
    [1e-9, 0.1, 0.3, 1.1, 2.5e-7, 86_400.000001, 1e8 + 0.1, timedelta(microseconds=1), timedelta(400, microseconds=1)],
    ids=repr,
)  # fmt: skip
def test_durations_survive_layering_exactly(given):
    options = JobOptions(min_backoff=given, max_backoff=timedelta(days=9_999))
    assert resolve(JobOptions(), options)._min_backoff_ns == options._min_backoff_ns


def test_layers_overlay_field_by_field(clock):
    scheduler = ReferenceScheduler(clock=clock, options=JobOptions(retry_limit=9, min_backoff=2))
    id = scheduler.in_(0, "t", options=JobOptions(retry_limit=8, max_backoff=50), max_backoff=60)
    options = scheduler.get(id).job.options
    assert (options.retry_limit, options.min_backoff, options.max_backoff, options.age_limit) == (8, 2, 60, None)
    id = scheduler.in_(0, "t", retry_limit=None)
    assert scheduler.get(id).job.options.retry_limit is None


def test_an_age_limit_takes_the_place_of_the_default_limit():
    assert resolve(JobOptions(age_limit=5), JobOptions()).retry_limit is None
    assert resolve(JobOptions(), JobOptions()).retry_limit == 5


# Order and time


def test_ties_run_in_the_order_of_scheduling(scheduler, clock, log):
    for id in ["one", "two", "three"]:
        scheduler.at(5, "t", id=id) if id != "two" else scheduler.in_(5, "t", id=id)
    clock.advance(10)
    assert log == [("one", 5), ("two", 5), ("three", 5)]


def test_a_past_due_counts_as_its_own_value(scheduler, clock, log):
    clock.advance(100)
    for when in [90, 10, 50]:
        scheduler.at(when, "t", id=str(when))
    clock.advance(0)
    assert log == [("10", 100), ("50", 100), ("90", 100)]
    assert scheduler.stats().lateness.max == 90


def test_at_follows_the_wall_clock_and_in_the_boot_clock(scheduler, clock, log):
    scheduler.at(10, "t", id="at")
    scheduler.in_(10, "t", id="in")
    clock.step(8)
    assert [event.job_id for event in scheduler.between()] == ["at", "in"]
    assert scheduler.get("in").due == 18 * SECOND
    assert scheduler.get("in").job.due == 10 * SECOND
    clock.advance(20)
    assert log == [("at", 10), ("in", 18)]


def test_a_step_back_runs_nothing_twice(scheduler, clock, log):
    scheduler.at(5, "t", id="a")
    clock.advance(5)
    clock.step(-5)
    clock.advance(10)
    assert log == [("a", 5)]


def test_parked_jobs_keep_their_places(scheduler, clock):
    order = []
    for id in ["p1", "p2", "p3"]:
        scheduler.in_(1, "later", id=id)
    clock.advance(1)
    assert scheduler.stats().parked == 3
    assert scheduler.wait()
    scheduler.reschedule("p1", 1)
    scheduler.handle("later", lambda event: order.append(event.job_id))
    clock.advance(0)
    assert order == ["p2", "p3", "p1"]


def test_what_a_handler_schedules_runs_in_the_same_advance(scheduler, clock):
    times = []

    def chain(event):
        times.append(clock.now())
        if len(times) < 4:
            scheduler.in_(1, "chain")

    scheduler.handle("chain", chain)
    scheduler.in_(0, "chain")
    clock.advance(10)
    assert times == [0, 1, 2, 3]
    assert clock.now() == 10


def test_between_is_half_open(scheduler):
    for second in [1, 2, 3]:
        scheduler.at(second, "t", id=str(second))
    assert [event.job_id for event in scheduler.between(1, 3)] == ["1", "2"]
    assert scheduler.next(datetime.fromtimestamp(2, UTC)).job_id == "2"
    assert scheduler.next(4) is None


# Life


def test_nothing_runs_before_start_and_after_drain(clock):
    scheduler = ReferenceScheduler(clock=clock)
    log = []
    scheduler.handle("t", lambda event: log.append(clock.now()))
    scheduler.in_(1, "t")
    clock.advance(2)
    assert log == []
    scheduler.start()
    clock.advance(0)
    assert log == [2]
    scheduler.in_(1, "t")
    assert scheduler.drain()
    clock.advance(5)
    assert log == [2]
    assert not scheduler.wait()
    scheduler.start()
    clock.advance(0)
    assert log == [2, 7]


def test_close_drops_what_is_pending(clock):
    scheduler = ReferenceScheduler(clock=clock)
    scheduler.in_(1, "t")
    scheduler.close()
    scheduler.close()
    assert scheduler.stats().dropped == 1
    assert scheduler.drain()
    for call in [
        scheduler.start,
        scheduler.wait,
        scheduler.dead,
        lambda: scheduler.in_(1, "t"),
        lambda: len(scheduler),
    ]:
        with pytest.raises(ClosedError):
            call()


@pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler])
@pytest.mark.parametrize("fails", [Snooze(1), RuntimeError()], ids=repr)
def test_close_in_a_handler_drops_the_retry(make, fails, caplog):
    clock = ManualClock()
    scheduler = make(clock=clock)

    def last(event):
        scheduler.close()
        raise fails

    scheduler.handle("t", last)
    scheduler.start()
    scheduler.in_many([1, 2], "t")
    clock.advance(5)
    stats = scheduler.stats()
    assert (stats.started, stats.dropped, stats.retried, stats.snoozed, stats.pending) == (1, 2, 0, 0, 0)


def test_an_exception_in_the_block_closes_alone(clock):
    with pytest.raises(KeyError), ReferenceScheduler(clock=clock) as scheduler:
        raise KeyError
    assert scheduler.stats().pending == 0


def test_a_handler_cannot_wait_for_itself(scheduler, clock):
    refused = []

    def wait(event):
        for call in [scheduler.drain, scheduler.wait]:
            with pytest.raises(StateError, match="handler"):
                call()
            refused.append(call.__name__)

    scheduler.handle("t", wait)
    scheduler.in_(0, "t")
    clock.advance(0)
    assert refused == ["drain", "wait"]


def test_a_running_job_is_not_pending_and_holds_its_id(scheduler, clock):
    seen = []

    def look(event):
        seen.extend([len(scheduler), "me" in scheduler, scheduler.cancel("me"), scheduler.reschedule("me", 9)])
        seen.append(scheduler.stats().running)
        with pytest.raises(DuplicateJobError, match="me"):
            scheduler.in_(1, "t", id="me")

    scheduler.handle("t", look)
    scheduler.in_(0, "t", id="me")
    clock.advance(0)
    assert seen == [0, False, False, False, 1]
    assert scheduler.in_(1, "t", id="me") == "me"
    assert scheduler.stats().succeeded == 1


def test_one_handler_a_target(scheduler, clock, log):
    with pytest.raises(DuplicateTargetError):
        scheduler.handle("t", print)
    first = scheduler.handle("u", print)
    first()
    scheduler.handle("u", lambda event: log.append("second"))
    first()  # takes nothing away from the one that followed
    scheduler.in_(0, "u")
    clock.advance(0)
    assert log == ["second"]


def test_bulk_is_all_or_none(scheduler):
    ids = scheduler.in_many([3, 1, 2], "t", [b"3", b"1", b"2"])
    assert [scheduler.get(id).data for id in ids] == [b"3", b"1", b"2"]
    with pytest.raises(ValueError):
        scheduler.in_many([1, -1], "t")
    assert len(scheduler) == 3


def test_the_newest_thousand_dead_are_kept(scheduler, clock):
    logging.getLogger("duewheel").disabled = True
    try:
        scheduler.handle("t", lambda event: sys.exit(1))
        scheduler.at_many(range(1_005), "t", retry_limit=0)
        clock.advance(2_000)
    finally:
        logging.getLogger("duewheel").disabled = False
    died = [dead.died // SECOND for dead in scheduler.dead()]
    assert died == list(range(1_004, 4, -1))
    assert scheduler.stats().dead == 1_005
    assert scheduler.purge(1_000) == 995
    assert scheduler.purge() == 5


def test_revive_takes_the_newest_of_an_id(scheduler, clock, caplog):
    scheduler.handle("t", lambda event: 1 / 0)
    for _ in range(2):
        scheduler.in_(0, "t", str(clock.now()).encode(), id="x", retry_limit=0)
        clock.advance(1)
    assert not scheduler.revive("y")
    assert scheduler.revive("x")
    assert scheduler.get("x").data == b"1.0"
    with pytest.raises(DuplicateJobError):
        scheduler.revive("x")
    assert [dead.event.data for dead in scheduler.dead()] == [b"0.0"]


@pytest.mark.parametrize("make", [ReferenceScheduler, Scheduler])
def test_the_store_and_the_lateness_are_those_of_the_engine(make, clock):
    with make(clock=clock) as scheduler:
        late = []
        scheduler.handle("t", lambda event: late.append((event.id, event.lateness)))
        event = Event(Job("a", "t", 3 * SECOND, b"x", JobOptions()), run=4, attempt=2, due=5 * SECOND)
        scheduler.storage.create(event)
        assert scheduler.storage.load("a") == event == scheduler.storage.next()
        with pytest.raises(DuplicateJobError):
            scheduler.storage.create(event)
        with pytest.raises(TypeError, match="event must be an Event, not 5"):
            scheduler.storage.create(5)
        scheduler.in_(1, "t", id="b")
        assert scheduler.storage.delete("b")
        assert not scheduler.storage.delete("b")
        assert list(scheduler.storage.between(5, 6)) == [event]
        clock.advance(5)
        scheduler.at(3, "t", id="c")
        clock.advance(0)
        assert late == [("a/4", 0), ("c/1", 2)]
        lateness = scheduler.stats().lateness
        assert (lateness.count, lateness.mean, lateness.max) == (2, 1, 2)
        assert [lateness.p50, lateness.p99] == pytest.approx([0, 2], rel=0.01, abs=1e-6)
        assert scheduler.stats().scheduled == 3
