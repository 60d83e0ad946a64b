"""Controls of targets by chance: no start too soon, none later than it may, and never more at once than may run."""

import asyncio
import heapq
import itertools
import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import PATIENCE_S, until

from duewheel import Rate, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")

EIGHTH = 125_000_000  # ns: floats of seconds are exact
BACKOFF = 3 * EIGHTH


def by_the_rule(dues, retried, rate, pauses):
    """When what starts, by the rule alone: the first that is due, as soon as rate and pauses allow."""
    interval = -(-round(rate.per * 10**9) // rate.n)
    numbers = itertools.count()
    waiting = [(due, next(numbers), number, 1) for number, due in enumerate(dues)]
    heapq.heapify(waiting)
    starts, arrival = [], 0
    while waiting:
        due, _, number, attempt = heapq.heappop(waiting)
        at = max(due, arrival - (rate.burst - 1) * interval)
        for begin, end in pauses:
            at = end if begin < at < end else at
        arrival = max(arrival, at) + interval
        starts.append((at, number, attempt))
        if attempt == 1 and number in retried:
            heapq.heappush(waiting, (at + BACKOFF, next(numbers), number, 2))
    return starts


@settings(max_examples=40)
@given(
    rate=st.builds(Rate, st.integers(1, 5), st.sampled_from([0.3, 1, 7]), st.integers(1, 4)),
    dues=st.lists(st.integers(0, 100), min_size=1, max_size=40),
    retried=st.sets(st.integers(0, 39)),
    keys=st.lists(st.sampled_from([None, "k", "l"]), min_size=40, max_size=40),
    moments=st.lists(st.integers(0, 200), max_size=6, unique=True).map(sorted),
    priority=st.sampled_from([0, 5]),
)
@pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler])
def test_what_is_held_starts_when_it_may_to_the_nanosecond(make, rate, dues, retried, keys, moments, priority):
    clock, starts = ManualClock(), []
    scheduler = make(clock=clock)

    def run(event):
        starts.append((clock.now_ns(), int(event.data), event.attempt))
        if event.attempt == 1 and int(event.data) in retried:
            raise ValueError

    scheduler.handle("t", run, rate=rate, priority=priority)
    scheduler.start()
    backoff = {"min_backoff": BACKOFF / 10**9, "max_backoff": BACKOFF / 10**9}
    for number, due in enumerate(dues):
        scheduler.in_(due / 8, "t", str(number).encode(), key=keys[number], **backoff)
    pauses = list(itertools.pairwise(moments))[::2]
    for begin, end in pauses:
        clock.advance_to(begin / 8)
        assert scheduler.pause(target="t")
        clock.advance_to(end / 8)
        assert scheduler.resume(target="t")
        clock.advance(0)
    clock.advance(2_000)
    scheduler.close()
    pauses = [(begin * EIGHTH, end * EIGHTH) for begin, end in pauses]
    assert starts == by_the_rule([due * EIGHTH for due in dues], retried, rate, pauses)
    most, per = rate.n + rate.burst - 1, round(rate.per * 10**9)
    assert all(beyond - first >= per for (first, *_), (beyond, *_) in zip(starts, starts[most:], strict=False))


class Running:
    """How many handlers run, each until it is told to end."""

    def __init__(self):
        self.lock, self.ends = threading.Lock(), threading.Semaphore(0)
        self.now = self.most = 0
        self.keys = Counter()

    def __call__(self, event):
        key = event.data.decode()
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.keys[key] += bool(key)
            overlaps = self.keys[key] > 1
        assert self.ends.acquire(timeout=PATIENCE_S)
        with self.lock:
            self.now -= 1
            self.keys[key] -= bool(key)
        assert not overlaps, key
        if event.attempt == 1 and event.job.headers:
            raise ValueError


def may_run(scheduler):
    """How many of the limited target their keys let run at once, of what is pending or runs."""
    left = list(scheduler.between(target="limited"))
    left += [one.event for one in scheduler.running() if one.event.target == "limited"]
    keys = {event.job_id: event.data or event.job_id for event in left}
    return len({*keys.values()})


@settings(max_examples=15)
@given(
    limit=st.integers(1, 4),
    workers=st.integers(1, 5),
    jobs=st.lists(st.tuples(st.sampled_from(["", "", "k", "l"]), st.booleans()), min_size=1, max_size=12),
)
def test_on_threads_as_many_run_as_may_and_never_more(limit, workers, jobs):
    run = Running()
    with Scheduler(workers=workers) as scheduler:
        scheduler.handle("limited", run, concurrency=limit)
        for key, fails in jobs:
            more = {"headers": {"fails": "1"}, "min_backoff": 0, "max_backoff": 0, "retry_limit": 1} if fails else {}
            scheduler.in_(0, "limited", key.encode(), key=key or None, **more)
        for ended in range(1, len(jobs) + sum(fails for _, fails in jobs) + 1):
            until(lambda: run.now == min(limit, workers, may_run(scheduler)))
            run.ends.release()
            until(lambda: ended == (stats := scheduler.stats()).succeeded + stats.retried)  # noqa: B023 - called at once
        assert scheduler.wait(PATIENCE_S)
        scheduler._check()
        assert scheduler.stats().dead == 0
    assert run.most <= min(limit, workers)


def by_the_limit(jobs, limit):
    """When each starts, at the earliest: at its due, or when a place is free."""
    free, starts = [0] * limit, []
    for due, takes in sorted(jobs, key=lambda job: job[0]):
        at = max(due, heapq.heappop(free))
        heapq.heappush(free, at + takes)
        starts.append(at)
    return starts


@pytest.mark.filterwarnings("ignore:on the thread of the running event loop")
@settings(max_examples=25)
@given(
    limit=st.integers(1, 4),
    jobs=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 15)), min_size=1, max_size=20),
)
def test_on_a_loop_one_that_ends_frees_its_place_in_that_nanosecond(limit, jobs):
    """Handlers wait in virtual time here: what is due meanwhile is held."""

    async def main():
        clock, starts, sleeping, numbers = ManualClock(), [], [], itertools.count()
        running = set()

        async with aio.Scheduler(clock=clock) as scheduler:

            @scheduler.handler("t", concurrency=limit)
            async def handler(event):
                starts.append(clock.now_ns())
                running.add(event.job_id)
                assert len(running) <= limit
                wakes = asyncio.get_running_loop().create_future()
                heapq.heappush(sleeping, (clock.now_ns() + int(event.data) * EIGHTH, next(numbers), wakes))
                await wakes
                running.discard(event.job_id)

            for due, takes in jobs:
                await scheduler.at(due / 8, "t", str(takes).encode())
            ended = 0
            while ended < len(jobs):
                clock.advance(1 / 8)
                while sleeping and sleeping[0][0] <= clock.now_ns():
                    heapq.heappop(sleeping)[2].set_result(None)
                    ended += 1
                    while scheduler.stats().succeeded < ended:
                        await asyncio.sleep(0)
                    clock.advance(0)
            return starts

    expected = by_the_limit([(due * EIGHTH, takes * EIGHTH) for due, takes in jobs], limit)
    assert asyncio.run(main()) == expected
