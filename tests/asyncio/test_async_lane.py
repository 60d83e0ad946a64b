"""The lane of async handlers: how many at once, in which order, and beside the lane of workers."""

import asyncio
import sys
import threading

import pytest
from waiting import PATIENCE_S, until

from duewheel import Scheduler

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("tasks", [1, 3])
def test_never_more_than_so_many_at_once(tasks):
    running, most, sync = set(), [], []

    async def handler(event):
        running.add(event.job_id)
        most.append(len(running))
        for _ in range(3):
            await asyncio.sleep(0)
        running.discard(event.job_id)

    with Scheduler(tasks=tasks) as scheduler:
        scheduler.handle("async", handler)
        scheduler.handle("sync", sync.append)
        scheduler.in_many([0] * 600, "async")
        scheduler.in_many([0] * 600, "sync")
        assert scheduler.wait(PATIENCE_S)
        scheduler._check()
    assert max(most) == tasks
    assert (len(most), len(sync)) == (600, 600)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "2", None])
def test_a_limit_that_is_none_is_refused(wrong):
    if wrong is None:
        Scheduler(tasks=None).close()
        return
    with pytest.raises((TypeError, ValueError)):
        Scheduler(tasks=wrong)


@pytest.mark.parametrize("full", ["async", "sync"])
def test_a_full_lane_does_not_hold_up_the_other(full):
    gate, ran = threading.Event(), []

    async def waits(event):
        while not gate.is_set():
            await asyncio.sleep(0.001)

    async def ends(event):
        ran.append(event)

    with Scheduler(tasks=2, workers=2) as scheduler:
        if full == "async":
            scheduler.handle("full", waits)
            scheduler.handle("free", ran.append)
        else:
            scheduler.handle("full", lambda event: gate.wait())
            scheduler.handle("free", ends)
        scheduler.in_many([0] * 700, "full")
        scheduler.in_many([0] * 700, "free")
        until(lambda: len(ran) == 700 and scheduler.stats().pending <= 698)  # the full one may come to its start later
        assert scheduler.stats().pending == 698
        scheduler._check()
        gate.set()
        assert scheduler.wait(PATIENCE_S)
    assert scheduler.stats().succeeded == 1_400


@pytest.mark.parametrize("tasks", [1, 1_000])
def test_the_order_of_due_and_sequence_holds_in_the_lane(tasks):
    ran, beside = [], []

    async def handler(event):
        ran.append(int(event.data))
        await asyncio.sleep(0)

    with Scheduler(tasks=tasks, workers=1) as scheduler:
        scheduler.handle("async", handler)
        scheduler.handle("sync", lambda event: beside.append(int(event.data)))
        scheduler.drain()
        for number in range(900):
            target = "sync" if number % 3 == 0 else "async"
            scheduler.at(1_000_000_000 - number // 7, target, b"%d" % number)
        scheduler.start()
        assert scheduler.wait(PATIENCE_S)
    order = sorted(range(900), key=lambda number: (-(number // 7), number))
    assert ran == [number for number in order if number % 3]
    assert beside == [number for number in order if number % 3 == 0]


def test_a_target_may_change_its_lane():
    seen = []

    async def on_loop(event):
        seen.append(threading.current_thread().name)

    def on_worker(event):
        seen.append(threading.current_thread().name)

    with Scheduler(tasks=1) as scheduler:
        for handler in [on_loop, on_worker, on_loop]:
            deregister = scheduler.handle("t", handler)
            scheduler.in_many([0] * 300, "t")
            assert scheduler.wait(PATIENCE_S)
            deregister()
        assert [name == "duewheel-loop" for name in seen] == [True] * 300 + [False] * 300 + [True] * 300
        deregister = scheduler.handle("t", on_loop)
        scheduler.in_many([0] * 2_000, "t")
        deregister()
        before = len(seen)
        scheduler._check()
        scheduler.handle("t", on_worker)
        assert scheduler.wait(PATIENCE_S)
        # Without the interpreter's lock, one may have been under way.
        assert seen[before:].count("duewheel-loop") <= (0 if getattr(sys, "_is_gil_enabled", lambda: True)() else 1)
        scheduler._check()
    assert len(seen) == 2_900
