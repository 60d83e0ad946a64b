"""Times of other libraries: read by their own arithmetic, exactly or a little later, never early.

Each is given to every call that takes one, of the engine, of the reference and of the clock.
"""

import array
import asyncio
import pickle
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from duewheel import JobOptions, LocalStorage, Scheduler, Snooze, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
HOUR_NS = 3_600_000_000_000


class Span(timedelta):
    """Counts its own nanoseconds; what the base class holds is nothing."""

    def __new__(cls, ns):
        self = super().__new__(cls)
        self.ns = ns
        return self

    def __floordiv__(self, other):
        return self.ns // (other // MICROSECOND * 1_000)

    def __gt__(self, other):
        return self.ns > other // MICROSECOND * 1_000

    def __lt__(self, other):
        return self.ns < other // MICROSECOND * 1_000

    def __repr__(self):
        return f"Span({self.ns})"


class Fine(Span):
    """Says how many nanoseconds it has, too."""

    @property
    def nanoseconds(self):
        return self.ns % 1_000


class InUnits(Span):
    """Changes its unit, as pandas' does."""

    def as_unit(self, unit):
        assert unit == "ns"
        return self

    @property
    def value(self):
        return self.ns


class Fields(Span):
    """Divides by its own kind alone, and shows its fields."""

    def __floordiv__(self, other):
        return self.ns // other.ns

    @property
    def days(self):
        return self.ns // 86_400_000_000_000

    @property
    def seconds(self):
        return self.ns // 1_000_000_000 % 86_400

    @property
    def microseconds(self):
        return self.ns // 1_000 % 1_000_000


class Moment(datetime):
    """A time that differs from others by its own kind of span."""

    kind = Span
    ns = 0

    def __sub__(self, other):
        return self.kind((super().__sub__(other)) // MICROSECOND * 1_000 + self.ns)


class FineMoment(Moment):
    kind = Fine
    ns = 7


def spans():
    """A value, and the nanoseconds it must be read as."""
    for ns in (0, 1_000, HOUR_NS, 9 * 365 * 24 * HOUR_NS):
        yield from ((kind(ns), ns) for kind in (Span, Fine, InUnits, Fields))
    for ns in (1, 999, HOUR_NS + 1):
        up = -(-ns // 1_000) * 1_000
        yield from ((kind(ns), up) for kind in (Span, Fields))
        yield from ((kind(ns), ns) for kind in (Fine, InUnits))
    yield np.timedelta64(90, "m"), 90 * 60 * 10**9
    yield np.array(90, "timedelta64[m]"), 90 * 60 * 10**9
    yield np.timedelta64(1, "ps"), 1
    yield np.array(3), 3 * 10**9
    yield np.array(0.1), 100_000_001
    yield np.float32(0.1), 100_000_002
    yield np.longdouble("0.1"), 100_000_001
    yield np.uint8(3), 3 * 10**9


def moments():
    yield Moment(2027, 1, 1, tzinfo=UTC), 1_798_761_600_000_000_000
    yield FineMoment(2027, 1, 1, tzinfo=UTC), 1_798_761_600_000_000_007
    yield Moment(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 1_798_761_600_000_000_000
    yield np.datetime64("2027-01-01T00:00:00.000000007"), 1_798_761_600_000_000_007
    yield np.array("2027-01-01", "datetime64[D]"), 1_798_761_600_000_000_000
    yield np.datetime64("2027"), 1_798_761_600_000_000_000


def ids(param):
    return repr(param)[:50] if not isinstance(param, int) else ""


SPANS = pytest.mark.parametrize(("span", "ns"), list(spans()), ids=ids)
MOMENTS = pytest.mark.parametrize(("moment", "ns"), list(moments()), ids=ids)
KINDS = pytest.mark.parametrize("kind", [Scheduler, ReferenceScheduler])


def dues(scheduler):
    return [event.due for event in scheduler.between()]


@KINDS
@SPANS
def test_delays_are_read_exactly_or_a_little_later(kind, span, ns):
    scheduler = kind(clock=ManualClock())
    scheduler.in_(span, "t")
    scheduler.in_many([span, span], "t")
    assert dues(scheduler) == [ns] * 3
    assert scheduler.drain(span)
    scheduler.close()


@KINDS
@SPANS
def test_a_job_is_never_early_by_it(kind, span, ns):
    clock = ManualClock()
    scheduler = kind(clock=clock)
    ran = []
    scheduler.handle("t", lambda event: ran.append(clock.now_ns()))
    scheduler.start()
    scheduler.in_(span, "t")
    clock.advance(span)
    assert ran == [ns]
    scheduler.close()


@SPANS
def test_snoozes_clocks_and_storage_read_spans_exactly_or_a_little_later(span, ns, tmp_path):
    assert Snooze(span)._delay_ns == ns
    clock = ManualClock()
    clock.advance(span)
    clock.step(span)
    assert clock.now_ns() == 2 * ns
    assert LocalStorage(tmp_path / "x", horizon=span)._horizon_ns == ns


@KINDS
@SPANS
def test_durations_of_options_are_read_exactly_or_a_little_later(kind, span, ns):
    options = JobOptions(min_backoff=span, max_backoff=span, age_limit=span, retry_limit=1)
    kept = (options._min_backoff_ns, options._max_backoff_ns, options._age_limit_ns)
    assert kept == (ns, ns, ns)
    assert options.min_backoff == pytest.approx(ns / 1e9, abs=1.1e-9)
    copy = pickle.loads(pickle.dumps(options))
    assert copy == options and copy.min_backoff == options.min_backoff
    scheduler = kind(clock=ManualClock(), options=JobOptions(max_backoff=span, min_backoff=0))
    scheduler.in_(1, "t", min_backoff=span, retry_limit=1)
    assert scheduler.next().job.options._min_backoff_ns == ns
    scheduler.close()


@KINDS
@MOMENTS
def test_times_are_read_exactly_or_a_little_later(kind, moment, ns):
    clock = ManualClock(moment)
    assert clock.now_ns() == ns
    ManualClock().advance_to(moment)
    scheduler = kind(clock=ManualClock())
    scheduler.at(moment, "t", id="x")
    scheduler.at_many([moment, moment], "t")
    assert dues(scheduler) == [ns] * 3
    scheduler.reschedule("x", 5)
    scheduler.reschedule("x", moment)
    assert dues(scheduler) == [ns] * 3
    assert scheduler.next(moment).due == ns and scheduler.next(None, moment) is None
    assert scheduler.purge(moment) == 0
    scheduler.close()


async def awaited():
    for span, ns in spans():
        scheduler = aio.Scheduler(clock=ManualClock())
        await scheduler.in_(span, "t")
        await scheduler.in_many([span], "t")
        assert [event.due async for event in scheduler.between()] == [ns, ns]
        assert await scheduler.drain(span)
        await scheduler.close()


def test_the_awaited_calls_read_times_as_the_others_do():
    asyncio.run(awaited())


def test_arrays_are_read_exactly_or_a_little_later():
    scheduler = Scheduler(clock=ManualClock())
    scheduler.in_many(np.array([1, 2], "int16"), "t")
    scheduler.in_many(np.array([0.1], "float32"), "t")
    scheduler.in_many(np.array([0.1], "longdouble"), "t")
    scheduler.in_many(array.array("d", [0.1]), "t")
    scheduler.in_many(np.array([1, 2_000], "timedelta64[ps]"), "t")
    assert dues(scheduler) == [1, 2, 100_000_001, 100_000_001, 100_000_002, 10**9, 2 * 10**9]
    scheduler.close()


class Nothing(datetime):
    """Not a time, as pandas has it: a datetime that is not itself."""

    def __eq__(self, other):
        return False

    def __ne__(self, other):
        return True

    __hash__ = None


NAT = Nothing(1, 1, 1)


@KINDS
def test_what_is_no_time_is_refused(kind):
    scheduler = kind(clock=ManualClock())
    for call in (scheduler.at, scheduler.in_, lambda value, target: scheduler.in_many([value], target)):
        with pytest.raises(ValueError, match="must not be NaT"):
            call(NAT, "t")
    with pytest.raises(ValueError, match="must not be NaT"):
        scheduler.at_many([NAT], "t")
    for span in (Span(-1), Fine(-1), InUnits(-1), Fields(-1), np.timedelta64(-1, "ps"), np.array(-1)):
        with pytest.raises(ValueError, match="negative"):
            scheduler.in_(span, "t")
        with pytest.raises(ValueError, match="negative"):
            Snooze(span)
    with pytest.raises(ValueError, match="negative"):
        scheduler.in_many(np.array([1, -1], "timedelta64[ps]"), "t")
    for span in (Span(2**63), Fine(2**63), InUnits(2**63), Fields(2**63), np.array(10**10)):
        with pytest.raises(OverflowError, match="64 bits"):
            scheduler.in_(span, "t")
    for years in (np.datetime64(10**18, "Y"), np.datetime64(-(10**18), "Y"), np.datetime64(10**17, "M")):
        with pytest.raises(OverflowError, match="64 bits"):
            scheduler.at(years, "t")
    assert len(scheduler) == 0
    scheduler.close()


FIRST, LAST = -(2**63), 2**63 - 1
ENDS = [
    (EPOCH + timedelta(microseconds=FIRST // 1_000 + 1), (FIRST // 1_000 + 1) * 1_000),
    (EPOCH + timedelta(microseconds=LAST // 1_000), LAST // 1_000 * 1_000),
    (Moment(1677, 9, 21, 0, 12, 43, 145225, tzinfo=UTC), (FIRST // 1_000 + 1) * 1_000),
    (np.datetime64(FIRST + 1, "ns"), FIRST + 1),
    (np.datetime64(LAST, "ns"), LAST),
    (np.datetime64(FIRST // 1_000 + 1, "us"), (FIRST // 1_000 + 1) * 1_000),
    (-9_223_372_036, -9_223_372_036 * 10**9),
    (9_223_372_036, 9_223_372_036 * 10**9),
    (-9_223_372_036.854774475, FIRST + 1_333),
]
BEYOND = [
    EPOCH + timedelta(microseconds=FIRST // 1_000),
    EPOCH + timedelta(microseconds=LAST // 1_000 + 1),
    Moment(1677, 9, 21, 0, 12, 43, 145224, tzinfo=UTC),
    np.datetime64(FIRST // 1_000, "us"),
    np.datetime64(LAST // 1_000 + 1, "us"),
    -9_223_372_037,
    9_223_372_037,
    -9_223_372_036.854776382,
    9_223_372_036.854776382,
]


@KINDS
@pytest.mark.parametrize(("when", "ns"), ENDS, ids=ids)
def test_the_first_and_the_last_time_of_64_bits_are_read(kind, when, ns):
    clock = ManualClock(FIRST // 10**9 + 1)
    scheduler = kind(clock=clock)
    scheduler.at(when, "t", id="x")
    scheduler.at_many([when], "t")
    if isinstance(when, np.datetime64):
        scheduler.at_many(np.array([when]), "t")
    assert set(dues(scheduler)) == {ns}
    assert scheduler.next(when).due == ns
    assert scheduler.reschedule("x", 0) and scheduler.reschedule("x", when)
    assert scheduler.get("x").due == ns
    assert scheduler.get("x").due_at == EPOCH + timedelta(microseconds=ns // 1_000)
    assert ManualClock(when).now_ns() == ns
    scheduler.close()


@KINDS
@pytest.mark.parametrize("when", BEYOND, ids=ids)
def test_a_time_beyond_64_bits_is_refused(kind, when):
    scheduler = kind(clock=ManualClock())
    calls = [scheduler.at, lambda when, target: scheduler.at_many([1, when], target)]
    if isinstance(when, np.datetime64):
        calls.append(lambda when, target: scheduler.at_many(np.array([when]), target))
    for call in calls:
        with pytest.raises(OverflowError, match="64 bits"):
            call(when, "t")
    with pytest.raises(OverflowError, match="64 bits"):
        ManualClock(when)
    assert len(scheduler) == 0
    scheduler.close()


@pytest.mark.parametrize(("when", "ns"), ENDS, ids=ids)
def test_the_first_and_the_last_due_are_kept_and_run(when, ns, tmp_path, quiet):
    path = tmp_path / "jobs.db"
    with Scheduler(path) as scheduler:
        scheduler.at(when, "t", id="x")
        assert scheduler.get("x").due == ns
        scheduler.drain()
    scheduler = Scheduler(path)
    assert scheduler.get("x").due == ns
    if ns < 0:
        late = []
        scheduler.handle("t", lambda event: late.append((event.due, event.lateness)))
        with scheduler:
            assert scheduler.wait(30)
        assert late[0][0] == ns and late[0][1] > 1e9
        assert scheduler.stats().lateness.max > 1e9
    scheduler.close()
