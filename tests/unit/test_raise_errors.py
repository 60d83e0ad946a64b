"""A manual clock that re-raises: what a handler raises, an `assert` of a test included, comes out of the advance."""

import asyncio
import traceback

import pytest

from duewheel import Consistency, Discard, Scheduler, Snooze, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def clock():
    return ManualClock(raise_errors=True)


@pytest.fixture(params=[Scheduler, ReferenceScheduler])
def scheduler(request, clock):
    scheduler = request.param(clock=clock)
    scheduler.start()
    yield scheduler
    scheduler.close()


def wrong(event):
    assert event.data == b"right", f"{event.data!r} is wrong"


def test_an_assertion_fails_the_test(clock, scheduler):
    scheduler.handle("t", wrong)
    scheduler.in_(1, "t", b"right")
    clock.advance(1)
    scheduler.in_(1, "t", b"left", retry_limit=0)
    with pytest.raises(AssertionError, match="b'left' is wrong") as caught:
        clock.advance(10)
    assert any(frame.name == "wrong" for frame in traceback.extract_tb(caught.tb))
    assert not hasattr(caught.value, "__notes__")
    # All is as without it, and nothing is raised twice.
    assert clock.now() == 11
    assert scheduler.stats().dead == 1
    assert next(scheduler.dead()).reason == "failed"
    clock.advance(10)


def test_all_that_is_due_runs_and_is_retried_before_it_is_raised(clock, scheduler):
    ran = []
    scheduler.handle("t", wrong)
    scheduler.handle("other", ran.append)
    scheduler.in_(1, "t", b"left", retry_limit=2, min_backoff=1, max_backoff=1)
    scheduler.in_(5, "other")
    with pytest.raises(AssertionError, match="left") as caught:
        clock.advance_to(60)
    (note,) = caught.value.__notes__
    assert note.startswith("handlers raised 2 more in this advance:\nAssertionError: b'left' is wrong")
    assert (len(ran), clock.now()) == (1, 60)
    assert (scheduler.stats().retried, scheduler.stats().dead) == (2, 1)


def test_the_first_is_raised(clock, scheduler):
    def fails(event):
        raise {b"1": KeyError, b"2": OSError}[event.data]("what")

    scheduler.handle("t", fails)
    scheduler.in_many([2, 1], "t", [b"2", b"1"], retry_limit=0)
    with pytest.raises(KeyError) as caught:
        clock.advance(2)
    assert "OSError: what" in caught.value.__notes__[0]


def test_notes_are_few(clock, scheduler):
    def fails(event):
        raise OSError("gone")

    scheduler.handle("t", fails)
    scheduler.in_many([1] * 100, "t", retry_limit=0)
    with pytest.raises(OSError) as caught:
        clock.advance(1)
    (note,) = caught.value.__notes__
    assert note.startswith("handlers raised 99 more") and note.endswith("… and 94 more")
    assert note.count("\n") == 6


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_is_no_exception_comes_out_too(clock, scheduler, error):
    def ends(event):
        raise error

    scheduler.handle("t", ends)
    scheduler.in_(1, "t", retry_limit=0)
    with pytest.raises(type(error)):
        clock.advance(1)
    assert scheduler.stats().dead == 1


def test_signals_are_no_errors(clock, scheduler):
    def steers(event):
        if event.run == 1:
            raise Snooze(1)
        raise Discard("enough")

    scheduler.handle("t", steers)
    scheduler.in_(1, "t")
    clock.advance(5)
    assert (scheduler.stats().snoozed, scheduler.stats().dead) == (1, 1)
    scheduler.in_(1, "t", consistency=Consistency.AT_MOST_ONCE)  # there is no other time: it has failed
    with pytest.raises(Snooze):
        clock.advance(5)


def test_the_first_error_of_several_schedulers_is_raised_and_has_the_others_as_notes(clock):
    engine, reference = Scheduler(clock=clock), ReferenceScheduler(clock=clock)
    for scheduler in (engine, reference):
        scheduler.handle("t", wrong)
        scheduler.start()
    reference.in_(1, "t", b"a", retry_limit=0)
    engine.in_(2, "t", b"b", retry_limit=0)
    with pytest.raises(AssertionError, match="b'a'") as caught:
        clock.advance(2)
    assert "b'b'" in caught.value.__notes__[0]
    engine.close()
    reference.close()


def test_what_an_async_handler_raises_comes_out(clock):
    scheduler = Scheduler(clock=clock)

    @scheduler.handler("t")
    async def waits(event):
        if event.data:
            await asyncio.sleep(0)
        wrong(event)

    scheduler.start()
    for data in (b"", b"left"):
        scheduler.in_(1, "t", data, retry_limit=0)
        with pytest.raises(AssertionError, match="is wrong"):
            clock.advance(1)
    assert scheduler.stats().dead == 2
    clock.advance(1)
    scheduler.close()


def test_what_a_handler_raises_comes_out_on_a_loop_that_runs(clock):
    async def main():
        async with aio.Scheduler(clock=clock) as scheduler:

            @scheduler.handler("t")
            async def waits(event):
                await asyncio.sleep(0)
                wrong(event)

            await scheduler.in_(1, "t", b"left", retry_limit=0)
            with pytest.raises(AssertionError, match="left"):
                await asyncio.to_thread(clock.advance, 1)
            assert scheduler.stats().dead == 1

    asyncio.run(main())


def test_what_a_handler_of_a_file_raises_comes_out(clock, tmp_path):
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        scheduler.handle("t", wrong)
        scheduler.in_(1, "t", b"left", retry_limit=0)
        with pytest.raises(AssertionError, match="left"):
            clock.advance(1)
        assert "AssertionError" in next(scheduler.dead()).error


def test_without_it_nothing_comes_out():
    clock = ManualClock()
    with Scheduler(clock=clock) as scheduler:
        scheduler.handle("t", wrong)
        scheduler.in_(1, "t", b"left", retry_limit=0)
        clock.advance(1)
        assert scheduler.stats().dead == 1
    with pytest.raises(TypeError, match="raise_errors must be a bool, not 1"):
        ManualClock(raise_errors=1)
