"""Targets that are paused over nodes: nobody claims or starts what is theirs, whichever node has said so."""

import asyncio
import threading

import pytest
from waiting import PATIENCE_S, until

from duewheel import Limit, aio

FAR = 3_600


def test_nobody_starts_what_is_paused_and_all_go_on(node):
    ran = []
    workers = [node(poll=0.05, handlers={"t": ran.append, "other": lambda event: None}) for _ in range(2)]
    web = node()
    assert web.pause(target="t")
    assert not workers[0].pause(target="t")
    ids = list(web.in_many([0.0] * 20, "t"))
    web.in_many([0.0] * 5, "other")
    until(lambda: len(web) == 20)
    assert workers[0].wait(4 * PATIENCE_S)
    for scheduler in (web, *workers):
        said = f"{ids[0]!r} waits: its target 't' is paused, until resume(target='t')"
        assert scheduler.explain(ids[0]) == said
    assert ran == []
    assert workers[1].resume(target="t")
    assert not web.resume(target="t")
    until(lambda: len(web) == 0)
    assert len(ran) == 20


def test_what_nodes_hold_is_given_back(node):
    ran = []
    workers = [node(poll=0.05, handlers={"t": ran.append, "u": ran.append}) for _ in range(2)]
    web = node(poll=0.05)
    web.in_many([1.0] * 100, "t")
    web.in_many([FAR] * 3, "u")
    held = lambda: sum(stats.pending for worker in workers for stats in [worker.targets().get("t")] if stats)  # noqa: E731
    until(lambda: held() == 100)
    assert web.pause(target="t")
    until(lambda: held() == 0)
    assert len(web) == 103
    assert workers[0].resume(target="t")
    until(lambda: len(web) == 3)
    assert len(ran) == 100
    for worker in workers:
        worker._check()


def test_a_node_that_pauses_starts_nothing_from_then_on(node):
    ran = []
    worker = node(poll=5.0, workers=1, handlers={"t": ran.append})
    worker.in_many([0.0] * 200, "t")
    until(lambda: len(ran) > 5)
    assert worker.pause(target="t")
    assert worker.wait(4 * PATIENCE_S)
    count = len(ran)
    worker.in_(0, "t")
    assert worker.wait(4 * PATIENCE_S)
    assert (len(ran), len(worker)) == (count, 201 - count)
    worker.resume(target="t")
    until(lambda: len(ran) == 201)


@pytest.mark.usefixtures("quiet")
def test_what_runs_goes_on_and_its_retry_waits(node):
    ran = []
    began, goes_on = threading.Event(), threading.Event()

    def handler(event):
        ran.append(event.attempt)
        began.set()
        assert goes_on.wait(4 * PATIENCE_S)
        if event.attempt == 1:
            raise ValueError("no")

    worker = node(poll=0.05, handlers={"t": handler})
    web = node()
    worker.in_(0, "t", min_backoff=0, max_backoff=0)
    assert began.wait(4 * PATIENCE_S)
    assert web.pause(target="t")
    goes_on.set()
    until(lambda: len(web) == 1)
    assert worker.wait(4 * PATIENCE_S)
    assert ran == [1]
    assert web.resume(target="t")
    until(lambda: len(web) == 0)
    assert ran == [1, 2]


def test_it_is_kept_by_the_database(node, url, schema):
    node().pause(target="t")
    ran = []
    later = node(poll=0.05, start=False)
    assert not later.pause(target="t")
    later.handle("t", ran.append)
    later.handle("limited", ran.append, concurrency=Limit(1))
    later.start()
    later.pause(target="limited")
    later.in_(0, "t")
    later.in_(0, "limited")
    assert later.wait(4 * PATIENCE_S)
    assert ran == []
    later.resume(target="t")
    later.resume(target="limited")
    assert later.wait(4 * PATIENCE_S)
    until(lambda: len(ran) == 2)


def test_a_repeat_of_it_waits_and_goes_on(node):
    ran = []
    worker = node(poll=0.05, handlers={"t": lambda event: ran.append(event.occurrence)})
    web = node()
    assert web.pause(target="t")
    web.repeat(0.05, "t", id="r")
    assert web.trigger("r")
    assert worker.wait(0.5)
    assert ran == []
    assert "its target 't' is paused" in web.explain("r")
    assert web.resume(target="t")
    until(lambda: len(ran) >= 3)
    assert web.cancel("r")
    assert ran[:3] == [1, 2, 3]


def test_those_who_are_told_go_on_at_once(node):
    ran = threading.Event()
    worker = node(poll=60.0, notify=True, handlers={"t": lambda event: ran.set(), "u": print})
    web = node(notify=True)
    assert web.pause(target="t")
    web.in_(0, "t")
    until(lambda: not worker.pause(target="t"))
    assert not ran.is_set()
    assert web.resume(target="t")
    assert ran.wait(4 * PATIENCE_S)


def test_awaited(storage):
    async def main():
        ran = []

        async def handler(event):
            ran.append(event.data)

        async with aio.Scheduler(storage(poll=0.05)) as scheduler:
            scheduler.handle("t", handler)
            assert await scheduler.pause(target="t")
            id = await scheduler.in_(0, "t", b"x")
            assert await scheduler.wait(4 * PATIENCE_S)
            assert "is paused" in await scheduler.explain(id)
            assert ran == []
            assert await scheduler.resume(target="t")
            assert await scheduler.wait(4 * PATIENCE_S)
            assert ran == [b"x"]

    asyncio.run(main())
