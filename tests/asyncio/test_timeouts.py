"""`aio.timeout` is `asyncio.timeout` on a wheel: CPython's own tests of that one hold it."""

import asyncio
import functools
import gc
import importlib.util
import threading
import time
import weakref
from datetime import timedelta

import pytest

import duewheel
from duewheel import ClosedError, StateError, aio
from duewheel.testing import ManualClock


def on_a_loop(test):
    @functools.wraps(test)
    def run(*arguments, **fixtures):
        asyncio.run(test(*arguments, **fixtures))

    return run


def test_it_passes_the_tests_of_asyncio_timeout(monkeypatch):
    import unittest

    if importlib.util.find_spec("test.test_asyncio.test_timeouts") is None:
        pytest.skip("this interpreter was installed without its tests")
    from test.test_asyncio import test_timeouts

    class OnTheWheel(test_timeouts.TimeoutTests):
        async def asyncSetUp(self):
            await self.enterAsyncContext(aio.Scheduler(workers=1))

    monkeypatch.setattr(asyncio, "timeout", aio.timeout)
    monkeypatch.setattr(asyncio, "timeout_at", aio.timeout_at)
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(OnTheWheel)
    result = unittest.TestResult()
    tests.run(result)
    assert result.testsRun > 20
    assert not [text for _, text in result.failures + result.errors]


@on_a_loop
async def test_an_overdue_block_ends_with_a_timeout_error():
    async with aio.Scheduler() as scheduler:
        with pytest.raises(TimeoutError) as raised:
            async with aio.timeout(timedelta(milliseconds=5), scheduler=scheduler) as bound:
                await asyncio.Event().wait()
        assert bound.expired()
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        assert asyncio.current_task().cancelling() == 0


@on_a_loop
async def test_it_is_on_the_given_the_current_or_the_running_scheduler():
    async with aio.Scheduler() as one, aio.Scheduler() as other:
        async with aio.timeout(60, scheduler=other):
            assert (one._wheel, len(other._wheel)) == (None, 1)
        with duewheel.use(one):
            async with aio.timeout(60):
                assert (len(one._wheel), len(other._wheel)) == (1, 0)
        async with aio.timeout(60):
            assert len(one._wheel) + len(other._wheel) == 1


@on_a_loop
async def test_no_job_is_scheduled_and_none_is_waited_for():
    async with aio.Scheduler() as scheduler:
        async with aio.timeout(60), aio.timeout(None), aio.timeout(float("inf")) as bound:
            assert await scheduler.wait(1)
            assert await scheduler.count() == 0
            assert await scheduler.drain(1)
        assert not bound.expired()
        assert scheduler.stats().scheduled == 0


@on_a_loop
async def test_handlers_are_timed_out_while_they_are_drained_and_all_tasks_are_taken():
    ended = []
    scheduler = aio.Scheduler(tasks=1)

    @scheduler.handler("slow")
    async def slow(event):
        try:
            async with aio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append(event.data)

    async with scheduler:
        await scheduler.in_(0, "slow", b"1")
        await scheduler.in_(0, "slow", b"2")
        while not scheduler.stats().running:
            await asyncio.sleep(0)
        assert await scheduler.drain(10)
        await scheduler.start()
        assert await scheduler.wait(10)
    assert ended == [b"1", b"2"]


@on_a_loop
async def test_a_file_changes_nothing(tmp_path):
    async with aio.Scheduler(tmp_path / "jobs.db"):
        with pytest.raises(TimeoutError):
            async with aio.timeout(0):
                await asyncio.Event().wait()


@on_a_loop
async def test_a_handler_that_close_cancels_may_still_bound_its_cleanup():
    cleaned = []
    scheduler = aio.Scheduler()
    entered = asyncio.Event()

    @scheduler.handler("cleans")
    async def cleans(event):
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            try:
                async with aio.timeout(0.001):
                    await asyncio.Event().wait()
            except TimeoutError:
                cleaned.append(True)

    await scheduler.start()
    await scheduler.in_(0, "cleans")
    await entered.wait()
    await scheduler.close()
    while not cleaned:
        await asyncio.sleep(0)
    with pytest.raises(ClosedError):
        await scheduler.count()


@on_a_loop
async def test_without_a_scheduler_on_the_loop_it_says_what_to_do():
    stopped = aio.Scheduler()
    for keywords in ({}, {"scheduler": stopped}):
        with pytest.raises(StateError, match=r"no duewheel\.aio\.Scheduler runs on this event loop: .*scheduler="):
            async with aio.timeout(1, **keywords):
                pass
    with pytest.raises(TypeError, match=r"scheduler must be a duewheel\.aio\.Scheduler, not 5"):
        async with aio.timeout(1, scheduler=5):
            pass
    await stopped.close()


@on_a_loop
async def test_what_is_no_number_is_refused_at_the_call():
    for bad in ("1", True, [1]):
        with pytest.raises(TypeError, match="delay must be a number of seconds or None, not"):
            aio.timeout(bad)
        with pytest.raises(TypeError, match="when must be a number of seconds or None, not"):
            aio.timeout_at(bad)
    with pytest.raises(ValueError, match="delay must not be NaN"):
        aio.timeout(float("nan"))
    async with aio.Scheduler(), aio.timeout(60) as bound:
        with pytest.raises(TypeError, match="when must be"):
            bound.reschedule("soon")
        assert bound.when() > asyncio.get_running_loop().time()


@on_a_loop
async def test_nothing_is_left_of_a_timeout_that_has_ended():
    async with aio.Scheduler() as scheduler:
        task = asyncio.current_task()
        async with aio.timeout(60):
            wheel = scheduler._wheel
            assert len(wheel) == 1
        assert len(wheel) == 0
        bound = aio.timeout(60)
        async with bound:
            pass
        timer = weakref.ref(wheel)
        assert task.cancelling() == 0
    del wheel, bound
    gc.collect()
    assert timer() is None


@pytest.mark.parametrize("names_it", [False, True])
@pytest.mark.parametrize("kind", ["real", "by hand", "shared"])
@pytest.mark.usefixtures("quiet")
def test_it_is_for_the_handlers_of_a_scheduler_with_a_loop_of_its_own(tmp_path, kind, names_it):
    """It was refused there: no awaited scheduler runs on that loop."""
    ended, before = [], threading.active_count()

    async def slow(event):
        async with aio.timeout(0.001, scheduler=scheduler if names_it else None) as bound:
            ended.append(bound)
            await asyncio.Event().wait()

    clock = ManualClock() if kind == "by hand" else None
    where = {"storage": tmp_path / "jobs.db", "share": True} if kind == "shared" else {"clock": clock}
    with duewheel.Scheduler(**where) as scheduler:
        scheduler.handle("t", slow)
        for _ in range(2):
            scheduler.in_(0, "t", retry_limit=0)
        if clock is not None:
            clock.advance(1)
        assert scheduler.wait(30)
        assert [dead.error.strip().splitlines()[-1] for dead in scheduler.dead()] == ["TimeoutError"] * 2
        assert [bound.expired() for bound in ended] == [True, True]
    end = time.monotonic() + 30
    while threading.active_count() > before:
        assert time.monotonic() < end, "its threads have not ended"
        time.sleep(0.001)
