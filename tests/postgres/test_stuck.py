"""Transactions that stay open: of somebody who has a table, and of a node that has gone silent in the middle of one."""

import contextlib
import threading
import time

import pg_server
import proxy
import pytest

from duewheel import PostgresStorage, Scheduler, StorageUnavailableError

OPTIONS = {"lease": 1.0, "poll": 0.05, "timeout": 0.5}


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_connections_that_are_given_up_are_closed(server, schema):
    """While somebody had the table, each node left one after the other open, until the server took no more."""
    psycopg = pytest.importorskip("psycopg", reason="LEFT OUT: psycopg is not installed")
    seen, most = set(), 0
    with contextlib.closing(Scheduler(PostgresStorage(server.url, schema=schema, **OPTIONS))) as scheduler:
        scheduler.handle("a", lambda event: None)
        scheduler.start()
        with psycopg.connect(server.url) as other, psycopg.connect(server.url, autocommit=True) as looks:
            other.execute(f"LOCK TABLE {schema}.job, {schema}.node IN ACCESS EXCLUSIVE MODE")
            ours = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL(%s)"
            known = [connection.info.backend_pid for connection in (other, looks)]

            def has_given_up():
                nonlocal most
                found = {pid for (pid,) in looks.execute(ours, [known])}
                most = max(most, len(found))
                seen.update(found)
                # Of looks and signs of life: a call would wait until it is known what became of it.
                return len(seen) >= 6

            wait_for(has_given_up)
            other.rollback()
        assert most <= 3, "one, and those of which the server has not heard yet"
        wait_for(lambda: works(scheduler))
        assert scheduler.wait(20)


def works(scheduler):
    with contextlib.suppress(StorageUnavailableError):
        return scheduler.in_(0, "a")


def test_a_look_that_was_cancelled_is_made_again(server, schema):
    """It was taken for the end of the store: nothing ran any more on that node, which kept what it held."""
    psycopg = pytest.importorskip("psycopg", reason="LEFT OUT: psycopg is not installed")
    with Scheduler(PostgresStorage(server.url, schema=schema)):
        pass  # the tables are there
    hasty = server.url + "?options=-c%20statement_timeout%3D200"
    with contextlib.closing(Scheduler(PostgresStorage(hasty, schema=schema, lease=4.0, poll=0.02))) as scheduler:
        scheduler.handle("a", lambda event: None)
        scheduler.start()
        with psycopg.connect(server.url) as other:
            other.execute(f"LOCK TABLE {schema}.job IN ACCESS EXCLUSIVE MODE")
            log = server.home / "log"
            wait_for(lambda: log.read_text().count("canceling statement due to statement timeout") >= 3)
            other.rollback()
        wait_for(lambda: works(scheduler))
        assert scheduler.wait(20)


def test_a_node_goes_on_whose_transaction_was_ended_by_the_server(url, schema):
    """It had been silent in the middle of one, and took the server's word for the end of the store."""
    between = proxy.Proxy(url)
    try:
        options = {**OPTIONS, "timeout": 20}
        with contextlib.closing(Scheduler(PostgresStorage(between.url, schema=schema, **options))) as scheduler:
            scheduler.handle("a", lambda event: None)
            scheduler.start()
            between.arm(lambda message: message.is_request and b"beat_v1" in message.body, proxy.STALL)
            wait_for(between.fired.is_set)
            scheduler.in_(0, "a")
            assert scheduler.wait(20)
    finally:
        between.close()


def test_what_a_node_held_that_went_silent_in_a_transaction_starts_elsewhere(nodes, url, schema, tmp_path):
    """Its transaction held its lease, and what holds a row is passed by: it was never taken over."""
    between = proxy.Proxy(url)
    options = {**OPTIONS, "timeout": 20}
    log = tmp_path / "log"
    log.touch()
    try:
        silent = nodes.start(between.url, schema, log, storage=options)
        with contextlib.closing(Scheduler(PostgresStorage(url, schema=schema, **options))) as scheduler:
            job = scheduler.in_(4, "work")
            held = f"SELECT count(*) FROM {schema}.job WHERE owner > 0"
            wait_for(lambda: pg_server.Psql(url).sql(held) == ["1"])
            begun = threading.Event()

            def is_end_of_a_statement_in_a_transaction(message):
                if message.is_request and message.kind == b"P" and b"beat_v1" in message.body:
                    begun.set()
                return message.is_request and message.kind == b"S" and begun.is_set()

            between.arm(is_end_of_a_statement_in_a_transaction, proxy.GONE)
            wait_for(between.fired.is_set)
            silent.kill()
            nodes.start(url, schema, log, storage=options)
            wait_for(lambda: f"end {job}" in log.read_text())
    finally:
        between.close()
