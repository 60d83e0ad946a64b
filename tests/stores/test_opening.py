"""What is refused when a file is opened, and leaves all as it was."""

import os
import threading

import pytest

from duewheel import Scheduler, StorageCorruptError, StorageError, StorageLockedError


def test_a_file_has_one_owner_at_a_time(path):
    with (
        Scheduler(path),
        pytest.raises(StorageLockedError, match=rf"jobs\.db.*open in this process {os.getpid()} already"),
    ):
        Scheduler(path)
    Scheduler(path).close()


@pytest.mark.parametrize("content", [b"x" * 5_000, b"SQLite format 3\0" + b"\xff" * 5_000], ids=["text", "header"])
def test_a_file_of_another_program_is_refused_and_stays_as_it_was(path, content):
    path.write_bytes(content)
    with pytest.raises(StorageCorruptError, match=r"jobs\.db"):
        Scheduler(path)
    assert path.read_bytes() == content and threading.active_count() < 20


def test_a_directory_and_a_path_to_nowhere_are_refused(path):
    with pytest.raises(StorageError, match="not a file: give the path of a file") as refused:
        Scheduler(path.parent)
    assert str(refused.value).count(str(path.parent)) == 1
    with pytest.raises(StorageError, match="No such file"):
        Scheduler(path / "jobs.db")
    assert list(path.parent.iterdir()) == []


def test_a_wrong_argument_opens_nothing(path):
    for wrong in ({"workers": 0}, {"options": 5}, {"seed": -1}, {"clock": 5}):
        with pytest.raises((TypeError, ValueError)):
            Scheduler(path, **wrong)
        assert list(path.parent.iterdir()) == []
