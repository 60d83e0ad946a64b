"""What every peer is given: the same delays, the same clock, the same way to weigh the process.

A row is a function of *n* that returns a `Sample`: numbers by name, the main one in nanoseconds per operation.
Everything a row needs (delays, handlers, lists of ids) is made before its clock is started.
"""

import gc
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Sample = dict[str, float]
Row = Callable[[int], Sample]

SEED = 20_261_124
FAILING_ATTEMPTS = 5  # per job, in the row of failing attempts
MIN_BACKOFF_S = 0.001
MAX_BACKOFF_S = 0.004
FAR_PENDING_PER_RUN = 2  # the hold row: runs = 2 per job that is pending far out
CHAINS_PER_RUN = 20  # and one chain per 20 runs
JOBS_PER_SECOND = 1_000  # the lateness row
THREADS = 16  # the rows of commits
DATA = bytes(100)  # what each of their jobs carries
BYTES_OF_A_COMMIT = 242  # of the journal: a record of one insert, its id, target and data among it
BYTES_OF_A_JOB = 73  # pending, in memory
COMPUTED = 100_000  # turns of a loop, in the rows of handlers that compute
NESTED = 10  # timeouts around each other


class Absent(Exception):
    """This build, or this interpreter, does not have what the row is about."""


class Moment(NamedTuple):
    """A reading of the wall's clock and of this process's CPU clock, in seconds."""

    wall: float
    cpu: float


def clock() -> Moment:
    return Moment(time.perf_counter(), time.process_time())


def far(n: int) -> list[float]:
    """Random delays one to two hours ahead."""
    draw = random.Random(SEED).random
    return [3600.0 + 3600.0 * draw() for _ in range(n)]


def within(n: int, seconds: float) -> list[float]:
    """Random delays over the next `seconds`."""
    draw = random.Random(SEED).random
    return [seconds * draw() for _ in range(n)]


def steady(n: int) -> list[float]:
    """Rising delays, one in each millisecond at a random phase, from a quarter of a second on."""
    draw = random.Random(SEED).random
    return [0.25 + (i + draw()) / JOBS_PER_SECOND for i in range(n)]


def shuffled(items: Sequence[T]) -> list[T]:
    """The same items in a random order that does not change from run to run."""
    order = list(items)
    random.Random(SEED + 1).shuffle(order)
    return order


def per_op(begin: Moment, n: int) -> Sample:
    """What one of `n` operations took since `begin`, and how much CPU time all threads together gave it."""
    end = clock()
    return {"ns": (end.wall - begin.wall) * 1e9 / n, "cpu": (end.cpu - begin.cpu) * 1e9 / n}


def resident_bytes() -> int:
    """Resident memory of this process, after a full collection."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def on_disk() -> str:
    """Where files are measured: the disk of this checkout, for that of temporary files may be memory."""
    target = Path(__file__).resolve().parents[2] / "target"
    target.mkdir(exist_ok=True)
    return str(target)


def lateness_of(started: Sequence[float], dues: Sequence[float]) -> Sample:
    """Quantiles of (start - due) in nanoseconds; both in the order of due."""
    if len(started) != len(dues):
        raise RuntimeError(f"{len(dues)} jobs were due, {len(started)} ran")
    return quantiles([(start - due) * 1e9 for start, due in zip(started, dues, strict=True)])


def quantiles(lateness: Sequence[float]) -> Sample:
    late = sorted(lateness)
    return {
        "ns": late[len(late) // 2],
        "p99": late[len(late) * 99 // 100],
        "max": late[-1],
        "min": late[0],
    }
