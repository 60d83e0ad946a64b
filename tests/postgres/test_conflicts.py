"""`on_conflict="update"` and `"replace"` over nodes: in place, asked back from who holds it, or after what runs."""

import asyncio
import signal
import threading
import time

import pg_server
import pytest
from waiting import PATIENCE_S, until

from duewheel import Consistency, DuplicateJobError, StorageUnavailableError, aio

FAR = 3_600


@pytest.fixture
def holds(url, schema):
    """Waits until so many jobs are held by a node."""
    server = pg_server.Psql(url)
    return lambda count: until(
        lambda: server.sql(f"SELECT count(*) FROM {schema}.job WHERE owner IS NOT NULL") == [str(count)]
    )


class Gate:
    """A handler that notes what it runs, and waits within the first until it is let go on."""

    def __init__(self):
        self.ran = []
        self.began, self.goes_on = threading.Event(), threading.Event()

    def __call__(self, event):
        self.ran.append((event.data, event.attempt, event.run))
        if len(self.ran) == 1:
            self.began.set()
            assert self.goes_on.wait(4 * PATIENCE_S)
        if event.data == b"raises":
            raise ValueError("no")


def test_what_nobody_holds_is_changed_in_its_place(node):
    here, there = node(), node()
    for word in ("update", "replace"):
        assert here.in_(FAR, "t", b"new", id=word, on_conflict=word) == word
    due = there.get("update").due
    assert there.in_(5, "u", b"two", id="update", on_conflict="update", headers={"n": "2"}, retry_limit=2) == "update"
    assert there.in_(2 * FAR, "u", b"two", id="replace", on_conflict="replace") == "replace"
    event = here.get("update")
    assert (event.target, event.data, dict(event.job.headers)) == ("u", b"two", {"n": "2"})
    assert (event.job.options.retry_limit, event.due, event.run) == (2, due, 1)
    event = here.get("replace")
    assert (event.target, event.data) == ("u", b"two")
    assert event.due == event.job.due > time.time_ns() + FAR * 10**9
    assert (len(here), here.stats().scheduled, there.stats().scheduled) == (2, 2, 0)


def test_a_repeat_is_never_changed(node):
    here = node()
    here.repeat(FAR, "t", id="r")
    for word in ("update", "replace"):
        with pytest.raises(DuplicateJobError, match="'r'"):
            here.in_(1, "t", id="r", on_conflict=word)
    assert here.get_repeat("r").occurrence == 1


def test_what_the_node_itself_or_another_holds_starts_nowhere_as_it_was(node, holds):
    ran = []
    worker = node(poll=0.05, handlers={"t": lambda event: ran.append(event.data)})
    web = node(poll=0.05)
    for n in range(20):
        web.in_(8, "t", b"old", id=f"{n}")
    holds(20)
    for n in range(20):
        by = worker if n % 2 else web
        by.in_(FAR if n < 10 else 0, "t", b"%d" % n, id=f"{n}", on_conflict="replace")
    until(lambda: len(ran) == 10)
    assert sorted(ran) == sorted(b"%d" % n for n in range(10, 20))
    assert len(worker) == 10
    assert {event.data for event in web.between()} == {b"%d" % n for n in range(10)}
    worker._check()


def test_a_debounce_over_nodes_runs_once_as_was_said_last(node):
    ran = []
    nodes = [node(poll=0.02, handlers={"t": lambda event: ran.append(event.data)}) for _ in range(2)]
    for n in range(40):
        nodes[n % 2].in_(0.6, "t", b"%d" % n, id="debounced", on_conflict="replace")
    until(lambda: ran and len(nodes[0]) == 0)
    assert ran[-1] == b"39"
    assert ran == sorted(set(ran), key=int), "each later than the one before"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("by", ["here", "there"])
@pytest.mark.parametrize("how", ["returns", "dies", "raises"])
@pytest.mark.parametrize("word", ["update", "replace"])
def test_what_runs_is_followed_by_one(node, by, how, word):
    gate = Gate()
    worker = node(poll=0.02, handlers={"t": gate})
    say = worker if by == "here" else node()
    options = {"min_backoff": 0.05, "max_backoff": 0.05}
    data = b"returns" if how == "returns" else b"raises"
    worker.in_(0, "t", data, id="j", retry_limit=0 if how == "dies" else 3, **options)
    assert gate.began.wait(4 * PATIENCE_S)
    for n in range(3):
        say.in_(0.01, "t", b"%d" % n, id="j", on_conflict=word, **options)
    assert len(gate.ran) == 1
    gate.goes_on.set()
    until(lambda: len(worker) == 0 and len(gate.ran) == 2)
    attempt = 2 if (how, word) == ("raises", "update") else 1
    assert gate.ran == [(data, 1, 1), (b"2", attempt, 2)]
    assert worker.wait(4 * PATIENCE_S)
    assert len(list(worker.dead())) == (how == "dies")
    worker._check()


def test_from_its_own_handler(node):
    ran = []

    def handler(event):
        ran.append((event.data, event.run))
        if event.data == b"one":
            worker.in_(0, "t", b"two", id="j", on_conflict="update")

    worker = node(poll=0.02, handlers={"t": handler})
    worker.in_(0, "t", b"one", id="j")
    until(lambda: len(worker) == 0 and len(ran) == 2)
    assert ran == [(b"one", 1), (b"two", 2)]


@pytest.mark.parametrize("how", ["least", "once"])
def test_what_runs_in_a_node_that_is_killed_comes_once_as_it_was_changed(node, nodes, url, schema, tmp_path, how):
    log = tmp_path / "log"
    log.touch()
    lost = nodes.start(url, schema, log, storage={"lease": 1.0, "poll": 0.05}, takes=60)
    web = node(lease=1.0, poll=0.05)
    kind = {"consistency": Consistency.AT_MOST_ONCE} if how == "once" else {}
    web.in_(0, "work", id="j", **kind)
    until(lambda: "start" in log.read_text())
    until(lambda: web.get("j") is None)  # its start is known by now
    web.in_(0, "here", b"changed", id="j", on_conflict="update", **kind)
    lost.send_signal(signal.SIGKILL)
    ran = []
    web.handle("here", lambda event: ran.append((event.data, event.attempt, event.run)))
    until(lambda: ran and len(web) == 0)
    assert ran == [(b"changed", 1, 2)]
    assert [dead.reason for dead in web.dead()] == (["interrupted"] if how == "once" else [])


def test_many_that_say_it_at_once_lose_no_change(node):
    ran = []
    nodes = [node(poll=0.02, handlers={"t": lambda event: ran.append(int(event.data))}) for _ in range(2)]
    lock, said = threading.Lock(), []

    def say(by, first):
        for n in range(first, first + 20):
            with lock:
                said.append(n)
                by.in_(0, "t", b"%d" % n, id="j", on_conflict="replace")

    threads = [threading.Thread(target=say, args=(by, at * 100)) for at, by in enumerate([*nodes, nodes[0]])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(nodes[0]) == 0)
    until(lambda: ran and ran[-1] == said[-1])
    assert ran == sorted(set(ran), key=said.index), "each once, and later than the one before"


def test_a_node_that_does_not_answer_is_not_waited_for_longer_than_a_call_waits(
    node, nodes, holds, url, schema, tmp_path
):
    stopped = nodes.start(url, schema, tmp_path / "log", storage={"lease": 30.0, "poll": 0.05})
    web = node(timeout=0.5)
    web.in_(9, "work", b"one", id="j")
    holds(1)
    stopped.send_signal(signal.SIGSTOP)
    with pytest.raises(StorageUnavailableError, match="has not answered in time, and nothing was changed"):
        web.in_(FAR, "work", b"two", id="j", on_conflict="update")
    assert web.get("j").data == b"one"
    stopped.send_signal(signal.SIGCONT)
    web.in_(FAR, "work", b"two", id="j", on_conflict="replace")
    assert web.get("j").data == b"two"


def test_awaited(storage):
    async def main():
        ran = []
        async with aio.Scheduler(storage(poll=0.05)) as scheduler:

            async def handler(event):
                ran.append(event.data)
                if event.data == b"two":
                    await scheduler.in_(0, "t", b"three", id="j", on_conflict="update")

            await scheduler.in_(FAR, "t", b"one", id="j", on_conflict="replace")
            await scheduler.in_(0, "t", b"two", id="j", on_conflict="replace")
            scheduler.handle("t", handler)
            assert await scheduler.wait(4 * PATIENCE_S)
        assert ran == [b"two", b"three"]

    asyncio.run(main())


def test_what_is_encrypted_stays_so(url, schema, node):
    from duewheel import Keyring

    keys = Keyring({1: b"k" * 32}, default=1)
    gate = Gate()
    worker = node(poll=0.02, keys=keys, handlers={"t": gate, "u": gate})
    worker.in_(0, "t", b"one", id="j")
    assert gate.began.wait(4 * PATIENCE_S)
    worker.in_(0, "u", b"two", id="j", on_conflict="update")
    assert pg_server.Psql(url).sql(f"SELECT count(*) FROM {schema}.job WHERE key = 1 AND follow IS NOT NULL") == ["1"]
    gate.goes_on.set()
    until(lambda: len(gate.ran) == 2 and len(worker) == 0)
    assert gate.ran[1][0] == b"two"


def test_a_cancel_of_what_is_not_in_memory_is_counted_of_its_target(node):
    web = node()
    ids = [web.in_(FAR, "t") for _ in range(3)]
    web.repeat(FAR, "again", id="r")
    assert web.cancel(ids[0]) and web.cancel_many(ids[1:]) == 2 and web.cancel("r")
    assert not web.cancel("nobody's")
    counted = {name: stats.cancelled for name, stats in web.targets().items() if stats.cancelled}
    assert counted == {"t": 3, "again": 1}
    assert web.stats().cancelled == 4
