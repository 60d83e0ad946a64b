"""The calls of a scheduler over PostgreSQL, by one node or two in a process."""

import asyncio
import gc
import os
import subprocess
import threading
import time
from datetime import timedelta

import pg_server
import pytest

import duewheel
from duewheel import (
    Consistency,
    DuplicateJobError,
    Keyring,
    PostgresStorage,
    Scheduler,
    StateError,
    StorageError,
    StorageUnavailableError,
    StorageVersionError,
    WrongKeyError,
    aio,
    postgres,
)


def test_a_job_is_scheduled_and_runs(node):
    seen = []
    scheduler = node(handlers={"a": seen.append})
    id = scheduler.in_(0.5, "a", b"data", retry_limit=2)
    assert scheduler.get(id).data == b"data"
    assert id in scheduler and len(scheduler) == 1
    assert scheduler.wait(20)
    (event,) = seen
    assert (event.job_id, event.data, event.run, event.attempt) == (id, b"data", 1, 1)
    assert event.lateness >= 0
    assert event.job.options.retry_limit == 2
    assert id not in scheduler and len(scheduler) == 0


def test_a_url_stands_for_a_storage(url):
    assert url.startswith("postgresql://")
    with Scheduler(url) as scheduler:
        assert len(scheduler) >= 0


def test_a_failure_is_retried_and_a_death_is_kept(node):
    attempts = []

    def fails(event):
        attempts.append((event.run, event.attempt))
        raise ValueError("no")

    scheduler = node(handlers={"a": fails})
    scheduler.in_(0, "a", id="x", retry_limit=2, min_backoff=0.01, max_backoff=0.01)
    assert scheduler.wait(20)
    assert attempts == [(1, 1), (2, 2), (3, 3)]
    (dead,) = scheduler.dead()
    assert (dead.event.job_id, dead.reason) == ("x", "failed")
    assert "ValueError: no" in dead.error
    assert scheduler.revive("x")
    assert scheduler.wait(20)
    assert attempts[3:] == [(4, 1), (5, 2), (6, 3)]
    assert scheduler.purge(ids=["y"]) == scheduler.purge(0, ids=["x"]) == 0
    assert scheduler.purge(ids=["y", "x"]) == 1 and not list(scheduler.dead())
    assert scheduler.purge() == 0
    stats = scheduler.stats()
    assert (stats.retried, stats.dead, stats.revived) == (4, 2, 1)


def test_ids_are_unique_over_nodes(node):
    one, other = node(), node()
    one.in_(60, "a", id="x")
    with pytest.raises(DuplicateJobError, match="'x'"):
        other.in_(60, "a", id="x")
    assert other.cancel("x")
    assert not one.cancel("x")
    other.in_(60, "a", id="x")


def test_ids_of_any_kind_are_found_again(node):
    scheduler = node()
    for id in ["j", "ünï", "0" * 255, "01890000-0000-7000-8000-00000000000A", "a/b c"]:
        assert scheduler.in_(60, "a", id=id) == id
        assert scheduler.get(id).job_id == id
        assert scheduler.reschedule(id, time.time() + 90)
        assert scheduler.cancel(id)
    with pytest.raises(ValueError, match="NUL"):
        scheduler.in_(60, "a", id="a\0b")
    with pytest.raises(ValueError, match="NUL"):
        scheduler.in_(60, "a\0b")
    assert len(scheduler) == 0


def test_every_node_sees_the_whole_store(node):
    one, other = node(handlers={"b": print}), node()
    due = int(time.time()) + 1_000
    ids = list(one.at_many([due + n for n in range(2_500)], "a"))
    assert len(other) == 2_500
    assert [event.job_id for event in other.between()] == ids
    assert other.next().job_id == ids[0]
    assert [event.job_id for event in other.between(due + 5, due + 8)] == ids[5:8]
    assert other.cancel_many(ids[:100]) == 100
    assert len(one) == 2_400
    assert one.reschedule(ids[200], due - 5)
    assert other.next().due == (due - 5) * 10**9


def test_a_node_without_handlers_claims_nothing(node):
    web = node()
    seen = []
    ids = [web.in_(0, "a") for _ in range(5)]
    time.sleep(0.6)
    assert len(web) == 5
    node(handlers={"a": lambda event: seen.append(event.job_id)})
    while len(seen) < 5:
        time.sleep(0.01)
    assert sorted(seen) == sorted(ids)


@pytest.mark.parametrize("by_sql", [False, True])
def test_nodes_are_told_at_once_if_asked(node, url, schema, by_sql):
    told = threading.Event()
    worker = node(poll=60.0, notify=True, handlers={"a": lambda event: told.set()})
    web = node(notify=True)
    assert not told.wait(1.0)  # it has looked
    if by_sql:
        pg_server.Psql(url).sql(f"SELECT {schema}.schedule('a', delay => '0 s')")
    else:
        web.in_(0, "a")
    assert told.wait(20)
    assert worker.wait(20)


def test_a_node_that_drains_or_closes_gives_its_jobs_back(node):
    done = threading.Semaphore(0)
    one = node(handlers={"a": lambda event: done.release()})
    due = time.time() + 1.5
    one.at_many([due] * 50, "a")
    time.sleep(0.5)  # it has claimed them
    other = node(handlers={"a": lambda event: done.release()}, start=False)
    assert one.drain(10)
    other.start()
    for _ in range(50):
        assert done.acquire(timeout=20)
    assert other.stats().succeeded == 50
    assert one.stats().started == 0


def test_at_most_once_runs_once(node):
    seen = []
    scheduler = node(handlers={"a": seen.append})
    ids = list(scheduler.in_many([0] * 200, "a", consistency=Consistency.AT_MOST_ONCE))
    assert scheduler.wait(30)
    assert sorted(event.job_id for event in seen) == sorted(ids)


def test_a_handler_may_schedule_and_cancel(node):
    seen = []
    scheduler = node()

    @scheduler.handler("a")
    def a(event):
        seen.append("a")
        scheduler.in_(0, "b", id="next")
        scheduler.in_(60, "b", id="never")
        assert scheduler.cancel("never")

    scheduler.handle("b", lambda event: seen.append("b"))
    scheduler.in_(0, "a")
    assert scheduler.wait(20)
    assert seen == ["a", "b"]


def test_data_are_sealed(node, storage, url):
    keys = Keyring({1: bytes(32)}, default=1)
    seen = []
    scheduler = node(keys=keys, handlers={"a": lambda event: seen.append(event.data)})
    scheduler.in_(0.2, "a", b"secret")
    with pytest.raises(WrongKeyError):
        Scheduler(storage())
    with pytest.raises(WrongKeyError):
        Scheduler(storage(keys=Keyring({1: bytes(range(32))}, default=1)))
    assert scheduler.wait(20)
    assert seen == [b"secret"]


def test_aio(storage):
    async def main():
        seen = []
        async with aio.Scheduler(storage()) as scheduler:

            async def handler(event):
                await asyncio.sleep(0)
                seen.append(event.job_id)

            scheduler.handle("a", handler)
            id = await scheduler.in_(1, "a")
            assert (await scheduler.get(id)).job_id == id
            assert await scheduler.count() == 1
            assert [event.job_id async for event in scheduler.between()] == [id]
            assert await scheduler.wait(20)
            assert seen == [id]
            await scheduler.in_many([60] * 3, "a")
            assert await scheduler.count() == 3

    asyncio.run(main())


def test_a_server_that_is_not_there(schema):
    storage = PostgresStorage("postgresql://nobody@127.0.0.1:1/nothing", timeout=0.3)
    with pytest.raises(StorageUnavailableError, match="refused"):
        Scheduler(storage)


def test_tables_that_may_not_be_made(storage, url, schema):
    with pytest.raises(StorageVersionError, match=r"postgres\.sql"):
        Scheduler(storage(migrate=False))
    assert schema in postgres.sql(schema)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://h/db?colour=red", "'colour'|\"colour\""),
        ("host=h port=five", "port must be a whole number"),
        ("postgresql://h/db?sslmode=maybe", "sslmode must be"),
    ],
)
def test_connection_strings_that_are_wrong(url, why):
    with pytest.raises(StorageError, match=why):
        Scheduler(PostgresStorage(url, timeout=0))


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"url": 5}, TypeError, "url must be a str"),
        ({"schema": ""}, ValueError, "schema must be a text"),
        ({"schema": "x" * 64}, ValueError, "63 bytes"),
        ({"name": b"n"}, TypeError, "name must be a str"),
        ({"keys": {}}, TypeError, "keys must be a Keyring"),
        ({"migrate": 1}, TypeError, "migrate must be a bool"),
        ({"notify": "yes"}, TypeError, "notify must be a bool"),
        ({"lease": 0.5}, ValueError, r"lease must be at least 1\.0 s"),
        ({"poll": 0}, ValueError, r"poll must be at least 0\.01 s"),
        ({"window": -1}, ValueError, "window"),
        ({"timeout": "5"}, TypeError, "timeout"),
        ({"resident": 0}, ValueError, "resident"),
        ({"max_interruptions": 0}, ValueError, "max_interruptions"),
        ({"max_data": -1}, ValueError, "max_data"),
        ({"colour": 1}, TypeError, "colour"),
    ],
)
def test_what_a_description_refuses(options, error, why):
    with pytest.raises(error, match=why):
        PostgresStorage(**options)


def test_a_description_shows_no_password():
    storage = PostgresStorage("postgresql://app:secret@h/db", name="web", window=timedelta(seconds=5))
    assert repr(storage) == "PostgresStorage(schema='duewheel', name='web')"


def test_the_adapter(url, schema):
    config = duewheel.Config(adapter="postgres", config={"url": url, "schema": schema, "workers": "2", "name": "n"})
    with duewheel.adapters.new(config) as scheduler:
        scheduler.in_(60, "a")
        assert len(scheduler) == 1
    for wrong, why in [({"url": ""}, "url"), ({"db": "x"}, "unknown 'db'"), ({"url": url, "workers": 0}, "workers")]:
        with pytest.raises(duewheel.ConfigError, match=why):
            duewheel.adapters.new(duewheel.Config(adapter="postgres", config=wrong))


def test_what_a_database_does_not_do(node, tmp_path):
    scheduler = node()
    with pytest.raises(StateError, match="pg_dump"):
        scheduler.backup(tmp_path / "copy")
    with pytest.raises(StateError, match="memory"):
        scheduler.timer(5, "a")


def test_jobs_scheduled_by_sql(node, url, schema):
    seen = []
    scheduler = node(handlers={"a": lambda event: seen.append((event.job_id, event.data, event.job.options))})
    server = pg_server.Psql(url)
    (generated,) = server.sql(f"SELECT {schema}.schedule('a', delay => '0.1 s', data => 'x', retry_limit => 2)")
    (given,) = server.sql(f"SELECT {schema}.schedule('a', due => now() + interval '1 h', id => 'ünï')")
    assert given == "ünï"
    assert scheduler.get("ünï").target == "a"
    assert server.sql(f"SELECT {schema}.cancel('ünï')") == ["t"]
    assert server.sql(f"SELECT {schema}.cancel('ünï')") == ["f"]
    end = time.monotonic() + 20
    while not seen:
        assert time.monotonic() < end
        time.sleep(0.01)
    ((id, data, options),) = seen
    assert (id, data) == (generated, b"x")
    assert (options.retry_limit, options.min_backoff, options.max_backoff) == (2, 1.0, 3600.0)
    for wrong in [
        "''",
        "'a', delay => '-1 s'",
        "'a', due => now(), delay => '1 s'",
        "'a'",
        "'a', delay => '1 s', id => ''",
    ]:
        with pytest.raises(subprocess.CalledProcessError):
            server.sql(f"SELECT {schema}.schedule({wrong})")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
def test_a_forked_child_leaves_the_connection_alone(node):
    scheduler = node()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            scheduler.in_(60, "a")
        except duewheel.ForkedError:
            status = 0
        scheduler = None
        gc.collect()
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert scheduler.in_(60, "a") in scheduler
