"""What cannot be opened is refused with an error of its own, before any thread starts; and a fork harms nothing."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import duewheel
from duewheel import Keyring, LocalStorage, Scheduler

KEY = bytes(range(32))
NOBODY = 65_534


@pytest.fixture
def closed(path):
    """A store with a job in it, closed."""
    scheduler = Scheduler(path)
    scheduler.in_(3_600, "t", b"payload", id="kept")
    scheduler.close()
    return path


def kept(path, **more):
    scheduler = Scheduler(LocalStorage(path, **more))
    event = scheduler.get("kept")
    scheduler.close()
    return event is not None and event.data == b"payload"


def refused(children, path, **more):
    name, message, threads = children.finish("refused", path=str(path), **more)
    assert threads == 0, "threads were started before it was refused"
    assert name == "opened" or str(path) in message
    return name, message


def test_a_file_of_another_process_is_refused_with_its_pid(children, closed):
    holder = children.start("hold", path=closed)
    pid = int(holder.stdout.readline())
    with pytest.raises(duewheel.StorageLockedError, match=rf"\b{pid}\b"):
        Scheduler(closed)
    name, message = refused(children, closed)
    assert (name, str(pid) in message) == ("StorageLockedError", True)
    children.kill(holder)
    assert kept(closed), "what the dead have locked is free"


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_file_or_directory_that_is_read_only_is_refused(children, closed, place, what):
    root = os.geteuid() == 0
    place.chmod(0o755)
    Path(closed).chmod(0o444 if what == "file" else 0o666)
    if root:
        for parent in place.parents:  # who has no right to come by sees nothing of what is there
            if not parent.stat().st_mode & 0o001:
                pytest.skip(f"{parent} is closed to others")
        if what == "file":
            place.chmod(0o777)
    elif what == "directory":
        place.chmod(0o555)
    before = Path(closed).read_bytes()
    try:
        name, message = refused(children, closed, user=NOBODY if root else None)
    finally:
        place.chmod(0o755)
        Path(closed).chmod(0o644)
    assert name == "StorageError", (name, message)
    assert Path(closed).read_bytes() == before
    assert kept(closed)


def test_a_path_in_a_directory_that_is_not_there_is_refused(children, place):
    name, message = refused(children, place / "none" / "jobs.db")
    assert name == "StorageError", message


def test_a_directory_is_refused(children, place):
    name, message = refused(children, place)
    assert (name, "is not a file" in message) == ("StorageError", True), message


def test_a_damaged_file_is_refused_as_corrupt(children, closed):
    whole = Path(closed).read_bytes()
    damages = {
        "no store of ours": b"a text of somebody, who would like to keep it\n" * 100,
        "its head": b"\xff" * 100 + whole[100:],
        "cut off": whole[: len(whole) // 2],
        "its pages": whole[:4096] + bytes(byte ^ 0xFF for byte in whole[4096:]),
    }
    for damage, content in damages.items():
        Path(closed).write_bytes(content)
        name, message = refused(children, closed)
        assert name == "StorageCorruptError", (damage, name, message)
        assert Path(closed).read_bytes() == content, f"{damage}: it was written to"
    Path(closed).write_bytes(whole)
    assert kept(closed)


def test_a_database_of_another_program_is_refused(children, closed):
    Path(closed).unlink()
    with sqlite3.connect(closed) as file:
        file.execute("CREATE TABLE job (a)")
    file.close()
    assert refused(children, closed)[0] == "StorageCorruptError"


def test_a_file_whose_journal_is_missing_is_refused(children, closed):
    holder = children.start("hold", path=closed)
    holder.stdout.readline()
    children.kill(holder)
    journal, aside = Path(closed + "-ops"), Path(closed + "-aside")
    journal.rename(aside)
    assert refused(children, closed)[0] == "StorageCorruptError"
    aside.rename(journal)
    assert kept(closed)


def test_a_file_of_a_newer_schema_is_refused(children, closed):
    with sqlite3.connect(closed) as file:
        ours = file.execute("PRAGMA user_version").fetchone()[0]
        file.execute(f"PRAGMA user_version = {ours + 1}")
    file.close()
    name, message = refused(children, closed)
    assert (name, str(ours + 1) in message) == ("StorageVersionError", True), message
    with sqlite3.connect(closed) as file:
        file.execute(f"PRAGMA user_version = {ours}")
    file.close()
    assert kept(closed)


def test_a_file_is_refused_without_its_key(children, path):
    keys = Keyring({1: KEY}, default=1)
    scheduler = Scheduler(LocalStorage(path, keys=keys))
    scheduler.in_(3_600, "t", b"payload", id="kept")
    scheduler.close()
    assert refused(children, path)[0] == "WrongKeyError"
    assert refused(children, path, key=bytes(32).hex())[0] == "WrongKeyError"
    with pytest.raises(duewheel.WrongKeyError):
        Scheduler(LocalStorage(path, keys=Keyring({2: KEY}, default=2)))
    assert refused(children, path, key=KEY.hex())[0] == "opened"
    assert kept(path, keys=keys)
    for file in Path(path).parent.iterdir():
        assert b"payload" not in file.read_bytes()


FORKS = """
import os, sys, threading, time, warnings
import duewheel
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from 3.12
path, forks = sys.argv[1], int(sys.argv[2])
ran = []
scheduler = duewheel.Scheduler(path, workers=2)
scheduler.handle("t", lambda event: ran.append(event.job_id))
scheduler.start()
ids = []
over = False
def schedule():
    while not over:
        ids.append(scheduler.in_(0.001, "t", b"x" * 100))
        soon, later = scheduler.in_many([0.01, 5000], "t")
        ids.append(soon)
        assert scheduler.cancel(later)
        time.sleep(0.0005)
threads = [threading.Thread(target=schedule) for _ in range(2)]
for thread in threads: thread.start()
calls = (
    lambda: scheduler.in_(1, "t"), lambda: scheduler.in_many([1], "t"), lambda: scheduler.at(0, "t"),
    lambda: scheduler.cancel("a"), lambda: scheduler.reschedule("a", 0), lambda: scheduler.get("a"),
    lambda: list(scheduler.dead()), lambda: list(scheduler.between()), lambda: scheduler.revive("a"),
    lambda: scheduler.purge(), lambda: scheduler.backup(path + ".copy"), lambda: scheduler.rotate(),
    scheduler.stats, scheduler.start, scheduler.drain, scheduler.close, scheduler.wait, lambda: len(scheduler),
)
for fork in range(forks):
    child = os.fork()
    if child == 0:
        over = True
        for number, call in enumerate(calls):
            try:
                call()
                os._exit(100 + number)
            except duewheel.ForkedError:
                pass
        try:
            duewheel.Scheduler(path)
            os._exit(98)
        except duewheel.StorageLockedError:
            pass
        if fork % 2:
            del calls, scheduler, schedule
            sys.exit(7)
        os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 7, status
    time.sleep(0.002)
over = True
for thread in threads: thread.join()
assert scheduler.wait(20)
assert sorted(ran) == sorted(ids), (len(ran), len(ids))
print(len(ran))
far = [scheduler.in_(5000, "far") for _ in range(10)]
print(*far)
sys.stdout.flush()
if len(sys.argv) > 3:
    os.kill(os.getpid(), 9)
"""


def forked(path, forks, *more):
    return subprocess.run(
        [sys.executable, "-c", FORKS, path, str(forks), *more], capture_output=True, text=True, timeout=500, check=False
    )


@pytest.mark.parametrize("end", [[], ["killed"]], ids=["closed", "killed"])
def test_a_fork_leaves_the_file_to_the_parent(path, end):
    ended = forked(path, 20, *end)
    assert ended.returncode == (-9 if end else 0), ended.stderr
    assert ended.stderr == ""
    far = ended.stdout.splitlines()[1].split()
    scheduler = Scheduler(path)
    assert {event.job_id for event in scheduler.between(time.time() + 1_000)} >= set(far)
    assert list(scheduler.dead()) == []
    scheduler.close()
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    file.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_hundred_forks(path):
    ended = forked(path, 500)
    assert ended.returncode == 0, ended.stderr


def test_what_is_beyond_the_horizon_is_seen_after_a_restart(path):
    for far in (True, False):
        scheduler = Scheduler(path)
        if far:
            scheduler.in_(5_000, "far", id="far")
        assert [event.job_id for event in scheduler.between()] == ["far"]
        assert [event.job_id for event in scheduler.between(time.time() + 1_000)] == ["far"]
        scheduler.close()


def test_a_copy_made_while_it_is_in_use_opens(place, path):
    scheduler = Scheduler(path)
    scheduler.in_(3_600, "t", b"payload", id="kept")
    copy = str(place / "copy.db")
    scheduler.backup(copy)
    scheduler.cancel("kept")
    assert kept(copy)
    assert not scheduler.get("kept")
    scheduler.close()
    shutil.copy(path, copy)
    assert not kept(copy)
