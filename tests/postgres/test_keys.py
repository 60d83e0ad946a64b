"""Payloads that are sealed before they leave the process: keys, wrong ones, and rotation under other nodes' eyes."""

import contextlib
import threading
import time

import pg_server
import pytest

from duewheel import ClosedError, Keyring, PostgresStorage, Scheduler, StorageCorruptError, StorageError, WrongKeyError

OLD, NEW = b"o" * 32, b"n" * 32
BEFORE = Keyring({1: OLD}, default=1)
BOTH = Keyring({1: OLD, 2: NEW}, default=2)
AFTER = Keyring({2: NEW}, default=2)


@pytest.fixture
def psql(url):
    return pg_server.Psql(url).sql


def keys_of(psql, schema):
    """How many rows are under each key, of jobs and of dead ones; 0: plain."""
    rows = psql(
        f"WITH x AS (SELECT key FROM {schema}.job UNION ALL SELECT key FROM {schema}.dead) "
        "SELECT coalesce(key, 0), count(*) FROM x GROUP BY 1 ORDER BY 1"
    )
    return {int(key): int(count) for key, count in (row.split("|") for row in rows)}


def fails(event):
    raise ValueError("no")


def test_all_is_under_the_new_key_and_is_read_with_it_alone(node, psql, schema):
    one = node(keys=BEFORE, handlers={"dead": fails})
    ids = list(one.in_many([3_600.0] * 600, "a", [b"data %d" % n for n in range(600)]))
    ids.append(one.in_(3_600, "a", b"given", id="given"))
    one.in_(0, "dead", b"died", id="died", retry_limit=0)
    end = time.monotonic() + 20
    while not list(one.dead()):
        assert time.monotonic() < end
        time.sleep(0.02)
    plain = psql(f"SELECT {schema}.schedule('a', delay => '1 h', data => 'plain')")[0]
    one.close()
    with pytest.raises(WrongKeyError, match="key 1"):
        node(keys=AFTER)
    other = node(keys=BOTH)
    told = []
    other.rotate(lambda *progress: told.append(progress))
    assert keys_of(psql, schema) == {2: 603}
    assert told and told[-1][0] <= told[-1][1] == 603 and sorted(told) == told
    other.close()
    seen = []
    last = node(keys=AFTER, handlers={"dead": lambda event: seen.append(event.data)})
    assert [last.get(id).data for id in ids[:600]] == [b"data %d" % n for n in range(600)]
    assert (last.get("given").data, last.get(plain).data) == (b"given", b"plain")
    assert [dead.event.data for dead in last.dead()] == [b"died"] and last.revive("died")
    while not seen:
        assert time.monotonic() < end + 20
        time.sleep(0.02)
    assert seen == [b"died"]
    for wrong in (BEFORE, None, Keyring({2: OLD}, default=2)):
        with pytest.raises(WrongKeyError):
            node(keys=wrong)


def test_what_was_cut_off_goes_on(node, psql, schema):
    scheduler = node(keys=BEFORE)
    scheduler.in_many([3_600.0] * 5_000, "a", [b"data"] * 5_000)
    scheduler.close()

    class Enough(Exception):
        pass

    def cut_off(done, all):
        raise Enough

    scheduler = node(keys=BOTH)
    with pytest.raises(Enough):
        scheduler.rotate(cut_off)
    scheduler.close()
    half = keys_of(psql, schema)
    assert half.get(2, 0) and sum(half.values()) == 5_000
    scheduler = node(keys=BOTH)
    assert {event.data for event in scheduler.between()} == {b"data"}
    scheduler.rotate()
    assert keys_of(psql, schema) == {2: 5_000}


def test_jobs_are_scheduled_and_run_meanwhile_here_and_elsewhere(node, psql, schema):
    """The other node has both keys, and encrypts under the old one until it is opened anew."""
    other = node(keys=Keyring({1: OLD, 2: NEW}, default=1))
    seen = []
    here = node(keys=BOTH, handlers={"run": lambda event: seen.append(event.data)})
    other.in_many([3_600.0] * 1_000, "a", [b"kept"] * 1_000)
    stop = threading.Event()
    scheduled = []

    def schedules(scheduler):
        while not stop.is_set():
            scheduler.in_(0.1, "run", b"run")
            scheduled.append(scheduler.in_(3_600, "a", b"kept"))

    threads = [threading.Thread(target=schedules, args=(scheduler,)) for scheduler in (here, other)]
    for thread in threads:
        thread.start()
    with contextlib.suppress(StorageError):  # the other was quicker, each time
        here.rotate()
    stop.set()
    for thread in threads:
        thread.join()
    other.close()
    here.rotate()
    assert set(keys_of(psql, schema)) == {2}
    assert {event.data for event in here.between() if event.target == "a"} == {b"kept"}
    end = time.monotonic() + 20
    while len(seen) < len(scheduled):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert set(seen) == {b"run"}


def test_a_row_that_cannot_be_read_is_passed_by_and_named(node, psql, schema):
    scheduler = node(keys=BEFORE)
    scheduler.in_(3_600, "a", b"whole")
    scheduler.in_(3_600, "a", b"torn", id="torn")
    scheduler.close()
    psql(f"UPDATE {schema}.job SET data = '\\x00' WHERE name = 'torn'")
    scheduler = node(keys=BOTH)
    with pytest.raises(StorageCorruptError, match=r'1 rows cannot be read.*"torn"'):
        scheduler.rotate()
    assert keys_of(psql, schema) == {1: 1, 2: 1}
    assert scheduler.cancel("torn")
    scheduler.rotate()
    scheduler.close()
    node(keys=AFTER)


def test_there_is_nothing_to_rotate_to_without_keys(node):
    with pytest.raises(WrongKeyError, match="no keyring"):
        node().rotate()


def test_a_rotation_ends_when_the_scheduler_is_closed(url, schema):
    with Scheduler(PostgresStorage(url, schema=schema, keys=BEFORE)) as scheduler:
        scheduler.in_many([3_600.0] * 5_000, "a", [b"data"] * 5_000)
    scheduler = Scheduler(PostgresStorage(url, schema=schema, keys=BOTH))
    closing = threading.Thread(target=scheduler.close)
    began = time.monotonic()

    def close(done, all):
        if not closing.ident:
            closing.start()

    def rotate():
        while True:
            scheduler.rotate(close)

    with pytest.raises(ClosedError):
        rotate()
    closing.join()
    assert time.monotonic() - began < 30
