"""Each verb through the process that has the file, while it runs the jobs."""

import json
import subprocess
import sys
import time

import pytest
from waiting import PATIENCE_S

from duewheel import Scheduler
from duewheel.cli._ends import FINE, FOUND, USAGE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no sockets of a file")

OWNER = """
import logging, sys, threading, duewheel
logging.getLogger("duewheel").disabled = True
scheduler = duewheel.Scheduler(sys.argv[1], workers=2, share=True)
gate = threading.Event()
scheduler.handle("waits", lambda event: gate.wait())
scheduler.handle("fails", lambda event: {}["nothing"])
scheduler.handle("works", lambda event: None)
scheduler.handle("stuck", lambda event: gate.wait(), timeout=0.01)
with scheduler:
    print("ready", flush=True)
    sys.stdin.read()
    gate.set()
"""


@pytest.fixture
def sharing(path):
    """A process that has the file, shares it, and runs its jobs; those of `waits` until it ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()


@pytest.fixture
def at(cli, sharing, path):
    return lambda verb, *arguments, **keywords: cli(verb, "-f", path, *arguments, **keywords)


def until(look, holds):
    end = time.monotonic() + PATIENCE_S
    while not holds(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found


def test_jobs_are_seen_and_changed_while_they_run(at):
    assert at("add", "works", "+1h", "--id", "a", "-d", "x").out == "a\n"
    assert at("add", "works", "2030-01-01T00:00Z", "--id", "b", "--retry-limit", "1").out == "b\n"
    assert [one["id"] for one in at("list", "--json").records] == ["a", "b"]
    assert at("show", "a", "--json").record["data"] == "x"
    assert "is due in" in at("explain", "a").out
    assert at("move", "a", "2031-01-01T00:00Z").status == FINE
    assert [line.split()[-1] for line in at("list").out.splitlines()[1:]] == ["b", "a"]
    assert at("cancel", "a", "nobody").status == FOUND
    assert at("add", "works", "+1h", "--id", "b").status == FOUND
    record = at("stats", "--json").record
    assert (record["answers"], record["pending"], record["since_start"]["cancelled"]) == ("owner", 1, 1)
    assert "cancelled" in at("stats").out


def test_what_runs_is_seen(at):
    at("add", "waits", "--id", "long", "-d", "x")
    (record,) = until(lambda: at("running", "--json").records, bool)
    assert (record["id"], record["target"], record["attempt"]) == ("long", "waits", 1)
    assert "long" in at("running").out
    (numbers,) = [one for one in at("targets", "--json").records if one["target"] == "waits"]
    assert (numbers["running"], numbers["started"], numbers["lateness"]["count"]) == (1, 1, 1)
    assert "waits" in at("targets").out
    assert "runs now" in at("explain", "long").out
    assert at("cancel", "long").status == FOUND


def test_the_dead_come_back(at):
    at("add", "fails", "--id", "d", "--retry-limit", "0")
    (record,) = until(lambda: at("dead", "--json").records, bool)
    assert record["id"] == "d" and "KeyError" in record["error"]
    assert "KeyError: 'nothing'" in at("show", "d").out
    assert at("revive", "d").out == "revived d\n"
    until(lambda: at("dead", "--json").records, bool)
    assert at("purge", "--before", "now", "--json").record["purged"] >= 1


def test_repeats(at):
    assert at("add", "works", "--every", "1h", "--id", "r").status == FINE
    assert at("pause", "r").out == "paused r\n"
    assert at("repeats", "--json").record["paused"] is True
    assert at("resume", "r").out == "resumed r\n"
    assert at("trigger", "r").out == "triggered r\n"
    until(lambda: at("repeats", "--json").record, lambda one: one["previous"] is not None)


def test_a_target_is_paused(at):
    assert at("pause", "--target", "works").out == "paused works\n"
    assert at("pause", "--target", "works").out == "works is paused already\n"
    at("add", "works", "--id", "held")
    until(lambda: at("stats", "--json").record, lambda record: record["parked"] == 1)
    assert at("pause", "--target", "unheard of").status == FINE
    shown = {one["target"]: (one["paused"], one["parked"]) for one in at("targets", "--json").records}
    assert shown == {
        "works": (True, 1),
        "unheard of": (True, 0),
        **dict.fromkeys(["waits", "fails", "stuck"], (False, 0)),
    }
    lines = at("targets").out.splitlines()
    assert "STATE" in lines[0] and [line.split()[0] for line in lines if " paused " in f"{line} "] == [
        "unheard",
        "works",
    ]
    assert "its target 'works' is paused" in at("explain", "held").out
    found = {one["check"]: one for one in at("doctor", "--json").records}
    assert found["targets"]["said"] == "2 targets paused: unheard of, works (1 pending)"
    assert (found["targets"]["state"], found["parked"]["state"]) == ("note", "ok")
    at("resume", "--target", "unheard of")
    assert at("resume", "--target", "works", "--json").record == {"target": "works", "resumed": True}
    assert at("resume", "--target", "works").out == "works is not paused\n"
    assert "STATE" not in at("targets").out
    until(lambda: at("stats", "--json").record, lambda record: record["since_start"]["succeeded"] == 1)


def test_tail_follows_what_happens(cli, sharing, path):
    tail = subprocess.Popen(
        [sys.executable, "-m", "duewheel", "tail", "--json", "--every", "10ms", "-f", path],
        stdout=subprocess.PIPE,
        text=True,
    )
    cli("add", "works", "-f", path, "--id", "first")  # it is counted, if the first look has been before
    cli("add", "waits", "-f", path, "--id", "long")
    cli("add", "fails", "-f", path, "--id", "d", "--retry-limit", "0")
    seen = {}
    while not {("started", "long"), ("dead", "d")} <= seen.keys():
        record = json.loads(tail.stdout.readline())
        seen[record["what"], record.get("id")] = record
    assert seen["dead", "d"]["reason"] == "failed" and seen["started", "long"]["target"] == "waits"
    tail.kill()
    tail.wait()
    tail.stdout.close()


def test_doctor_asks_the_owner(at, path):
    at("add", "nobody", "2020-01-01T00:00Z")
    ended = until(lambda: at("doctor", "--json", "--deep"), lambda ended: '"parked", "state": "warning"' in ended.out)
    found = {one["check"]: one for one in ended.records}
    assert found["store"]["state"] == "ok" and "answers" in found["store"]["said"]
    assert "nobody 1" in found["parked"]["said"] and found["pages"]["state"] == "ok"
    assert ended.status == FOUND


def test_what_is_stuck_is_seen(at):
    at("add", "stuck", "--id", "s")
    until(lambda: at("stats", "--json").record, lambda record: record["stuck"] == 1)
    assert "past their timeouts" in at("stats").out and at("running", "--json").record["expired"] is True
    assert any(one["check"] == "stuck" for one in at("doctor", "--json").records)


def test_backup_and_export_while_it_runs(at, cli, path, tmp_path):
    at("add", "works", "+1h", "--id", "a", "--header", "tenant=acme")
    assert at("show", "a", "--json").record["headers"] == {"tenant": "acme"}
    at("add", "works", "--every", "2h", "--id", "r")
    assert at("backup", tmp_path / "copy.db").status == FINE
    exported = at("export").out
    assert [one["id"] for one in cli("list", "-f", tmp_path / "copy.db", "--json").records] == ["a", "r"]
    assert cli("export", "-f", tmp_path / "copy.db").out == exported

    at("cancel", "a", "r")
    taken = at("import", "-", said=exported.encode())
    assert taken.out == "took in 1 job and 1 repeat\n"
    assert at("export").out == exported
    assert "2 were there already" in at("import", "-", said=exported.encode()).out


def test_what_only_the_program_does_is_refused_with_the_remedy(at, tmp_path):
    (tmp_path / "keys").write_text(f"1 {'00' * 32}")
    ended = at("rotate", "--keys", tmp_path / "keys")
    assert ended.status == USAGE and "rotate()" in ended.err


def test_when_the_owner_ends_the_file_is_opened(cli, sharing, path):
    cli("add", "works", "+1h", "-f", path, "--id", "a")
    sharing.stdin.close()
    assert sharing.wait(30) == 0
    assert cli("stats", "--json", "-f", path).record["answers"] == "file"
    Scheduler(path).close()
    sharing.stdin = open("/dev/null")  # noqa: SIM115, PTH123 - for the fixture to close
