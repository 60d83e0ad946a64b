"""The event loops (asyncio, uvloop, rloop): `loop.call_later(delay, handler)`.

Lateness is read on the raw monotonic clock, which all three are based on, not on the time that a loop has cached.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from time import monotonic

from workload import (
    CHAINS_PER_RUN,
    FAILING_ATTEMPTS,
    FAR_PENDING_PER_RUN,
    JOBS_PER_SECOND,
    MAX_BACKOFF_S,
    MIN_BACKOFF_S,
    NESTED,
    Row,
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


def handler() -> None:
    pass


async def async_handler(event: object) -> None:
    pass


async def timeouts_of(timeout: Callable[[float], AbstractAsyncContextManager[object]], n: int) -> Sample:
    """Timeouts around each other, none of which expires; the time of one."""

    async def nested(left: int) -> None:
        async with timeout(3600):
            if left:
                await nested(left - 1)

    begin = clock()
    for _ in range(n // NESTED):
        await nested(NESTED - 1)
    return per_op(begin, n // NESTED * NESTED)


def rows(loop: asyncio.AbstractEventLoop) -> dict[str, Row]:
    """Every row, bound to one loop; the loop is this process's only one."""
    call_later = loop.call_later

    def schedule(n: int) -> Sample:
        delays = far(n)
        begin = clock()
        for delay in delays:
            call_later(delay, handler)
        return per_op(begin, n)

    def schedule_again(n: int) -> Sample:
        for delay in within(n, 0.05):
            call_later(delay, handler)
        call_later(0.06, loop.stop)
        loop.run_forever()
        return schedule(n)

    def cancel(n: int, *, at_random: bool) -> Sample:
        handles = [call_later(delay, handler) for delay in far(n)]
        order = shuffled(handles) if at_random else handles
        begin = clock()
        for handle in order:
            handle.cancel()
        return per_op(begin, n)

    def pair(n: int) -> Sample:
        delays = far(n)
        begin = clock()
        for delay in delays:
            call_later(delay, handler).cancel()
        return per_op(begin, n)

    def timeouts(n: int) -> Sample:
        return loop.run_until_complete(timeouts_of(asyncio.timeout, n))

    def async_due(n: int) -> Sample:
        call_soon, create_task = loop.call_soon, loop.create_task
        for _ in range(n):
            call_soon(lambda: create_task(async_handler(None)))
        # What comes after the last task was made comes after the last task's only step.
        call_soon(call_soon, loop.stop)
        begin = clock()
        loop.run_forever()
        return per_op(begin, n)

    def run_due(n: int) -> Sample:
        for delay in within(n, 0.001):
            call_later(delay, handler)
        call_later(0.001, loop.stop)  # due after every other, so the last to run
        begin = clock()
        loop.run_forever()
        return per_op(begin, n)

    def whole(n: int) -> Sample:
        delays = within(n, 0.05)
        begin = clock()
        for delay in delays:
            call_later(delay, handler)
        call_later(0.05, loop.stop)
        loop.run_forever()
        return per_op(begin, n)

    def hold(n: int) -> Sample:
        chains = n // CHAINS_PER_RUN
        for delay in far(n // FAR_PENDING_PER_RUN):
            call_later(delay, handler)
        delays = iter(within(n, 0.01))
        ended = 0

        def chain() -> None:
            nonlocal ended
            delay = next(delays, None)
            if delay is not None:
                call_later(delay, chain)
            else:
                ended += 1
                if ended == chains:
                    loop.stop()

        for _ in range(chains):
            call_later(next(delays), chain)
        begin = clock()
        loop.run_forever()
        return per_op(begin, n)

    def retry(n: int) -> Sample:
        jobs = n // FAILING_ATTEMPTS
        draw = random.random
        ended = 0

        def failing() -> None:
            raise ValueError("always")

        def attempt(number: int) -> None:
            nonlocal ended
            try:
                failing()
            except Exception:
                if number < FAILING_ATTEMPTS:
                    ceiling = min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2**number)
                    call_later(MIN_BACKOFF_S + draw() * (ceiling - MIN_BACKOFF_S), attempt, number + 1)
                else:
                    ended += 1
                    if ended == jobs:
                        loop.stop()

        for delay in within(jobs, 0.001):
            call_later(delay, attempt, 1)
        begin = clock()
        loop.run_forever()
        return per_op(begin, n)

    def memory(n: int) -> Sample:
        delays = far(n)
        before = resident_bytes()
        for delay in delays:
            call_later(delay, handler)
        return {"bytes": (resident_bytes() - before) / n}

    def lateness(n: int) -> Sample:
        started: list[float] = []
        dues: list[float] = []

        def stamp() -> None:
            started.append(monotonic())

        for delay in steady(n):
            dues.append(monotonic() + delay)
            call_later(delay, stamp)
        call_later(0.5 + n / JOBS_PER_SECOND, loop.stop)
        loop.run_forever()
        return lateness_of(started, dues)

    logging.disable(logging.CRITICAL)
    return {
        "schedule": schedule,
        "schedule_again": schedule_again,
        "cancel": lambda n: cancel(n, at_random=False),
        "cancel_random": lambda n: cancel(n, at_random=True),
        "timer": pair,
        "pair": pair,
        "timeouts": timeouts,
        "run_due": run_due,
        "async_due": async_due,
        "whole": whole,
        "hold": hold,
        "retry": retry,
        "memory": memory,
        "lateness": lateness,
    }
