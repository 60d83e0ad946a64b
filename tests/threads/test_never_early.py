"""Never early, in numbers: every start is held against a due that was computed here, not asked of the engine."""

import threading
import time

import numpy as np
import pytest

from duewheel import Scheduler
from duewheel.testing import ManualClock

COUNTS = [100_000, pytest.param(10_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])]
BOOT = getattr(time, "CLOCK_BOOTTIME", None)


def batches(count, size, seconds):
    """Delays within ``seconds``, as floats and as their exact ceilings in nanoseconds, at most ``size`` at a time.

    They are whole 2⁻²⁰ths of a second, which floats hold exactly and nanoseconds do not. Ten million jobs at once,
    with what is noted of each, would take over a gigabyte.
    """
    for number, first in enumerate(range(0, count, size)):
        parts = np.random.default_rng(number).integers(0, int(seconds * 2**20), min(size, count - first))
        yield parts / 2**20, -(-parts * 5**9 // 2**11)


@pytest.mark.parametrize("call", ["in_many", "at_many"])
@pytest.mark.parametrize("count", COUNTS)
def test_in_virtual_time_every_job_starts_at_its_due_to_the_nanosecond(call, count):
    clock = ManualClock()
    starts = []
    with Scheduler(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: starts.append(clock.now_ns()))
        for delays, delays_ns in batches(count, size=1_000_000, seconds=100):
            start_ns = clock.now_ns()
            getattr(scheduler, call)(delays + (clock.now() if call == "at_many" else 0), "t")
            for _ in range(10):
                clock.advance(10)
            np.testing.assert_array_equal(starts, np.sort(delays_ns) + start_ns)
            starts.clear()
        assert scheduler.stats().succeeded == count


# On the machine's clocks a batch is small enough for its time that the engine has to wait for the next due: what
# it cannot keep up with is never early.


@pytest.mark.parametrize("count", COUNTS)
def test_on_the_wall_clock_no_job_is_early(count):
    early, dues = [], []

    def work(event):
        if time.time_ns() < event.due:
            early.append(event)
        dues.append(event.due)

    with Scheduler(workers=4) as scheduler:
        scheduler.handle("t", work)
        for _, delays_ns in batches(count, size=200_000, seconds=0.5):
            dues_ns = delays_ns + time.time_ns()
            scheduler.at_many(dues_ns.astype("datetime64[ns]"), "t")
            assert scheduler.wait(600)
            np.testing.assert_array_equal(np.sort(dues), np.sort(dues_ns))
            dues.clear()
            assert early == []
        assert scheduler.stats().succeeded == count


@pytest.mark.skipif(BOOT is None, reason="Python cannot read the boot clock of this system")
@pytest.mark.parametrize("count", COUNTS)
def test_on_the_boot_clock_no_job_is_early(count):
    """One worker takes jobs up in the order of their dues: the nth start is that of the nth due."""
    starts = []
    with Scheduler(workers=1) as scheduler:
        scheduler.handle("t", lambda event: starts.append(time.clock_gettime_ns(BOOT)))
        for delays, delays_ns in batches(count, size=200_000, seconds=0.5):
            before_ns = time.clock_gettime_ns(BOOT)
            scheduler.in_many(delays, "t")
            assert scheduler.wait(600)
            assert len(starts) == len(delays)
            assert (np.sort(delays_ns) + before_ns <= starts).all()
            starts.clear()
        assert scheduler.stats().succeeded == count


def test_what_threads_schedule_meanwhile_is_not_early():
    """Dues before and after the one that the timer sleeps for, and while it hands over."""
    count, threads = 200_000, 4
    early = []

    def work(event):
        if time.time_ns() < event.due:
            early.append(event)

    def produce(scheduler, seed):
        for _, delays_ns in batches(count // threads, size=10_000, seconds=0.1):
            for part in np.array_split(np.roll(delays_ns, seed), 10):
                scheduler.at_many((part + time.time_ns()).astype("datetime64[ns]"), "t")

    with Scheduler(workers=2) as scheduler:
        scheduler.handle("t", work)
        producers = [threading.Thread(target=produce, args=(scheduler, seed)) for seed in range(threads)]
        for producer in producers:
            producer.start()
        for producer in producers:
            producer.join()
        assert scheduler.wait(30)
        assert early == []
        assert scheduler.stats().succeeded == count
