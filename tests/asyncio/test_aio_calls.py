"""`aio.at` and `aio.in_`, and a clock that is advanced on the thread of its loop."""

import asyncio
import threading
import warnings

import pytest

import duewheel
from duewheel import ClosedError, NopScheduler, Scheduler, aio, current_scheduler, use
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")

PATIENCE_S = 10
KEPT = pytest.mark.parametrize("kept", [False, True], ids=["memory", "file"])


@KEPT
def test_they_schedule_on_the_current_scheduler(kept, tmp_path):
    async def main():
        scheduler = aio.Scheduler(tmp_path / "jobs.db" if kept else None)
        with use(scheduler):
            assert await aio.in_(60, "a", b"x", id="in", retry_limit=3) == "in"
            assert await aio.at(4_000_000_000, "b", id="at", options=duewheel.JobOptions(retry_limit=2)) == "at"
        first, second = await scheduler.get("in"), await scheduler.get("at")
        assert (first.target, first.data, first.job.options.retry_limit) == ("a", b"x", 3)
        assert (second.due, second.job.options.retry_limit) == (4_000_000_000 * 10**9, 2)
        await scheduler.close()
        with use(scheduler), pytest.raises(ClosedError):
            await aio.in_(60, "a")

    asyncio.run(main())


@pytest.mark.parametrize("plain", [False, True], ids=["aio", "plain"])
@KEPT
def test_they_schedule_in_handlers_and_block_no_loop(kept, plain, tmp_path):
    path = tmp_path / "jobs.db" if kept else None
    made, seen = [], []

    async def handler(event):
        await asyncio.sleep(0)
        made.extend((await aio.in_(0, "next", event.data), await aio.at(0, "next", event.data)))

    def follows(event):
        seen.append((duewheel.in_(60, "later"), event.data))

    if plain:
        with Scheduler(path) as scheduler:
            scheduler.handle("t", handler)
            scheduler.handle("next", follows)
            scheduler.in_(0, "t", b"x")
            while scheduler.stats().succeeded < 3:
                scheduler.wait(0.001)
            pending = [event.job_id for event in scheduler.between()]
            scheduler.close()
    else:

        async def main():
            async with aio.Scheduler(path) as scheduler:
                scheduler.handle("t", handler)
                scheduler.handle("next", follows)
                await scheduler.in_(0, "t", b"x")
                while scheduler.stats().succeeded < 3:
                    await asyncio.sleep(0.001)
                return [event.job_id async for event in scheduler.between()]

        pending = asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    assert len(set(made)) == 2
    assert [data for _, data in seen] == [b"x"] * 2
    assert sorted(pending) == sorted(id for id, _ in seen)


def test_without_a_current_one_it_is_the_default():
    async def main():
        id = await aio.in_(3_600, "t")
        assert current_scheduler().get(id).target == "t"
        current_scheduler().close()

    asyncio.run(main())


def test_nothing_is_scheduled_by_one_that_discards():
    async def main():
        with use(NopScheduler()):
            assert await aio.in_(1, "t") == ""
            assert await aio.at(1, "t") == ""

    asyncio.run(main())


@pytest.mark.parametrize("wrong", [{"worker": 1}, {"retry_limit": -1}])
def test_what_is_wrong_is_refused(wrong):
    async def main():
        with use(aio.Scheduler()), pytest.raises((TypeError, ValueError)):
            await aio.in_(1, "t", **wrong)

    asyncio.run(main())


# A clock on the loop's own thread


def advanced(handler, count=1, delay=0):
    """Advance on the running loop; what it warns of."""

    async def main():
        clock = ManualClock()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with aio.Scheduler(clock=clock) as scheduler:
                scheduler.handle("t", handler)
                await scheduler.in_many([0] * count, "t")
                clock.advance(delay)
        return caught

    return asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_an_advance_that_leaves_handlers_unfinished_says_so():
    async def waits(event):
        await asyncio.sleep(0)

    caught = advanced(waits)
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert "asyncio.to_thread(clock.advance" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_one_whose_handlers_have_ended_does_not():
    async def ends(event):
        pass

    assert advanced(ends) == []
    assert advanced(lambda event: None) == []


def test_in_a_thread_it_waits_and_warns_of_nothing():
    ended = []

    async def main():
        clock = ManualClock()
        async with aio.Scheduler(clock=clock) as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                await asyncio.sleep(0.001)
                ended.append(threading.current_thread() is threading.main_thread())

            await scheduler.in_(5, "t")
            await asyncio.to_thread(clock.advance, 5)
            assert ended == [True]

    asyncio.run(main())
