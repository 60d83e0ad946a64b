"""A backup is a store of its own: whole, while the file is in use, and never laid over what is there."""

import threading
import time

import pytest
from jobs_file import FAR, JobsFile, fail, keyring

from duewheel import LocalStorage, Scheduler, StorageError


def test_a_backup_is_a_store(file):
    file.act = fail
    scheduler = file.open(keys=keyring(1, default=1))
    scheduler.in_(0, "t", b"dead", retry_limit=0)
    scheduler.in_(0, "t", b"retry", id="r", min_backoff=10, max_backoff=10)
    file.clock.advance(1)
    scheduler.in_many([5] * 3 + [FAR] * 3, "t", [b"%d" % number for number in range(6)])
    copy = JobsFile(file.path.with_name("copy.db"), keys=keyring(1, default=1))
    copy.clock.advance(1)
    scheduler.backup(copy.path)
    before, dead = list(scheduler.between()), list(scheduler.dead())
    with pytest.raises(StorageError, match="exists already"):
        scheduler.backup(copy.path)
    scheduler.in_(1, "t", b"later")
    assert scheduler.cancel("r")
    copied = copy.open()
    assert list(copied.between()) == before and list(copied.dead()) == dead
    copy.clock.advance(10 * FAR)
    assert [event.data for event in copy.ran][:4] == [b"0", b"1", b"2", b"retry"]
    assert len(scheduler) == 7 and "r" not in scheduler
    copy.close()


def test_a_backup_while_it_is_in_use(path):
    """What was acknowledged before is in the copy, under a load of several threads."""
    stop, done = threading.Event(), []
    with Scheduler(LocalStorage(path, durability="relaxed"), workers=2) as scheduler:
        scheduler.handle("u", lambda event: None)

        def produce():
            while not stop.is_set():
                done.append(scheduler.in_(FAR, "t"))
                scheduler.in_(0, "u")
                time.sleep(0.0001)

        threads = [threading.Thread(target=produce) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(3):
                time.sleep(0.05)
                known = set(done)
                scheduler.backup(path.with_name(f"{number}.db"))
                with Scheduler(path.with_name(f"{number}.db")) as copied:
                    assert known <= {event.job_id for event in copied.between()}
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_a_backup_beside_a_load_without_a_pause(path):
    """It ends, and the load goes on: the thread stops only when the copy is made."""
    copied = threading.Event()
    with Scheduler(LocalStorage(path, durability="relaxed")) as scheduler:

        def produce():
            while not copied.is_set():
                scheduler.in_many([FAR] * 1000, "t", [b"x" * 1000] * 1000)

        thread = threading.Thread(target=produce)
        thread.start()
        try:
            while not len(scheduler):
                time.sleep(0.001)
            scheduler.backup(path.with_name("copy.db"))
        finally:
            copied.set()
            thread.join()
    assert path.with_name("copy.db").exists()


def test_a_backup_to_where_none_can_be_is_refused(file):
    scheduler = file.open()
    scheduler.in_(FAR, "t", id="a")
    nowhere = file.path.parent / "no" / "where.db"
    for bad, remedy in ((file.path, "new file"), (file.path.parent, "new file"), (nowhere, "make it first")):
        with pytest.raises(StorageError, match=remedy) as refused:
            scheduler.backup(bad)
        assert str(refused.value).count(str(bad)) == 1
    for bad in (5, None):
        with pytest.raises(TypeError):
            scheduler.backup(bad)
    assert "a" in scheduler and scheduler.in_(1, "t")
