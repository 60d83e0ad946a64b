"""What the doctor finds, and what it says against it."""

import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from on_disk import files

from duewheel import Scheduler
from duewheel.cli import _machine
from duewheel.cli._ends import FINE, FOUND


def found(ended, check):
    return [one for one in ended.records if one["check"] == check]


@pytest.fixture
def doctor(cli, path):
    Scheduler(path).close()
    return lambda *arguments: cli("doctor", "--json", "-f", path, *arguments)


def test_all_is_well(cli, doctor, path):
    ended = doctor()
    assert {one["state"] for one in ended.records} <= {"ok", "note"} and ended.status == FINE
    assert {"versions", "store", "overdue", "dead", "pages", "disk", "clock"} <= {one["check"] for one in ended.records}
    assert "0 at fault, 0 to look at" in cli("doctor", "-f", path).out
    assert files(path.parent) == ["jobs.db", "jobs.db-lock"]


def test_every_finding_has_a_remedy(doctor, path):
    with Scheduler(path) as scheduler:
        scheduler.at(time.time() - 3_600, "nobody")
    ended = doctor()
    bad = [one for one in ended.records if one["state"] in ("warning", "fault")]
    assert ended.status == FOUND and bad and all(one["remedy"] for one in bad)


def test_what_is_overdue_is_named_by_target(doctor, path):
    scheduler = Scheduler(path)
    scheduler.at_many([time.time() - 7_200] * 3, "mail.send")
    scheduler.at(time.time() + 3_600, "mail.later")
    scheduler.close()
    (overdue,) = found(doctor(), "overdue")
    assert overdue["said"].replace("120m", "2h") == "3 jobs overdue, the first for 2h, by target: mail.send 3"
    assert "no process has the file" in overdue["remedy"]


def test_the_dead_are_counted(doctor, path, quiet):
    with Scheduler(path, workers=1) as scheduler:
        scheduler.handle("t", lambda event: 1 / 0)
        for _ in range(2):
            scheduler.in_(0, "t", retry_limit=0)
        scheduler.wait(10)
    (dead,) = found(doctor(), "dead")
    assert dead["state"] == "warning" and dead["said"].startswith("2 dead, 2 of them within a day, 0 in the day before")
    assert "t 2; the last: ZeroDivisionError" in dead["said"]


def test_of_very_many_it_says_that_there_are_more(doctor, path, quiet, monkeypatch):
    monkeypatch.setattr("duewheel.cli._checkups._LOOKED_AT", 2)
    with Scheduler(path, workers=1) as scheduler:
        scheduler.handle("t", lambda event: 1 / 0)
        for _ in range(3):
            scheduler.in_(0, "t", retry_limit=0)
            scheduler.at(time.time() - 3_600, "nobody")
        scheduler.wait(10)
    ended = doctor()
    assert found(ended, "dead")[0]["said"].startswith("more than 2 dead")
    assert found(ended, "overdue")[0]["said"].startswith("more than 2 jobs overdue")


def test_a_death_that_is_to_come_tells_that_the_clock_was_set_back(doctor, path, quiet):
    from duewheel.testing import ManualClock

    clock = ManualClock(time.time() + 86_400)
    with Scheduler(path, workers=1, clock=clock) as scheduler:
        scheduler.handle("t", lambda event: 1 / 0)
        scheduler.in_(0, "t", retry_limit=0)
        clock.advance(0)
    assert any("set back" in one["said"] for one in found(doctor(), "clock"))


def test_damaged_pages_are_a_fault(doctor, path):
    scheduler = Scheduler(path)
    scheduler.at_many([2**31 + n for n in range(2_000)], "t", [b"x" * 100] * 2_000)
    scheduler.close()
    with path.open("r+b") as file:
        file.seek(-30_000, 2)
        file.write(b"\xff" * 20_000)
    bad = [one for one in doctor().records if one["state"] == "fault"]
    assert bad and bad[0]["check"] in ("pages", "store")


def test_records_that_could_not_be_applied_are_a_fault(doctor, path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE unapplied (number INTEGER PRIMARY KEY, bytes BLOB)")
    connection.execute("INSERT INTO unapplied VALUES (1, x'00')")
    connection.commit()
    connection.close()
    (journal,) = found(doctor(), "journal")
    assert journal["state"] == "fault" and "1 record of the journal" in journal["said"]


def test_a_paused_repeat_is_noted(doctor, path):
    with Scheduler(path) as scheduler:
        scheduler.repeat(60, "t", id="r")
        scheduler.pause("r")
    (repeats,) = found(doctor(), "repeats")
    assert repeats["state"] == "note" and "1 repeat paused" in repeats["said"]


def test_what_a_backup_has_left_is_found(doctor, path):
    Path(f"{path}.part").write_text("")
    (files,) = found(doctor(), "files")
    assert files["state"] == "warning" and files["remedy"] == f"remove {path}.part"


def test_a_file_left_by_a_process_that_was_killed_is_noted(doctor, path, tmp_path):
    scheduler = Scheduler(path)
    scheduler.in_(3_600, "t")
    for suffix in ("", "-ops", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{tmp_path}/copy{suffix}")
    scheduler.close()
    for suffix in ("", "-ops", "-wal"):
        shutil.move(f"{tmp_path}/copy{suffix}", f"{path}{suffix}")
    ended = doctor()
    (journal,) = found(ended, "journal")
    assert journal["state"] == "note" and ended.status == FINE


@pytest.mark.parametrize(
    ("free", "taken", "state"),
    [(10**12, 10, "ok"), (300 << 20, 400 << 20, "warning"), (10 << 20, 0, "fault")],
)
def test_the_disk(tmp_path, monkeypatch, free, taken, state):
    file = tmp_path / "jobs.db"
    with file.open("wb") as made:
        made.truncate(taken)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12 - free, free))
    (finding,) = _machine.disk(file)
    assert finding.state == state and bool(finding.remedy) == (state != "ok")


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv/my\\040jobs rw - nfs4 server:/jobs rw,vers=4.2
31 30 0:41 / /srv/my\\040jobs/local rw master:3 - xfs /dev/sdb rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/srv/my jobs/jobs.db", "nfs4"), ("/srv/my jobs/local/jobs.db", "xfs"), ("/srv/my jobs2/jobs.db", "ext4")],
)
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path, path, kind):
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert _machine._kind(Path(path), tmp_path / "mountinfo") == kind
    assert _machine._kind(Path(path), tmp_path / "nothing") is None


def test_a_network_file_system_is_a_fault(path, monkeypatch):
    monkeypatch.setattr(_machine, "_kind", lambda *_: "nfs4")
    (finding,) = _machine.file_system(path)
    assert finding.state == "fault" and "PostgreSQL" in finding.remedy


def test_a_step_of_the_clock_is_seen():
    began = (time.time_ns() - 5 * 10**9, time.monotonic_ns())
    assert _machine.clock(began).state == "warning"
    assert _machine.clock((time.time_ns(), time.monotonic_ns())).state in ("ok", "note")


def test_a_database_without_workers(cli, a_database):
    scheduler = a_database.open()
    scheduler.at(time.time() - 60, "mail")
    scheduler.close()
    ended = cli("doctor", "--json", *a_database.options)
    (nodes,) = found(ended, "nodes")
    assert (nodes["state"], ended.status) == ("warning", FOUND) and "no node lives" in nodes["said"]
    assert "mail 1" in found(ended, "overdue")[0]["said"]


def test_a_database_with_a_worker(cli, a_database):
    with a_database.open() as scheduler:
        scheduler.handle("t", lambda event: None)
        ended = cli("doctor", "--json", *a_database.options)
        assert (found(ended, "nodes")[0]["state"], ended.status) == ("ok", FINE)
        assert cli("stats", "--json", *a_database.options).record["nodes"] == 1
        scheduler.in_(3_600, "t", id="a")
        out = cli("explain", "a", *a_database.options).out
        assert "is due in" in out and "nothing runs" not in out
