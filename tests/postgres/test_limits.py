"""`Limit(n, across="nodes")`: so many of a target run over all nodes, and what a dead node had is free again."""

import threading
import time

from test_nodes import QUICK, starts_of, wait_until_empty

from duewheel import Limit, Rate


class Count:
    """How many run now, and the most that ever did."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = self.ran = 0

    def __call__(self, event):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self.lock:
            self.now -= 1
            self.ran += 1
        if event.attempt == 1 and event.data == b"fail":
            raise ValueError("once")

    def wait_for(self, ran):
        """Wait until so many have ended, and see that no more do."""
        end = time.monotonic() + 20
        while self.ran < ran:
            assert time.monotonic() < end, self.ran
            time.sleep(0.01)
        assert self.ran == ran


def test_all_nodes_together_run_so_many(node):
    count = Count()
    free = threading.Semaphore(0)
    nodes = [node(workers=4, poll=0.05, start=False) for _ in range(3)]
    for one in nodes:
        one.handle("limited", count, concurrency=Limit(2))
        one.handle("free", lambda event: free.release())
        one.start()
    for n in range(60):
        data = b"fail" if n % 6 == 0 else b""
        nodes[n % 3].in_(0, "limited", data, min_backoff=0.01, max_backoff=0.02)
    nodes[0].in_many([0] * 50, "free")
    wait_until_empty(nodes[0])
    count.wait_for(70)
    assert count.most == 2
    for _ in range(50):
        assert free.acquire(timeout=0)


def test_what_is_not_due_takes_no_place(node):
    count = Count()
    one, other = (node(workers=2, poll=0.05, handlers={}, start=False) for _ in range(2))
    for scheduler in (one, other):
        scheduler.handle("limited", count, concurrency=Limit(1))
        scheduler.start()
    one.in_(8, "limited", id="later")
    one.in_(0, "limited")
    count.wait_for(1)
    assert one.get("later") is not None
    assert other.cancel("later")


def test_a_rate_and_repeats_hold_beside_it(node):
    count = Count()
    one = node(workers=4, poll=0.05, start=False)
    one.handle("limited", count, concurrency=Limit(1), rate=Rate(1000))
    one.start()
    one.repeat(0.05, "limited", count=5)
    one.in_many([0] * 5, "limited")
    wait_until_empty(one)
    count.wait_for(10)
    assert count.most == 1


def test_a_dead_nodes_place_is_free_once_its_lease_is_over(node, nodes, url, schema, tmp_path):
    log = tmp_path / "log"
    log.touch()
    outside = node(start=False)
    outside.in_many([0] * 2, "work")
    first = nodes.start(url, schema, log, storage=QUICK, takes=60, limit=1)
    end = time.monotonic() + 20
    while not starts_of(log):
        assert time.monotonic() < end
        time.sleep(0.02)
    second = nodes.start(url, schema, log, storage=QUICK, limit=1)
    time.sleep(0.3)
    assert sum(len(starts) for starts in starts_of(log).values()) == 1
    first.kill()
    wait_until_empty(outside)
    nodes.end(second)
    assert sum(len(starts) for starts in starts_of(log).values()) == 3
