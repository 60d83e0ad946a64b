"""What engine and reference once said otherwise of repeats, or both wrongly: each by an example, for both."""

import logging

import pytest

from duewheel import Every, LocalStorage, Scheduler, Snooze, Times
from duewheel.reference import ReferenceScheduler

START_S = 1_000_000
S = 10**9
HOUR = 3_600
OF = {"engine": lambda _: Scheduler, "file": lambda path: lambda **given: Scheduler(LocalStorage(path), **given)}


@pytest.fixture(params=["engine", "file", "reference"])
def scheduler(request, clock, path, caplog):
    caplog.set_level(logging.CRITICAL, "duewheel")
    make = OF.get(request.param, lambda _: ReferenceScheduler)(path)
    with make(clock=clock, seed=7) as scheduler:
        yield scheduler


class Seen:
    """A handler that notes when each event was due, and does what it is told."""

    def __init__(self, scheduler, does=None, target="t"):
        self.dues, self.does = [], does
        scheduler.handle(target, self)

    def __call__(self, event):
        self.dues.append((seconds(event.job.due), seconds(event.due)))
        if self.does is not None:
            self.does(event)


def seconds(ns):
    return ns / S - START_S


def upcoming(scheduler, n=3, id="r"):
    return [seconds(due) for due in scheduler.get_repeat(id).upcoming(n)]


def snooze_first(event):
    if event.run == 1:
        raise Snooze(3)


@pytest.mark.parametrize("anchor", [None, START_S])
def test_an_edit_while_a_retry_waits_counts_from_now_after_it(scheduler, clock, anchor):
    seen = Seen(scheduler, snooze_first)
    scheduler.repeat(Every(10, anchor=anchor), "t", id="r")
    clock.advance(11)
    scheduler.repeat(Every(4, anchor=anchor), "t", id="r")
    # Without an anchor the grid goes on from the last time.
    follows = [14, 18] if anchor is None else [12, 16]
    assert upcoming(scheduler) == [13, *follows]
    clock.advance(8)
    assert seen.dues == [(10, 10), (10, 13), *[(due, due) for due in follows]]


def test_an_edit_counts_from_now_though_what_is_retried_was_of_a_later_time(scheduler, clock):
    seen = Seen(scheduler, snooze_first)
    scheduler.repeat(Every(20, anchor=START_S), "t", id="r")
    scheduler.reschedule("r", START_S + 5)
    clock.advance(6)
    scheduler.repeat(Every(4, anchor=START_S), "t", id="r")
    assert upcoming(scheduler) == [8, 8, 12]
    clock.advance(6)
    assert seen.dues == [(20, 5), (20, 8), (8, 8), (12, 12)]


def test_the_grid_of_an_edit_does_not_begin_at_a_later_time_that_was_moved(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(Every(1_001, anchor=START_S), "t", id="r")
    scheduler.reschedule("r", START_S + 5)
    clock.advance(6)
    scheduler.repeat(4, "t", id="r")
    clock.advance(8)
    assert seen.dues == [(1_001, 5), (9, 9), (13, 13)]


def test_an_edit_while_it_runs_counts_from_now_after_it(scheduler, clock):
    shown = []

    def edit(event):
        if event.run == 1:
            scheduler.repeat(Every(3, anchor=START_S), "t", id="r")
            shown.append(upcoming(scheduler))

    seen = Seen(scheduler, edit)
    scheduler.repeat(10, "t", id="r")
    clock.advance(16)
    assert shown == [[10, 12, 15]]
    assert [due for due, _ in seen.dues] == [10, 12, 15]


def test_an_edit_of_the_bounds_alone_while_it_runs_bounds_what_follows(scheduler, clock):
    def edit(event):
        if event.run <= 2:
            scheduler.repeat(10, "t", id="r", end=START_S + (25 if event.run == 1 else 45))

    seen = Seen(scheduler, edit)
    scheduler.repeat(10, "t", id="r", end=START_S + 15)
    clock.advance(60)
    assert [due for due, _ in seen.dues] == [10, 20, 30, 40]
    assert "r" not in scheduler


def test_said_again_when_no_time_is_left_it_is_the_same(scheduler, clock):
    seen = Seen(scheduler, target="other")
    scheduler.repeat(Times([START_S + 5]), "t", id="r")
    clock.advance(7)
    scheduler.repeat(Times([START_S + 5]), "t", id="r")
    # What waits for a handler may be given another one.
    scheduler.repeat(Times([START_S + 5]), "other", b"data", id="r")
    clock.advance(0)
    assert seen.dues == [(5, 5)]
    with pytest.raises(ValueError, match="no time"):
        scheduler.repeat(Times([START_S + 5]), "t", id="r")


def test_a_clock_that_was_wrong_by_hours_is_seen_where_nothing_else_is_due(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(Every(600, anchor=START_S), "t", id="r")
    clock.step(-4 * HOUR)
    clock.advance(600)
    assert [due + 4 * HOUR for due, _ in seen.dues] == [600]


@pytest.mark.parametrize("delay", [3, 100])
def test_what_follows_a_retry_or_what_was_asked_for_is_found_anew_too(scheduler, clock, delay):
    def fail(event):
        if event.run == 1:
            raise Snooze(delay)

    seen = Seen(scheduler, fail)
    scheduler.repeat(Every(10, anchor=START_S), "t", id="retried")
    scheduler.repeat(Every(10, anchor=START_S + 1), "no handler", id="asked for")
    clock.advance(10)
    scheduler.trigger("asked for")
    clock.step(-4 * HOUR)
    clock.advance(1)
    back = 4 * HOUR - 10
    assert [due + back for due in upcoming(scheduler, 2, "retried")] == [delay, 10]
    assert [due + back for due in upcoming(scheduler, 3, "asked for")] == [4 * HOUR, 1, 11]
    clock.advance(delay)
    assert seen.dues[:2] == [(10, 10), (10, delay - back)]


def test_what_was_scheduled_after_the_step_is_not_found_anew(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.drain()
    scheduler.repeat(Every(10, anchor=START_S), "t", id="before")
    clock.step(-4 * HOUR)
    scheduler.repeat(Times([START_S - 4 * HOUR + 5]), "t", id="after")
    clock.advance(25)
    scheduler.start()
    clock.advance(0)
    # What could not start since is caught up, for both.
    assert sorted(due + 4 * HOUR for due, _ in seen.dues) == [5, 20]
    assert scheduler.get_repeat("before").missed == 1


def test_what_is_paused_stays_parked_when_its_handler_comes(scheduler, clock):
    scheduler.repeat(10, "t", id="r")
    clock.advance(10)
    scheduler.pause("r")
    seen = Seen(scheduler)
    assert scheduler.stats().parked == 1
    clock.advance(5)
    assert scheduler.stats().parked == 1
    scheduler.resume("r")
    assert scheduler.stats().parked == 0
    clock.advance(5)
    assert seen.dues == [(20, 20)]


def test_what_is_parked_for_another_target_since_stays_so(scheduler, clock):
    scheduler.repeat(10, "t", id="r")
    clock.advance(10)
    scheduler.repeat(5, "other", id="r")
    clock.advance(10)
    Seen(scheduler)
    assert scheduler.stats().parked == 1
    assert not scheduler._manual_next()


def test_resumed_after_a_step_back_it_runs_no_time_twice(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(Every(10, anchor=START_S), "t", id="r")
    clock.advance(20)
    clock.step(-5)
    scheduler.pause("r")
    scheduler.resume("r")
    clock.advance(16)
    assert [due for due, _ in seen.dues] == [10, 20, 30]


@pytest.mark.parametrize("anchor", [None, START_S])
def test_resumed_while_a_retry_waits_it_goes_on_after_now(scheduler, clock, anchor):
    seen = Seen(scheduler, snooze_first)
    scheduler.repeat(Every(10, anchor=anchor), "t", id="r")
    clock.advance(10)
    scheduler.pause("r")
    clock.advance(25)
    scheduler.resume("r")
    clock.advance(5)
    assert seen.dues == [(10, 10), (10, 13), (40, 40)]
    assert scheduler.stats().missed == 0
