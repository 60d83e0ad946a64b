"""`Every(…, from_end=True)`: a period after the end, the first a period after it is scheduled; none before `start`."""

import pytest

from duewheel import Every, Scheduler, Snooze
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

START_S = 1_000_000
S = 10**9

CASES = {
    "without bounds": ({}, [10, 20, 30, 40]),
    "a start before the first": ({"start": 5}, [10, 20, 30, 40]),
    "a start that is past": ({"start": -50}, [10, 20, 30, 40]),
    "a start at the first": ({"start": 10}, [10, 20, 30, 40]),
    "a start after the first": ({"start": 15}, [15, 25, 35, 45]),
    "a start far after": ({"start": 1_005}, [1_005, 1_015, 1_025, 1_035]),
    "an end": ({"start": 15, "end": 35}, [15, 25]),
    "an end at the last": ({"end": 21}, [10, 20]),
}


def schedulers(clock, path):
    return {
        "memory": lambda: Scheduler(clock=clock, workers=1),
        "file": lambda: Scheduler(path, clock=clock, workers=1),
        "reference": lambda: ReferenceScheduler(clock=clock),
    }


@pytest.fixture
def clock():
    return ManualClock(START_S)


@pytest.fixture(params=["memory", "file", "reference"])
def scheduler(request, clock, tmp_path):
    with schedulers(clock, str(tmp_path / "jobs.db"))[request.param]() as scheduler:
        yield scheduler


def shown(dues):
    return [due / S - START_S for due in dues]


def repeat(scheduler, bounds, **keywords):
    bounds = {name: START_S + at for name, at in bounds.items()}
    scheduler.repeat(Every(10, from_end=True), "t", id="r", **bounds, **keywords)


@pytest.mark.parametrize("case", CASES)
def test_its_times(scheduler, clock, case):
    bounds, expected = CASES[case]
    seen = []
    scheduler.handle("t", lambda event: seen.append((event.job.due, event.due)))
    repeat(scheduler, bounds)
    assert shown(scheduler.get_repeat("r").upcoming(4)) == expected
    clock.advance(expected[-1])
    assert shown(due for due, _ in seen) == expected == shown(due for _, due in seen)
    if "end" in bounds:
        assert scheduler.get_repeat("r") is None
    else:
        assert shown(scheduler.get_repeat("r").upcoming(2)) == [expected[-1] + 10, expected[-1] + 20]


def test_a_period_counts_from_the_end_whether_or_not_there_is_a_start(scheduler, clock):
    for bounds, expected in [({}, [10, 27, 37]), ({"start": 12}, [12, 29, 39])]:
        seen, begun = [], clock.now() - START_S

        def handler(event, seen=seen):
            if not seen:
                seen.append(event.job.due)
                raise Snooze(7)
            if event.occurrence > 1:
                seen.append(event.job.due)

        forget = scheduler.handle("t", handler)
        repeat(scheduler, {name: begun + at for name, at in bounds.items()})
        clock.advance(40)
        assert [due - begun for due in shown(seen)] == expected
        assert scheduler.cancel("r")
        forget()


def test_an_edit_while_it_runs_gives_the_period_after_the_end(scheduler, clock):
    seen = []

    def handler(event):
        seen.append(event.job.due)
        if len(seen) == 1:
            scheduler.repeat(Every(3, from_end=True), "t", id="r", start=START_S + 12)

    scheduler.handle("t", handler)
    repeat(scheduler, {})
    clock.advance(20)
    assert shown(seen) == [10, 13, 16, 19]


def test_after_a_reopening_it_goes_on(clock, tmp_path):
    path, seen = str(tmp_path / "jobs.db"), []
    for times in ([15], [25, 35]):
        with Scheduler(path, clock=clock, workers=1) as scheduler:
            scheduler.handle("t", lambda event: seen.append(event.job.due))
            repeat(scheduler, {"start": 15})
            clock.advance(times[-1] - shown([clock.now() * S])[0])
            assert shown(seen[-len(times) :]) == times
