"""`connection=`: jobs that are there if the caller's transaction commits, over the drivers themselves."""

import asyncio
import contextlib
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from connections import ASYNC, SYNC, async_psycopg, dialect_url, left_out

import duewheel
from duewheel import (
    Consistency,
    DuplicateJobError,
    JobOptions,
    Keyring,
    PayloadTooLargeError,
    PostgresStorage,
    Scheduler,
    StateError,
    StorageUnavailableError,
    aio,
)


@pytest.fixture(params=SYNC, ids=lambda kind: kind.__name__)
def database(request, url):
    database = request.param(url)
    yield database
    database.close()


@pytest.fixture(params=ASYNC.values(), ids=ASYNC)
def connect(request):
    return request.param


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


OPTIONS = {
    "retry_limit": 3,
    "min_backoff": timedelta(microseconds=1_234_567),
    "max_backoff": 7.25,
    "age_limit": 0.1,
}


def test_a_job_is_there_if_the_transaction_commits(node, database):
    seen = []
    scheduler = node(handlers={"a": seen.append})
    lost = scheduler.in_(0, "a", b"lost", connection=database.connection)
    database.rollback()
    kept = scheduler.in_(0, "a", b"k\0pt", connection=database.connection)
    given = scheduler.at(time.time() + 0.1, "a", id="it%s:\"'", connection=database.connection, **OPTIONS)
    assert given == "it%s:\"'"
    time.sleep(0.5)
    assert not seen and scheduler.get(kept) is None
    database.commit()
    wait_for(lambda: len(seen) == 2)
    events = {event.job_id: event for event in seen}
    assert events[kept].data == b"k\0pt" and events[given].data == b""
    assert events[given].job.options == JobOptions(**OPTIONS, consistency=Consistency.AT_LEAST_ONCE)
    assert events[kept].job.options == JobOptions(
        retry_limit=5, min_backoff=1.0, max_backoff=3600.0, age_limit=None, consistency=Consistency.AT_LEAST_ONCE
    )
    time.sleep(0.5)
    assert lost not in {event.job_id for event in seen} and len(seen) == 2


def test_a_job_is_withdrawn_if_the_transaction_commits(node, database):
    scheduler = node()
    scheduler.in_(60, "a", id="x")
    assert scheduler.cancel("x", connection=database.connection) is True
    database.rollback()
    assert "x" in scheduler
    assert scheduler.cancel("x", connection=database.connection) is True
    assert scheduler.cancel("x", connection=database.connection) is False
    database.commit()
    assert "x" not in scheduler


def test_an_id_that_is_taken(node, database):
    scheduler = node()
    scheduler.in_(60, "a", id="x", connection=database.connection)
    with pytest.raises(DuplicateJobError, match="'x' is pending or running"), database.savepoint():
        scheduler.in_(60, "a", id="x", connection=database.connection)
    scheduler.in_(60, "a", id="y", connection=database.connection)
    database.commit()
    assert "x" in scheduler and "y" in scheduler
    with pytest.raises(DuplicateJobError):
        scheduler.in_(60, "a", id="x", connection=database.connection)
    database.rollback()


def test_a_savepoint_that_is_rolled_back_takes_its_jobs_along(node, database):
    scheduler = node()
    scheduler.in_(60, "a", id="x", connection=database.connection)
    with contextlib.suppress(KeyError), database.savepoint():
        scheduler.in_(60, "a", id="y", connection=database.connection)
        raise KeyError
    database.commit()
    assert "x" in scheduler and "y" not in scheduler


def test_coroutines(storage, url, connect):
    async def main():
        seen = []
        async with aio.Scheduler(storage()) as scheduler, connect(url) as (connection, commit, rollback, savepoint):
            scheduler.handle("a", lambda event: seen.append((event.job_id, event.data, event.job.options)))
            lost = await scheduler.in_(0, "a", connection=connection)
            await rollback()
            kept = await scheduler.in_(0, "a", b"kept", connection=connection, **OPTIONS)
            await scheduler.at(datetime.now(UTC) + timedelta(hours=1), "a", id="x", connection=connection)
            await asyncio.sleep(0.4)
            assert not seen
            await commit()
            while not seen:
                await asyncio.sleep(0.01)
            assert seen == [(kept, b"kept", JobOptions(**OPTIONS, consistency=Consistency.AT_LEAST_ONCE))]
            with pytest.raises(DuplicateJobError, match="'x' is pending or running"):
                async with savepoint():
                    await scheduler.in_(60, "a", id="x", connection=connection)
            await scheduler.in_(60, "a", id="y", connection=connection)
            with contextlib.suppress(KeyError):
                async with savepoint():
                    assert await scheduler.cancel("x", connection=connection) is True
                    raise KeyError
            assert await scheduler.cancel("z", connection=connection) is False
            await commit()
            assert (await scheduler.get("x"), await scheduler.get("y")) != (None, None)
            assert await scheduler.cancel("x", connection=connection) is True
            await commit()
            assert await scheduler.get("x") is None
            assert lost != kept and len(seen) == 1

    asyncio.run(main())


@pytest.fixture
def connection(url):
    psycopg = left_out("psycopg")
    with psycopg.connect(url) as connection:
        yield connection


def test_terms_are_exact(node, connection):
    scheduler = node()
    ns = 1_900_000_000_123_456_789
    numpy = left_out("numpy")
    spans = {"min_backoff": numpy.timedelta64(1, "ns"), "max_backoff": numpy.timedelta64(2**62 + 1, "ns")}
    for id, more in (("x", {}), ("y", {"connection": connection})):
        scheduler.at(numpy.datetime64(ns, "ns"), "a", b"", id=id, age_limit=numpy.timedelta64(3, "ns"), **spans, **more)
    connection.commit()
    x, y = scheduler.get("x"), scheduler.get("y")
    assert x.due == y.due == ns
    assert x.job.options == y.job.options
    assert y.job.options._max_backoff_ns == 2**62 + 1 and y.job.options._age_limit_ns == 3


def test_layers_of_options(storage, connection):
    own = JobOptions(retry_limit=9, max_backoff=90)
    scheduler = Scheduler(storage(), options=own)
    for id, more in (("x", {}), ("y", {"connection": connection})):
        scheduler.in_(60, "a", id=id, options=JobOptions(min_backoff=2, max_backoff=20), max_backoff=10, **more)
        scheduler.in_(60, "a", id=id + "1", options=JobOptions(consistency=Consistency.AT_MOST_ONCE), **more)
        scheduler.in_(60, "a", id=id + "2", retry_limit=None, age_limit=5, **more)
    connection.commit()
    for more in ("", "1", "2"):
        x, y = scheduler.get("x" + more), scheduler.get("y" + more)
        assert x.job.options == y.job.options
        assert abs(x.due - y.due) < 5e9
    assert scheduler.get("y").job.options == JobOptions(
        retry_limit=9, min_backoff=2, max_backoff=10, age_limit=None, consistency=Consistency.AT_LEAST_ONCE
    )
    scheduler.close()


def test_at_most_once_in_a_transaction_starts_once(node, connection):
    seen = []
    scheduler = node(handlers={"a": seen.append})
    for _ in range(20):
        scheduler.in_(0.2, "a", consistency=Consistency.AT_MOST_ONCE, connection=connection)
    connection.commit()
    assert scheduler.wait(20)
    assert len(seen) == 20


def test_another_node_runs_it(nodes, storage, url, schema, connection, tmp_path):
    nodes.start(url, schema, tmp_path / "log", storage={"poll": 0.05})
    web = Scheduler(storage())
    dropped = web.in_(0, "work", connection=connection)
    connection.rollback()
    id = web.in_(0, "work", connection=connection)
    connection.commit()
    wait_for(lambda: len(web) == 0)
    assert id in (tmp_path / "log").read_text() and dropped not in (tmp_path / "log").read_text()
    web.close()


def test_data_in_a_transaction_are_plain_and_are_read_beside_sealed_ones(node, connection, schema):
    seen = []
    scheduler = node(keys=Keyring({1: bytes(32)}, default=1), handlers={"a": lambda event: seen.append(event.data)})
    scheduler.in_(0.2, "a", b"sealed")
    scheduler.in_(0.2, "a", b"plain", connection=connection)
    connection.commit()
    kept = connection.execute(f"SELECT key, data FROM {schema}.job ORDER BY key").fetchall()
    assert kept[0][0] == 1 and kept[0][1] != b"sealed" and kept[1] == (None, b"plain")
    connection.commit()
    assert scheduler.wait(20)
    assert sorted(seen) == [b"plain", b"sealed"]


def test_what_a_call_refuses_is_refused_before_anything_is_sent(node, connection):
    scheduler = node(max_data=10)
    refused = [
        (ValueError, "naive", lambda c: scheduler.at(datetime(2030, 1, 1), "a", connection=c)),  # noqa: DTZ001
        (ValueError, "negative", lambda c: scheduler.in_(-1, "a", connection=c)),
        (TypeError, "bytes-like", lambda c: scheduler.in_(1, "a", "text", connection=c)),
        (
            PayloadTooLargeError,
            "at most 10 bytes .PostgresStorage's max_data.",
            lambda c: scheduler.in_(1, "a", b"0" * 11, connection=c),
        ),
        (ValueError, "id must have no NUL", lambda c: scheduler.in_(1, "a", id="a\0b", connection=c)),
        (ValueError, "target must have no NUL", lambda c: scheduler.in_(1, "a\0b", connection=c)),
        (ValueError, "id must have no NUL", lambda c: scheduler.cancel("a\0b", connection=c)),
        (ValueError, "1 to 255 bytes", lambda c: scheduler.cancel("", connection=c)),
        (TypeError, "target must be a str", lambda c: scheduler.in_(1, 7, connection=c)),
        (OverflowError, "out of range", lambda c: scheduler.in_(9e9, "a", connection=c)),
        (ValueError, "max_backoff", lambda c: scheduler.in_(1, "a", min_backoff=2, max_backoff=1, connection=c)),
        (TypeError, "'retries': it takes", lambda c: scheduler.in_(1, "a", retries=1, connection=c)),
        (TypeError, r"Scheduler.in_\(\) missing", lambda c: scheduler.in_(1, connection=c)),
        (ValueError, "cron", lambda c: scheduler.repeat("no cron", "a", connection=c)),
        (ValueError, "max_backoff", lambda c: scheduler.repeat(60, "a", min_backoff=2, max_backoff=1, connection=c)),
        (ValueError, "id must have no NUL", lambda c: scheduler.repeat(60, "a", id="a\0b", connection=c)),
        (TypeError, "unexpected keyword argument 'connection'", lambda c: scheduler.timer(60, "a", connection=c)),
    ]
    for error, why, call in refused:
        with pytest.raises(error, match=why):
            call(connection)
    assert connection.info.transaction_status.name == "IDLE"
    assert len(scheduler) == 0
    scheduler.close()
    for call in (scheduler.in_, scheduler.at):
        with pytest.raises(duewheel.ClosedError):
            call(1, "a", connection=connection)


def test_connections_that_are_of_no_use(node, url, connection):
    scheduler = node()
    for wrong in (url, object(), 7, connection.cursor()):
        with pytest.raises(TypeError, match="connection must be a psycopg 3"):
            scheduler.in_(1, "a", connection=wrong)
    sqlalchemy = left_out("sqlalchemy")
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as other, pytest.raises(TypeError, match="PostgreSQL, not to 'sqlite'"):
        scheduler.in_(1, "a", connection=other)
    engine.dispose()
    assert scheduler.in_(60, "a", id="x", connection=None) == "x"
    assert scheduler.at(time.time() + 60, "a", id="y", connection=None) == "y"
    assert scheduler.cancel("x", connection=None) is True


def test_a_repeat_is_there_if_the_transaction_commits(node, connection):
    ran = []
    scheduler = node(handlers={"a": lambda event: ran.append((event.data, event.occurrence))})
    scheduler.repeat(3600, "a", id="x", connection=connection)
    connection.rollback()
    assert scheduler.get_repeat("x") is None
    terms = {"count": 3, "catch_up": "all", "window": 60, "retry_limit": 7}
    assert scheduler.repeat(0.1, "a", b"data", id="x", **terms, connection=connection) == "x"
    made = scheduler.repeat("0 0 1 1 *", "a", tz="Europe/Berlin", spread=60, connection=connection)
    connection.commit()
    assert scheduler.get_repeat(made).next >= time.time_ns()
    end = time.monotonic() + 20
    while len(ran) < 3:
        assert time.monotonic() < end, ran
        time.sleep(0.02)
    assert ran == [(b"data", 1), (b"data", 2), (b"data", 3)]
    assert scheduler.cancel(made, connection=connection)
    connection.commit()
    assert scheduler.get_repeat(made) is None


def test_a_repeat_that_is_there_stays_as_it_is_or_is_changed_outside(node, connection):
    scheduler = node(start=False)
    for first in ({}, {"connection": connection}):
        id = scheduler.repeat(3600, "a", b"data", id=f"x{len(first)}", retry_limit=2, **first)
        connection.commit()
        before = repr(scheduler.get_repeat(id))
        assert scheduler.repeat(3600, "a", b"data", id=id, retry_limit=2, connection=connection) == id
        connection.commit()
        assert repr(scheduler.get_repeat(id)) == before
        for changed in ((60, "a", b"data"), (3600, "b", b"data"), (3600, "a", b"other")):
            with pytest.raises(DuplicateJobError, match=id):
                scheduler.repeat(*changed, id=id, retry_limit=2, connection=connection)
            connection.rollback()
        assert repr(scheduler.get_repeat(id)) == before
        assert scheduler.repeat(60, "a", b"data", id=id, retry_limit=2) == id


def test_a_repeat_in_a_transaction_that_is_awaited(storage, url):
    async def main():
        async with aio.Scheduler(storage()) as scheduler, async_psycopg(url) as (connection, commit, *_):
            await scheduler.repeat(3600, "a", id="x", connection=connection)
            assert await scheduler.get_repeat("x") is None
            await commit()
            assert (await scheduler.get_repeat("x")).target == "a"

    asyncio.run(main())


def test_an_async_connection_is_for_coroutines_alone(node, storage, url, connection):
    scheduler = node()

    async def main():
        async with async_psycopg(url) as (given, *_):
            with pytest.raises(TypeError, match=r"aio\.Scheduler"):
                scheduler.in_(1, "a", connection=given)
        async with aio.Scheduler(storage()) as waiting:
            with pytest.raises(TypeError, match=r"duewheel\.Scheduler with it, in a thread"):
                await waiting.in_(1, "a", connection=connection)
            with pytest.raises(TypeError, match=r"duewheel\.Scheduler with it, in a thread"):
                await waiting.repeat(60, "a", connection=connection)

    asyncio.run(main())
    assert len(scheduler) == 0


def test_without_a_database_there_is_no_transaction(connection, tmp_path):
    for storage in (None, tmp_path / "jobs.db"):
        with Scheduler(storage) as scheduler:
            for call in (scheduler.in_, scheduler.at):
                with pytest.raises(StateError, match="give it a PostgresStorage"):
                    call(1, "a", connection=connection)
            with pytest.raises(StateError, match="give it a PostgresStorage"):
                scheduler.cancel("a", connection=connection)
            assert scheduler.in_(60, "a", id="x", connection=None) == "x"
            assert scheduler.cancel("x", connection=None) is True

    async def main():
        async with aio.Scheduler() as scheduler:
            with pytest.raises(StateError, match="give it a PostgresStorage"):
                await scheduler.in_(1, "a", connection=connection)

    asyncio.run(main())


def test_the_connection_stays_as_it_was(node, connection):
    connection.execute("CREATE TEMPORARY TABLE mine (id int)")
    connection.commit()
    scheduler = node()
    connection.execute("SET LOCAL work_mem = '7MB'")
    connection.execute("INSERT INTO mine VALUES (1)")
    scheduler.in_(60, "a", id="x", connection=connection)
    assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
    assert connection.info.transaction_status.name == "INTRANS"
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    connection.rollback()
    connection.autocommit = True
    scheduler.in_(60, "a", id="x", connection=connection)
    assert "x" in scheduler


def test_a_schema_of_any_name(url, connection):
    schema = 'dw %s :p1 "x"'
    scheduler = Scheduler(duewheel.PostgresStorage(url, schema=schema))
    sqlalchemy = left_out("sqlalchemy")
    engine = sqlalchemy.create_engine(dialect_url(url, "psycopg"))
    try:
        with engine.begin() as other:
            scheduler.in_(60, "a", id="x", connection=other)
        scheduler.in_(60, "a", id="y", connection=connection)
        connection.commit()
        assert "x" in scheduler and "y" in scheduler
    finally:
        engine.dispose()
        scheduler.close()
        quoted = schema.replace('"', '""')
        connection.execute(f'DROP SCHEMA "{quoted}" CASCADE')
        connection.commit()


def test_a_unique_violation_of_another_statement_is_not_ours(node, connection):
    psycopg = left_out("psycopg")
    connection.execute("CREATE TEMPORARY TABLE mine (id int PRIMARY KEY)")
    connection.execute("INSERT INTO mine VALUES (1)")
    scheduler = node()

    def calls():
        with connection.pipeline():
            connection.execute("INSERT INTO mine VALUES (1)")
            scheduler.in_(60, "a", id="x", connection=connection)

    with pytest.raises(psycopg.errors.UniqueViolation):
        calls()
    connection.rollback()
    assert "x" not in scheduler


def test_a_transaction_that_stays_open_takes_no_lease(url, schema):
    psycopg = pytest.importorskip("psycopg")

    with (
        Scheduler(PostgresStorage(url, schema=schema, lease=2.0, name="one")) as one,
        Scheduler(PostgresStorage(url, schema=schema, lease=2.0, name="two")) as two,
        psycopg.connect(url) as open_one,
    ):
        one.in_(60, "a")
        two.in_(60, "a", id="x", connection=open_one)
        with pytest.raises(StorageUnavailableError, match="another transaction is in the way"):
            one.in_(60, "a", id="x")
        two.in_(60, "new", connection=open_one)
        waiting = threading.Thread(target=lambda: one.in_(60, "new"))
        waiting.start()
        waiting.join(4)
        assert waiting.is_alive()
        assert [node.name for node in two.nodes()] == ["one", "two"]
        open_one.rollback()
        waiting.join(20)
        assert len(one) == 2


def test_a_short_statement_timeout_of_the_role_ends_nothing_that_waits_for_a_lock(url, schema, connection):
    strict = f"{url}{'&' if '?' in url else '?'}options=-c%20statement_timeout%3D250"
    with Scheduler(PostgresStorage(strict, schema=schema)) as scheduler:
        id = scheduler.in_(60, "a")
        connection.execute(f"SELECT FROM {schema}.job FOR UPDATE")
        ends = threading.Timer(0.6, connection.rollback)
        ends.start()
        assert scheduler.cancel(id)
        ends.join()
