"""`close()` with handlers running, and the file opened again at once: each job runs once; jobs that kill end."""

import os
import random
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from duewheel import Consistency, LocalStorage, Scheduler, StorageLockedError

WORKERS = 3
ONCE = {"consistency": Consistency.AT_MOST_ONCE}


def reopened(storage, workers=WORKERS):
    """Open the file as soon as it is given up; how often it was locked."""
    end = time.monotonic() + 20
    locked = 0
    while True:
        try:
            return Scheduler(storage, workers=workers), locked
        except StorageLockedError:
            assert time.monotonic() < end
            locked += 1
            time.sleep(0.0005)


def test_the_file_is_locked_until_the_last_outcome_is_in(path):
    scheduler = Scheduler(path, workers=WORKERS)
    runs, gates, inside = Counter(), [threading.Event() for _ in range(WORKERS)], threading.Semaphore(0)

    def held(event):
        runs[event.job_id] += 1
        inside.release()
        assert gates[int(event.data)].wait(20)

    scheduler.handle("held", held)
    for number in range(WORKERS):
        scheduler.in_(0, "held", str(number).encode(), **(ONCE if number == 1 else {}))
    scheduler.start()
    for _ in range(WORKERS):
        assert inside.acquire(timeout=10)
    # Due and handed over, and never started: at most once is no exception.
    rest = [
        *scheduler.in_many([0] * 50, "held", [b"0"] * 50),
        *scheduler.in_many([0] * 50, "held", [b"0"] * 50, **ONCE),
    ]
    time.sleep(0.05)
    scheduler.close()
    for gate in gates:
        for _ in range(3):
            with pytest.raises(StorageLockedError, match=str(os.getpid())):
                Scheduler(path)
        time.sleep(0.02)
        gate.set()
    assert scheduler.drain(10)
    again, _ = reopened(path)
    assert len(again) == len(rest)
    again.handle("held", held)
    with again:
        assert again.wait(10)
        assert list(again.dead()) == []
    assert len(runs) == WORKERS + len(rest)
    assert set(runs.values()) == {1}


def closed_and_reopened(path, laps, seed):
    rng = random.Random(seed)
    runs, scheduled, locked = Counter(), [], 0

    def short(event):
        runs[event.job_id] += 1
        if rng.random() < 0.5:
            time.sleep(rng.random() * 0.003)

    for _ in range(laps):
        scheduler, times = reopened(path)
        locked += times
        scheduler.handle("short", short)
        scheduler.start()
        for options in ({}, ONCE):
            scheduled += scheduler.in_many([rng.random() * 0.02 for _ in range(20)], "short", **options)
            scheduled.append(scheduler.in_(0, "short", **options))
        time.sleep(rng.random() * 0.03)
        scheduler.close()
    scheduler, _ = reopened(path)
    scheduler.handle("short", short)
    with scheduler:
        assert scheduler.wait(30)
        dead = list(scheduler.dead())
    assert dead == []
    assert set(scheduled) == set(runs), "lost"
    assert set(runs.values()) == {1}, runs.most_common(3)
    return locked


def test_reopened_at_once_nothing_runs_twice(path, record_property):
    record_property("locked", closed_and_reopened(path, 30, time.time_ns()))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_reopened_a_thousand_times(path, record_property):
    record_property("locked", closed_and_reopened(path, 1_000, time.time_ns()))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list threads")
def test_nothing_is_left_of_what_was_closed(path):
    before = len(list(Path("/proc/self/task").iterdir()))
    closed_and_reopened(path, 10, time.time_ns())
    end = time.monotonic() + 10
    while len(list(Path("/proc/self/task").iterdir())) > before:
        assert time.monotonic() < end, "threads of closed schedulers go on"
        time.sleep(0.01)


def test_a_clean_close_is_no_interruption(path):
    runs = Counter()
    ids = []
    for lap in range(8):  # more than max_interruptions
        scheduler, _ = reopened(LocalStorage(path, max_interruptions=2), workers=1)
        inside, gate = threading.Event(), threading.Event()

        def held(event, inside=inside, gate=gate):
            runs[event.job_id] += 1
            inside.set()
            gate.wait(10)

        if lap == 0:
            ids = [scheduler.in_(0, "held", **(ONCE if number % 2 else {})) for number in range(10)]
        scheduler.handle("held", held)
        scheduler.start()
        assert inside.wait(10)
        scheduler.close()
        gate.set()
        assert scheduler.drain(10)
    scheduler, _ = reopened(path)
    assert list(scheduler.dead()) == []
    assert [event.job_id for event in scheduler.between()] == ids[8:]
    assert all(event.run == 1 for event in scheduler.between())
    scheduler.close()
    assert runs == dict.fromkeys(ids[:8], 1)


@pytest.mark.parametrize("most", [1, 3, 5])
def test_a_job_that_kills_its_process_ends(children, path, lines, most):
    with Scheduler(path) as scheduler:
        before = scheduler.in_many([0] * 20, "plain", [b"before"] * 20)
        scheduler.in_(0.001, "poison", id="poison")
        after = scheduler.in_many([0.002] * 20, "plain", [b"after"] * 20)
        scheduler.drain()
    deaths = 0
    while True:
        child = children.start("poison", path=path, max_interruptions=most)
        out, err = child.communicate(timeout=30)
        if child.returncode == 0:
            break
        assert child.returncode == -9, err.decode()
        deaths += 1
        assert deaths <= most
    assert deaths == most
    assert out.decode() == f'[["poison", "interrupted", {most}]]\n'
    runs = [words[1:] for words in lines]
    assert [run for name, run, attempt in runs if name == "poison"] == [str(n + 1) for n in range(most)]
    assert {attempt for name, run, attempt in runs} == {"1"}, "an interruption is no failure"
    assert Counter(name for name, *_ in runs)["after"] == len(after)
    # Ends that were not on disk when the process died are run again.
    assert len(before) <= Counter(name for name, *_ in runs)["before"] <= 2 * len(before)
    with Scheduler(path) as scheduler:
        assert len(scheduler) == 0
        assert [dead.event.job_id for dead in scheduler.dead()] == ["poison"]
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    file.close()


def test_after_a_drain_that_follows_a_close_the_file_is_free(path):
    """The last outcome was in, and the file was given up some milliseconds later."""
    for _ in range(20):
        inside, go = threading.Event(), threading.Event()
        scheduler = Scheduler(path)
        scheduler.handle("t", lambda event, inside=inside, go=go: (inside.set(), go.wait(10)))
        scheduler.start()
        scheduler.in_(0, "t")
        assert inside.wait(10)
        scheduler.close()
        assert not scheduler.drain(0)
        go.set()
        assert scheduler.drain(10)
        Scheduler(path).close()
