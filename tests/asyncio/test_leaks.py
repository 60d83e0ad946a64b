"""No descriptor, thread, reference or memory is left of schedulers, their loops and waits."""

import asyncio
import gc
import os
import sys
import threading
import weakref
from pathlib import Path

import loops
import pytest
from async_jobs import loop_threads, run
from waiting import PATIENCE_S, until

from duewheel import aio

pytestmark = pytest.mark.usefixtures("quiet")


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def resident():
    """The process's memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@loops.ON_EVERY_LOOP
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")
@pytest.mark.parametrize("times", [50, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_nothing_is_left_of_many_schedulers_on_a_loop(loop, times):
    async def once():
        async with aio.Scheduler(workers=1) as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                await asyncio.sleep(0)

            await scheduler.in_(0, "t")
            assert await scheduler.wait(PATIENCE_S)
        return weakref.ref(scheduler), weakref.ref(scheduler._core._event_loop)

    async def main():
        # The allocator's own memory grows with the first few hundred.
        for _ in range(times // 2):
            await once()
        gc.collect()
        before, memory = (descriptors(), threading.active_count()), resident()
        left = [reference for _ in range(times) for reference in await once()]
        gc.collect()
        await loops.until(lambda: not any(reference() for reference in left))
        await loops.until(lambda: (descriptors(), threading.active_count()) <= before)
        if times == 1_000:
            assert resident() - memory < 8_000 * times, "one keeps tens of kilobytes"

    loops.run(main(), loop)


def test_nothing_is_left_of_waits_that_ran_out():
    def futures():
        return sum(type(each) is asyncio.Future for each in gc.get_objects())

    async def main():
        async with aio.Scheduler() as scheduler:
            await scheduler.in_(3_600, "t")
            before = futures()
            for _ in range(100):
                assert not await scheduler.wait(0)
                waiting = asyncio.create_task(scheduler.wait())
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait((waiting,))
            gc.collect()  # from 3.14 a cancelled `asyncio.wait` is a cycle by itself
            assert futures() < before + 10

    loops.run(main())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")
def test_nothing_is_left_of_many_schedulers_with_loops_of_their_own():
    async def handler(event):
        await asyncio.sleep(0)

    def once():
        run(handler, handler)
        until(lambda: not loop_threads())

    once()
    gc.collect()
    before = descriptors(), threading.active_count()
    for _ in range(50):
        once()
    gc.collect()
    until(lambda: (descriptors(), threading.active_count()) <= before)
