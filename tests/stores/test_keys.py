"""Data in a file of a keyring: encrypted on disk, under new keys after a rotation, refused without the right ones."""

import threading

import pytest
from jobs_file import FAR, KEY, JobsFile, keyring

from duewheel import Discard, Keyring, LocalStorage, Scheduler, WrongKeyError

SECRET = b"the secret of this payload, long enough to be found"


def test_data_is_encrypted_on_disk(path):
    for keys, found in ((None, True), (keyring(1, default=1), False)):
        file = JobsFile(path.with_name(f"{found}.db"))
        file.act = lambda event: (_ for _ in ()).throw(Discard("no"))
        scheduler = file.open(keys=keys)
        scheduler.in_(FAR, "t", SECRET, id="a")
        scheduler.in_(0, "t", SECRET)
        file.clock.advance(0)
        scheduler.backup(path.with_name(f"copy-{found}.db"))
        parts = sorted(path.parent.glob(f"*{found}.db*"))
        assert len(parts) >= 3  # the journal, too
        assert any(SECRET in part.read_bytes() for part in parts) == found
        scheduler.close()
        assert (SECRET in file.path.read_bytes()) == found
        scheduler = file.again(keys=keys)
        assert [one.event.data for one in scheduler.dead()] == [SECRET] == [scheduler.get("a").data]
        file.close()


def test_keys_rotate(path):
    file = JobsFile(path)
    file.act = lambda event: (_ for _ in ()).throw(Discard("no"))
    scheduler = file.open(keys=keyring(1, default=1))
    for number in range(600):
        scheduler.in_(FAR + number, "t", SECRET + b"%d" % number, id=f"j{number}")
    scheduler.in_many([0] * 600, "t", [SECRET] * 600)
    file.clock.advance(0)
    scheduler = file.again(keys=keyring(1, 2, default=2))
    scheduler.in_(FAR, "t", SECRET, id="by 2")
    assert scheduler.get("j7").data == SECRET + b"7"
    scheduler.close()
    with pytest.raises(WrongKeyError, match="key 1"):  # both are needed until it is rotated
        file.open(keys=keyring(2, default=2))
    scheduler = file.open(keys=keyring(1, 2, default=2))
    scheduler.rotate()
    scheduler.rotate()
    scheduler.in_(FAR, "t", SECRET, id="after")
    scheduler = file.again(keys=keyring(2, default=2))
    assert [scheduler.get(f"j{number}").data for number in range(600)] == [
        SECRET + b"%d" % number for number in range(600)
    ]
    assert {one.event.data for one in scheduler.dead()} == {SECRET}
    assert scheduler.get("by 2").data == scheduler.get("after").data == SECRET
    scheduler.close()
    with pytest.raises(WrongKeyError):
        file.open(keys=keyring(1, default=1))
    file.close()


def test_keys_rotate_while_jobs_come_and_go(path):
    stop = threading.Event()
    with Scheduler(LocalStorage(path, keys=keyring(1, default=1)), workers=1) as scheduler:
        scheduler.in_many([FAR] * 2_000, "t", [SECRET] * 2_000)
    with Scheduler(LocalStorage(path, keys=keyring(1, 3, default=3), horizon=10), workers=2) as scheduler:
        scheduler.handle("u", lambda event: None)

        def produce():
            while not stop.is_set():
                scheduler.in_(0, "u", SECRET)
                scheduler.cancel(scheduler.in_(FAR, "t", SECRET))

        thread = threading.Thread(target=produce)
        thread.start()
        try:
            scheduler.rotate()
        finally:
            stop.set()
            thread.join()
    with Scheduler(LocalStorage(path, keys=keyring(3, default=3))) as scheduler:
        assert sum(event.data == SECRET for event in scheduler.between()) >= 2_000


@pytest.mark.parametrize(("keys", "said"), [
    (None, "needs the key 1"),
    (Keyring({2: KEY[2]}, default=2), "needs the key 1"),
    (Keyring({1: KEY[2]}, default=1), "key 1 is not the one"),
    (Keyring({1: KEY[2], 2: KEY[1]}, default=2), "key 1 is not the one"),
], ids=["none", "missing", "wrong", "exchanged"])  # fmt: skip
def test_a_file_is_refused_without_its_keys_and_stays_as_it_was(path, keys, said):
    file = JobsFile(path)
    file.open(keys=keyring(1, default=1)).in_(FAR, "t", SECRET, id="a")
    file.close()
    before = path.read_bytes()
    with pytest.raises(WrongKeyError, match=said):
        Scheduler(LocalStorage(path, keys=keys))
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path, path.with_name("jobs.db-lock")]
    assert file.open(keys=keyring(1, 2, default=1)).get("a").data == SECRET
    file.close()


def test_a_plain_file_can_be_encrypted(path):
    file = JobsFile(path)
    file.open().in_(FAR, "t", SECRET, id="a")
    scheduler = file.again(keys=keyring(1, default=1))
    assert scheduler.get("a").data == SECRET
    scheduler.rotate()
    scheduler.close()
    assert SECRET not in path.read_bytes()
    with pytest.raises(WrongKeyError):
        file.open()
    file.close()


def test_rotate_needs_a_keyring(path):
    with Scheduler(path) as scheduler, pytest.raises(WrongKeyError, match="no keyring"):
        scheduler.rotate()
