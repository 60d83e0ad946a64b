"""`explain(id)` of a job whose outcome is kept: how it ended, when, and until when that is known."""

import asyncio

import pytest

import duewheel
from duewheel import Discard, Scheduler, aio
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")
ENDED, UNTIL = "1970-01-01T00:16:45.000+00:00", "1970-01-01T00:17:45.000+00:00"
KEPT = f"its outcome is kept, and its id taken, until {UNTIL}"
SAID = {
    "done": f"'done' has succeeded at {ENDED}; {KEPT}",
    "gone": f"'gone' was cancelled at {ENDED}; {KEPT}",
    "closed": f"'closed' is dead, discarded: enough; it died at {ENDED}; {KEPT}",
    "failed": f"'failed' is dead, failed: ZeroDivisionError: division by zero; it died at {ENDED}; {KEPT}",
}


def ends(event):
    if event.data == b"closed":
        raise Discard("enough")
    return None if event.data == b"done" else 1 / 0


def run_all(scheduler, clock):
    scheduler.handle("t", ends)
    scheduler.start()
    for id in SAID:
        scheduler.in_(9 if id == "gone" else 5, "t", id.encode(), id=id, keep=60, retry_limit=0)
    clock.advance(5)
    scheduler.cancel("gone")


@pytest.fixture
def clock():
    return ManualClock(1_000)


@pytest.mark.parametrize("in_file", [False, True])
def test_of_each_state_as_long_as_it_is_kept(tmp_path, clock, in_file):
    with Scheduler(tmp_path / "jobs.db" if in_file else None, clock=clock) as scheduler:
        run_all(scheduler, clock)
        assert {id: scheduler.explain(id) for id in SAID} == SAID
        scheduler.purge()
        clock.advance(59.999)
        assert {id: scheduler.explain(id) for id in SAID} == SAID
        clock.advance(0.001)
        for id in SAID:
            assert scheduler.explain(id) == f"{id!r} is unknown: no job of this id is pending, running or dead"


def test_a_dead_one_is_still_listed_when_its_outcome_is_kept_no_more(tmp_path, clock):
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        run_all(scheduler, clock)
        clock.advance(60)
        assert scheduler.explain("closed") == "'closed' is dead, discarded: enough"
        assert scheduler.revive("closed")
        assert "is due" in scheduler.explain("closed") or "waits" in scheduler.explain("closed")


def test_what_runs_again_under_the_id_is_what_is_explained(clock):
    with Scheduler(clock=clock) as scheduler:
        run_all(scheduler, clock)
        assert scheduler.revive("failed")
        assert scheduler.explain("failed").startswith("'failed' is due since ")


def test_a_client_and_who_awaits_it_say_the_same(tmp_path):
    path = tmp_path / "jobs.db"

    async def awaited():
        async with aio.connect(path) as client:
            return {id: await client.explain(id) for id in SAID}

    async def by_awaiting():
        async with aio.Scheduler(path) as scheduler:
            return {id: await scheduler.explain(id) for id in SAID}

    with Scheduler(path, share=True) as owner:
        owner.handle("t", ends)
        for id in SAID:
            owner.in_(3_600 if id == "gone" else 0, "t", id.encode(), id=id, keep=60, retry_limit=0)
        owner.start()
        owner.cancel("gone")
        assert owner.wait(30)
        said = {id: owner.explain(id) for id in SAID}
        assert all("; its outcome is kept, and its id taken, until " in text for text in said.values())
        with duewheel.connect(path) as client:
            assert {id: client.explain(id) for id in SAID} == said
        assert asyncio.run(awaited()) == said
    assert asyncio.run(by_awaiting()) == said
