"""Show repeats of the reference at work: rule 3, edits, triggers and counts, each by an example."""

from datetime import UTC, datetime

import pytest

from duewheel import Discard, DuplicateJobError, Snooze
from duewheel.reference import ReferenceScheduler
from duewheel.reference._repeats import Grid, Repeat, Terms, take_up
from duewheel.reference._rules import spread_ns
from duewheel.reference._schedules import Cron, Days, Every, Times
from duewheel.testing import ManualClock

SECOND = 10**9


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def scheduler(clock):
    with ReferenceScheduler(clock=clock, seed=7) as scheduler:
        yield scheduler


@pytest.fixture
def log(scheduler, clock):
    """What target ``t`` ran: (occurrence, its own time, when)."""
    log = []
    scheduler.handle("t", lambda event: log.append((event.occurrence, event.job.due / SECOND, clock.now())))
    return log


def counted(scheduler):
    stats = scheduler.stats()
    ended = stats.succeeded + stats.dead + stats.cancelled + stats.dropped
    assert stats.scheduled + stats.revived == stats.pending + stats.running + ended
    return stats


def test_a_repeat_comes_again(scheduler, clock, log):
    scheduler.repeat(10, "t", id="r")
    clock.advance(35)
    assert log == [(1, 10, 10), (2, 20, 20), (3, 30, 30)]
    assert counted(scheduler).scheduled == 4
    assert scheduler.wait(), "nothing ends it: nobody waits for it"
    assert scheduler.get("r").occurrence == 4
    assert scheduler.get("r").previous == 30 * SECOND


@pytest.mark.parametrize(
    ("catch_up", "window", "runs", "missed"),
    [
        ("one", None, [30, 40], 2),
        ("none", None, [40], 3),
        ("all", 100, [10, 20, 30, 40], 0),
        ("all", 20, [20, 30, 40], 1),
        ("one", 4, [40], 3),
    ],
)  # fmt: skip
def test_what_was_missed(scheduler, clock, log, catch_up, window, runs, missed):
    scheduler.repeat(10, "t", id="r", catch_up=catch_up, window=window)
    scheduler.drain()
    clock.advance(35)
    scheduler.start()
    clock.advance(10)
    assert [time for _, time, _ in log] == runs
    assert [number for number, _, _ in log] == list(range(1, len(runs) + 1))
    assert counted(scheduler).missed == missed == scheduler.get_repeat("r").missed


@pytest.mark.parametrize("late", [0, 1])
def test_what_is_merely_late_is_not_missed(late):
    terms = Terms(Every(10, anchor=0), "t", b"", None, None, None, None, 0, "none", None, False, False, {}, None)
    repeat = Repeat(terms, on_boot=False, anchor=0, offset=0, time=10 * SECOND, last=0)
    grid, now = Grid(terms, 0, 0), (30 + late) * SECOND
    assert take_up(repeat, grid, 10 * SECOND, now, is_missed=False).time == 30 * SECOND
    missed = take_up(repeat, grid, 10 * SECOND, now, is_missed=True)
    assert (missed.time, missed.runs, missed.missed) == (40 * SECOND, False, 3)


def test_times_that_pass_during_retries_are_merged(scheduler, clock, log):
    def fail_twice(event):
        log.append((event.occurrence, event.job.due / SECOND, clock.now()))
        if event.occurrence == 1 and event.attempt < 3:
            raise Snooze(15) if event.attempt == 1 and event.run == 1 else RuntimeError

    scheduler.handle("u", fail_twice)
    scheduler.repeat(10, "u", id="r", min_backoff=10, max_backoff=10)
    clock.advance(60)
    assert log == [(1, 10, 10), (1, 10, 25), (1, 10, 35), (1, 10, 45), (2, 40, 45), (3, 50, 50), (4, 60, 60)]
    assert counted(scheduler).missed == 2


def test_from_end_counts_from_the_end(scheduler, clock, log):
    scheduler.repeat(Every(10, from_end=True), "t", id="r")
    scheduler.drain()
    clock.advance(13)
    scheduler.start()
    clock.advance(20)
    assert log == [(1, 10, 13), (2, 23, 23), (3, 33, 33)]


def test_from_end_is_not_before_its_start(scheduler, clock, log):
    clock.advance_to(100)
    scheduler.repeat(Every(10, from_end=True), "t", id="r", start=105)
    clock.advance(20)
    clock.step(-50)
    clock.advance(11)
    assert [at for _, _, at in log] == [pytest.approx(110), pytest.approx(120), pytest.approx(80)]
    assert scheduler.get("r").due == 105 * SECOND


def test_bounds_and_count(scheduler, clock, log):
    scheduler.repeat(Every(10, anchor=0), "t", id="r", start=20, end=50, count=2)
    assert not scheduler.wait()
    assert scheduler.get_repeat("r").upcoming(9) == [20 * SECOND, 30 * SECOND]
    clock.advance(100)
    assert [time for _, time, _ in log] == [20, 30]
    assert "r" not in scheduler
    assert scheduler.wait()
    with pytest.raises(ValueError, match="no time"):
        scheduler.repeat(Times([50]), "t")


def test_spread_is_a_fixed_offset(scheduler, clock, log):
    offset = spread_ns(7, "r", 5 * SECOND) / SECOND
    scheduler.repeat(10, "t", id="r", spread=5)
    clock.advance(26)
    assert [(time, pytest.approx(at)) for _, time, at in log] == [(10, 10 + offset), (20, 20 + offset)]


def test_an_equal_repeat_changes_nothing_and_another_counts_from_now(scheduler, clock, log):
    scheduler.repeat(10, "t", id="r")
    clock.advance(15)
    place = scheduler.get("r")
    scheduler.repeat(10, "t", id="r")
    assert scheduler.get("r") == place
    scheduler.repeat(Every(4, anchor=0), "t", id="r")
    assert scheduler.get("r").due == 16 * SECOND
    scheduler.repeat(7, "t", id="r")
    assert scheduler.get("r").occurrence == 2
    scheduler.repeat(Times([99]), "t", b"new", id="r")
    assert scheduler.get("r").data == b"new"
    clock.advance(90)
    assert log == [(1, 10, 10), (2, 99, 99)]


def test_an_edit_does_not_hurry_a_retry(scheduler, clock):
    seen = []

    def fail(event):
        seen.append((event.data, clock.now()))
        raise RuntimeError

    scheduler.handle("u", fail)
    scheduler.repeat(100, "u", id="r", min_backoff=30, max_backoff=30, retry_limit=1)
    clock.advance(110)
    scheduler.repeat(100, "u", b"new", id="r", min_backoff=30, max_backoff=30, retry_limit=1)
    clock.advance(30)
    assert seen == [(b"", 100), (b"new", 130)]


def test_an_edit_may_give_a_parked_retry_another_target(scheduler, clock, log):
    forget = scheduler.handle("u", lambda event: 1 / 0)
    scheduler.repeat(100, "u", id="r", min_backoff=30, max_backoff=30)
    clock.advance(110)
    forget()
    clock.advance(30)
    assert counted(scheduler).parked == 1
    scheduler.repeat(100, "t", id="r")
    clock.advance(0)
    assert log == [(1, 100, 140)]


def test_one_more_after_the_last_time_is_the_last(scheduler, clock):
    seen = []

    def once_more(event):
        seen.append((event.occurrence, event.job.due // SECOND))
        assert len(scheduler.get_repeat("r").upcoming(3)) == 1
        if event.occurrence == 1:
            assert scheduler.trigger("r")

    scheduler.handle("u", once_more)
    scheduler.repeat(Times([5]), "u", id="r")
    scheduler.reschedule("r", 20)
    clock.advance(30)
    assert seen == [(1, 5), (2, 20)]
    assert scheduler.get("r") is None


def test_trigger_is_one_more_and_the_grid_stays(scheduler, clock, log):
    scheduler.repeat(10, "t", id="r")
    clock.advance(12)
    assert scheduler.trigger("r")
    assert scheduler.trigger("r")
    clock.advance(10)
    assert log == [(1, 10, 10), (2, 12, 12), (3, 20, 20)]
    assert not scheduler.trigger("x")


def test_pause_holds_it_and_resume_goes_on_after_now(scheduler, clock, log):
    scheduler.repeat(10, "t", id="r", catch_up="all", window=100)
    scheduler.pause("r")
    clock.advance(25)
    assert counted(scheduler).parked == 1
    assert "paused" in scheduler.explain("r")
    scheduler.trigger("r")
    clock.advance(1)
    scheduler.resume("r")
    clock.advance(10)
    assert log == [(1, 25, 25), (2, 30, 30)]


def test_reschedule_moves_the_coming_occurrence_alone(scheduler, clock, log):
    scheduler.repeat(10, "t", id="r")
    scheduler.reschedule("r", 3)
    assert (scheduler.get("r").due, scheduler.get("r").job.due) == (3 * SECOND, 10 * SECOND)
    clock.advance(25)
    assert log == [(1, 10, 3), (2, 20, 20)]


def test_dead_occurrences_do_not_end_it(scheduler, clock, log):
    def discard(event):
        if event.occurrence == 1:
            raise Discard("enough")
        log.append((event.occurrence, event.previous))

    scheduler.handle("u", discard)
    scheduler.repeat(10, "u", id="r")
    clock.advance(30)
    assert log == [(2, None), (3, 20 * SECOND)]
    assert [dead.event.occurrence for dead in scheduler.dead()] == [1]
    with pytest.raises(DuplicateJobError):
        scheduler.revive("r")
    scheduler.cancel("r")
    assert scheduler.revive("r")
    assert scheduler.get("r").occurrence == 0


def test_pause_on_dead(scheduler, clock):
    scheduler.handle("u", lambda event: 1 / 0)
    scheduler.repeat(10, "u", id="r", retry_limit=0, pause_on_dead=True)
    clock.advance(30)
    assert counted(scheduler).dead == 1
    assert scheduler.get_repeat("r").paused


def test_cancel_ends_it_also_while_it_runs(scheduler, clock):
    answers = []

    def cancel(event):
        answers.append(scheduler.cancel("r"))
        answers.append(scheduler.cancel("r"))
        raise RuntimeError

    scheduler.handle("u", cancel)
    scheduler.repeat(10, "u", id="r")
    clock.advance(100)
    assert answers == [True, False]
    assert counted(scheduler).cancelled == 1


def test_ids_are_shared_with_other_jobs(scheduler):
    scheduler.in_(5, "t", id="a")
    scheduler.repeat(5, "t", id="b")
    with pytest.raises(DuplicateJobError):
        scheduler.repeat(5, "t", id="a")
    with pytest.raises(DuplicateJobError):
        scheduler.in_(5, "t", id="b")


def test_a_declared_repeat_is_taken_in_by_start(clock):
    scheduler = ReferenceScheduler(clock=clock)
    seen = []

    @scheduler.repeated(10)
    def sweep(event):
        seen.append(event.job_id)

    assert len(scheduler) == 0
    clock.advance(5)
    scheduler.start()
    clock.advance(12)
    assert seen == ["sweep"]
    assert scheduler.get_repeat("sweep").declared
    scheduler.close()


def test_steps_of_the_clock(scheduler, clock, log):
    clock.advance_to(100_000)
    scheduler.repeat(Every(3600, anchor=0), "t", id="r")
    clock.advance_to(100_900)
    clock.step(-3_600)
    clock.advance(3_600)
    assert [time for _, time, _ in log] == [100_800], "nothing twice"
    clock.step(-50_000)
    clock.advance(0)
    assert scheduler.get("r").due == 54_000 * SECOND, "the clock was wrong"
    clock.step(7_000)
    clock.advance(0)
    assert [time for _, time, _ in log] == [100_800, 57_600]
    assert scheduler.stats().missed == 1


@pytest.mark.parametrize(
    ("call", "match"),
    [
        ({"catch_up": "all"}, "window"),
        ({"catch_up": "both"}, "both"),
        ({"count": 0}, "count"),
        ({"tz": "UTC"}, "tz"),
        ({"window": -1}, "window"),
        ({"schedule": 0}, "period"),
        ({"schedule": Days([])}, "Days"),
    ],
)
def test_what_cannot_be_is_refused(scheduler, call, match):
    with pytest.raises(ValueError, match=match):
        scheduler.repeat(call.pop("schedule", 10), "t", **call)
    assert len(scheduler) == 0


def test_combinations():
    noon = datetime(2027, 1, 1, 12, tzinfo=UTC)
    minutes = Every(60, anchor=0) & Cron("30 9-17 * * mon-fri")
    at = int(noon.timestamp()) * SECOND
    assert minutes.next(at) == at + 1800 * SECOND
    assert (minutes - Days([noon.date()])).next(at) == at + (2 * 86_400 + 21 * 3_600 + 1_800) * SECOND
    assert list((Every(20) | Times([5, 40])).between(0, 70 * SECOND)) == [n * SECOND for n in (5, 20, 40, 60)]
