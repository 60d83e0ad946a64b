"""Memory that a peak has taken goes back, and what is refused leaves nothing behind."""

import subprocess
import sys

import pytest

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
print(peak, rss() - before)
scheduler.close()
"""
    peak, after = figures(code)
    assert after < peak / 3


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
