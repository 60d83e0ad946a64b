"""A pending job is found whether it is in memory, on disk alone, or on its way from the one to the other."""

import pytest

from duewheel import LocalStorage, Scheduler
from duewheel.testing import ManualClock

HORIZON_S = 10


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.mark.parametrize("first", [1, 3], ids=["one seen before", "three seen before"])
def test_a_job_that_comes_in_while_it_is_iterated_over_is_seen_once(path, first):
    clock = ManualClock()
    with Scheduler(LocalStorage(path, horizon=HORIZON_S), clock=clock) as scheduler:
        near = [scheduler.in_(HORIZON_S / 2 + number / 10, "t") for number in range(3)]
        far = [scheduler.in_(HORIZON_S * 1.2 + number / 10, "t") for number in range(4)]
        events = scheduler.between()
        seen = [next(events).job_id for _ in range(first)]
        clock.advance(HORIZON_S / 3)  # what was on disk alone comes into memory
        assert [*seen, *(event.job_id for event in events)] == near + far


def test_one_that_has_come_in_and_was_cancelled_or_moved_is_not_seen_in_its_old_place(path):
    clock = ManualClock()
    with Scheduler(LocalStorage(path, horizon=HORIZON_S), clock=clock) as scheduler:
        far = [scheduler.in_(HORIZON_S * 1.2 + number / 10, "t") for number in range(4)]
        events = scheduler.between()
        clock.advance(HORIZON_S / 3)
        assert scheduler.cancel(far[0])
        assert scheduler.reschedule(far[1], HORIZON_S * 3)
        seen = [event.job_id for event in events]
        assert seen == [*far[2:], far[1]] or seen == far[2:]


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_at_the_edge_of_the_horizon_none_is_missed_while_pages_come(tmp_path, durability):
    for number in range(40):
        with Scheduler(LocalStorage(tmp_path / f"{number}.db", durability=durability)) as scheduler:
            ids = [scheduler.in_(3600, "t") for _ in range(3)]
            assert [event.job_id for event in scheduler.between()] == ids
            assert all(scheduler.get(id).job_id == id for id in ids)
            first = scheduler.next()
            assert first is not None
            assert first.job_id == ids[0]
