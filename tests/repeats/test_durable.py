"""Repeats in a file that is closed and opened again, in virtual time."""

import logging
from contextlib import closing

import pytest
from jobs_file import KEY, SECOND, START, JobsFile, keyring

from duewheel import Discard, DuplicateJobError, Snooze


def seconds(ns):
    return ns / SECOND - START


@pytest.fixture
def file(tmp_path):
    with closing(JobsFile(tmp_path / "jobs.db")) as file:
        yield file


def dues(file):
    return [seconds(event.job.due) for event in file.ran]


def test_a_repeat_goes_on_where_it_was(file):
    scheduler = file.open()
    scheduler.repeat(10, "t", b"data", id="r", retry_limit=1)
    file.clock.advance(25)
    before = scheduler.get_repeat("r")
    scheduler = file.again()
    after = scheduler.get_repeat("r")
    for name in ("id", "target", "schedule", "data", "options", "next", "previous", "occurrence", "missed", "count"):
        assert getattr(after, name) == getattr(before, name), name
    file.clock.advance(10)
    assert dues(file) == [10, 20, 30]
    assert [event.run for event in file.ran] == [1, 2, 3]
    assert file.ran[-1].previous == file.ran[-2].job.due


def test_downtime_is_caught_up_as_it_says(file):
    scheduler = file.open()
    for catch_up in ("one", "none", "all"):
        scheduler.repeat(10, "t", id=catch_up, catch_up=catch_up, window=1_000)
    scheduler.close()
    file.clock.advance(45)
    scheduler = file.open()
    file.clock.advance(0)
    assert sorted((event.job_id, seconds(event.job.due)) for event in file.ran) == [
        *(("all", due) for due in (10, 20, 30, 40)),
        ("one", 40),
    ]
    assert scheduler.stats().missed == 7
    assert {repeat.id: repeat.missed for repeat in scheduler.repeats()} == {"one": 3, "none": 4, "all": 0}


def test_what_was_changed_is_on_disk(file):
    scheduler = file.open()
    for id in ("paused", "edited", "cancelled", "moved", "triggered"):
        scheduler.repeat(10, "t", b"old", id=id)
    scheduler.pause("paused")
    scheduler.repeat(20, "t", b"new", id="edited", count=5)
    scheduler.cancel("cancelled")
    scheduler.reschedule("moved", START + 3)
    scheduler.drain()
    scheduler.trigger("triggered")
    scheduler = file.again(start=False)
    assert {repeat.id for repeat in scheduler.repeats()} == {"paused", "edited", "moved", "triggered"}
    assert scheduler.get_repeat("paused").paused
    edited = scheduler.get_repeat("edited")
    assert (edited.data, edited.count, seconds(edited.next)) == (b"new", 5, 20)
    assert seconds(scheduler.get("moved").due) == 3
    assert seconds(scheduler.get("moved").job.due) == 10
    assert seconds(scheduler.get("triggered").due) == 0
    scheduler.start()
    file.clock.advance(0)
    assert [event.job_id for event in file.ran] == ["triggered"]
    assert seconds(scheduler.get("triggered").due) == 10


def test_the_time_of_what_is_retried_is_used_in_another_life_too(file):
    def snooze_first(event):
        if event.run == 1:
            raise Snooze(30)

    file.act = snooze_first
    file.open().repeat(10, "t", id="r")
    file.clock.advance(15)
    scheduler = file.again()
    scheduler.repeat(7, "t", id="r")
    # The grid goes on from the last time, 10.
    assert [seconds(due) for due in scheduler.get_repeat("r").upcoming(3)] == [40, 17, 24]


def test_said_again_in_another_life_nothing_is_written(file):
    file.open().repeat(10, "t", b"data", id="r")
    scheduler = file.again()
    scheduler.repeat(10, "t", b"data", id="r")
    assert seconds(scheduler.get("r").due) == 10
    file.clock.advance(10)
    assert dues(file) == [10]


def test_an_id_in_the_file_is_taken(file):
    scheduler = file.open(resident=1)
    scheduler.in_(1_000, "t", id="job")
    scheduler.repeat(10, "t", id="r")
    scheduler = file.again(resident=1)
    with pytest.raises(DuplicateJobError):
        scheduler.repeat(10, "t", id="job")
    with pytest.raises(DuplicateJobError):
        scheduler.at(START + 5, "t", id="r")


def test_what_is_declared_no_longer_waits(file, caplog):
    scheduler = file.open(start=False)
    scheduler.repeated(10, target="declared", data=b"x")(file.run)
    scheduler.start()
    file.clock.advance(10)
    assert len(file.ran) == 1
    scheduler.close()
    with caplog.at_level(logging.WARNING, "duewheel"):
        scheduler = file.open(handles=["declared"])
    assert [record.getMessage() for record in caplog.records if "'declared'" in record.getMessage()] == [
        "declared repeats that this program does not declare are held back; cancel() forgets one: 'declared'"
    ]
    file.clock.advance(25)
    assert len(file.ran) == 1
    assert "does not declare" in scheduler.explain("declared")
    scheduler.close()
    scheduler = file.open(handles=[], start=False)
    scheduler.repeated(10, target="declared", data=b"x")(file.run)
    scheduler.start()
    file.clock.advance(0)
    assert dues(file) == [10, 30]
    assert scheduler.cancel("declared")
    scheduler.close()
    assert "declared" not in file.open()


def test_a_dead_occurrence_keeps_its_number_in_the_file(file):
    scheduler = file.open()

    def die(event):
        raise Discard("no")

    file.act = die
    scheduler.repeat(10, "t", b"data", id="r")
    file.clock.advance(20)
    scheduler = file.again()
    assert [dead.event.occurrence for dead in scheduler.dead()] == [2, 1]
    with pytest.raises(DuplicateJobError):
        scheduler.revive("r")
    scheduler.cancel("r")
    file.act = lambda event: None
    assert scheduler.revive("r")
    file.clock.advance(0)
    assert file.ran[-1].occurrence == 0
    assert "r" not in scheduler


def test_keys_seal_what_a_repeat_carries(tmp_path):
    keys = keyring(1, default=1)
    with closing(JobsFile(tmp_path / "jobs.db", keys=keys)) as file:
        scheduler = file.open()
        scheduler.repeat(10, "t", b"in no clear text", id="r")
        scheduler.repeat(10, "t", b"nor is this one", id="r")
        file.clock.advance(10)
        scheduler.close()
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"no clear text" not in stored
        assert b"nor is this" not in stored
        scheduler = file.open()
        file.clock.advance(10)
        assert file.data() == [b"nor is this one"] * 2
        assert KEY


def test_a_million_jobs_that_come_once_do_not_push_repeats_out(tmp_path):
    with closing(JobsFile(tmp_path / "jobs.db", resident=4, horizon=1)) as file:
        scheduler = file.open()
        scheduler.in_many([50.0] * 100, "t")
        for number in range(20):
            scheduler.repeat(10, "t", id=f"r{number}")
        file.clock.advance(10)
        assert len(file.ran) == 20
        scheduler = file.again(resident=4, horizon=1)
        assert len(list(scheduler.repeats())) == 20
        file.clock.advance(40)
        assert len(file.ran) == 20 * 5 + 100
        scheduler._check()
