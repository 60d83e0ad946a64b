"""What `repeat` refuses: the message names the field, what was given, and what to do."""

from datetime import UTC, date, datetime, timedelta

import pytest

from duewheel import Cron, Days, DuplicateJobError, Every, Scheduler, Times
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)

REFUSED = [
    ((60,), {"catch_up": "two"}, ValueError, r"catch_up must be .*'two'"),
    ((60,), {"catch_up": 1}, TypeError, "catch_up must be"),
    ((60,), {"catch_up": "all"}, ValueError, "window"),
    ((60,), {"window": -1}, ValueError, "window must not be negative: -1"),
    ((60,), {"window": "1"}, TypeError, "window"),
    ((60,), {"spread": -1}, ValueError, "spread must not be negative: -1"),
    ((60,), {"spread": True}, TypeError, "spread"),
    ((60,), {"count": 0}, ValueError, "count must be .*0"),
    ((60,), {"count": 1.5}, TypeError, "count must be .*1.5"),
    ((60,), {"start": NOON, "end": NOON}, ValueError, "end must be after start"),
    ((60,), {"start": datetime(2027, 1, 1)}, ValueError, "start"),  # noqa: DTZ001
    ((60,), {"end": "tomorrow"}, TypeError, "end"),
    ((60,), {"pause_on_dead": 1}, TypeError, "pause_on_dead must be a bool"),
    ((60,), {"tz": "UTC"}, ValueError, "tz"),
    ((Cron("0 9 * * *"),), {"tz": "Europe/Paris"}, ValueError, "tz"),
    (("0 9 * * *",), {"tz": "Nowhere/Else"}, ValueError, "Nowhere/Else"),
    (("0 9 * *",), {}, ValueError, "fields"),
    ((0,), {}, ValueError, "period"),
    ((-5,), {}, ValueError, "period"),
    ((timedelta(0),), {}, ValueError, "period"),
    ((True,), {}, TypeError, "True"),
    ((None,), {}, TypeError, "None"),
    ((Times([NOON - timedelta(days=30)]),), {}, ValueError, "no time"),
    ((60,), {"end": NOON - timedelta(days=1)}, ValueError, "no time"),
    ((Days([date(2027, 12, 25)]),), {}, ValueError, "Days"),
    ((60,), {"retry_limit": -1}, ValueError, "retry_limit"),
    ((60,), {"colour": 1}, TypeError, "colour"),
    ((60,), {"id": ""}, ValueError, "id must have 1 to 255 bytes"),
]


@pytest.fixture(params=[Scheduler, ReferenceScheduler], ids=lambda kind: kind.__name__)
def scheduler(request):
    scheduler = request.param(clock=ManualClock(NOON.timestamp()))
    yield scheduler
    scheduler.close()


@pytest.mark.parametrize(("given", "keywords", "error", "why"), REFUSED, ids=str)
def test_what_is_wrong_is_refused_and_nothing_is_scheduled(scheduler, given, keywords, error, why):
    with pytest.raises(error, match=why):
        scheduler.repeat(*given, "a", **keywords)
    assert len(scheduler) == 0 and not list(scheduler.repeats())


def test_a_declared_repeat_is_checked_where_it_is_declared():
    scheduler = Scheduler()
    with pytest.raises(ValueError, match="window"):
        scheduler.repeated(60, catch_up="all")
    with pytest.raises(TypeError, match="id is the target"):
        scheduler.repeated(60, id="x")
    with pytest.raises(ValueError, match="Days"):
        scheduler.repeated(Days([date(2027, 12, 25)]))
    scheduler.close()


def test_ids_are_of_one_kind(scheduler):
    scheduler.repeat(60, "a", id="again")
    scheduler.in_(5, "a", id="once")
    with pytest.raises(DuplicateJobError, match="'again'"):
        scheduler.in_(5, "a", id="again")
    with pytest.raises(DuplicateJobError, match="'once'"):
        scheduler.repeat(60, "a", id="once")
    with pytest.raises(ValueError, match="from_end"):
        Every(5, from_end=True, anchor=0)
    with pytest.raises(ValueError, match="from_end"):
        Every(5, from_end=True) & Cron("* * * * *")
