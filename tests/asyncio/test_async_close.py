"""Async handlers that a drain, a close or the end of the interpreter meets, and what they have spawned."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from async_jobs import loop_threads, run
from waiting import PATIENCE_S, until

from duewheel import Scheduler, StateError, current_scheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")


def test_drain_waits_for_what_has_started_and_it_starts_again():
    ended = []

    async def handler(event):
        await asyncio.sleep(0.02)
        ended.append(event)

    with Scheduler(tasks=3) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_many([0] * 10, "t")
        until(lambda: scheduler.stats().running)
        assert not scheduler.drain(0)
        assert scheduler.drain(PATIENCE_S)
        assert 0 < len(ended) <= 3
        assert scheduler.stats().pending == 10 - len(ended)
        scheduler.start()
        assert scheduler.wait(PATIENCE_S)
    assert len(ended) == 10


def test_close_cancels_and_counts():
    seen = []

    async def handler(event):
        seen.append("began")
        try:
            await asyncio.sleep(PATIENCE_S)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    scheduler = Scheduler()
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_many([0] * 5, "t")
    until(lambda: len(seen) == 5)
    scheduler.close()
    assert scheduler.drain(PATIENCE_S)
    assert seen == ["began"] * 5 + ["cancelled"] * 5
    assert scheduler.stats().dropped == 5
    until(lambda: not loop_threads())


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("manual", [False, True])
def test_a_handler_that_closes_its_scheduler_goes_on_and_the_others_do_not(manual, before, after):
    clock = ManualClock() if manual else None
    scheduler = Scheduler(clock=clock)
    seen = []

    async def other(event):
        await asyncio.sleep(PATIENCE_S)

    async def handler(event):
        for _ in range(before):
            await asyncio.sleep(0)
        scheduler.close()
        for _ in range(after):
            await asyncio.sleep(0.001)
        seen.append("went on")

    scheduler.handle("other", other)
    scheduler.handle("t", handler)
    scheduler.start()
    if not manual:
        scheduler.in_(0, "other")  # a manual clock has it end first
    scheduler.in_(0, "t")
    if manual:
        clock.advance(0)
    until(lambda: seen)
    assert scheduler.drain(PATIENCE_S)
    stats = scheduler.stats()
    assert (stats.succeeded, stats.dropped) == (1, 0 if manual else 1)
    until(lambda: not loop_threads())
    if manual:
        assert scheduler._event_loop.asyncio_loop.is_closed()


def test_what_swallows_its_cancellation_keeps_nobody():
    let_go, began = threading.Event(), threading.Event()

    async def handler(event):
        began.set()
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                continue

    scheduler = Scheduler()
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(0, "t")
    assert began.wait(PATIENCE_S)
    scheduler.close()
    assert not scheduler.drain(0.01)
    let_go.set()
    assert scheduler.drain(PATIENCE_S)
    assert scheduler.stats().succeeded == 1
    until(lambda: not loop_threads())


def test_what_handlers_have_spawned_is_cancelled_with_the_loop():
    seen = []

    async def lingers():
        try:
            await asyncio.sleep(PATIENCE_S)
        finally:
            seen.append("ended")

    tasks = []

    async def handler(event):
        tasks.append(asyncio.create_task(lingers()))
        await asyncio.sleep(0)

    run(handler)
    until(lambda: not loop_threads())
    assert seen == ["ended"]
    assert tasks[0].cancelled()


@pytest.mark.parametrize("manual", [False, True])
def test_what_handlers_have_spawned_does_not_keep_the_loop_by_swallowing_its_cancellation(manual):
    async def swallows():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(PATIENCE_S)

    tasks = []

    async def handler(event):
        tasks.append(asyncio.create_task(swallows()))
        await asyncio.sleep(0)

    clock = ManualClock() if manual else None
    scheduler = Scheduler(clock=clock)
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(0, "t")
    if manual:
        clock.advance(0)
    else:
        assert scheduler.wait(PATIENCE_S)
    scheduler.close()
    until(lambda: not loop_threads() and scheduler._event_loop.asyncio_loop.is_closed())
    assert not tasks.pop().done()


@pytest.mark.parametrize("waits", [False, True])
def test_what_would_wait_for_itself_is_refused(waits):
    refused = []

    async def tries(scheduler):
        for call in (scheduler.drain, scheduler.wait, scheduler.run):
            try:
                call()
            except StateError:
                refused.append(call)

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        await tries(current_scheduler())
        await asyncio.create_task(tries(current_scheduler()))

    _, dead = run(handler, retry_limit=0)
    assert not dead, dead[0].error
    assert len(refused) == 6


def test_a_scheduler_that_nobody_refers_to_is_closed():
    async def handler(event):
        pass

    scheduler = Scheduler()
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(3600, "t")
    gone = weakref.ref(scheduler)
    with pytest.warns(ResourceWarning, match=r"unclosed <duewheel.Scheduler started, 1 pending>"):  # noqa: PT031
        del scheduler
        gc.collect()
    gc.collect()  # the warning's record had it
    assert gone() is None
    until(lambda: not loop_threads())


HEAD = """
import asyncio, sys, threading, time
import duewheel
scheduler = duewheel.Scheduler(tasks=2_000)
inside = threading.Semaphore(0)
async def sleeps(event):
    inside.release()
    await asyncio.sleep(60)
async def swallows(event):
    inside.release()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
async def spins(event):
    inside.release()
    while True: pass
async def reschedules(event):
    inside.release()
    try:
        scheduler.in_(0, "t")
    except duewheel.ClosedError:
        pass
def go(handler, count=1):
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_many([0] * count, "t")
    for _ in range(count): inside.acquire()
"""
EXITS = {
    "idle": "scheduler.handle('t', sleeps); scheduler.start()",
    "one sleeps": "go(sleeps)",
    "many sleep": "go(sleeps, 1_000)",
    "one swallows its cancellation": "go(swallows)",
    "one spins": "go(spins)",
    "busy": "go(reschedules)",
    "closed": "go(sleeps, 3); scheduler.close()",
}


@pytest.mark.parametrize("code", EXITS.values(), ids=EXITS.keys())
def test_the_interpreter_ends(code):
    for _ in range(3):
        program = HEAD + textwrap.dedent(code) + "\nsys.exit(3)"
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert ended.returncode == 3, ended.stderr
        assert "Traceback" not in ended.stderr and "panic" not in ended.stderr


def test_a_scheduler_on_a_manual_clock_is_closed_from_within_another_loop():
    ran = []

    async def handler(event):
        await asyncio.sleep(0.001)
        ran.append(event.attempt)

    async def main():
        clock = ManualClock()
        scheduler = Scheduler(clock=clock)
        scheduler.handle("t", handler)
        scheduler.start()
        scheduler.in_(1, "t")
        clock.advance(5)
        scheduler.close()

    asyncio.run(main())
    assert ran == [1]
