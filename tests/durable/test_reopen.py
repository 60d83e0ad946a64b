"""What is in a file is there when it is opened again, and goes on as it was."""

from datetime import UTC, datetime, timedelta

import pytest
from jobs_file import FAR, SECOND, START, JobsFile, counts, fail

from duewheel import Consistency, JobOptions, Scheduler, Snooze
from duewheel.testing import ManualClock


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
    other = JobsFile(tmp_path / "other.db")
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


def test_changes_are_there_after_a_restart(file):
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
