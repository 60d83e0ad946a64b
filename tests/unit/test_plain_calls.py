"""A call with positional arguments alone goes another way than one with keywords, and does the same."""

import math
import sys
import time
from datetime import timedelta

import pytest

from duewheel import ClosedError, Scheduler
from duewheel.testing import ManualClock


class Text(str):
    pass


class Bytes(bytes):
    pass


NOW = 1_800_000_000
DELAYS = [
    0.0,
    -0.0,
    1e-12,
    0.0004,
    0.1,
    2,
    True,
    timedelta(seconds=3),
    9e9,
    -1.0,
    -1e-12,
    1e10,
    math.nan,
    math.inf,
    "1",
]
TARGETS = ["x", Text("x"), "", "y" * 256, "\ud800", b"x", None]
DATAS = [b"", b"data", Bytes(b"data"), bytearray(b"data"), None, "data", 1]


def outcome(call, *given, **named):
    """What the event of the job says, or how the call refuses."""
    with Scheduler(clock=ManualClock(NOW)) as scheduler:
        scheduler.in_(50.0, "x")  # known by now
        try:
            job_id = getattr(scheduler, call)(*given, **named)
        except (TypeError, ValueError, OverflowError) as error:
            return type(error), str(error)
        event = scheduler.get(job_id)
        return event.due, event.job.due, event.job.target, event.job.data, scheduler.cancel(job_id)


@pytest.mark.parametrize(("call", "first"), [("in_", "delay"), ("at", "when")])
def test_scheduling_with_and_without_keywords_is_the_same(call, first):
    for delay in DELAYS:
        when = delay + NOW if call == "at" and isinstance(delay, float) else delay
        assert outcome(call, when, "x") == outcome(call, **{first: when}, target="x")
    for target in TARGETS:
        assert outcome(call, 2e9, target) == outcome(call, **{first: 2e9}, target=target)
    for data in DATAS:
        assert outcome(call, 2e9, "x", data) == outcome(call, **{first: 2e9}, target="x", data=data)


def test_a_job_long_ago_is_warned_of_in_both_ways(caplog):
    with Scheduler(clock=ManualClock(NOW)) as scheduler:
        scheduler.in_(1.0, "x")
        scheduler.at(1.0, "x")
        scheduler.at(when=1.0, target="x")
        scheduler.at(float(NOW), "x")
    warned = [record for record in caplog.records if "over a year ago" in record.message]
    assert len(warned) == 2


def test_what_was_given_is_let_go_of():
    data = b"some data that is not shared"
    with Scheduler() as scheduler:
        before = sys.getrefcount(data)
        ids = [scheduler.in_(3600.0, "x", data) for _ in range(10)]
        assert sys.getrefcount(data) == before + 10
        assert all(map(scheduler.cancel, ids))
        assert sys.getrefcount(data) == before
        for _ in range(10):
            with pytest.raises(OverflowError):
                scheduler.in_(9e9, "x", data)
        assert sys.getrefcount(data) == before


def test_cancelling_refuses_what_is_no_id():
    with Scheduler() as scheduler:
        named = scheduler.in_(3600.0, "x", id="named")
        made = scheduler.in_(3600.0, "x")
        assert scheduler.cancel(id=named) and not scheduler.cancel("named")
        assert scheduler.cancel(Text(made)) and not scheduler.cancel(made)
        for wrong, error in [("", ValueError), ("i" * 256, ValueError), ("\ud800", ValueError), (1, TypeError)]:
            with pytest.raises(error) as plainly:
                scheduler.cancel(wrong)
            with pytest.raises(error) as by_keyword:
                scheduler.cancel(id=wrong)
            assert str(plainly.value) == str(by_keyword.value)
        with pytest.raises(TypeError):
            scheduler.cancel()
        with pytest.raises(TypeError):
            scheduler.cancel(made, made)


def test_a_timer_is_the_same_in_both_ways():
    with Scheduler() as scheduler:
        for data in [None, {}, b""]:
            for timer in [scheduler.timer(3600.0, "x", data), scheduler.timer(delay=3600.0, target="x", data=data)]:
                assert scheduler.get(timer.id).job.data is data
                assert timer.cancel() and not timer.cancel()
        for target in [1, None]:
            with pytest.raises(TypeError):
                scheduler.timer(3600.0, target)


def test_a_closed_scheduler_takes_nothing():
    scheduler = Scheduler()
    scheduler.in_(1.0, "x")
    scheduler.close()
    calls = [("in_", 1.0, "x"), ("at", time.time(), "x"), ("timer", 1.0, "x"), ("cancel", "x")]
    for call, *given in calls:
        with pytest.raises(ClosedError):
            getattr(scheduler, call)(*given)
