"""The floor: what CPython and the system ask for each row, with nothing of a scheduler (`benches/floor`)."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from workload import (
    BYTES_OF_A_COMMIT,
    BYTES_OF_A_JOB,
    THREADS,
    Sample,
    clock,
    far,
    on_disk,
    per_op,
    quantiles,
    shuffled,
    steady,
    within,
)

BUILT = Path(__file__).resolve().parents[3] / "target" / "floor" / str(sys.implementation.cache_tag)
sys.path.insert(0, str(BUILT))
import floor  # noqa: E402  # built by benches/floor/build.py


def handler(event: object) -> None:
    pass


async def async_handler(event: object) -> None:
    pass


def schedule(n: int) -> Sample:
    """(a): a call with a float and a str that returns a new str."""
    delays, call = far(n), floor.text
    begin = clock()
    for delay in delays:
        call(delay, "noop")
    return per_op(begin, n)


def cancel(n: int, *, at_random: bool) -> Sample:
    """(b): the same that returns an int; the strings are met in the order of the row."""
    ids = [floor.text(0.5, "noop") for _ in range(n)]
    order, call = shuffled(ids) if at_random else ids, floor.number
    begin = clock()
    for job_id in order:
        call(0.5, job_id)
    return per_op(begin, n)


def pair(n: int) -> Sample:
    """(a), then (b) with its str."""
    delays, first, then = far(n), floor.text, floor.number
    begin = clock()
    for delay in delays:
        then(delay, first(delay, "noop"))
    return per_op(begin, n)


def run_due(n: int, called: object = handler) -> Sample:
    """(c): a native loop that calls a handler in a copied context with a fresh object; (d) with a coroutine function."""
    begin = clock()
    floor.run(called, n)
    return per_op(begin, n)


def whole(n: int) -> Sample:
    """(a), then (c)."""
    delays, call = within(n, 0.05), floor.text
    begin = clock()
    for delay in delays:
        call(delay, "noop")
    floor.run(handler, n)
    return per_op(begin, n)


def hold(n: int) -> Sample:
    """(c), with a handler that does (a)."""
    delays, call = iter(within(n, 0.01)), floor.text

    def chain(event: object) -> None:
        delay = next(delays, None)
        if delay is not None:
            call(delay, "chain")

    begin = clock()
    floor.run(chain, n)
    return per_op(begin, n)


def first_touch(n: int) -> Sample:
    """(e)."""
    begin = clock()
    floor.touch(n * BYTES_OF_A_JOB)
    return per_op(begin, n)


def bare(*arguments: str, given: str = "") -> list[float]:
    command = [str(BUILT / "bare"), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=True)
    return [float(line) for line in done.stdout.split()]


def lateness(n: int) -> Sample:
    """(f): a thread that sleeps on the engine's timer until the same dues."""
    return quantiles(bare("lateness", given="\n".join(map(repr, steady(n)))))


def commit(n: int, *, jobs: int) -> Sample:
    """(g): the write and one fdatasync of a commit of so many jobs; for each of them."""
    with tempfile.TemporaryDirectory(prefix="floor-", dir=on_disk()) as directory:
        taken = bare("sync", os.path.join(directory, "journal"), str(jobs * BYTES_OF_A_COMMIT), str(n // jobs))
    return {"ns": sum(taken) / len(taken) / jobs}


ROWS = {
    "schedule": schedule,
    "schedule_again": schedule,
    "cancel": lambda n: cancel(n, at_random=False),
    "cancel_random": lambda n: cancel(n, at_random=True),
    "timer": pair,
    "pair": pair,
    "run_due": run_due,
    "async_due": lambda n: run_due(n, async_handler),
    "whole": whole,
    "hold": hold,
    "first_touch": first_touch,
    "lateness": lateness,
    "lateness_async": lateness,
    "commit": lambda n: commit(n, jobs=1),
    "commit_threads": lambda n: commit(n, jobs=THREADS),
}
