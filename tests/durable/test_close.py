"""Drained and closed: what has not started stays in the file, and what runs has its outcome written."""

import gc
import logging
import os
import threading
import time

import pytest
from jobs_file import FAR, balance, counts

from duewheel import ClosedError, Event, Job, JobOptions, Scheduler, Snooze, StorageLockedError


def test_drain_puts_back_what_has_not_started(path):
    inside, go_on = threading.Event(), threading.Event()
    ran = []

    def work(event):
        ran.append(event.data)
        if event.data == b"0":
            inside.set()
            go_on.wait(10)

    scheduler = Scheduler(path, workers=1)
    scheduler.handle("t", work)
    for number in range(10):
        scheduler.in_(0, "t", b"%d" % number)
    scheduler.start()
    assert inside.wait(10)
    assert not scheduler.drain(0.01)
    scheduler.in_(0, "t", b"10")
    go_on.set()
    assert scheduler.drain(10)
    assert ran == [b"0"] and len(scheduler) == 10
    scheduler.close()
    with Scheduler(path, workers=1) as scheduler:
        scheduler.handle("t", work)
        assert scheduler.wait(10)
    assert ran == [b"%d" % number for number in range(11)]


def test_close_drops_nothing(file, caplog):
    caplog.set_level(logging.DEBUG, "duewheel")
    scheduler = file.open()
    scheduler.in_many([1, FAR, 9 * FAR], "t")
    scheduler.close()
    scheduler.close()
    stats = scheduler.stats()
    assert counts(stats, "scheduled", "pending", "dropped") == (3, 3, 0) and balance(stats) == 0
    assert scheduler.drain() and caplog.text == ""
    calls = [
        scheduler.start, scheduler.wait, scheduler.run, scheduler.dead, scheduler.purge, scheduler.next,
        scheduler.between, scheduler.rotate,
        lambda: scheduler.backup(file.path.with_name("copy.db")),
        lambda: len(scheduler),
        lambda: scheduler.in_(1, "t"),
        lambda: scheduler.in_(1, "t", id="a"),
        lambda: scheduler.in_many([1], "t"),
        lambda: scheduler.at_many([1], "t"),
        lambda: scheduler.cancel("a"),
        lambda: scheduler.reschedule("a", 1),
        lambda: scheduler.get("a"),
        lambda: scheduler.revive("a"),
        lambda: scheduler.handle("u", print),
        lambda: scheduler.storage.create(Event(Job("a", "t", 5, b"", JobOptions()))),
        lambda: "a" in scheduler,
    ]  # fmt: skip
    for number, call in enumerate(calls):
        with pytest.raises(ClosedError):
            raise AssertionError(f"call {number} returned {call()!r}")


@pytest.mark.parametrize("outcome", ["succeeds", "fails", "snoozes"])
def test_a_handler_that_runs_at_the_close_has_its_outcome_written(path, outcome, caplog):
    caplog.set_level(logging.CRITICAL, "duewheel")
    inside, go_on, runs = threading.Event(), threading.Event(), []

    def work(event):
        runs.append((event.run, event.attempt))
        if event.run > 1:
            return
        inside.set()
        go_on.wait(10)
        if outcome == "fails":
            raise RuntimeError
        if outcome == "snoozes":
            raise Snooze(0)

    scheduler = Scheduler(path, workers=1)
    scheduler.handle("t", work)
    scheduler.start()
    scheduler.in_(0, "t", id="a", min_backoff=0.001, max_backoff=0.001)
    assert inside.wait(10)
    scheduler.close()
    with pytest.raises(StorageLockedError, match=str(os.getpid())):
        Scheduler(path)
    assert not scheduler.drain(0.01)
    go_on.set()
    assert scheduler.drain(10)
    assert balance(scheduler.stats()) == 0
    deadline = time.monotonic() + 10
    while True:
        try:
            again = Scheduler(path, workers=1)
            break
        except StorageLockedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with again:
        again.handle("t", work)
        assert again.wait(10)
    assert runs == {"succeeds": [(1, 1)], "fails": [(1, 1), (2, 2)], "snoozes": [(1, 1), (2, 1)]}[outcome]
    with Scheduler(path) as again:
        assert len(again) == 0 and list(again.dead()) == []


def test_with_closes_on_an_exception_too(path):
    def work():
        with Scheduler(path) as scheduler:
            opened.append(scheduler)
            scheduler.in_(FAR, "t", id="a")
            raise KeyError

    opened = []
    with pytest.raises(KeyError):
        work()
    (scheduler,) = opened
    assert scheduler._closed
    with Scheduler(path) as scheduler:
        assert "a" in scheduler


def test_a_handler_may_close(path):
    done = threading.Event()
    scheduler = Scheduler(path)

    @scheduler.handler("t")
    def work(event):
        scheduler.in_(FAR, "t", id="next")
        scheduler.close()
        done.set()

    scheduler.start()
    scheduler.in_(0, "t")
    assert done.wait(10) and scheduler.drain(10)
    time.sleep(0.05)
    with Scheduler(path) as scheduler:
        assert [event.job_id for event in scheduler.between()] == ["next"]


def test_what_nothing_refers_to_gives_up_its_file(path):
    scheduler = Scheduler(path)
    scheduler.in_(FAR, "t", id="a")
    scheduler.start()
    del scheduler
    with pytest.warns(ResourceWarning, match="unclosed"):
        gc.collect()
    with Scheduler(path) as scheduler:
        assert "a" in scheduler
