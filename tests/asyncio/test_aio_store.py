"""Coroutines over a store: calls that are cancelled, jobs that run at most once, a loop that waits for no disk."""

import asyncio
import functools
import time

import pytest
from loops import PATIENCE_S, run, until

from duewheel import Consistency, aio
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("kept", [False, True])
def test_a_call_that_is_cancelled_leaves_it_sound(kept, steps, tmp_path):
    async def main():
        async with aio.Scheduler(tmp_path / "a.db" if kept else None) as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                await asyncio.sleep(0.01)

            await scheduler.in_(0, "t")
            await scheduler.in_(3_600, "t", id="old")
            calls = [
                lambda: scheduler.in_(3_600, "t", id="new"),
                lambda: scheduler.reschedule("old", 4e9),
                lambda: scheduler.cancel("old"),
                lambda: scheduler.in_many([3_600] * 1_500, "t"),
                lambda: scheduler.next(4e9),
                scheduler.wait,
                scheduler.drain,
                scheduler.run,
            ]
            for call in calls:
                task = asyncio.create_task(call())
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))
                if not scheduler._core._closed:
                    scheduler._core._check()
            assert scheduler._core._closed == (call == scheduler.run and task.cancelled() and steps > 0)
            assert await scheduler.drain(PATIENCE_S)
        scheduler._core._check()

    run(main())


def test_a_file_may_be_opened_again_at_once(tmp_path):
    runs = []

    async def main():
        for turn in range(4):
            async with asyncio.timeout(PATIENCE_S):
                scheduler = aio.Scheduler(tmp_path / "a.db")

                @scheduler.handler("t")
                async def handler(event, turn=turn):
                    runs.append((event.job_id, event.run, event.attempt))
                    if turn < 3:
                        await asyncio.sleep(PATIENCE_S)

                await scheduler.start()
                if turn == 0:
                    await scheduler.in_(0, "t", id="x")
                await until(lambda turn=turn: len(runs) > turn)
                if turn == 3:
                    assert await scheduler.wait(PATIENCE_S)
                await scheduler.close()

    run(main())
    assert runs == [("x", number, 1) for number in range(1, 5)]


def test_at_most_once_is_marked_and_keeps_the_order(tmp_path):
    seen = []

    async def main():
        async with aio.Scheduler(tmp_path / "a.db", workers=1) as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                seen.append(int(event.data))
                await asyncio.sleep(0)

            await scheduler.drain()
            for number in range(60):
                # Alone and in pairs: a pair is as many as are marked at once.
                once = Consistency.AT_MOST_ONCE if number % 5 in (0, 2, 3) else Consistency.AT_LEAST_ONCE
                await scheduler.at(number, "t", b"%d" % number, consistency=once)
            await scheduler.start()
            assert await scheduler.wait(PATIENCE_S)
            scheduler._core._check()

    run(main())
    assert seen == list(range(60))


def test_no_more_is_marked_ahead_than_twice_the_workers(tmp_path):
    async def main():
        async with aio.Scheduler(tmp_path / "a.db", workers=1) as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                pass

            await scheduler.drain()
            await scheduler.at_many([0] * 30, "t", consistency=Consistency.AT_MOST_ONCE)
            await scheduler.start()
            while scheduler.stats().succeeded < 30:
                scheduler._core._event_loop.take_turn()  # as for any ring of the bell
                assert scheduler.stats().running <= 2
                await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize("way", ["in a thread", "off the loop"])
def test_a_manual_clock_waits_for_what_is_to_be_marked(way, tmp_path):
    clock = ManualClock()
    seen = []

    async def handler(event):
        seen.append((clock.now(), event.data))
        await asyncio.sleep(0)
        seen.append("ends")

    async def begins():
        scheduler = aio.Scheduler(tmp_path / "a.db", clock=clock)
        scheduler.handle("t", handler)
        await scheduler.start()
        await scheduler.in_(5, "t", b"once", consistency=Consistency.AT_MOST_ONCE)
        await scheduler.in_(6, "t", b"least")
        return scheduler

    with asyncio.Runner() as runner:
        scheduler = runner.run(begins())
        if way == "in a thread":
            runner.run(asyncio.to_thread(clock.advance, 10))
        else:
            clock.advance(10)
        assert seen == [(5.0, b"once"), "ends", (6.0, b"least"), "ends"]
        runner.run(scheduler.close())


def test_what_was_to_be_marked_when_it_was_closed_is_pending_again(tmp_path):
    async def main(count):
        scheduler = aio.Scheduler(tmp_path / "a.db")
        started = []
        scheduler.handle("t", functools.partial(begins, started))
        if count:
            await scheduler.at_many([0] * count, "t", consistency=Consistency.AT_MOST_ONCE)
        await scheduler.start()
        if count:
            end = time.monotonic() + PATIENCE_S
            while not scheduler.stats().running:  # not being marked yet; the loop's own turn may start all of them
                scheduler._core._event_loop.take_turn()
                assert time.monotonic() < end
        else:
            assert await scheduler.wait(PATIENCE_S)
        await scheduler.close()
        return len(started)

    async def begins(started, event):
        started.append(event.job_id)

    first = run(main(50))
    assert first + run(main(0)) == 50


def test_the_loop_goes_on_while_the_disk_is_waited_for(tmp_path):
    """By structure, not by time: the loop turns between the first call and the last."""
    turns = []

    async def main():
        async with aio.Scheduler(tmp_path / "a.db") as scheduler:

            async def ticks():
                while True:
                    turns.append(time.monotonic())
                    await asyncio.sleep(0)

            ticker = asyncio.create_task(ticks())
            calls = [scheduler.in_(3_600, "t") for _ in range(500)]
            ids = await asyncio.gather(*calls)
            assert len(set(ids)) == 500
            count = len(turns)
            for _ in range(5):
                before = len(turns)
                await scheduler.in_(3_600, "t")
                assert len(turns) > before
            ticker.cancel()
            assert await scheduler.count() == 505
            return count

    assert run(main()) > 1
