"""Headers: what a job carries beside its data, from the call that schedules it to the dead, over every store."""

import asyncio
import copy
import pickle
import re
import sqlite3
from contextlib import closing

import pytest

from duewheel import Cron, Discard, Event, Job, JobOptions, Keyring, LocalStorage, NopScheduler, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

HEADERS = {"traceparent": "00-ab-cd-01", "ténant": "ü" * 50, "empty": ""}


@pytest.fixture
def clock():
    return ManualClock(1_000)


def schedulers(clock, place):
    yield Scheduler(clock=clock)
    yield Scheduler(place / "jobs.db", clock=clock)
    yield Scheduler(LocalStorage(place / "sealed.db", keys=Keyring({1: b"k" * 32}, default=1)), clock=clock)
    yield ReferenceScheduler(clock=clock)


def test_headers_come_with_the_job_wherever_it_is_seen(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        seen = []

        def handler(event, seen=seen):
            seen.append(dict(event.job.headers))
            raise Discard("enough")

        scheduler.handle("t", handler)
        scheduler.at(clock.now() + 1, "t", b"d", id="at", headers=HEADERS)
        scheduler.in_(1, "t", headers=HEADERS, retry_limit=1)
        ids = scheduler.in_many([1, 1], "t", headers=HEADERS)
        plain = scheduler.in_(1, "t")
        assert scheduler.get("at").job.headers == HEADERS
        assert [scheduler.get(id).job.headers for id in ids] == [HEADERS] * 2
        assert scheduler.get(plain).job.headers == {}
        assert [event.job.headers for event in scheduler.between()] == [HEADERS] * 4 + [{}]
        scheduler.start()
        clock.advance(2)
        assert seen == [HEADERS] * 4 + [{}]
        assert [dead.event.job.headers for dead in scheduler.dead()] == [{}] + [HEADERS] * 4
        assert scheduler.revive("at")
        assert scheduler.get("at").job.headers == HEADERS
        scheduler.close()


def test_a_repeat_has_headers_and_an_edit_changes_them(clock, tmp_path):
    for scheduler in schedulers(clock, tmp_path):
        seen = []
        scheduler.handle("t", lambda event, seen=seen: seen.append(dict(event.job.headers)))
        scheduler.start()
        for headers in (HEADERS, HEADERS, {"other": "1"}, None):
            scheduler.repeat(10, "t", id="r", headers=headers)
            assert scheduler.get("r").job.headers == (headers or {})
            clock.advance(10)
        assert seen == [HEADERS, HEADERS, {"other": "1"}, {}]
        scheduler.close()


def test_a_file_brings_them_back_and_leaves_them_in_the_clear(clock, tmp_path):
    storage = LocalStorage(tmp_path / "jobs.db", keys=Keyring({1: b"k" * 32}, default=1), horizon=10)
    with Scheduler(storage, clock=clock) as scheduler:
        scheduler.in_(5, "t", b"secret", id="near", headers=HEADERS)
        scheduler.in_(500, "t", b"secret", id="far", headers=HEADERS)
        scheduler.repeat(Cron("0 0 * * *"), "t", b"secret", id="again", headers=HEADERS)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as file:
        stored = file.execute("SELECT data, carried FROM job").fetchall()
    assert len(stored) == 3
    assert all(b"secret" not in data and b"traceparent" in carried for data, carried in stored)
    with Scheduler(storage, clock=clock) as scheduler:
        assert [scheduler.get(id).job.headers for id in ("near", "far", "again")] == [HEADERS] * 3


def test_the_mapping_is_read_only_and_copied(clock):
    given = dict(HEADERS)
    with Scheduler(clock=clock) as scheduler:
        scheduler.in_(1, "t", id="j", headers=given)
        given["later"] = "1"
        headers = scheduler.get("j").job.headers
        assert headers == HEADERS
        with pytest.raises(TypeError, match="does not support item assignment"):
            headers["more"] = "1"


def test_jobs_compare_by_headers_and_keep_them_when_copied():
    def job(headers):
        return Job("id", "t", 5, b"", JobOptions(), headers=headers)

    one = job({"a": "1", "b": "2"})
    assert one == job({"b": "2", "a": "1"})
    assert hash(one) == hash(job(None))
    assert one != job({"a": "1"})
    assert job({}) == job(None)
    assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == one
    assert pickle.loads(pickle.dumps(Event(one, run=2))).job.headers == {"a": "1", "b": "2"}
    assert repr(one).endswith(", headers={'a': '1', 'b': '2'})")
    assert "headers" not in repr(job(None))


def test_an_event_is_taken_in_with_its_headers(clock):
    with Scheduler(clock=clock) as scheduler:
        scheduler.storage.create(Event(Job("id", "t", 5, b"", JobOptions(), headers=HEADERS)))
        assert scheduler.get("id").job.headers == HEADERS


REFUSED = [
    (5, TypeError, "headers must be a mapping of str to str, not 5"),
    ([("a", "b")], TypeError, "headers must be a mapping of str to str, not [('a', 'b')]"),
    ({"a": 5}, TypeError, "headers must be a mapping of str to str, not of 'a' to 5"),
    ({5: "a"}, TypeError, "not of 5 to 'a'"),
    ({"a": b"b"}, TypeError, "not of 'a' to b'b'"),
    ({"a": "\ud800"}, ValueError, "valid Unicode, without lone surrogates"),
    ({"name": "x" * 4_093}, ValueError, "at most 4096 bytes of UTF-8 in names and texts, not 4097"),
    ({"ä": "ä" * 2_048}, ValueError, "not 4098: what is longer belongs into data"),
]


@pytest.mark.parametrize(("headers", "error", "message"), REFUSED)
def test_what_is_refused(clock, tmp_path, headers, error, message):
    for scheduler in schedulers(clock, tmp_path):
        calls = [
            lambda s=scheduler: s.at(5_000, "t", headers=headers),
            lambda s=scheduler: s.in_(5, "t", id="i", headers=headers),
            lambda s=scheduler: s.at_many([5_000], "t", headers=headers),
            lambda s=scheduler: s.in_many([5], "t", headers=headers),
            lambda s=scheduler: s.repeat(5, "t", headers=headers),
        ]
        for call in calls:
            with pytest.raises(error, match=re.escape(message)):
                call()
        assert len(scheduler) == 0
        scheduler.close()
    with pytest.raises(error, match=re.escape(message)):
        Job("id", "t", 5, b"", JobOptions(), headers=headers)


def test_as_many_bytes_as_may_be(clock, tmp_path):
    headers = {"name": "x" * 4_092}
    for scheduler in schedulers(clock, tmp_path):
        scheduler.in_(5, "t", id="i", headers=headers)
        assert scheduler.get("i").job.headers == headers
        scheduler.close()


def test_errors_name_the_public_call(clock):
    with Scheduler(clock=clock) as scheduler:
        with pytest.raises(TypeError, match=re.escape("Scheduler.in_() missing 1 required positional argument")):
            scheduler.in_(5, headers={})
        with pytest.raises(TypeError, match=re.escape("Scheduler.at() got an unexpected keyword argument 'header'")):
            scheduler.at(5_000, "t", headers={}, header={})
        with pytest.raises(TypeError, match="unexpected keyword argument 'headers'"):
            scheduler.timer(5, "t", headers={})


@pytest.mark.parametrize("in_file", [False, True])
def test_awaited(tmp_path, in_file):
    async def main():
        async with aio.Scheduler(tmp_path / "jobs.db" if in_file else None) as scheduler:
            await scheduler.in_(50, "t", id="in", headers=HEADERS)
            await scheduler.at(5e9, "t", id="at", headers=HEADERS)
            (id,) = await scheduler.in_many([50], "t", headers=HEADERS)
            await scheduler.repeat(50, "t", id="again", headers=HEADERS)
            for name in ("in", "at", id, "again"):
                assert (await scheduler.get(name)).job.headers == HEADERS

    asyncio.run(main())


def test_nothing_is_checked_where_scheduling_is_off():
    scheduler = NopScheduler()
    assert (
        scheduler.in_(5, "t", headers=5) == scheduler.at(5, "t", headers=5) == scheduler.repeat(5, "t", headers=5) == ""
    )


class Tracing:
    """Adds a header to each job, and notes for what."""

    def __init__(self):
        self.seen = []

    def scheduling(self, target, headers):
        self.seen.append((target, dict(headers)))
        headers["trace"] = f"{target}-{len(self.seen)}"


@pytest.mark.parametrize("in_file", [False, True])
def test_plugins_add_headers_where_a_job_is_scheduled(clock, tmp_path, in_file):
    first, second = Tracing(), Tracing()
    storage = tmp_path / "jobs.db" if in_file else None
    with Scheduler(storage, clock=clock, plugins=[first, second]) as scheduler:
        id = scheduler.in_(5, "a")
        assert scheduler.get(id).job.headers == {"trace": "a-1"}
        scheduler.at(5_000, "b", id="at", headers={"mine": "1"})
        assert scheduler.get("at").job.headers == {"mine": "1", "trace": "b-2"}
        ids = scheduler.in_many([1, 2], "c")
        assert [scheduler.get(id).job.headers for id in ids] == [{"trace": "c-3"}] * 2
        scheduler.repeat(5, "d", id="r")
        assert scheduler.get("r").job.headers == {"trace": "d-4"}
        assert first.seen == [("a", {}), ("b", {"mine": "1"}), ("c", {}), ("d", {})]
        assert second.seen[1] == ("b", {"mine": "1", "trace": "b-2"})


def test_a_plugin_that_raises_or_adds_what_is_none_changes_nothing(clock, caplog):
    class Raises:
        def scheduling(self, target, headers):
            headers["half"] = "1"
            raise ValueError("not today")

    class AddsNone:
        def scheduling(self, target, headers):
            headers["number"] = 5

    with Scheduler(clock=clock, plugins=[Raises(), AddsNone(), Tracing()]) as scheduler:
        scheduler.in_(5, "t", id="j", headers={"mine": "1"})
        assert scheduler.get("j").job.headers == {"mine": "1", "trace": "t-1"}
    told = [record.getMessage() for record in caplog.records if "scheduling" in record.getMessage()]
    assert len(told) == 2
