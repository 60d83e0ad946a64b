"""A loop under which every call meets a disk whose sync does not end before the loop has turned and turned.

Written: for each call, how often the loop has turned while a sync was held, its longest stall, and how long that was.
"""

import asyncio
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from duewheel import Consistency, aio

HOLD, SYNCS = Path(os.environ["HOLD"]), Path(os.environ["SYNCS"])
TURNS = 500
"""How often the loop turns at least while a sync is held."""
RATIO = 20
"""A sync is held for so many times the longest stall: it ends late, however slow the machine is, but it ends."""

TO_COME = []
"""Not empty while a call is not yet where it is to be when the sync ends."""


def syncs():
    """The threads that have made syncs, and whether one is under way."""
    lines = SYNCS.read_text().split()
    return {int(line[1:]) for line in lines}, sum(1 if line[0] == "+" else -1 for line in lines) > 0


async def until(holds):
    while not holds():
        await asyncio.sleep(0)


async def measured(scheduler, call):
    """Make a call while the disk is in a sync; whether it was done before the sync was, and what the loop did."""
    HOLD.touch()
    before = asyncio.create_task(scheduler.in_(1_000, "none"))
    await until(lambda: syncs()[1])
    task = asyncio.create_task(call())
    turns, longest = 0, 0.0
    began = last = time.perf_counter()
    while turns < TURNS or last - began < RATIO * longest or TO_COME:
        await asyncio.sleep(0)
        now = time.perf_counter()
        turns, longest, last = turns + 1, max(longest, now - last), now
    done = task.done()
    assert syncs()[1] and not before.done()
    HOLD.unlink()
    await before
    await task
    return {"done": done, "turns": turns, "stall_s": longest, "sync_s": last - began}


async def taken(items):
    return [item async for item in items]


async def main(path):
    ran = []
    scheduler = aio.Scheduler(path)

    @scheduler.handler("async")
    async def on_loop(event):
        await asyncio.sleep(0)
        ran.append(event.data)

    @scheduler.handler("fails")
    async def fails(event):
        raise ValueError

    scheduler.handle("sync", lambda event: ran.append(event.data))

    async def runs(*arguments, **options):
        count = len(ran)
        await scheduler.in_(0, *arguments, **options)
        await until(lambda: len(ran) > count)

    async def begins_and_drains():
        await scheduler.in_(0, "async")
        await scheduler.drain()
        await scheduler.start()

    async def beside_a_revival():
        # It has the store's answer to wait for, and the right to be the only one that asks about an id.
        reviving = asyncio.create_task(scheduler.revive("dead too"))
        TO_COME.append("what is measured")
        await asyncio.sleep(0.1)
        TO_COME.clear()
        await scheduler.in_(1_000, "none", id="beside")
        await scheduler.storage.create(event_beside)
        assert await reviving

    SYNCS.write_text("")  # the constructor waits, as it says
    measures = {"in_ before the start": await measured(scheduler, lambda: scheduler.in_(1_000, "none"))}
    await scheduler.start()
    for id in ("old", "older", "gone", "gone too"):
        await scheduler.in_(1_000, "none", id=id)
    event, event_beside = await scheduler.get("gone"), await scheduler.get("gone too")
    await scheduler.cancel("gone")
    await scheduler.cancel("gone too")
    for id in ("dead", "dead too"):
        await scheduler.in_(0, "fails", id=id, retry_limit=0)
    await until(lambda: scheduler.stats().dead == 2)
    calls = {
        # All is in memory, so that no call has to ask the disk;
        "in_": lambda: scheduler.in_(1_000, "none"),
        "in_ with an id": lambda: scheduler.in_(1_000, "none", id="given"),
        "in_ beside a revival": beside_a_revival,
        # beyond the horizon: now they have to.
        "at": lambda: scheduler.at(4e9, "none"),
        "in_ with an id again": lambda: scheduler.in_(1_000, "none", id="given again"),
        "at_many": lambda: scheduler.at_many([4e9] * 10, "none"),
        "in_many": lambda: scheduler.in_many([1_000] * 3_000, "none"),
        "reschedule": lambda: scheduler.reschedule("old", 4e9),
        "cancel": lambda: scheduler.cancel("older"),
        "revive": lambda: scheduler.revive("dead"),
        "purge": scheduler.purge,
        "create": lambda: scheduler.storage.create(event),
        "a job": lambda: runs("async"),
        "a sync job": lambda: runs("sync"),
        "a job at most once": lambda: runs("async", consistency=Consistency.AT_MOST_ONCE),
        "get": lambda: scheduler.get("old"),
        "next": lambda: scheduler.next(4e9),
        "between": lambda: taken(scheduler.between()),
        "dead": lambda: taken(scheduler.dead()),
        "wait": lambda: scheduler.wait(0.01),
        "drain": begins_and_drains,
    }
    measures |= {name: await measured(scheduler, call) for name, call in calls.items()}
    measures["close"] = await measured(scheduler, scheduler.close)
    threads, _ = syncs()
    json.dump({"measures": measures, "syncs on the loop": threading.get_native_id() in threads}, sys.stdout)


logging.getLogger("duewheel").disabled = True
asyncio.run(main(sys.argv[1]))
