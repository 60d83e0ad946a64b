"""Hold what the manual clock promises, with the engine and the reference on it."""

import gc
import threading
import weakref
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duewheel import Scheduler, StateError
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

MAKERS = pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler], ids=["engine", "reference"])
SECOND = 1_000_000_000


def ceiling(seconds):
    """The exact ceiling of a float's binary value × 10⁹."""
    product = Fraction(seconds) * SECOND
    return -(-product.numerator // product.denominator)


# The clock alone


@pytest.mark.parametrize(
    ("start", "ns"),
    [
        (0.0, 0),
        (5, 5 * SECOND),
        (0.1, 100_000_001),
        (-0.1, -100_000_000),
        (1e-9, 2),
        (datetime(1970, 1, 2, tzinfo=UTC), 86_400 * SECOND),
        (datetime(2027, 1, 1, 0, 0, 0, 1, timezone(timedelta(hours=2))), 1_798_754_400_000_001_000),
        (np.float64(1.5), 1_500_000_000),
        (np.int32(3), 3 * SECOND),
        (np.datetime64(1_000_000_007, "ns"), 1_000_000_007),
    ],
    ids=repr,
)
def test_it_starts_where_it_is_told(start, ns):
    clock = ManualClock(start)
    assert clock.now_ns() == ns
    assert clock.now() == ns / 1e9


@given(st.floats(0, 9e9, allow_subnormal=True))
def test_a_float_is_its_exact_ceiling(seconds):
    clock = ManualClock()
    clock.advance(seconds)
    assert clock.now_ns() == ceiling(seconds)


@given(st.floats(-1e9, 1e9))
def test_a_step_is_the_exact_ceiling_too(delta):
    clock = ManualClock()
    clock.step(delta)
    assert clock.now_ns() == ceiling(delta)


@given(st.lists(st.timedeltas(timedelta(0), timedelta(days=365)), max_size=5))
def test_timedeltas_are_exact(delays):
    clock = ManualClock()
    for delay in delays:
        clock.advance(delay)
    assert clock.now_ns() == sum(delays, timedelta()) // timedelta(microseconds=1) * 1_000


def test_advance_to_goes_to_a_time_of_the_wall_clock():
    clock = ManualClock(10)
    clock.advance_to(15)
    assert clock.now() == 15
    clock.advance_to(15)
    clock.advance_to(datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    assert clock.now() == 60
    with pytest.raises(ValueError, match="59"):
        clock.advance_to(59)
    assert clock.now() == 60


def test_a_step_moves_the_wall_clock_alone():
    clock = ManualClock(100)
    boot = clock._time.boot()
    clock.step(-30)
    clock.step(timedelta(seconds=5))
    assert clock.now() == 75
    assert clock._time.boot() == boot
    clock.advance(1)
    assert clock._time.boot() == boot + SECOND


BAD = [
    (True, TypeError, "True"),
    ("1", TypeError, "'1'"),
    (None, TypeError, "None"),
    (1j, TypeError, "1j"),
    (np.bool_(True), TypeError, "True"),
    (float("nan"), ValueError, "nan"),
    (float("inf"), ValueError, "inf"),
    (float("-inf"), ValueError, "inf"),
    (1e10, OverflowError, "10000000000"),
    (10**30, OverflowError, "1000000"),
]
BAD_IDS = [repr(value) for value, _, _ in BAD]


@pytest.mark.parametrize("call", ["advance", "advance_to", "step"])
@pytest.mark.parametrize(("value", "error", "shown"), BAD, ids=BAD_IDS)
def test_what_is_no_time_is_refused(call, value, error, shown):
    clock = ManualClock(50)
    with pytest.raises(error, match=shown):
        getattr(clock, call)(value)
    assert clock.now() == 50


@pytest.mark.parametrize(("value", "error", "shown"), BAD, ids=BAD_IDS)
def test_what_is_no_start_is_refused(value, error, shown):
    with pytest.raises(error, match=shown):
        ManualClock(value)


@pytest.mark.parametrize("delay", [-1, -1e-10, timedelta(microseconds=-1), np.timedelta64(-1, "s")], ids=repr)
def test_time_does_not_advance_backwards(delay):
    clock = ManualClock()
    with pytest.raises(ValueError, match="negative"):
        clock.advance(delay)


@pytest.mark.parametrize("call", ["advance_to", "__init__"])
def test_a_naive_datetime_is_refused(call):
    with pytest.raises(ValueError, match="naive"):
        getattr(ManualClock(), call)(datetime(2027, 1, 1))  # noqa: DTZ001 - on purpose


@pytest.mark.parametrize("value", [np.datetime64("NaT", "s"), np.datetime64("NaT", "ns")], ids=repr)
def test_nat_is_refused(value):
    with pytest.raises(ValueError, match="NaT"):
        ManualClock().advance_to(value)


def test_the_end_of_time_is_refused_and_nothing_moves():
    clock = ManualClock(9_000_000_000)
    with pytest.raises(OverflowError):
        clock.advance(300_000_000)
    with pytest.raises(OverflowError):
        clock.step(300_000_000)
    assert clock.now() == 9_000_000_000


# With schedulers


@MAKERS
def test_nothing_starts_outside_advance(make):
    clock = ManualClock()
    times = []
    with make(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: times.append(clock.now()))
        scheduler.in_(0, "t")
        scheduler.at(3, "t")
        clock.step(10)
        assert times == []
        clock.advance(0)
        assert times == [10, 10]


@MAKERS
def test_each_runs_at_its_own_due_on_the_thread_that_advances(make):
    clock = ManualClock()
    seen = []
    with make(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: seen.append((clock.now(), threading.get_ident())))
        scheduler.in_many([3, 1, 2, 20], "t")
        clock.advance(10)
        here = threading.get_ident()
        assert seen == [(1, here), (2, here), (3, here)]
        assert clock.now() == 10


@MAKERS
def test_never_early(make):
    clock = ManualClock()
    seen = []
    with make(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: seen.append(clock.now_ns()))
        scheduler.in_(0.1, "t")
        clock.advance(timedelta(milliseconds=100))
        assert seen == []
        clock.advance(timedelta(microseconds=1))
        assert seen == [100_000_001]


@MAKERS
@pytest.mark.parametrize("call", ["advance", "advance_to", "step"])
def test_a_handler_cannot_move_the_clock(make, call):
    clock = ManualClock()
    refused = []

    def move(event):
        with pytest.raises(StateError, match=call):
            getattr(clock, call)(5)
        refused.append(clock.now())

    with make(clock=clock) as scheduler:
        scheduler.handle("t", move)
        scheduler.in_(1, "t")
        clock.advance(2)
        assert refused == [1]
    clock.advance(1)  # and afterwards it may be moved again


def test_several_schedulers_share_a_clock():
    """Taken up by start, then due, then the order of attachment."""
    clock = ManualClock()
    order = []
    schedulers = [Scheduler(clock=clock), ReferenceScheduler(clock=clock), Scheduler(clock=clock)]
    for number, scheduler in enumerate(schedulers):
        scheduler.handle("t", lambda event, number=number: order.append((number, event.data, clock.now())))
        scheduler.start()
    schedulers[2].in_(1, "t", b"early")
    for scheduler in reversed(schedulers):
        scheduler.in_(2, "t", b"tie")
        scheduler.at(-1, "t", b"past")
    schedulers[1].at(-5, "t", b"long past")
    clock.advance(5)
    assert order == [
        (1, b"long past", 0),
        (0, b"past", 0),
        (1, b"past", 0),
        (2, b"past", 0),
        (2, b"early", 1),
        (0, b"tie", 2),
        (1, b"tie", 2),
        (2, b"tie", 2),
    ]
    for scheduler in schedulers:
        scheduler.close()


def test_one_scheduler_may_feed_another():
    clock = ManualClock()
    order = []
    with Scheduler(clock=clock) as first, ReferenceScheduler(clock=clock) as second:
        first.handle("ping", lambda event: second.in_(1, "pong"))
        second.handle("pong", lambda event: order.append(clock.now()))
        first.in_many([1, 2], "ping")
        clock.advance(2.5)
        assert order == [2]
        clock.advance(0.5)
        assert order == [2, 3]


@MAKERS
def test_the_clock_keeps_no_scheduler_alive(make):
    clock = ManualClock()
    scheduler = make(clock=clock)
    gone = weakref.ref(scheduler)
    del scheduler
    gc.collect()
    assert gone() is None
    clock.advance(1)


@MAKERS
def test_a_closed_scheduler_is_passed_over(make):
    clock = ManualClock()
    times = []
    scheduler = make(clock=clock)
    scheduler.handle("t", lambda event: (times.append(clock.now()), scheduler.close()))
    scheduler.start()
    scheduler.in_many([1, 2, 3], "t")
    clock.advance(10)
    assert times == [1]
    assert clock.now() == 10


@MAKERS
def test_a_parked_job_does_not_hold_time_up(make, caplog):
    clock = ManualClock()
    with make(clock=clock) as scheduler:
        scheduler.in_many([1, 1, 2], "nobody")
        clock.advance(5)
        assert clock.now() == 5
        assert scheduler.stats().parked == 3
    assert len([record for record in caplog.records if "nobody" in record.getMessage()]) == 1


@MAKERS
def test_two_threads_advance_one_after_the_other(make):
    clock = ManualClock()
    times = []
    with make(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: times.append(clock.now()))
        scheduler.in_many(range(200), "t")
        threads = [threading.Thread(target=clock.advance, args=(50,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert times == list(range(200))
    assert clock.now() == 200


def test_wait_is_satisfied_by_another_thread_that_advances():
    """Of the engine alone: the reference does not block."""
    clock = ManualClock()
    with Scheduler(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.in_(5, "t")
        assert not scheduler.wait(0.01)
        thread = threading.Timer(0.05, clock.advance, [5])
        thread.start()
        assert scheduler.wait(20)
        thread.join()
