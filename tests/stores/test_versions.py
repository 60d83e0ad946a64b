"""A file of an earlier version of the schema, as its process left it when it was killed, is opened by this one."""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

from duewheel import Consistency, Scheduler
from duewheel.testing import ManualClock

VERSION_4 = Path(__file__).with_name("version_4.tar.xz")
"""Files of a process that was killed, of the last version that had it: a job of each kind. Never to be changed."""
KILLED_AT = 1_796_100_000  # some hours after that


def test_a_file_of_version_4_has_all_that_it_had_and_takes_what_is_new(path):
    with tarfile.open(VERSION_4) as files:
        files.extractall(path.parent, filter="data")
    clock, ran = ManualClock(KILLED_AT), []
    with Scheduler(path, clock=clock) as scheduler:
        found = {event.job_id: event for event in scheduler.between() if len(event.job_id) < 36}
        once = {"journal", "late", "parked", "retry", "runs"}
        assert {*found} == {*once, "daily", "hourly", "journalled", "paused"}
        assert [event.data for event in scheduler.between() if len(event.job_id) == 36] == [b"journal"]
        assert all(
            (dict(event.job.headers), event.job.options.consistency) == ({}, Consistency.AT_LEAST_ONCE)
            for event in found.values()
        )
        assert (found["late"].job.options.retry_limit, found["journal"].job.options.retry_limit) == (2, None)
        assert (found["retry"].attempt, found["runs"].attempt, found["runs"].run) == (2, 1, 2)
        repeats = {repeat.id: repeat for repeat in scheduler.repeats()}
        assert (repeats["paused"].paused, repeats["daily"].count, repeats["daily"].catch_up) == (True, 100, "all")
        (dead,) = scheduler.dead()
        assert (dead.event.job_id, dead.reason) == ("gone", "failed")
        # What the schema is for now.
        scheduler.in_(60, "mail", b"new", id="late", headers={"a": "1"}, key="k", on_conflict="replace")
        scheduler.in_(30, "mail", b"newer", id="journal", headers={"a": "2"}, key="k", on_conflict="update")
        assert scheduler.pause(target="hold")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] > 4
    with Scheduler(path, clock=clock) as scheduler:
        late, journal = scheduler.get("late"), scheduler.get("journal")
        assert (late.data, dict(late.job.headers), late.due) == (b"new", {"a": "1"}, (KILLED_AT + 60) * 10**9)
        assert (journal.data, dict(journal.job.headers), journal.due) == (b"newer", {"a": "2"}, found["journal"].due)
        for target in ("mail", "sweep", "fail", "hold", "nowhere"):
            scheduler.handle(target, lambda event: ran.append(event.job_id))
        clock.advance(60)
        assert {*ran} == {"parked", "hourly", "journalled", "late"}
        assert scheduler.resume(target="hold")
        clock.advance(0)
        assert ran[-1] == "runs"
        scheduler._check()
