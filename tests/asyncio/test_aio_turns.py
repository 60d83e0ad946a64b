"""A loop has its turns, however much is scheduled, due or read at once."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest
from loops import run

from duewheel import aio

pytestmark = pytest.mark.usefixtures("quiet")


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
