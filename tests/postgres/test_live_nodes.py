"""`nodes()`: who shares the database and lives."""

import asyncio
import os
import socket
import time

import pytest

import duewheel
from duewheel import ClosedError, Scheduler, StateError, aio
from duewheel.postgres import Node


def test_nodes_are_those_that_live(node, nodes, storage, url, schema, tmp_path):
    before = time.time_ns()
    b = node(name="b", handlers={"a": print})
    node(name="a", start=False)
    b.in_(5, "a")
    other = nodes.start(url, schema, tmp_path / "log", storage={"name": "c", "lease": 1.0})
    found = b.nodes()
    assert [one.name for one in found] == ["a", "b", "c"]
    assert [one.pid for one in found] == [os.getpid(), os.getpid(), other.pid]
    for one in found:
        assert isinstance(one, Node)
        assert (one.host, one.version) == (socket.gethostname(), duewheel.__version__)
        assert before - 10**9 <= one.started <= one.seen <= time.time_ns() + 10**9
        assert one.running == 0
    other.kill()
    other.wait()
    end = time.monotonic() + 20
    while len(b.nodes()) == 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert [one.name for one in b.nodes()] == ["a", "b"]
    node(name="0").close()
    assert [one.name for one in b.nodes()] == ["a", "b"]


def test_a_node_says_what_it_holds(node):
    busy = []

    def handler(event):
        busy.append(event)
        while len(busy) < 2:
            time.sleep(0.01)

    worker = node(name="worker", lease=1.0, handlers={"a": handler})
    worker.in_(0, "a")
    worker.in_(9, "b")
    worker.in_(9, "a")
    end = time.monotonic() + 20
    while [(one.held, one.running) for one in worker.nodes()] != [(2, 1)]:
        assert time.monotonic() < end, worker.nodes()
        time.sleep(0.05)
    busy.append(None)


def test_nodes_awaited(storage):
    async def main():
        async with aio.Scheduler(storage(name="n")) as scheduler:
            (found,) = await scheduler.nodes()
            assert (found.name, found.pid) == ("n", os.getpid())
        async with aio.Scheduler() as scheduler:
            with pytest.raises(StateError, match="PostgreSQL"):
                await scheduler.nodes()

    asyncio.run(main())


def test_without_a_database_there_are_no_nodes(tmp_path):
    for storage in (None, tmp_path / "jobs.db"):
        with Scheduler(storage) as scheduler, pytest.raises(StateError, match="give it a PostgresStorage"):
            scheduler.nodes()
        with pytest.raises(ClosedError):
            scheduler.nodes()
