"""Many of what is tried few at a time elsewhere: starts at most once, jobs in retry, a day of coming and going.

`DUEWHEEL_MANY` is how many jobs the slow forms take: a million unless given, and a tenth of it in retry and on disk.
"""

import gc
import json
import logging
import os
import random
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from duewheel import Consistency, LocalStorage, Scheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")

MANY = int(os.environ.get("DUEWHEEL_MANY", "1000000"))
SLOW = [pytest.mark.slow, pytest.mark.timeout(1_800)]


def numbers(count):
    return [number.to_bytes(4, "big") for number in range(count)]


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
@pytest.mark.parametrize("count", [5_000, pytest.param(MANY, marks=SLOW)])
def test_at_most_once_jobs_of_a_file_start_once_each(path, durability, count):
    """Each is marked on disk before it starts: each starts once, and none is left, in this life and in the next."""
    starts = bytearray(count)

    def handler(event):
        starts[int.from_bytes(event.data, "big")] += 1
        if starts[0] and event.data.endswith(b"\0\0"):
            raise ValueError  # dead: it is not tried again

    with Scheduler(LocalStorage(path, durability=durability)) as scheduler:
        scheduler.handle("t", handler)
        data = numbers(count)
        for start in range(0, count, 10_000):
            part = data[start : start + 10_000]
            scheduler.in_many([0] * len(part), "t", part, consistency=Consistency.AT_MOST_ONCE)
        assert scheduler.wait(1_700)
        stats = scheduler.stats()
    failed = len(range(0, count, 65_536))
    assert starts == b"\1" * count
    assert (stats.started, stats.succeeded, stats.dead, stats.retried) == (count, count - failed, failed, 0)
    with Scheduler(path) as scheduler:
        assert len(scheduler) == 0
        assert [event.reason for event in scheduler.dead()] == ["failed"] * failed


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("count", [2_000, pytest.param(MANY // 10, marks=SLOW)])
def test_each_of_many_in_retry_has_its_own_time_and_attempt(path, kept, count):
    """All of them fail twice; each comes again at its own time, with its own attempt, also in another process."""
    clock = ManualClock(1_000_000)
    attempts = bytearray(count)

    def handler(event):
        number = int.from_bytes(event.data, "big")
        attempts[number] += 1
        assert event.attempt == attempts[number]
        if event.attempt < 3:
            raise ValueError(number)

    def opened():
        scheduler = Scheduler(LocalStorage(path, durability="relaxed") if kept else None, clock=clock, seed=1)
        scheduler.handle("t", handler)
        scheduler.start()
        return scheduler

    scheduler = opened()
    ids = scheduler.in_many([0] * count, "t", numbers(count), min_backoff=10, max_backoff=20)
    for attempt in (1, 2):
        clock.advance(0 if attempt == 1 else 20)
        assert attempts == bytes([attempt]) * count
        stats = scheduler.stats()
        assert (len(scheduler), stats.pending, stats.dead) == (count, count, 0)
        now_ns = clock.now_ns()
        dues = [event.due for event in scheduler.between()]
        assert dues == sorted(dues)
        assert now_ns - 10 * 10**9 <= dues[0] and dues[-1] <= now_ns + 20 * 10**9
        assert {event.attempt for event in scheduler.between()} == {attempt + 1}
        if kept:
            scheduler.close()
            scheduler = opened()
            assert len(scheduler) == count
            assert {event.attempt for event in scheduler.between()} == {attempt + 1}
    # Every tenth is withdrawn while it waits for its retry: it is never tried again.
    assert all(scheduler.cancel(id) for id in ids[::10])
    clock.advance(20)
    assert attempts == bytes(2 if number % 10 == 0 else 3 for number in range(count))
    assert len(scheduler) == 0
    scheduler.close()


def held():
    """The memory and the descriptors of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))  # noqa: PTH208


HOUR, DAY = 3_600, 86_400


def come_and_go(path, kept, seconds, each):
    """Schedule so many jobs every ten virtual seconds, cancel, move, fail, run them; return what is held meanwhile."""
    logging.disable()
    rng = random.Random(seconds)
    clock = ManualClock(1_000_000)
    scheduler = Scheduler(LocalStorage(path, durability="relaxed", horizon=60) if kept else None, clock=clock, seed=1)
    ran = total = cancelled = 0

    def handler(event):
        nonlocal ran
        ran += 1
        if event.attempt == 1 and event.data:
            raise ValueError

    for target in "abc":
        scheduler.handle(target, handler)
    scheduler.start()
    recent = deque(maxlen=40 * each)
    sizes = []
    for step in range(seconds // 10):
        delays = [rng.uniform(0, 300) for _ in range(each)]
        data = [rng.choice([b"", b"x" * 40]) for _ in range(each)]
        recent.extend(scheduler.in_many(delays, rng.choice("abc"), data, min_backoff=5, max_backoff=60))
        total += each
        for _ in range(each // 3):
            cancelled += scheduler.cancel(rng.choice(recent))
            scheduler.reschedule(rng.choice(recent), clock.now() + rng.uniform(0, 600))
        if step % 10 == 0:
            cancelled += scheduler.cancel(scheduler.in_(30 * DAY, "far", bytes(1_000), id=f"named-{step}"))
            total += 1
        clock.advance(10)
        if step in (seconds // 30, seconds // 10 - 1):
            sizes.append((*held(), sum(file.stat().st_size for file in Path(path).parent.iterdir())))
    pending, stats = len(scheduler), scheduler.stats()
    scheduler.close()
    assert total == stats.scheduled == stats.succeeded + cancelled + pending
    assert stats.cancelled == cancelled
    assert (stats.dead, stats.dropped) == (0, 0)
    assert ran == stats.succeeded + stats.retried
    return total, ran, sizes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory and descriptors are read in /proc")
@pytest.mark.parametrize("kept", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("seconds", [HOUR // 4, pytest.param(DAY, marks=SLOW)])
def test_what_is_held_does_not_grow_while_jobs_come_and_go(path, kept, seconds):
    """What is held, after a third of the time and at its end, is the same; in a process that has held nothing else."""
    each = MANY // (10 if kept else 1) * 10 // DAY if seconds == DAY else 10
    command = [sys.executable, __file__, json.dumps([path, kept, seconds, max(each, 1)])]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1_700, check=False)
    assert ended.returncode == 0, ended.stderr
    print(ended.stdout)  # noqa: T201 - with -s, and in the report of a failure
    _, _, [(memory, descriptors, disk), (memory_after, descriptors_after, disk_after)] = json.loads(ended.stdout)
    assert descriptors_after == descriptors
    assert memory_after - memory < 8 * 2**20
    assert disk_after - disk < 80 * 2**20  # the journal holds up to 64 MB


if __name__ == "__main__":
    print(json.dumps(come_and_go(*json.loads(sys.argv[1]))))  # noqa: T201
