"""Calls while the server is away wait, then say so, and change nothing; what ran is written later."""

import signal
import threading
import time

import pytest

from duewheel import PostgresStorage, Scheduler, StorageUnavailableError

OPTIONS = {"lease": 4.0, "poll": 0.05, "timeout": 0.5}


@pytest.fixture
def scheduler(server, schema):
    scheduler = Scheduler(PostgresStorage(server.url, schema=schema, **OPTIONS))
    yield scheduler
    scheduler.close()


def test_a_call_that_waits_in_vain_changes_nothing(server, scheduler):
    scheduler.in_(60, "a", id="kept")
    server.halt(signal.SIGQUIT)
    calls = [
        lambda: scheduler.in_(60, "a"),
        lambda: scheduler.in_many([60] * 5, "a"),
        lambda: scheduler.in_(60, "a", id="given"),
        lambda: scheduler.cancel("kept"),
        lambda: scheduler.get("kept"),
        lambda: len(scheduler),
        lambda: list(scheduler.dead()),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError):
            call()
        assert time.monotonic() - began < 10
    server.start()
    end = time.monotonic() + 20
    while True:
        try:
            assert len(scheduler) == 1
            break
        except StorageUnavailableError:
            assert time.monotonic() < end
    assert scheduler.get("kept") is not None
    scheduler.in_(60, "a", id="given")
    assert len(scheduler) == 2


def test_a_call_waits_for_a_server_that_is_restarted(server, schema):
    scheduler = Scheduler(PostgresStorage(server.url, schema=schema, **{**OPTIONS, "timeout": 30}))
    server.halt(signal.SIGQUIT)
    restart = threading.Timer(1, server.start)
    restart.start()
    id = scheduler.in_(60, "a")
    restart.join()
    assert id in scheduler and len(scheduler) == 1
    scheduler.close()


def test_what_ended_meanwhile_is_written_when_the_server_is_back(server, scheduler):
    runs, going_on = [], threading.Event()

    @scheduler.handler("a")
    def a(event):
        runs.append(event.run)
        going_on.wait(20)

    scheduler.start()
    scheduler.in_(0, "a")
    while not runs:
        time.sleep(0.01)
    server.halt(signal.SIGQUIT)
    going_on.set()
    time.sleep(0.5)
    server.start()
    time.sleep(1)
    assert scheduler.wait(20)
    assert runs == [1]
    assert scheduler.stats().succeeded == 1


def test_closing_does_not_wait_for_ever(server, schema):
    scheduler = Scheduler(PostgresStorage(server.url, schema=schema, **OPTIONS))
    server.halt(signal.SIGQUIT)
    began = time.monotonic()
    scheduler.close()
    assert time.monotonic() - began < 20
