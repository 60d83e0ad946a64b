"""A great many jobs due at one instant, beside a second scheduler that ticks every millisecond."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from duewheel import Scheduler

TICK = timedelta(milliseconds=1)


class Ticker:
    """Schedules itself again a millisecond after its due, not after its start: a late tick is caught up with."""

    def __init__(self, scheduler):
        self.scheduler = scheduler
        self.count = 0
        self.wrong = []
        self.changed = threading.Condition()
        scheduler.handle("tick", self.tick)
        self.due_at = datetime.now(UTC) + TICK
        scheduler.at(self.due_at, "tick")

    def tick(self, event):
        if time.time_ns() < event.due or event.due_at != self.due_at:
            self.wrong.append(event)
        self.due_at += TICK
        self.scheduler.at(self.due_at, "tick")
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def goes_on(self, ticks):
        with self.changed:
            enough = self.count + ticks
            return self.changed.wait_for(lambda: self.count >= enough, 30)


@pytest.mark.parametrize(
    "count", [100_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_a_crowd_due_at_one_instant_runs_once_each_in_order_and_a_ticker_goes_on(count):
    early, ran, ticks = [], [], []

    def work(event):
        if time.time_ns() < event.due:
            early.append(event)
        ran.append(event.job_id)
        ticks.append(ticker.count)

    with Scheduler(workers=1) as crowd, Scheduler(workers=1) as metronome:
        ticker = Ticker(metronome)
        crowd.handle("t", work)
        assert ticker.goes_on(10)
        ids = crowd.at_many([datetime.now(UTC) + timedelta(seconds=0.2)] * count, "t")
        assert crowd.wait(300)
        assert ticker.goes_on(10)
        assert early == [] and ticker.wrong == []
        assert ran == list(ids)
        # A tenth of a second is over before a busy machine has given the ticker's thread a turn.
        assert ticks[-1] > ticks[0] or count < 1_000_000, "it stood still while they ran"
        crowd._check()
        metronome._check()
    assert crowd.stats().succeeded == count
    assert metronome.stats().started == ticker.count
