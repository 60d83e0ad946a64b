"""Handlers of many targets: found, replaced and freed, however many there are."""

import gc
import sys
import threading

from duewheel import Scheduler
from duewheel.testing import ManualClock


def test_each_of_many_targets_has_its_own_handler():
    clock = ManualClock()
    with Scheduler(workers=1, clock=clock) as scheduler:
        ran = []
        deregister = [scheduler.handle(f"t{n}", lambda event, n=n: ran.append(n)) for n in range(20_000)]
        some = range(0, 20_000, 61)
        for n in some:
            deregister[n]()
            deregister[n]()
            scheduler.handle(f"t{n}", lambda event, n=n: ran.append(-n))
            deregister[n]()  # of the old one: nothing to the new one
        for n in range(20_000):
            scheduler.in_(1, f"t{n}")
        clock.advance(1)
        assert ran == [-n if n in some else n for n in range(20_000)]


def test_handlers_change_while_one_runs_that_was_taken_before():
    entered, leave, ran = threading.Event(), threading.Event(), []

    def slow(event):
        entered.set()
        assert leave.wait(30)

    def other(event):
        ran.append(event.target)

    def counted(event):
        raise AssertionError

    with Scheduler(workers=1) as scheduler:
        scheduler.handle("slow", slow)
        scheduler.in_(0, "slow")
        assert entered.wait(30)
        before = sys.getrefcount(counted)
        for n in range(1_000):
            scheduler.handle(f"t{n}", counted)()
            scheduler.handle(f"t{n}", other)
        gc.collect()
        assert sys.getrefcount(counted) == before
        for n in range(1_000):
            scheduler.in_(0, f"t{n}")
        leave.set()
        assert scheduler.wait(30)
    assert ran == [f"t{n}" for n in range(1_000)]
