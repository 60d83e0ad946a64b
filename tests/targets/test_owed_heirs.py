"""`dead=`, where a job died with its process: a later life, once it has the handler, schedules what that leaves."""

import asyncio
import subprocess
import sys

import pytest

from duewheel import LocalStorage, Scheduler, aio

pytestmark = pytest.mark.usefixtures("quiet")
KILLED = """
import os, sys, threading
from duewheel import Consistency, Scheduler

count = 5
all_run = threading.Barrier(count + 1)


def runs(event):
    all_run.wait()
    threading.Event().wait()


with Scheduler(sys.argv[1], workers=count) as scheduler:
    scheduler.handle("mortal", runs)
    once = {"consistency": Consistency.AT_MOST_ONCE}
    for n in range(count - 1):
        scheduler.in_(0, "mortal", b"%d" % n, headers={"n": str(n)}, key=f"k{n}", keep=60, id=f"m{n}", **once)
    scheduler.repeat(0.001, "mortal", b"again", id="again", **once)
    scheduler.in_(3600, "undertaker", b"later")
    all_run.wait(30)
    os._exit(9)
"""
ALL = [b"0", b"1", b"2", b"3", b"again"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "jobs.db"
    ran = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60, check=False)
    assert ran.returncode == 9
    return path


class Life:
    """A life of the file, and the heirs that ran in it."""

    def __init__(self, path, **storage):
        self.heirs = []
        self.scheduler = Scheduler(LocalStorage(path, **{"durability": "relaxed"} | storage))

    def __enter__(self):
        self.scheduler.handle("undertaker", self.heirs.append)
        return self

    def __exit__(self, *_):
        scheduler = self.scheduler
        scheduler.cancel("again")  # it goes on, and its occurrences to come are no matter of this
        scheduler.start()
        while scheduler.stats().pending > 1 or scheduler.stats().running:
            pass
        scheduler._check()
        scheduler.close()

    def data(self):
        return sorted(event.data for event in self.heirs)


def mortal(life, **keywords):
    life.scheduler.handle("mortal", lambda event: None, **keywords)


@pytest.mark.parametrize("storage", [{}, {"resident": 1}, {"durability": "commit"}, {"dead_max": 0}], ids=str)
def test_each_has_one_heir_as_soon_as_its_handler_is_there(path, storage):
    with Life(path, **storage) as life:
        found = life.scheduler.stats().scheduled
        mortal(life, dead="undertaker")
        assert life.scheduler.stats().scheduled == found + 5
    assert life.data() == ALL
    by_data = {event.data: event for event in life.heirs}
    assert dict(by_data[b"2"].job.headers) == {"n": "2"}
    assert all((event.attempt, event.run, event.target) == (1, 1, "undertaker") for event in life.heirs)
    assert len({event.job_id for event in life.heirs} - {"m0", "m1", "m2", "m3", "again"}) == 5
    with Life(path, **storage) as life:
        mortal(life, dead="undertaker")
        died = [dead.event.data for dead in life.scheduler.dead()]
        assert sorted(died) == ([] if "dead_max" in storage else ALL)
    assert life.data() == []


def test_it_does_not_matter_how_many_lives_later_that_is(path):
    for _ in range(2):
        with Life(path, dead_for=0.000_000_001) as life:
            assert len(list(life.scheduler.dead())) == 5  # kept while something is owed
        assert life.data() == []
    with Life(path) as life:
        mortal(life, dead="undertaker")
    assert life.data() == ALL


def test_a_handler_without_it_says_that_they_leave_nothing(path):
    with Life(path) as life:
        mortal(life)
    with Life(path) as life:
        mortal(life, dead="undertaker")
        assert len(list(life.scheduler.dead())) == 5
    assert life.data() == []


def test_the_first_handler_of_a_life_says_it(path):
    with Life(path) as life:
        life.scheduler.handle("mortal", print)()  # and is deregistered
        mortal(life, dead="undertaker")
    assert life.data() == []


def test_what_is_forgotten_or_revived_before_leaves_nothing(path):
    with Life(path) as life:
        assert life.scheduler.revive("m1")
        assert life.scheduler.purge(ids=["m2", "again"]) == 2
        mortal(life, dead="undertaker")
    assert life.data() == [b"0", b"3"]


def test_those_of_a_paused_target_come_too(path):
    with Life(path) as life:
        life.scheduler.pause(target="mortal")
        mortal(life, dead="undertaker")
    assert life.data() == ALL


@pytest.mark.parametrize("shared", [False, True])
def test_of_a_scheduler_that_is_awaited(path, shared):
    heirs = []

    async def main():
        async with aio.Scheduler(path, share=shared) as scheduler:

            @scheduler.handler("mortal", dead="undertaker")
            async def mortal(event):
                pass

            @scheduler.handler("undertaker")
            async def undertaker(event):
                heirs.append(event.data)

            await scheduler.cancel("again")
            await scheduler.start()
            while scheduler.stats().pending > 1:
                await asyncio.sleep(0.001)

    asyncio.run(main())
    assert sorted(heirs) == ALL
