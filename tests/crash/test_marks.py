"""kill -9 where at-most-once jobs are marked ahead: none starts twice, and few are interrupted that never started.

`DUEWHEEL_KILLS`: a tenth as many kills in the slow form (2,000 unless given).
"""

import os
import random
import runpy
import time
from pathlib import Path

import pytest

from duewheel import Scheduler

ONCE = Path(__file__).with_name("once.py")
KILLS = runpy.run_path(str(Path(__file__).with_name("test_kills.py")))
WORKERS = KILLS["WORKERS"]


def killed_in_a_queue(children, path, lines, kills, record, seed):
    """Kill a process that runs a long queue of jobs, each at most once, of which some are cancelled."""
    rng = random.Random(seed)
    for life in range(kills):
        told = {"seed": rng.randrange(2**32), "workers": WORKERS, "jobs": 300}
        child = children.start("queue", program=ONCE, path=path, life=life, **told)
        assert child.stdout.readline(), child.communicate(timeout=50)[1].decode()
        time.sleep(rng.uniform(0, 0.03))
        status = child.poll()
        _, err = children.kill(child)
        assert status is None, f"it ended by itself, with {status}: {err}"
        assert not err, err
    done = children.finish("finish", path=path, workers=WORKERS, storage={}, timeout=300)
    assert done["over"] and done["left"] == 0, done
    figures = KILLS["audit"](KILLS["Books"](lines), kills, WORKERS)
    for name, value in figures.items():
        record(name, value)
    print(figures)  # noqa: T201 - with -s, and in the report of a failure
    return figures


def test_a_few_kills_in_a_queue_of_jobs_at_most_once(children, path, lines, record_property):
    figures = killed_in_a_queue(children, path, lines, 5, record_property, time.time_ns())
    assert figures["acknowledged"] == 5 * 300


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_kills_in_a_queue_of_jobs_at_most_once(children, path, lines, record_property):
    kills = round(0.1 * int(os.environ.get("DUEWHEEL_KILLS", "2000")))
    figures = killed_in_a_queue(children, path, lines, kills, record_property, time.time_ns())
    assert figures["acknowledged"] == kills * 300
    assert figures["marked, not called"] > 0


def left_after(children, path, way):
    """What became of the jobs of a queue that left it in this way: those dead, and those pending."""
    child = children.start("leaves", program=ONCE, path=path, way=way, workers=WORKERS, jobs=20)
    ids = children.answer(child)
    children.kill(child)
    scheduler = Scheduler(path)
    pending = {event.job_id for event in scheduler.between()}
    dead = {dead.event.job_id: dead.reason for dead in scheduler.dead()}
    scheduler.close()
    assert set(dead.values()) <= {"interrupted"}
    return ids, set(dead), pending


def test_marked_in_the_queue_they_are_interrupted(children, path):
    ids, dead, pending = left_after(children, path, "")
    assert set(ids[:WORKERS]) < dead
    assert len(dead) <= 3 * WORKERS
    assert pending == set(ids) - dead


@pytest.mark.parametrize("way", ["cancelled", "cancelled together", "moved", "drained", "closed", "deregistered"])
def test_what_has_left_the_queue_is_not_interrupted(children, path, way):
    ids, dead, pending = left_after(children, path, way)
    assert dead == (set() if way == "deregistered" else set(ids[:WORKERS]))
    assert pending == (set() if way.startswith("cancelled") else set(ids[WORKERS:]))
