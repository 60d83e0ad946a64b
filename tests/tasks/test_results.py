"""What a task returned is kept with its job, stored and given back by its codec."""

import asyncio

import pytest
from waiting import PATIENCE_S

from duewheel import Discard, Outcome, Scheduler, StateError, aio
from duewheel.tasks import Task, TaskOutcome
from duewheel.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=["memory", "file"])
def scheduler(request, clock, tmp_path):
    storage = None if request.param == "memory" else tmp_path / "jobs.db"
    with Scheduler(storage, clock=clock) as scheduler:
        yield scheduler


@pytest.mark.parametrize("codec", ["json", "msgspec", "pydantic"])
def test_the_value_is_what_was_returned(scheduler, clock, codec):
    @scheduler.task("pair", codec=codec)
    def pair(a: int, b: int = 1) -> list[int]:
        return [a, b]

    assert isinstance(pair, Task)
    id = pair.using(keep=60).in_(0, 5)
    pair.using(id="named", keep=60).at(1, 6, b=7)
    with pytest.raises(TimeoutError):
        pair.outcome("named")
    clock.advance(1)
    assert pair.outcome(id).value == [5, 1]
    outcome = pair.outcome("named", timeout=PATIENCE_S)
    assert (outcome.state, outcome.value, outcome.reason, outcome.error) == ("succeeded", [6, 7], None, None)
    assert outcome.ended == clock.now_ns()
    assert scheduler.outcome("named") == outcome.outcome == Outcome("succeeded", b"[6,7]", ended=outcome.ended)
    assert repr(outcome).startswith("<task outcome Outcome('succeeded'")


def test_nothing_is_stored_where_nothing_is_kept(scheduler, clock):
    @scheduler.task("object")
    def any_object() -> object:
        return object()

    any_object.in_(0)
    any_object.using(id="kept", keep=60, retry_limit=0).in_(0)
    clock.advance(0)
    assert scheduler.stats().succeeded == 1
    outcome = any_object.outcome("kept")
    assert outcome.reason == "failed"
    assert "the result cannot be stored as JSON" in outcome.error
    with pytest.raises(StateError, match="it is failed: TypeError: the result cannot be stored"):
        _ = outcome.value


def test_none_is_a_value_and_a_death_has_none(scheduler, clock):
    @scheduler.task("none")
    def none(fails: bool) -> None:
        if fails:
            raise Discard("no card")

    none.using(id="none", keep=60).in_(0, fails=False)
    none.using(id="dead", keep=60).in_(0, fails=True)
    none.using(id="gone", keep=60).in_(5, fails=True)
    scheduler.cancel("gone")
    clock.advance(0)
    assert none.outcome("none").value is None
    with pytest.raises(StateError, match="it is discarded: no card"):
        _ = none.outcome("dead").value
    with pytest.raises(StateError, match="it is cancelled"):
        _ = none.outcome("gone").value


def test_awaited():
    async def main():
        async with aio.Scheduler() as scheduler:

            @scheduler.task("twice")
            async def twice(text: str) -> str:
                await asyncio.sleep(0)
                return text * 2

            id = await twice.using(keep=60).in_(0, "ab")
            outcome = await twice.outcome(id, timeout=PATIENCE_S)
            assert isinstance(outcome, TaskOutcome)
            assert outcome.value == "abab"

    asyncio.run(main())
