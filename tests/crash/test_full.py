"""A disk without space: a typed error to the caller, nothing false acknowledged, and all goes on when space returns."""

import shutil
import subprocess

import pytest

THREADS = 4
MIB = 1 << 20
MOUNT = 'mount -t tmpfs -o size=256m none "$0" && head -c 240000000 /dev/zero >"$0/ballast" && exec "$@"'
"""A small disk in a namespace of its own, gone with its last process; on it a file that will go.

What is on its way lies in the journal, in SQLite's log and in the database: so much more has to return.
"""


def audit(lines, listed, found, record):
    tokens, dead = listed
    words = {"ask": set(), "ack": set(), "refused": set(), "ran": set()}
    for word, *said in lines:
        words[word].update(said)
    assert found["other"] == [], found["other"][:3]
    assert found["full"] >= 10 * THREADS
    assert found["again"] == 50, "space is there, and it goes on"
    tokens = set(tokens)
    assert words["ack"] <= tokens, f"acknowledged and not there: {len(words['ack'] - tokens)}"
    assert not words["refused"] & tokens, f"refused and there: {len(words['refused'] & tokens)}"
    assert tokens <= words["ack"], tokens - words["ack"]
    assert dead == []
    assert found["ran"] == len(words["ran"]), (
        "what was due while the disk was full runs, too, and what was refused never"
    )
    for name in words:
        record(name, len(words[name]))
    record("after_s", found["after_s"])


def test_a_full_disk_loses_nothing_that_was_acknowledged(children, place, path, lines, record_property):
    disk = place / "disk"
    disk.mkdir()
    before = ["unshare", "--mount", "sh", "-c", MOUNT, str(disk)]
    if (
        not shutil.which("nsenter")
        or subprocess.run([*before, "true"], capture_output=True, timeout=50, check=False).returncode
    ):
        pytest.skip("no disk may be mounted here")
    full = str(disk / "jobs.db")
    told = {"ballast": str(disk / "ballast"), "log": path, "threads": THREADS}
    child = children.start("fill", before=before, path=full, **told)
    found = children.answer(child)
    # Killed and opened again, on the same disk: a process that stays in the namespace keeps it.
    inside = ["nsenter", f"--mount=/proc/{child.pid}/ns/mnt"]
    keeper = children.start("rest", before=inside)
    children.answer(keeper)
    children.kill(child)
    inside = ["nsenter", f"--mount=/proc/{keeper.pid}/ns/mnt"]
    listed = children.answer(children.start("listed", before=inside, path=full))
    assert not list(disk.iterdir()), "the disk is none of this namespace"
    audit(lines, listed, found, record_property)


@pytest.mark.parametrize("limit", [MIB, 3 * MIB])
def test_a_file_that_may_not_grow_loses_nothing_that_was_acknowledged(children, path, lines, limit, record_property):
    child = children.start("fill", path=path, log=path, threads=THREADS, limit=limit)
    found = children.answer(child)
    children.kill(child)
    audit(lines, children.finish("listed", path=path), found, record_property)


def test_on_a_full_disk_what_only_the_tables_know_is_refused_not_waited_for(children, path):
    """``dead`` waited for ever, and ``backup`` made a copy without what the tables did not have yet."""
    dead, backup, copied, kept, in_the_copy = children.finish(
        "ask_when_full", path=path, copy=path + "-copy", limit=MIB
    )
    assert (dead, backup, copied) == ("StorageFullError", "StorageFullError", False)
    assert in_the_copy == kept > 100
