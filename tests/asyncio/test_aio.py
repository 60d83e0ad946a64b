"""The scheduler for coroutines, on an event loop of the user's: every call does as the one that is not awaited."""

import asyncio
import threading

import pytest
from loops import ON_EVERY_LOOP, PATIENCE_S, run, until

from duewheel import (
    ClosedError,
    Discard,
    DuplicateJobError,
    JobOptions,
    LocalStorage,
    Scheduler,
    StateError,
    aio,
    current_scheduler,
)

pytestmark = pytest.mark.usefixtures("quiet")


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
            assert await scheduler.purge(ids=["nobody"]) == 0
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
                await scheduler.in_(3_600, "other", id="x")  # they are on disk alone then
                await scheduler.cancel("x")
                deregister = scheduler.handle("t", lambda event: None)
                waiting = asyncio.create_task(scheduler.wait(PATIENCE_S))
                await asyncio.sleep(0)
                deregister()
                assert await waiting
                async for event in scheduler.between():
                    await scheduler.cancel(event.job_id)

    run(main())
