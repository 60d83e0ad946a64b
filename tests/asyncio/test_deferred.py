"""How an awaited call waits is its own affair: user code that runs inside it makes calls of its own."""

import array
import asyncio
import gc
import logging
import threading
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from duewheel import LocalStorage, Scheduler, aio

PATIENCE_S = 10
FAR_S = 7_200


class Calling(logging.Handler):
    """A handler of the logger that calls."""

    def __init__(self, call):
        super().__init__()
        self.call, self.seen = call, []

    def emit(self, record):
        # A worker logs, too, that the job is parked.
        if record.funcName == "ancient" and not self.seen:
            self.seen.append(None)
            self.seen[0] = self.call()


@pytest.fixture
def logs():
    """Have what is logged handled by calls."""
    logger, handlers = logging.getLogger("duewheel"), []

    def handle(call):
        handlers.append(Calling(call))
        logger.addHandler(handlers[-1])
        return handlers[-1].seen

    yield handle
    for handler in handlers:
        logger.removeHandler(handler)


class Zone(tzinfo):
    """A time zone that calls."""

    def __init__(self, call):
        self.call, self.seen = call, []

    def utcoffset(self, when):
        if not self.seen:
            self.seen.append(None)
            self.seen[0] = self.call()
        return timedelta(0)


class Dropped:
    """Calls when it is freed."""

    def __init__(self, call, seen):
        self.call, self.seen = call, seen

    def __del__(self):
        if not self.seen:
            self.seen.append(None)
            self.seen[0] = self.call()


CALLS = {
    "cancel of what is unknown": (lambda b: b.cancel("nope"), False),
    "cancel of what is away": (lambda b: b.cancel("away"), True),
    "cancel of what is here": (lambda b: b.cancel("here"), True),
    "in_": (lambda b: b.in_(FAR_S, "t", id="new"), "new"),
    "at": (lambda b: b.at(4_000_000_000, "t", id="new"), "new"),
    "in_many": (lambda b: len(b.in_many([FAR_S] * 3, "t")), 3),
    "reschedule": (lambda b: b.reschedule("away", 4_000_000_000), True),
    "get": (lambda b: b.get("away").job_id, "away"),
    "next": (lambda b: b.next().job_id, "here"),
    "between": (lambda b: [event.job_id for event in b.between()], ["here", "away"]),
    "revive": (lambda b: b.revive("nope"), False),
    "purge": (lambda b: b.purge(), 0),
    "len": (lambda b: len(b), 2),
}
EACH_CALL = pytest.mark.parametrize(("call", "right"), CALLS.values(), ids=CALLS.keys())


@pytest.fixture
def other(tmp_path):
    """Another scheduler, with a file: of two jobs one is on disk alone."""
    with Scheduler(LocalStorage(tmp_path / "other.db", horizon=3_600)) as scheduler:
        scheduler.in_(10_000, "t", id="away")
        scheduler.in_(60, "t", id="here")
        yield scheduler
        scheduler.close()


async def settled(awaitable):
    return await asyncio.wait_for(awaitable, PATIENCE_S)


def run(path, use):
    """Use a scheduler for coroutines that has a file; its pending events."""

    async def main():
        scheduler = aio.Scheduler(path)
        await scheduler.start()
        try:
            await use(scheduler)
            return [event async for event in scheduler.between()]
        finally:
            await scheduler.close()

    return asyncio.run(main())


@EACH_CALL
def test_a_handler_of_the_logger_calls_another_scheduler(call, right, other, logs, tmp_path):
    seen = logs(lambda: call(other))

    async def use(scheduler):
        await settled(scheduler.at(1.0, "t", id="once"))

    events = run(tmp_path / "own.db", use)
    assert [event.job_id for event in events] == ["once"]
    assert seen == [right]


def test_the_job_is_there_once_without_an_id_of_its_own(other, logs, tmp_path):
    for call in (lambda: other.cancel("nope"), lambda: other.in_(FAR_S, "t")):
        logs(call)

    async def use(scheduler):
        await settled(scheduler.at(1.0, "t"))
        await settled(scheduler.at_many([1.0, 2.0], "t"))

    assert len(run(tmp_path / "own.db", use)) == 3
    assert len(other) == 3


@EACH_CALL
def test_a_time_zone_calls_another_scheduler(call, right, other, tmp_path):
    zone = Zone(lambda: call(other))

    async def use(scheduler):
        await settled(scheduler.at(datetime(2100, 1, 1, tzinfo=zone), "t"))
        await settled(scheduler.reschedule("nope", datetime(2100, 1, 1, tzinfo=zone)))

    assert len(run(tmp_path / "own.db", use)) == 1
    assert zone.seen == [right]


@EACH_CALL
def test_an_iterator_of_dues_calls_another_scheduler(call, right, other, tmp_path):
    seen = []

    class Dues:
        def __len__(self):
            return 3

        def __iter__(self):
            seen.append(call(other))
            return iter([60, 60, 60])

    async def use(scheduler):
        assert len(await settled(scheduler.in_many(Dues(), "t"))) == 3

    assert len(run(tmp_path / "own.db", use)) == 3
    assert seen == [right]


@EACH_CALL
def test_a_number_calls_another_scheduler(call, right, other, tmp_path):
    seen = []

    class Number(int):
        def __index__(self):
            seen.append(call(other))
            return 3

        __int__ = __float__ = __index__

    class Retries:
        def __index__(self):
            seen.append(call(other))
            return 3

    async def use(scheduler):
        await settled(scheduler.in_(60, "t", retry_limit=Retries()))
        await settled(scheduler.in_(Number(60), "t"))

    assert len(run(tmp_path / "own.db", use)) == 2
    assert seen[0] == right


@EACH_CALL
def test_what_is_freed_calls_another_scheduler(call, right, other, tmp_path):
    seen, later = [], []

    class Data(array.array):
        """The last reference to it is the call's."""

        __slots__ = ("dropped",)

    async def use(scheduler):
        def data():
            made = Data("B", b"x")
            made.dropped = Dropped(lambda: call(other), seen)
            return made

        class Dues(list):
            def __iter__(self):
                cycle = [Dropped(lambda: other.cancel("nope"), later)]
                cycle.append(cycle)
                del cycle
                gc.collect()
                return super().__iter__()

        await settled(scheduler.in_(60, "t", data()))
        await settled(scheduler.in_many(Dues([60]), "t"))

    assert len(run(tmp_path / "own.db", use)) == 2
    assert (seen, later) == ([right], [False])


def test_a_handler_of_the_logger_calls_the_same_scheduler(logs, tmp_path):
    """What is not awaited waits, on whatever scheduler."""
    path = tmp_path / "own.db"

    async def use(scheduler):
        seen = logs(lambda: (scheduler._core.in_(FAR_S, "t", id="second"), scheduler._core.cancel("nope")))
        await settled(scheduler.at(1.0, "t", id="first"))
        assert seen == [("second", False)]

    assert [event.job_id for event in run(path, use)] == ["first", "second"]


def test_a_deferred_call_within_another_leaves_each_its_own_ticket(logs, tmp_path):
    async def use(scheduler):
        tasks = []
        logs(lambda: tasks.append(asyncio.create_task(settled(scheduler.in_(FAR_S, "t", id="second")))))
        await settled(scheduler.at(1.0, "t", id="first"))
        assert [await task for task in tasks] == ["second"]

    assert [event.job_id for event in run(tmp_path / "own.db", use)] == ["first", "second"]


def test_the_logger_of_a_long_bulk_calls_another_scheduler_off_the_loop(other, logs, tmp_path):
    seen = logs(lambda: (other.in_(FAR_S, "t", id="new"), threading.current_thread() is threading.main_thread()))
    count = 1_500

    async def use(scheduler):
        await settled(scheduler.at_many([1.0] * count, "t"))
        assert await scheduler.count() == count

    assert len(run(tmp_path / "own.db", use)) == count
    assert seen == [("new", False)]


def test_what_closing_frees_calls_another_scheduler(other):
    seen = []

    async def main():
        scheduler = aio.Scheduler()

        def handler(event):
            """Refer to what is freed with it."""

        handler.dropped = Dropped(lambda: other.in_(FAR_S, "t", id="new"), seen)
        scheduler.handle("t", handler)
        del handler
        await scheduler.in_many([60] * 2_000, "t")
        await scheduler.close()

    asyncio.run(main())
    gc.collect()
    assert seen == ["new"]


def test_what_is_refused_leaves_nothing_behind(other, tmp_path):
    """An error on the way is this call's, and the next one is made as ever."""
    zone = Zone(lambda: 1 / 0)

    async def use(scheduler):
        with pytest.raises(ZeroDivisionError):
            await scheduler.at(datetime(2100, 1, 1, tzinfo=zone), "t")
        with pytest.raises(ValueError, match="naive"):
            await scheduler.at(datetime(2100, 1, 1), "t")  # noqa: DTZ001
        other.cancel("nope")
        await settled(scheduler.at(datetime(2100, 1, 1, tzinfo=UTC), "t"))

    assert len(run(tmp_path / "own.db", use)) == 1
