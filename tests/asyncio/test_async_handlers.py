"""Async handlers of a plain scheduler, on an event loop in a thread of its own: what is one, and how it ends."""

import asyncio
import functools
import gc
import logging
import threading
import warnings

import pytest
from async_jobs import AT_ONCE, run, the_innermost

from duewheel import Consistency, Discard, Scheduler, Snooze
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")


def test_a_handler_runs_on_the_loop_and_waits_there():
    seen = []

    async def handler(event):
        seen.append(threading.current_thread().name)
        await asyncio.sleep(0.001)
        seen.append((event.data, event.attempt, threading.current_thread().name))

    scheduler, _ = run(handler, data=b"x")
    assert seen == ["duewheel-loop", (b"x", 1, "duewheel-loop")]
    assert scheduler.stats().succeeded == 1


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_whatever_a_handler_raises_is_a_failure_that_is_retried(waits, error):
    attempts = []

    async def handler(event):
        attempts.append((event.run, event.attempt))
        if waits:
            await asyncio.sleep(0)
        if event.attempt < 3:
            raise error("no")

    scheduler, dead = run(handler, **AT_ONCE)
    assert attempts == [(1, 1), (2, 2), (3, 3)]
    assert (scheduler.stats().retried, scheduler.stats().succeeded, dead) == (2, 1, [])


@pytest.mark.parametrize("waits", [False, True])
def test_snooze_and_discard_steer(waits):
    attempts = []

    async def snoozes(event):
        attempts.append((event.run, event.attempt))
        if waits:
            await asyncio.sleep(0)
        if event.run == 1:
            raise Snooze(0)

    async def discards(event):
        if waits:
            await asyncio.sleep(0)
        raise Discard("enough")

    scheduler, dead = run(snoozes, discards)
    assert attempts == [(1, 1), (2, 1)]
    assert [(dead.reason, dead.error) for dead in dead] == [("discarded", "enough")]
    assert scheduler.stats().snoozed == 1


@pytest.mark.parametrize("waits", [False, True])
def test_at_most_once_is_never_tried_again(waits):
    starts = []

    async def fails(event):
        starts.append(event.attempt)
        if waits:
            await asyncio.sleep(0)
        raise ValueError

    _, dead = run(fails, consistency=Consistency.AT_MOST_ONCE)
    assert starts == [1]
    assert [dead.reason for dead in dead] == ["failed"]


async def in_between(waits):
    await the_innermost(waits)


@pytest.mark.parametrize("waits", [False, True])
def test_the_traceback_of_a_failed_coroutine_is_whole(waits):
    async def outermost(event):
        await in_between(waits)

    _, dead = run(outermost, retry_limit=0)
    error = dead[0].error
    places = [error.index(f"in {name}\n") for name in ("outermost", "in_between", "the_innermost")]
    assert places == sorted(places)
    assert error.endswith("ValueError: deep down\n")


def test_a_failed_attempt_is_logged_with_its_traceback(caplog):
    logging.getLogger("duewheel").disabled = False

    async def fails(event):
        await the_innermost(True)

    run(fails, retry_limit=0)
    assert "in the_innermost" in caplog.text
    assert "deep down" in caplog.text


def test_a_manual_clock_runs_at_most_once_jobs_of_a_file_to_their_end(tmp_path):
    clock = ManualClock()
    seen = []

    async def handler(event):
        seen.append(clock.now())
        await asyncio.sleep(0)
        seen.append("ends")

    with Scheduler(tmp_path / "a.db", clock=clock) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(5, "t", consistency=Consistency.AT_MOST_ONCE)
        clock.advance(10)
        assert seen == [5.0, "ends"]
        assert scheduler.stats().running == 0


class Callable:
    """Called by a coroutine."""

    def __init__(self):
        self.seen = []

    async def __call__(self, event):
        await asyncio.sleep(0)
        self.seen.append(event.data)

    async def method(self, event):
        await asyncio.sleep(0)
        self.seen.append(event.data)


class Awaitable:
    """Awaited, though no coroutine."""

    def __init__(self, done):
        self.done = done

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        self.done()


def test_all_that_is_called_by_a_coroutine_is_an_async_handler():
    called = Callable()
    threads = []

    async def takes_more(more, event, *, also):
        await asyncio.sleep(0)
        threads.append((more, also, threading.current_thread().name))

    @functools.wraps(takes_more)
    def decorated(event):
        return takes_more(1, event, also=4)

    @functools.wraps(takes_more)
    def gives_an_awaitable(event):
        return Awaitable(lambda: threads.append((1, 5, threading.current_thread().name)))

    partial = functools.partial(functools.partial(takes_more, 1), also=2)
    scheduler, _ = run(called, called.method, partial, decorated, gives_an_awaitable, data=b"x")
    assert called.seen == [b"x"] * 2
    assert sorted(threads) == [(1, also, "duewheel-loop") for also in (2, 4, 5)]
    assert scheduler.stats().succeeded == 5


class Looks:
    """Looks like a coroutine function, and is none."""

    __name__, __defaults__, __kwdefaults__, __annotations__ = "looks", None, None, {}
    __code__ = Callable.method.__code__

    def __call__(self, event):
        return 7


def test_an_async_handler_that_returns_nothing_to_await_has_failed():
    _, dead = run(Looks(), retry_limit=0)
    assert "an async handler must return an awaitable, not 7" in dead[0].error


def test_no_coroutine_is_left_unawaited_by_a_drain():
    async def handler(event):
        await asyncio.sleep(0)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(*[handler] * 10)
        gc.collect()
