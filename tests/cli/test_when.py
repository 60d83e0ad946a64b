"""How times, durations and zones of a command line are read, and what is refused."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duewheel import Scheduler
from duewheel._times import FIRST_NS, LAST_NS
from duewheel.cli._ends import USAGE, EndsError
from duewheel.cli._when import moment, read_before, read_duration, read_when

S = 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("30s", 30 * S),
        ("1h30m", 5_400 * S),
        ("1.5d", 129_600 * S),
        ("2w", 1_209_600 * S),
        ("250ms", S // 4),
        ("90", 90 * S),
        ("0.1", S // 10),
        ("1 h 5 m", 3_900 * S),
        ("5M", 300 * S),
        ("0s", 0),
    ],
)
def test_durations(text, ns):
    assert read_duration(text) == ns
    assert read_when(f"+{text}") == (None, ns)
    assert read_when(f"in {text}") == (None, ns)


@pytest.mark.parametrize(
    ("text", "tz", "expected"),
    [
        ("2027-01-01T09:00Z", None, "2027-01-01T09:00+00:00"),
        ("2027-01-01T09:00:00.25+02:00", None, "2027-01-01T07:00:00.250+00:00"),
        ("2027-01-01 09:00", "Europe/Paris", "2027-01-01T08:00+00:00"),
        ("2027-01-01", "UTC", "2027-01-01T00:00+00:00"),
        ("2027-01-01T09:00", "+05:30", "2027-01-01T03:30+00:00"),
        ("2027-01-01T09:00", "-0800", "2027-01-01T17:00+00:00"),
        ("2027-01-01T09:00Z", "Europe/Paris", "2027-01-01T09:00+00:00"),
        ("2027-10-31T02:30+01:00", "Europe/Paris", "2027-10-31T01:30+00:00"),
        ("1800000000", None, "2027-01-15T08:00+00:00"),
        ("1800000000.5", "Europe/Paris", "2027-01-15T08:00:00.5+00:00"),
        ("@60", None, "1970-01-01T00:01+00:00"),
    ],
)
def test_times(text, tz, expected):
    ns = (datetime.fromisoformat(expected) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000
    assert read_when(text, tz) == (ns, None)


def test_local_is_the_zone_of_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert read_when("2027-01-01T09:00", "local") == read_when("2027-01-01T00:00Z")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_that_lies_back():
    now = time.time_ns()
    assert abs(read_before("1d") - (now - 86_400 * S)) < 60 * S
    assert abs(read_before("2h ago") - (now - 7_200 * S)) < 60 * S
    assert abs(read_before("now") - now) < 60 * S
    assert read_before("2027-01-01T00:00Z") == read_when("2027-01-01T00:00Z").at_ns


@pytest.mark.parametrize(
    ("text", "tz", "said"),
    [
        ("60", None, "say +60s for a delay"),
        ("tomorrow", None, "is no time: say"),
        ("", None, "is no time"),
        ("2027-13-01T00:00Z", None, "is no time"),
        ("2027-01-01T09:00", None, "has no zone"),
        ("2027-01-01", None, "--tz Europe/Paris"),
        ("2027-01-01", "Mars/Olympus", "is no zone"),
        ("2027-01-01", "", "is no zone"),
        ("2027-01-01", "../etc/passwd", "is no zone"),
        ("2027-01-01", "+25:00", "is no zone"),
        ("2027-03-28T02:30", "Europe/Paris", "does not exist in Europe/Paris"),
        ("2027-10-31T02:30", "Europe/Paris", "comes twice in Europe/Paris"),
        ("+", None, "is no duration"),
        ("+soon", None, "is no duration"),
        ("in -5m", None, "is no duration"),
        ("+5 parsecs", None, "is no duration"),
        ("+1e3", None, "is no duration"),
        ("+300y", None, "is no duration"),
        ("+20000w", None, "out of range"),
        ("9" * 30, None, "out of range"),
        ("9" * 3000, None, "out of range"),
        ("2300-01-01T00:00Z", None, "out of range"),
        ("1800000000000", None, "out of range"),
    ],
)
def test_what_is_refused(text, tz, said):
    with pytest.raises(EndsError) as refused:
        read_when(text, tz)
    assert said in str(refused.value) and refused.value.status == USAGE


@given(st.integers(FIRST_NS + 1, LAST_NS))
def test_a_time_is_given_to_calls_to_the_nanosecond(ns):
    scheduler = Scheduler()
    try:
        id = scheduler.at(moment(2**60 + 1), "t")
        assert scheduler.reschedule(id, moment(ns))
        assert scheduler.get(id).due == ns
    finally:
        scheduler.cancel(id)
        scheduler.close()
