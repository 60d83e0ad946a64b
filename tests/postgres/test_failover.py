"""A server that dies for good, and its standby, which is promoted: nodes go on there, nothing acknowledged is lost."""

import collections
import contextlib
import signal
import threading
import time
from urllib.parse import urlsplit

import pg_server
import pytest

from duewheel import Consistency, PostgresStorage, Scheduler, StorageUnavailableError

OPTIONS = {"lease": 4.0, "poll": 0.05, "timeout": 20}
JOBS_PER_S = 100
QUICK = ("fsync=off",)  # the machine does not crash


@pytest.fixture
def pair():
    """A server and its standby, without which it acknowledges nothing."""
    server = pg_server.start(settings=QUICK)
    if server is None:
        pytest.skip("LEFT OUT: there are no programs of a server of PostgreSQL")
    standby = server.standby(settings=QUICK)
    psql = pg_server.Psql(server.url)
    psql.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    psql.sql("SELECT pg_reload_conf()")
    end = time.monotonic() + 20
    while psql.sql("SELECT sync_state FROM pg_stat_replication") != ["sync"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    yield server, standby
    standby.stop()
    server.stop()


def of_both(server, standby):
    hosts = ",".join(urlsplit(each.url).netloc.rpartition("@")[2] for each in (server, standby))
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


class Producer:
    """Schedules until it is told to stop, and keeps the ids that were acknowledged."""

    def __init__(self, scheduler):
        self.scheduler, self.stopped = scheduler, threading.Event()
        self.least, self.once, self.refused = [], [], 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(1 / JOBS_PER_S):
            try:
                self.least.append(self.scheduler.in_(0.3, "work"))
                self.once.append(self.scheduler.in_(0.3, "work", consistency=Consistency.AT_MOST_ONCE))
            except StorageUnavailableError:
                self.refused += 1

    def stop(self):
        self.stopped.set()
        self.thread.join()


def test_nodes_go_on_at_a_standby_that_is_promoted(pair, nodes, schema, tmp_path):
    server, standby = pair
    log, url = tmp_path / "log", of_both(server, standby)
    log.touch()
    with contextlib.closing(Scheduler(PostgresStorage(url, schema=schema, **OPTIONS))) as scheduler:
        running = [nodes.start(url, schema, log, storage=OPTIONS) for _ in range(2)]
        producer = Producer(scheduler)
        time.sleep(1)
        server.halt(signal.SIGQUIT)
        before = len(producer.once)
        time.sleep(0.5)
        standby.promote()
        end = time.monotonic() + 20
        while len(producer.once) < before + JOBS_PER_S // 2:
            assert time.monotonic() < end, "nothing is acknowledged any more"
            time.sleep(0.05)
        producer.stop()
        while len(scheduler):
            assert time.monotonic() < end + 20
            time.sleep(0.05)
        for node in running:
            nodes.end(node)
        interrupted = {dead.event.job_id for dead in scheduler.dead() if dead.reason == "interrupted"}
    lines = [line.split() for line in log.read_text().splitlines()]
    starts, ends = (collections.Counter(id for what, id, *_ in lines if what == name) for name in ("start", "end"))
    assert before and not set(producer.least) - set(ends), "what was acknowledged has run"
    assert not set(producer.once) - set(starts) - interrupted
    assert max(starts[id] for id in producer.once) == 1
