"""Rows that say what no job can: each is reported, and keeps no other waiting."""

import asyncio
import re
import sqlite3
from contextlib import closing

import pytest

from duewheel import (
    Consistency,
    Event,
    Job,
    JobOptions,
    Keyring,
    LocalStorage,
    Scheduler,
    StorageCorruptError,
    StorageError,
    aio,
)
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

START = 1_000
SPOILT = {
    "backoffs that contradict": "min_backoff = 10000000000000, max_backoff = 1",
    "an age without a pause": "min_backoff = 0, retry_limit = NULL, age_limit = 5",
    "a negative backoff": "min_backoff = -1",
    "a negative age": "age_limit = -1",
    "a negative limit": "retry_limit = -1",
    "a huge limit": "retry_limit = 4294967296",
    "attempt 0": "attempt = 0",
    "a negative attempt": "attempt = -3",
    "a negative run": "run = -1",
    "a huge run": "run = 9223372036854775807",
    "negative interruptions": "interruptions = -1",
    "a third clock": "clock = 2",
    "neither once nor not": "once = 5",
    "a key that is not there": "key = 7",
    "a negative key": "key = -7",
    "an id that is no UTF-8": "id = CAST(x'ff62' AS TEXT)",
    "no id": "id = ''",
    "a long id": "id = hex(zeroblob(128))",
    "a target that is no UTF-8": "target = CAST(x'ff62' AS TEXT)",
    "no target": "target = ''",
    "a long target": "target = hex(zeroblob(128))",
    "a negative place": "seq = -5",
}
LOOSE = {  # what a table takes that is not strict any more
    "no due": "due = NULL",
    "no attempt": "attempt = NULL",
    "no backoff": "min_backoff = NULL",
    "no data": "data = NULL",
    "data of text": "data = 'x'",
    "no id at all": "id = NULL",
    "a text for a due": "due = 'soon'",
    "a part of a nanosecond": "due = due + 0.5",
    "a text for a clock": "clock = 'wall'",
    "a blob for a run": "run = x'01'",
    "an infinite backoff": "max_backoff = 9e999",
    "a blob for a target": "target = x'74'",
}
UNSEEN = ("no due", "a text for a due", "a part of a nanosecond")
"""Rows that stand nowhere in the order of dues."""

WINDOWS = [{}, {"horizon": 0}, {"resident": 2}]
PLACES = {"first": 5, "between": 25, "past the horizon": 9_000}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "jobs.db")


def spoil(path, table, change, *, loose=False, which="id = 'bad'"):
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        if loose:
            file.execute("PRAGMA writable_schema = ON")
            file.execute(
                "UPDATE sqlite_schema SET sql = replace(replace(sql, ' NOT NULL', ''), ' STRICT', '') "
                "WHERE name IN ('job', 'dead', 'started')"
            )
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        assert file.execute(f"UPDATE {table} SET {change} WHERE {which}").rowcount == 1


def opened(path, clock, ran, **storage):
    scheduler = Scheduler(LocalStorage(path, durability="relaxed", **storage), clock=clock, workers=1)
    scheduler.handle("t", lambda event: ran.append(event.job_id))
    return scheduler


def reports(caplog):
    return [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]


def filled(path, clock, at):
    with opened(path, clock, []) as scheduler:
        scheduler.in_(at, "t", b"data", id="bad")
        good = [scheduler.in_(10 * (1 + number), "t", id=f"good-{number}") for number in range(5)]
        good.append(scheduler.in_(10_000, "t", id="last"))
    return good


CASES = [
    pytest.param(how, at, WINDOWS[(row + column) % 3], id=f"{how}, {place}")
    for row, how in enumerate([*SPOILT, *LOOSE])
    for column, (place, at) in enumerate(PLACES.items())
]


@pytest.mark.parametrize(("how", "at", "window"), CASES)
def test_a_row_that_cannot_be_read_is_reported_and_keeps_no_other_waiting(path, caplog, how, at, window):
    clock, ran = ManualClock(START), []
    good = filled(path, clock, at)
    spoil(path, "job", (SPOILT | LOOSE)[how], loose=how in LOOSE)
    with opened(path, clock, ran, **window) as scheduler:
        assert [event.job_id for event in scheduler.between()] == good
        assert scheduler.next().job_id == good[0]
        assert len(scheduler) == len(good) + 1, "it is still there"
        assert [scheduler.get(id).job_id for id in good] == good
        clock.advance(20_000)
        assert ran == good
        assert how in UNSEEN or scheduler.wait(5)
        if how not in UNSEEN:
            (report,) = reports(caplog)
            assert ("'bad'" in report or '"bad"' in report) == (" id" not in how)
        scheduler.in_(0, "t", id="after")
        clock.advance(0)
        assert ran[-1] == "after"
    with opened(path, clock, ran, **window) as scheduler:
        assert len(scheduler) == 1
        scheduler._check()


def test_a_call_about_an_unreadable_row_says_so_and_harms_nothing_else(path, caplog):
    clock, ran = ManualClock(START), []
    good = filled(path, clock, 9_000)
    spoil(path, "job", SPOILT["backoffs that contradict"])
    with opened(path, clock, ran) as scheduler:
        for ask in (
            lambda: scheduler.get("bad"),
            lambda: scheduler.storage.load("bad"),
            lambda: "bad" in scheduler,
            lambda: scheduler.reschedule("bad", START + 1),
            lambda: scheduler.reschedule("bad", START + 9_999),
        ):
            with pytest.raises(StorageCorruptError, match="min_backoff must not be above max_backoff"):
                ask()
        assert scheduler.cancel("bad") is True, "the remedy"
        assert scheduler.cancel("bad") is False
        clock.advance(20_000)
        assert ran == good
        assert scheduler.wait(5)
        assert len(scheduler) == 0
        scheduler._check()
    assert len(reports(caplog)) <= 1


def test_more_unreadable_rows_than_a_page_holds_are_each_reported(path, caplog):
    clock, ran = ManualClock(START), []
    with opened(path, clock, ran) as scheduler:
        scheduler.in_many([5] * 300, "t")
        scheduler.in_(6, "t", id="good")
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE job SET run = 0 WHERE id <> 'good'")
    with opened(path, clock, ran, resident=3, horizon=1) as scheduler:
        clock.advance(10)
        assert ran == ["good"]
        assert scheduler.wait(5)
        assert len(reports(caplog)) == 300
        assert [event.job_id for event in scheduler.between()] == []


UNREADABLE_REPEATS = {
    "a text of cron that is none": "repeat = replace(repeat, '*/5', '5/5')",
    "no schedule of this kind": "repeat = replace(repeat, 'cron UTC', 'lunar UTC')",
    "no schedule": "repeat = 'catch_up=one '",
    "terms that are none": "repeat = replace(repeat, 'one', 'two')",
    "a standing that is none": "standing = x'00'",
    "a negative backoff": "min_backoff = -1",
}


@pytest.mark.parametrize("how", UNREADABLE_REPEATS)
def test_a_repeat_that_cannot_be_read_is_reported_and_stays(path, caplog, how):
    clock, ran = ManualClock(START), []
    with opened(path, clock, ran) as scheduler:
        scheduler.repeat("*/5 * * * *", "t", id="bad")
        scheduler.repeat(10, "t", id="good")
    spoil(path, "job", UNREADABLE_REPEATS[how])
    for _ in range(2):
        caplog.clear()
        with opened(path, clock, ran) as scheduler:
            (report,) = reports(caplog)
            assert '"bad"' in report
            why = report.partition('"bad": ')[2]
            assert scheduler.explain("bad") == (
                f"'bad' is stored and cannot be read, so it never runs: {why}. cancel() removes it"
            )
            for ask in (
                scheduler.get,
                scheduler.get_repeat,
                scheduler.pause,
                scheduler.resume,
                scheduler.trigger,
                lambda name, scheduler=scheduler: scheduler.reschedule(name, START + 1),
            ):
                with pytest.raises(StorageCorruptError, match=re.escape(why)):
                    ask("bad")
            assert [repeat.id for repeat in scheduler.repeats()] == ["good"]
            clock.advance(1_000)
            assert {"good"} == set(ran)
            assert scheduler.wait(5), "nobody waits for it"
            assert len(scheduler) == 2
            scheduler._check()
    with opened(path, clock, ran) as scheduler:
        assert scheduler.cancel("bad")
        assert "unknown" in scheduler.explain("bad")
        assert scheduler.get_repeat("bad") is None
        scheduler.repeat(20, "t", id="bad")
        clock.advance(20)
        assert "bad" in ran


def test_in_a_coroutine_as_well_a_repeat_that_cannot_be_read_is_named(path, caplog):
    with opened(path, ManualClock(START), []) as scheduler:
        scheduler.repeat("*/5 * * * *", "t", id="bad")
    spoil(path, "job", UNREADABLE_REPEATS["a text of cron that is none"])

    async def ask():
        async with aio.Scheduler(LocalStorage(path)) as scheduler:
            assert "cannot be read" in await scheduler.explain("bad")
            for call in (scheduler.get, scheduler.get_repeat, scheduler.pause, scheduler.trigger):
                with pytest.raises(StorageCorruptError, match="write 5-59/5"):
                    await call("bad")

    asyncio.run(ask())
    assert len(reports(caplog)) == 1


def dead_ones(path, clock, **storage):
    def fail(event):
        raise ValueError(event.job_id)

    scheduler = Scheduler(LocalStorage(path, **storage), clock=clock, workers=1)
    scheduler.handle("f", fail)
    with scheduler:
        for name in ("old", "bad", "new"):
            scheduler.in_(0, "f", b"x", id=name, retry_limit=0)
            clock.advance(1)
        assert len(list(scheduler.dead())) == 3


DEAD = {
    "a fourth reason": "reason = 3",
    "a text that is no UTF-8": "error = CAST(x'ff' AS TEXT)",
}
LOOSE_DEAD = {"no reason": "reason = NULL", "no text": "error = NULL", "a text for a time": "died = 'then'"}


@pytest.mark.parametrize("how", [*SPOILT, *LOOSE, *DEAD, *LOOSE_DEAD])
def test_the_dead_that_cannot_be_read_are_reported_and_the_others_listed(path, caplog, how):
    caplog.set_level("CRITICAL", "duewheel")
    clock, ran = ManualClock(START), []
    dead_ones(path, clock)
    spoil(
        path,
        "dead",
        (SPOILT | LOOSE | DEAD | LOOSE_DEAD)[how],
        loose=how in LOOSE or how in LOOSE_DEAD,
    )
    caplog.set_level("ERROR", "duewheel")
    with opened(path, clock, ran) as scheduler:
        found = [dead.event.job_id for dead in scheduler.dead()]
        assert found == ["new", "old"]
        assert len(reports(caplog)) == 1
        assert "dead job" in reports(caplog)[0]
        assert scheduler.revive("old")
        if " id" not in how:
            with pytest.raises(StorageError):
                scheduler.revive("bad")
        assert scheduler.in_(50, "t", id="alive") == "alive", "nothing is poisoned"
        assert scheduler.purge() >= 1
        assert list(scheduler.dead()) == []


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("how", [*SPOILT, *LOOSE])
def test_the_marks_of_what_cannot_be_read_keep_no_file_closed(path, caplog, how, once):
    caplog.set_level("CRITICAL", "duewheel")
    clock, ran = ManualClock(START), []
    good = filled(path, clock, 5)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("INSERT INTO started SELECT seq, 77 FROM job WHERE id IN ('bad', 'good-1')")
        if once:
            file.execute("UPDATE job SET once = 1 WHERE id = 'bad'")
        marked = "(SELECT seq FROM job WHERE id = 'bad')"
        if how == "a negative place":
            file.execute(f"UPDATE started SET seq = -5 WHERE seq = {marked}")
    spoil(path, "job", (SPOILT | LOOSE)[how], loose=how in LOOSE)
    with opened(path, clock, ran) as scheduler:
        assert scheduler.get("good-1").run == 2
        clock.advance(20_000)
        assert [id for id in ran if id != "bad"] == good
        list(scheduler.dead())
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM started").fetchone() == (0,)


@pytest.mark.parametrize("at", ["NULL", "'then'", "x'00'", "5.5"])
def test_a_mark_without_a_time_counts_from_the_opening(path, at):
    clock, ran = ManualClock(START), []
    good = filled(path, clock, 5)
    spoil(path, "job", "run = 1", loose=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(f"INSERT INTO started SELECT seq, {at} FROM job WHERE id = 'good-0'")
        file.execute("INSERT INTO started VALUES (-7, 5), (987654, 5)")
    with opened(path, clock, ran) as scheduler:
        assert scheduler.get("good-0").run == 2
        clock.advance(20_000)
        assert ran == ["bad", *good]


def test_counters_at_their_end_stay_there(path):
    """`run` of the next start was one too many for a row, and the store refused everything from then on."""
    most = 2**32 - 1
    for kind in ("memory", "file", "reference"):
        clock, ran = ManualClock(START), []
        if kind == "reference":
            scheduler = ReferenceScheduler(clock=clock)
        else:
            scheduler = Scheduler(path if kind == "file" else None, clock=clock, workers=1)

        def fail(event, ran=ran):
            ran.append((event.run, event.attempt))
            raise ValueError

        scheduler.handle("t", fail)
        with scheduler:
            job = Job("far", "t", START * 10**9, b"", JobOptions(retry_limit=1, min_backoff=0, max_backoff=0))
            scheduler.storage.create(Event(job, run=most, attempt=most))
            clock.advance(0)
            assert scheduler.revive("far") is True
            clock.advance(1)
            assert ran == [(most, most), (most, 1), (most, 2)]
            assert scheduler.in_(5, "t")
            assert scheduler.revive("far") is True
            assert scheduler.get("far").run == most
        with pytest.raises(ValueError, match=r"from 1 to 2\*\*32 - 1, not 4294967296"):
            Event(job, run=most + 1)


def test_a_run_at_its_end_survives_a_death_of_its_process(path):
    clock, ran = ManualClock(START), []
    filled(path, clock, 5)
    spoil(path, "job", "run = 4294967295")
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("INSERT INTO started SELECT seq, 77 FROM job WHERE id = 'bad'")
    with opened(path, clock, ran) as scheduler:
        assert scheduler.get("bad").run == 2**32 - 1
        clock.advance(7)
        assert ran == ["bad"]


def test_a_rotation_goes_on_past_rows_that_cannot_be_read(path):
    clock = ManualClock(START)
    keys = {number: bytes([number]) * 32 for number in (1, 2)}
    with Scheduler(LocalStorage(path, keys=Keyring(keys, default=1)), clock=clock) as scheduler:
        for name in ("one", "bad", "two"):
            scheduler.in_(10, "t", b"secret", id=name)
    spoil(path, "job", "run = 0")
    with Scheduler(LocalStorage(path, keys=Keyring(keys, default=2)), clock=clock) as scheduler:
        with pytest.raises(StorageCorruptError, match="1 rows cannot be read, and keep their keys"):
            scheduler.rotate()
        scheduler.in_(10, "t", b"secret", consistency=Consistency.AT_MOST_ONCE)
        scheduler.cancel("bad")
        scheduler.rotate()
    with Scheduler(LocalStorage(path, keys=Keyring({2: keys[2]}, default=2)), clock=clock) as scheduler:
        assert [event.data for event in scheduler.between()] == [b"secret"] * 3
