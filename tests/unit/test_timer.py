"""`Scheduler.timer`: jobs in memory that are mostly cancelled, whose data is any object."""

import gc
import logging
import pickle
import sys
import weakref
from datetime import timedelta

import pytest

import duewheel
from duewheel import (
    Consistency,
    Event,
    JobOptions,
    NopScheduler,
    Scheduler,
    Snooze,
    StateError,
    Timer,
)
from duewheel.testing import ManualClock


class Thing:
    def on_timeout(self, event):
        self.event = event


@pytest.fixture
def clock():
    return ManualClock(1_000.0)


@pytest.fixture
def scheduler(clock):
    with Scheduler(clock=clock) as scheduler:
        yield scheduler
        scheduler._check()


def test_a_callable_is_called_with_the_event_and_its_object(scheduler, clock):
    seen, thing = [], Thing()
    timer = scheduler.timer(5, seen.append, thing)
    assert type(timer) is Timer
    assert timer.pending
    assert timer.due == 1_005_000_000_000
    clock.advance(4)
    assert seen == []
    clock.advance(1)
    (event,) = seen
    assert type(event) is Event
    assert event.data is thing
    assert (event.job_id, event.due, event.run, event.attempt) == (timer.id, timer.due, 1, 1)
    assert event.job.data is thing
    assert not timer.pending
    assert not timer.cancel()
    assert timer.due == 1_005_000_000_000
    assert scheduler.stats().succeeded == 1


def test_a_registered_target_is_called_with_the_object(scheduler, clock):
    seen = []
    scheduler.handle("expired", seen.append)
    objects = [None, {1: 2}, b"bytes", b"", (len, 1), Thing()]
    for thing in objects:
        scheduler.timer(timedelta(seconds=1), "expired", thing)
    scheduler.timer(1, "expired")
    clock.advance(1)
    assert [event.data for event in seen] == [*objects, None]
    assert {event.target for event in seen} == {"expired"}


def test_data_of_a_callable_is_any_object_too(scheduler, clock):
    seen = []
    objects = [None, (len, 1), (), b"x", len]
    for thing in objects:
        scheduler.timer(1, seen.append, thing)
    scheduler.timer(1, seen.append)
    clock.advance(1)
    assert [event.data for event in seen] == [*objects, None]


def test_methods_partials_and_objects_are_called(scheduler, clock):
    import functools

    class Called:
        def __call__(self, event):
            seen.append(event.data)

    seen, thing = [], Thing()
    scheduler.timer(1, thing.on_timeout, 1)
    scheduler.timer(1, functools.partial(lambda more, event: seen.append((more, event.data)), "more"), 2)
    scheduler.timer(1, Called(), 3)
    clock.advance(1)
    assert (thing.event.data, seen) == (1, [("more", 2), 3])


def test_timers_and_jobs_run_in_the_order_of_due_and_sequence(scheduler, clock):
    order = []
    scheduler.handle("job", lambda event: order.append(event.data.decode()))
    scheduler.in_(2, "job", b"2a")
    scheduler.timer(2, lambda event: order.append("2b"))
    scheduler.timer(1, lambda event: order.append("1"))
    scheduler.in_(2, "job", b"2c")
    moved = scheduler.timer(1, lambda event: order.append("2d"))
    assert moved.reschedule(2)
    clock.advance(2)
    assert order == ["1", "2a", "2b", "2c", "2d"]


def test_it_counts_as_any_job_does(scheduler, clock):
    scheduler.handle("job", print)
    scheduler.in_(2, "job")
    timer = scheduler.timer(1, print, Thing())
    assert len(scheduler) == 2
    assert timer.id in scheduler
    event = scheduler.get(timer.id)
    assert event.data is next(scheduler.between()).data
    assert (event.due, event.job_id) == (timer.due, timer.id)
    assert scheduler.next() == event
    assert scheduler.stats().pending == 2
    assert scheduler.stats().scheduled == 2
    assert scheduler.cancel(timer.id)
    assert not timer.cancel()
    assert scheduler.stats().cancelled == 1
    other = scheduler.timer(1, print)
    assert scheduler.reschedule(other.id, 1_500)
    assert other.due == 1_500_000_000_000
    assert other.cancel()
    assert other.id not in scheduler
    assert other.due == 1_001_000_000_000  # as it was last set through the timer


def test_it_is_moved_and_keeps_its_first_due(scheduler, clock):
    seen = []
    timer = scheduler.timer(1, seen.append)
    for _ in range(3):
        clock.advance(0.5)
        assert timer.reschedule(1)
    assert seen == []
    clock.advance(1)
    (event,) = seen
    assert event.due == timer.due == 1_002_500_000_000
    assert event.job.due == 1_001_000_000_000
    assert not timer.reschedule(1)


def test_while_it_runs_it_is_neither_moved_nor_cancelled(scheduler, clock):
    seen = []

    def called(event):
        seen.append((timer.pending, timer.cancel(), timer.reschedule(5)))

    timer = scheduler.timer(1, called)
    clock.advance(10)
    assert seen == [(False, False, False)]


def test_it_is_not_retried_unless_it_says_so(clock, caplog):
    def fails(event):
        attempts.append(event.attempt)
        raise ValueError("fails")

    attempts = []
    caplog.set_level(logging.CRITICAL, "duewheel")
    options = JobOptions(retry_limit=7, age_limit=3600, min_backoff=2, max_backoff=2)
    with Scheduler(clock=clock, options=options) as scheduler:
        scheduler.timer(1, fails)
        clock.advance(1)
        assert attempts == [1]
        assert scheduler.stats().dead == 1
        assert list(scheduler.dead()) == []
        attempts.clear()
        scheduler.handle("fails", fails)
        scheduler.timer(1, "fails", Thing(), retry_limit=2, age_limit=None)
        scheduler.timer(1, fails, Thing(), retry_limit=2, age_limit=None)
        clock.advance(100)
        assert attempts == [1, 1, 2, 2, 3, 3]
        attempts.clear()
        scheduler.timer(1, fails, consistency=Consistency.AT_MOST_ONCE)
        clock.advance(100)
        assert attempts == [1]
        scheduler._check()


def test_a_callable_that_raises_is_logged_with_its_traceback(scheduler, clock, caplog):
    def fails(event):
        raise ValueError("no such thing")

    timer = scheduler.timer(1, fails)
    clock.advance(1)
    (record,) = caplog.records
    assert record.name == "duewheel"
    assert timer.id in record.getMessage()
    assert record.exc_info[1].args == ("no such thing",)


def test_a_snooze_keeps_it(scheduler, clock):
    def snoozes(event):
        seen.append((event.run, event.data))
        if event.run == 1:
            raise Snooze(5)

    seen = []
    timer = scheduler.timer(1, snoozes, thing := Thing())
    clock.advance(1)
    assert timer.pending
    assert timer.due == 1_006_000_000_000
    clock.advance(5)
    assert seen == [(1, thing), (2, thing)]


def test_an_async_callable_runs_on_the_loop(scheduler, clock):
    import asyncio

    seen = []

    class Called:
        async def method(self, event):
            await asyncio.sleep(0)
            seen.append((event.data, asyncio.get_running_loop() is not None))

    scheduler.timer(1, Called().method, 1)
    scheduler.timer(1, lambda event: Called().method(event), 2)
    clock.advance(1)
    assert sorted(seen) == [(1, True), (2, True)]


@pytest.mark.parametrize("options", [{}, {"retry_limit": 1}])
@pytest.mark.parametrize("end", ["cancel", "cancel by id", "run", "fail", "discard", "close"])
def test_what_it_was_given_is_let_go_of_when_it_is_over(clock, end, options, caplog):
    caplog.set_level(logging.CRITICAL + 1, "duewheel")

    def call(event):
        if end == "fail":
            raise ValueError
        if end == "discard":
            raise duewheel.Discard("no")

    with Scheduler(clock=clock) as scheduler:
        thing, callee = Thing(), (lambda event: call(event))
        other = Thing()
        alone = sys.getrefcount(other)  # 2, or 1 where an argument is borrowed: from 3.14 on
        references = sys.getrefcount(thing), sys.getrefcount(callee)
        timer = scheduler.timer(1, callee, thing, **options)
        alive = weakref.ref(thing), weakref.ref(callee)
        del thing, callee
        gc.collect()
        assert None not in (alive[0](), alive[1]())
        if end == "cancel":
            assert timer.cancel()
        elif end == "cancel by id":
            assert scheduler.cancel(timer.id)
        elif end == "close":
            scheduler.close()
        else:
            clock.advance(10_000)
        gc.collect()
        assert [reference() for reference in alive] == [None, None]
        assert references == (alone, alone)
        assert not timer.cancel()


def test_references_are_neither_lost_nor_kept(scheduler, clock):
    def call(event):
        pass

    thing = Thing()
    before = sys.getrefcount(thing), sys.getrefcount(call)
    for _ in range(100):
        scheduler.timer(1, call, thing)
        scheduler.timer(1, call)
        scheduler.timer(2, call, thing).cancel()
        scheduler.timer(2, call, thing, retry_limit=3).reschedule(3)
        with pytest.raises(OverflowError):
            scheduler.timer(9_223_372_036, call, thing)
    list(scheduler.between())
    clock.advance(5)
    gc.collect()
    assert (sys.getrefcount(thing), sys.getrefcount(call)) == before


def test_dropping_the_handle_changes_nothing(scheduler, clock):
    seen = []
    scheduler.timer(1, seen.append)
    gc.collect()
    clock.advance(1)
    assert len(seen) == 1


def test_cycles_are_collected_with_the_scheduler():
    class Owner:
        def __init__(self):
            self.scheduler = Scheduler()
            self.timer = self.scheduler.timer(3600, self.expired, self)
            self.retried = self.scheduler.timer(3600, "never", [self, self.timer], retry_limit=1)

        def expired(self, event):
            pass

    alive = weakref.ref(Owner())
    gc.collect()
    assert alive() is None


def test_a_started_scheduler_that_its_timers_alone_refer_to_is_closed():
    class Owner:
        def __init__(self):
            self.scheduler = Scheduler(workers=1)
            self.scheduler.start()
            self.scheduler.timer(3600, self.expired)

        def expired(self, event):
            pass

    alive = weakref.ref(Owner())
    with pytest.warns(ResourceWarning, match="unclosed"):
        gc.collect()
    gc.collect()
    assert alive() is None


def test_a_pending_timer_keeps_what_only_it_refers_to(scheduler):
    alive = weakref.ref(thing := Thing())
    thing.timer = scheduler.timer(3600, thing.on_timeout, thing)
    del thing
    gc.collect()
    assert alive().timer.pending
    assert alive().timer.cancel()
    gc.collect()
    assert alive() is None


def test_bad_input_is_refused_with_its_remedy(scheduler):
    refusals = [
        ((-1, print), {}, ValueError, "delay must not be negative: -1"),
        (("1", print), {}, TypeError, "delay must be seconds or a timedelta, not '1'"),
        ((True, print), {}, TypeError, "delay must be seconds or a timedelta, not True"),
        ((1, 5), {}, TypeError, r"target must be a registered name \(str\) or a callable, not 5"),
        ((1, None), {}, TypeError, r"target must be a registered name \(str\) or a callable, not None"),
        ((1, ""), {}, ValueError, "target must have 1 to 255 bytes of UTF-8, not 0"),
        ((1, print), {"retries": 1}, TypeError, "'retries': it takes delay, target, data, retry_limit, min_backoff"),
        ((1, print), {"id": "x"}, TypeError, "'id': it takes delay, target, data, retry_limit, min_backoff"),
        ((1, print), {"retry_limit": -1}, ValueError, "retry_limit must not be negative: -1"),
        ((1, print), {"age_limit": 9}, ValueError, r"age_limit \(9 seconds\) needs a retry_limit"),
        ((1, print), {"retry_limit": 1, "consistency": Consistency.AT_MOST_ONCE}, ValueError, "must be 0 with"),
        ((9_223_372_036, print), {}, OverflowError, "delay"),
    ]
    for arguments, keywords, kind, message in refusals:
        with pytest.raises(kind, match=message):
            scheduler.timer(*arguments, **keywords)
    assert len(scheduler) == 0
    timer = scheduler.timer(1, print)
    with pytest.raises(ValueError, match="delay must not be negative"):
        timer.reschedule(-1)
    with pytest.raises(OverflowError):
        timer.reschedule(9_223_372_036)
    assert timer.due == 1_001_000_000_000
    assert timer.cancel()


def test_it_is_made_by_a_scheduler_alone(scheduler):
    with pytest.raises(TypeError):
        Timer()
    with pytest.raises(TypeError):
        pickle.dumps(scheduler.timer(1, print))


def test_a_scheduler_with_a_file_refuses_it(tmp_path):
    with (
        Scheduler(tmp_path / "jobs.db") as scheduler,
        pytest.raises(StateError, match=r"keeps its jobs in a file: schedule with in_\(\)"),
    ):
        scheduler.timer(1, print)


def test_after_closing_nothing_starts_and_nothing_raises(clock):
    scheduler = Scheduler(clock=clock)
    timer = scheduler.timer(1, print)
    assert repr(timer).startswith("<duewheel.Timer pending, due 1001")
    scheduler.close()
    assert (timer.pending, timer.cancel(), timer.reschedule(1)) == (False, False, False)
    assert timer.due == 1_001_000_000_000
    assert repr(timer).startswith("<duewheel.Timer over")
    with pytest.raises(duewheel.ClosedError):
        scheduler.timer(1, print)


def test_its_event_is_not_taken_in_by_a_store(scheduler):
    timer = scheduler.timer(1, print, Thing())
    event = scheduler.get(timer.id)
    timer.cancel()
    with pytest.raises(TypeError, match="event must have bytes for data"):
        scheduler.storage.create(event)


def test_a_nop_scheduler_discards_it():
    timer = NopScheduler().timer(1, print)
    assert type(timer) is Timer
    assert (timer.id, timer.pending, timer.cancel(), timer.reschedule(1)) == ("", False, False, False)


def test_events_of_timers_are_compared_by_their_data(scheduler):
    timer = scheduler.timer(1, print, [1])
    assert scheduler.get(timer.id) == scheduler.get(timer.id)
    assert hash(scheduler.get(timer.id)) == hash(scheduler.get(timer.id))
    assert "data=[1]" in repr(scheduler.get(timer.id))
