"""Memory that a peak has taken goes back, and what is refused leaves nothing behind."""

import datetime as dt
import gc
import subprocess
import sys

import pytest

from duewheel import (
    DuewheelError,
    Event,
    Job,
    JobOptions,
    LocalStorage,
    PayloadTooLargeError,
    Scheduler,
)

RSS = """
import gc
from array import array
from pathlib import Path
from duewheel import Scheduler

def rss():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

COUNT = 500_000
scheduler = Scheduler(workers=1)
scheduler.in_(3_600, "x")
before = rss()
"""


def figures(code):
    """Run code in a process of its own, which prints how many bytes it holds at some moments."""
    done = subprocess.run([sys.executable, "-c", RSS + code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return [int(figure) for figure in done.stdout.split()]


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_jobs_that_are_cancelled_give_their_memory_back():
    code = """
for _ in range(3):
    ids = scheduler.in_many(array("d", [3_600.5]) * COUNT, "x")
    peak = rss() - before
    for id in ids:
        scheduler.cancel(id)
    del ids, id
    print(peak, rss() - before)
"""
    figure = figures(code)
    for peak, after in zip(figure[::2], figure[1::2], strict=True):
        assert peak > 36_000_000
        assert after < peak / 3


@linux
def test_jobs_that_have_run_give_their_memory_back():
    code = """
scheduler.handle("now", lambda event: None)
ids = scheduler.in_many(array("d", [0.0]) * COUNT, "now")
peak = rss() - before
del ids
scheduler.start()
while scheduler.stats().succeeded < COUNT:
    pass
after = rss() - before
while after >= peak / 3:  # given back by the timer, now that nothing is due; else this never ends
    after = rss() - before
print(peak, after)
scheduler.close()
"""
    peak, after = figures(code)
    assert after < peak / 3


@linux
def test_targets_that_come_and_go_are_forgotten():
    code = """
for n in range(COUNT):
    assert scheduler.cancel(scheduler.in_(3_600, f"a target {n}"))
    scheduler.handle(f"a handler {n}", print)()
print(*scheduler._targets(), rss() - before)
"""
    known, numbers, after = figures(code)
    assert known < 17_000  # those whose jobs' options are remembered
    assert known <= numbers < known + 100_100  # and those whose counters are
    assert after < 60_000_000


@linux
def test_a_peak_of_targets_gives_its_memory_back():
    code = """
import ctypes
deregister = [scheduler.handle(f"a target {n}", print) for n in range(COUNT)]
peak = rss() - before
for each in deregister:
    each()
del deregister, each
trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
if trim is not None:
    trim(0)  # what is free, but lies between what is not
print(scheduler._targets()[0], peak, rss() - before)
"""
    known, peak, after = figures(code)
    assert known == 1
    assert after < peak / 2  # their counters are remembered


@linux
@pytest.mark.parametrize("running", [False, True])
def test_after_closing_and_the_last_handler_nothing_stays(running):
    code = f"""
import logging, threading
logging.getLogger("duewheel").disabled = True
entered, leave = threading.Event(), threading.Event()
scheduler.handle("slow", lambda event: (entered.set(), leave.wait()))
if {running}:
    scheduler.start()
    scheduler.in_(0, "slow")
    entered.wait()
before = rss()
ids = scheduler.in_many(array("d", [3_600.5]) * COUNT, "x")
del ids
peak = rss() - before
scheduler.close()
leave.set()
scheduler.drain()
print(peak, rss() - before)
"""
    peak, after = figures(code)
    assert peak > 36_000_000
    assert after < peak / 3  # the allocator keeps some for itself


def refusals(scheduler, data):
    """Calls that take data and are refused: one for each way that the data takes."""
    huge = dt.timedelta(days=106_000)
    event = Event(Job("taken", "x", 2_000_000_000, data, JobOptions()))
    return {
        "id": lambda: scheduler.in_(3_600, "x", data, id="taken"),
        "overflow": lambda: scheduler.in_(huge, "x", data),
        "overflow, with an id": lambda: scheduler.in_(huge, "x", data, id="other"),
        "no id": lambda: scheduler.in_(3_600, "x", data, id=5),
        "no option": lambda: scheduler.in_(3_600, "x", data, retry_limit=-1),
        "bulk": lambda: scheduler.in_many([1, huge], "x", [data, data]),
        "bulk, too few": lambda: scheduler.in_many([1, 2, 3], "x", [data, data]),
        "restore": lambda: scheduler.storage.create(event),
    }


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("state", ["open", "away", "closed"])
def test_what_is_refused_keeps_no_reference(kept, state, tmp_path):
    if state == "away" and not kept:
        pytest.skip("nothing is on disk alone")
    storage = LocalStorage(tmp_path / "jobs.db", horizon=1, durability="relaxed") if kept else None
    scheduler, data = Scheduler(storage, workers=1), b"x" * 1_000
    scheduler.in_(0.5 if state == "open" else 7_200, "x", id="taken")
    calls = refusals(scheduler, data)
    if state == "closed":
        scheduler.close()
    for name, call in calls.items():
        before = sys.getrefcount(data)
        for _ in range(1_000 if name == "restore" else 20):
            with pytest.raises((DuewheelError, ValueError, OverflowError, TypeError)):
                call()
        assert sys.getrefcount(data) == before, name
    del calls
    scheduler.close()


def test_data_that_is_too_large_keeps_no_reference(tmp_path):
    with Scheduler(LocalStorage(tmp_path / "jobs.db", max_data=10)) as scheduler:
        data = b"x" * 11
        event = Event(Job("a", "x", 2_000_000_000, data, JobOptions()))
        before = sys.getrefcount(data)
        for call in (
            lambda: scheduler.storage.create(event),
            lambda: scheduler.in_(1, "x", data),
            lambda: scheduler.in_(1, "x", data, id="a"),
            lambda: scheduler.in_many([1, 2], "x", [data, data]),
        ):
            for _ in range(1_000):
                with pytest.raises(PayloadTooLargeError):
                    call()
        del call
        assert sys.getrefcount(data) == before


@pytest.mark.parametrize("kept", [False, True])
def test_what_was_taken_is_freed_once_it_is_over(kept, tmp_path):
    data = b"x" * 1_000
    before = sys.getrefcount(data)
    storage = LocalStorage(tmp_path / "jobs.db", durability="relaxed") if kept else None
    with Scheduler(storage, workers=1) as scheduler:
        scheduler.handle("x", lambda event: None)
        for n in range(50):
            scheduler.in_(0, "x", data)
            scheduler.in_(0, "x", data, id=f"{n}")
            assert scheduler.cancel(scheduler.in_(3_600, "x", data))
        scheduler.in_many([0] * 50, "x", [data] * 50)
        scheduler.in_many([3_600] * 50, "never", [data] * 50)
        scheduler.handle("never", lambda event: None)
        while scheduler.stats().succeeded < 150:
            pass
    assert scheduler.drain()
    gc.collect()
    assert sys.getrefcount(data) == before


REENTRANT = """
import gc, sys
from duewheel import Discard, DuplicateJobError, LocalStorage, Scheduler

scheduler = Scheduler(LocalStorage(sys.argv[1], durability="relaxed"), workers=1)

@scheduler.handler("x")
def dies(event):
    raise Discard("enough")

seen = []

class Late:
    def __del__(self):
        seen.append(scheduler.revive("b"))

def late():
    late = Late()
    late.itself = late

with scheduler:
    for id in "ab":
        scheduler.in_(0, "x", id=id)
    scheduler.wait()
    scheduler.in_(3_600, "x", id="a")
    for _ in range(20):
        gc.collect()
        gc.disable()
        late()
        gc.set_threshold(1)
        gc.enable()
        try:
            scheduler.revive("a")
        except DuplicateJobError:
            pass
        gc.set_threshold(700)
        scheduler.wait(0.01)
    gc.collect()  # what no collection of the loop has come by
print(len(seen))
"""


def test_a_call_within_a_call_that_has_its_turn_ends(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REENTRANT, tmp_path / "jobs.db"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "20\n"), done.stderr
