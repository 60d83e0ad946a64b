"""Nodes behind PgBouncer in transaction mode, which gives each transaction another connection of the server."""

import collections
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pg_server
import pooler
import pytest

HERE = Path(__file__).parent
LEASE = 1.5
ASKS_FOR_A_CONNECTION = "test_nodes_are_told_at_once_if_asked"
"""LISTEN is of a connection, which a node has not here."""


@pytest.fixture(scope="module")
def url(url):
    if pooler.PROGRAM is None:
        pytest.skip("LEFT OUT: there is no pgbouncer")
    between = pooler.Pooler(url)
    yield between.url
    between.stop()


def test_a_node_lives_and_ends(node, nodes, url, schema, tmp_path):
    """Nodes schedule from many threads, hold, renew their leases, are killed, are rescued from, and drain."""
    log = tmp_path / "log"
    web = node(lease=LEASE)
    killed = nodes.start(url, schema, log, storage={"lease": LEASE})
    ids = []

    def schedules():
        for n in range(20):
            ids.append(web.in_(n * 3 * LEASE / 20, "work"))

    threads = [threading.Thread(target=schedules) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(LEASE)
    assert len(web.nodes()) == 2
    killed.kill()
    other = nodes.start(url, schema, log, storage={"lease": LEASE})
    end = time.monotonic() + 30
    while len(web):
        assert time.monotonic() < end
        time.sleep(0.05)
    nodes.end(other)
    ended = collections.Counter(line.split()[1] for line in log.read_text().splitlines() if line.startswith("end"))
    assert set(ended) == set(ids)
    assert sum(ended.values()) <= len(ids) + 4  # as many as ran: the workers of the one that was killed


def test_a_pooler_gives_each_transaction_another_connection(url):
    """Else the other tests here would say nothing."""
    psycopg = pytest.importorskip("psycopg", reason="LEFT OUT: psycopg is not installed")

    def backend(connection):
        return connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()

    with psycopg.connect(url, autocommit=True) as one, psycopg.connect(url, autocommit=True) as other:
        before = backend(one)
        with other.transaction():
            assert backend(other) == before, "it was free"
            assert backend(one) != before


@pytest.mark.slow
def test_all_calls_are_as_without_it(url):
    but = f"not {ASKS_FOR_A_CONNECTION}"
    command = [sys.executable, "-m", "pytest", "-q", "-x", str(HERE / "test_calls.py"), "-k", but]
    done = subprocess.run(command, env={**os.environ, pg_server.VARIABLE: url}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
