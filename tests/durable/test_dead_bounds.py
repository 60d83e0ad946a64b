"""`dead_for` and `dead_max` bound what a file keeps of the dead."""

from datetime import timedelta

import pytest

from duewheel import LocalStorage, Scheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")


def dies(event):
    raise ValueError("no")


def die(scheduler, clock, count, every=1):
    for _ in range(count):
        scheduler.in_(0, "t", retry_limit=0)
        clock.advance(every)


def died(scheduler):
    return [round(dead.died / 1e9) for dead in scheduler.dead()]


def test_no_more_than_so_many_are_kept_the_newest(tmp_path):
    path, clock = tmp_path / "jobs.db", ManualClock()
    with Scheduler(LocalStorage(path, dead_max=3), workers=1, clock=clock) as scheduler:
        scheduler.handle("t", dies)
        die(scheduler, clock, 10)
        assert died(scheduler) == [9, 8, 7]
        assert scheduler.stats().dead == 10
    with Scheduler(LocalStorage(path, dead_max=1), clock=clock) as scheduler:
        assert died(scheduler) == [9]
    with Scheduler(path, workers=1, clock=clock) as scheduler:
        scheduler.handle("t", dies)
        die(scheduler, clock, 4)
        assert len(died(scheduler)) == 5
    with Scheduler(LocalStorage(path, dead_max=0), clock=clock) as scheduler:
        assert died(scheduler) == []


def test_those_that_died_long_ago_are_forgotten(tmp_path):
    path, clock = tmp_path / "jobs.db", ManualClock()
    storage = LocalStorage(path, dead_for=timedelta(seconds=5))
    with Scheduler(storage, workers=1, clock=clock) as scheduler:
        scheduler.handle("t", dies)
        die(scheduler, clock, 10)
        assert died(scheduler) == [9, 8, 7, 6, 5]
        clock.advance(3)
        assert died(scheduler) == [9, 8]
        clock.advance(100)
        assert died(scheduler) == []


def test_the_file_does_not_grow_though_nobody_looks(tmp_path):
    path, clock = tmp_path / "jobs.db", ManualClock()
    with Scheduler(LocalStorage(path, durability="relaxed", dead_max=8), workers=1, clock=clock) as scheduler:
        scheduler.handle("t", dies)
        die(scheduler, clock, 100)
    with Scheduler(LocalStorage(path), clock=clock) as scheduler:
        assert 8 <= len(died(scheduler)) <= 10


@pytest.mark.parametrize(
    ("keywords", "kind"),
    [
        ({"dead_for": -1}, ValueError),
        ({"dead_for": "1d"}, TypeError),
        ({"dead_for": True}, TypeError),
        ({"dead_for": float("nan")}, ValueError),
        ({"dead_for": 1e300}, OverflowError),
        ({"dead_max": -1}, ValueError),
        ({"dead_max": 1.5}, TypeError),
        ({"dead_max": True}, TypeError),
    ],
    ids=str,
)
def test_bounds_that_are_none(keywords, kind):
    [name] = keywords
    with pytest.raises(kind, match=name):
        LocalStorage("jobs.db", **keywords)
