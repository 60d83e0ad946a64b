"""What a target holds over a file is on disk, but for a few jobs, and comes back in its order."""

import asyncio
import threading

import pytest

from duewheel import LocalStorage, Rate, Scheduler, aio
from duewheel.testing import ManualClock

JOBS = 2_000


def storage(tmp_path, resident=64):
    return LocalStorage(tmp_path / "jobs.db", durability="relaxed", resident=resident)


@pytest.mark.parametrize("controls", [{"concurrency": 1}, {"concurrency": 1, "priority": 5}], ids=str)
def test_on_threads_it_starts_in_order_and_others_run_beside_it(tmp_path, controls):
    entered, leave, order, ran = threading.Event(), threading.Event(), [], []

    def held(event):
        entered.set()
        assert leave.wait(30)
        order.append(event.job_id)

    with Scheduler(storage(tmp_path), workers=2) as scheduler:
        scheduler.handle("held", held, **controls)
        scheduler.handle("free", ran.append)
        ids = [scheduler.in_(0, "held") for _ in range(JOBS // 2)]
        ids += scheduler.in_many([0] * (JOBS // 2), "held")
        assert entered.wait(30)
        free = scheduler.in_many([0] * 200, "free")
        while len(ran) < len(free):
            threading.Event().wait(0.001)
        assert [event.job_id for event in ran] == list(free)
        scheduler._check()
        leave.set()
        assert scheduler.wait(60)
        assert order == ids
        scheduler._check()
        assert scheduler.stats().pending == 0


def test_async_handlers_do_so_too(tmp_path):
    async def main():
        order = []

        async def held(event):
            await asyncio.sleep(0)
            order.append(event.job_id)

        async with aio.Scheduler(storage(tmp_path)) as scheduler:
            scheduler.handle("held", held, concurrency=1)
            ids = await scheduler.in_many([0] * JOBS, "held")
            assert await scheduler.wait(60)
            assert order == list(ids)

    asyncio.run(main())


def test_what_is_on_disk_says_why_it_waits(tmp_path):
    clock = ManualClock()
    with Scheduler(storage(tmp_path), workers=1, clock=clock) as scheduler:
        deregister = scheduler.handle("t", lambda event: None, rate=Rate(1, per=100))
        ids = [scheduler.in_(0, "t") for _ in range(200)]
        clock.advance(0)
        assert scheduler._stage_of(ids[-1]) is None, "it is on disk alone"
        said = scheduler.explain(ids[-1])
        assert said.endswith("and held: 't' may start again in 100.000 s (rate)")
        assert (scheduler.stats().parked, len(scheduler)) == (0, 199)
        deregister()
        assert scheduler.explain(ids[-1]).endswith("and 't' has no handler")
        scheduler.handle("t", lambda event: None)
        clock.advance(0)
        assert scheduler.stats().succeeded == 200


def test_what_is_on_disk_is_cancelled_moved_and_found(tmp_path):
    clock, order = ManualClock(), []
    with Scheduler(storage(tmp_path), workers=1, clock=clock) as scheduler:
        scheduler.handle("t", lambda event: order.append(event.job_id), rate=Rate(1))
        ids = [scheduler.in_(0, "t", id=f"{number:04}") for number in range(300)]
        clock.advance(0)
        assert scheduler.get(ids[-1]).job_id == ids[-1]
        assert scheduler.cancel(ids[-1])
        assert not scheduler.cancel(ids[-1])
        assert scheduler.reschedule(ids[-2], 1)
        scheduler.in_(0, "t", b"new", id=ids[-3], on_conflict="update")
        assert scheduler.get(ids[-3]).data == b"new"
        scheduler.in_(0, "t", id=ids[100], on_conflict="replace")
        scheduler._check()
        clock.advance(400)
        expected = [id for id in ids[:-1] if id not in (ids[-2], ids[100])]
        assert order == [*expected, ids[100], ids[-2]]
        scheduler._check()


@pytest.mark.usefixtures("quiet")
def test_a_retry_takes_its_place_behind_what_is_on_disk(tmp_path):
    clock, order = ManualClock(), []

    def fails(event):
        order.append((event.job_id, event.attempt))
        if event.attempt == 1:
            raise ValueError("again")

    with Scheduler(storage(tmp_path), workers=1, clock=clock) as scheduler:
        scheduler.handle("t", fails, rate=Rate(1))
        ids = [scheduler.in_(0, "t", min_backoff=0.5, max_backoff=0.5) for _ in range(150)]
        clock.advance(400)
        assert order == [(id, attempt) for attempt in (1, 2) for id in ids]
