"""A scheduler whose loop has ended before it was closed: it is given up when it is collected."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref

import pytest
from loops import ON_EVERY_LOOP
from waiting import PATIENCE_S, until

from duewheel import ClosedError, Consistency, Scheduler, aio

pytestmark = pytest.mark.usefixtures("quiet")


def descriptors():
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208


def left_open(path, loop, swallow=False, tasks=1, count=2, **job_options):
    """Run a loop to its end with a scheduler that has due jobs, and return the scheduler."""

    async def main():
        scheduler = aio.Scheduler(path, tasks=tasks)
        began = asyncio.Event()

        @scheduler.handler("t")
        async def handler(event):
            began.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if not swallow:
                    raise

        scheduler.handle("other", lambda event: None)
        await scheduler.start()
        for _ in range(count):
            await scheduler.in_(0, "t", **job_options)
        await scheduler.in_(3600, "other")
        await began.wait()
        return scheduler

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


def collected(scheduler):
    """Let go of the last reference, which `scheduler` holds."""
    gone = weakref.ref(scheduler[0])
    with pytest.warns(ResourceWarning, match=r"unclosed <duewheel.aio.Scheduler started") as warned:  # noqa: PT031
        scheduler.clear()
        until(lambda: gc.collect() or warned.list)  # a thread that rings for the loop may have it for a moment
    warned.list.clear()  # the warning's record has it
    gc.collect()
    assert gone() is None


@ON_EVERY_LOOP
@pytest.mark.parametrize("swallow", [False, True])
@pytest.mark.parametrize("tasks", [1, 1_000])
@pytest.mark.parametrize("consistency", list(Consistency))
def test_its_file_can_be_opened_at_once(loop, swallow, tasks, consistency, tmp_path):
    path = tmp_path / "jobs.db"
    collected([left_open(path, loop, swallow, tasks, consistency=consistency)])
    with Scheduler(path) as again:
        succeeded = {True: 1, False: 0}[swallow]  # at most that of the first; the second may never have begun
        ids = [event.target for event in again.between()]
        ended = [dead.reason for dead in again.dead()]
        assert ids.count("other") == 1
        left = ids.count("t") + len(ended)
        assert 2 - 2 * succeeded <= left <= 2
        again._check()
        again.close()


@ON_EVERY_LOOP
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")
@pytest.mark.parametrize("kept", [False, True])
def test_its_descriptors_are_returned(loop, kept, tmp_path):
    for number in range(3):
        collected([left_open(tmp_path / f"{number}.db" if kept else None, loop)])
        if number == 0:
            before = descriptors()
    gc.collect()
    assert descriptors() <= before
    until(lambda: not any(thread.name == "duewheel-bell" for thread in threading.enumerate()))


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
def test_it_is_given_up_on_a_loop_that_was_never_closed(tmp_path):
    path = tmp_path / "jobs.db"
    loop = asyncio.new_event_loop()

    async def main():
        scheduler = aio.Scheduler(path)
        began = asyncio.Event()

        @scheduler.handler("t")
        async def handler(event):
            began.set()
            await asyncio.sleep(3600)

        await scheduler.start()
        await scheduler.in_(0, "t")
        await began.wait()
        return scheduler

    held = [loop.run_until_complete(main())]
    del loop  # it would be run again, and the handler with it
    collected(held)
    with Scheduler(path) as again:
        assert len(again) == 1
        again.close()


@pytest.mark.parametrize("kept", [False, True])
def test_it_is_closed_drained_and_waited_for_on_another_loop(kept, tmp_path):
    path = tmp_path / "jobs.db" if kept else None
    scheduler = left_open(path, None)

    async def closes():
        assert await scheduler.drain(PATIENCE_S)
        assert scheduler.stats().running == 0
        assert not await scheduler.wait(0.01)
        await scheduler.close()
        with pytest.raises(ClosedError):
            await scheduler.count()

    asyncio.run(closes())
    if kept:
        with Scheduler(path) as again:
            assert len(again) == 3
            again.close()


@pytest.mark.parametrize("kept", [False, True])
def test_it_goes_on_on_another_loop(kept, tmp_path):
    scheduler = left_open(tmp_path / "jobs.db" if kept else None, None, min_backoff=0, max_backoff=0)
    core = scheduler._core

    async def goes_on():
        await scheduler.start()
        while core.stats().running == 0:
            await asyncio.sleep(0.001)
        await scheduler.close()

    asyncio.run(goes_on())
    assert core.stats().running == 0


PROGRAM = """
import asyncio, sys
from duewheel import aio

async def main():
    scheduler = aio.Scheduler(sys.argv[1], tasks=1)
    @scheduler.handler("t")
    async def handler(event):
        await asyncio.sleep(3600)
    await scheduler.start()
    await scheduler.in_(0, "t")
    await scheduler.in_(0, "t")
    await asyncio.sleep(0.01)
    if sys.argv[2] == "kept":
        globals()["kept"] = scheduler

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["kept", "collected"])
def test_a_program_whose_loop_ends_so_ends_well(how, tmp_path):
    path = tmp_path / "jobs.db"
    ended = subprocess.run([sys.executable, "-c", PROGRAM, path, how], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "panic" not in ended.stderr
    with Scheduler(path) as again:
        assert len(again) == 2
        again.close()
