"""Which loop a scheduler is on from its start to its end: another after the first, closing, cancellation of `run`."""

import asyncio
import functools
import gc
import time
import weakref

import pytest
from loops import ON_EVERY_LOOP, PATIENCE_S, run, until

from duewheel import StateError, aio

pytestmark = pytest.mark.usefixtures("quiet")


def test_a_scheduler_goes_from_loop_to_loop():
    scheduler = aio.Scheduler()
    loops = []

    @scheduler.handler("t")
    async def handler(event):
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())

    async def main(last):
        await scheduler.start()
        await scheduler.in_many([0] * 300, "t")
        assert await scheduler.wait(PATIENCE_S)
        assert loops == [asyncio.get_running_loop()] * 300
        loops.clear()
        assert await scheduler.drain(PATIENCE_S)
        if last:
            await scheduler.close()

    for last in [False, False, True]:
        run(main(last))
    assert scheduler.stats().succeeded == 900


def test_another_loop_cannot_start_what_a_running_one_has():
    async def main():
        async with aio.Scheduler() as scheduler:
            elsewhere = functools.partial(asyncio.run, scheduler.start())
            await asyncio.to_thread(elsewhere)  # it is started: nothing to do
            assert scheduler._core._event_loop.asyncio_loop is asyncio.get_running_loop()
            assert await scheduler.drain(PATIENCE_S)
            elsewhere = functools.partial(asyncio.run, scheduler.start())
            with pytest.raises(StateError, match="another event loop, which runs, has this scheduler"):
                await asyncio.to_thread(elsewhere)
            assert scheduler._core._event_loop.asyncio_loop is asyncio.get_running_loop()

    run(main())


def test_what_an_abandoned_loop_left_runs_on_the_next():
    scheduler = aio.Scheduler(tasks=2)
    runs = []
    gate = []

    @scheduler.handler("t")
    async def handler(event):
        runs.append(event.run)
        while not gate:
            await asyncio.sleep(0.001)

    async def begins():
        await scheduler.start()
        await scheduler.in_many([0] * 5, "t")
        await until(lambda: len(runs) == 2)

    loop = asyncio.SelectorEventLoop()
    loop.run_until_complete(begins())  # and is never run again

    async def ends():
        gate.append(True)
        await scheduler.drain(0)
        await scheduler.start()
        assert await scheduler.wait(PATIENCE_S)
        scheduler._core._check()
        await scheduler.close()

    run(ends())
    loop.close()
    gc.collect()
    assert scheduler.stats().succeeded == 5
    assert sorted(runs) == [1] * 5 + [2] * 2


@pytest.mark.parametrize("has_begun", [False, True])
def test_closing_cancels_a_task_and_what_it_waits_for(has_begun):
    async def main():
        waiting, ended = [], []
        scheduler = aio.Scheduler()

        @scheduler.handler("t")
        async def handler(event):
            spawned = asyncio.create_task(asyncio.sleep(PATIENCE_S))
            waiting.append((spawned, asyncio.current_task()))
            try:
                await spawned
            finally:
                ended.append(spawned.done())

        await scheduler.start()
        await scheduler.in_(0, "t")
        end = time.monotonic() + PATIENCE_S
        while not waiting and time.monotonic() < end:
            # The first step alone: its task is not told yet what it waits for.
            scheduler._core._event_loop.take_turn()
        if has_begun:
            await asyncio.sleep(0)
        await scheduler.close()
        ((spawned, task),) = waiting
        await until(task.done)
        assert spawned.cancelled()
        assert task.cancelled()
        assert ended == [True]

    run(main())


def test_it_is_closed_from_another_thread_s_loop():
    cancelled = []

    async def main():
        scheduler = aio.Scheduler()

        @scheduler.handler("t")
        async def handler(event):
            try:
                await asyncio.sleep(PATIENCE_S)
            except asyncio.CancelledError:
                cancelled.append(event)
                raise

        await scheduler.start()
        await scheduler.in_many([0] * 3, "t")
        await until(lambda: scheduler.stats().running == 3)
        waiting = asyncio.create_task(scheduler.wait())
        await asyncio.sleep(0)  # it waits: to begin once it is closed would be refused
        await asyncio.to_thread(lambda: asyncio.run(scheduler.close()))
        assert await waiting
        assert len(cancelled) == 3
        assert await scheduler.drain(PATIENCE_S)
        await until(lambda: scheduler._core._event_loop.over)

    run(main())


@ON_EVERY_LOOP
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_a_handler_that_closes_its_scheduler_goes_on_and_the_others_do_not(tmp_path, kept, waits, loop):
    seen = []
    storage = tmp_path / "jobs.db" if kept else None

    async def main():
        scheduler = aio.Scheduler(storage)

        @scheduler.handler("other")
        async def other(event):
            await asyncio.sleep(PATIENCE_S)

        @scheduler.handler("t")
        async def handler(event):
            if waits:
                await asyncio.sleep(0)
            await scheduler.close()
            await asyncio.sleep(0.001)
            seen.append("went on")

        await scheduler.start()
        await scheduler.in_(0, "other")
        await scheduler.in_(0, "t")
        await until(lambda: seen)
        assert await scheduler.drain(PATIENCE_S)
        await until(lambda: scheduler._core._event_loop.over)
        assert seen == ["went on"]
        stats = scheduler.stats()
        assert (stats.succeeded, stats.running) == (1, 0)
        assert stats.pending + stats.dropped == 1
        if kept:
            async with aio.Scheduler(storage) as again:
                assert (await again.next()).target == "other"

    run(main(), loop)


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_that_closes_another_scheduler_spares_none_of_it(waits):
    async def main():
        one, other = aio.Scheduler(), aio.Scheduler()

        @one.handler("t")
        async def handler(event):
            if waits:
                await asyncio.sleep(0)
            await other.close()

        @other.handler("t")
        async def never(event):
            await asyncio.sleep(PATIENCE_S)

        for scheduler in (other, one):
            await scheduler.start()
            await scheduler.in_(0, "t")
            await until(lambda scheduler=scheduler: scheduler.stats().started)
        assert await one.wait(PATIENCE_S)
        assert await other.drain(PATIENCE_S)
        await until(lambda: other._core._event_loop.over)
        assert (one.stats().succeeded, other.stats().dropped) == (1, 1)
        await one.close()

    run(main())


def test_run_ends_by_drain_close_and_cancellation():
    async def main():
        for end in ("drain", "close", "cancel"):
            scheduler = aio.Scheduler()
            running = asyncio.create_task(scheduler.run())
            await until(lambda scheduler=scheduler: scheduler._core._started)
            if end == "cancel":
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                assert scheduler._core._closed
            else:
                await getattr(scheduler, end)()
                assert await running is None
                await scheduler.close()

    run(main())


def test_run_that_is_cancelled_lets_what_runs_end():
    async def main():
        ended = []
        began = asyncio.Event()
        scheduler = aio.Scheduler()

        @scheduler.handler("t")
        async def handler(event):
            began.set()
            for _ in range(100):
                await asyncio.sleep(0)
            ended.append(event)

        running = asyncio.create_task(scheduler.run())
        await scheduler.in_(0, "t")
        await began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(ended) == 1
        assert scheduler._core._closed

    run(main())


def test_a_scheduler_that_nobody_refers_to_is_closed():
    async def main():
        scheduler = aio.Scheduler()

        @scheduler.handler("t")
        async def handler(event):
            pass

        await scheduler.start()
        gone = weakref.ref(scheduler)
        with pytest.warns(ResourceWarning, match=r"unclosed <duewheel.aio.Scheduler started, 0 pending>"):  # noqa: PT031
            del scheduler
            gc.collect()
        gc.collect()  # the warning's record had it
        assert gone() is None

    run(main())
