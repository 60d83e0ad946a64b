"""duewheel: `Scheduler(workers=1)`, handlers that take the event and do nothing."""

import logging
import os
import threading
import time
from array import array

from workload import (
    CHAINS_PER_RUN,
    FAILING_ATTEMPTS,
    FAR_PENDING_PER_RUN,
    MAX_BACKOFF_S,
    MIN_BACKOFF_S,
    Sample,
    clock,
    far,
    lateness_of,
    per_op,
    resident_bytes,
    shuffled,
    steady,
    within,
)

from duewheel import Event, Scheduler

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
    "run_due": run_due,
    "whole": lambda n: whole(n, started=False),
    "whole_started": lambda n: whole(n, started=True),
    "hold": hold,
    "retry": retry,
    "memory": memory,
    "lateness": lateness,
    # At both sizes 20 jobs are due in a microsecond, so that all are due by the time the last is scheduled.
    "growth_small": lambda n: whole(n, started=False, over=n * 50e-9),
    "growth_large": lambda n: whole(n, started=False, over=n * 50e-9),
    "idle": idle,
}
