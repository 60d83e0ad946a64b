"""Beside a thread that spins in Python: everything runs, adds up, and comes to an end."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import duewheel

MANY = 50


def spin_until(done):
    while not done():
        for _ in range(100):
            pass


def busy_run(spins_elsewhere):
    ran = []
    with duewheel.Scheduler(workers=2) as scheduler:
        scheduler.handle("t", lambda event: ran.append(event.job_id))
        delays = [0.005 * number for number in range(MANY)]
        ids = [scheduler.in_(delay, "t") for delay in delays]
        # Some that are due at once, and some that are gone when the worker sent for them comes.
        gone = [scheduler.in_(0.0125 + delay, "t") for delay in delays[::5]]
        deadline = time.monotonic() + 30

        def done():
            if len(ran) % 10 == 3 and len(ids) < 2 * MANY:
                ids.append(scheduler.in_(0, "t"))
            if gone and ran and scheduler.cancel(gone[-1]):
                gone.pop()
            return (len(set(ran)) >= MANY and scheduler.wait(0)) or time.monotonic() > deadline

        if spins_elsewhere:
            thread = threading.Thread(target=spin_until, args=[done])
            thread.start()
            thread.join()
        else:
            spin_until(done)
        assert scheduler.wait(30)
        stats = scheduler.stats()
    assert len(ran) == len(set(ran)) and set(ids) <= set(ran)
    assert stats.succeeded == stats.started == len(ran)
    assert stats.scheduled == stats.succeeded + stats.cancelled and stats.pending == stats.running == 0


@pytest.mark.parametrize("spins_elsewhere", [False, True], ids=["main", "thread"])
def test_a_handler_beside_a_spinner_runs_and_all_adds_up(spins_elsewhere):
    busy_run(spins_elsewhere)


def test_handlers_run_on_the_worker_alone():
    threads = set()
    with duewheel.Scheduler(workers=1) as scheduler:
        scheduler.handle("t", lambda event: threads.add(threading.get_ident()))
        for number in range(20):
            scheduler.in_(0, "t")
            spin_until(lambda number=number: scheduler.stats().succeeded > number)
    assert len(threads) == 1 and threading.get_ident() not in threads


HEAD = """
import os, sys, time, threading, warnings
import duewheel
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from 3.12
ran = []
scheduler = duewheel.Scheduler(workers=2)
scheduler.handle("t", ran.append)
scheduler.start()
def spin(seconds=10, until=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until(): pass
for number in range(1, 4):  # so that the interpreter is seen to be busy
    scheduler.in_(0, "t")
    spin(until=lambda: len(ran) >= number)
# From here on a worker that is on its way posts a call, which stays where it is while the main thread is in C.
scheduler.in_many([0.001 * n for n in range(20)], "t")
"""

ENDS = {
    "exit": "",
    "exit while the main thread is in C": "sorted(range(100_000), key=lambda n: -n)",
    "exit without a goodbye": "os._exit(0)",
    "close": "scheduler.close(); spin(0.01)",
    "close from a handler": """
        scheduler.handle("c", lambda event: scheduler.close())
        scheduler.in_(0, "c")
        spin(0.02)
        assert scheduler.drain()
        """,
    "drain": "assert scheduler.drain(); spin(0.01)",
    "wait": "assert scheduler.wait(20); assert len(ran) == 23",
}


def run(code):
    program = HEAD + textwrap.dedent(code)
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr and "panic" not in ended.stderr


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS.keys())
def test_it_ends_while_a_worker_is_on_its_way(code):
    for _ in range(50 // len(ENDS) + 1):
        run(code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_forked_while_a_worker_is_on_its_way_has_its_own():
    run("""
        for number in range(20):
            scheduler.in_(0, "t")
            if (child := os.fork()) == 0:
                own_ran = []
                with duewheel.Scheduler(workers=1) as own:
                    own.handle("t", own_ran.append)
                    own.in_many([0, 0.001, 0.007], "t")
                    spin(until=lambda: len(own_ran) == 3)
                os._exit(7 if len(own_ran) == 3 else 1)
            spin(0.002)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert scheduler.wait(20) and len(ran) == 43
        """)
