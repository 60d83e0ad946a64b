"""An event is its handler's for as long as anybody refers to it; then its object serves the next handler."""

import asyncio
import gc

import pytest

from duewheel import Event, Scheduler, aio

JOBS = 300  # several batches of those that are settled at once
KEEP = 3  # one of so many is kept: the object of the others is given to the next


def shown(event: Event) -> tuple[str, str, bytes, int, float]:
    return event.id, event.job.id, event.data, event.due, event.lateness


def check(kept: list[tuple[Event, object]], ids: list[str]) -> None:
    """Each is what it was when its handler got it, and an object of its own."""
    assert [event.job_id for event, _ in kept] == ids[::KEEP]
    assert [event.data for event, _ in kept] == [b"%d" % at for at in range(0, JOBS, KEEP)]
    assert [shown(event) for event, _ in kept] == [was for _, was in kept]
    assert len({id(event) for event, _ in kept}) == len(kept)


def test_an_event_that_a_handler_keeps_stays_as_it_was() -> None:
    kept: list[tuple[Event, object]] = []
    with Scheduler(workers=1) as scheduler:

        @scheduler.handler("count")
        def count(event: Event) -> None:
            if int(event.data) % KEEP == 0:
                kept.append((event, shown(event)))

        due = 1_000_000_000
        ids = [scheduler.at(due + at, "count", b"%d" % at) for at in range(JOBS)]
        scheduler.start()
        assert scheduler.wait(timeout=30)
    check(kept, ids)


def test_an_event_in_the_traceback_of_a_failure_stays_as_it_was() -> None:
    errors: list[tuple[ZeroDivisionError, object]] = []
    with Scheduler(workers=1) as scheduler:

        @scheduler.handler("fail")
        def fail(event: Event) -> None:
            was = shown(event)
            try:
                raise ZeroDivisionError(str(event.job_id))
            except ZeroDivisionError as error:
                errors.append((error, was))

        for at in range(JOBS):
            scheduler.at(1_000_000_000 + at, "fail", b"%d" % at)
        scheduler.start()
        assert scheduler.wait(timeout=30)
    assert len(errors) == JOBS
    for error, was in errors:
        assert error.__traceback__ is not None
        assert shown(error.__traceback__.tb_frame.f_locals["event"]) == was


def test_an_event_that_only_the_collector_finds_stays_as_it_was() -> None:
    found: list[Event] = []
    seen: list[object] = []
    with Scheduler(workers=1) as scheduler:

        @scheduler.handler("look")
        def look(event: Event) -> None:
            seen.append(shown(event))
            found.extend(each for each in gc.get_objects() if type(each) is Event and each not in found)

        ids = [scheduler.at(1_000_000_000 + at, "look", b"%d" % at) for at in range(3)]
        scheduler.start()
        assert scheduler.wait(timeout=30)
    ours = [event for event in found if event.job_id in ids]
    assert [shown(event) for event in ours] in ([], seen)


@pytest.mark.parametrize("waits", [False, True])
def test_an_event_that_an_async_handler_keeps_stays_as_it_was(waits: bool) -> None:
    kept: list[tuple[Event, object]] = []

    async def main() -> list[str]:
        async with aio.Scheduler(workers=1) as scheduler:

            @scheduler.handler("count")
            async def count(event: Event) -> None:
                was = shown(event)
                if waits and int(event.data) % 2:
                    await asyncio.sleep(0)
                assert shown(event) == was
                if int(event.data) % KEEP == 0:
                    kept.append((event, was))

            ids = [await scheduler.at(1_000_000_000 + at, "count", b"%d" % at) for at in range(JOBS)]
            await scheduler.start()
            assert await scheduler.wait(timeout=30)
            stats = scheduler.stats()
            assert (stats.succeeded, stats.dead) == (JOBS, 0)
            return ids

    ids = asyncio.run(main())
    kept.sort(key=lambda each: each[0].due)
    check(kept, ids)
