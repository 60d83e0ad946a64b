"""`cancel_many`: what was pending is counted, once; what is no id is named, and nothing is withdrawn then."""

import asyncio

import pytest
from jobs_file import FAR, START, JobsFile, counts

from duewheel import ClosedError, LocalStorage, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

WINDOWS = {"file": {}, "half on disk alone": {"resident": 50}, "on disk alone": {"horizon": 0}}


@pytest.fixture(params=["reference", "memory", *WINDOWS])
def scheduler(request, path):
    if request.param in WINDOWS:
        file = JobsFile(path, **WINDOWS[request.param])
        yield file.open()
        file.close()
    else:
        kind = ReferenceScheduler if request.param == "reference" else Scheduler
        scheduler = kind(clock=ManualClock(START))
        yield scheduler
        scheduler.close()


def test_what_is_pending_is_withdrawn_and_counted_once(scheduler):
    ids = list(scheduler.in_many([FAR + number for number in range(100)], "t"))
    given = [scheduler.in_(FAR, "t", id=f"given {number}") for number in range(3)]
    order = [*ids[50:], *ids[:10], ids[70], given[1], "unknown", given[1], ids[0]]
    assert scheduler.cancel_many(order) == 61
    assert scheduler.cancel_many(order) == 0
    assert {event.job_id for event in scheduler.between()} == {*ids[10:50], given[0], given[2]}
    assert counts(scheduler.stats(), "pending", "cancelled") == (42, 61)
    assert scheduler.cancel_many([]) == 0


@pytest.mark.parametrize("kind", [tuple, set, frozenset, dict.fromkeys, iter, lambda ids: (id for id in ids)])
def test_any_iterable_of_ids_will_do(scheduler, kind):
    ids = list(scheduler.in_many([FAR] * 40, "t"))
    assert scheduler.cancel_many(kind(ids[:30])) == 30
    assert len(scheduler) == 10


def test_the_ids_of_a_bulk_call_will_do(scheduler):
    ids = scheduler.in_many([FAR] * 10_000, "t")
    assert scheduler.cancel_many(ids[::2]) == 5_000
    assert scheduler.cancel_many(ids) == 5_000
    assert len(scheduler) == 0


@pytest.mark.parametrize(
    ("ids", "error", "match"),
    [
        (["a", 5], TypeError, "id must be a str, not 5"),
        (["a", None], TypeError, "id must be a str, not None"),
        (["a", b"b"], TypeError, "id must be a str, not b'b'"),
        (["a", ""], ValueError, "1 to 255 bytes"),
        (["a", "\ud800"], ValueError, "surrogates"),
        ("a", TypeError, "ids must be an iterable of ids, not 'a'"),
        (b"a", TypeError, "ids must be an iterable of ids, not b'a'"),
        (5, TypeError, "ids must be an iterable of ids, not 5"),
        (None, TypeError, "ids must be an iterable of ids, not None"),
    ],
)
def test_what_is_no_id_is_named_and_nothing_is_withdrawn(scheduler, ids, error, match):
    scheduler.in_(FAR, "t", id="a")
    with pytest.raises(error, match=match):
        scheduler.cancel_many(ids)
    assert "a" in scheduler and scheduler.stats().cancelled == 0


def test_an_iterable_that_raises_withdraws_nothing(scheduler):
    def ids():
        yield scheduler.in_(FAR, "t", id="a")
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        scheduler.cancel_many(ids())
    assert "a" in scheduler


def test_it_is_refused_after_closing(scheduler):
    scheduler.close()
    for ids in ([], ["a"]):
        with pytest.raises(ClosedError):
            scheduler.cancel_many(ids)


def test_what_runs_or_is_parked_or_handed_over(path):
    for storage in (None, path):
        file = JobsFile(path)
        scheduler = file.open() if storage else Scheduler(clock=file.clock, workers=1)
        if not storage:
            scheduler.handle("t", file.run)
            scheduler.start()
        ids = [scheduler.in_(0, target) for target in ("t", "t", "nobody's")]
        seen = []
        file.act = lambda event, ids=ids, seen=seen, scheduler=scheduler: seen.append(scheduler.cancel_many(ids))
        file.clock.advance(1)
        # The first runs; the second was handed over with it, and the third is parked.
        assert seen == [2]
        assert counts(scheduler.stats(), "succeeded", "cancelled", "pending") == (1, 2, 0)
        file.close()
        scheduler.close()


def test_what_was_withdrawn_does_not_come_back(path):
    file = JobsFile(path, durability="commit", resident=30)
    ids = file.open().in_many([FAR] * 100, "t")
    assert file.opened[-1].cancel_many(ids[10:]) == 90
    scheduler = file.again()
    assert {event.job_id for event in scheduler.between()} == set(ids[:10])
    assert scheduler.cancel_many(ids) == 10
    assert len(file.again()) == 0
    file.close()


@pytest.mark.parametrize("window", [None, *WINDOWS])
def test_coroutines_await_it(path, window):
    async def main():
        storage = LocalStorage(path, **WINDOWS[window]) if window else None
        async with aio.Scheduler(storage) as scheduler:
            ids = await scheduler.in_many([FAR] * 100, "t")
            assert await scheduler.cancel_many(ids[:60]) == 60
            assert await scheduler.cancel_many([*ids, ids[99]]) == 40
            with pytest.raises(TypeError, match="not 5"):
                await scheduler.cancel_many([5])
            assert await scheduler.count() == 0

    asyncio.run(main())
