"""Replies that are lost, and transactions that arrive late: each call is answered as if neither had happened."""

import time

import pg_server
import proxy
import pytest

from duewheel import Consistency, PostgresStorage, Scheduler

OPTIONS = {"poll": 0.05, "lease": 20.0, "timeout": 20.0}
ONCE = {"consistency": Consistency.AT_MOST_ONCE}


@pytest.fixture
def between(url):
    """A proxy before the server."""
    between = proxy.Proxy(url)
    yield between
    between.close()


@pytest.fixture
def far(between, schema):
    """A node whose connection goes through the proxy."""
    far = Scheduler(PostgresStorage(between.url, schema=schema, **OPTIONS))
    yield far
    far.close()


@pytest.fixture
def near(far, url, schema):
    near = Scheduler(PostgresStorage(url, schema=schema, **OPTIONS))
    yield near
    near.close()


@pytest.fixture
def rows(url, schema):
    server = pg_server.Psql(url)
    return lambda what: server.sql(f"SELECT {what} FROM {schema}.job ORDER BY id")


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def says(text):
    return lambda message: message.is_request and text in message.body


@pytest.mark.parametrize("by_sql", [False, True])
def test_a_job_that_was_cancelled_before_its_mark_starts_nowhere(between, far, near, rows, url, schema, by_sql):
    started = []
    far.handle("a", started.append)
    far.start()
    id = near.in_(1.5, "a", id="x", **ONCE)
    wait_for(lambda: rows("owner IS NOT NULL") == ["t"])
    between.arm(says(b"SET begun = x.at"), proxy.MUTE)
    if by_sql:
        assert pg_server.Psql(url).sql(f"SELECT {schema}.cancel('{id}')") == ["t"]
    else:
        assert near.cancel(id)
    assert between.fired.wait(20)
    assert far.wait(20)
    time.sleep(0.5)  # it has reconnected by now
    assert started == []


def test_a_mark_that_was_made_counts_though_its_reply_is_lost(between, far, rows):
    started = []
    far.handle("a", started.append)
    far.start()
    far.in_(0.5, "a", **ONCE)
    wait_for(lambda: rows("owner IS NOT NULL") == ["t"])
    between.arm(says(b"SET begun = x.at"), proxy.MUTE)
    assert far.wait(20)
    assert between.fired.is_set() and len(started) == 1
    assert not list(far.dead())


@pytest.mark.parametrize("text", [b"SET LOCAL", b"beat_v1("])
def test_a_transaction_that_arrives_late_does_nothing(between, far, near, text):
    far.in_(60, "a", id="x")
    between.arm(says(text), proxy.LATE)
    assert far.cancel("x")
    assert between.fired.is_set()
    far.in_(60, "a", id="x")
    between.deliver_late()
    assert "x" in far and "x" in near


def test_a_revival_is_known_though_its_reply_is_lost(between, far):
    runs = []

    def fails(event):
        runs.append(event.run)
        raise ValueError

    far.handle("a", fails)
    far.start()
    far.in_(0, "a", id="x", retry_limit=0)
    assert far.wait(20)
    for text in (b"revive_v1", b"WHERE j.id = $1"):  # the revival, and the look at what was revived
        between.arm(says(text), proxy.MUTE)
        assert far.revive("x") is True
        assert between.fired.is_set()
        assert far.wait(20)
    assert runs == [1, 2, 3]
    assert len(list(far.dead())) == 1


def test_an_end_is_kept_though_its_reply_is_lost(between, far, near):
    runs = []
    far.handle("a", lambda event: runs.append(event.run) or event.data)
    far.start()
    between.arm(says(b".outcome (id, name"), proxy.MUTE)
    near.in_(0, "a", b"data", id="x", keep=60)
    outcome = near.outcome("x", 20)
    assert between.fired.wait(20)
    assert far.wait(20)
    assert far.outcome("x") == outcome and outcome.result == b"data"
    assert runs == [1]


def test_a_count_is_known_though_its_reply_is_lost(between, far):
    far.handle("a", lambda event: 1 / 0)
    far.start()
    ids = far.in_many([0] * 8, "a", retry_limit=0)
    assert far.wait(20)
    between.arm(says(b"DELETE FROM"), proxy.MUTE)
    assert far.purge(ids=ids[:3]) == 3
    assert between.fired.is_set()
    between.arm(says(b"DELETE FROM"), proxy.MUTE)
    assert far.purge() == 5
    assert between.fired.is_set() and not list(far.dead())


def test_a_node_that_closes_gives_back_at_once_though_a_reply_is_lost(between, far, near, url, schema, rows):
    far.handle("a", print)
    far.start()
    far.in_(9, "a")
    wait_for(lambda: rows("owner IS NOT NULL") == ["t"])
    between.arm(says(b"SET lease_until = '-infinity'"), proxy.MUTE)
    far.close()
    assert between.fired.is_set()
    assert rows("owner IS NULL") == ["t"]
    assert len(near.nodes()) == 1


def test_a_lease_whose_reply_is_lost_leaves_no_node(between, url, schema):
    between.arm(says(b"INSERT INTO"), proxy.MUTE)
    with Scheduler(PostgresStorage(url, schema=schema)):
        pass  # it makes the tables
    between.arm(says(b".epoch'), $1"), proxy.MUTE)
    with Scheduler(PostgresStorage(between.url, schema=schema, **OPTIONS)) as far:
        assert between.fired.is_set()
        assert len(far.nodes()) == 1


@pytest.mark.parametrize("sooner", [True, False])
def test_a_job_that_is_held_and_moved_runs(far, rows, sooner):
    started = []
    far.handle("a", started.append)
    far.start()
    id = far.in_(4, "a")
    wait_for(lambda: rows("owner IS NOT NULL") == ["t"])
    assert far.reschedule(id, time.time() + (0.5 if sooner else 4.5))
    assert far.wait(20)
    assert len(started) == 1
