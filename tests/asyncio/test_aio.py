"""The scheduler for coroutines, on an event loop of the user's."""

import asyncio
import functools
import gc
import os
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from duewheel import (
    ClosedError,
    Consistency,
    Discard,
    DuplicateJobError,
    JobOptions,
    LocalStorage,
    Scheduler,
    StateError,
    aio,
    current_scheduler,
)
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")

PATIENCE_S = 10


class Unwatching(asyncio.SelectorEventLoop):
    """A loop that watches no descriptors, as that of Windows."""

    def add_reader(self, *arguments):
        raise NotImplementedError

    remove_reader = add_reader


LOOPS = {"asyncio": asyncio.SelectorEventLoop, "without readers": Unwatching}
if find_spec("uvloop"):
    LOOPS["uvloop"] = import_module("uvloop").new_event_loop
ON_EVERY_LOOP = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS.keys())


def run(main, loop=None):
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(asyncio.wait_for(main, 3 * PATIENCE_S))


async def until(holds):
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


# What every method does


@ON_EVERY_LOOP
def test_handlers_run_on_the_loop_and_on_workers(loop):
    seen = []

    async def main():
        async with aio.Scheduler() as scheduler:

            @scheduler.handler("async")
            async def handler(event):
                seen.append((asyncio.get_running_loop(), current_scheduler() is scheduler))
                await asyncio.sleep(0.001)
                seen.append((asyncio.get_running_loop(), current_scheduler() is scheduler))

            scheduler.handle("sync", lambda event: seen.append(threading.current_thread()))
            await scheduler.in_(0.001, "async")
            assert await scheduler.wait(PATIENCE_S)
            await scheduler.in_many([0] * 500, "async")
            await scheduler.in_(0, "sync")
            assert await scheduler.wait(PATIENCE_S)
            scheduler._core._check()
            assert seen.count((asyncio.get_running_loop(), True)) == 1_002
        assert scheduler.stats().succeeded == 502
        assert threading.current_thread() not in seen

    run(main(), loop)


@pytest.mark.parametrize("kept", [False, True])
def test_every_call_does_as_the_one_that_is_not_awaited(kept, tmp_path):
    async def main():
        storage = LocalStorage(tmp_path / "a.db", resident=1) if kept else None
        async with aio.Scheduler(storage, options=JobOptions(retry_limit=0)) as scheduler:
            assert await scheduler.in_(3_600, "t", b"1", id="first") == "first"
            assert await scheduler.at(4e9, "t", b"2", id="second") == "second"
            many = await scheduler.in_many([7_200, 7_300], "t", [b"3", b"4"])
            later = await scheduler.at_many([4e9 + 1] * 2, "t")
            assert await scheduler.count() == 6
            with pytest.raises(DuplicateJobError):
                await scheduler.in_(1, "t", id="second")
            pending = [event.job_id async for event in scheduler.between()]
            assert pending == ["first", *many, "second", *later]
            assert [event.data async for event in scheduler.storage.between(4e9)] == [b"2", b"", b""]
            assert (await scheduler.next()).data == b"1"
            assert (await scheduler.next(4e9)).data == b"2"
            assert await scheduler.next(5e9) is None
            assert (await scheduler.get("second")).data == b"2"
            assert await scheduler.get("none") is None
            assert await scheduler.reschedule("first", 5e9)
            assert not await scheduler.reschedule("none", 5e9)
            assert (await scheduler.storage.next(5e9)).job_id == "first"
            assert await scheduler.cancel(many[0])
            assert not await scheduler.cancel(many[0])
            event = await scheduler.storage.load(many[1])
            assert await scheduler.storage.delete(many[1])
            await scheduler.storage.create(event)
            assert await scheduler.get(many[1]) == event

            @scheduler.handler("dies")
            async def dies(event):
                await asyncio.sleep(0)
                raise Discard("enough")

            assert not await scheduler.wait(0.001)
            await scheduler.in_(0, "dies", id="dead")
            await until(lambda: scheduler.stats().dead == 1)
            assert [dead.error async for dead in scheduler.dead()] == ["enough"]
            assert await scheduler.revive("dead")
            assert not await scheduler.revive("none")
            await until(lambda: scheduler.stats().dead == 2)
            assert await scheduler.purge() == 1
            assert await scheduler.purge() == 0
            assert await scheduler.drain(PATIENCE_S)
            scheduler._core._check()
        assert await scheduler.drain(0)
        for call in (scheduler.start(), scheduler.in_(0, "t"), scheduler.wait(), scheduler.count(), scheduler.run()):
            with pytest.raises(ClosedError):
                await call
        with pytest.raises(ClosedError):
            scheduler.between()
        await scheduler.close()
        assert scheduler.stats().cancelled == 2

    run(main())


def test_bad_input_is_refused_and_nothing_is_scheduled():
    async def main():
        scheduler = aio.Scheduler()
        for call, error in [
            (lambda: scheduler.at("soon", "t"), TypeError),
            (lambda: scheduler.in_(-1, "t"), ValueError),
            (lambda: scheduler.in_(1, ""), ValueError),
            (lambda: scheduler.in_many([1, -1], "t"), ValueError),
            (lambda: scheduler.in_many([-1] * 2_000, "t"), ValueError),
            (lambda: scheduler.in_(1, "t", data=1), TypeError),
            (lambda: scheduler.in_(1, "t", nonsense=1), TypeError),
            (lambda: scheduler.wait("long"), TypeError),
            (lambda: scheduler.drain(-1), ValueError),
            (lambda: scheduler.next("now"), TypeError),
            (lambda: scheduler.purge("now"), TypeError),
        ]:
            with pytest.raises(error):
                await call()
        with pytest.raises(TypeError):
            scheduler.between("now")
        with pytest.raises(TypeError):
            scheduler.handle("t", 7)
        with pytest.raises(ValueError):
            aio.Scheduler(tasks=0)
        assert await scheduler.count() == 0
        await scheduler.close()

    run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_what_would_wait_for_itself_is_refused(waits):
    refused = []

    async def main():
        async with aio.Scheduler() as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                if waits:
                    await asyncio.sleep(0)
                for call in (scheduler.drain, scheduler.wait, scheduler.run):
                    try:
                        await call()
                    except StateError:
                        refused.append(call)

            await scheduler.in_(0, "t")
            assert await scheduler.wait(PATIENCE_S)
            assert len(refused) == 3

    run(main())


# Loops


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
            assert scheduler._core._event_loop.events is asyncio.get_running_loop()
            assert await scheduler.drain(PATIENCE_S)
            elsewhere = functools.partial(asyncio.run, scheduler.start())
            with pytest.raises(StateError, match="another event loop, which runs, has this scheduler"):
                await asyncio.to_thread(elsewhere)
            assert scheduler._core._event_loop.events is asyncio.get_running_loop()

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
            scheduler._core._event_loop.drain()
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


# Cancellation, and the store


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
                scheduler._core._event_loop.drain()  # as for any ring of the bell
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
                scheduler._core._event_loop.drain()
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


class Delays(Sequence):
    """Many of them; it notes who reads them."""

    def __init__(self, count):
        self.count, self.threads = count, set()

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index >= self.count:
            raise IndexError
        self.threads.add(threading.current_thread())
        return 3_600


@pytest.mark.parametrize("kept", [False, True])
def test_a_long_bulk_is_not_made_on_the_loop(kept, tmp_path):
    async def main():
        async with aio.Scheduler(tmp_path / "a.db" if kept else None) as scheduler:
            for call in (scheduler.in_many, scheduler.at_many):
                few, many = Delays(10), Delays(2_000)
                assert len(await call(few, "t")) == 10
                assert len(await call(many, "t")) == 2_000
                assert few.threads == {threading.current_thread()}
                assert threading.current_thread() not in many.threads

    run(main())


@pytest.mark.parametrize(("count", "takes_s", "at_once"), [(20_000, 0, 256), (50, 0.0015, 2)], ids=["many", "long"])
def test_a_loop_has_its_turns_while_jobs_fall_due(count, takes_s, at_once):
    """A drain ends after 256 events, or with the first that starts after a millisecond."""
    turn = 0
    started = Counter()

    async def main():
        nonlocal turn
        async with aio.Scheduler() as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                started[turn] += 1
                end = time.monotonic() + takes_s
                while time.monotonic() < end:
                    pass

            await scheduler.drain()
            await scheduler.in_many([0] * count, "t")
            await scheduler.start()
            while scheduler.stats().succeeded < count:
                turn += 1
                await asyncio.sleep(0)

    run(main())
    assert started.total() == count
    # The bell may ring for a second drain in a turn.
    assert max(started.values()) <= 2 * at_once


def test_a_loop_has_its_turns_while_pending_events_are_read():
    turns = 0

    async def main():
        async def counts():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with aio.Scheduler() as scheduler:
            await scheduler.in_many([3_600] * 1_000, "t")
            counting = asyncio.create_task(counts())
            assert len([event async for event in scheduler.between()]) == 1_000
            counting.cancel()

    run(main())
    assert turns >= 10


# Leaks


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def resident():
    """The process's memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@ON_EVERY_LOOP
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")
@pytest.mark.parametrize("times", [50, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_nothing_is_left_of_many(loop, times):
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
        await until(lambda: not any(reference() for reference in left))
        await until(lambda: (descriptors(), threading.active_count()) <= before)
        if times == 1_000:
            assert resident() - memory < 8_000 * times, "one keeps tens of kilobytes"

    run(main(), loop)


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

    run(main())


def test_the_plain_scheduler_runs_beside_it():
    seen = []

    async def handler(event):
        await asyncio.sleep(0)
        seen.append(current_scheduler())

    async def main():
        async with aio.Scheduler() as scheduler:
            with Scheduler() as plain:
                for each in (scheduler, plain):
                    each.handle("t", handler)
                plain.in_(0, "t")
                await scheduler.in_(0, "t")
                await until(lambda: len(seen) == 2)
                assert {id(each) for each in seen} == {id(scheduler), id(plain)}

    run(main())


def test_wait_ends_when_what_it_waited_for_is_parked_again(tmp_path):
    """Jobs that are on disk alone for want of a handler are waited for while they have one."""

    async def main():
        async with aio.Scheduler(LocalStorage(tmp_path / "a.db", resident=31)) as scheduler:
            for _ in range(20):
                await scheduler.at_many([0] * 20, "t")
                await until(lambda: scheduler.stats().parked == 20)
                await scheduler.in_(3_600, "other", id="x")  # puts them aside
                await scheduler.cancel("x")
                deregister = scheduler.handle("t", lambda event: None)
                waiting = asyncio.create_task(scheduler.wait(PATIENCE_S))
                await asyncio.sleep(0)
                deregister()
                assert await waiting
                async for event in scheduler.between():
                    await scheduler.cancel(event.job_id)

    run(main())
