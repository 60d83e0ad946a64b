"""The public API of `Scheduler` over a file: what it promises in memory holds there, and across restarts.

Most of it runs in virtual time and three times: with all jobs in memory, with few, and with none but those that
are due.
"""

import gc
import logging
import os
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from duewheel import (
    ClosedError,
    Consistency,
    Discard,
    DuplicateJobError,
    Event,
    Job,
    JobOptions,
    Keyring,
    LocalStorage,
    PayloadTooLargeError,
    Scheduler,
    Snooze,
    StateError,
    StorageCorruptError,
    StorageError,
    StorageLockedError,
    WrongKeyError,
)
from duewheel.testing import ManualClock

START = 1_000
SECOND = 10**9
FAR = 3_600
WINDOWS = [{}, {"horizon": 5, "resident": 3}, {"horizon": 0}]
KEY = {number: bytes([number]) * 32 for number in range(1, 4)}


def counts(stats, *names):
    return tuple(getattr(stats, name) for name in names)


def balance(stats):
    ended = counts(stats, "pending", "running", "succeeded", "dead", "cancelled", "dropped")
    return stats.scheduled + stats.revived - sum(ended)


class File:
    """One file and one clock, opened again and again, and what ran."""

    def __init__(self, path, **storage):
        self.path = path
        self.storage = {"durability": "relaxed"} | storage
        self.clock = ManualClock(START)
        self.opened = []
        self.ran = []
        self.act = lambda event: None

    def open(self, *, handles="t", start=True, clock=None, workers=1, **storage):
        kept_in = LocalStorage(self.path, **(self.storage | storage))
        scheduler = Scheduler(kept_in, clock=clock or self.clock, seed=7, workers=workers)
        self.opened.append(scheduler)
        for target in handles:
            scheduler.handle(target, self.run)
        if start:
            scheduler.start()
        return scheduler

    def again(self, **keywords):
        self.opened[-1].close()
        return self.open(**keywords)

    def run(self, event):
        self.ran.append(event)
        self.act(event)

    def data(self):
        return [event.data for event in self.ran]

    def close(self):
        for scheduler in self.opened:
            scheduler.close()
            assert scheduler.drain(10)
            assert balance(scheduler.stats()) == 0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture(params=WINDOWS, ids=str)
def file(request, path, caplog):
    """A file of which all, some or none is in memory."""
    caplog.set_level(logging.CRITICAL, "duewheel")
    file = File(path, **request.param)
    yield file
    file.close()


def fail(event):
    raise RuntimeError("no luck")


# Closed and opened again


def test_a_path_is_enough(path):
    for given in (str(path), path):
        with Scheduler(given) as scheduler:
            assert "mine" in scheduler or scheduler.in_(FAR, "t", b"x", id="mine")
        assert sorted(path.parent.iterdir()) == [path, path.with_name("jobs.db-lock")]
    with Scheduler(path) as scheduler:
        event = scheduler.get("mine")
        assert (event.data, event.run, event.attempt, len(scheduler)) == (b"x", 1, 1, 1)


def test_data_of_any_length_come_back(file):
    lengths = [0, 1, 2, 3, 4, 7, 8, 100, 511, 512, 513, 4_096, 100_000]
    datas = [bytes(range(256)) * (length // 256) + bytes(range(length % 256)) for length in lengths]
    ids = file.open().in_many([10.0] * len(datas), "t", datas, retry_limit=1, min_backoff=1, max_backoff=1)
    scheduler = file.again()
    assert [scheduler.get(id).data for id in ids] == datas
    assert [event.data for event in scheduler.between()] == datas
    file.act = fail
    file.clock.advance(10)
    assert file.data() == datas
    assert [scheduler.get(id).data for id in ids] == datas
    assert all(scheduler.cancel(id) for id in ids)


def test_what_is_pending_comes_back_as_it_was(file):
    scheduler = file.open()
    options = JobOptions(retry_limit=3, min_backoff=0.1, max_backoff=9.5, age_limit=timedelta(days=1))
    scheduler.in_(30, "t", bytes(range(256)), options=options)
    scheduler.in_(20, "über.target", id="é" * 100, retry_limit=None)
    scheduler.at(START + 10, "t", b"", id="a", consistency=Consistency.AT_MOST_ONCE)
    scheduler.at(datetime(2200, 1, 1, microsecond=1, tzinfo=UTC), "t", b"x" * 100_000)
    scheduler.at(START - 50, "t", b"past", age_limit=5, retry_limit=None)
    scheduler.in_many([40.5, 0.1], "t", [b"1", b"2"], min_backoff=0, max_backoff=0)
    before = list(scheduler.between())
    assert len(before) == 7
    for _ in range(2):
        scheduler = file.again(start=False)
        assert list(scheduler.between()) == before
        assert [scheduler.get(event.job_id) for event in before] == before
        assert [event.job.due for event in scheduler.between()] == [event.job.due for event in before]
        assert all(event.job_id in scheduler for event in before) and len(scheduler) == 7


def test_ties_keep_their_order(file):
    scheduler = file.open()
    scheduler.at_many([START + 5] * 4, "t", [b"1", b"2", b"3", b"4"])
    scheduler.in_(5, "t", b"5")
    scheduler = file.again()
    scheduler.at(START + 5, "t", b"6")
    scheduler.in_(5, "t", b"7")
    scheduler.at(START + 4, "t", b"0")
    scheduler = file.again()
    file.clock.advance(5)
    assert file.data() == [b"%d" % number for number in range(8)]
    assert [event.run for event in file.ran] == [1] * 8


def test_what_fell_due_while_closed_runs_at_once_in_order(file):
    scheduler = file.open()
    scheduler.in_many([30, 10, 20, 10, 99], "t", [b"3", b"1a", b"2", b"1b", b"4"])
    scheduler.close()
    file.clock.advance(50)
    assert file.ran == []
    file.open()
    file.clock.advance(0)
    assert file.data() == [b"1a", b"1b", b"2", b"3"]
    assert [event.lateness for event in file.ran] == [40, 40, 30, 20]
    file.clock.advance(49)
    assert file.data()[4:] == [b"4"] and file.ran[4].lateness == 0.0


def test_in_follows_the_wall_clock_after_it_was_opened_again(file):
    scheduler = file.open()
    scheduler.in_(100, "t", b"in")
    scheduler.close()
    file.clock.step(60)
    file.open()
    file.clock.advance(39)
    assert file.data() == []
    file.clock.advance(1)
    assert file.data() == [b"in"]


def test_what_ran_is_gone(file):
    scheduler = file.open()
    scheduler.in_many([0, 1, 2], "t")
    file.clock.advance(1)
    assert len(file.ran) == 2 and len(scheduler) == 1
    scheduler = file.again()
    assert len(scheduler) == 1
    file.clock.advance(100)
    assert len(file.ran) == 3
    scheduler = file.again()
    assert (len(scheduler), scheduler.next(), list(scheduler.dead())) == (0, None, [])


def test_retries_pending_at_the_close_go_on(file):
    scheduler = file.open()
    file.act = fail
    scheduler.in_(0, "t", id="a", retry_limit=2, min_backoff=10, max_backoff=10)
    file.clock.advance(0)
    before = scheduler.get("a")
    assert (before.run, before.attempt, before.due, before.job.due) == (2, 2, (START + 10) * SECOND, START * SECOND)
    scheduler = file.again()
    assert scheduler.get("a") == before
    file.clock.advance(10)
    scheduler = file.again()
    file.clock.advance(10)
    assert [(event.run, event.attempt) for event in file.ran] == [(1, 1), (2, 2), (3, 3)]
    (dead,) = scheduler.dead()
    assert (dead.event.id, dead.reason, dead.died) == ("a/3", "failed", (START + 20) * SECOND)
    assert dead.error.startswith("Traceback") and dead.error.endswith("RuntimeError: no luck\n")


def test_jitter_is_the_same_after_a_restart(file, tmp_path):
    other = File(tmp_path / "other.db")
    whole = other.open()
    scheduler = file.open()
    file.act = other.act = fail
    for one in (scheduler, whole):
        one.in_(0, "t", id="a", min_backoff=0.3, retry_limit=5)
    other.clock.advance(500)
    for _ in range(50):
        file.clock.advance(10)
        scheduler = file.again()
    assert [event.due for event in file.ran] == [event.due for event in other.ran] and len(file.ran) == 6
    other.close()


def test_an_age_counts_from_the_first_start(file):
    scheduler = file.open()
    file.act = fail
    scheduler.in_(0, "t", age_limit=25, min_backoff=10, max_backoff=10)
    for _ in range(6):
        file.clock.advance(10)
        scheduler = file.again()
    assert len(file.ran) == 4
    assert [dead.event.attempt for dead in scheduler.dead()] == [4]


def test_snoozes_go_on(file):
    def snooze(event):
        if event.run < 3:
            raise Snooze(10)

    file.act = snooze
    scheduler = file.open()
    scheduler.in_(0, "t", id="a")
    for _ in range(4):
        file.clock.advance(10)
        scheduler = file.again()
    assert [(event.run, event.attempt, event.due // SECOND) for event in file.ran] == [
        (1, 1, START), (2, 1, START + 10), (3, 1, START + 20),
    ]  # fmt: skip
    assert len(scheduler) == 0


def test_parked_jobs_are_parked_again(file):
    scheduler = file.open(handles="")
    scheduler.in_many([0, 0, 1], "t", [b"1", b"2", b"3"])
    file.clock.advance(5)
    assert counts(scheduler.stats(), "parked", "pending") == (3, 3)
    scheduler = file.again(handles="")
    assert len(scheduler) == 3
    file.clock.advance(0)
    assert counts(scheduler.stats(), "parked", "pending") == (3, 3)
    scheduler.handle("t", file.run)
    file.clock.advance(0)
    assert file.data() == [b"1", b"2", b"3"]
    assert [event.lateness for event in file.ran] == [5, 5, 4]


def test_changes_are_kept(file):
    scheduler = file.open()
    for number in range(10):
        scheduler.in_(number + 1, "t", b"%d" % number, id=f"j{number}")
    assert scheduler.cancel("j3") and not scheduler.cancel("j3")
    assert scheduler.reschedule("j1", START + 60)
    assert scheduler.reschedule("j8", START + 3)
    assert scheduler.reschedule("j9", START + 3)
    assert scheduler.reschedule("j8", START + 3)  # a new place, behind the other
    scheduler = file.again()
    assert not scheduler.cancel("j3") and not scheduler.reschedule("j3", START)
    order = [event.data for event in scheduler.between()]
    assert order == [b"0", b"2", b"9", b"8", b"4", b"5", b"6", b"7", b"1"]
    assert scheduler.get("j1").due == (START + 60) * SECOND and scheduler.get("j1").job.due == (START + 2) * SECOND
    file.clock.advance(60)
    assert file.data() == order


# Ids


def test_ids_are_taken_across_restarts(file):
    scheduler = file.open()
    scheduler.in_(FAR, "t", id="far")
    scheduler.in_(1, "t", id="near")
    generated = scheduler.in_(FAR, "t")
    scheduler = file.again()
    for id in ("far", "near", generated):
        for call in (scheduler.in_, scheduler.at):
            with pytest.raises(DuplicateJobError, match=id):
                call(FAR, "t", id=id)
    assert len(scheduler) == 3
    assert counts(scheduler.stats(), "pending") == (3,)
    assert scheduler.cancel("far") and scheduler.cancel(generated)
    file.clock.advance(1)
    for id in ("far", "near", generated):
        assert scheduler.in_(FAR, "t", id=id) == id
    scheduler = file.again()
    assert sorted(event.job_id for event in scheduler.between()) == sorted(["far", "near", generated])


def test_an_id_is_taken_while_its_job_runs(file):
    refused = []

    def again(event):
        try:
            scheduler.in_(FAR, "t", id=event.job_id)
        except DuplicateJobError:
            refused.append(event.job_id)
        assert scheduler.get(event.job_id) is None and not scheduler.cancel(event.job_id)

    file.act = again
    scheduler = file.open()
    scheduler.in_(0, "t", id="a")
    scheduler.in_(FAR - 1, "t", id="b")
    file.clock.advance(FAR)
    assert refused == ["a", "b"]


def test_an_id_of_before_never_names_another_job(file):
    scheduler = file.open()
    gone = [scheduler.in_(FAR, "t") for _ in range(50)] + list(scheduler.in_many([1] * 50, "t"))
    kept = [scheduler.in_(FAR, "t", b"%d" % number) for number in range(50)]
    assert all(scheduler.cancel(id) for id in gone)
    for _ in range(2):
        scheduler = file.again()
        new = [scheduler.in_(FAR, "t", b"new") for _ in range(100)]
        new += scheduler.at_many([START + FAR] * 100, "t")
        assert len({*gone, *kept, *new}) == 350
        for id in gone:
            assert scheduler.get(id) is None and id not in scheduler
            assert not scheduler.cancel(id) and not scheduler.reschedule(id, START)
        assert [scheduler.get(id).data for id in kept] == [b"%d" % number for number in range(50)]
        assert all(scheduler.cancel(id) for id in new)
    assert [event.job_id for event in scheduler.between()] == kept
    assert all(scheduler.cancel(id) for id in kept) and len(scheduler) == 0


# What is not in memory


@pytest.fixture(params=[{"horizon": 10, "resident": 5}, {"resident": 1}, {"horizon": 0}, {}], ids=str)
def both(request, path):
    """A file and a memory that hold the same: a hundred jobs, two a second."""
    file = File(path, **request.param)
    kept, memory = file.open(), Scheduler(clock=file.clock)
    for scheduler in (kept, memory):
        for number in range(100):
            scheduler.at(START + number // 2, "t", b"%d" % number, id=f"j{number}")
    yield kept, memory, file.clock
    memory.close()
    file.close()


def test_questions_about_what_is_away(both):
    kept, memory, _ = both
    assert len(kept) == len(memory) == 100
    assert [kept.get(f"j{number}") for number in range(101)] == [memory.get(f"j{number}") for number in range(101)]
    assert "j99" in kept and "j100" not in kept
    bounds = [None, START - 1, START, START + 1, START + 1.5, START + 25, START + 49, START + 50, 9e9]
    for start in bounds:
        for end in bounds:
            events = list(memory.between(start, end))
            assert list(kept.between(start, end)) == events
            assert kept.next(start, end) == memory.next(start, end) == (events[0] if events else None)
            assert list(kept.storage.between(start, end)) == events
            assert kept.storage.next(start, end) == (events[0] if events else None)


def test_what_is_away_can_be_changed(both):
    kept, memory, _ = both
    job = Job("made", "t", START * SECOND, b"x", JobOptions(retry_limit=1))
    calls = [
        *[("cancel", f"j{number}") for number in [0, 7, 7, 50, 99, 100]],
        *[("reschedule", f"j{number}", START + 30) for number in [1, 60, 98, 98, 99]],
        *[("reschedule", f"j{number}", START) for number in [70, 71]],
        *[("reschedule", f"j{number}", START + 9_000) for number in [2, 80]],
        ("cancel", "j80"), ("cancel", "j70"), ("cancel", "j98"),
    ]  # fmt: skip
    for name, *arguments in calls:
        assert getattr(kept, name)(*arguments) == getattr(memory, name)(*arguments)
        assert kept.get(arguments[0]) == memory.get(arguments[0])
        assert len(kept) == len(memory)
    for scheduler in (kept, memory):
        storage = scheduler.storage
        for due in (START + 12, START + 30, START):
            storage.create(Event(job, run=5, attempt=3, due=due * SECOND))
            with pytest.raises(DuplicateJobError, match="made"):
                storage.create(Event(job))
            assert storage.load("made").run == 5 and storage.load("made").attempt == 3
            assert storage.delete("made") and not storage.delete("made")
        storage.create(Event(job, run=5, attempt=3, due=(START + 30) * SECOND))
    assert list(kept.between()) == list(memory.between())
    assert balance(kept.stats()) == 0
    assert counts(kept.stats(), "scheduled", "cancelled") == counts(memory.stats(), "scheduled", "cancelled")


def test_what_is_away_comes_in_time(both):
    kept, memory, clock = both
    memory.handle("t", lambda event: None)
    ran = {kept: [], memory: []}
    for scheduler, log in ran.items():
        scheduler.handle("again", lambda event, log=log: log.append((event, event.lateness)))
        for number in range(100):
            scheduler.at(START + (number * 37) % 50, "again", id=f"a{number}")
        scheduler.cancel("a7")
        scheduler.reschedule("a8", START + 49)
        scheduler.start()
    kept._check()
    for _ in range(10):
        clock.advance(5)
        assert ran[kept] == ran[memory]
        assert list(kept.between()) == list(memory.between())
    assert len(ran[kept]) == 99 and all(late == 0 for _, late in ran[kept])


def test_an_iterator_goes_on_while_jobs_come_and_go(file):
    scheduler = file.open()
    for number in range(1_500):
        scheduler.at(START + 10 + number, "t", id=f"j{number}")
    seen = []
    for event in scheduler.between():
        number = int(event.job_id[1:])
        assert number not in seen[-1:]
        seen.append(number)
        if number % 10 == 0:
            scheduler.cancel(f"j{number + 5}")
            scheduler.in_(0, "t")
    assert seen == sorted(set(seen))
    assert set(range(1_500)) - set(seen) <= {number for number in range(1_500) if number % 10 == 5}


def test_more_than_fits_in_memory_runs_in_order(path):
    file = File(path, resident=100, horizon=60)
    scheduler = file.open()
    dues = [(number * 7_919) % 1_000 for number in range(2_000)]
    scheduler.in_many(dues, "t", [b"%d" % number for number in range(2_000)])
    file.clock.advance(500)
    assert len(file.ran) + len(scheduler) == 2_000
    scheduler = file.again()
    file.clock.advance(500)
    expected = sorted(range(2_000), key=lambda number: (dues[number], number))
    assert [int(event.data) for event in file.ran] == expected
    assert all(event.lateness == 0 for event in file.ran)
    file.close()


# Many at once


def test_bulk_calls_are_kept(file):
    scheduler = file.open()
    ids = scheduler.in_many(range(1, 10_001), "t")
    ids = [*ids, *scheduler.at_many([START + 1.5, START + 0.5], "t", [b"b", b"a"])]
    scheduler = file.again()
    assert len(scheduler) == 10_002
    assert {event.job_id for event in scheduler.between()} == set(ids)
    file.clock.advance(2)
    assert file.data() == [b"a", b"", b"b", b""]


@pytest.mark.parametrize("call", ["at_many", "in_many"])
def test_bulk_calls_are_all_or_nothing(path, call):
    file = File(path, max_data=10)
    scheduler = file.open()
    datas = [b""] * 10_000
    datas[9_000] = b"x" * 11
    with pytest.raises(PayloadTooLargeError, match=r"at most 10 bytes .*max_data.* not 11"):
        getattr(scheduler, call)([FAR] * 10_000, "t", datas)
    with pytest.raises(ValueError, match="nan"):
        getattr(scheduler, call)([1] * 9_000 + [float("nan")], "t")
    assert len(scheduler) == 0 and scheduler.next() is None
    assert counts(scheduler.stats(), "scheduled", "cancelled", "dropped") == (0, 0, 0)
    scheduler = file.again()
    assert len(scheduler) == 0
    datas[9_000] = b"x" * 10
    assert len(getattr(scheduler, call)([FAR] * 10_000, "t", datas)) == 10_000
    assert len(file.again()) == 10_000
    file.close()


@pytest.mark.parametrize("most", [0, 1, 1_048_576])
def test_max_data(path, most):
    file = File(path, max_data=most)
    scheduler = file.open(handles="")
    scheduler.in_(FAR, "t" * 255, b"x" * most, id="i" * 255)
    big = b"x" * (most + 1)
    job = Job("a", "t", 5, big, JobOptions())
    for call in (
        lambda: scheduler.in_(FAR, "t", big),
        lambda: scheduler.at(FAR, "t", memoryview(big), id="a"),
        lambda: scheduler.in_many([1], "t", [bytearray(big)]),
        lambda: scheduler.storage.create(Event(job)),
    ):
        with pytest.raises(PayloadTooLargeError, match=f"{most} bytes .*not {most + 1}") as caught:
            call()
        assert isinstance(caught.value, ValueError) and isinstance(caught.value, StorageError)
    assert len(scheduler) == 1 and "a" not in scheduler
    scheduler = file.again(max_data=0)  # what is there is there
    assert scheduler.get("i" * 255).data == b"x" * most
    file.close()


# The dead


def test_the_dead_are_kept_all_of_them(file):
    def discard(event):
        raise Discard(f"because of {event.data.decode()}")

    file.act = discard
    scheduler = file.open()
    ids = scheduler.in_many([number // 2 for number in range(1_300)], "t", [b"%d" % n for n in range(1_300)])
    file.clock.advance(1_300)
    for _ in range(2):
        dead = list(scheduler.dead())
        assert [int(one.event.data) for one in dead] == list(reversed(range(1_300)))
        assert [one.event.job_id for one in reversed(dead)] == list(ids)
        assert dead[-1].error == "because of 0" and dead[0].reason == "discarded"
        assert [one.died // SECOND - START for one in reversed(dead)] == [number // 2 for number in range(1_300)]
        scheduler = file.again()
    assert scheduler.purge(START + 5) == 10
    assert scheduler.purge(START + 5) == 0
    assert [one.event.data for one in scheduler.dead()][-1] == b"10"
    scheduler = file.again()
    assert scheduler.purge() == 1_290 and list(scheduler.dead()) == []
    assert list(file.again().dead()) == []


def test_a_dead_job_comes_back_after_a_restart(file):
    file.act = fail
    scheduler = file.open()
    scheduler.in_(0, "t", b"x", id="a", age_limit=4, min_backoff=2, max_backoff=2)
    file.clock.advance(10)
    scheduler = file.again()
    assert scheduler.revive("a") and not scheduler.revive("a")
    assert list(scheduler.dead()) == []
    event = scheduler.get("a")
    assert (event.run, event.attempt, event.due, event.job.due, event.data) == (
        4, 1, (START + 10) * SECOND, START * SECOND, b"x",
    )  # fmt: skip
    scheduler = file.again()
    assert scheduler.get("a") == event
    file.clock.advance(10)
    assert [(event.run, event.attempt) for event in file.ran[3:]] == [(4, 1), (5, 2), (6, 3)]
    assert counts(scheduler.stats(), "dead", "pending") == (1, 0)
    assert file.again().revive("a")


def test_the_newest_of_an_id_is_revived(file):
    file.act = fail
    scheduler = file.open()
    for data in (b"old", b"new"):
        scheduler.in_(0, "t", data, id="a", retry_limit=0)
        file.clock.advance(1)
    assert [one.event.data for one in scheduler.dead()] == [b"new", b"old"]
    scheduler = file.again()
    assert scheduler.revive("a")
    with pytest.raises(DuplicateJobError, match="'a'"):
        scheduler.revive("a")
    assert scheduler.get("a").data == b"new"
    assert [one.event.data for one in scheduler.dead()] == [b"old"]
    assert counts(scheduler.stats(), "revived", "pending") == (1, 1)
    assert scheduler.cancel("a") and scheduler.revive("a")
    assert scheduler.get("a").data == b"old"
    assert not scheduler.revive("unknown")


# Both consistencies, both durabilities


def test_at_most_once(file):
    def act(event):
        if event.data == b"fail":
            raise RuntimeError
        if event.data == b"snooze":
            raise Snooze(1)

    file.act = act
    scheduler = file.open()
    scheduler.in_many([0, 1, 0.5], "t", [b"fail", b"snooze", b"fine"], consistency=Consistency.AT_MOST_ONCE)
    scheduler = file.again()
    file.clock.advance(10)
    assert file.data() == [b"fail", b"fine", b"snooze"]
    assert [(one.event.data, one.reason) for one in scheduler.dead()] == [(b"snooze", "failed"), (b"fail", "failed")]
    file.again()
    file.clock.advance(10)
    assert len(file.ran) == 3


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("consistency", Consistency, ids=str)
def test_on_the_machine_s_clocks(path, durability, workers, consistency):
    ran, lock = [], threading.Lock()

    def run(event):
        with lock:
            ran.append(event.job_id)

    def make():
        scheduler = Scheduler(LocalStorage(path, durability=durability), workers=workers)
        scheduler.handle("t", run)
        return scheduler

    ids = []
    for _ in range(3):
        with make() as scheduler:
            for number in range(30):
                ids.append(scheduler.in_(number * 1e-4, "t", consistency=consistency))
            ids += scheduler.in_many([0] * 200, "t", consistency=consistency)
            # with ends by drain() and close(): what has not started goes on the next time.
    with make() as scheduler:
        assert scheduler.wait(20)
        scheduler._check()
        assert len(scheduler) == 0 and list(scheduler.dead()) == []
    assert sorted(ran) == sorted(ids)


def test_many_threads_share_one_file(path):
    ran, kept, lock = [], [], threading.Lock()
    with Scheduler(LocalStorage(path, resident=50, horizon=0.02), workers=3) as scheduler:

        @scheduler.handler("t")
        def work(event):
            with lock:
                ran.append(event.job_id)

        def produce(seed):
            for number in range(100):
                id = scheduler.in_((number % 9) * 1e-2, "t", id=f"{seed}-{number}" if number % 3 else None)
                if number % 5 or not scheduler.cancel(id):
                    with lock:
                        kept.append(id)
                if number % 7 == 0:
                    scheduler.reschedule(id, time.time() + 0.03)

        threads = [threading.Thread(target=produce, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert scheduler.wait(30)
        scheduler._check()
        assert balance(scheduler.stats()) == 0
    assert sorted(ran) == sorted(kept)
    with Scheduler(path) as scheduler:
        assert len(scheduler) == 0


# Drained, closed


def test_drain_puts_back_what_has_not_started(path):
    inside, go_on = threading.Event(), threading.Event()
    ran = []

    def work(event):
        ran.append(event.data)
        if event.data == b"0":
            inside.set()
            go_on.wait(10)

    scheduler = Scheduler(path, workers=1)
    scheduler.handle("t", work)
    for number in range(10):
        scheduler.in_(0, "t", b"%d" % number)
    scheduler.start()
    assert inside.wait(10)
    assert not scheduler.drain(0.01)
    scheduler.in_(0, "t", b"10")
    go_on.set()
    assert scheduler.drain(10)
    assert ran == [b"0"] and len(scheduler) == 10
    scheduler.close()
    with Scheduler(path, workers=1) as scheduler:
        scheduler.handle("t", work)
        assert scheduler.wait(10)
    assert ran == [b"%d" % number for number in range(11)]


def test_close_drops_nothing(file, caplog):
    caplog.set_level(logging.DEBUG, "duewheel")
    scheduler = file.open()
    scheduler.in_many([1, FAR, 9 * FAR], "t")
    scheduler.close()
    scheduler.close()
    stats = scheduler.stats()
    assert counts(stats, "scheduled", "pending", "dropped") == (3, 3, 0) and balance(stats) == 0
    assert scheduler.drain() and caplog.text == ""
    calls = [
        scheduler.start, scheduler.wait, scheduler.run, scheduler.dead, scheduler.purge, scheduler.next,
        scheduler.between, scheduler.rotate,
        lambda: scheduler.backup(file.path.with_name("copy.db")),
        lambda: len(scheduler),
        lambda: scheduler.in_(1, "t"),
        lambda: scheduler.in_(1, "t", id="a"),
        lambda: scheduler.in_many([1], "t"),
        lambda: scheduler.at_many([1], "t"),
        lambda: scheduler.cancel("a"),
        lambda: scheduler.reschedule("a", 1),
        lambda: scheduler.get("a"),
        lambda: scheduler.revive("a"),
        lambda: scheduler.handle("u", print),
        lambda: scheduler.storage.create(Event(Job("a", "t", 5, b"", JobOptions()))),
        lambda: "a" in scheduler,
    ]  # fmt: skip
    for number, call in enumerate(calls):
        with pytest.raises(ClosedError):
            raise AssertionError(f"call {number} returned {call()!r}")


@pytest.mark.parametrize("outcome", ["succeeds", "fails", "snoozes"])
def test_a_handler_that_runs_at_the_close_has_its_outcome_kept(path, outcome, caplog):
    caplog.set_level(logging.CRITICAL, "duewheel")
    inside, go_on, runs = threading.Event(), threading.Event(), []

    def work(event):
        runs.append((event.run, event.attempt))
        if event.run > 1:
            return
        inside.set()
        go_on.wait(10)
        if outcome == "fails":
            raise RuntimeError
        if outcome == "snoozes":
            raise Snooze(0)

    scheduler = Scheduler(path, workers=1)
    scheduler.handle("t", work)
    scheduler.start()
    scheduler.in_(0, "t", id="a", min_backoff=0.001, max_backoff=0.001)
    assert inside.wait(10)
    scheduler.close()
    with pytest.raises(StorageLockedError, match=str(os.getpid())):
        Scheduler(path)
    assert not scheduler.drain(0.01)
    go_on.set()
    assert scheduler.drain(10)
    assert balance(scheduler.stats()) == 0
    deadline = time.monotonic() + 10
    while True:
        try:
            again = Scheduler(path, workers=1)
            break
        except StorageLockedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with again:
        again.handle("t", work)
        assert again.wait(10)
    assert runs == {"succeeds": [(1, 1)], "fails": [(1, 1), (2, 2)], "snoozes": [(1, 1), (2, 1)]}[outcome]
    with Scheduler(path) as again:
        assert len(again) == 0 and list(again.dead()) == []


def test_with_closes_on_an_exception_too(path):
    def work():
        with Scheduler(path) as scheduler:
            opened.append(scheduler)
            scheduler.in_(FAR, "t", id="a")
            raise KeyError

    opened = []
    with pytest.raises(KeyError):
        work()
    (scheduler,) = opened
    assert scheduler._closed
    with Scheduler(path) as scheduler:
        assert "a" in scheduler


def test_a_handler_may_do_all_but_wait_for_itself(file):
    refused, log = [], []

    def work(event):
        if event.target != "t":
            return
        for call in (scheduler.drain, scheduler.wait, scheduler.run):
            try:
                call()
            except StateError:
                refused.append(call)
        id = scheduler.in_(FAR, "u")
        log.append((scheduler.cancel(id), scheduler.cancel(id), "b" in scheduler, scheduler.reschedule("b", START + 7)))
        scheduler.in_(0, "u", b"now")
        scheduler.in_many([1, FAR], "u", [b"soon", b"late"])
        log.append((len(scheduler), scheduler.next(START + 7).job_id, scheduler.revive("b"), scheduler.purge()))

    file.act = work
    scheduler = file.open(handles="tu")
    scheduler.in_(FAR, "u", id="b")
    scheduler.in_(0, "t")
    file.clock.advance(FAR)
    assert len(refused) == 3
    assert log == [(True, False, True, True), (4, "b", False, 0)]
    assert file.data() == [b"", b"now", b"soon", b"", b"late"]


def test_a_handler_may_close(path):
    done = threading.Event()
    scheduler = Scheduler(path)

    @scheduler.handler("t")
    def work(event):
        scheduler.in_(FAR, "t", id="next")
        scheduler.close()
        done.set()

    scheduler.start()
    scheduler.in_(0, "t")
    assert done.wait(10) and scheduler.drain(10)
    time.sleep(0.05)
    with Scheduler(path) as scheduler:
        assert [event.job_id for event in scheduler.between()] == ["next"]


def test_what_nothing_refers_to_gives_up_its_file(path):
    scheduler = Scheduler(path)
    scheduler.in_(FAR, "t", id="a")
    scheduler.start()
    del scheduler
    with pytest.warns(ResourceWarning, match="unclosed"):
        gc.collect()
    with Scheduler(path) as scheduler:
        assert "a" in scheduler


# What it counts


def test_stats(file):
    def act(event):
        if event.data == b"fail":
            raise RuntimeError
        if event.data == b"snooze" and event.run == 1:
            raise Snooze(1)

    file.act = act
    scheduler = file.open()
    names = "scheduled", "pending", "started", "succeeded", "retried", "snoozed", "dead", "cancelled", "revived"
    scheduler.in_(1, "t", b"fail", id="a", retry_limit=1, min_backoff=1, max_backoff=1)
    scheduler.in_(1, "t", b"snooze")
    scheduler.in_many([FAR] * 3, "t")
    assert scheduler.cancel(scheduler.in_(9 * FAR, "t"))
    assert balance(scheduler.stats()) == 0
    file.clock.advance(10)
    assert scheduler.revive("a")
    assert balance(scheduler.stats()) == 0
    file.clock.advance(10)
    assert counts(scheduler.stats(), *names) == (6, 3, 6, 1, 2, 1, 2, 1, 1)
    scheduler = file.again()
    # Those that it found count as scheduled.
    assert counts(scheduler.stats(), *names) == (3, 3, 0, 0, 0, 0, 0, 0, 0)
    assert scheduler.revive("a")
    stats = scheduler.stats()
    assert (counts(stats, "pending", "revived"), balance(stats)) == ((4, 1), 0)
    file.clock.advance(FAR)
    stats = scheduler.stats()
    assert (counts(stats, *names), balance(stats)) == ((3, 0, 5, 3, 1, 0, 1, 0, 1), 0)
    assert stats.lateness.count == 5


def test_wait_returns_when_all_has_run(path):
    with Scheduler(LocalStorage(path, horizon=0.05, resident=3)) as scheduler:
        ran = []
        scheduler.handle("t", lambda event: ran.append(event.data))
        scheduler.in_many([number / 100 for number in range(20)], "t")
        assert scheduler.wait(20)
        assert len(ran) == 20
        scheduler.in_(FAR, "t")
        assert not scheduler.wait(0.05)


# Keys


def keyring(*numbers, default):
    return Keyring({number: KEY[number] for number in numbers}, default=default)


SECRET = b"the secret of this payload, long enough to be found"


def test_data_is_encrypted_on_disk(path):
    for keys, found in ((None, True), (keyring(1, default=1), False)):
        file = File(path.with_name(f"{found}.db"))
        file.act = lambda event: (_ for _ in ()).throw(Discard("no"))
        scheduler = file.open(keys=keys)
        scheduler.in_(FAR, "t", SECRET, id="a")
        scheduler.in_(0, "t", SECRET)
        file.clock.advance(0)
        scheduler.backup(path.with_name(f"copy-{found}.db"))
        parts = sorted(path.parent.glob(f"*{found}.db*"))
        assert len(parts) >= 3  # the journal, too
        assert any(SECRET in part.read_bytes() for part in parts) == found
        scheduler.close()
        assert (SECRET in file.path.read_bytes()) == found
        scheduler = file.again(keys=keys)
        assert [one.event.data for one in scheduler.dead()] == [SECRET] == [scheduler.get("a").data]
        file.close()


def test_keys_rotate(path):
    file = File(path)
    file.act = lambda event: (_ for _ in ()).throw(Discard("no"))
    scheduler = file.open(keys=keyring(1, default=1))
    for number in range(600):
        scheduler.in_(FAR + number, "t", SECRET + b"%d" % number, id=f"j{number}")
    scheduler.in_many([0] * 600, "t", [SECRET] * 600)
    file.clock.advance(0)
    scheduler = file.again(keys=keyring(1, 2, default=2))
    scheduler.in_(FAR, "t", SECRET, id="by 2")
    assert scheduler.get("j7").data == SECRET + b"7"
    scheduler.close()
    with pytest.raises(WrongKeyError, match="key 1"):  # both are needed until it is rotated
        file.open(keys=keyring(2, default=2))
    scheduler = file.open(keys=keyring(1, 2, default=2))
    scheduler.rotate()
    scheduler.rotate()
    scheduler.in_(FAR, "t", SECRET, id="after")
    scheduler = file.again(keys=keyring(2, default=2))
    assert [scheduler.get(f"j{number}").data for number in range(600)] == [
        SECRET + b"%d" % number for number in range(600)
    ]
    assert {one.event.data for one in scheduler.dead()} == {SECRET}
    assert scheduler.get("by 2").data == scheduler.get("after").data == SECRET
    scheduler.close()
    with pytest.raises(WrongKeyError):
        file.open(keys=keyring(1, default=1))
    file.close()


def test_keys_rotate_while_jobs_come_and_go(path):
    stop = threading.Event()
    with Scheduler(LocalStorage(path, keys=keyring(1, default=1)), workers=1) as scheduler:
        scheduler.in_many([FAR] * 2_000, "t", [SECRET] * 2_000)
    with Scheduler(LocalStorage(path, keys=keyring(1, 3, default=3), horizon=10), workers=2) as scheduler:
        scheduler.handle("u", lambda event: None)

        def produce():
            while not stop.is_set():
                scheduler.in_(0, "u", SECRET)
                scheduler.cancel(scheduler.in_(FAR, "t", SECRET))

        thread = threading.Thread(target=produce)
        thread.start()
        try:
            scheduler.rotate()
        finally:
            stop.set()
            thread.join()
    with Scheduler(LocalStorage(path, keys=keyring(3, default=3))) as scheduler:
        assert sum(event.data == SECRET for event in scheduler.between()) >= 2_000


@pytest.mark.parametrize(("keys", "said"), [
    (None, "needs the key 1"),
    (Keyring({2: KEY[2]}, default=2), "needs the key 1"),
    (Keyring({1: KEY[2]}, default=1), "key 1 is not the one"),
    (Keyring({1: KEY[2], 2: KEY[1]}, default=2), "key 1 is not the one"),
], ids=["none", "missing", "wrong", "exchanged"])  # fmt: skip
def test_wrong_keys(path, keys, said):
    file = File(path)
    file.open(keys=keyring(1, default=1)).in_(FAR, "t", SECRET, id="a")
    file.close()
    before = path.read_bytes()
    with pytest.raises(WrongKeyError, match=said):
        Scheduler(LocalStorage(path, keys=keys))
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path, path.with_name("jobs.db-lock")]
    assert file.open(keys=keyring(1, 2, default=1)).get("a").data == SECRET
    file.close()


def test_a_plain_file_can_be_encrypted(path):
    file = File(path)
    file.open().in_(FAR, "t", SECRET, id="a")
    scheduler = file.again(keys=keyring(1, default=1))
    assert scheduler.get("a").data == SECRET
    scheduler.rotate()
    scheduler.close()
    assert SECRET not in path.read_bytes()
    with pytest.raises(WrongKeyError):
        file.open()
    file.close()


def test_rotate_needs_a_keyring(path):
    with Scheduler(path) as scheduler, pytest.raises(WrongKeyError, match="no keyring"):
        scheduler.rotate()


# Copies


def test_a_backup_is_a_store(file):
    file.act = fail
    scheduler = file.open(keys=keyring(1, default=1))
    scheduler.in_(0, "t", b"dead", retry_limit=0)
    scheduler.in_(0, "t", b"retry", id="r", min_backoff=10, max_backoff=10)
    file.clock.advance(1)
    scheduler.in_many([5] * 3 + [FAR] * 3, "t", [b"%d" % number for number in range(6)])
    copy = File(file.path.with_name("copy.db"), keys=keyring(1, default=1))
    copy.clock.advance(1)
    scheduler.backup(copy.path)
    before, dead = list(scheduler.between()), list(scheduler.dead())
    with pytest.raises(StorageError, match="exists already"):
        scheduler.backup(copy.path)
    scheduler.in_(1, "t", b"later")
    assert scheduler.cancel("r")
    copied = copy.open()
    assert list(copied.between()) == before and list(copied.dead()) == dead
    copy.clock.advance(10 * FAR)
    assert [event.data for event in copy.ran][:4] == [b"0", b"1", b"2", b"retry"]
    assert len(scheduler) == 7 and "r" not in scheduler
    copy.close()


def test_a_backup_while_it_is_in_use(path):
    """What was acknowledged before is in the copy, under a load of several threads."""
    stop, done = threading.Event(), []
    with Scheduler(LocalStorage(path, durability="relaxed"), workers=2) as scheduler:
        scheduler.handle("u", lambda event: None)

        def produce():
            while not stop.is_set():
                done.append(scheduler.in_(FAR, "t"))
                scheduler.in_(0, "u")
                time.sleep(0.0001)

        threads = [threading.Thread(target=produce) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(3):
                time.sleep(0.05)
                known = set(done)
                scheduler.backup(path.with_name(f"{number}.db"))
                with Scheduler(path.with_name(f"{number}.db")) as copied:
                    assert known <= {event.job_id for event in copied.between()}
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_a_backup_beside_a_load_without_a_pause(path):
    """It ends, and the load goes on: the thread stops only when the copy is made."""
    copied = threading.Event()
    with Scheduler(LocalStorage(path, durability="relaxed")) as scheduler:

        def produce():
            while not copied.is_set():
                scheduler.in_many([FAR] * 1000, "t", [b"x" * 1000] * 1000)

        thread = threading.Thread(target=produce)
        thread.start()
        try:
            while not len(scheduler):
                time.sleep(0.001)
            scheduler.backup(path.with_name("copy.db"))
        finally:
            copied.set()
            thread.join()
    assert path.with_name("copy.db").exists()


def test_a_backup_that_cannot_be(file):
    scheduler = file.open()
    scheduler.in_(FAR, "t", id="a")
    nowhere = file.path.parent / "no" / "where.db"
    for bad, remedy in ((file.path, "new file"), (file.path.parent, "new file"), (nowhere, "make it first")):
        with pytest.raises(StorageError, match=remedy) as refused:
            scheduler.backup(bad)
        assert str(refused.value).count(str(bad)) == 1
    for bad in (5, None):
        with pytest.raises(TypeError):
            scheduler.backup(bad)
    assert "a" in scheduler and scheduler.in_(1, "t")


# At the opening


def test_one_owner_at_a_time(path):
    with (
        Scheduler(path),
        pytest.raises(StorageLockedError, match=rf"jobs\.db.*open in this process {os.getpid()} already"),
    ):
        Scheduler(path)
    Scheduler(path).close()


@pytest.mark.parametrize("content", [b"x" * 5_000, b"SQLite format 3\0" + b"\xff" * 5_000], ids=["text", "header"])
def test_a_file_that_is_none_of_ours(path, content):
    path.write_bytes(content)
    with pytest.raises(StorageCorruptError, match=r"jobs\.db"):
        Scheduler(path)
    assert path.read_bytes() == content and threading.active_count() < 20


def test_a_directory_and_a_path_to_nowhere(path):
    with pytest.raises(StorageError, match="not a file: give the path of a file") as refused:
        Scheduler(path.parent)
    assert str(refused.value).count(str(path.parent)) == 1
    with pytest.raises(StorageError, match="No such file"):
        Scheduler(path / "jobs.db")
    assert list(path.parent.iterdir()) == []


def test_a_wrong_argument_opens_nothing(path):
    for wrong in ({"workers": 0}, {"options": 5}, {"seed": -1}, {"clock": 5}):
        with pytest.raises((TypeError, ValueError)):
            Scheduler(path, **wrong)
        assert list(path.parent.iterdir()) == []


# Threads that speak of one id


@pytest.mark.parametrize("change", ["cancel", "reschedule", "revive"])
def test_threads_may_speak_of_one_id_while_others_are_away(path, change):
    scheduler = Scheduler(LocalStorage(path, durability="relaxed", horizon=10))
    scheduler.in_(FAR, "t", id="away")
    if change == "revive":
        scheduler.handle("u", fail)
        scheduler.start()
        scheduler.in_many([0] * 50, "u", retry_limit=0)
        assert not scheduler.wait(0.2)
    dead, lock = [one.event.job_id for one in scheduler.dead()], threading.Lock()
    stop = time.monotonic() + 0.7

    def insert():
        while time.monotonic() < stop:
            try:
                scheduler.in_(5, "t", id="j")
            except DuplicateJobError:
                scheduler.cancel("j")

    def others():
        while time.monotonic() < stop:
            if change == "reschedule":
                scheduler.reschedule("j", time.time() + 5)
            elif change == "revive":
                with lock:
                    id = dead.pop() if dead else "j"
                scheduler.revive(id)
                scheduler.cancel(id)
            scheduler.cancel("j")

    threads = [threading.Thread(target=target) for target in (insert, others, others)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        scheduler.cancel("j")
        scheduler._check()
        assert balance(scheduler.stats()) == 0
        assert [event.job_id for event in scheduler.between(time.time() + 60)] == ["away"]
        assert (len(scheduler), "j" in scheduler) == (1, False)
    finally:
        scheduler.close()
    with Scheduler(path) as scheduler:
        assert [event.job_id for event in scheduler.between()] == ["away"]


def test_a_lone_surrogate_in_a_message_takes_nothing_else_of_the_error(path):
    def handler(event):
        raise ValueError("no \udcff")

    with Scheduler(path) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(0, "t", retry_limit=0)
        assert scheduler.wait(10)
        (dead,) = scheduler.dead()
    assert "Traceback" in dead.error
    assert "ValueError: no " in dead.error


@pytest.mark.parametrize(("call", "due"), [("in_", 100), ("at", 1_100)])
def test_a_reopened_job_follows_the_wall_clock(path, call, due):
    clock = ManualClock(1_000)
    with Scheduler(path, clock=clock) as scheduler:
        getattr(scheduler, call)(due, "t", id="a")
    clock, ran = ManualClock(1_050), []
    with Scheduler(path, clock=clock) as scheduler:
        scheduler.handle("t", lambda event: ran.append((event.due, event.lateness)))
        clock.step(49)
        clock.advance(0)
        assert not ran
        clock.step(1)
        clock.advance(0)
        assert ran == [(1_100 * 10**9, 0.0)]


@pytest.mark.parametrize("step", [1_000.0, -500.0])
@pytest.mark.parametrize("window", [{"resident": 1}, {"horizon": 10}], ids=str)
def test_a_job_on_disk_alone_keeps_to_the_boot_clock_while_the_wall_clock_is_stepped(path, window, step):
    """It came in by the offset between the clocks of that moment, and so it was early."""
    clock, ran = ManualClock(2_000), []
    with Scheduler(LocalStorage(path, **window), clock=clock) as scheduler:
        scheduler.handle("t", lambda event: ran.append((event.data, clock.now(), event.lateness)))
        scheduler.in_(50, "t", b"a")
        scheduler.in_(100, "t", b"b")
        clock.step(step)
        scheduler.in_(75, "t", b"c")
        clock.advance(49)
        assert not ran
        clock.advance(60)
        now = 2_000 + step
        assert ran == [(b"a", now + 50, 0.0), (b"c", now + 75, 0.0), (b"b", now + 100, 0.0)]


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.7, 0.000001, 0.000123, 60, 0.25, 12.345678])
def test_durations_read_back_as_they_were_given(path, seconds):
    """A float's nanoseconds are a ceiling: what was 0.1 read 0.100000001 in the next life."""
    given = {"min_backoff": seconds, "max_backoff": timedelta(seconds=100), "age_limit": seconds}
    with Scheduler(path) as scheduler:
        scheduler.in_(60, "t", id="one", **given)
        before = scheduler.get("one").job.options
        scheduler.close()
    with Scheduler(path) as scheduler:
        after = scheduler.get("one").job.options
        assert after == before
        assert (after.min_backoff, after.max_backoff, after.age_limit) == (seconds, 100, seconds)


def parked(scheduler, count):
    end = time.monotonic() + 10
    while scheduler.stats().parked < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_parked_jobs_that_leave_memory_meanwhile_are_iterated_over(path):
    with Scheduler(LocalStorage(path, resident=320)) as scheduler:
        ids = scheduler.in_many([0] * 40, "a")
        parked(scheduler, 40)
        early, late = scheduler.between(), scheduler.between()
        assert next(late).job_id == ids[0]
        other = scheduler.in_(3_600, "b", id="other")  # puts most of them aside
        assert scheduler.stats().parked == 40
        assert [event.job_id for event in early] == [*ids]
        assert [event.job_id for event in late] == [*ids[1:]]
        assert [event.job_id for event in scheduler.between()] == [*ids, other]
        scheduler.close()
        assert scheduler.stats().parked == 0
