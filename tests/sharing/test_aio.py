"""Coroutines that share a file: the scheduler of `duewheel.aio`, and its client."""

import asyncio
import os

import pytest

import duewheel
from duewheel import aio


async def until(condition):
    while not condition():
        await asyncio.sleep(0.002)


def running(test):
    """Run a test that is a coroutine."""

    def run(path):
        asyncio.run(asyncio.wait_for(test(path), 60))

    run.__name__ = test.__name__
    return run


@running
async def test_a_client_has_the_calls(path):
    async with aio.Scheduler(path, share=True) as owner, aio.connect(path) as client:
        assert (owner.role, client.role, await client.owner_pid()) == ("owner", "client", os.getpid())
        id = await client.in_(30, "a", b"x", retry_limit=1)
        assert await client.get(id) == await owner.get(id)
        assert await client.count() == 1
        ids = await client.at_many([4e9, 5e9], "a")
        assert [event.job_id async for event in client.between()] == [id, *ids]
        assert await client.next(4e9) == await owner.next(4e9)
        assert await client.repeat(3_600, "sweep", id="sweep") == "sweep"
        assert [repeat.id async for repeat in client.repeats()] == ["sweep"]
        assert (await client.pause(target="a"), await owner.resume(target="a")) == (True, True)
        assert await client.stats() == owner.stats()
        assert (await client.targets())["a"].pending == 3
        assert await client.running() == []
        assert await client.cancel(id)
        assert await client.cancel_many(ids) == 2
        assert [dead async for dead in client.dead()] == []
        assert await client.purge() == 0
        assert "is due in" in await client.explain("sweep")
    with pytest.raises(duewheel.ClosedError):
        await client.in_(1, "a")


@running
async def test_a_client_that_is_awaited(path):
    async with aio.Scheduler(path, share=True):
        client = await aio.connect(path)
        assert await client.in_(30, "a")
        await client.close()


@running
async def test_nobody_serves(path):
    with pytest.raises(duewheel.StorageUnavailableError):
        await aio.connect(path)


@running
async def test_handlers_follow(path):
    first, second = aio.Scheduler(path, share=True), aio.Scheduler(path, share=True)
    ran = []

    def registered(scheduler, name):
        async def note(event):
            await asyncio.sleep(0)
            ran.append((name, event.data, duewheel.current_event() == event))

        scheduler.handle("note", note)

    registered(first, "first")
    registered(second, "second")
    await first.start()
    await second.start()
    assert (first.role, second.role) == ("owner", "client")
    await second.in_(0, "note", b"1")
    assert await second.wait(30)
    await first.close()
    await second.in_(0, "note", b"2")
    assert second.role == "owner"
    await until(lambda: len(ran) == 2)
    assert ran == [("first", b"1", True), ("second", b"2", True)]
    assert "owner of" in repr(second)
    assert await second.drain(10)
    await second.close()
    with pytest.raises(duewheel.ClosedError):
        await second.in_(1, "a")


@running
async def test_a_client_is_an_ordinary_scheduler(path):
    async with aio.Scheduler(path, share=True) as owner, aio.Scheduler(path, share=True) as client:
        assert isinstance(client, aio.Scheduler)

        @client.task("add")
        async def add(a: int, b: int) -> None:
            pass

        @client.repeated(3_600, target="sweep")
        async def sweep(event):
            pass

        id = await add.in_(30, 1, 2)
        assert (await owner.get(id)).target == "add"
        assert [event.job_id async for event in client.between(target="add")] == [id]
        assert await client.count() == await owner.count()
        assert client.stats() == owner.stats()
        assert dict(await client.targets()) == dict(await owner.targets())
        assert client.running() == []
        assert (await client.pause(target="add"), await owner.resume(target="add")) == (True, True)
        assert await client.storage.load(id) == await owner.get(id)
        with pytest.raises(duewheel.StateError):
            client.timer(1, print)
        with pytest.raises(duewheel.StateError):
            await client.rotate()
        assert client.failure is None
        assert aio.Scheduler().role == "alone"


@running
async def test_run_ends_with_drain(path):
    scheduler = aio.Scheduler(path, share=True)
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await asyncio.sleep(0)
    await until(lambda: scheduler._begun is not None)
    await scheduler.drain()
    await running
    await scheduler.close()


@running
async def test_threads_and_coroutines_share(path):
    with duewheel.Scheduler(path, share=True) as owner:
        scheduler = aio.Scheduler(path, share=True)
        id = await scheduler.in_(30, "a")
        assert owner.get(id) is not None
        await scheduler.close()
