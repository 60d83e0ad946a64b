"""Many stored jobs, a million of them of one due: the scheduler opens in seconds, in little memory.

`DUEWHEEL_STORED_FILE` is a file that `rust/sqlite/tests/large.rs` has filled, with 100,000,000 in the full form;
without it, two million are stored here.
"""

import json
import os
import time
from pathlib import Path

import pytest

from duewheel import LocalStorage, Scheduler

STORED = 2_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no memory of a process"),
]


def store(path, *dues):
    """Store jobs of 100 bytes, ten thousand of each list of dues; the memory of this process stays small."""
    with Scheduler(LocalStorage(path, durability="relaxed", resident=1)) as scheduler:
        for part in dues:
            scheduler.at_many(part, "t", [b"x" * 100] * len(part))


@pytest.fixture
def filled(path):
    if kept := os.environ.get("DUEWHEEL_STORED_FILE"):
        return kept
    # Within the horizon: a million are brought in.
    far = time.time() + 1_800
    equal = [[far] * 10_000] * (STORED // 20_000)
    later = ([far + at for at in range(start, start + 10_000)] for start in range(STORED // 2, STORED, 10_000))
    store(path, *equal, *later)
    return path


def test_opening_takes_seconds_and_little_memory(children, filled, record_property):
    child = children.start("look", path=filled)
    opened, ready, pending, found, before, peak = json.loads(child.stdout.readline())
    children.kill(child)
    figures = {"opened_s": opened, "ready_s": ready, "pending": pending, "before_mb": before, "peak_mb": peak}
    for name, value in figures.items():
        record_property(name, value)
    print(figures)  # noqa: T201 - with -s, and in the report of a failure
    assert found
    assert pending >= STORED
    assert opened < 10
    assert peak < 300


def test_a_million_of_one_due_run_in_little_memory(children, path):
    """Each of them that ended once let another sixty-four be handed over, so that nearly all were."""
    store(path, *[[time.time() - 60] * 10_000] * 100)
    succeeded, peak = children.finish("run_all", timeout=300, path=path)
    print({"peak_mb": peak})  # noqa: T201 - with -s, and in the report of a failure
    assert succeeded == 1_000_000
    assert peak < 350  # with up to 64 MB of outcomes that wait for the tables, while the disk is slow


def test_many_without_a_handler_wait_in_little_memory(children, path):
    """All of them were in memory, beside as many as may be resident of others."""
    stored = 2_000_000
    store(path, *[[time.time() - 60] * 10_000] * (stored // 10_000))
    parked, idle, waiting, succeeded, peak = children.finish("park_all", timeout=600, path=path, stored=stored)
    print({"waiting_mb": waiting, "peak_mb": peak})  # noqa: T201 - with -s, and in the report of a failure
    assert (parked, idle, succeeded) == (stored, True, stored)
    assert waiting < 350
    assert peak < 350
