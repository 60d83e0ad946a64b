"""Timeouts of handlers: async ones are cancelled; for one on a thread, which is told, another worker steps in."""

import asyncio
import logging
import threading
import time

import pytest

from duewheel import Scheduler, aio
from duewheel.testing import ManualClock

SOON = 0.02


def until(condition):
    """Wait for what is to become true."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("duewheel-worker")]


class Held:
    """A handler that stays until it is let go."""

    def __init__(self):
        self.entered, self.leave, self.events = threading.Semaphore(0), threading.Event(), []

    def __call__(self, event):
        self.events.append(event)
        self.entered.release()
        assert self.leave.wait(30)


def test_a_handler_on_a_thread_is_told_and_a_worker_steps_in(caplog):
    held, ran = Held(), []
    with Scheduler(workers=1) as scheduler:
        scheduler.handle("held", held, timeout=SOON)
        scheduler.handle("quick", ran.append, timeout=30)
        id = scheduler.in_(0, "held", retry_limit=0)
        assert held.entered.acquire(timeout=30)
        assert not held.events[0].expired
        with caplog.at_level(logging.ERROR, "duewheel"):
            scheduler.in_(0, "quick")
            until(lambda: ran)
        assert held.events[0].expired
        assert (scheduler.stats().stuck, scheduler.targets()["held"].stuck) == (1, 1)
        [running] = scheduler.running()
        assert (running.event.job_id, running.expired, running.worker) == (id, True, "duewheel-worker-1")
        [record] = caplog.records
        message = record.getMessage()
        assert message.startswith(f"job {id} for 'held' is past its timeout")
        assert "self.leave.wait(30)" in message
        held.leave.set()
        assert scheduler.wait(30)
        # Its outcome counts, and nothing was retried meanwhile.
        stats = scheduler.stats()
        assert (stats.started, stats.succeeded, stats.retried, stats.dead, stats.stuck) == (2, 2, 0, 0, 0)
        until(lambda: len(workers()) == 1)
        scheduler.in_(0, "quick")
        assert scheduler.wait(30)
    assert len(ran) == 2


def test_no_more_step_in_than_there_are_workers():
    held, ran = Held(), []
    with Scheduler(workers=2) as scheduler:
        scheduler.handle("held", held, timeout=SOON)
        scheduler.handle("quick", ran.append)
        for _ in range(7):
            scheduler.in_(0, "held", retry_limit=0)
        for _ in range(4):
            assert held.entered.acquire(timeout=30)
        until(lambda: scheduler.stats().stuck == 4)
        scheduler.in_(0, "quick")
        assert (len(workers()), len(held.events), ran) == (4, 4, [])
        held.leave.set()
        assert scheduler.wait(30)
        assert (len(held.events), len(ran), scheduler.stats().stuck) == (7, 1, 0)
        until(lambda: len(workers()) == 2)


@pytest.mark.usefixtures("quiet")
def test_what_a_stuck_handler_raises_is_its_failure():
    held = Held()

    def fails(event):
        held(event)
        raise ValueError("late")

    with Scheduler(workers=1) as scheduler:
        scheduler.handle("t", fails, timeout=SOON)
        scheduler.in_(0, "t", retry_limit=1, min_backoff=0.001, max_backoff=0.001)
        assert held.entered.acquire(timeout=30)
        until(lambda: scheduler.stats().stuck == 1)
        assert scheduler.stats().retried == 0
        held.leave.set()
        assert scheduler.wait(30)
        assert [event.attempt for event in held.events] == [1, 2]
        assert [dead.error.strip().splitlines()[-1] for dead in scheduler.dead()] == ["ValueError: late"]


@pytest.mark.parametrize("kind", [Scheduler, aio.Scheduler], ids=["own loop", "aio"])
@pytest.mark.usefixtures("quiet")
def test_an_async_handler_is_cancelled(kind):
    cancelled = []

    async def slow(event):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(event.attempt)
            raise

    async def quick(event):
        await asyncio.sleep(0)

    def check(stats, dead):
        assert (stats.dead, stats.succeeded, stats.retried, stats.stuck) == (1, 1, 1, 0)
        assert dead[0].error.strip().splitlines()[-1].startswith("TimeoutError")
        assert cancelled == [1, 2]

    async def main():
        async with aio.Scheduler() as scheduler:
            scheduler.handle("slow", slow, timeout=SOON)
            scheduler.handle("quick", quick, timeout=30)
            await scheduler.in_(0, "slow", retry_limit=1, min_backoff=0.001, max_backoff=0.001)
            await scheduler.in_(0, "quick")
            assert await scheduler.wait(30)
            check(scheduler.stats(), [dead async for dead in scheduler.dead()])

    if kind is aio.Scheduler:
        asyncio.run(main())
        return
    with Scheduler() as scheduler:
        scheduler.handle("slow", slow, timeout=SOON)
        scheduler.handle("quick", quick, timeout=30)
        scheduler.in_(0, "slow", retry_limit=1, min_backoff=0.001, max_backoff=0.001)
        scheduler.in_(0, "quick")
        assert scheduler.wait(30)
        check(scheduler.stats(), [*scheduler.dead()])


@pytest.mark.usefixtures("quiet")
def test_what_a_sync_handler_returns_has_the_time_that_is_left():
    async def rest():
        await asyncio.sleep(30)

    with Scheduler(workers=1) as scheduler:
        scheduler.handle("t", lambda event: rest(), timeout=SOON)
        scheduler.in_(0, "t", retry_limit=0)
        assert scheduler.wait(30)
        assert [dead.error.strip().splitlines()[-1] for dead in scheduler.dead()] == ["TimeoutError"]


def test_a_clock_that_is_moved_by_hand_cancels_at_the_deadline():
    async def main():
        clock, seen = ManualClock(), []

        async def waits(event):
            try:
                await asyncio.sleep(3_000)
            except asyncio.CancelledError:
                seen.append(clock.now())
                raise

        async with aio.Scheduler(clock=clock) as scheduler:
            scheduler.handle("t", waits, timeout=1_000)
            await scheduler.in_(5, "t", retry_limit=0)
            with pytest.warns(RuntimeWarning, match="first steps alone"):
                clock.advance(5)
            await asyncio.sleep(0)
            clock.advance(999.5)
            await asyncio.sleep(0.01)
            assert seen == []
            clock.advance(0.5)
            while not seen:
                await asyncio.sleep(0)
            assert (seen, scheduler.stats().dead) == ([1_005.0], 1)

    logging.getLogger("duewheel").disabled = True
    try:
        asyncio.run(main())
    finally:
        logging.getLogger("duewheel").disabled = False


def test_on_a_thread_no_time_passes_while_nobody_else_moves_such_a_clock():
    clock, events = ManualClock(), []
    with Scheduler(workers=1, clock=clock) as scheduler:
        scheduler.handle("t", events.append, timeout=1e-9)
        scheduler.in_(1, "t")
        clock.advance(10)
        assert [event.expired for event in events] == [False]


@pytest.mark.parametrize("to", [ManualClock.advance, lambda clock, delay: clock.advance_to(clock.now() + delay)])
def test_an_advance_of_another_thread_lets_the_time_of_a_handler_pass(caplog, to):
    clock, held, quick = ManualClock(), Held(), []
    with Scheduler(workers=1, clock=clock) as scheduler:
        scheduler.handle("held", held, timeout=60)
        scheduler.handle("quick", lambda event: quick.append((event.due, clock.now())))
        id = scheduler.in_(5, "held")
        for delay in (6, 70):
            scheduler.in_(delay, "quick")
        first = threading.Thread(target=clock.advance, args=(10,))
        first.start()
        assert held.entered.acquire(timeout=30)
        # Not past the deadline: it waits, and so does the one that is.
        near, far = threading.Thread(target=clock.advance, args=(20,)), threading.Thread(target=to, args=(clock, 100))
        near.start()
        until(lambda: near.is_alive())
        assert (clock.now(), held.events[0].expired, scheduler.stats().stuck) == (5, False, 0)
        with caplog.at_level(logging.ERROR, "duewheel"):
            far.start()
            until(lambda: held.events[0].expired)
            until(lambda: caplog.records)
        assert (clock.now(), scheduler.stats().stuck, scheduler.targets()["held"].stuck) == (65, 1, 1)
        [running] = scheduler.running()
        assert (running.event.job_id, running.expired) == (id, True)
        [record] = caplog.records
        message = record.getMessage()
        assert message.startswith(f"job {id} for 'held' is past its timeout:\n")
        assert "self.leave.wait(30)" in message
        held.leave.set()
        for thread in (first, near, far):
            thread.join(30)
        # What was due meanwhile started later; what is due thereafter at its due.
        assert quick == [(6_000_000_000, 65.0), (70_000_000_000, 70.0)]
        assert clock.now() in (105, 125)  # the near one went before the far one, or after it
        stats = scheduler.stats()
        assert (stats.succeeded, stats.retried, stats.stuck) == (3, 0, 0)


@pytest.mark.usefixtures("quiet")
def test_what_a_sync_handler_returns_has_the_time_that_is_left_on_such_a_clock():
    clock, seen = ManualClock(), []

    async def rest():
        try:
            await asyncio.sleep(3_000)
        except asyncio.CancelledError:
            seen.append(clock.now())
            raise

    async def main():
        async with aio.Scheduler(clock=clock) as scheduler:
            scheduler.handle("t", lambda event: rest(), timeout=1_000)
            await scheduler.in_(5, "t", retry_limit=0)
            with pytest.warns(RuntimeWarning, match="first steps alone"):
                clock.advance(5)
            await asyncio.sleep(0.01)
            clock.advance(1_000)
            while not seen:
                await asyncio.sleep(0)
            assert (seen, scheduler.stats().dead) == ([1_005.0], 1)

    asyncio.run(main())


def test_many_stuck_handlers_leak_nothing():
    with Scheduler(workers=4) as scheduler:
        waits = threading.Barrier(4)

        def slow(event):
            waits.wait(30)
            until(lambda: event.expired)

        scheduler.handle("t", slow, timeout=0.001)
        logging.getLogger("duewheel").disabled = True
        for _ in range(100):
            scheduler.in_(0, "t", retry_limit=0)
        assert scheduler.wait(60)
        logging.getLogger("duewheel").disabled = False
        assert (scheduler.stats().succeeded, scheduler.stats().stuck) == (100, 0)
        watch = scheduler._watch
        assert (watch._watched, len(watch._deadlines) <= 65) == ({}, True)
        until(lambda: len(workers()) == 4)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("duewheel")])
