"""What tells how a scheduler does: counters as dictionaries, times of deaths, the failure of its store."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from duewheel import DeadEvent, Event, Job, JobOptions, NopScheduler, Scheduler, aio
from duewheel.testing import ManualClock

COUNTS = (
    "pending parked running scheduled started succeeded retried snoozed dead cancelled revived dropped missed stuck"
).split()


def test_stats_as_a_dictionary(quiet):
    clock = ManualClock()
    scheduler = Scheduler(clock=clock)
    scheduler.handle("t", lambda event: None)
    scheduler.start()
    scheduler.in_many([1, 1, 100], "t")
    clock.advance(2)
    stats = scheduler.stats()
    found = stats.asdict()
    assert list(found) == [*COUNTS, "lateness"]
    assert list(found["lateness"]) == ["count", "sum", "mean", "p50", "p90", "p99", "p999", "max"]
    assert all(found[name] == getattr(stats, name) for name in COUNTS)
    assert found["lateness"] == stats.lateness.asdict()
    assert found["lateness"]["count"] == 2
    assert (found["pending"], found["succeeded"]) == (1, 2)
    assert json.loads(json.dumps(found)) == found
    assert list(NopScheduler().stats().asdict()) == list(found)
    for name in found:
        assert f"{name}=" in repr(stats)
    scheduler.close()


def test_counters_begin_at_0_with_each_opening(tmp_path, quiet):
    def dies(event):
        raise OSError("gone")

    with Scheduler(tmp_path / "jobs.db") as scheduler:
        scheduler.handle("t", dies)
        scheduler.in_(0, "t", retry_limit=0)
        scheduler.in_(3600, "t")
        assert not scheduler.wait(0)
        while not scheduler.stats().dead:
            time.sleep(0.001)
    with Scheduler(tmp_path / "jobs.db") as scheduler:
        assert len(list(scheduler.dead())) == 1
        assert scheduler.stats().asdict()["dead"] == 0
        assert (scheduler.stats().scheduled, scheduler.stats().pending) == (1, 1)
    assert "opened again begins at 0" in type(scheduler.stats()).__doc__


@pytest.mark.parametrize("died", [0, 1, -1, 1_798_761_600_123_456_789, -(2**63), 2**63 - 1])
def test_the_time_of_a_death_is_a_datetime_of_utc(died):
    event = Event(Job("a", "t", died, b"", JobOptions()))
    dead = DeadEvent(event, "failed", "why", died)
    assert dead.died_at == event.due_at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=died // 1_000)
    assert dead.died_at.tzinfo is UTC


def test_what_died_may_be_purged_by_when_it_died(quiet):
    clock = ManualClock(1_798_761_600)
    scheduler = Scheduler(clock=clock)
    scheduler.handle("t", lambda event: 1 / 0)
    scheduler.start()
    for _ in range(2):
        scheduler.in_(1, "t", retry_limit=0)
        clock.advance(1)
    last, first = scheduler.dead()
    assert (last.died_at - first.died_at) == timedelta(seconds=1)
    assert scheduler.purge(last.died_at) == 1
    assert [dead.died for dead in scheduler.dead()] == [last.died]
    scheduler.close()


def test_failure_is_none_where_nothing_has_failed(tmp_path):
    for scheduler in (Scheduler(), Scheduler(tmp_path / "a.db"), NopScheduler()):
        assert scheduler.failure is None
        scheduler.close()
        assert scheduler.failure is None

    async def coroutine():
        scheduler = aio.Scheduler(tmp_path / "a.db")
        assert scheduler.failure is None
        await scheduler.close()
        assert scheduler.failure is None

    asyncio.run(coroutine())


FAILING = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int maybe(long call, int fd) {
    if (access(getenv("FAIL"), F_OK) == 0) { errno = EIO; return -1; }
    return syscall(call, fd);
}

int fsync(int fd) { return maybe(SYS_fsync, fd); }
int fdatasync(int fd) { return maybe(SYS_fdatasync, fd); }
"""
CHILD = """
import asyncio, os, sys, threading
from pathlib import Path
import duewheel
from duewheel import Scheduler, StorageError, aio

def failed(failure):
    assert type(failure) is StorageError, failure
    assert "opened again" in str(failure), failure

def plain(path):
    scheduler = Scheduler(path)
    scheduler.in_(3600, "t")
    assert scheduler.failure is None
    Path(os.environ["FAIL"]).touch()
    try:
        scheduler.in_(3600, "t")
    except StorageError as error:
        assert type(error) is type(scheduler.failure) and str(error) == str(scheduler.failure)
    else:
        raise AssertionError("it was acknowledged")
    failed(scheduler.failure)
    scheduler.close()
    failed(scheduler.failure)

def told(path):
    reported = threading.Event()
    class Plugin:
        def store_failed(self, error):
            failed(error)
            reported.set()
    scheduler = Scheduler(path, plugins=[Plugin()])
    scheduler.start()
    scheduler.in_(3600, "t")
    Path(os.environ["FAIL"]).touch()
    try:
        scheduler.in_(3600, "t")
    except StorageError:
        assert reported.wait(30)
    else:
        raise AssertionError("it was acknowledged")
    scheduler.close()

async def awaited(path):
    scheduler = aio.Scheduler(path)
    await scheduler.in_(3600, "t")
    assert scheduler.failure is None
    Path(os.environ["FAIL"]).touch()
    try:
        await scheduler.in_(3600, "t")
    except StorageError as error:
        assert str(error) == str(scheduler.failure)
    else:
        raise AssertionError("it was acknowledged")
    failed(scheduler.failure)
    await scheduler.close()
    failed(scheduler.failure)

if sys.argv[1] == "plain":
    plain(sys.argv[2])
elif sys.argv[1] == "told":
    told(sys.argv[2])
else:
    asyncio.run(awaited(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="a library is preloaded")
@pytest.mark.parametrize("face", ["plain", "told", "awaited"])
def test_a_failed_sync_is_told(face, tmp_path):
    source, library = tmp_path / "failing.c", tmp_path / "failing.so"
    source.write_text(FAILING)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True, timeout=50)
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, face, tmp_path / "jobs.db"],
        env={"LD_PRELOAD": str(library), "FAIL": str(tmp_path / "fail")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_histogram_of_lateness_is_cumulative_and_adds_up(quiet):
    clock = ManualClock()
    scheduler = Scheduler(clock=clock)
    scheduler.handle("t", lambda event: None)
    for late in (0, 0, 1, 2, 5, 30):
        scheduler.at(clock.now() + 50 - late, "t")
    clock.advance(50)
    scheduler.start()
    clock.advance(0)
    lateness = scheduler.stats().lateness
    assert (lateness.count, lateness.sum, lateness.max) == (6, 38, 30)
    assert lateness.mean == lateness.sum / lateness.count
    bounds = (-1, 0, 0.5, 1.01, 10, 29, 30, float("inf"))
    assert lateness.buckets(bounds) == (0, 2, 2, 3, 5, 5, 6, 6)
    assert lateness.buckets([]) == ()
    for wrong, error, says in (
        (["1"], TypeError, "a bound must be a number of seconds, not '1'"),
        ([True], TypeError, "not True"),
        ([float("nan")], ValueError, "not nan"),
        (5, TypeError, "not iterable"),
    ):
        with pytest.raises(error, match=says):
            lateness.buckets(wrong)
    assert lateness == scheduler.stats().lateness
    scheduler.in_(0, "t")
    clock.advance(0)
    assert lateness != scheduler.stats().lateness
    scheduler.close()
