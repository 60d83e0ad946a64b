"""What a handler is, is decided by how it is called, and by what it returns."""

import asyncio
import contextvars
import functools
import gc
import inspect
import sys
import threading
from unittest import mock

import pytest
from async_jobs import AT_ONCE
from waiting import PATIENCE_S, until

from duewheel import Consistency, Discard, Scheduler, Snooze, StateError, aio, current_scheduler
from duewheel._checks import is_async
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")

CLOCKS = pytest.mark.parametrize("manual", [False, True], ids=["real clock", "manual clock"])
KEPT = pytest.mark.parametrize("kept", [False, True], ids=["memory", "file"])


def run(*handlers, manual=False, path=None, tasks=1_000, count=1, **job_options):
    """Run jobs of each handler to their end; the closed scheduler, and the dead."""
    clock = ManualClock() if manual else None
    with Scheduler(path, clock=clock, tasks=tasks) as scheduler:
        for number, handler in enumerate(handlers):
            scheduler.handle(f"t{number}", handler)
            scheduler.in_many([0] * count, f"t{number}", **job_options)
        if clock:
            clock.advance(0)
        assert scheduler.wait(PATIENCE_S)
        scheduler._check()
        dead = list(scheduler.dead())
    return scheduler, dead


# What is async


async def work(event):
    await asyncio.sleep(0)


class Called:
    async def __call__(self, event):
        await asyncio.sleep(0)

    async def method(self, event):
        await asyncio.sleep(0)

    @classmethod
    async def of_the_class(cls, event):
        await asyncio.sleep(0)


@functools.wraps(work)
def wrapper(event):
    """Look like a coroutine function."""


class Made:
    """Its instances are awaited when called; it is called to make one."""

    def __init__(self, event):
        pass

    async def __call__(self, event):
        raise AssertionError("called")


def test_a_handler_is_async_if_what_is_called_is():
    for handler in (work, Called(), Called().method, Called.of_the_class, mock.AsyncMock()):
        assert is_async(handler)
        assert is_async(functools.partial(functools.partial(handler)))
    for handler in (wrapper, functools.partial(wrapper), lambda event: work(event), Made, mock.MagicMock(), print):
        assert not is_async(handler)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="comes with 3.12")
def test_a_marked_function_is_called_on_the_loop():
    names = []

    def handler(event):
        names.append(threading.current_thread().name)
        return work(event)

    marked = inspect.markcoroutinefunction(handler)
    assert is_async(marked)
    _, dead = run(marked)
    assert (names, dead) == (["duewheel-loop"], [])


@CLOCKS
@pytest.mark.parametrize("returned", [None, 7, "text", object()])
def test_a_wrapper_that_has_run_its_coroutine_has_succeeded_once(manual, returned):
    ran = []

    async def does(event):
        await asyncio.sleep(0)
        ran.append(event.attempt)

    @functools.wraps(does)
    def handler(event):
        thread = threading.Thread(target=lambda: asyncio.run(does(event)))
        thread.start()
        thread.join()
        return returned

    scheduler, dead = run(handler, manual=manual)
    assert (ran, dead) == ([1], [])
    assert (scheduler.stats().succeeded, scheduler.stats().retried) == (1, 0)


def test_a_class_is_called_and_its_instance_dropped():
    scheduler, dead = run(Made)
    assert (scheduler.stats().succeeded, dead) == (1, [])


# What is returned


class Awaitable:
    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()


@functools.wraps(work)
def wraps(coroutine):
    return coroutine


RETURNED = {
    "a coroutine": lambda coroutine: coroutine,
    "a wrapper's": wraps,
    "an awaitable": Awaitable,
}
EACH_RETURNED = pytest.mark.parametrize("returned", RETURNED.values(), ids=RETURNED.keys())


@EACH_RETURNED
@CLOCKS
@KEPT
@pytest.mark.parametrize("waits", [False, True])
def test_a_coroutine_that_is_returned_goes_on_on_the_loop(returned, manual, kept, waits, tmp_path):
    seen = []
    variable = contextvars.ContextVar("variable")

    async def goes_on(event):
        if waits:
            await asyncio.sleep(0.001)
        seen.append((event.attempt, event.run, variable.get(), current_scheduler(), asyncio.current_task()))

    def handler(event):
        variable.set(event.job_id)
        return returned(goes_on(event))

    path = tmp_path / "jobs.db" if kept else None
    scheduler, dead = run(handler, manual=manual, path=path, count=3)
    assert dead == []
    assert [(attempt, number) for attempt, number, *_ in seen] == [(1, 1)] * 3
    assert len({job for _, _, job, _, _ in seen}) == 3
    assert all(own is scheduler for _, _, _, own, _ in seen)
    assert len({task for *_, task in seen}) == 3
    stats = scheduler.stats()
    assert (stats.succeeded, stats.running, stats.retried) == (3, 0, 0)


@EACH_RETURNED
@CLOCKS
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_what_it_raises_is_a_failure_of_the_same_attempt(returned, manual, waits, error):
    attempts = []

    async def goes_on(event):
        if waits:
            await asyncio.sleep(0)
        if event.attempt < 3:
            raise error("no")

    def handler(event):
        attempts.append((event.run, event.attempt))
        return returned(goes_on(event))

    scheduler, dead = run(handler, manual=manual, **AT_ONCE)
    assert (attempts, dead) == ([(1, 1), (2, 2), (3, 3)], [])
    assert (scheduler.stats().retried, scheduler.stats().succeeded) == (2, 1)


@CLOCKS
def test_it_may_snooze_and_discard(manual):
    runs = []

    async def steers(event):
        await asyncio.sleep(0)
        runs.append((event.run, event.attempt))
        raise Snooze(0) if event.run == 1 else Discard("enough")

    _, dead = run(lambda event: steers(event), manual=manual)
    assert runs == [(1, 1), (2, 1)]
    assert [(one.reason, one.error) for one in dead] == [("discarded", "enough")]


@KEPT
def test_at_most_once_is_not_tried_again(kept, tmp_path):
    calls = []

    async def fails(event):
        await asyncio.sleep(0)
        raise ValueError

    def handler(event):
        calls.append(event.run)
        return fails(event)

    path = tmp_path / "jobs.db" if kept else None
    _, dead = run(handler, path=path, consistency=Consistency.AT_MOST_ONCE)
    assert calls == [1]
    assert [one.reason for one in dead] == ["failed"]


def test_a_generator_that_is_returned_is_a_failure():
    def generator(event):
        yield

    async def async_generator(event):
        yield

    _, dead = run(generator, async_generator, retry_limit=0)
    assert len(dead) == 2
    assert all("must not yield" in one.error for one in dead)


def test_a_future_that_is_returned_is_not_waited_for():
    async def main():
        future = asyncio.get_running_loop().create_future()
        async with aio.Scheduler() as scheduler:
            scheduler.handle("t", lambda event: future)
            await scheduler.in_(0, "t")
            assert await scheduler.wait(PATIENCE_S)
            assert scheduler.stats().succeeded == 1

    asyncio.run(main())


# Limits and order


@pytest.mark.parametrize("tasks", [1, 3])
def test_never_more_at_once_than_tasks(tasks):
    running, most = set(), []

    async def goes_on(event):
        running.add(event.job_id)
        most.append(len(running))
        for _ in range(3):
            await asyncio.sleep(0)
        running.discard(event.job_id)

    scheduler, dead = run(lambda event: goes_on(event), goes_on, tasks=tasks, count=300)
    assert dead == []
    assert len(most) == 600
    assert max(most) <= tasks
    assert scheduler.stats().succeeded == 600


def test_workers_are_not_ahead_of_the_loop_without_end():
    gate, made = threading.Event(), []

    async def waits(event):
        while not gate.is_set():
            await asyncio.sleep(0.001)

    def handler(event):
        made.append(event)
        return waits(event)

    with Scheduler(tasks=5, workers=2) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_many([0] * 500, "t")
        until(lambda: len(made) >= 10)
        assert len(made) <= 5 + 5 + 2
        gate.set()
        assert scheduler.wait(PATIENCE_S)
        scheduler._check()
        assert scheduler.stats().succeeded == 500


def test_one_worker_hands_them_over_in_order():
    begun = []

    async def goes_on(event):
        begun.append(int(event.data))
        await asyncio.sleep(0)

    with Scheduler(workers=1) as scheduler:
        scheduler.handle("t", lambda event: goes_on(event))
        scheduler.drain()
        for number in range(600):
            scheduler.at(1_000_000_000 - number // 7, "t", b"%d" % number)
        scheduler.start()
        assert scheduler.wait(PATIENCE_S)
    assert begun == sorted(range(600), key=lambda number: (-(number // 7), number))


# Draining and closing


def test_drain_waits_for_it_and_it_starts_again():
    ended = []

    async def goes_on(event):
        await asyncio.sleep(0.01)
        ended.append(event)

    with Scheduler(tasks=2, workers=1) as scheduler:
        scheduler.handle("t", lambda event: goes_on(event))
        scheduler.in_many([0] * 10, "t")
        until(lambda: scheduler.stats().running)
        assert not scheduler.drain(0)
        assert scheduler.drain(PATIENCE_S)
        assert 0 < len(ended) == scheduler.stats().succeeded
        assert scheduler.stats().pending == 10 - len(ended)
        scheduler.start()
        assert scheduler.wait(PATIENCE_S)
    assert len(ended) == 10


@KEPT
@pytest.mark.parametrize("consistency", list(Consistency))
def test_closing_cuts_it_short_in_every_state(kept, consistency, tmp_path):
    path = tmp_path / "jobs.db" if kept else None
    begun = []

    async def goes_on(event):
        begun.append(event)
        await asyncio.sleep(3600)

    scheduler = Scheduler(path, tasks=1, workers=2)
    scheduler.handle("t", lambda event: goes_on(event))
    scheduler.start()
    scheduler.in_many([0] * 6, "t", consistency=consistency)
    until(lambda: begun and scheduler.stats().running >= 3)
    scheduler.close()
    assert scheduler.drain(PATIENCE_S)
    assert len(begun) == 1
    assert scheduler.stats().running == 0
    gc.collect()  # no coroutine was never awaited
    if kept:
        with Scheduler(path) as again:
            dead = [one.reason for one in again.dead()]
            assert set(dead) <= {"interrupted"}
            assert len(again) + len(dead) == 6
            assert bool(dead) == (consistency is Consistency.AT_MOST_ONCE)
            again.close()


def test_a_coroutine_that_closes_its_scheduler_goes_on():
    seen = []

    async def closes(event):
        await asyncio.sleep(0)
        scheduler.close()
        await asyncio.sleep(0.001)
        seen.append("went on")

    scheduler = Scheduler()
    scheduler.handle("t", lambda event: closes(event))
    scheduler.start()
    scheduler.in_(0, "t")
    until(lambda: seen)
    assert scheduler.drain(PATIENCE_S)
    assert scheduler.stats().succeeded == 1


def test_what_would_wait_for_itself_is_refused():
    refused = []

    async def waits(event):
        await asyncio.sleep(0)
        for call in (current_scheduler().drain, current_scheduler().wait):
            with pytest.raises(StateError):
                call()
            refused.append(call)

    _, dead = run(lambda event: waits(event), retry_limit=0)
    assert not dead, dead[0].error
    assert len(refused) == 2


def test_a_scheduler_without_async_handlers_has_no_loop():
    scheduler, _ = run(lambda event: None)
    assert scheduler._event_loop is None


# On the user's loop


@KEPT
def test_it_goes_on_on_the_loop_of_its_user(kept, tmp_path):
    seen = []

    async def goes_on(event):
        await asyncio.sleep(0.001)
        seen.append((asyncio.get_running_loop(), current_scheduler()))

    async def main():
        async with aio.Scheduler(tmp_path / "jobs.db" if kept else None, tasks=2) as scheduler:
            scheduler.handle("t", lambda event: goes_on(event))
            await scheduler.in_many([0] * 50, "t")
            assert await scheduler.wait(PATIENCE_S)
            scheduler._core._check()
            assert scheduler.stats().succeeded == 50
            assert seen == [(asyncio.get_running_loop(), scheduler)] * 50

    asyncio.run(asyncio.wait_for(main(), 3 * PATIENCE_S))


@KEPT
def test_a_users_loop_that_has_ended_gives_them_back(kept, tmp_path):
    path = tmp_path / "jobs.db" if kept else None
    calls = []

    async def goes_on(event):
        await asyncio.sleep(0.001)

    scheduler = aio.Scheduler(path, workers=1)
    gate = threading.Event()

    def handler(event):
        calls.append(event.attempt)
        gate.wait()
        return goes_on(event)

    scheduler.handle("t", handler)

    async def begin():
        await scheduler.start()
        await scheduler.in_(0, "t", **AT_ONCE)
        while not calls:
            await asyncio.sleep(0.001)

    async def end():
        async with scheduler:
            assert await scheduler.wait(PATIENCE_S)

    asyncio.run(begin())
    gate.set()
    until(lambda: scheduler._core.stats().running)
    asyncio.run(end())
    assert scheduler.stats().succeeded == 1
    assert set(calls) == {1}


# The reference


def test_the_reference_runs_what_does_not_wait():
    clock = ManualClock()
    reference = ReferenceScheduler(clock=clock)
    ran = []

    async def ends(event):
        ran.append(event.attempt)

    async def waits(event):
        await asyncio.sleep(0)

    for number, handler in enumerate([lambda event: ends(event), ends, wrapper, waits]):
        reference.handle(f"t{number}", handler)
    reference.start()
    for number in range(4):
        reference.in_(0, f"t{number}", retry_limit=0)
    clock.advance(0)
    assert ran == [1, 1]
    assert reference.stats().succeeded == 3
    (dead,) = reference.dead()
    assert "which waits: the reference has no event loop" in dead.error
