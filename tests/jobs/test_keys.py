"""`key=`: jobs of one target and key never overlap, and run in order."""

import asyncio
import threading
import time
from collections import defaultdict

import pytest
from waiting import PATIENCE_S, until

from duewheel import Rate, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

AT_ONCE = 128  # so many are handed over at once

EITHER = pytest.mark.parametrize("make", [Scheduler, ReferenceScheduler])
ON_EVERY_STORE = pytest.mark.parametrize("in_file", [False, True])


def storage(in_file, place):
    return place / "jobs.db" if in_file else None


class Watch:
    """Notes what runs of each key, and fails where two of one overlap."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = defaultdict(int)
        self.ran = defaultdict(list)
        self.most = 0

    def enter(self, key, number):
        with self.lock:
            self.running[key] += 1
            assert self.running[key] == 1, key
            self.ran[key].append(number)
            self.most = max(self.most, sum(self.running.values()))

    def leave(self, key):
        with self.lock:
            self.running[key] -= 1


@ON_EVERY_STORE
@pytest.mark.parametrize("controls", [{}, {"concurrency": 3}, {"priority": 1}], ids=str)
def test_threads_run_each_key_in_order_and_several_at_once(tmp_path, in_file, controls):
    watch = Watch()

    def handler(event):
        key, number = event.data.decode().split()
        watch.enter(key, int(number))
        time.sleep(0.001)
        watch.leave(key)

    with Scheduler(storage(in_file, tmp_path), workers=4) as scheduler:
        scheduler.handle("t", handler, **controls)
        for number in range(40):
            for key in "abc":
                scheduler.in_(0, "t", f"{key} {number}".encode(), key=key)
        assert scheduler.wait(4 * PATIENCE_S)
        scheduler._check()
        assert scheduler.stats().succeeded == 120
    assert watch.ran == {key: list(range(40)) for key in "abc"}
    assert watch.most > 1


def test_async_handlers_of_one_key_do_not_overlap():
    watch = Watch()

    async def handler(event):
        key, number = event.data.decode().split()
        watch.enter(key, int(number))
        await asyncio.sleep(0.001)
        watch.leave(key)

    async def main():
        async with aio.Scheduler() as scheduler:
            scheduler.handle("t", handler)
            for number in range(20):
                for key in "abc":
                    await scheduler.in_(0, "t", f"{key} {number}".encode(), key=key)
            assert await scheduler.wait(PATIENCE_S)

    asyncio.run(main())
    assert watch.ran == {key: list(range(20)) for key in "abc"}
    assert watch.most == 3


@pytest.fixture
def held():
    """A scheduler with one job of a key that runs, until it is let go."""
    began, goes_on = threading.Event(), threading.Event()
    ran = []

    def handler(event):
        ran.append(event.data)
        if event.data == b"first":
            began.set()
            assert goes_on.wait(PATIENCE_S)

    scheduler = Scheduler()
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(0, "t", b"first", key="k")
    assert began.wait(PATIENCE_S)
    scheduler.ran, scheduler.goes_on = ran, goes_on
    yield scheduler
    goes_on.set()
    scheduler.close()


def test_what_waits_is_pending_and_explained_and_blocks_no_other(held):
    held.in_(0, "t", b"second", id="second", key="k")
    held.in_(0, "t", b"other key", key="l")
    held.in_(0, "t", b"no key")
    until(lambda: len(held.ran) == 3)
    assert held.get("second") is not None
    until(lambda: "another of 't' with its key runs" in held.explain("second"))
    held._check()
    held.goes_on.set()
    assert held.wait(PATIENCE_S)
    assert held.ran[-1] == b"second"


def test_what_waits_is_cancelled_moved_and_replaced(held):
    for number in range(6):
        held.in_(0, "t", b"%d" % number, id=str(number), key="k")
    until(lambda: "key" in held.explain("5"))
    assert held.cancel("0")
    assert held.reschedule("1", time.time() + 3_600)
    held.in_(3_600, "t", id="2", key="k", on_conflict="replace")
    held.in_(0, "t", b"changed", id="3", key="k", on_conflict="update")
    held.in_(0, "t", b"other key", id="4", key="l", on_conflict="update")
    until(lambda: b"other key" in held.ran)
    held._check()
    held.goes_on.set()
    until(lambda: len(held) == 2)
    assert held.drain(PATIENCE_S)
    assert held.ran == [b"first", b"other key", b"changed", b"5"]
    held._check()


def test_a_drain_leaves_what_waits_pending_and_a_start_goes_on(held):
    held.in_(0, "t", b"second", key="k")
    held.in_(0, "t", b"third", key="k")
    until(lambda: len(held) == 2)
    threading.Timer(0.05, held.goes_on.set).start()
    assert held.drain(PATIENCE_S)
    assert (len(held), held.ran) == (2, [b"first"])
    held._check()
    held.start()
    assert held.wait(PATIENCE_S)
    assert held.ran == [b"first", b"second", b"third"]


def test_a_handler_that_goes_parks_what_waits(held):
    held.in_(0, "u", b"no handler", key="k")
    held.in_(0, "t", b"second", id="second", key="k")
    until(lambda: "key" in held.explain("second"))
    held.goes_on.set()
    until(lambda: held.ran == [b"first", b"second"])
    assert held.wait(PATIENCE_S), "what is parked is not waited for"


@EITHER
def test_a_retry_lets_others_of_its_key_run_meanwhile(make, quiet):
    clock = ManualClock(1_000)
    ran = []
    with make(clock=clock) as scheduler:

        def handler(event):
            ran.append((event.data, clock.now()))
            if event.data == b"fails" and event.attempt == 1:
                raise ValueError

        scheduler.handle("t", handler)
        scheduler.in_(1, "t", b"fails", key="k", min_backoff=5, max_backoff=5)
        scheduler.in_(1, "t", b"second", key="k")
        clock.advance(20)
    assert ran == [(b"fails", 1_001.0), (b"second", 1_001.0), (b"fails", 1_006.0)]


def test_a_key_is_kept_in_the_file_and_is_of_many_and_of_repeats(tmp_path):
    clock = ManualClock(1_000)
    ran = []
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        scheduler.in_many([1, 2], "t", [b"a", b"b"], key="k")
        scheduler.repeat(3, "t", b"r", id="r", key="k")
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        scheduler.handle("t", lambda event: ran.append(event.data))
        clock.advance(4)
        scheduler._check()
    assert ran == [b"a", b"b", b"r"]


@EITHER
def test_what_is_due_before_one_that_a_rate_holds_starts_before_it(make):
    clock, ran = ManualClock(1_000), []
    with make(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: ran.append((event.data, clock.now())), rate=Rate(1, per=10))
        scheduler.at(1_001, "t", b"first", key="k")
        scheduler.at(1_003, "t", b"held", key="k")
        clock.advance(5)
        scheduler.at(1_002, "t", b"earlier", key="k")
        clock.advance(60)
    assert ran == [(b"first", 1_001.0), (b"earlier", 1_011.0), (b"held", 1_021.0)]


@EITHER
def test_what_a_step_of_the_clock_has_put_off_keeps_no_other_of_its_key_waiting(make):
    clock, ran = ManualClock(100_000), []
    with make(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: ran.append((event.data, clock.now())), rate=Rate(1, per=10))
        scheduler.in_(0, "t", b"first")
        scheduler.at(clock.now(), "t", b"put off", key="k")
        scheduler.in_(0, "t", b"second", key="k")
        clock.advance(0)
        clock.step(-3_600)
        clock.advance(4_000)
    assert ran == [(b"first", 100_000.0), (b"second", 96_410.0), (b"put off", 100_000.0)]


def test_one_that_gives_way_to_a_head_start_still_keeps_others_of_its_key_waiting():
    watch, began, goes_on, ended = Watch(), threading.Semaphore(0), threading.Event(), threading.Event()

    def keyed(event):
        watch.enter("k", int(event.data))
        assert ended.wait(PATIENCE_S)  # meanwhile another worker has come past all that is due before
        watch.leave("k")

    with Scheduler(workers=2) as scheduler:
        scheduler.handle("busy", lambda event: (began.release(), goes_on.wait(PATIENCE_S)))
        scheduler.handle("keyed", keyed)
        scheduler.handle("plain", lambda event: ended.set() if event.data else None)
        scheduler.handle("prior", lambda event: None, priority=1_000)
        scheduler.in_many([0.0] * 2, "busy")
        assert began.acquire(timeout=PATIENCE_S) and began.acquire(timeout=PATIENCE_S)
        due = time.time()
        # As many as are handed over at once, the keyed one last: a head start takes its room.
        scheduler.at_many([due] * (AT_ONCE - 1), "plain")
        scheduler.at(due, "keyed", b"1", key="k")
        scheduler.at(due, "keyed", b"2", key="k", id="second")
        scheduler.at(due, "plain", b"end")
        until(lambda: "key" in scheduler.explain("second"))
        scheduler.in_(0, "prior")
        scheduler._check()
        goes_on.set()
        assert scheduler.wait(PATIENCE_S)
        scheduler._check()
        assert (scheduler.stats().dead, scheduler.stats().retried) == (0, 0)
    assert watch.ran == {"k": [1, 2]}


@EITHER
def test_a_repeat_that_waits_for_its_key_is_parked_once_it_is_paused(make):
    clock = ManualClock()
    with make(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: None, rate=Rate(1, per=100.0))
        scheduler.start()
        scheduler.in_(0, "t")  # the rate is used up by it
        clock.advance(0)
        scheduler.in_(1, "t", key="k")  # has the key, and waits for the rate
        repeat = scheduler.repeat(2, "t", key="k")
        clock.advance(3)
        assert scheduler.stats().parked == 0
        scheduler.pause(repeat)
        clock.advance(0)
        assert scheduler.stats().parked == 1
        scheduler.resume(repeat)
        clock.advance(0)
        assert scheduler.stats().parked == 0
        clock.advance(200)
        assert scheduler.get_repeat(repeat).occurrence > 1
