"""The public API of `Scheduler` on the machine's clocks."""

import contextvars
import gc
import logging
import pickle
import threading
import time
import weakref
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import duewheel
from duewheel import (
    ClosedError,
    Consistency,
    Discard,
    DuplicateJobError,
    DuplicateTargetError,
    Scheduler,
    Snooze,
    StateError,
)

FAR = 3600


@pytest.fixture
def scheduler():
    made = Scheduler(workers=1)
    yield made
    made.close()
    assert made.drain(10)


def balance(stats):
    taken_in = stats.scheduled + stats.revived
    return taken_in - (stats.pending + stats.running + stats.succeeded + stats.dead + stats.cancelled + stats.dropped)


def test_jobs_run_in_the_order_of_their_dues(scheduler):
    ran = []
    scheduler.handle("t", lambda event: ran.append(event.data))
    now = time.time()
    scheduler.at(now - 1, "t", b"2")
    scheduler.at(now - 2, "t", b"1")
    scheduler.at(now - 1, "t", b"3")
    scheduler.in_(0.02, "t", b"5")
    scheduler.in_(0.01, "t", bytearray(b"4"))
    scheduler.start()
    assert scheduler.wait(10)
    assert ran == [b"1", b"2", b"3", b"4", b"5"]
    assert balance(scheduler.stats()) == 0


def test_no_job_is_early_on_the_clock_of_its_due(scheduler):
    early = []

    def at_wall(event):
        if time.time_ns() < event.due:
            early.append(event)

    def at_boot(event):
        if time.clock_gettime_ns(time.CLOCK_BOOTTIME) < int(event.data):
            early.append(event)

    scheduler.handle("wall", at_wall)
    scheduler.handle("boot", at_boot)
    scheduler.start()
    for number in range(2_000):
        scheduler.at(time.time() + number * 1e-5, "wall")
        delay = number * 1e-5
        due = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(delay * 1e9)
        scheduler.in_(delay, "boot", str(due).encode())
    assert scheduler.wait(20)
    assert early == []
    assert scheduler.stats().succeeded == 4_000


def test_an_event_says_what_it_is(scheduler):
    seen = []
    scheduler.handle("t", seen.append)
    due = datetime.now(UTC) + timedelta(milliseconds=5)
    id = scheduler.at(due, "t", b"data", id="mine", retry_limit=2)
    pending = scheduler.get("mine")
    assert id == "mine" and pending.lateness == 0.0
    assert scheduler.next() == pending and list(scheduler.between()) == [pending]
    scheduler.start()
    assert scheduler.wait(10)
    (event,) = seen
    assert (event.id, event.job_id, event.run, event.attempt) == ("mine/1", "mine", 1, 1)
    assert (event.target, event.data, event.due_at) == ("t", b"data", due)
    assert event == pending and event.lateness > 0
    assert event.job.due == event.due and event.job.options.retry_limit == 2
    assert scheduler.get("mine") is None and "mine" not in scheduler


def test_ids_are_taken_while_their_job_is_pending_or_running(scheduler):
    inside, go_on = threading.Event(), threading.Event()

    def slow(event):
        inside.set()
        go_on.wait(10)

    scheduler.handle("t", slow)
    scheduler.in_(0, "t", id="a")
    with pytest.raises(DuplicateJobError, match="'a'"):
        scheduler.in_(FAR, "t", id="a")
    scheduler.start()
    assert inside.wait(10)
    with pytest.raises(DuplicateJobError):
        scheduler.at(0, "t", id="a")
    assert not scheduler.cancel("a")
    assert scheduler.stats().running == 1 and len(scheduler) == 0
    go_on.set()
    assert scheduler.wait(10)
    assert scheduler.in_(FAR, "t", id="a") == "a"
    assert scheduler.cancel("a") and not scheduler.cancel("a")


def test_bulk_ids_are_a_sequence(scheduler):
    ids = scheduler.in_many(array("d", [FAR, FAR + 1, FAR + 2]), "t")
    assert len(ids) == 3 and list(ids[1:]) == [ids[1], ids[-1]] and ids[0] in ids
    assert ids.index(ids[2]) == 2 and len(set(ids)) == 3
    assert [event.job_id for event in scheduler.between()] == list(ids)
    assert all(scheduler.cancel(id) for id in ids) and len(scheduler) == 0


def test_bulk_is_all_or_nothing(scheduler):
    with pytest.raises(ValueError, match="nan"):
        scheduler.in_many([1, float("nan")], "t")
    with pytest.raises(ValueError, match="as many"):
        scheduler.in_many([1, 2], "t", [b""])
    assert len(scheduler) == 0


def test_numpy_times_are_exact(scheduler):
    np = pytest.importorskip("numpy")
    whens = np.array(["2200-01-01T00:00:00.123456789", "2200-01-02"], dtype="datetime64[ns]")
    scheduler.at_many(whens, "t")
    assert [event.due for event in scheduler.between()] == whens.astype("int64").tolist()
    scheduler.in_many(np.array([FAR, FAR], dtype=np.float64), "t")
    scheduler.in_many(np.array([FAR], dtype="timedelta64[s]"), "t")
    scheduler.in_(np.float32(FAR), "t")
    scheduler.in_(np.int64(FAR), "t")
    assert len(scheduler) == 7
    with pytest.raises(ValueError, match="NaT"):
        scheduler.at_many(np.array(["NaT"], dtype="datetime64[s]"), "t")


def test_a_job_without_handler_is_parked_and_not_lost(scheduler, caplog):
    scheduler.start()
    scheduler.in_(0, "nobody", b"1")
    scheduler.in_(0, "nobody", b"2")
    assert scheduler.wait(10)
    assert (scheduler.stats().parked, len(scheduler)) == (2, 2)
    ran = []
    scheduler.handle("nobody", lambda event: ran.append(event.data))
    assert scheduler.wait(10)
    assert ran == [b"1", b"2"]
    for _ in range(100):  # the worker that logs it may still be on its way
        if "nobody" in caplog.text:
            break
        time.sleep(0.01)
    assert caplog.text.count("nobody") == 1


def test_one_handler_a_target(scheduler):
    deregister = scheduler.handle("t", print)
    with pytest.raises(DuplicateTargetError, match="'t'"):
        scheduler.handle("t", print)
    deregister()
    deregister()
    again = scheduler.handle("t", print)
    deregister()  # an old one does nothing to a new handler
    with pytest.raises(DuplicateTargetError):
        scheduler.handle("t", print)
    again()


def test_a_handler_steers(scheduler, caplog):
    caplog.set_level(logging.CRITICAL, "duewheel")
    ran = []

    @scheduler.handler("t")
    def steer(event):
        ran.append((event.data, event.run, event.attempt))
        if event.data == b"snooze" and event.run == 1:
            raise Snooze(0.001)
        if event.data == b"discard":
            raise Discard("not wanted")
        if event.data == b"fail":
            raise SystemExit("no")

    for data in (b"snooze", b"discard", b"fail"):
        scheduler.in_(0, "t", data, min_backoff=0.001, max_backoff=0.001, retry_limit=1)
    scheduler.start()
    assert scheduler.wait(10)
    assert sorted(ran) == [
        (b"discard", 1, 1),
        (b"fail", 1, 1),
        (b"fail", 2, 2),
        (b"snooze", 1, 1),
        (b"snooze", 2, 1),
    ]
    failed, discarded = sorted(scheduler.dead(), key=lambda dead: dead.reason, reverse=True)
    assert (failed.reason, failed.event.run, failed.event.attempt) == ("failed", 2, 2)
    assert failed.error.startswith("Traceback") and failed.error.endswith("SystemExit: no\n")
    assert (discarded.reason, discarded.error) == ("discarded", "not wanted")
    stats = scheduler.stats()
    assert (stats.retried, stats.snoozed, stats.dead, stats.started) == (1, 1, 2, 5)
    assert balance(stats) == 0


def test_failures_are_logged_with_their_traceback(scheduler, caplog):
    def fail(event):
        raise ValueError("a reason")

    scheduler.handle("t", fail)
    scheduler.in_(0, "t", id="mine", retry_limit=0)
    scheduler.start()
    assert scheduler.wait(10)
    (record,) = [record for record in caplog.records if record.name == "duewheel"]
    assert "mine" in record.getMessage() and "a reason" in caplog.text and "in fail" in caplog.text


def test_dead_jobs_come_back(scheduler, caplog):
    caplog.set_level(logging.CRITICAL, "duewheel")
    broken = True

    @scheduler.handler("t")
    def work(event):
        if broken:
            raise OSError

    id = scheduler.in_(0, "t", consistency=Consistency.AT_MOST_ONCE)
    scheduler.start()
    assert scheduler.wait(10)
    (dead,) = scheduler.dead()
    assert dead.event.job_id == id
    broken = False
    assert scheduler.revive(id) and not scheduler.revive(id)
    assert scheduler.wait(10)
    stats = scheduler.stats()
    assert (stats.revived, stats.succeeded, stats.dead, balance(stats)) == (1, 1, 1, 0)
    assert list(scheduler.dead()) == [] and scheduler.purge() == 0


def test_the_dead_are_forgotten_by_their_ids(scheduler, caplog):
    caplog.set_level(logging.CRITICAL, "duewheel")
    scheduler.handle("t", lambda event: 1 / 0)
    ids = scheduler.in_many([0] * 5, "t", retry_limit=0)
    for _ in range(2):
        scheduler.in_(0, "t", id="twice", retry_limit=0)
        scheduler.start()
        assert scheduler.wait(10)
    assert scheduler.purge(ids=[]) == scheduler.purge(ids=["nobody"]) == 0
    assert scheduler.purge(0, ids=ids) == 0, "they died later"
    assert scheduler.purge(ids=["twice", ids[1], ids[1], "nobody"]) == 3
    assert {dead.event.job_id for dead in scheduler.dead()} == {ids[0], *ids[2:]}
    assert scheduler.purge(ids=ids) == 4, "Ids are ids, too"
    assert list(scheduler.dead()) == [] and scheduler.stats().dead == 7


def test_drain_puts_back_what_has_not_started(scheduler):
    inside, go_on = threading.Event(), threading.Event()
    ran = []

    def work(event):
        ran.append(event.data)
        if event.data == b"0":
            inside.set()
            go_on.wait(10)

    scheduler.handle("t", work)
    for number in range(10):
        scheduler.in_(0, "t", b"%d" % number)
    scheduler.start()
    assert inside.wait(10)
    assert not scheduler.drain(0.01)
    go_on.set()
    assert scheduler.drain(10)
    assert ran == [b"0"] and len(scheduler) == 9
    scheduler.start()
    assert scheduler.wait(10)
    assert ran == [b"%d" % number for number in range(10)]


def test_close_drops_and_counts(caplog):
    scheduler = Scheduler()
    scheduler.in_many([FAR] * 5, "t")
    scheduler.close()
    scheduler.close()
    assert scheduler.stats().dropped == 5 and scheduler.drain()
    assert "5 pending jobs" in caplog.text
    calls = [
        scheduler.start,
        scheduler.wait,
        scheduler.run,
        scheduler.dead,
        scheduler.purge,
        scheduler.next,
        scheduler.between,
        lambda: len(scheduler),
        lambda: scheduler.in_(1, "t"),
        lambda: scheduler.in_(1, "t", id="a"),
        lambda: scheduler.in_many([1], "t"),
        lambda: scheduler.cancel("a"),
        lambda: scheduler.reschedule("a", 1),
        lambda: scheduler.get("a"),
        lambda: scheduler.revive("a"),
        lambda: scheduler.handle("t", print),
        lambda: "a" in scheduler,
    ]
    for call in calls:
        with pytest.raises(ClosedError):
            call()


def test_a_handler_may_do_all_but_wait_for_itself(scheduler):
    refused, ran = [], []

    @scheduler.handler("t")
    def work(event):
        for call in (scheduler.drain, scheduler.wait, scheduler.run):
            try:
                call()
            except StateError:
                refused.append(call)
        assert duewheel.current_scheduler() is scheduler
        id = scheduler.in_(FAR, "other")
        assert scheduler.cancel(id)
        scheduler.handle("other", lambda event: (ran.append(1), scheduler.close()))
        duewheel.in_(0, "other")

    scheduler.start()
    scheduler.in_(0, "t")
    deadline = time.monotonic() + 10
    while not scheduler._closed and time.monotonic() < deadline:
        time.sleep(0.001)
    assert scheduler.drain(10)
    assert len(refused) == 3 and ran == [1]
    assert scheduler.stats().succeeded == 2


def test_each_handler_has_a_fresh_context(scheduler):
    variable = contextvars.ContextVar("variable", default=0)
    seen = []

    def work(event):
        seen.append(variable.get())
        variable.set(99)

    scheduler.handle("t", work)
    token = variable.set(7)
    scheduler.start()
    variable.reset(token)
    scheduler.in_many([0] * 3, "t")
    assert scheduler.wait(10)
    assert seen == [7, 7, 7]


def test_blocked_workers_let_others_run():
    barrier = threading.Barrier(4)
    with Scheduler(workers=4) as scheduler:
        scheduler.handle("t", lambda event: barrier.wait(10))
        scheduler.in_many([0] * 8, "t")
        assert scheduler.wait(10)
        assert scheduler.stats().succeeded == 8


def test_threads_and_workers_lose_nothing():
    ran, lock = [], threading.Lock()
    with Scheduler(workers=3) as scheduler:

        @scheduler.handler("t")
        def work(event):
            with lock:
                ran.append(event.job_id)

        kept, cancelled = [], []

        def produce(seed):
            for number in range(500):
                id = scheduler.in_((number % 7) * 1e-3, "t", min_backoff=0.001)
                if number % 5 == seed and scheduler.cancel(id):
                    cancelled.append(id)
                else:
                    kept.append(id)

        threads = [threading.Thread(target=produce, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert scheduler.wait(20)
        scheduler._check()
        assert sorted(ran) == sorted(kept)
        assert scheduler.stats().cancelled == len(cancelled)


def test_what_nothing_refers_to_is_closed_with_a_warning():
    scheduler = Scheduler()
    scheduler.handle("t", lambda event, scheduler=scheduler: None)
    scheduler.start()
    scheduler.in_(FAR, "t")
    gone = weakref.ref(scheduler)
    del scheduler
    with pytest.warns(ResourceWarning, match="unclosed"):
        gc.collect()
    gc.collect()  # the warning's record had it
    assert gone() is None


def test_there_is_no_file_of_jobs_in_memory(scheduler, tmp_path):
    for call in (lambda: scheduler.backup(tmp_path / "copy.db"), scheduler.rotate):
        with pytest.raises(StateError, match="in memory"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_storage_is_the_pending_events(scheduler):
    storage = scheduler.storage
    job = duewheel.Job("a", "t", 10**18 * 9, b"x", duewheel.JobOptions())
    storage.create(duewheel.Event(job, run=3, attempt=2))
    assert storage.load("a") == duewheel.Event(job, run=3, attempt=2) == storage.next()
    assert list(storage.between()) == [storage.load("a")]
    with pytest.raises(DuplicateJobError):
        storage.create(duewheel.Event(job))
    assert storage.delete("a") and storage.load("a") is None


def test_a_due_long_past_is_warned_of(scheduler, caplog):
    scheduler.at(30, "t")
    assert "over a year ago" in caplog.text


@pytest.mark.parametrize("backoff", [0.1, timedelta(milliseconds=100), 2, timedelta(days=1000)])
def test_options_and_events_survive_pickling(backoff):
    options = duewheel.JobOptions(min_backoff=backoff, max_backoff=10**8, retry_limit=None)
    assert pickle.loads(pickle.dumps(options)) == options
    event = duewheel.Event(duewheel.Job("a", "t", 5, b"x", options), run=2)
    assert pickle.loads(pickle.dumps(event)) == event


@pytest.mark.parametrize("order", ["<", ">", "="])
def test_floats_of_either_byte_order_are_the_same_times(scheduler, order):
    times = [1.5, 2.25, 1e9]
    for array_of in (lambda: np.array(times, f"{order}f8"), lambda: memoryview(np.array(times, f"{order}f8"))):
        for id, at in zip(scheduler.at_many(array_of(), "t"), times, strict=True):
            assert scheduler.get(id).due == int(at * 1e9)


def test_ids_are_a_sequence_that_can_be_pickled(scheduler):
    ids = scheduler.in_many([FAR] * 5, "t")
    assert isinstance(ids, Sequence)
    assert pickle.loads(pickle.dumps(ids)) == tuple(ids)


def test_a_numpy_integer_is_a_number():
    number = np.int64(3)
    with Scheduler(workers=number, tasks=number, seed=number) as scheduler:
        assert scheduler.wait(10)


def test_a_decorator_refuses_its_target_at_once(scheduler):
    with pytest.raises(ValueError, match="target must have 1 to 255 bytes"):
        scheduler.handler("")
    scheduler.close()
    with pytest.raises(ClosedError):
        scheduler.handler("t")


def test_a_closed_scheduler_in_memory_says_so_before_it_says_what_it_lacks(scheduler):
    with pytest.raises(StateError, match="in memory, not in a file"):
        scheduler.rotate()
    scheduler.close()
    for call in (scheduler.rotate, lambda: scheduler.backup("copy")):
        with pytest.raises(ClosedError):
            call()
