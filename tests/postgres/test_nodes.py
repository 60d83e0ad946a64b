"""Nodes as processes that are killed, stopped and cut off: nothing is lost, at most once is never twice."""

import collections
import signal
import threading
import time

import pytest

from duewheel import Consistency, PostgresStorage, Scheduler

ONCE = {"consistency": Consistency.AT_MOST_ONCE}
QUICK = {"lease": 1.0, "poll": 0.05, "timeout": 20}


def starts_of(log):
    """The starts of each job, as (run, process)."""
    starts = collections.defaultdict(list)
    for line in log.read_text().splitlines():
        what, id, run, process = line.split()
        if what == "start":
            starts[id].append((int(run), int(process)))
    return starts


def wait_until_empty(scheduler, seconds=40):
    end = time.monotonic() + seconds
    while left := len(scheduler):
        assert time.monotonic() < end, f"{left} jobs are left"
        time.sleep(0.05)


@pytest.fixture
def books(url, schema, tmp_path):
    """Schedules from outside, and checks in the end what has become of it."""

    class Books:
        log = tmp_path / "log"

        def __init__(self):
            self.scheduler = Scheduler(PostgresStorage(url, schema=schema, **QUICK))
            self.once, self.least = [], []
            self.log.touch()

        def schedule(self, number, within):
            now = time.time()
            for n in range(number):
                due = now + within * n / number
                data = b"fail" if n % 5 == 0 else b""
                self.least.append(self.scheduler.at(due, "work", data, min_backoff=0.01, max_backoff=0.05))
                self.once.append(self.scheduler.at(due, "work", **ONCE))

        def check(self, *, extra):
            starts = starts_of(self.log)
            interrupted = {dead.event.job_id for dead in self.scheduler.dead() if dead.reason == "interrupted"}
            for id in self.once:
                assert len(starts[id]) <= 1, f"{id} was started {starts[id]}"
                assert len(starts[id]) == 1 or id in interrupted, f"{id} vanished"
            for n, id in enumerate(self.least):
                assert len(starts[id]) >= 1 + (n % 5 == 0), f"{id} was lost"
            ran_again = sum(len(starts[id]) - 1 - (n % 5 == 0) for n, id in enumerate(self.least))
            assert ran_again <= extra, f"{ran_again} extra starts"
            return ran_again

    books = Books()
    yield books
    books.scheduler.close()


def test_nodes_share_what_is_due(books, nodes, url, schema):
    running = [nodes.start(url, schema, books.log, storage=QUICK) for _ in range(3)]
    books.schedule(300, 1.5)
    wait_until_empty(books.scheduler)
    for node in running:
        nodes.end(node)
    assert books.check(extra=0) == 0
    processes = {process for starts in starts_of(books.log).values() for _, process in starts}
    assert len(processes) == 3


def test_what_a_killed_node_held_starts_elsewhere(books, nodes, url, schema):
    books.schedule(400, 4)
    running = [nodes.start(url, schema, books.log, storage=QUICK, takes=0.005) for _ in range(3)]
    for node in running[:2]:
        time.sleep(0.7)
        node.kill()
    wait_until_empty(books.scheduler)
    nodes.end(running[2])
    books.check(extra=2 * 4)  # as many as ran: the workers of those killed


def test_a_node_that_is_never_idle_takes_over_what_a_killed_node_held(nodes, url, schema, tmp_path):
    log, ran = tmp_path / "log", set()
    log.touch()
    with Scheduler(PostgresStorage(url, schema=schema, **QUICK), workers=4) as busy:
        ids = set(busy.in_many([0] * 50, "work"))
        lost = nodes.start(url, schema, log, storage=QUICK, takes=60)
        # Each flight renews the lease, and the next is there when it lands: there is no moment without anything to do.
        busy.handle("again", lambda event: busy.in_(0.001, "again"))
        busy.start()
        busy.in_many([0] * 20, "again")
        end = time.monotonic() + 30
        while len(starts_of(log)) < 4:
            assert time.monotonic() < end
            time.sleep(0.05)
        busy.handle("work", lambda event: ran.add(event.job_id))
        lost.kill()
        while left := len(ids - ran):
            assert time.monotonic() < end, f"{left} of {len(ids)} are left"
            time.sleep(0.05)
        busy.drain()


def test_a_node_that_is_stopped_past_its_lease_starts_nothing(books, nodes, url, schema):
    books.schedule(300, 4)
    stopped = nodes.start(url, schema, books.log, storage=QUICK)
    time.sleep(0.5)
    stopped.send_signal(signal.SIGSTOP)
    other = nodes.start(url, schema, books.log, storage=QUICK)
    time.sleep(2.5)
    before = starts_of(books.log)
    stopped.send_signal(signal.SIGCONT)
    wait_until_empty(books.scheduler)
    nodes.end(stopped)
    nodes.end(other)
    assert before
    books.check(extra=4)


def test_a_server_that_crashes_loses_and_doubles_nothing(server, nodes, schema, tmp_path):
    log = tmp_path / "log"
    log.touch()
    options = {**QUICK, "lease": 5.0}
    scheduler = Scheduler(PostgresStorage(server.url, schema=schema, **options))
    running = [nodes.start(server.url, schema, log, storage=options) for _ in range(2)]
    scheduled, stop = [], threading.Event()

    def schedules():
        while not stop.is_set():
            scheduled.append(scheduler.in_(0.2, "work"))

    thread = threading.Thread(target=schedules)
    thread.start()
    for _ in range(3):
        time.sleep(0.5)
        server.restart(signal.SIGQUIT)
    time.sleep(0.5)
    stop.set()
    thread.join()
    wait_until_empty(scheduler)
    for node in running:
        nodes.end(node)
    starts = starts_of(log)
    assert set(scheduled) == set(starts), "acknowledged and run are the same"
    assert all(len(of) == 1 for of in starts.values()), "no lease was lost"
    scheduler.close()
