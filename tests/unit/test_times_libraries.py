"""The times of pandas, pendulum and freezegun, where they are installed; `test_times_given.py` has stand-ins for them.

pip install pandas pendulum freezegun && pytest tests/unit/test_times_libraries.py
"""

from datetime import UTC, datetime, timedelta

import pytest

from duewheel import JobOptions, Scheduler, Snooze
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

HOUR_NS = 3_600_000_000_000
YEAR_2027_NS = 1_798_761_600_000_000_000


@pytest.fixture(params=[Scheduler, ReferenceScheduler])
def scheduler(request):
    scheduler = request.param(clock=ManualClock())
    yield scheduler
    scheduler.close()


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture
def pendulum():
    return pytest.importorskip("pendulum")


def dues(scheduler):
    return [event.due for event in scheduler.between()]


def test_spans_of_pandas_in_every_unit(scheduler, pandas):
    for unit in ("s", "ms", "us", "ns"):
        span = pandas.Timedelta(hours=1).as_unit(unit)
        scheduler.in_(span, "t")
        scheduler.in_many([span], "t")
        assert Snooze(span)._delay_ns == HOUR_NS
        assert JobOptions(min_backoff=span).min_backoff == 3600.0
        clock = ManualClock()
        clock.advance(span)
        assert clock.now_ns() == HOUR_NS
    assert dues(scheduler) == [HOUR_NS] * 8


def test_nanoseconds_of_pandas(scheduler, pandas):
    scheduler.in_(pandas.Timedelta(1, "ns"), "t")
    scheduler.in_(pandas.Timedelta(HOUR_NS + 999, "ns"), "t")
    scheduler.at(pandas.Timestamp(YEAR_2027_NS + 7, unit="ns", tz="UTC"), "t")
    scheduler.at(pandas.Timestamp(YEAR_2027_NS + 8, unit="ns", tz="Europe/Paris"), "t")
    scheduler.at_many([pandas.Timestamp(YEAR_2027_NS + 9, unit="ns", tz="UTC")], "t")
    assert dues(scheduler) == [1, HOUR_NS + 999, YEAR_2027_NS + 7, YEAR_2027_NS + 8, YEAR_2027_NS + 9]
    assert scheduler.purge(pandas.Timestamp("2027-01-01", tz="UTC")) == 0
    assert scheduler.next(pandas.Timestamp(YEAR_2027_NS + 9, unit="ns", tz="UTC")).due == YEAR_2027_NS + 9


def test_series_of_pandas(scheduler, pandas):
    for unit in ("s", "ns"):
        spans = pandas.Series(pandas.to_timedelta([3600, 7200], unit="s")).dt.as_unit(unit)
        scheduler.in_many(spans, "t")
        scheduler.in_many(pandas.Index(spans), "t")
    assert dues(scheduler) == [HOUR_NS] * 4 + [2 * HOUR_NS] * 4
    scheduler.in_many(pandas.Series([0.1, 0.2]), "t")
    scheduler.in_many(pandas.Series([3, 4]), "t")
    for unit in ("s", "ns"):
        times = pandas.Series(pandas.to_datetime(["2027-01-01"], utc=True)).dt.as_unit(unit)
        scheduler.at_many(times, "t")
    assert dues(scheduler)[:4] == [100_000_001, 200_000_001, 3 * 10**9, 4 * 10**9]
    assert dues(scheduler)[-2:] == [YEAR_2027_NS] * 2


def test_the_ends_of_pandas(scheduler, pandas):
    scheduler.at(pandas.Timestamp.min.tz_localize("UTC"), "t")
    scheduler.at(pandas.Timestamp.max.tz_localize("UTC"), "t")
    assert dues(scheduler) == [-(2**63) + 1, 2**63 - 1]
    with pytest.raises(OverflowError, match="64 bits"):
        scheduler.at(pandas.Timestamp("3000-01-01", tz="UTC").as_unit("s"), "t")
    with pytest.raises(OverflowError, match="64 bits"):  # its own text cannot be made
        scheduler.at(pandas.Timestamp("1970-01-01", tz="UTC").as_unit("s") + pandas.Timedelta(timedelta(10**7)), "t")
    with pytest.raises(OverflowError, match="64 bits"):
        scheduler.in_(pandas.Timedelta(timedelta(days=365 * 1_000)), "t")


def test_what_is_no_time_of_pandas(scheduler, pandas):
    for call in (scheduler.at, scheduler.in_):
        with pytest.raises(ValueError, match="must not be NaT"):
            call(pandas.NaT, "t")
    with pytest.raises(ValueError, match="naive"):
        scheduler.at(pandas.Timestamp("2027-01-01"), "t")
    with pytest.raises(ValueError, match="negative"):
        scheduler.in_(pandas.Timedelta(-1, "ns"), "t")
    with pytest.raises(ValueError, match="NaT"):
        scheduler.in_many(pandas.Series(pandas.to_timedelta([1, None], unit="s")), "t")
    assert len(scheduler) == 0


def test_pendulum(scheduler, pendulum):
    start = pendulum.datetime(2027, 1, 1, 3, 4, 5, 678901, tz="Europe/Paris")
    scheduler.at(start, "t")
    scheduler.in_(pendulum.duration(hours=1, microseconds=7), "t")
    scheduler.in_(start.add(hours=2) - start, "t")
    scheduler.in_(pendulum.duration(years=1), "t")
    plain = datetime(2027, 1, 1, 2, 4, 5, 678901, tzinfo=UTC)
    due = (plain - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000
    assert dues(scheduler) == [HOUR_NS + 7_000, 2 * HOUR_NS, 365 * 24 * HOUR_NS, due]
    with pytest.raises(ValueError, match="negative"):
        scheduler.in_(pendulum.duration(microseconds=-1), "t")


def test_a_frozen_clock(scheduler):
    freezegun = pytest.importorskip("freezegun")
    with freezegun.freeze_time("2027-01-01"):
        now = datetime.now(UTC)
        assert type(now).__name__ == "FakeDatetime"
        scheduler.at(now, "t")
        scheduler.at(now + timedelta(seconds=1), "t")
    assert dues(scheduler) == [YEAR_2027_NS, YEAR_2027_NS + 10**9]
