"""The calls about repeats, in memory and in virtual time."""

import logging

import pytest

import duewheel
from duewheel import Discard, DuplicateJobError, JobOptions, Scheduler, Snooze
from duewheel.testing import ManualClock

START_S = 1_000_000
S = 10**9


def seconds(ns):
    return ns / S - START_S


class Seen:
    """A handler that notes each event, and does what it is told."""

    def __init__(self, scheduler, target="t", does=None):
        self.events = []
        self.does = does
        self.deregister = scheduler.handle(target, self)

    def __call__(self, event):
        self.events.append(event)
        if self.does is not None:
            self.does(event)

    @property
    def dues(self):
        return [seconds(event.job.due) for event in self.events]

    @property
    def numbers(self):
        return [event.occurrence for event in self.events]


def test_an_interval_comes_at_its_grid(scheduler, clock):
    seen = Seen(scheduler)
    assert scheduler.repeat(10, "t", b"data", id="r") == "r"
    for _ in range(3):
        clock.advance(10)
    assert seen.dues == [10, 20, 30]
    assert seen.numbers == [1, 2, 3]
    assert [event.previous for event in seen.events] == [None, *(event.job.due for event in seen.events[:-1])]
    assert [event.id for event in seen.events] == ["r/1", "r/2", "r/3"]
    assert {event.attempt for event in seen.events} == {1}
    assert {event.data for event in seen.events} == {b"data"}
    event = scheduler.get("r")
    assert (seconds(event.due), event.occurrence, event.previous) == (40, 4, seen.events[-1].job.due)
    assert "r" in scheduler
    assert len(scheduler) == 1
    assert scheduler.next() == event
    assert list(scheduler.between()) == [event]


def test_a_generated_id_is_that_of_a_repeat(scheduler, clock):
    seen = Seen(scheduler)
    id = scheduler.repeat(10, "t")
    assert len(id) == 36
    clock.advance(20)
    assert scheduler.get_repeat(id).occurrence == 3
    assert scheduler.cancel(id)
    clock.advance(20)
    assert len(seen.events) == 2
    assert scheduler.get_repeat(id) is None


def test_count_start_and_end_bound_it(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(10, "t", id="count", count=2)
    clock.advance(100)
    assert seen.dues == [10, 20]
    assert "count" not in scheduler
    seen.events.clear()
    scheduler.repeat(10, "t", id="bounds", start=START_S + 125, end=START_S + 150)
    clock.advance(100)
    assert seen.dues == [130, 140]
    assert len(scheduler) == 0


@pytest.mark.parametrize("keywords", [{"end": START_S + 5}, {"end": START_S - 5}])
def test_without_a_time_it_is_refused(scheduler, keywords):
    with pytest.raises(ValueError, match="no time that is left"):
        scheduler.repeat(10, "t", **keywords)
    assert len(scheduler) == 0


def test_what_passes_while_a_handler_is_missing_is_caught_up(scheduler, clock):
    for catch_up in ("one", "none", "all"):
        scheduler.repeat(10, "t", id=catch_up, catch_up=catch_up, window=1_000)
    clock.advance(45)
    seen = Seen(scheduler)
    clock.advance(0)
    found = {id: [seconds(e.job.due) for e in seen.events if e.job_id == id] for id in ("one", "none", "all")}
    assert found == {"one": [40], "none": [], "all": [10, 20, 30, 40]}
    missed = {repeat.id: repeat.missed for repeat in scheduler.repeats()}
    assert missed == {"one": 3, "none": 4, "all": 0}
    assert scheduler.stats().missed == 7
    assert {seconds(repeat.next) for repeat in scheduler.repeats()} == {50}
    # What was passed over and merged gets no number.
    assert scheduler.get_repeat("none").occurrence == 1


def test_the_window_passes_over_what_is_late(scheduler, clock):
    seen = Seen(scheduler)
    seen.deregister()
    scheduler.repeat(10, "t", id="one", window=3)
    scheduler.repeat(10, "t", id="all", window=25, catch_up="all")
    clock.advance(45)
    seen = Seen(scheduler)
    clock.advance(0)
    assert [(e.job_id, seconds(e.job.due)) for e in seen.events] == [("all", 20), ("all", 30), ("all", 40)]
    assert (scheduler.get_repeat("one").missed, scheduler.get_repeat("all").missed) == (4, 1)


def test_a_missed_time_is_logged_in_one_line(scheduler, clock, caplog):
    scheduler.repeat(10, "t", id="r")
    clock.advance(45)
    with caplog.at_level(logging.WARNING, "duewheel"):
        Seen(scheduler)
        clock.advance(0)
    assert [record.getMessage() for record in caplog.records][-1:] == ["the repeat 'r' has missed 3 of its times"]


def test_said_again_it_is_the_same(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(10, "t", b"1", id="r")
    clock.advance(15)
    before = scheduler.stats().scheduled
    assert scheduler.repeat(10, "t", b"1", id="r") == "r"
    assert seconds(scheduler.get("r").due) == 20
    assert scheduler.stats().scheduled == before
    clock.advance(10)
    assert seen.dues == [10, 20]


def test_an_edit_counts_from_now_and_never_runs_anything_at_once(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(10, "t", b"1", id="r")
    clock.advance(25)
    scheduler.repeat(7, "t", b"2", id="r")
    # The grid goes on from its last time: 20 + 7 k, after 25.
    assert seconds(scheduler.get("r").due) == 27
    repeat = scheduler.get_repeat("r")
    assert (repeat.occurrence, repeat.data, seconds(repeat.previous)) == (3, b"2", 20)
    clock.advance(10)
    assert seen.dues == [10, 20, 27, 34]
    assert [event.data for event in seen.events] == [b"1", b"1", b"2", b"2"]


def test_an_edit_while_it_runs_counts_from_the_next_start(scheduler, clock):
    def edit(event):
        if event.occurrence == 1 and event.attempt == 1:
            scheduler.repeat(10, "other", b"2", id="r")
            assert scheduler.get_repeat("r").data == b"2"
            raise Snooze(1)

    seen = Seen(scheduler, does=edit)
    other = Seen(scheduler, "other")
    scheduler.repeat(10, "t", b"1", id="r")
    clock.advance(25)
    assert [event.data for event in seen.events] == [b"1"]
    assert [(event.data, seconds(event.due), event.occurrence) for event in other.events] == [
        (b"2", 11, 1),
        (b"2", 20, 2),
    ]


def test_ids_of_jobs_that_come_once_are_others(scheduler):
    scheduler.in_(5, "t", id="job")
    with pytest.raises(DuplicateJobError):
        scheduler.repeat(10, "t", id="job")
    scheduler.repeat(10, "t", id="r")
    with pytest.raises(DuplicateJobError):
        scheduler.in_(5, "t", id="r")


def test_pause_and_resume(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(10, "t", id="r", catch_up="all", window=1_000)
    assert scheduler.pause("r")
    clock.advance(35)
    assert seen.events == []
    assert scheduler.get_repeat("r").paused
    assert "paused" in scheduler.explain("r")
    assert scheduler.resume("r")
    assert seconds(scheduler.get("r").due) == 40
    clock.advance(10)
    assert seen.dues == [40]
    assert scheduler.stats().missed == 0
    assert not scheduler.pause("unknown")
    assert not scheduler.resume("unknown")


def test_trigger_runs_it_once_more(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(10, "t", id="r")
    clock.advance(3)
    assert scheduler.trigger("r")
    assert scheduler.trigger("r")
    clock.advance(0)
    assert seen.dues == [3]
    clock.advance(10)
    assert seen.dues == [3, 10]
    assert seen.numbers == [1, 2]
    assert not scheduler.trigger("unknown")


def test_trigger_while_it_runs_comes_after_it(scheduler, clock):
    def trigger(event):
        if event.occurrence == 1:
            assert scheduler.trigger("r")

    seen = Seen(scheduler, does=trigger)
    scheduler.repeat(10, "t", id="r")
    clock.advance(12)
    assert seen.dues == [10, 10]
    assert seconds(scheduler.get("r").due) == 20


def test_trigger_runs_what_is_paused(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(10, "t", id="r")
    scheduler.pause("r")
    clock.advance(25)
    scheduler.trigger("r")
    clock.advance(20)
    assert seen.dues == [25]
    assert scheduler.get_repeat("r").paused


def test_reschedule_moves_the_coming_occurrence_alone(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(10, "t", id="r")
    assert scheduler.reschedule("r", START_S + 14)
    clock.advance(25)
    assert [(seconds(event.job.due), seconds(event.due)) for event in seen.events] == [(10, 14), (20, 20)]


def test_an_occurrence_is_retried_as_any_job(scheduler, clock):
    def fail(event):
        if event.occurrence == 1 and event.attempt < 3:
            raise RuntimeError

    seen = Seen(scheduler, does=fail)
    scheduler.repeat(10, "t", id="r", min_backoff=3, max_backoff=3)
    clock.advance(30)
    found = [(event.occurrence, event.attempt, seconds(event.due)) for event in seen.events]
    assert found == [(1, 1, 10), (1, 2, 13), (1, 3, 16), (2, 1, 20), (3, 1, 30)]
    assert [event.run for event in seen.events] == [1, 2, 3, 4, 5]


def test_times_that_pass_while_it_is_retried_are_missed(scheduler, clock):
    def fail(event):
        if event.run == 1:
            raise Snooze(35)

    seen = Seen(scheduler, does=fail)
    scheduler.repeat(10, "t", id="r")
    clock.advance(52)
    assert [(event.occurrence, seconds(event.job.due), seconds(event.due)) for event in seen.events] == [
        (1, 10, 10),
        (1, 10, 45),
        (2, 40, 40),
        (3, 50, 50),
    ]
    assert scheduler.get_repeat("r").missed == 2


def test_a_dead_occurrence_is_listed_and_the_repeat_goes_on(scheduler, clock):
    def die(event):
        if event.occurrence == 2:
            raise Discard("no")

    Seen(scheduler, does=die)
    scheduler.repeat(10, "t", b"data", id="r")
    clock.advance(35)
    (dead,) = scheduler.dead()
    assert (dead.event.occurrence, dead.event.job_id, dead.event.data, dead.reason) == (2, "r", b"data", "discarded")
    assert seconds(scheduler.get("r").previous) == 30
    with pytest.raises(DuplicateJobError):
        scheduler.revive("r")
    scheduler.cancel("r")
    assert scheduler.revive("r")
    assert scheduler.get("r").occurrence == 0
    clock.advance(0)
    assert "r" not in scheduler


def test_it_pauses_on_a_death(scheduler, clock):
    def die(event):
        raise Discard

    seen = Seen(scheduler, does=die)
    scheduler.repeat(10, "t", id="r", pause_on_dead=True)
    clock.advance(35)
    assert seen.dues == [10]
    assert scheduler.get_repeat("r").paused


def test_cancelled_while_it_runs_it_ends_with_that(scheduler, clock):
    def cancel(event):
        assert scheduler.cancel("r")
        assert not scheduler.cancel("r")
        assert scheduler.get_repeat("r") is None
        raise RuntimeError

    seen = Seen(scheduler, does=cancel)
    scheduler.repeat(10, "t", id="r")
    clock.advance(100)
    assert seen.dues == [10]
    assert len(scheduler) == 0


def test_spread_is_a_fixed_part_of_each_due(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(100, "t", id="r", spread=50)
    clock.advance(250)
    offsets = {event.due - event.job.due for event in seen.events}
    assert len(seen.events) == 2
    (offset,) = offsets
    assert 0 <= offset <= 50 * S
    assert scheduler.get_repeat("r").upcoming(2)[1] - scheduler.get_repeat("r").upcoming(2)[0] == 100 * S
    again = Scheduler(clock=ManualClock(), seed=7)
    again.repeat(100, "t", id="r", spread=50)
    assert again.get("r").due - again.get("r").job.due == offset
    again.close()


def test_waiting_does_not_wait_for_what_never_ends(scheduler, clock):
    Seen(scheduler)
    scheduler.repeat(10, "t", id="endless")
    assert scheduler.wait(0)
    scheduler.repeat(10, "t", id="bounded", count=1)
    assert not scheduler.wait(0)
    clock.advance(10)
    assert scheduler.wait(0)


def test_a_step_forward_is_downtime(scheduler, clock):
    seen = Seen(scheduler)
    scheduler.repeat(duewheel.Every(10, anchor=START_S), "t", id="r", catch_up="none")
    clock.step(45)
    clock.advance(0)
    assert seen.events == []
    assert scheduler.get_repeat("r").missed == 4
    clock.advance(5)
    assert seen.dues == [50]


def test_an_explanation_for_each(scheduler, clock):
    scheduler.repeat(10, "t", id="r")
    assert "due in 10.000 s" in scheduler.explain("r")
    clock.advance(10)
    assert "has no handler" in scheduler.explain("r")
    assert "unknown" in scheduler.explain("no")

    def explain(event):
        assert "runs now" in scheduler.explain("r")
        raise Discard("bad luck")

    Seen(scheduler, does=explain)
    clock.advance(0)
    scheduler.cancel("r")
    assert "dead, discarded: bad luck" in scheduler.explain("r")


def test_a_repeat_shows_what_it_is(scheduler):
    options = JobOptions(retry_limit=1)
    scheduler.repeat(
        10,
        "t",
        b"d",
        id="r",
        start=START_S + 1,
        end=START_S + 99,
        count=5,
        spread=1.5,
        window=7,
        catch_up="all",
        pause_on_dead=True,
        options=options,
        min_backoff=2,
    )
    repeat = scheduler.get_repeat("r")
    assert (repeat.id, repeat.target, repeat.data, repeat.count, repeat.spread, repeat.window, repeat.catch_up) == (
        "r",
        "t",
        b"d",
        5,
        1.5,
        7.0,
        "all",
    )
    assert (repeat.start, repeat.end, repeat.pause_on_dead) == ((START_S + 1) * S, (START_S + 99) * S, True)
    assert (repeat.options.retry_limit, repeat.options.min_backoff) == (1, 2)
    assert (repeat.occurrence, repeat.missed, repeat.paused, repeat.declared, repeat.running) == (
        1,
        0,
        False,
        False,
        False,
    )
    assert repeat.schedule == duewheel.Every(10)
    assert len(repeat.upcoming(10)) == 5
    assert "Repeat(id='r'" in repr(repeat)


def test_declared_repeats_are_taken_in_at_the_start(clock):
    scheduler = Scheduler(clock=clock, workers=1)
    seen = []

    @scheduler.repeated(10, data=b"x")
    def report(event):
        seen.append((event.job_id, event.target, event.data))

    assert len(scheduler) == 0
    scheduler.start()
    repeat = scheduler.get_repeat("report")
    assert repeat.declared
    clock.advance(10)
    assert seen == [("report", "report", b"x")]

    @scheduler.repeated(5, target="late")
    def other(event):
        pass

    assert scheduler.get_repeat("late").declared
    scheduler.close()


def test_the_context_helper_repeats_on_the_current_scheduler(scheduler):
    with duewheel.use(scheduler):
        assert duewheel.repeat(10, "t", id="r") == "r"
    assert scheduler.get_repeat("r").target == "t"


def test_a_scheduler_that_does_nothing_takes_all_of_it():
    nop = duewheel.NopScheduler()
    assert nop.repeat("anything", "t", nonsense=1) == ""

    @nop.repeated("x")
    def handler(event):
        pass

    assert not (nop.pause("x") or nop.resume("x") or nop.trigger("x"))
    assert (nop.get_repeat("x"), list(nop.repeats())) == (None, [])
    assert isinstance(nop.explain("x"), str)


def test_an_edit_of_what_waits_for_its_retry_leaves_that_where_it_is(scheduler, clock):
    def fail(event):
        if event.attempt == 1 and event.occurrence == 1:
            raise RuntimeError

    seen = Seen(scheduler, does=fail)
    scheduler.repeat(10, "t", b"1", id="r", min_backoff=4, max_backoff=4)
    clock.advance(11)
    scheduler.repeat(7, "t", b"2", id="r", min_backoff=4, max_backoff=4)
    clock.advance(10)
    found = [(event.occurrence, event.attempt, seconds(event.due), event.data) for event in seen.events]
    assert found == [(1, 1, 10, b"1"), (1, 2, 14, b"2"), (2, 1, 17, b"2")]


def test_cron_at_the_change_of_clocks(clock):
    start = 1_806_148_800  # 2027-03-27T12:00Z
    clock = ManualClock(start)
    scheduler = Scheduler(clock=clock, workers=1)
    seen = Seen(scheduler)
    scheduler.repeat("30 2 * * *", "t", tz="Europe/Paris")
    scheduler.start()
    clock.advance(2 * 86_400)
    hours = [(event.job.due / S - start) / 3_600 for event in seen.events]
    assert hours == [13, 36.5]
    scheduler.close()
