"""`interrupt(id)`: what runs is asked to end, on a thread and on the event loop."""

import asyncio
import re
import threading
import time

import pytest
from waiting import PATIENCE_S, until

from duewheel import ClosedError, Discard, Event, Job, JobOptions, NopScheduler, Scheduler, Snooze, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

ON_EVERY_STORE = pytest.mark.parametrize("in_file", [False, True])


def storage(in_file, place):
    return place / "jobs.db" if in_file else None


def outcome(scheduler):
    stats = scheduler.stats()
    return stats.succeeded, [dead.reason for dead in scheduler.dead()], stats.retried


def looks(event, then):
    """Run on a thread until it is asked to end."""
    end = time.monotonic() + PATIENCE_S
    while not event.expired and time.monotonic() < end:
        time.sleep(0.001)
    then()


def raises(error):
    def then():
        raise error

    return then


ENDS = [
    (lambda: None, (1, [], 0), ""),
    (raises(ValueError("too late")), (0, ["discarded"], 0), "ValueError: too late"),
    (raises(Snooze(1)), (0, ["discarded"], 0), "Snooze"),
    (raises(Discard("by itself")), (0, ["discarded"], 0), "by itself"),
    (raises(SystemExit(3)), (0, ["discarded"], 0), "SystemExit: 3"),
]


@ON_EVERY_STORE
@pytest.mark.parametrize(("then", "expected", "text"), ENDS)
def test_on_a_thread_the_event_says_so(tmp_path, in_file, then, expected, text):
    with Scheduler(storage(in_file, tmp_path)) as scheduler:
        scheduler.handle("t", lambda event: looks(event, then))
        scheduler.in_(0, "t", id="j")
        scheduler.in_(3_600, "t", id="later")
        until(lambda: scheduler.running())
        assert not scheduler.interrupt("later")
        assert not scheduler.interrupt("unknown")
        assert scheduler.interrupt("j")
        until(lambda: scheduler.stats().running == 0 and not scheduler.running())
        assert outcome(scheduler) == expected
        assert not scheduler.interrupt("j")
        if text:
            assert text in next(scheduler.dead()).error


@ON_EVERY_STORE
@pytest.mark.parametrize("first_step_waits", [True, False])
def test_an_async_handler_is_cancelled(tmp_path, in_file, first_step_waits):
    began = threading.Event()
    goes_on = threading.Event()

    async def handler(event):
        began.set()
        if not first_step_waits:
            goes_on.wait(PATIENCE_S)
        await asyncio.sleep(3_600)

    with Scheduler(storage(in_file, tmp_path)) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(0, "t", id="j")
        assert began.wait(PATIENCE_S)
        assert scheduler.interrupt("j")
        goes_on.set()
        assert scheduler.wait(PATIENCE_S)
        assert outcome(scheduler) == (0, ["discarded"], 0)


def test_an_async_handler_that_ends_well_all_the_same_has_succeeded():
    async def handler(event):
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            assert event.expired

    with Scheduler() as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(0, "t", id="j")
        until(lambda: scheduler.running())
        until(lambda: scheduler.interrupt("j"))
        assert scheduler.wait(PATIENCE_S)
        assert outcome(scheduler) == (1, [], 0)


def test_what_a_sync_handler_has_returned_is_cancelled():
    async def later(event):
        await asyncio.sleep(3_600)

    with Scheduler() as scheduler:
        scheduler.handle("t", lambda event: later(event))
        scheduler.in_(0, "t", id="j")
        until(lambda: scheduler.running())
        until(lambda: scheduler.interrupt("j"))
        assert scheduler.wait(PATIENCE_S)
        assert outcome(scheduler) == (0, ["discarded"], 0)


@ON_EVERY_STORE
def test_a_repeat_goes_on(tmp_path, in_file):
    clock = ManualClock(1_000)
    with Scheduler(storage(in_file, tmp_path), clock=clock) as scheduler:

        @scheduler.handler("t")
        def handler(event):
            assert not event.expired
            assert scheduler.interrupt("r") is True
            assert event.expired
            raise ValueError

        scheduler.repeat(5, "t", id="r")
        clock.advance(11)
        assert outcome(scheduler) == (0, ["discarded"] * 2, 0)
        assert scheduler.get_repeat("r").occurrence == 3


@pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler])
@pytest.mark.parametrize("fails", [True, False])
def test_a_handler_interrupts_its_own_job(make, fails, quiet):
    clock = ManualClock(1_000)
    with make(clock=clock) as scheduler:

        def handler(event):
            assert (scheduler.interrupt(event.job_id), event.expired) == (True, True)
            if fails:
                raise ValueError

        scheduler.handle("t", handler)
        id = scheduler.in_(1, "t")
        assert not scheduler.interrupt(id)
        clock.advance(100)
        assert outcome(scheduler) == ((0, ["discarded"], 0) if fails else (1, [], 0))


def test_the_next_event_is_not_expired():
    seen = []
    clock = ManualClock(1_000)
    with Scheduler(clock=clock) as scheduler:

        @scheduler.handler("t")
        def handler(event):
            seen.append(event.expired)
            scheduler.interrupt(event.job_id)

        for _ in range(3):
            scheduler.in_(1, "t")
        clock.advance(5)
    assert seen == [False] * 3


def test_awaited():
    async def main():
        async with aio.Scheduler() as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                await asyncio.sleep(3_600)

            await scheduler.in_(0, "t", id="j")
            while not await scheduler.interrupt("j"):
                await asyncio.sleep(0.001)
            assert await scheduler.wait(PATIENCE_S)
            (dead,) = [dead async for dead in scheduler.dead()]
            assert dead.reason == "discarded"

    asyncio.run(main())


def test_what_is_refused():
    with Scheduler() as scheduler:
        for id, error, message in [(5, TypeError, "id must be a str"), ("", ValueError, "id must have 1 to 255 bytes")]:
            with pytest.raises(error, match=re.escape(message)):
                scheduler.interrupt(id)
    with pytest.raises(ClosedError):
        scheduler.interrupt("j")
    assert NopScheduler().interrupt(5) is False
    assert Event(Job("id", "t", 5, b"", JobOptions())).expired is False
