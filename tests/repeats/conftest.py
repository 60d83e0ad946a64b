import pytest

from duewheel import Scheduler
from duewheel.testing import ManualClock

START_S = 1_000_000


@pytest.fixture
def clock():
    return ManualClock(START_S)


@pytest.fixture
def scheduler(clock):
    with Scheduler(clock=clock, workers=1, seed=7) as scheduler:
        yield scheduler
        stats = scheduler.stats()
        assert stats.scheduled + stats.revived == (
            stats.pending + stats.running + stats.succeeded + stats.dead + stats.cancelled + stats.dropped
        )
