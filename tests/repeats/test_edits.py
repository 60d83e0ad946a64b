"""Edits of a repeat while its occurrence runs: in memory, in a file, and in the reference."""

from contextlib import closing

import pytest

from duewheel import Cron, Every, LocalStorage, Scheduler, Snooze
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

START_S = 1_000_000
S = 10**9


def dues(events):
    return [(event.job.due / S - START_S, event.occurrence) for event in events]


@pytest.fixture(params=["memory", "file", "reference"])
def scheduler(request, clock, tmp_path):
    if request.param == "reference":
        yield ReferenceScheduler(clock=clock)
        return
    storage = LocalStorage(tmp_path / "jobs.db") if request.param == "file" else None
    with Scheduler(storage, clock=clock) as scheduler:
        yield scheduler


def run(scheduler, clock, old, edit, *, snoozes=False):
    """Run the repeat for some time; its second occurrence edits it."""
    events, shown = [], []

    @scheduler.handler("t")
    def handler(event):
        events.append(event)
        if event.occurrence == 2 and event.run == 2:
            scheduler.repeat(edit, "t", id="r")
            shown.extend(due / S - START_S for due in scheduler.get_repeat("r").upcoming(3))
            if snoozes:
                raise Snooze(3)

    scheduler.start()
    scheduler.repeat(old, "t", id="r")
    for _ in range(60):
        clock.advance(2.5)
    return events, shown


@pytest.mark.parametrize("snoozes", [False, True])
@pytest.mark.parametrize(
    ("old", "edit", "expected"),
    [
        (10, 30, [(10, 1), (20, 2), (50, 3), (80, 4)]),
        (10, 7, [(10, 1), (20, 2), (27, 3), (34, 4)]),
        # The start is forty seconds after a whole minute.
        (10, Cron("* * * * *"), [(10, 1), (20, 2), (80, 3)]),
        (Cron("*/10 * * * * *"), 15, [(10, 1), (20, 2), (35, 3), (50, 4)]),
        (10, Every(10, anchor=START_S + 3), [(10, 1), (20, 2), (23, 3), (33, 4)]),
        (10, 10, [(10, 1), (20, 2), (30, 3), (40, 4)]),
    ],
)
def test_what_is_edited_while_it_runs_comes_next_as_the_edit_says(scheduler, clock, old, edit, expected, snoozes):
    events, shown = run(scheduler, clock, old, edit, snoozes=snoozes)
    if snoozes:
        assert dues(events[1:3]) == [expected[1]] * 2
        del events[2]
    assert dues(events)[: len(expected)] == expected
    assert shown == [due for due, _ in dues(events)[1:4]]
    assert scheduler.stats().missed == 0


@pytest.mark.parametrize("snoozes", [False, True])
def test_from_the_end_the_edit_counts_from_the_end(scheduler, clock, snoozes):
    events, _ = run(scheduler, clock, 10, Every(4, from_end=True), snoozes=snoozes)
    if snoozes:
        del events[2]
    first = 27 if snoozes else 24
    assert dues(events)[2:5] == [(first, 3), (first + 4, 4), (first + 8, 5)]


def test_an_edit_of_what_runs_is_in_the_file(tmp_path):
    clock, events = ManualClock(START_S), []

    def opened():
        scheduler = Scheduler(LocalStorage(tmp_path / "jobs.db"), clock=clock)
        scheduler.handle("t", handler)
        scheduler.start()
        return closing(scheduler)

    def handler(event):
        events.append(event)
        if event.run == 1:
            scheduler.repeat(Cron("* * * * *"), "t", id="r")
            raise Snooze(3)

    with opened() as scheduler:
        scheduler.repeat(10, "t", id="r")
        clock.advance(11)
    with opened() as scheduler:
        clock.advance(10)
        assert dues(events) == [(10, 1), (10, 1), (20, 2)]
    with opened() as scheduler:
        clock.advance(59)
        assert dues(events)[3:] == [(80, 3)]
        assert scheduler.get_repeat("r").missed == 0
