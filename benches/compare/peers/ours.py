"""duewheel: `Scheduler(workers=1)`, handlers that take the event and do nothing."""

import asyncio
import logging
import os
import sys
import tempfile
import threading
import time
from array import array

from workload import (
    CHAINS_PER_RUN,
    COMPUTED,
    DATA,
    FAILING_ATTEMPTS,
    FAR_PENDING_PER_RUN,
    MAX_BACKOFF_S,
    MIN_BACKOFF_S,
    THREADS,
    Absent,
    Sample,
    clock,
    far,
    lateness_of,
    on_disk,
    per_op,
    resident_bytes,
    shuffled,
    steady,
    within,
)

from duewheel import Consistency, Event, LocalStorage, Scheduler, aio
from peers.event_loop import timeouts_of

logging.disable(logging.CRITICAL)
scheduler = Scheduler(workers=1)
in_ = scheduler.in_


@scheduler.handler("noop")
def handler(event: Event) -> None:
    pass


def all_ran(n: int) -> None:
    """Check, off the clock, that the row did what it says."""
    ran = scheduler.stats().succeeded
    if ran != n:
        raise RuntimeError(f"{n} jobs were due, {ran} succeeded")


def schedule(n: int) -> Sample:
    delays = far(n)
    begin = clock()
    for delay in delays:
        in_(delay, "noop")
    return per_op(begin, n)


def schedule_again(n: int) -> Sample:
    for delay in within(n, 0.05):
        in_(delay, "noop")
    scheduler.start()
    scheduler.wait()
    all_ran(n)
    return schedule(n)


def schedule_many(n: int) -> Sample:
    delays = array("d", far(n))
    begin = clock()
    scheduler.in_many(delays, "noop")
    return per_op(begin, n)


def cancel(n: int, *, at_random: bool) -> Sample:
    ids = [in_(delay, "noop") for delay in far(n)]
    order = shuffled(ids) if at_random else ids
    remove = scheduler.cancel
    begin = clock()
    for job_id in order:
        remove(job_id)
    taken = per_op(begin, n)
    if scheduler.stats().cancelled != n:
        raise RuntimeError(f"{n} jobs were to be cancelled, {scheduler.stats().cancelled} were")
    return taken


def cancel_many(n: int, *, at_random: bool) -> Sample:
    if not hasattr(scheduler, "cancel_many"):
        raise Absent("this build has no cancel_many")
    ids = [in_(delay, "noop") for delay in far(n)]
    order = shuffled(ids) if at_random else ids
    begin = clock()
    cancelled = scheduler.cancel_many(order)
    taken = per_op(begin, n)
    if cancelled != n:
        raise RuntimeError(f"{n} jobs were to be cancelled, {cancelled} were")
    return taken


def timer(n: int) -> Sample:
    start = getattr(scheduler, "timer", None)
    if start is None:
        raise Absent("this build has no Timer")
    delays = far(n)
    begin = clock()
    for delay in delays:
        start(delay, handler).cancel()
    return per_op(begin, n)


def pair(n: int) -> Sample:
    delays, remove = far(n), scheduler.cancel
    begin = clock()
    for delay in delays:
        remove(in_(delay, "noop"))
    return per_op(begin, n)


def timeouts(n: int) -> Sample:
    timeout = getattr(aio, "timeout", None)
    if timeout is None:
        raise Absent("this build has no aio.timeout")

    async def main() -> Sample:
        async with aio.Scheduler(workers=1):
            return await timeouts_of(timeout, n)

    return asyncio.run(main())


def run_due(n: int) -> Sample:
    for delay in within(n, 0.001):
        in_(delay, "noop")
    begin = clock()
    scheduler.start()
    scheduler.wait()
    taken = per_op(begin, n)
    all_ran(n)
    return taken


def whole(n: int, *, started: bool, over: float = 0.05) -> Sample:
    delays = within(n, over)
    if started:
        scheduler.start()
    begin = clock()
    for delay in delays:
        in_(delay, "noop")
    scheduler.start()
    scheduler.wait()
    taken = per_op(begin, n)
    all_ran(n)
    return taken


def hold(n: int) -> Sample:
    chains = n // CHAINS_PER_RUN
    for delay in far(n // FAR_PENDING_PER_RUN):
        in_(delay, "noop")
    delays = iter(within(n, 0.01))
    over = threading.Event()
    ended = 0

    @scheduler.handler("chain")
    def chain(event: Event) -> None:
        nonlocal ended
        delay = next(delays, None)
        if delay is not None:
            in_(delay, "chain")
        else:
            ended += 1
            if ended == chains:
                over.set()

    for _ in range(chains):
        in_(next(delays), "chain")
    begin = clock()
    scheduler.start()
    over.wait()
    return per_op(begin, n)


def retry(n: int) -> Sample:
    @scheduler.handler("failing")
    def failing(event: Event) -> None:
        raise ValueError("always")

    for delay in within(n // FAILING_ATTEMPTS, 0.001):
        in_(
            delay,
            "failing",
            retry_limit=FAILING_ATTEMPTS - 1,
            min_backoff=MIN_BACKOFF_S,
            max_backoff=MAX_BACKOFF_S,
        )
    begin = clock()
    scheduler.start()
    scheduler.wait()
    taken = per_op(begin, n)
    stats = scheduler.stats()
    if stats.started != n or stats.dead != n // FAILING_ATTEMPTS:
        raise RuntimeError(f"{n} attempts were to fail: {stats}")
    return taken


def memory(n: int) -> Sample:
    delays = far(n)
    before = resident_bytes()
    for delay in delays:
        in_(delay, "noop")
    return {"bytes": (resident_bytes() - before) / n}


def lateness(n: int) -> Sample:
    started: list[float] = []
    dues: list[float] = []

    @scheduler.handler("stamp")
    def stamp(event: Event) -> None:
        started.append(time.monotonic())

    scheduler.start()
    for delay in steady(n):
        dues.append(time.monotonic() + delay)
        in_(delay, "stamp")
    scheduler.wait()
    return lateness_of(started, dues)


def async_due(n: int) -> Sample:
    async def noop(event: Event) -> None:
        pass

    async def main() -> Sample:
        ours = aio.Scheduler(workers=1)
        ours.handle("noop", noop)
        for delay in within(n, 0.001):
            await ours.in_(delay, "noop")
        begin = clock()
        await ours.start()
        await ours.wait()
        taken = per_op(begin, n)
        if ours.stats().succeeded != n:
            raise RuntimeError(f"{n} jobs were due: {ours.stats()}")
        return taken

    return asyncio.run(main())


def lateness_async(n: int) -> Sample:
    started: list[float] = []
    dues: list[float] = []

    async def stamp(event: Event) -> None:
        started.append(time.monotonic())

    async def main() -> None:
        async with aio.Scheduler(workers=1) as ours:
            ours.handle("stamp", stamp)
            for delay in steady(n):
                dues.append(time.monotonic() + delay)
                await ours.in_(delay, "stamp")
            await ours.wait()

    asyncio.run(main())
    return lateness_of(started, dues)


def commit(n: int, *, threads: int) -> Sample:
    with tempfile.TemporaryDirectory(prefix="ours-", dir=on_disk()) as directory:
        ours = Scheduler(LocalStorage(os.path.join(directory, "jobs.db")), workers=1)

        def schedule() -> None:
            for _ in range(n // threads):
                ours.in_(7200, "noop", DATA)

        callers = [threading.Thread(target=schedule) for _ in range(threads)]
        begin = clock()
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        taken = per_op(begin, n // threads * threads)
        ours.close()
    return taken


def at_most_once(n: int) -> Sample:
    with tempfile.TemporaryDirectory(prefix="ours-", dir=on_disk()) as directory:
        ours = Scheduler(LocalStorage(os.path.join(directory, "jobs.db")), workers=4)
        ours.handle("noop", handler)
        ours.in_many([0.0] * n, "noop", consistency=Consistency.AT_MOST_ONCE)
        begin = clock()
        ours.start()
        ours.wait()
        taken = per_op(begin, n)
        if ours.stats().succeeded != n:
            raise RuntimeError(f"{n} jobs were due: {ours.stats()}")
        ours.close()
    return taken


def compute(n: int, *, workers: int) -> Sample:
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        raise Absent("this interpreter runs one thread at a time")
    ours = Scheduler(workers=workers)

    @ours.handler("compute")
    def computes(event: Event) -> None:
        for _ in range(COMPUTED):
            pass

    ours.in_many([0.0] * n, "compute")
    begin = clock()
    ours.start()
    ours.wait()
    return per_op(begin, n)


def context_switches() -> int:
    """Times that the threads of this process but the main one were put to sleep or pre-empted."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        if int(task) != os.getpid():
            with open(f"/proc/self/task/{task}/status", encoding="ascii") as status:
                total += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
    return total


def idle(n: int) -> Sample:
    for delay in far(n):
        in_(delay, "noop")
    scheduler.start()
    time.sleep(1.0)
    switches, begin = context_switches(), clock()
    time.sleep(10.0)
    end = clock()
    return {
        "wakes": (context_switches() - switches) / (end.wall - begin.wall),
        "cpu": 100.0 * (end.cpu - begin.cpu) / (end.wall - begin.wall),
    }


ROWS = {
    "schedule": schedule,
    "schedule_again": schedule_again,
    "schedule_many": schedule_many,
    "cancel": lambda n: cancel(n, at_random=False),
    "cancel_random": lambda n: cancel(n, at_random=True),
    "cancel_many": lambda n: cancel_many(n, at_random=False),
    "cancel_many_random": lambda n: cancel_many(n, at_random=True),
    "timer": timer,
    "pair": pair,
    "timeouts": timeouts,
    "run_due": run_due,
    "async_due": async_due,
    "whole": lambda n: whole(n, started=False),
    "whole_started": lambda n: whole(n, started=True),
    "hold": hold,
    "retry": retry,
    "memory": memory,
    "lateness": lateness,
    "lateness_async": lateness_async,
    "commit": lambda n: commit(n, threads=1),
    "commit_threads": lambda n: commit(n, threads=THREADS),
    "at_most_once": at_most_once,
    "compute_1": lambda n: compute(n, workers=1),
    "compute_2": lambda n: compute(n, workers=2),
    # At both sizes 20 jobs are due in a microsecond, so that all are due by the time the last is scheduled.
    "growth_small": lambda n: whole(n, started=False, over=n * 50e-9),
    "growth_large": lambda n: whole(n, started=False, over=n * 50e-9),
    "idle": idle,
}
