"""Hold that what no schedule is made of is refused: the class of the error, and that its message names the value.

The expressions that cron refuses, each with its cure, are a table of `rust/schedule/tests/refused.rs`.
"""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

import numpy as np
import pytest

from duewheel import Cron, Days, Every, RRule, Times

NAIVE = datetime(2027, 1, 1)  # noqa: DTZ001 - on purpose
INF, NAN = float("inf"), float("nan")
NOON = Cron("0 12 * * *")


class Nowhere(tzinfo):
    """A zone without a name."""


class Named(tzinfo):
    """A zone as pytz has them."""

    zone = "Europe/Paris"


def without_key():
    for folder in TZPATH:
        path = Path(folder, "Europe", "Paris")
        if path.exists():
            return ZoneInfo.from_file(BytesIO(path.read_bytes()))
    pytest.skip("the system has no zones")


PERIODS = [
    *[(value, TypeError, "seconds or a timedelta") for value in [True, "5", b"5", None, 1j, [1], Decimal(1), NAIVE]],
    (np.datetime64(1, "s"), TypeError, "seconds or a timedelta"),
    *[(value, ValueError, "finite") for value in [NAN, INF, -INF, np.float32("nan")]],
    *[(value, ValueError, "more than 0") for value in [0, -1, 0.0, -0.5, 1e-10, timedelta(0), timedelta(-1)]],
    (np.timedelta64("NaT", "s"), ValueError, "NaT"),
    *[(value, OverflowError, "64 bits") for value in [1e10, 2**63, 10**30, timedelta.max]],
]


@pytest.mark.parametrize(("value", "error", "said"), PERIODS, ids=repr)
def test_periods(value, error, said):
    with pytest.raises(error, match=said) as refused:
        Every(value)
    assert repr(value)[:20] in str(refused.value)


TIMES = [
    *[(value, TypeError, "aware datetime or unix seconds") for value in [True, "5", b"5", [1], Decimal(1)]],
    (NAIVE, ValueError, "aware"),
    (NAN, ValueError, "finite"),
    (1e10, OverflowError, "64 bits"),
    (datetime(2300, 1, 1, tzinfo=UTC), OverflowError, "64 bits"),
]
CALLS = {
    "anchor": lambda value: Every(1, anchor=value),
    "after": lambda value: NOON.next(value),
    "described": lambda value: NOON.describe(1, after=value),
    "start": lambda value: NOON.between(value),
    "end": lambda value: NOON.between(0, value),
    "in": lambda value: value in NOON,
    "times": lambda value: Times([value]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("value", "error", "said"), TIMES, ids=repr)
def test_moments(call, value, error, said):
    with pytest.raises(error, match=said) as refused:
        CALLS[call](value)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("value", [5, None, "2027-01-01", b"5", datetime(2027, 1, 1, tzinfo=UTC), NOON], ids=repr)
def test_what_is_no_iterable_of_times(value):
    with pytest.raises(TypeError, match="whens must be an iterable of aware datetimes or unix seconds") as refused:
        Times(value)
    assert repr(value) in str(refused.value)


ZONES = [
    *[(value, ValueError, "not known here") for value in ["", "Mars/Olympus", "CEST", "../../etc/passwd", "a\ud800"]],
    *[(value, TypeError, "an IANA name") for value in [None, 5, True, b"UTC", timedelta(0), ZoneInfo]],
    (Nowhere(), TypeError, "give the name of its zone"),
    (Named(), TypeError, "give 'Europe/Paris'"),
]


@pytest.mark.parametrize("make", [lambda tz: Cron("0 9 * * *", tz), lambda tz: Days([], tz=tz)], ids=["Cron", "Days"])
@pytest.mark.parametrize(("value", "error", "said"), ZONES, ids=repr)
def test_zones(make, value, error, said):
    with pytest.raises(error, match=said):
        make(value)


def test_a_zone_that_is_read_from_a_file_has_no_name():
    with pytest.raises(ValueError, match="must have a key"):
        Cron("0 9 * * *", tz=without_key())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime(2027, 1, 1, tzinfo=UTC), "give its .date()"),
        (NAIVE, "give its .date()"),
        *[(value, "must be a datetime.date") for value in ["2027-01-01", 5, None, np.datetime64("2027-01-01")]],
    ],
    ids=repr,
)
def test_days(value, said):
    with pytest.raises(TypeError, match=said) as refused:
        Days([date(2027, 1, 1), value])
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("value", [date(2027, 1, 1), "2027-01-01", None, 5], ids=repr)
def test_what_is_no_iterable_of_days(value):
    with pytest.raises(TypeError, match=r"dates must be an iterable of datetime\.date"):
        Days(value)


@pytest.mark.parametrize("value", [5, None, b"* * * * *", ["*"] * 5, timedelta(1)], ids=repr)
def test_a_cron_text_is_a_str(value):
    with pytest.raises(TypeError, match=r"text must be a str such as '0 9 \* \* mon-fri'") as refused:
        Cron(value)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("5/15 * * * *", "5-59/15"),
        ("0 9 * * fri-mon", "fri-sat,sun-mon"),
        ("@reboot", "in_"),
        ("H * * * *", "spread="),
        ("0 0 30 2 *", "never comes"),
        ("a\ud800 * * * *", "minute"),
    ],
)
def test_expressions(text, cure):
    with pytest.raises(ValueError, match=r"^cron ") as refused:
        Cron(text)
    assert cure in str(refused.value)


RULE = "FREQ=DAILY"


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((5, NAIVE, "UTC"), TypeError, "text must be a str such as 'FREQ=WEEKLY;BYDAY=MO', not 5"),
        ((b"FREQ=DAILY", NAIVE, "UTC"), TypeError, "not b'FREQ=DAILY'"),
        (("daily", NAIVE, "UTC"), ValueError, "(?i)daily"),
        (("FREQ=DAILY\ud800", NAIVE, "UTC"), ValueError, "FREQ"),
        ((RULE, date(2027, 1, 1), "UTC"), TypeError, "start must be a datetime in local time"),
        ((RULE, 0, "UTC"), TypeError, "start must be a datetime in local time, not 0"),
        ((RULE, NAIVE.replace(microsecond=1), "UTC"), ValueError, "whole second"),
        ((RULE, datetime(2300, 1, 1, tzinfo=UTC), "UTC"), OverflowError, "64 bits"),
        ((RULE, NAIVE, None), TypeError, "an IANA name"),
        ((RULE, NAIVE, "Mars/Olympus"), ValueError, "Mars/Olympus"),
        ((RULE, NAIVE), TypeError, "tz"),
    ],
    ids=repr,
)
def test_rules(arguments, error, said):
    with pytest.raises(error, match=said):
        RRule(*arguments)


FROM_END = Every(5, from_end=True)
WEEKEND = Days([date(2027, 1, 2)])
COMBINED = {
    "from_end with an anchor": lambda: Every(5, anchor=0, from_end=True),
    "from_end on the left": lambda: FROM_END & NOON,
    "from_end on the right": lambda: NOON - FROM_END,
    "from_end in a union": lambda: NOON | FROM_END,
    "days on the left": lambda: WEEKEND & NOON,
    "days in a union": lambda: NOON | WEEKEND,
    "days alone": lambda: WEEKEND.next(),
    "days between": lambda: WEEKEND.between(),
    "days described": lambda: WEEKEND.describe(),
    "a text that is no cron": lambda: NOON | "daily",
    "a period that is none": lambda: NOON | 0,
    "a floating period": lambda: 5 in Every(5),
    "parts that never meet": lambda: (Every(2, anchor=0) & Every(2, anchor=1)).next(),
    "less than none": lambda: NOON.describe(-1),
}


@pytest.mark.parametrize("name", COMBINED)
def test_combinations(name):
    with pytest.raises(ValueError, match=r"."):
        COMBINED[name]()


@pytest.mark.parametrize("value", [None, True, b"5", [1], Decimal(1), date(2027, 1, 1), UTC], ids=repr)
def test_operands(value):
    for combine in (
        lambda: NOON | value, lambda: value | NOON, lambda: NOON & value,
        lambda: value & NOON, lambda: NOON - value, lambda: value - NOON,
    ):  # fmt: skip
        with pytest.raises(TypeError, match="unsupported operand"):
            combine()


def test_a_fixed_zone_may_have_any_offset():
    for offset in [timedelta(hours=23, minutes=59), -timedelta(microseconds=1), timedelta(seconds=19_815)]:
        assert (Cron("0 12 * * *", tz=timezone(offset)).next(0)).utcoffset() == offset
