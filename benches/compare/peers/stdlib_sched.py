"""`sched.scheduler` of the standard library. Its cancel searches a list, so that row has far fewer jobs."""

import random
import sched
import time
from contextlib import suppress

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

scheduler = sched.scheduler()
enter = scheduler.enter


class Over(Exception):
    """Raised by the last handler: `run` has no other way to stop while jobs are pending."""


def handler() -> None:
    pass


def schedule(n: int) -> Sample:
    delays = far(n)
    begin = clock()
    for delay in delays:
        enter(delay, 1, handler)
    return per_op(begin, n)


def schedule_again(n: int) -> Sample:
    for delay in within(n, 0.05):
        enter(delay, 1, handler)
    scheduler.run()
    return schedule(n)


def cancel(n: int, *, at_random: bool) -> Sample:
    events = [enter(delay, 1, handler) for delay in far(n)]
    order = shuffled(events) if at_random else events
    begin = clock()
    for event in order:
        scheduler.cancel(event)
    return per_op(begin, n)


def run_due(n: int) -> Sample:
    for delay in within(n, 0.001):
        enter(delay, 1, handler)
    begin = clock()
    scheduler.run()
    return per_op(begin, n)


def whole(n: int) -> Sample:
    delays = within(n, 0.05)
    begin = clock()
    for delay in delays:
        enter(delay, 1, handler)
    scheduler.run()
    return per_op(begin, n)


def hold(n: int) -> Sample:
    chains = n // CHAINS_PER_RUN
    for delay in far(n // FAR_PENDING_PER_RUN):
        enter(delay, 1, handler)
    delays = iter(within(n, 0.01))
    ended = 0

    def chain() -> None:
        nonlocal ended
        delay = next(delays, None)
        if delay is not None:
            enter(delay, 1, chain)
        else:
            ended += 1
            if ended == chains:
                raise Over

    for _ in range(chains):
        enter(next(delays), 1, chain)
    begin = clock()
    with suppress(Over):
        scheduler.run()
    return per_op(begin, n)


def retry(n: int) -> Sample:
    draw = random.random

    def failing() -> None:
        raise ValueError("always")

    def attempt(number: int) -> None:
        try:
            failing()
        except Exception:
            if number < FAILING_ATTEMPTS:
                ceiling = min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2**number)
                enter(MIN_BACKOFF_S + draw() * (ceiling - MIN_BACKOFF_S), 1, attempt, (number + 1,))

    for delay in within(n // FAILING_ATTEMPTS, 0.001):
        enter(delay, 1, attempt, (1,))
    begin = clock()
    scheduler.run()
    return per_op(begin, n)


def memory(n: int) -> Sample:
    delays = far(n)
    before = resident_bytes()
    for delay in delays:
        enter(delay, 1, handler)
    return {"bytes": (resident_bytes() - before) / n}


def lateness(n: int) -> Sample:
    started: list[float] = []
    dues: list[float] = []

    def stamp() -> None:
        started.append(time.monotonic())

    for delay in steady(n):
        dues.append(time.monotonic() + delay)
        enter(delay, 1, stamp)
    scheduler.run()
    return lateness_of(started, dues)


ROWS = {
    "schedule": schedule,
    "schedule_again": schedule_again,
    "cancel": lambda n: cancel(n, at_random=False),
    "cancel_random": lambda n: cancel(n, at_random=True),
    "run_due": run_due,
    "whole": whole,
    "hold": hold,
    "retry": retry,
    "memory": memory,
    "lateness": lateness,
}
