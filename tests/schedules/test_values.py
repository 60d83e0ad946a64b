"""Hold that schedules are values: equal, hashed, shown, pickled and combined by what they say."""

import copy
import datetime  # noqa: ICN001 - as a repr names it
import pickle
from datetime import UTC, date, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy  # noqa: ICN001 - as a repr names it
import pytest

import duewheel
from duewheel import Cron, Days, Every, RRule, Schedule, Times

OFFICE = Cron("* 9-17 * * mon-fri", tz="Asia/Tokyo")
HOLIDAYS = Days([date(2027, 1, 1), date(2027, 5, 3)], tz="Asia/Tokyo")
ODD_ZONE = timezone(-timedelta(hours=1, seconds=5, microseconds=7))

EXAMPLES = [
    Every(10),
    Every(0.1),
    Every(1e-9),
    Every(timedelta(days=90_000, microseconds=1)),
    Every(numpy.timedelta64(8_000_000_000_000_000_001, "ns")),
    Every(5, from_end=True),
    Every(5, anchor=datetime.datetime(2027, 1, 1, 9, tzinfo=UTC)),
    Every(5, anchor=1_798_859_045.7),
    Every(5, anchor=numpy.datetime64(1_798_859_045_000_000_007, "ns")),
    OFFICE,
    Cron("*/2 0 0 LW,15W * fri#2,5L", tz=ODD_ZONE),
    Cron("@daily"),
    Times([]),
    Times([0, -1.5, datetime.datetime(2027, 1, 1, 9, 30, 15, 250, tzinfo=UTC)]),
    HOLIDAYS,
    Days([date(1, 1, 1), date(9999, 12, 31)], tz=ODD_ZONE),
    RRule("RRULE:freq=weekly;byday=MO", datetime.datetime(2027, 1, 1, 9), tz="Europe/Paris"),  # noqa: DTZ001
    RRule("FREQ=DAILY;COUNT=3", datetime.datetime(2027, 1, 1, 9, 30, 15), ODD_ZONE),  # noqa: DTZ001
    OFFICE - HOLIDAYS,
    (Every(10) & OFFICE) - HOLIDAYS,
    Every(10) & (OFFICE - HOLIDAYS) & Every(20, anchor=0),
    (Every(10) | OFFICE) & (Every(20) | Every(30)) | "0 9 * * *",
]
KINDS = {"Every": Every, "Cron": Cron, "Times": Times, "Days": Days, "RRule": RRule}


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_what_is_shown_is_read_back(schedule):
    names = {**vars(duewheel), "datetime": datetime, "numpy": numpy}
    again = eval(repr(schedule), names)
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert type(again) is type(schedule)
    assert repr(again) == repr(schedule)


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_pickles_and_copies_are_equal(schedule):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(schedule, protocol))
        assert again == schedule
        assert type(again) is type(schedule)
    assert copy.copy(schedule) is schedule
    assert copy.deepcopy([schedule])[0] is schedule


def test_all_examples_differ():
    assert len(set(EXAMPLES)) == len(EXAMPLES)
    assert all(schedule != repr(schedule) for schedule in EXAMPLES)


def test_classes():
    for schedule in EXAMPLES:
        assert isinstance(schedule, Schedule)
        combined = " & " in repr(schedule) or " - " in repr(schedule) or " | " in repr(schedule)
        assert type(schedule) is (Schedule if combined else KINDS[repr(schedule).partition("(")[0]])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Every(60), Every(timedelta(minutes=1))),
        (Every(0.1), Every(numpy.timedelta64(100, "ms"))),
        (Every(numpy.float64(0.1)), Every(0.1)),
        (Cron("0 09 * *  MON-Fri", tz="europe/paris"), Cron("0 9 * * mon-fri", tz=ZoneInfo("Europe/Paris"))),
        (Cron("0 9 * * *"), Cron("0 9 * * *", tz=UTC)),
        (Cron("0 9 * * *", tz=timezone(timedelta(0), "here")), Cron("0 9 * * *", tz="UTC")),
        (Times([3, 1, 3]), Times(numpy.array([1, 3], dtype="datetime64[s]"))),
        (Times([1.5]), Times(numpy.array([1.5]))),
        (
            Days(iter([date(2027, 1, 2), date(2027, 1, 1), date(2027, 1, 2)])),
            Days({date(2027, 1, 1): 0, date(2027, 1, 2): 0}),
        ),
        (Every(1) | (Every(2) | Every(3)), (Every(1) | Every(2)) | Every(3)),
        (
            RRule("FREQ=DAILY", datetime.datetime(2027, 7, 1, 9), "Europe/Paris"),  # noqa: DTZ001
            RRule("freq=daily", datetime.datetime(2027, 7, 1, 7, tzinfo=UTC), ZoneInfo("Europe/Paris")),
        ),
        (60 | OFFICE, Every(60) | OFFICE),
        (OFFICE | timedelta(minutes=1), OFFICE | Every(60)),
        (OFFICE & "0 9 * * *", OFFICE & Cron("0 9 * * *")),
        (1.5 & OFFICE, Every(1.5) & OFFICE),
        (timedelta(1) - OFFICE, Every(86_400) - OFFICE),
        ("0 9 * * *" - OFFICE, Cron("0 9 * * *") - OFFICE),
        (OFFICE - 5, OFFICE - Every(5)),
    ],
    ids=repr,
)
def test_equal_ones(one, other):
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Every(5), Every(5, anchor=0)),
        (Every(5), Every(5, from_end=True)),
        (Cron("0 9 * * *"), Cron("0 9 * * *", tz="Europe/Paris")),
        (Cron("@daily"), Cron("0 0 * * *")),
        (OFFICE - HOLIDAYS, OFFICE & HOLIDAYS),
        (Every(1) | Every(2), Every(2) | Every(1)),
    ],
    ids=repr,
)
def test_different_ones(one, other):
    assert one != other


def test_periods_are_rounded_to_the_nearest():
    assert Every(1.5e-9) == Every(numpy.timedelta64(1, "ns"))  # below a half, as binary values go
    assert Every(2.5e-9) == Every(numpy.timedelta64(3, "ns"))  # above
    assert Every(2**-10 * 1.5) == Every(numpy.timedelta64(1_464_844, "ns"))  # 1,464,843.75
    assert Every(2**-10 / 2) == Every(numpy.timedelta64(488_281, "ns"))  # 488,281.25
    assert Every(2**-10 / 4 * 3) == Every(numpy.timedelta64(732_422, "ns"))  # 732,421.875
    assert Every(5 * 2**-10) == Every(numpy.timedelta64(4_882_812, "ns"))  # 4,882,812.5 lies between: to the even one
    assert Every(1.5 * 2**-1074 + 0.1) == Every(numpy.timedelta64(100, "ms"))
    assert Every(0.3) == Every(numpy.timedelta64(300, "ms"))
    assert Every(2**-30) == Every(numpy.timedelta64(1, "ns"))  # 0.93
    assert Every(numpy.float32(0.1)) == Every(numpy.timedelta64(100_000_001, "ns"))


def test_they_are_frozen():
    for schedule in EXAMPLES:
        with pytest.raises((AttributeError, TypeError)):
            schedule.period = 5
    with pytest.raises(TypeError, match="cannot create"):
        Schedule()


def test_a_pickle_may_hold_a_zone_that_is_gone():
    text = OFFICE.__reduce__()[1][0].replace("Asia/Tokyo", "Mars/Olympus")
    gone = duewheel._core.defined_schedule(text)
    assert repr(gone) == "Cron('* 9-17 * * mon-fri', tz='Mars/Olympus')"
    assert pickle.loads(pickle.dumps(gone)) == gone
    with pytest.raises(ValueError, match="Mars/Olympus"):
        gone.next()
    with pytest.raises(ValueError, match="a newer one may have written it"):
        duewheel._core.defined_schedule("sundial 5")
