"""Limits, rates and head starts of targets: on threads, on an event loop, in virtual time, over a file."""

import asyncio
import itertools
import threading
import time
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duewheel import Limit, Rate, Scheduler, Snooze, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock


class Gauge:
    """How many are in it at once, and how many have been at most."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = self.total = 0

    def __enter__(self):
        with self.lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("concurrency", [1, 2, Limit(2)], ids=str)
def test_no_more_of_a_target_run_than_may_and_others_go_on(concurrency, tmp_path):
    limit = getattr(concurrency, "n", concurrency)
    for storage in (None, tmp_path / "jobs.db"):
        scheduler, limited, free = Scheduler(storage, workers=4), Gauge(), threading.Event()

        @scheduler.handler("limited", concurrency=concurrency)
        def run(event, limited=limited):
            with limited:
                time.sleep(0.001)
                if event.attempt == 1 and event.data == b"fail":
                    raise ValueError

        @scheduler.handler("free")
        def other(_event, free=free):
            free.set()

        with scheduler:
            for number in range(60):
                data = b"fail" if number % 7 == 0 else b""
                scheduler.in_(0, "limited", data, min_backoff=0.001, max_backoff=0.001)
            scheduler.in_(0, "free")
            assert free.wait(10)
            assert scheduler.wait(30)
            scheduler._check()
        assert limited.most == limit
        assert limited.total == 60 + 9


def test_what_is_held_takes_no_worker_and_says_why():
    scheduler, gate, entered = Scheduler(workers=2), threading.Event(), threading.Semaphore(0)

    def run(_event):
        entered.release()
        assert gate.wait(10)

    scheduler.handle("slow", run, concurrency=1)
    scheduler.handle("quick", lambda _event: entered.release())
    with scheduler:
        ids = [scheduler.in_(0, "slow") for _ in range(5)]
        assert entered.acquire(timeout=10)
        for _ in range(200):
            scheduler.in_(0, "quick")
            assert entered.acquire(timeout=10)
        said = scheduler.explain(ids[1])
        assert "held" in said and "1 of 'slow' run" in said
        assert scheduler.cancel(ids[2])
        assert scheduler.stats().pending == 3
        gate.set()
        assert scheduler.wait(10)  # a drain would start nothing of what is held
    assert scheduler.stats().succeeded == 204


def test_a_place_is_free_when_an_async_handler_has_really_ended():
    async def main():
        gauge = Gauge()
        scheduler = aio.Scheduler()

        @scheduler.handler("t", concurrency=3)
        async def run(_event):
            with gauge:
                await asyncio.sleep(0.001)

        @scheduler.handler("returned", concurrency=2)
        def begin(event):
            return run(event)

        async with scheduler:
            await scheduler.in_many([0] * 40, "t")
            assert await scheduler.wait(30)
            assert gauge.most == 3
            gauge.most = 0
            await scheduler.in_many([0] * 20, "returned")
            assert await scheduler.wait(30)
        assert (gauge.most, gauge.total) == (2, 60)

    asyncio.run(main())


def test_a_handler_that_follows_keeps_the_limit():
    """What runs of the one that was deregistered counts."""
    scheduler, gate, entered = Scheduler(workers=4), threading.Event(), threading.Semaphore(0)

    def run(_event):
        entered.release()
        assert gate.wait(10)

    deregister = scheduler.handle("t", run, concurrency=2)
    with scheduler:
        scheduler.in_many([0] * 6, "t")
        assert entered.acquire(timeout=10) and entered.acquire(timeout=10)
        deregister()
        scheduler.handle("t", run, concurrency=3)
        assert entered.acquire(timeout=10)
        assert not entered.acquire(timeout=0.05)
        gate.set()
        assert scheduler.wait(10)
        scheduler._check()


def test_a_rate_on_threads_is_kept_though_all_workers_are_busy():
    scheduler, starts, gate = Scheduler(workers=2), [], threading.Event()
    scheduler.handle("busy", lambda _event: gate.wait(10))
    scheduler.handle(
        "rated", lambda event: starts.append(event.due + round(event.lateness * 1e9)), rate=Rate(1, per=0.05)
    )
    with scheduler:
        scheduler.in_many([0, 0], "busy")
        scheduler.in_many([0] * 4, "rated")
        time.sleep(0.2)
        assert starts == []
        gate.set()
        assert scheduler.wait(10)
    assert all(later - earlier >= 49_000_000 for earlier, later in itertools.pairwise(starts)), starts


@pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler], ids=["engine", "reference"])
def test_a_rate_to_the_nanosecond(make):
    clock = ManualClock()
    scheduler, starts = make(clock=clock), []
    scheduler.handle("t", lambda _event: starts.append(clock.now_ns()), rate=Rate(3, per=1, burst=2))
    scheduler.start()
    for _ in range(5):
        scheduler.in_(1, "t")
    clock.advance(10)
    third = 333_333_334
    assert starts == [10**9 + third * number for number in (0, 0, 1, 2, 3)]
    scheduler.close()


@pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler], ids=["engine", "reference"])
def test_retries_and_snoozes_count_as_starts(make):
    clock = ManualClock()
    scheduler, starts = make(clock=clock), []

    def run(event):
        starts.append(clock.now_ns() // 10**9)
        if event.run == 1:
            raise Snooze(0)

    scheduler.handle("t", run, rate=Rate(1, per=10))
    scheduler.start()
    scheduler.in_(0, "t")
    scheduler.in_(1, "t")
    clock.advance(100)
    assert starts == [0, 10, 20, 30]
    scheduler.close()


@pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler], ids=["engine", "reference"])
def test_a_head_start_is_linear_so_that_nothing_starves(make):
    clock = ManualClock()
    scheduler, order = make(clock=clock), []
    for target, priority in [("low", -5), ("none", 0), ("high", timedelta(seconds=10))]:
        scheduler.handle(target, lambda event: order.append((event.target, event.due // 10**9)), priority=priority)
    for due in range(20):
        for target in ("low", "none", "high"):
            scheduler.at(due, target)
    clock.advance(30)
    scheduler.start()
    clock.advance(0)
    ahead = {"low": -5, "none": 0, "high": 10}
    expected = [(target, due) for due in range(20) for target in ahead]
    assert order == sorted(expected, key=lambda job: (job[1] - ahead[job[0]], job[1]))
    scheduler.close()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 5),
    per=st.sampled_from([0.3, 1, 7]),
    burst=st.integers(1, 4),
    dues=st.lists(st.integers(0, 100), min_size=1, max_size=60),
    retried=st.sets(st.integers(0, 59)),
)
def test_starts_in_any_window(n, per, burst, dues, retried):
    """At most n + burst - 1, and each as soon as the rate allows it."""
    clock = ManualClock()
    scheduler, starts = Scheduler(clock=clock), []

    def run(event):
        starts.append(clock.now_ns())
        if event.attempt == 1 and int(event.data) in retried:
            raise ValueError

    scheduler.handle("t", run, rate=Rate(n, per, burst))
    scheduler.start()
    for number, due in enumerate(dues):
        scheduler.in_(due / 10, "t", str(number).encode(), min_backoff=0.1, max_backoff=0.1)
    clock.advance(2_000)
    assert len(starts) == len(dues) + len([number for number in retried if number < len(dues)])
    most, per_ns = n + burst - 1, round(per * 1e9)
    for first, beyond in zip(starts, starts[most:], strict=False):
        assert beyond - first >= per_ns
    scheduler.close()
