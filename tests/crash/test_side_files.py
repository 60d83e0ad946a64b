"""Files that lie beside a database: what is missing, foreign or stale is refused by name; what a kill leaves opens.

`DUEWHEEL_KILLS` is how often the slow forms kill (200 unless given).
"""

import os
import random
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from duewheel import Keyring, LocalStorage, Scheduler, StorageCorruptError, StorageError

ENDINGS = ("", "-ops", "-wal")
VERSION_1 = Path(__file__).resolve().parents[2] / "rust/sqlite/tests/version_1.sql"
QUICK, SLOW = 6, int(os.environ.get("DUEWHEEL_KILLS", "200"))
KILLS = [QUICK, pytest.param(SLOW, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)])]


@pytest.fixture
def killed(children, path):
    """A file that was closed with a job in it, opened again for fifty more, and killed."""
    scheduler = Scheduler(path)
    scheduler.in_(3_600, "t", id="kept")
    scheduler.close()
    child = children.start("fifty", path=path)
    assert len(children.answer(child)) == 50
    children.kill(child)
    return path


def refused(path, *named):
    with pytest.raises(StorageCorruptError) as caught:
        Scheduler(path)
    for name in named:
        assert name in str(caught.value)
    return str(caught.value)


def jobs(path, **more):
    with Scheduler(LocalStorage(path, **more)) as scheduler:
        return len(scheduler)


def move(path, to, endings=ENDINGS):
    for ending in endings:
        Path(path + ending).rename(to + ending)


@pytest.mark.parametrize("gone", [["-wal"], ["-ops"], ["-ops", "-wal"]], ids="+".join)
@pytest.mark.parametrize("how", ["removed", "empty"])
def test_after_a_kill_a_side_file_that_is_missing_is_named(killed, place, gone, how):
    aside = str(place / "aside")
    move(killed, aside, gone)
    if how == "empty":
        for ending in gone:
            Path(killed + ending).touch()
    before = {name: name.read_bytes() for name in place.iterdir() if not name.name.endswith("-lock")}
    message = refused(killed, *(killed + ending for ending in gone))
    assert "Put" in message, message
    assert before == {name: name.read_bytes() for name in place.iterdir() if not name.name.endswith("-lock")}
    move(aside, killed, gone)
    assert jobs(killed) == 51


def test_a_database_that_is_gone_is_not_made_anew(killed, place):
    aside = str(place / "aside")
    move(killed, aside, [""])
    refused(killed, killed + "-ops", killed + "-wal", "gone")
    Path(killed).touch()
    refused(killed, killed + "-ops", killed + "-wal", "gone")
    assert Path(killed).stat().st_size == 0
    move(aside, killed, [""])
    assert jobs(killed) == 51


def test_all_files_together_may_be_moved(killed, place):
    (place / "else").mkdir()
    moved = str(place / "else" / "ein Ort #1 für 50 %?.db")
    move(killed, moved)
    assert jobs(moved) == 51
    assert [file.name for file in (place / "else").iterdir() if "-lock" not in file.name] == [Path(moved).name]


def test_a_bare_copy_of_a_file_in_use_is_refused(children, path, place):
    copies = [str(place / f"copy {number}.db") for number in range(7)]
    child = children.start("copied_live", path=path, copies=copies)
    pending = children.answer(child)
    for copy in copies:
        message = refused(copy, f"{copy}-ops and {copy}-wal are missing or empty", "backup(path)")
        assert "in use" in message
    children.kill(child)
    assert jobs(path) == pending == sum(1 + 300 * number for number in range(7))


def test_a_backup_over_stale_side_files_is_refused(children, killed, place):
    backup = str(place / "backup.db")
    with Scheduler(killed) as scheduler:
        scheduler.in_(3_600, "t")
        scheduler.backup(backup)
    child = children.start("fifty", path=killed)
    children.answer(child)
    children.kill(child)
    live = Path(killed).read_bytes()
    shutil.copy(backup, killed)
    message = refused(killed, killed + "-ops", killed + "-wal", "move away")
    assert "backup" in message
    aside = str(place / "aside")
    move(killed, aside, ["-ops"])
    refused(killed, killed + "-wal")
    move(killed, aside, ["-wal"])
    assert jobs(killed) == 52
    Path(killed).write_bytes(live)
    move(aside, killed, ["-ops", "-wal"])
    assert jobs(killed) == 102, "nothing was done to what was refused"


def test_an_older_copy_under_later_side_files_is_refused(children, killed, place):
    with Scheduler(killed):
        pass
    older = Path(killed).read_bytes()
    child = children.start("fifty", path=killed)
    children.answer(child)
    children.kill(child)
    later = Path(killed).read_bytes()
    Path(killed).write_bytes(older)
    refused(killed, killed + "-ops")
    Path(killed).write_bytes(later)
    assert jobs(killed) == 101


@pytest.mark.parametrize("length", [1, 100, 511])
def test_what_is_too_short_to_be_a_database_is_refused(path, length):
    Path(path).write_bytes(b"\0" * length)
    refused(path, path, "too short")
    assert Path(path).read_bytes() == b"\0" * length


def test_a_copy_is_not_made_beside_what_would_be_taken_for_its_own(path, place):
    copy = str(place / "copy.db")
    with Scheduler(path) as scheduler:
        for ending in ("-ops", "-wal", "-journal"):
            Path(copy + ending).touch()
            with pytest.raises(StorageError, match=f"{ending} exists already"):
                scheduler.backup(copy)
            Path(copy + ending).unlink()
        scheduler.backup(copy)
    assert jobs(copy) == 0


@pytest.mark.parametrize("kills", KILLS)
def test_killed_in_a_rotation_every_payload_is_readable(children, path, kills):
    keys = {1: bytes(range(32)), 2: bytes(range(1, 33))}
    payloads = {str(number).encode() * 40 for number in range(3_000)}
    with Scheduler(LocalStorage(path, keys=Keyring(keys, default=1))) as scheduler:
        scheduler.in_many([3_600] * len(payloads), "t", sorted(payloads))
    rng = random.Random(kills)
    default = 1
    for _ in range(kills):
        child = children.start("rotate_for_ever", path=path, default=3 - default)
        default = children.answer(child)
        time.sleep(rng.random() * 0.1)
        out, err = children.kill(child)
        assert not err, err
        default = int(out.split()[-1]) if out.split() else default
        with Scheduler(LocalStorage(path, keys=Keyring(keys, default=default))) as scheduler:
            assert {event.data for event in scheduler.between()} == payloads
    with Scheduler(LocalStorage(path, keys=Keyring(keys, default=2))) as scheduler:
        scheduler.rotate()
    with Scheduler(LocalStorage(path, keys=Keyring({2: keys[2]}, default=2))) as scheduler:
        assert {event.data for event in scheduler.between()} == payloads


@pytest.mark.parametrize("kills", KILLS)
def test_killed_in_a_backup_no_part_is_taken_for_the_whole(children, path, place, kills):
    with Scheduler(path) as scheduler:
        scheduler.in_many([3_600] * 20_000, "far", [b"x" * 100] * 20_000)
    copy = str(place / "copy.db")
    rng = random.Random(kills)
    parts = 0
    for _ in range(kills):
        child = children.start("back_up_for_ever", path=path, copy=copy)
        children.answer(child)
        time.sleep(rng.random() * 0.2)
        _, err = children.kill(child)
        assert not err, err
        if Path(copy).exists():
            assert jobs(copy) in range(20_000, 20_001 + kills)
            Path(copy).unlink()
            Path(copy + "-lock").unlink()  # of the look at it
        part = Path(copy + ".part")
        if part.exists():
            # Whatever it is, it is not taken for a store with jobs missing.
            parts += 1
            shutil.copy(part, place / "part.db")
            try:
                assert jobs(str(place / "part.db")) in (0, *range(20_000, 20_001 + kills))
                assert part.stat().st_size == 0 or jobs(str(place / "part.db")) > 0
            except StorageCorruptError:
                pass
            for left in place.glob("part.db*"):
                left.unlink()
        assert {file.name for file in place.iterdir() if file.name.startswith("copy")} <= {
            "copy.db.part",
            "copy.db.part-journal",
            "copy.db.part-wal",
        }
    with Scheduler(path) as scheduler:
        scheduler.backup(copy)
    assert jobs(copy) in range(20_000, 20_000 + kills + 1)
    assert not list(place.glob("copy.db.part*")), "what an earlier attempt left is gone"
    assert parts or kills == QUICK


def test_what_a_killed_backup_left_is_no_part_of_the_next(killed, place):
    copy = str(place / "copy.db")
    shutil.copy(killed + "-wal", copy + ".part-wal")
    shutil.copy(killed, copy + ".part")
    with Scheduler(killed) as scheduler:
        scheduler.in_(3_600, "t")
        shutil.copy(killed + "-wal", copy + ".part-wal")
        scheduler.backup(copy)
    assert jobs(copy) == 52
    assert not list(place.glob("copy.db.part*"))


@pytest.mark.parametrize("kills", KILLS)
def test_killed_in_a_migration_it_opens(children, path, place, kills):
    rng = random.Random(kills)
    opened = 0
    for _ in range(kills):
        for left in place.glob("jobs.db*"):
            left.unlink()
        file = sqlite3.connect(path)
        file.executescript(VERSION_1.read_text())
        file.close()
        for _ in range(3):  # what is killed is opened, and killed
            child = children.start("upgrade", path=path)
            assert children.answer(child) == "begin"
            time.sleep(rng.random() * 0.04)
            out, err = children.kill(child)
            assert not err, err
            opened += b"opened" in out
        with Scheduler(path) as scheduler:
            # An hour of 1970: both are due, and wait for handlers.
            assert (len(scheduler), len(list(scheduler.dead()))) == (2, 1)
    assert opened < 3 * kills, "each was opened before it was killed"


MOUNT = 'mount -o loop,errors=remount-ro "$0.img" "$0" && exec "$@"'
"""A disk in a namespace of its own, gone with its last process."""


def test_a_disk_that_turns_read_only(children, place, path, lines):
    disk = place / "disk"
    disk.mkdir()
    made = [["truncate", "-s", "32M", f"{disk}.img"], ["mkfs.ext4", "-q", f"{disk}.img"]]
    before = ["unshare", "--mount", "sh", "-c", MOUNT, str(disk)]
    if not all(map(shutil.which, ("nsenter", "mkfs.ext4", "unshare"))) or any(
        subprocess.run(command, capture_output=True, timeout=50, check=False).returncode
        for command in [*made, [*before, "true"]]
    ):
        pytest.skip("no disk may be mounted here")
    file = str(disk / "jobs.db")
    child = children.start("outlive", before=before, path=file, log=path)
    assert children.answer(child) == "begin"
    while len(list(lines)) < 20:
        assert child.poll() is None
    # As the kernel does when the disk reports errors: at once, whatever is open.
    inside = ["nsenter", f"--mount=/proc/{child.pid}/ns/mnt"]
    subprocess.run([*inside, "mount", "-o", "remount,abort", str(disk)], check=True, timeout=50)
    kept, told = children.answer(child)
    acknowledged = {token for word, token in lines if word == "ack"}
    assert len(acknowledged) == kept >= 20
    *calls, close, again = told
    for name, message in calls:
        assert name == "StorageError", told
        assert "open it again" in message, told
        assert "read-only" in message, told
    assert close[0] in (None, "StorageError"), told
    assert again[0] == "StorageError", told
    assert file in again[1], told
    assert "read-only" in again[1], told
    children.kill(child)
    # The disk is mounted again, and can be written.
    child = children.start("listed", before=before, path=file)
    tokens, dead = children.answer(child)
    assert (acknowledged <= set(tokens), dead) == (True, [])
