"""`keep=` and `outcome(id)` over nodes: how a job ended, seen on any of them, and its id taken for all."""

import asyncio
import signal
import threading
import time

import pg_server
import pytest
from connections import ASYNC, SYNC
from waiting import PATIENCE_S, until

import duewheel
from duewheel import (
    ClosedError,
    Consistency,
    Discard,
    DuplicateJobError,
    Keyring,
    Outcome,
    PayloadTooLargeError,
    StateError,
    WrongKeyError,
    aio,
)

FAR = 3_600
WAITS = 4 * PATIENCE_S
SOON = {"poll": 0.05}
AT_MOST_ONCE = {"consistency": Consistency.AT_MOST_ONCE}
RETRIES = {"retry_limit": 1, "min_backoff": 0.05, "max_backoff": 0.05}


@pytest.fixture
def psql(url):
    return pg_server.Psql(url).sql


@pytest.fixture
def holds(psql, schema):
    """Waits until so many jobs are held by a node."""
    return lambda count: until(
        lambda: psql(f"SELECT count(*) FROM {schema}.job WHERE owner IS NOT NULL") == [str(count)]
    )


@pytest.fixture
def expire(psql, schema):
    """Has all that is kept be kept no longer; the rows are there until they are swept."""
    return lambda: psql(f"UPDATE {schema}.outcome SET until = 0")


def returns(event):
    return event.data * 2


def raises(error):
    def handler(event):
        raise error

    return handler


def fails_at_first(event):
    if event.attempt == 1:
        raise ValueError("not yet")
    return b"second"


class Later:
    """What a thread of its own has come to."""

    def __init__(self, call):
        self.found = self.error = None

        def run():
            try:
                self.found = call()
            except Exception as error:
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def result(self):
        self.thread.join(WAITS)
        if self.error is not None:
            raise self.error
        return self.found


def test_an_end_on_another_node_is_seen_and_is_there_after_that_was_killed(node, nodes, url, schema, tmp_path):
    worker = nodes.start(url, schema, tmp_path / "log", storage=SOON)
    web = node(**SOON)
    ids = [
        *web.in_many([0] * 100, "work", [b"%d" % n for n in range(100)], keep=FAR),
        web.in_(0, "work", b"100", id="given", keep=FAR),
    ]
    seen = [web.outcome(id, WAITS) for id in ids]
    worker.send_signal(signal.SIGKILL)
    assert [(outcome.state, outcome.result) for outcome in seen] == [("succeeded", b"%d" % n) for n in range(101)]
    assert all(abs(outcome.ended - time.time_ns()) < FAR * 10**9 for outcome in seen)
    other = node()
    assert [other.outcome(id) for id in ids] == seen
    for scheduler in (web, other):
        with pytest.raises(DuplicateJobError, match="'given'"):
            scheduler.in_(0, "work", id="given")


def test_every_end_is_kept_and_seen_by_all(node):
    worker = node(
        handlers={
            "returns": returns,
            "fails": raises(ValueError("no card\0")),
            "discards": raises(Discard("enough")),
            "retries": fails_at_first,
            "none": lambda event: None,
            "wrong": lambda event: 5,
        },
        **SOON,
    )
    web = node(**SOON)
    ids = ("returns", "fails", "discards", "retries", "none", "wrong")
    for n, id in enumerate(ids):
        (web, worker)[n % 2].in_(0, id, b"d", id=id, keep=FAR, **RETRIES)
    found = {id: web.outcome(id, WAITS) for id in ids}
    assert found == {id: worker.outcome(id) for id in found}
    results = {id: outcome.result for id, outcome in found.items() if outcome.state == "succeeded"}
    assert results == {"returns": b"dd", "retries": b"second", "none": b""}
    reasons = {id: outcome.reason for id, outcome in found.items() if outcome.state == "dead"}
    assert reasons == {"fails": "failed", "discards": "discarded", "wrong": "failed"}
    assert found["fails"].error.rstrip().endswith("ValueError: no card\ufffd")
    assert found["discards"].error == "enough"
    assert "must return bytes-like or None" in found["wrong"].error
    assert worker.purge() == 3
    assert web.outcome("discards") == found["discards"], "purge leaves outcomes as they are"


def test_an_id_is_taken_for_all_until_what_is_kept_is_kept_no_longer(node, url, schema, psql, expire):
    worker, web = node(handlers={"t": returns}, **SOON), node(**SOON)
    assert worker.in_(0, "t", b"1", id="j", keep=FAR) == "j"
    assert web.outcome("j", WAITS).result == b"11"
    psycopg = pytest.importorskip("psycopg", reason="LEFT OUT: psycopg is not installed")
    for scheduler in (worker, web):
        for on_conflict in ("error", "update", "replace"):
            with pytest.raises(DuplicateJobError, match="its outcome is kept"):
                scheduler.in_(0, "t", b"2", id="j", on_conflict=on_conflict)
        with pytest.raises(DuplicateJobError):
            scheduler.repeat(FAR, "t", id="j")
        for call in (scheduler.in_, scheduler.repeat):
            with psycopg.connect(url) as connection, pytest.raises(DuplicateJobError):
                call(FAR, "t", id="j", connection=connection)
        assert scheduler.in_(0, "t", b"3", id="j", on_conflict="ignore") == "j"
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.UniqueViolation, match="is kept"):
        connection.execute(f"SELECT {schema}.schedule('t', delay => '0 s', id => 'j')")
    assert (len(web), "j" in web, web.stats().scheduled, worker.stats().scheduled) == (0, False, 0, 1)
    assert web.outcome("j").result == b"11"
    expire()
    for scheduler in (worker, web):
        with pytest.raises(LookupError, match="no outcome of one is kept"):
            scheduler.outcome("j")
    for n, taken in enumerate(
        (
            lambda data: web.in_(0, "t", data, id="j", keep=FAR),
            lambda data: worker.in_(0, "t", data, id="j", keep=FAR, on_conflict="replace"),
            lambda data: web.in_(0, "t", data, id="j", keep=FAR, on_conflict="ignore"),
        )
    ):
        assert taken(b"%d" % n) == "j"
        assert worker.outcome("j", WAITS).result == b"%d" % n * 2
        expire()
    psql(f"SELECT {schema}.schedule('t', delay => '1 h', id => 'j')")
    with pytest.raises(LookupError, match="schedule it with keep="):
        web.outcome("j", WAITS)


def test_a_job_that_waits_for_its_end_to_be_written_keeps_its_id(node, url, schema, psql):
    """A call that takes the id meanwhile waits for the transaction that ends the job, and finds what that has kept."""
    psycopg = pytest.importorskip("psycopg", reason="LEFT OUT: psycopg is not installed")
    web = node()
    web.in_(FAR, "t", id="j", keep=FAR)
    with psycopg.connect(url) as ends, psycopg.connect(url, autocommit=True) as takes:
        assert ends.execute(f"SELECT {schema}.cancel('j')").fetchone() == (True,)
        sql = f"SELECT {schema}.schedule('t', delay => '0 s', id => 'j')"
        taken = Later(lambda: takes.execute(sql))
        until(lambda: psql(f"SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = $${sql}$$"))
        ends.commit()
        with pytest.raises(psycopg.errors.UniqueViolation, match="is kept"):
            taken.result()
    assert web.outcome("j").state == "cancelled"


@pytest.mark.parametrize("how", [{}, AT_MOST_ONCE], ids=["least", "once"])
def test_a_cancel_is_kept_whoever_has_the_job(node, holds, psql, schema, how):
    worker, web = node(handlers={"t": returns}, **SOON), node(**SOON)
    for id in ("here", "there", "many", "gone"):
        worker.in_(9, "t", id=id, keep=FAR, **how)
    worker.in_(FAR, "t", id="far", keep=FAR, headers={"a": "b"}, key="k")
    holds(4)
    waits = [Later(lambda by=by: by.outcome("there", None)) for by in (worker, web)]
    assert worker.cancel("here") and web.cancel("there") and web.cancel_many(["many", "unknown"]) == 1
    assert [wait.result().state for wait in waits] == ["cancelled"] * 2
    by_sql = [f"SELECT {schema}.cancel('far')", *([f"SELECT {schema}.cancel('gone')"] if how else [])]
    assert [psql(sql) for sql in by_sql] == [["t"]] * len(by_sql)
    for id in ("here", "there", "many", "far", *(["gone"] if how else [])):
        found = web.outcome(id)
        assert worker.outcome(id) == found, "also while it is in memory still"
        assert found == Outcome("cancelled", ended=found.ended)
        with pytest.raises(DuplicateJobError):
            web.in_(0, "t", id=id)
    worker._check()


def test_what_is_interrupted_for_good_is_kept(node, nodes, url, schema, tmp_path):
    log = tmp_path / "log"
    log.touch()
    lost = nodes.start(url, schema, log, storage={"lease": 1.0, "poll": 0.05}, takes=60)
    web = node(lease=1.0, **SOON)
    web.in_(0, "work", id="j", keep=FAR, headers={"a": "b"}, **AT_MOST_ONCE)
    until(lambda: "start" in log.read_text())
    lost.send_signal(signal.SIGKILL)
    outcome = web.outcome("j", WAITS)
    assert (outcome.state, outcome.reason) == ("dead", "interrupted")
    assert outcome.error == next(iter(web.dead())).error


def test_a_dead_job_that_is_revived_has_not_ended(node, expire):
    worker, web = node(handlers={"t": raises(Discard("closed"))}, **SOON), node(**SOON)
    web.in_(0, "t", b"d", id="j", keep=FAR)
    assert web.outcome("j", WAITS).state == "dead"
    worker.close()
    assert web.revive("j")
    with pytest.raises(TimeoutError, match="is not over yet"):
        web.outcome("j")
    node(handlers={"t": returns}, **SOON)
    assert web.outcome("j", WAITS).result == b"dd"


def test_the_id_of_a_dead_job_may_be_taken_by_how_another_has_ended(node, expire):
    web = node(**SOON)
    fails = web.handle("t", raises(Discard("closed")))
    web.in_(0, "t", id="j")
    until(lambda: web.stats().dead == 1)
    fails()
    web.handle("t", returns)
    web.in_(0, "t", b"d", id="j", keep=FAR)
    assert web.outcome("j", WAITS).result == b"dd"
    with pytest.raises(DuplicateJobError):
        web.revive("j")
    assert (len(web), len(list(web.dead())), web.outcome("j").result) == (0, 1, b"dd")
    expire()
    assert web.revive("j")


@pytest.mark.parametrize("keep", [FAR, None])
def test_what_follows_a_job_that_was_changed_while_it_ran_is_what_ends(node, keep):
    began, goes_on = threading.Event(), threading.Event()

    def handler(event):
        if event.data == b"first":
            began.set()
            assert goes_on.wait(WAITS)
        return event.data

    worker, web = node(handlers={"t": handler}, **SOON), node(**SOON)
    web.in_(0, "t", b"first", id="j", keep=FAR)
    assert began.wait(WAITS)
    web.in_(0, "t", b"second", id="j", on_conflict="replace", keep=keep)
    if keep is None:
        with pytest.raises(LookupError, match="schedule it with keep="):
            web.outcome("j", WAITS)
    goes_on.set()
    if keep is None:
        until(lambda: web.get("j") is None and worker.stats().succeeded == 2 and worker.wait(WAITS))
        with pytest.raises(LookupError, match="no outcome of one is kept"):
            web.outcome("j")
    else:
        assert web.outcome("j", WAITS).result == b"second"


def test_who_waits(node):
    worker, web = node(handlers={"t": returns}, **SOON), node(**SOON)
    web.in_(FAR, "t", b"d", id="j", keep=FAR)
    web.in_(FAR, "t", id="plain")
    for scheduler in (worker, web):
        for timeout in (0, 0.02):
            with pytest.raises(TimeoutError, match="the job 'j' is not over yet"):
                scheduler.outcome("j", timeout)
        for id in ("plain", "unknown", "nu\0l"):
            with pytest.raises(LookupError):
                scheduler.outcome(id, None)
    closes = node(**SOON)
    waits = [Later(lambda by=by: by.outcome("j", None)) for by in (worker, web, closes)]
    closes.close()
    with pytest.raises(ClosedError):
        waits[2].result()
    assert web.reschedule("j", time.time())
    assert [wait.result().result for wait in waits[:2]] == [b"dd"] * 2


def test_a_handler_waits_for_a_job_of_another_node(node):
    worker, front = node(handlers={"inner": returns}, **SOON), node(**SOON)

    @front.handler("outer")
    def outer(event):
        with pytest.raises(StateError, match="would wait for itself"):
            front.outcome(event.job_id, timeout=1)
        front.in_(0, "inner", b"x", id="inner", keep=FAR)
        return front.outcome("inner", WAITS).result + b"!"

    worker.in_(0, "outer", id="outer", keep=FAR)
    assert worker.outcome("outer", WAITS).result == b"xx!"


def test_awaited(storage):
    async def main():
        async with aio.Scheduler(storage(**SOON)) as worker, aio.Scheduler(storage(**SOON)) as web:

            @worker.handler("t")
            async def handler(event):
                await asyncio.sleep(0)
                return event.data * 2

            await web.in_(FAR, "t", b"d", id="j", keep=FAR)
            await web.in_(FAR, "t", b"d", id="cancelled", keep=FAR)
            for timeout in (0, 0.02):
                with pytest.raises(TimeoutError):
                    await web.outcome("j", timeout)
            with pytest.raises(LookupError):
                await web.outcome("unknown", timeout=1)
            waits = [asyncio.ensure_future(by.outcome("j", timeout=WAITS)) for by in (web, worker)]
            gone = asyncio.ensure_future(web.outcome("cancelled", timeout=None))
            await asyncio.sleep(0)
            await web.reschedule("j", time.time())
            await worker.cancel("cancelled")
            assert [outcome.result for outcome in await asyncio.gather(*waits)] == [b"dd"] * 2
            assert (await gone).state == "cancelled"
            with pytest.raises(DuplicateJobError):
                await web.in_(0, "t", id="j")

    asyncio.run(main())


@pytest.mark.parametrize("kind", SYNC, ids=lambda kind: kind.__name__)
def test_in_a_transaction(node, url, kind):
    web = node(handlers={"t": returns}, **SOON)
    database = kind(url)
    lost = web.in_(0, "t", keep=FAR, connection=database.connection)
    database.rollback()
    kept = web.in_(0, "t", b"d", keep=FAR, headers={"a": "b"}, connection=database.connection)
    far = web.in_(FAR, "t", keep=FAR, connection=database.connection)
    database.commit()
    with pytest.raises(LookupError):
        web.outcome(lost)
    assert web.outcome(kept, WAITS).result == b"dd"
    assert web.cancel(far, connection=database.connection)
    with pytest.raises(TimeoutError):
        web.outcome(far)
    database.commit()
    assert web.outcome(far).state == "cancelled"
    with pytest.raises(DuplicateJobError):
        web.in_(0, "t", id=kept, connection=database.connection)
    database.close()


@pytest.mark.parametrize("kind", ASYNC.values(), ids=ASYNC)
def test_in_a_transaction_that_is_awaited(storage, url, kind):
    async def main():
        async with aio.Scheduler(storage(**SOON)) as web, kind(url) as (connection, commit, *_):
            web.handle("t", returns)
            id = await web.in_(0, "t", b"d", keep=FAR, connection=connection)
            await commit()
            assert (await web.outcome(id, timeout=WAITS)).result == b"dd"

    asyncio.run(main())


def test_a_result_has_no_more_bytes_than_data_may_have(node):
    web = node(max_data=10, handlers={"t": lambda event: b"x" * int(event.data)}, **SOON)
    web.in_(0, "t", b"10", id="fits", keep=FAR)
    web.in_(0, "t", b"11", id="large", keep=FAR, retry_limit=0)
    assert web.outcome("fits", WAITS).result == b"x" * 10
    assert PayloadTooLargeError.__name__ in web.outcome("large", WAITS).error


def test_results_are_encrypted_and_rotated_with_all_else(node, psql, schema):
    old, new = b"o" * 32, b"n" * 32
    worker = node(keys=Keyring({1: old}, default=1), handlers={"t": lambda event: b"secret " + event.data}, **SOON)
    ids = worker.in_many([0] * 600, "t", [b"%d" % n for n in range(600)], keep=FAR)
    by_sql = worker.in_(FAR, "t", keep=FAR)
    assert psql(f"SELECT {schema}.cancel('{by_sql}')") == ["t"]
    results = [b"secret %d" % n for n in range(600)]
    assert [worker.outcome(id, WAITS).result for id in ids] == results
    assert psql(f"SELECT count(*) FROM {schema}.outcome WHERE position('secret'::bytea IN result) > 0") == ["0"]

    def keys():
        return psql(f"SELECT key, count(*) FROM {schema}.outcome GROUP BY 1 ORDER BY 1")

    assert keys() == ["1|600", "|1"]
    worker.close()
    told = []
    both = node(keys=Keyring({1: old, 2: new}, default=2))
    assert both.outcome(ids[0]).result == results[0]
    both.rotate(lambda *progress: told.append(progress))
    assert told[-1] == (601, 601)
    assert keys() == ["2|601"]
    both.close()
    last = node(keys=Keyring({2: new}, default=2))
    assert [last.outcome(id).result for id in ids] == results
    assert last.outcome(by_sql).state == "cancelled"
    with pytest.raises(WrongKeyError):
        node()
    # One that was moved to another id is not read as that one's.
    psql(
        f"UPDATE {schema}.outcome SET result = (SELECT result FROM {schema}.outcome WHERE id = '{ids[1]}') "
        f"WHERE id = '{ids[0]}'"
    )
    with pytest.raises(duewheel.StorageCorruptError):
        last.outcome(ids[0])


def test_what_is_kept_no_longer_is_swept(node, psql, schema):
    web = node()
    web.in_(FAR, "t", id="live", keep=FAR)
    assert web.cancel("live")
    psql(
        f"INSERT INTO {schema}.outcome SELECT gen_random_uuid(), NULL, target, state, NULL, ended, n, result, error "
        f"FROM {schema}.outcome, generate_series(1, 5000) n"
    )
    sweeps = node(lease=1.0)
    until(lambda: psql(f"SELECT count(*) FROM {schema}.outcome") == ["1"])
    assert sweeps.outcome("live") == web.outcome("live")


def test_what_cannot_be_read_of_a_job_keeps_nobody_from_cancelling_it(node, psql, schema):
    web = node()
    for n, carried in enumerate(("02", "0102000000", "01ffffffffffffffff", "0f", "")):
        id = web.in_(FAR, "t", id=f"{n}", keep=FAR)
        psql(f"UPDATE {schema}.job SET carried = '\\x{carried}' WHERE name = '{id}'")
        assert web.cancel(id)
        with pytest.raises(LookupError):
            web.outcome(id)
