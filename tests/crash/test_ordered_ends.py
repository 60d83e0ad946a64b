"""What runs when its process ends in order comes again, and is no interruption: only a process that vanished counts."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from duewheel import Consistency, LocalStorage, Scheduler

ENDS = Path(__file__).with_name("ends.py")
ORDERED = [
    "exit_in_with",
    "exit_by_signal",
    "drain_in_vain",
    "close_and_vanish",
    "end_of_the_interpreter",
    "close_on_the_loop",
    "async_handler",
]


def end(way, path, status=0):
    ended = subprocess.run([sys.executable, ENDS, way, path], capture_output=True, timeout=40, check=False)
    assert ended.returncode == status, ended.stderr.decode()


def schedule(path, **options):
    with Scheduler(path) as scheduler:
        scheduler.in_(0, "held", id="held", **options)


def runs(path):
    return [tuple(map(int, line.split()[1:])) for line in Path(path + ".runs").read_text().splitlines()]


def interruptions(path):
    """Those that the file has counted, as of its last life."""
    Scheduler(path).close()
    with closing(sqlite3.connect(path)) as file:
        ((count,),) = file.execute("SELECT interruptions FROM job")
        assert file.execute("SELECT count(*) FROM started").fetchone() == (0,)
        return count


@pytest.mark.parametrize("way", ORDERED)
def test_an_ordered_end_is_no_interruption(path, way):
    schedule(path)
    for _ in range(5):  # more than max_interruptions
        end(way, path)
    assert runs(path) == [(run, 1) for run in range(1, 6)]
    assert interruptions(path) == 0
    with Scheduler(path) as scheduler:
        assert list(scheduler.dead()) == []
        assert (scheduler.get("held").run, scheduler.get("held").attempt) == (6, 1)


def test_only_the_lives_that_vanished_count(path):
    schedule(path)
    for way in ["vanish", "drain_in_vain", "close_and_vanish", "vanish", "end_of_the_interpreter"]:
        end(way, path)
    end("close_and_be_killed", path, status=-9)
    assert interruptions(path) == 2
    end("vanish", path)
    with Scheduler(path) as scheduler:
        (dead,) = scheduler.dead()
        assert (dead.reason, dead.event.run) == ("interrupted", 7)


def test_an_ordered_end_does_not_judge_the_lives_before_it(path):
    schedule(path)
    for _ in range(2):
        end("vanish", path)
    # With fewer interruptions allowed than it has had: none is added now.
    end("close_and_vanish", path)
    with Scheduler(LocalStorage(path, max_interruptions=1)) as scheduler:
        assert scheduler.get("held").run == 4


@pytest.mark.parametrize("way", ["close_and_vanish", "end_of_the_interpreter"])
def test_at_most_once_is_never_started_again(path, way):
    schedule(path, consistency=Consistency.AT_MOST_ONCE)
    end(way, path)
    with Scheduler(path) as scheduler:
        assert len(scheduler) == 0
        (dead,) = scheduler.dead()
        assert (dead.reason, dead.event.run) == ("interrupted", 1)
        assert "process ended" in dead.error
    assert runs(path) == [(1, 1)]
