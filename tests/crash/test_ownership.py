"""Whose a store is: one owner at a time, whatever its process does, under whatever name, across forks and kills."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path

import pytest
from on_disk import files

import duewheel
from duewheel import LocalStorage, Scheduler


def read(path):
    with open(path, "rb") as file:  # noqa: PTH123
        file.read()


def query(path):
    connection = sqlite3.connect(path, timeout=0)
    try:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("SELECT count(*) FROM job").fetchall()
    finally:
        connection.close()


def open_again(path):
    with pytest.raises(duewheel.StorageLockedError, match="close the scheduler that has it"):
        Scheduler(path)


@pytest.mark.parametrize(
    "touch",
    [read, query, open_again, lambda path: shutil.copy(path, path + ".aside")],
    ids=["read", "query", "open", "copy"],
)
@pytest.mark.parametrize("suffix", ["", "-ops", "-wal", "-lock"])
def test_the_owner_may_touch_its_files(children, path, touch, suffix):
    if suffix and touch in (query, open_again):
        pytest.skip("that is of the database")
    scheduler = Scheduler(path, workers=1)
    ran = threading.Event()
    scheduler.handle("t", lambda event: ran.set())
    scheduler.in_(7_200, "far", id="kept")
    touch(path + suffix)
    assert children.state_of(path) == "StorageLockedError"
    scheduler.in_(0, "t")
    scheduler.start()
    assert ran.wait(20)
    scheduler.close()
    with Scheduler(path) as again:
        assert "kept" in again and len(again) == 1


def test_another_program_is_kept_out(path):
    """SQLite knows nothing of the lock file."""
    query_it = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('UPDATE meta SET value = value')"
    with Scheduler(path):
        read(path)
        foreign = subprocess.run(
            [sys.executable, "-c", query_it, path], capture_output=True, text=True, timeout=50, check=False
        )
    assert "database is locked" in foreign.stderr


def test_one_that_locks_as_sqlite_does_is_not_disturbed(children, path):
    """An owner of a version that has no lock file, or `sqlite3` within a transaction."""
    Scheduler(path).close()
    hold = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    hold += "c.execute('PRAGMA locking_mode = EXCLUSIVE')\nc.execute('BEGIN EXCLUSIVE')\n"
    hold += "print(1, flush=True)\nsys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    children.started.append(holder)
    children.line(holder)
    with pytest.raises(duewheel.StorageLockedError, match=rf"\b{holder.pid}\b"):
        Scheduler(path)
    holder.communicate(timeout=20)
    Scheduler(path).close()


def test_a_lock_file_that_was_removed_lets_nobody_in(children, path):
    with Scheduler(path):
        Path(path + "-lock").unlink()
        assert children.state_of(path) == "StorageLockedError"
        open_again(path)


@pytest.mark.parametrize("link", ["symlink", "relative", "hard"])
def test_another_name_is_the_same_store(children, place, path, link, monkeypatch):
    other = place / "sub" / "other.db"
    other.parent.mkdir()
    with Scheduler(path) as scheduler:
        if link == "hard":
            other.hardlink_to(path)
        elif link == "symlink":
            other.symlink_to(path)
        else:
            monkeypatch.chdir(other.parent)
            other = Path("../jobs.db")
        assert children.state_of(other) == "StorageLockedError"
        open_again(str(other))
        scheduler.in_(7_200, "t", id="kept")
    assert files(place / "sub") in ([], ["other.db"], ["other.db", "other.db-lock"])
    with Scheduler(other) as scheduler:
        assert "kept" in scheduler
        if link != "hard":
            assert (place / "jobs.db-ops").exists()
            assert (place / "jobs.db-wal").exists()
            assert not Path(f"{other}-ops").exists() or link == "relative"


def test_a_link_that_leads_nowhere_yet(place, path):
    (place / "data").mkdir()
    link = place / "link.db"
    link.symlink_to(Path("data") / "jobs.db")
    for _ in range(2):
        with Scheduler(link) as scheduler:
            assert files(place / "data") == ["jobs.db", "jobs.db-lock", "jobs.db-ops", "jobs.db-wal"]
            assert files(place) == ["data", "link.db"]
            assert "kept" in scheduler or scheduler.in_(7_200, "t", id="kept")
    assert len(Scheduler(place / "data" / "jobs.db")) == 1


def test_a_relative_path_means_the_place_it_had(children, place, monkeypatch):
    one, other = place / "one", place / "other"
    one.mkdir()
    other.mkdir()
    monkeypatch.chdir(one)
    first = Scheduler("jobs.db")
    first.in_(7_200, "t", id="first")
    monkeypatch.chdir(other)
    second = Scheduler("jobs.db")
    second.in_(7_200, "t", id="second")
    first.backup("copy.db")
    first.close()
    assert files(one) == ["jobs.db", "jobs.db-lock"]
    assert files(other) == ["copy.db", "jobs.db", "jobs.db-lock", "jobs.db-ops", "jobs.db-wal"]
    second.close()
    for name, job in (("one/jobs.db", "first"), ("other/jobs.db", "second"), ("other/copy.db", "first")):
        with Scheduler(place / name) as again:
            assert [event.job_id for event in again.between()] == [job]


@pytest.mark.parametrize("relative", [True, False])
def test_a_store_that_was_moved_away_removes_nothing_of_the_new_one(children, place, monkeypatch, relative):
    data = place / "data"
    data.mkdir()
    monkeypatch.chdir(place)
    path = "data/jobs.db" if relative else str(data / "jobs.db")
    old = Scheduler(path)
    old.in_(7_200, "t", id="old")
    data.rename(place / "moved")
    data.mkdir()
    new = children.start("hold", path=str(data / "jobs.db"))
    children.line(new)
    old.in_(7_200, "t", id="later")
    old.close()
    assert files(data) == ["jobs.db", "jobs.db-lock", "jobs.db-ops", "jobs.db-wal"]
    assert children.state_of(data / "jobs.db") == "StorageLockedError"
    children.kill(new)
    with Scheduler(data / "jobs.db") as again:
        assert len(again) == 1
    with Scheduler(place / "moved" / "jobs.db") as again:
        assert {event.job_id for event in again.between()} == {"old", "later"}


FORKED = """
import os, sys, warnings
import duewheel
warnings.simplefilter("ignore", DeprecationWarning)
scheduler = duewheel.Scheduler(sys.argv[1])
scheduler.in_(7_200, "t", id="kept")
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
print(os.getpid(), child, flush=True)
sys.stdin.read()
"""


def test_a_kill_frees_it_at_once_while_a_forked_child_lives(children, path):
    owner = subprocess.Popen([sys.executable, "-c", FORKED, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    children.started.append(owner)
    _, child = map(int, children.line(owner).split())
    assert children.state_of(path) == "StorageLockedError"
    owner.kill()
    owner.wait(20)
    os.kill(child, 0)
    with Scheduler(path) as scheduler:
        assert "kept" in scheduler
    os.kill(child, signal.SIGKILL)


def test_an_executed_child_has_no_lock(children, path):
    scheduler = Scheduler(path)
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
    )
    children.started.append(child)
    scheduler.close()
    assert children.state_of(path) == "opened"
    assert child.poll() is None
    child.communicate(b"\n", timeout=20)


def in_child(work):
    """Run it in a forked child, which ends within a minute; `None`, or what it raised."""
    reads, writes = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            told = repr(work())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writes, told.encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as told:
        said = told.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return said


def use(path, id):
    with Scheduler(path, workers=1) as scheduler:
        ran = threading.Event()
        scheduler.handle("t", lambda event: ran.set())
        scheduler.in_(7_200, "far", id=id)
        scheduler.in_(0, "t")
        scheduler.start()
        assert ran.wait(20)
        return sorted(event.job_id for event in scheduler.between() if event.target == "far")


def test_a_child_opens_what_its_parent_has_closed(path):
    scheduler = Scheduler(path)
    scheduler.in_(7_200, "far", id="parent")
    closed, told = os.pipe()

    def work():
        open_error = None
        try:
            Scheduler(path)
        except duewheel.StorageLockedError as error:
            open_error = str(error)
        assert str(os.getppid()) in open_error, open_error
        os.write(ready, b"1")
        assert os.read(closed, 1) == b"1"
        return [use(path, "child"), use(path, "child again")]

    asked, ready = os.pipe()

    def close():
        assert os.read(asked, 1) == b"1"
        scheduler.close()
        os.write(told, b"1")

    closer = threading.Thread(target=close)
    closer.start()
    said = in_child(work)
    closer.join(20)
    assert said == "[['child', 'parent'], ['child', 'child again', 'parent']]"
    for pipe in (closed, told, asked, ready):
        os.close(pipe)
    assert use(path, "parent again") == ["child", "child again", "parent", "parent again"]


def test_a_child_opens_another_path(place, path, children):
    with Scheduler(path) as scheduler:
        scheduler.in_(7_200, "far", id="parent")
        assert in_child(lambda: use(place / "other.db", "child")) == "['child']"
        assert children.state_of(path) == "StorageLockedError"
        assert files(place) == ["jobs.db", "jobs.db-lock", "jobs.db-ops", "jobs.db-wal", "other.db", "other.db-lock"]


def test_a_child_of_multiprocessing_opens_another_path(place, path):
    context = multiprocessing.get_context("fork")
    with Scheduler(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=use, args=(place / "other.db", "child"))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    assert use(place / "other.db", "mine") == ["child", "mine"]


def test_a_fork_amid_work_leaves_a_child_that_can_open(place, path):
    """Whatever the store's threads were about at that moment, within SQLite or in an opening."""
    over = threading.Event()
    with Scheduler(LocalStorage(path, durability="relaxed")) as scheduler:

        def busy():
            while not over.is_set():
                scheduler.in_many([7_200.0] * 200, "far", [b"x" * 500] * 200)
                len(list(scheduler.between()))

        def opens():
            while not over.is_set():
                Scheduler(place / "often.db").close()

        threads = [threading.Thread(target=work) for work in (busy, opens)]
        for thread in threads:
            thread.start()
        try:
            for number in range(30):
                assert in_child(partial(use, place / "child.db", f"{number:02}")).count("'") == 2 * (number + 1)
        finally:
            over.set()
            for thread in threads:
                thread.join()
