"""Hold the times of schedules as Python sees them: datetimes in their zones, lazily, by many threads."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from duewheel import Cron, Days, Every, RRule, Times
from duewheel import _schedules as zones
from duewheel.reference import _schedules as reference

PARIS = ZoneInfo("Europe/Paris")
SPRING = datetime(2027, 3, 27, 12, tzinfo=UTC)


def test_the_next_time_is_in_its_zone():
    nightly = Cron("30 2 * * *", tz="Europe/Paris")
    first = nightly.next(SPRING)
    assert first == datetime(2027, 3, 28, 1, tzinfo=UTC)
    assert first.tzinfo is PARIS
    assert (first.hour, first.utcoffset()) == (3, timedelta(hours=2))
    assert nightly.next(first) == datetime(2027, 3, 29, 2, 30, tzinfo=PARIS)
    assert nightly.next(SPRING.timestamp()) == first


def test_both_passes_of_what_comes_twice_are_told_apart():
    found = list(Cron("30 2-3 * * *", tz=PARIS).between(datetime(2027, 10, 30, 23, tzinfo=UTC), 1_825_000_000))
    assert [(when.hour, when.fold) for when in found[:2]] == [(2, 0), (3, 0)]
    hourly = itertools.islice(Cron("30 * * * *", tz=PARIS).between(datetime(2027, 10, 31, tzinfo=UTC)), 3)
    assert [(when.hour, when.fold) for when in hourly] == [(2, 0), (2, 1), (3, 0)]


def test_utc_and_fixed_zones():
    assert Every(5).next(0) == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert Every(5).next(0).tzinfo is UTC
    assert Cron("0 9 * * *", tz="UTC").next(0).tzinfo is UTC
    india = timezone(timedelta(hours=5, minutes=30))
    when = Cron("0 9 * * *", tz=india).next(0)
    assert (when.hour, when.utcoffset()) == (9, india.utcoffset(None))
    assert (Every(3_600) & Cron("0 9 * * *", tz=PARIS)).next(0).tzinfo is PARIS


def test_times_are_rounded_up_to_microseconds():
    first = Every(1e-9, anchor=0).next(0)
    assert first == datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert Every(1e-9, anchor=0).next(first) > first
    assert Times([-0.5]).next(-1) == datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)


def test_without_a_time_it_is_now():
    before = datetime.now(UTC)
    found = Every(1_000).next() - timedelta(seconds=1_000)
    assert before <= found <= datetime.now(UTC) + timedelta(microseconds=1)
    assert next(Every(1_000).between()) >= found + timedelta(seconds=1_000)
    assert Every(1_000).describe().count("\n") == 5


def test_there_may_be_no_more():
    assert Times([5, 7]).next(7) is None
    assert list(Times([5, 7]).between(5, 7)) == [datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)]
    assert list(Times([5, 7]).between(7, 5)) == []
    last = datetime(2262, 1, 1, tzinfo=UTC)
    assert list(Cron("@yearly").between(last)) == [last]


def test_between_begins_with_its_start():
    start = datetime(2027, 1, 1, 9, tzinfo=UTC)
    assert next(Cron("0 9 * * *").between(start)) == start
    assert next(Every(60).between(start)) == start + timedelta(minutes=1)
    assert next(Every(60, anchor=start).between(start)) == start
    many = list(Cron("* * * * *").between(0, 6_000))
    assert many == [datetime.fromtimestamp(60 * minute, UTC) for minute in range(100)]


FLOATING = {
    "alone": (Every(20), [30, 50, 70]),
    "from the end": (Every(20, from_end=True), [30, 50, 70]),
    "a moment at the start is not of the grid": (Every(20) | Times([10, 45]), [10, 30, 45, 50, 70]),
    "nor is it left out by it": (Times([10, 30, 45]) - Every(20), [10, 45]),
    "nor let in": (Times([10, 30, 45]) & Every(20), [30]),
    "filtered": (Every(20) - Times([50]), [30, 70]),
    "both": (Every(20) | Every(30), [30, 40, 50, 70]),
}


@pytest.mark.parametrize("name", FLOATING)
def test_a_period_without_an_anchor_begins_one_period_after_the_start(name):
    schedule, expected = FLOATING[name]
    assert [when.timestamp() for when in schedule.between(10, 75)] == expected
    mine = reference.schedule_of(schedule)
    assert [time // 10**9 for time in mine.between(10 * 10**9, 75 * 10**9)] == expected
    later = [time for time in expected if time > 10]
    assert schedule.next(10).timestamp() == later[0]
    assert mine.next(10 * 10**9) == later[0] * 10**9
    shown = schedule.describe(len(later), after=10)
    assert [f":{time // 60:02}:{time % 60:02} " in shown or time == 60 for time in later] == [True] * len(later)
    with pytest.raises(ValueError, match="has no times before it is scheduled"):
        _ = 30 in schedule


NEVER_MEET = {
    "seconds": Every(2, anchor=0) & Every(2, anchor=1),
    "within a minute": Every(0.001, anchor=0) & Every(0.001, anchor=0.0005),
    "days of a year": Cron("0 0 1 1 *") & Cron("0 0 2 1 *"),
    "hours": Cron("* 9 * * *") & Cron("* 10 * * *"),
    "what is left out": Every(60, anchor=0) - Cron("* * * * *"),
    "a part of a union": (Every(2, anchor=0) & Every(2, anchor=1)) | Times([10**9]),
}


@pytest.mark.parametrize("name", NEVER_MEET)
def test_of_parts_that_never_meet_there_is_none_before_the_end(name):
    schedule = NEVER_MEET[name]
    assert list(schedule.between(0, 200)) == []
    assert list(reference.schedule_of(schedule).between(0, 20 * 10**9)) == []


def test_between_is_lazy():
    met = Every(2, anchor=0) & Times([2, 4, 10**9])
    moments = (met | (Every(2, anchor=0) & Every(2, anchor=1))).between(0)
    assert [when.second for when in itertools.islice(moments, 2)] == [2, 4]
    moments = Every(1e-9, anchor=0).between(0)  # 10**19 of them
    assert next(moments) < next(itertools.islice(moments, 5_000, None))
    assert iter(moments) is moments


def test_an_error_comes_after_the_times_before_it():
    parts = Every(2, anchor=0) & (Times([2, 4]) | Every(2, anchor=1))
    moments = parts.between(0)
    assert [next(moments).second, next(moments).second] == [2, 4]
    with pytest.raises(ValueError, match="may never meet"):
        next(moments)


def test_threads_share_an_iterator():
    moments = Cron("* * * * *").between(0, 60 * 20_000)
    with ThreadPoolExecutor(4) as pool:
        found = list(itertools.chain.from_iterable(pool.map(lambda _: list(moments), range(4))))
    assert sorted(found) == [datetime.fromtimestamp(60 * minute, UTC) for minute in range(20_000)]


def test_a_long_search_lets_other_threads_run():
    never = Every(2, anchor=0) & Every(2, anchor=1)
    turns, done = [], threading.Event()

    def search():
        with pytest.raises(ValueError, match="never meet"):
            never.next(0)
        done.set()

    thread = threading.Thread(target=search)
    thread.start()
    while not done.is_set():
        turns.append(time.perf_counter())
    thread.join()
    assert len(turns) > 10


def test_membership():
    nightly = Cron("30 2 * * *", tz=PARIS)
    assert datetime(2027, 3, 28, 1, tzinfo=UTC) in nightly
    assert datetime(2027, 3, 28, 1, 0, 0, 1, tzinfo=UTC) not in nightly
    day = Days([date(2027, 3, 28)], tz=PARIS)
    inside = [datetime(2027, 3, 28, tzinfo=PARIS), datetime(2027, 3, 28, 23, 59, 59, 999_999, tzinfo=PARIS)]
    assert all(when in day for when in inside)
    assert inside[0] - timedelta(microseconds=1) not in day
    assert inside[1] + timedelta(microseconds=1) not in day
    assert inside[0] not in Cron("* * * * *") - day


def test_rules():
    nightly = RRule("FREQ=DAILY;COUNT=3", datetime(2027, 3, 27, 2, 30), tz="Europe/Paris")  # noqa: DTZ001
    found = list(nightly.between(0))
    assert [(when.day, when.hour, when.minute) for when in found] == [(27, 2, 30), (28, 3, 30), (29, 2, 30)]
    assert found[0].tzinfo is PARIS
    assert nightly.next(found[2]) is None
    assert found[1] in nightly
    assert list((nightly - Days([date(2027, 3, 28)], tz=PARIS)).between(0)) == [found[0], found[2]]


def test_office_hours_without_holidays():
    office = Cron("* 9-17 * * mon-fri", tz="Asia/Tokyo") - Days([date(2027, 1, 1)], tz="Asia/Tokyo")
    poll = (Every(600) & office).between(datetime(2027, 1, 1, 5, tzinfo=UTC))
    assert next(poll) == datetime(2027, 1, 4, 9, tzinfo=ZoneInfo("Asia/Tokyo"))


def test_where_python_has_no_zones_the_offset_is_right(monkeypatch):
    def nothing(name):
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zones, "_zones", lambda: nothing)
    found = Cron("30 2 * * *", tz="Europe/Paris").next(SPRING)
    assert (found, found.utcoffset()) == (datetime(2027, 3, 28, 1, tzinfo=UTC), timedelta(hours=2))


def test_a_description():
    text = Cron("30 * * * *", tz=PARIS).describe(n=2, after=datetime(2027, 10, 31, tzinfo=UTC))
    assert text.splitlines()[1:] == [
        "  Sun 2027-10-31 02:30 +02:00  (the first 02:30 of that day: clocks go back at 03:00)",
        "    clocks go back from 03:00 to 02:00",
        "  Sun 2027-10-31 02:30 +01:00  (the second 02:30 of that day)",
    ]
    assert Times([]).describe().splitlines() == ["Times([])", "  no more"]
    assert Every(5).describe(0) == "Every(5)"
