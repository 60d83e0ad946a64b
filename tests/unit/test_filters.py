"""What is asked of pending and dead jobs in part: of one target, before a time, at most so many."""

import asyncio

import pytest

from duewheel import LocalStorage, NopScheduler, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

START = 1_000
SECOND = 10**9


def fail(event):
    raise RuntimeError("no luck")


@pytest.fixture(params=["memory", "file", "paged out", "reference"])
def scheduler(request, tmp_path, quiet):
    """One with 10 dead and 10 pending of `a` and of `b` each, by turns, a second apart."""
    clock = ManualClock(START)
    if request.param == "reference":
        scheduler = ReferenceScheduler(clock=clock)
    else:
        resident = 1 if request.param == "paged out" else 1_000
        storage = LocalStorage(tmp_path / "jobs.db", durability="relaxed", resident=resident, horizon=3_600)
        scheduler = Scheduler(None if request.param == "memory" else storage, clock=clock, workers=1)
    for target in "ab":
        scheduler.handle(target, fail)
    scheduler.start()
    for number in range(20):
        scheduler.in_(number + 1, "ab"[number % 2], b"%d" % number, retry_limit=0)
    clock.advance(100)
    for number in range(20):
        scheduler.in_(number + 1, "ab"[number % 2], b"%d" % number)
    yield scheduler
    scheduler.close()


def numbers(events):
    return [int(event.data) for event in events]


def test_the_dead_of_a_target_before_a_time_at_most_so_many(scheduler):
    def dead(**which):
        return numbers(dead.event for dead in scheduler.dead(**which))

    assert dead() == list(reversed(range(20)))
    assert dead(target="a") == list(range(18, -1, -2))
    assert dead(before=START + 6) == [4, 3, 2, 1, 0]
    assert dead(target="b", before=START + 6) == [3, 1]
    assert dead(limit=3) == [19, 18, 17]
    assert dead(target="b", before=START + 11, limit=2) == [9, 7]
    assert dead(limit=0) == dead(target="unknown") == dead(before=START) == []


def test_what_is_pending_of_a_target(scheduler):
    def between(*bounds, **which):
        return numbers(scheduler.between(*bounds, **which))

    now = START + 100
    assert between() == list(range(20))
    assert between(target="b") == list(range(1, 20, 2))
    assert between(now + 4, now + 9, target="a") == [4, 6]
    assert between(target="unknown") == []
    assert scheduler.cancel(next(scheduler.between(target="a")).job_id)
    assert between(None, now + 6, target="a") == [2, 4]


def test_what_dies_or_is_forgotten_meanwhile(tmp_path, quiet):
    clock = ManualClock(START)
    with Scheduler(LocalStorage(tmp_path / "jobs.db", durability="relaxed"), clock=clock) as scheduler:
        scheduler.handle("t", fail)
        scheduler.in_many([1] * 2_500, "t", retry_limit=0)
        clock.advance(1)
        dead = scheduler.dead()
        first = [next(dead) for _ in range(10)]
        scheduler.in_(1, "t", retry_limit=0)
        clock.advance(1)
        assert all(scheduler.revive(one.event.job_id) for one in first)
        assert len(list(dead)) == 2_490
        assert len(list(scheduler.dead(limit=1_700))) == 1_700
        again = scheduler.dead()
        assert next(again)
        assert scheduler.purge() == 2_491
        assert len(list(again)) < 1_000, "the page that was read already"


@pytest.mark.parametrize(
    ("which", "error", "says"),
    [
        ({"target": 5}, TypeError, "target must be a str, not 5"),
        ({"target": ""}, ValueError, "target must have 1 to 255 bytes"),
        ({"before": "now"}, TypeError, "before must be .*, not 'now'"),
        ({"before": float("nan")}, ValueError, "before must"),
        ({"limit": -1}, ValueError, "limit must be at least 0, or None for all, not -1"),
        ({"limit": 1.5}, TypeError, "limit must be an int or None, not 1.5"),
        ({"limit": True}, TypeError, "limit must be an int or None, not True"),
        ({"limit": "3"}, TypeError, "limit must be an int or None, not '3'"),
    ],
)
def test_what_is_refused(which, error, says):
    scheduler = Scheduler()
    with pytest.raises(error, match=says):
        scheduler.dead(**which)
    if "target" in which:
        with pytest.raises(error, match=says):
            scheduler.between(**which)
    assert list(scheduler.dead(limit=10**30)) == []
    scheduler.close()


def test_with_asyncio(tmp_path, quiet):
    async def check(storage):
        clock = ManualClock(START)
        async with aio.Scheduler(storage, clock=clock) as scheduler:
            for target in "ab":
                scheduler.handle(target, fail)
            for number in range(4):
                await scheduler.in_(1, "ab"[number % 2], b"%d" % number, retry_limit=0)
            await asyncio.to_thread(clock.advance, 1)
            for number in range(4):
                await scheduler.in_(1, "ab"[number % 2], b"%d" % number)
            assert [int(one.event.data) async for one in scheduler.dead(target="a", limit=1)] == [2]
            assert [int(one.data) async for one in scheduler.between(target="b")] == [1, 3]
            with pytest.raises(TypeError, match="target must be a str"):
                scheduler.between(target=5)
            with pytest.raises(TypeError, match="limit must be an int"):
                scheduler.dead(limit="5")
            for id in [one.job_id async for one in scheduler.between()]:
                await scheduler.cancel(id)

    for storage in (None, tmp_path / "jobs.db"):
        asyncio.run(check(storage))
    scheduler = NopScheduler()
    assert list(scheduler.dead(target="a", before=1, limit=1)) == list(scheduler.between(target="a")) == []
