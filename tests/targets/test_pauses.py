"""Targets that are paused: their jobs park, whatever handler comes, and go on in their old places."""

import asyncio
import logging

import pytest

from duewheel import LocalStorage, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=["memory", "file", "paged", "reference"])
def scheduler(request, clock, tmp_path):
    if request.param == "reference":
        made = ReferenceScheduler(clock=clock)
    else:
        resident = 2 if request.param == "paged" else 1_000
        storage = LocalStorage(tmp_path / "jobs.db", durability="relaxed", resident=resident)
        made = Scheduler(None if request.param == "memory" else storage, workers=1, clock=clock)
    with made as scheduler:
        yield scheduler


def test_what_is_paused_parks_and_goes_on_in_order(scheduler, clock, caplog):
    ran = []
    scheduler.handle("t", lambda event: ran.append(event.data))
    scheduler.handle("other", lambda event: ran.append(b"other"))
    assert scheduler.pause(target="t")
    assert not scheduler.pause(target="t")
    for data in (b"3", b"1", b"2"):
        scheduler.in_(int(data), "t", data, id=data.decode())
    scheduler.in_(2, "other")
    with caplog.at_level(logging.WARNING, "duewheel"):
        clock.advance(5)
    assert (ran, caplog.records) == ([b"other"], [])
    assert (scheduler.stats().parked, scheduler.stats().pending) == (3, 3)
    assert scheduler.wait(10)
    assert scheduler.explain("1") == "'1' waits: its target 't' is paused, until resume(target='t')"
    assert scheduler.cancel("2")
    assert scheduler.resume(target="t")
    assert not scheduler.resume(target="t")
    clock.advance(0)
    assert ran == [b"other", b"1", b"3"]
    if isinstance(scheduler, Scheduler):
        assert scheduler.targets()["t"].parked == 0
        scheduler._check()


def test_a_handler_that_comes_or_goes_meanwhile_starts_nothing(scheduler, clock):
    ran = []
    assert scheduler.pause(target="t")
    deregister = scheduler.handle("t", ran.append)
    scheduler.in_(0, "t")
    clock.advance(1)
    assert ran == []
    with pytest.raises(ValueError, match="'t' has a handler"):
        scheduler.handle("t", print)
    deregister()
    scheduler.handle("t", lambda event: ran.append("second"))
    clock.advance(1)
    assert ran == []
    assert scheduler.resume(target="t")
    clock.advance(0)
    assert ran == ["second"]


@pytest.mark.usefixtures("quiet")
def test_what_runs_goes_on_and_its_retry_waits():
    clock, ran = ManualClock(), []
    with Scheduler(workers=1, clock=clock) as scheduler:

        def fails(event):
            ran.append(event.attempt)
            if event.attempt == 1:
                assert scheduler.pause(target="t")
                raise ValueError("no")

        scheduler.handle("t", fails)
        scheduler.in_(0, "t", min_backoff=1, max_backoff=1)
        clock.advance(10)
        assert (ran, scheduler.stats().retried, scheduler.stats().parked) == ([1], 1, 1)
        scheduler.resume(target="t")
        clock.advance(0)
        assert ran == [1, 2]


def test_a_file_stays_paused(tmp_path):
    path, clock, ran = tmp_path / "jobs.db", ManualClock(), []
    with Scheduler(path, clock=clock) as scheduler:
        assert scheduler.pause(target="t")
        assert scheduler.pause(target="nobody's")
        assert scheduler.resume(target="nobody's")
        scheduler.in_(1, "t")
    for _ in range(2):
        with Scheduler(path, workers=1, clock=clock) as scheduler:
            scheduler.handle("t", ran.append)
            clock.advance(5)
            assert (ran, scheduler.stats().parked) == ([], 1)
            assert not scheduler.pause(target="t")
            assert not scheduler.resume(target="nobody's")
    with Scheduler(path, workers=1, clock=clock) as scheduler:
        scheduler.handle("t", ran.append)
        assert scheduler.resume(target="t")
        clock.advance(0)
        assert len(ran) == 1


def test_workers_find_no_handler(tmp_path):
    ran = []
    with Scheduler(workers=2) as scheduler:
        scheduler.handle("t", ran.append)
        scheduler.in_many([0.0] * 50, "t")
        assert scheduler.wait(30)
        assert scheduler.pause(target="t")
        count = len(ran)
        scheduler.in_many([0.0] * 50, "t")
        assert scheduler.wait(30)
        assert (len(ran), scheduler.stats().parked) == (count, 50)
        scheduler.resume(target="t")
        assert scheduler.wait(30)
        assert len(ran) == count + 50


@pytest.mark.parametrize("kept", [False, True])
def test_a_loop_awaits_it(kept, tmp_path):
    async def main():
        ran = []

        async def handler(event):
            ran.append(event.data)

        async with aio.Scheduler(tmp_path / "jobs.db" if kept else None) as scheduler:
            scheduler.handle("t", handler)
            assert await scheduler.pause(target="t")
            await scheduler.in_(0, "t", b"x")
            assert await scheduler.wait(30)
            assert ran == []
            assert await scheduler.resume(target="t")
            assert await scheduler.wait(30)
            assert ran == [b"x"]
            assert not await scheduler.pause("no repeat")
            with pytest.raises(TypeError, match="one of them, and was given neither"):
                await scheduler.pause()

    asyncio.run(main())


def test_in_memory_nothing_is_waited_for():
    async def main():
        async with aio.Scheduler() as scheduler:
            for call in (scheduler.pause, scheduler.resume):
                with pytest.raises(StopIteration) as returned:
                    call(target="t").send(None)
                assert returned.value.value is True

    asyncio.run(main())
