"""`keep=` and `outcome(id)`: how a job ended and what it returned, in memory, in a file, and in the reference."""

import copy
import pickle
import re
from datetime import timedelta

import pytest

import duewheel
from duewheel import (
    Consistency,
    Discard,
    DuplicateJobError,
    Event,
    Keyring,
    LocalStorage,
    NopScheduler,
    Outcome,
    PayloadTooLargeError,
    Scheduler,
    Snooze,
)
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

SECOND = 10**9
SEALED = Keyring({1: b"k" * 32}, default=1)


@pytest.fixture
def clock():
    return ManualClock(1_000)


def schedulers(clock, place):
    yield Scheduler(clock=clock)
    yield Scheduler(place / "jobs.db", clock=clock)
    yield Scheduler(LocalStorage(place / "paged.db", keys=SEALED, horizon=1), clock=clock)
    yield ReferenceScheduler(clock=clock)


def returns(event):
    return event.data * 2


def raises(error):
    def handler(event):
        raise error

    return handler


def fails_at_first(event):
    if event.attempt == 1:
        raise ValueError("not yet")
    return b"second"


def test_what_a_handler_returned_is_kept_as_long_as_was_said(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        scheduler.handle("t", returns)
        scheduler.start()
        ids = [
            scheduler.in_(5, "t", b"in", keep=60),
            scheduler.at(clock.now() + 5, "t", b"at", id="at", keep=timedelta(minutes=1)),
            *scheduler.in_many([5, 5], "t", [b"1", b"2"], keep=60),
            *scheduler.at_many([clock.now() + 5], "t", [b"3"], keep=60),
        ]
        for id in ids:
            with pytest.raises(TimeoutError, match="is not over yet"):
                scheduler.outcome(id)
        clock.advance(5)
        ended = clock.now_ns()
        for id, data in zip(ids, (b"in", b"at", b"1", b"2", b"3"), strict=True):
            assert scheduler.outcome(id) == Outcome("succeeded", data * 2, ended=ended)
        clock.advance(59.999)
        assert scheduler.outcome("at").result == b"atat"
        clock.advance(0.001)
        for id in ids:
            with pytest.raises(LookupError, match="no outcome of one is kept"):
                scheduler.outcome(id)
        scheduler.close()


def test_every_end_is_kept(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        scheduler.handle("fails", raises(ValueError("no card")))
        scheduler.handle("discards", raises(Discard("enough")))
        scheduler.handle("retries", fails_at_first)
        scheduler.handle("none", lambda event: None)
        scheduler.start()
        for target in ("fails", "discards", "retries", "none"):
            scheduler.in_(0, target, id=target, keep=3_600, retry_limit=1, min_backoff=5, max_backoff=5)
        scheduler.in_(900, "none", id="near", keep=3_600)
        scheduler.in_(900, "none", id="many", keep=3_600)
        clock.advance(0)
        for id in ("fails", "retries"):
            with pytest.raises(TimeoutError):
                scheduler.outcome(id)  # at the end alone, not of an attempt
        assert scheduler.cancel("near")
        assert scheduler.cancel_many(["many", "unknown"]) == 1
        clock.advance(5)
        failed = scheduler.outcome("fails")
        assert (failed.state, failed.reason, failed.result) == ("dead", "failed", b"")
        assert failed.error.rstrip().endswith("ValueError: no card")
        assert failed.ended == clock.now_ns()
        discarded = scheduler.outcome("discards")
        assert (discarded.state, discarded.reason, discarded.error) == ("dead", "discarded", "enough")
        assert scheduler.outcome("retries").result == b"second"
        assert scheduler.outcome("none").result == b""
        for id in ("near", "many"):
            cancelled = scheduler.outcome(id)
            assert (cancelled.state, cancelled.result, cancelled.reason, cancelled.error) == (
                "cancelled",
                b"",
                None,
                None,
            )
        scheduler.close()


def test_an_id_stays_taken_as_long(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        ran = []
        scheduler.handle("t", lambda event, ran=ran: ran.append(event.data))
        scheduler.start()
        scheduler.in_(0, "t", b"1", id="j", keep=60)
        clock.advance(1)
        for on_conflict in ("error", "update", "replace"):
            with pytest.raises(DuplicateJobError, match="its outcome is kept"):
                scheduler.in_(0, "t", b"2", id="j", on_conflict=on_conflict)
        with pytest.raises(DuplicateJobError):
            scheduler.repeat(5, "t", id="j")
        assert scheduler.in_(0, "t", b"3", id="j", on_conflict="ignore") == "j"
        assert "j" not in scheduler
        clock.advance(58)
        assert ran == [b"1"]
        clock.advance(1)
        assert scheduler.in_(0, "t", b"4", id="j", on_conflict="ignore", keep=60) == "j"
        with pytest.raises(TimeoutError):
            scheduler.outcome("j")
        clock.advance(0)
        assert ran == [b"1", b"4"]
        assert scheduler.outcome("j").ended == clock.now_ns()
        scheduler.close()


def test_a_dead_job_that_is_revived_has_not_ended(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        deregister = scheduler.handle("t", raises(Discard("closed")))
        scheduler.start()
        scheduler.in_(0, "t", b"d", id="j", keep=60)
        clock.advance(0)
        assert scheduler.outcome("j").state == "dead"
        scheduler.purge(0)
        deregister()
        assert scheduler.revive("j")
        with pytest.raises(TimeoutError):
            scheduler.outcome("j")
        scheduler.handle("t", returns)
        clock.advance(0)
        assert scheduler.outcome("j").result == b"dd"
        scheduler.close()


def test_the_id_of_a_dead_job_may_be_taken_by_how_another_has_ended(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        fails = scheduler.handle("t", raises(Discard("closed")))
        scheduler.start()
        scheduler.in_(0, "t", id="j")
        clock.advance(0)
        fails()
        scheduler.handle("t", returns)
        scheduler.in_(0, "t", b"d", id="j", keep=60)
        clock.advance(0)
        with pytest.raises(DuplicateJobError):
            scheduler.revive("j")
        assert scheduler.outcome("j").result == b"dd"
        clock.advance(60)
        assert scheduler.revive("j")
        scheduler.close()


def test_what_follows_a_job_that_was_changed_is_what_ends(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):

        def handler(event, scheduler=scheduler):
            if event.data == b"first":
                scheduler.in_(5, "t", b"second", id="j", on_conflict="replace", keep=60)
            return event.data

        scheduler.handle("t", handler)
        scheduler.start()
        scheduler.in_(0, "t", b"first", id="j", keep=60)
        clock.advance(0)
        with pytest.raises(TimeoutError):
            scheduler.outcome("j")
        clock.advance(5)
        assert scheduler.outcome("j").result == b"second"
        scheduler.close()


@pytest.mark.parametrize("value", [5, "text", [b"a"], object()])
def test_what_is_not_bytes_fails_the_attempt_where_it_is_to_be_kept(clock, tmp_path, value):
    for scheduler in schedulers(clock, tmp_path):
        scheduler.handle("t", lambda event: value)
        scheduler.start()
        scheduler.in_(0, "t", id="kept", keep=60, retry_limit=1, min_backoff=5, max_backoff=5)
        scheduler.in_(0, "t", id="plain")
        clock.advance(5)
        outcome = scheduler.outcome("kept")
        assert (outcome.state, outcome.reason) == ("dead", "failed")
        assert "scheduled with keep=: it must return bytes-like or None" in outcome.error
        stats = scheduler.stats()
        assert (stats.succeeded, stats.retried, stats.dead) == (1, 1, 1)
        scheduler.close()


@pytest.mark.parametrize("value", [bytearray(b"ab"), memoryview(b"ab"), memoryview(b"axbx")[::2]])
def test_what_is_bytes_like_is_kept(clock, tmp_path, value):
    for scheduler in schedulers(clock, tmp_path):
        scheduler.handle("t", lambda event: value)
        scheduler.start()
        scheduler.in_(0, "t", id="j", keep=60)
        clock.advance(0)
        assert scheduler.outcome("j").result == b"ab"
        scheduler.close()


def test_a_result_that_is_too_large_for_the_file_fails_the_attempt(clock, tmp_path):
    with Scheduler(LocalStorage(tmp_path / "jobs.db", max_data=10), clock=clock) as scheduler:
        scheduler.handle("t", lambda event: b"x" * int(event.data))
        scheduler.in_(0, "t", b"10", id="fits", keep=60)
        scheduler.in_(0, "t", b"11", id="large", keep=60, retry_limit=0)
        clock.advance(0)
        assert scheduler.outcome("fits").result == b"x" * 10
        assert PayloadTooLargeError.__name__ in scheduler.outcome("large").error


def test_a_file_brings_outcomes_back_and_seals_what_was_returned(clock, tmp_path):
    path = tmp_path / "jobs.db"
    at_most_once = Consistency.AT_MOST_ONCE
    with Scheduler(LocalStorage(path, keys=SEALED), clock=clock) as scheduler:
        scheduler.handle("t", lambda event: b"secret " + event.data)
        scheduler.in_(0, "t", b"1", id="j", keep=60)
        scheduler.in_(0, "t", b"2", id="once", keep=60, consistency=at_most_once)
        scheduler.in_(50, "t", b"3", id="later", keep=60)
        clock.advance(0)
    assert b"secret" not in path.read_bytes()
    keys = Keyring({1: b"k" * 32, 2: b"l" * 32}, default=2)
    with Scheduler(LocalStorage(path, keys=keys), clock=clock) as scheduler:
        scheduler.handle("t", returns)
        assert scheduler.outcome("j").result == b"secret 1"
        assert scheduler.outcome("once").result == b"secret 2"
        with pytest.raises(DuplicateJobError):
            scheduler.in_(0, "t", id="j")
        clock.advance(50)
        assert scheduler.outcome("later").result == b"33"
        scheduler.rotate()
    with Scheduler(LocalStorage(path, keys=Keyring({2: b"l" * 32}, default=2)), clock=clock) as scheduler:
        assert scheduler.outcome("j").result == b"secret 1"
        clock.advance(10)
        with pytest.raises(LookupError):
            scheduler.outcome("j")
        assert scheduler.outcome("later").result == b"33"
        assert scheduler.in_(0, "t", id="j") == "j"


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        (0, ValueError, "keep must be above 0 seconds"),
        (-1, ValueError, "keep"),
        ("1", TypeError, "keep"),
        (True, TypeError, "keep"),
        (float("nan"), ValueError, "keep"),
    ],
)
def test_what_is_refused(clock, tmp_path, keep, error, message):
    for scheduler in schedulers(clock, tmp_path):
        calls = [
            lambda s=scheduler: s.at(5_000, "t", keep=keep),
            lambda s=scheduler: s.in_(5, "t", id="i", keep=keep),
            lambda s=scheduler: s.in_many([5], "t", keep=keep),
        ]
        for call in calls:
            with pytest.raises(error, match=message):
                call()
        with pytest.raises(TypeError, match=re.escape("Scheduler.repeat() got an unexpected keyword argument 'keep'")):
            scheduler.repeat(5, "t", keep=5)
        with pytest.raises(ValueError, match="id must have 1 to 255 bytes"):
            scheduler.outcome("")
        assert len(scheduler) == 0
        assert scheduler.in_(5, "t", keep=None)
        scheduler.close()


def test_other_calls_take_none(clock):
    with Scheduler(clock=clock) as scheduler, pytest.raises(TypeError, match="unexpected keyword argument 'keep'"):
        scheduler.timer(5, "t", keep=5)


def test_where_scheduling_is_off_nothing_is_waited_for():
    scheduler = NopScheduler()
    assert scheduler.in_(5, "t", keep="any") == ""
    assert scheduler.outcome("", timeout=None).state == "cancelled"


def test_a_snooze_is_no_end(clock):
    with Scheduler(clock=clock) as scheduler:

        def handler(event):
            if event.run == 1:
                raise Snooze(5)
            return b"r"

        scheduler.handle("t", handler)
        scheduler.in_(0, "t", id="j", keep=60)
        clock.advance(1)
        with pytest.raises(TimeoutError):
            scheduler.outcome("j")
        clock.advance(4)
        assert scheduler.outcome("j").result == b"r"


def test_outcomes_are_values():
    dead = Outcome("dead", reason="failed", error="Traceback\nValueError: x\n", ended=5)
    done = Outcome("succeeded", b"r", ended=SECOND)
    assert dead != done
    assert done == Outcome("succeeded", b"r", ended=SECOND)
    assert hash(done) == hash(copy.copy(done))
    for outcome in (dead, done, Outcome("cancelled")):
        assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert repr(done) == "Outcome('succeeded', result=b'r', ended=1000000000)"
    assert repr(dead) == "Outcome('dead', reason='failed', error=\"ValueError: x\", ended=5)"
    assert done.ended_at.timestamp() == 1
    for wrong in (("over",), ("dead",), ("succeeded", b"", "failed"), ("dead", b"", "bored")):
        with pytest.raises(ValueError, match=r"state|reason"):
            Outcome(*wrong)


def test_memory_forgets_what_is_kept_no_longer(clock):
    with Scheduler(clock=clock) as scheduler:
        ids = []
        scheduler.handle("t", returns)
        for _ in range(100):
            ids.append(scheduler.in_(0, "t", b"d", keep=10))
            clock.advance(1)
        assert scheduler.outcome(ids[-1]).result == b"dd"
        for id in ids[:-10]:
            with pytest.raises(LookupError):
                scheduler.outcome(id)


def test_what_a_death_leaves_behind_keeps_nothing(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        left = []
        scheduler.handle("t", raises(Discard("closed")), dead="heir")
        scheduler.handle("heir", lambda event, left=left: left.append(event.job_id) or 5)
        scheduler.start()
        scheduler.in_(0, "t", id="j", keep=60)
        clock.advance(0)
        assert scheduler.outcome("j").state == "dead"
        with pytest.raises(LookupError):
            scheduler.outcome(left[0])
        assert scheduler.stats().succeeded == 1
        scheduler.close()


def test_an_event_is_taken_in_under_an_id_that_is_not_taken(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        scheduler.handle("t", returns)
        scheduler.start()
        scheduler.in_(0, "t", id="j", keep=60)
        event = scheduler.get("j")
        assert isinstance(event, Event)
        clock.advance(0)
        with pytest.raises(DuplicateJobError):
            scheduler.storage.create(event)
        scheduler.close()


def test_the_package_has_the_class():
    assert duewheel.Outcome is Outcome
