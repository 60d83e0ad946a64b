"""Every refusal of what controls a target: the kind of error, the value, and the remedy."""

import asyncio
from datetime import timedelta

import pytest

from duewheel import Limit, NopScheduler, Rate, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

SCHEDULERS = [Scheduler, aio.Scheduler, lambda: ReferenceScheduler(clock=ManualClock())]

RATES = [
    ((0,), {}, ValueError, "n must be from 1 to .*not 0"),
    ((-1,), {}, ValueError, "n must be from 1 to .*not -1"),
    ((True,), {}, TypeError, "n must be an int, not True"),
    ((1.5,), {}, TypeError, "n must be an int, not 1.5"),
    (("5/m",), {}, TypeError, "n must be an int, not '5/m'"),
    ((2**32,), {}, ValueError, "n must be from 1 to 4294967295, not 4294967296"),
    ((1,), {"per": 0}, ValueError, "per must be more than 0 seconds, not 0: without a limit say rate=None"),
    ((1,), {"per": timedelta(0)}, ValueError, "per must be more than 0 seconds"),
    ((1,), {"per": -1}, ValueError, "per must not be negative: -1"),
    ((1,), {"per": float("nan")}, ValueError, "per"),
    ((1,), {"per": "minute"}, TypeError, "per .*'minute'"),
    ((1,), {"per": 1e300}, OverflowError, "per is out of range: 1e\\+300"),
    ((1,), {"burst": 0}, ValueError, "burst must be from 1 to .*not 0"),
    ((1,), {"burst": True}, TypeError, "burst must be an int, not True"),
    ((1,), {"burst": 2.0}, TypeError, "burst must be an int, not 2.0"),
    ((1,), {"per": 1e9, "burst": 11}, OverflowError, "burst is out of range: 11 starts .* smaller burst"),
]


@pytest.mark.parametrize(("arguments", "keywords", "kind", "message"), RATES, ids=str)
def test_a_rate_that_is_none(arguments, keywords, kind, message):
    with pytest.raises(kind, match=message):
        Rate(*arguments, **keywords)


LIMITS = [
    ((0,), {}, ValueError, "n must be from 1 to .*not 0"),
    ((True,), {}, TypeError, "n must be an int, not True"),
    (
        (3,),
        {"across": "threads"},
        ValueError,
        "across must be 'nodes', not 'threads': concurrency=3 counts one",
    ),
]


@pytest.mark.parametrize(("arguments", "keywords", "kind", "message"), LIMITS, ids=str)
def test_a_limit_that_is_none(arguments, keywords, kind, message):
    with pytest.raises(kind, match=message):
        Limit(*arguments, **keywords)


CONTROLS = [
    ({"concurrency": 0}, ValueError, "concurrency must be from 1 to .*not 0"),
    ({"concurrency": -2}, ValueError, "concurrency must be from 1 to .*not -2"),
    ({"concurrency": True}, TypeError, "concurrency must be an int, a Limit or None, not True: 1 runs one at a time"),
    ({"concurrency": 1.0}, TypeError, "concurrency must be an int, not 1.0"),
    ({"concurrency": "2"}, TypeError, "concurrency must be an int, not '2'"),
    ({"concurrency": 2**32}, ValueError, "concurrency must be from 1 to 4294967295, not 4294967296"),
    ({"rate": 5}, TypeError, "rate must be a Rate or None, not 5: Rate\\(5\\) starts it so often in a second"),
    ({"rate": "5/m"}, TypeError, "rate must be a Rate or None, not '5/m': Rate\\(5, per=60\\) is one"),
    ({"priority": "high"}, TypeError, "priority .*'high'"),
    ({"priority": None}, TypeError, "priority .*None"),
    ({"priority": True}, TypeError, "priority .*True"),
    ({"priority": float("inf")}, (ValueError, OverflowError), "priority"),
    ({"priority": 1e300}, OverflowError, "priority is out of range: 1e\\+300"),
    ({"timeout": 0}, ValueError, "timeout must be more than 0 seconds, not 0: without one say timeout=None"),
    ({"timeout": -1.5}, ValueError, "timeout must not be negative, not -1.5|-1.5"),
    ({"timeout": "5s"}, TypeError, "timeout .*'5s'"),
    ({"timeout": True}, TypeError, "timeout .*True"),
    ({"timeout": float("nan")}, ValueError, "timeout"),
    ({"dead": ""}, ValueError, "dead"),
    ({"dead": 5}, TypeError, "dead must be a str, not 5"),
    ({"dead": "x" * 256}, ValueError, "dead"),
    ({"dead": "t"}, ValueError, "dead must be another target than 't'"),
    ({"concurency": 1}, TypeError, "concurency"),
]


@pytest.mark.parametrize("make", SCHEDULERS, ids=["Scheduler", "aio", "reference"])
@pytest.mark.parametrize(("controls", "kind", "message"), CONTROLS, ids=str)
def test_controls_that_are_none_register_nothing(make, controls, kind, message):
    scheduler = make()
    with pytest.raises(kind, match=message):
        scheduler.handle("t", print, **controls)
    with pytest.raises(kind, match=message):
        scheduler.handler("t", **controls)(print)
    scheduler.handle("t", print)
    closed = scheduler.close()
    if closed is not None:
        asyncio.run(closed)


@pytest.mark.parametrize("make", SCHEDULERS, ids=["Scheduler", "aio", "reference"])
@pytest.mark.parametrize(("controls", "kind", "message"), CONTROLS, ids=str)
def test_nor_do_those_of_a_repeat(make, controls, kind, message):
    scheduler = make()
    with pytest.raises(kind, match=message):
        scheduler.repeated(60, target="t", **controls)(print)
    scheduler.handle("t", print)
    closed = scheduler.close()
    if closed is not None:
        asyncio.run(closed)


def test_a_scheduler_that_does_nothing_checks_nothing():
    scheduler = NopScheduler()
    scheduler.handle("t", None, concurrency=-1, rate="often", timeout=-5, priority=None, dead=3)()
    assert scheduler.handler("t", concurrency=-1)(print) is print
    assert scheduler.repeated(None, rate=7)(print) is print


def test_values_compare_and_show_what_they_are():
    assert Rate(5, per=60) == Rate(5, timedelta(minutes=1)) != Rate(5)
    assert repr(Rate(5, 0.5, burst=3)) == "Rate(n=5, per=0.5, burst=3)"
    assert {Limit(3), Limit(3, across="nodes")} == {Limit(3)}
    for value, name in [(Rate(1), "n"), (Limit(1), "across")]:
        with pytest.raises(AttributeError):
            setattr(value, name, 2)
