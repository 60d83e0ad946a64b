"""Many stored jobs, a million of them of one due: the scheduler opens in seconds, in little memory.

`DUEWHEEL_STORED_FILE` is a file that `rust/store/tests/large.rs` has filled, with 100,000,000 in the full form; without
it, two million are stored here.
"""

import json
import os
import time
from pathlib import Path

import pytest

from duewheel import LocalStorage, Scheduler

STORED = 2_000_000


@pytest.fixture
def filled(path):
    if kept := os.environ.get("DUEWHEEL_STORED_FILE"):
        return kept
    with Scheduler(LocalStorage(path, durability="relaxed", resident=1)) as scheduler:
        # Within the horizon: a million are brought in.
        far = time.time() + 1_800
        for start in range(0, STORED, 10_000):
            equal = start < STORED // 2
            dues = [far if equal else far + number for number in range(start, start + 10_000)]
            scheduler.at_many(dues, "t", [b"x" * 100] * len(dues))
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the memory of a process")
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
