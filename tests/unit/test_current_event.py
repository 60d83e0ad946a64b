"""`current_event()` is the event of the handler that calls."""

import asyncio
import threading

import pytest

from duewheel import Scheduler, aio, current_event
from duewheel.testing import ManualClock


def test_outside_there_is_none():
    assert current_event() is None


@pytest.mark.parametrize("in_file", [False, True])
def test_in_a_handler(tmp_path, in_file):
    seen = []

    def deep():
        return current_event()

    with Scheduler(tmp_path / "jobs.db" if in_file else None) as scheduler:
        scheduler.handle("t", lambda event: seen.append(deep() is event))
        for _ in range(100):
            scheduler.in_(0, "t")
        assert scheduler.wait(30)
    assert seen == [True] * 100


def test_in_async_handlers_that_take_turns():
    seen = []

    async def main():
        async with aio.Scheduler() as scheduler:

            @scheduler.handler("t")
            async def t(event):
                seen.append(current_event() is event)
                for _ in range(3):
                    await asyncio.sleep(0)
                    seen.append(current_event() is event)
                try:
                    await asyncio.wait_for(asyncio.sleep(60), 0.001)
                except TimeoutError:
                    seen.append(current_event() is event)  # resumed by an exception

            for _ in range(10):
                await scheduler.in_(0, "t")
            await scheduler.wait(30)
            assert current_event() is None

    asyncio.run(main())
    assert seen == [True] * 50


def test_tasks_and_threads_of_a_handler_have_none():
    seen = []

    async def main():
        async with aio.Scheduler() as scheduler:

            async def other():
                return current_event()

            @scheduler.handler("t")
            async def t(event):
                seen.append(await asyncio.create_task(other()))
                seen.append(await asyncio.to_thread(current_event))
                seen.append(await other() is event)

            await scheduler.in_(0, "t")
            await scheduler.wait(30)

    asyncio.run(main())
    assert seen == [None, None, True]


def test_what_a_sync_handler_returns_goes_on_with_its_event():
    seen = []

    async def later(event):
        seen.append(current_event() is event)
        await asyncio.sleep(0)
        seen.append(current_event() is event)

    with Scheduler() as scheduler:
        scheduler.handle("t", lambda event: later(event))
        scheduler.in_(0, "t")
        assert scheduler.wait(30)
    assert seen == [True, True]


def test_a_handler_within_a_handler():
    """A scheduler in virtual time is advanced by the handler of another one."""
    seen = []
    clock = ManualClock()
    with Scheduler(clock=clock) as inner, Scheduler() as outer:
        inner.handle("t", lambda event: seen.append(current_event() is event))
        inner.in_(1, "t")

        @outer.handler("t")
        def t(event):
            clock.advance(1)
            seen.append(current_event() is event)

        outer.in_(0, "t")
        assert outer.wait(30)
    assert seen == [True, True]


def test_of_a_timer():
    seen, done = [], threading.Event()
    data = object()
    with Scheduler() as scheduler:

        def call(event):
            seen.append(current_event().data is data)
            done.set()

        scheduler.timer(0, call, data)
        assert done.wait(30)
    assert seen == [True]


def test_an_event_that_is_kept_stays_what_it_was():
    kept = []
    with Scheduler(workers=1) as scheduler:
        scheduler.handle("t", lambda event: kept.append(current_event()))
        for number in range(5):
            scheduler.in_(0, "t", b"%d" % number)
        assert scheduler.wait(30)
    assert sorted(event.data for event in kept) == [b"0", b"1", b"2", b"3", b"4"]
