"""Repeats over nodes: stored once, one occurrence at a time, over the deaths of nodes."""

import asyncio
import collections
import itertools
import logging
import threading
import time

import pytest

from duewheel import Cron, DuplicateJobError, Every, PostgresStorage, Scheduler, aio

QUICK = {"lease": 1.0, "poll": 0.05, "timeout": 20}


def until(reached, seconds=30):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it is never reached"
        time.sleep(0.02)


class Seen:
    """A handler that notes each event, of all nodes that have it."""

    def __init__(self, does=None):
        self.events = []
        self.does = does

    def __call__(self, event):
        self.events.append(event)
        if self.does is not None:
            self.does(event)

    @property
    def numbers(self):
        return [event.occurrence for event in self.events]


def test_each_occurrence_runs_once_on_whichever_node(node):
    seen = [Seen(), Seen()]
    one, other = (node(handlers={"t": of}, **QUICK) for of in seen)
    assert one.repeat(0.05, "t", b"data", id="r") == "r"
    assert other.repeat(0.05, "t", b"data", id="r") == "r", "said again it is the same"
    until(lambda: sum(len(of.events) for of in seen) >= 20)
    assert other.cancel("r")
    time.sleep(0.2)
    events = sorted((event for of in seen for event in of.events), key=lambda event: event.occurrence)
    assert [event.occurrence for event in events] == list(range(1, len(events) + 1))
    assert [event.previous for event in events] == [None, *(event.job.due for event in events[:-1])]
    assert all(event.job.due < after.job.due for event, after in itertools.pairwise(events))
    assert {event.data for event in events} == {b"data"}
    assert one.get_repeat("r") is None
    assert "r" not in one


def test_what_is_stored_is_seen_by_all(node):
    one, other = node(start=False), node(start=False)
    id = one.repeat("0 9 * * *", "t", tz="Europe/Paris", spread=60)
    one.repeat(3600, "u", id="later")
    found = other.get_repeat(id)
    assert (found.target, found.schedule, found.occurrence) == ("t", Cron("0 9 * * *", tz="Europe/Paris"), 1)
    assert found.next == one.get_repeat(id).next == other.get(id).due == found.upcoming(1)[0]
    assert {repeat.id for repeat in other.repeats()} == {id, "later"}
    assert len(other) == 2
    assert other.get_repeat("nobody") is None
    with pytest.raises(DuplicateJobError):
        other.in_(5, "t", id="later")
    one.in_(5, "t", id="once")
    with pytest.raises(DuplicateJobError):
        other.repeat(60, "t", id="once")
    assert other.pause("once") is False


def test_an_edit_counts_from_now_on_all_nodes(node):
    seen = Seen()
    one, other = node(handlers={"t": seen}, **QUICK), node(start=False, **QUICK)
    one.repeat(3600, "t", b"1", id="r")
    before = other.get_repeat("r")
    other.repeat(3600, "t", b"2", id="r")
    assert other.get_repeat("r").next == before.next
    other.repeat(0.1, "t", b"3", id="r", count=2)
    until(lambda: one.get_repeat("r") is None)
    assert [(event.occurrence, event.data) for event in seen.events] == [(1, b"3"), (2, b"3")]


def test_it_is_edited_paused_triggered_and_cancelled_while_another_node_runs_it(node):
    runs, goes_on = threading.Event(), threading.Event()

    def waits(event):
        runs.set()
        assert goes_on.wait(20)

    seen = Seen(waits)
    node(handlers={"t": seen}, **QUICK)
    other = node(start=False, **QUICK)

    def running():
        runs.clear()
        goes_on.clear()
        assert other.trigger("r")
        assert runs.wait(20)
        until(lambda: other.get_repeat("r").running)

    other.repeat(3600, "t", b"1", id="r")
    running()
    assert other.explain("r") == "'r' runs now"
    other.repeat(1800, "t", b"2", id="r")
    assert other.trigger("r")
    assert other.pause("r")
    goes_on.set()
    until(lambda: len(seen.events) == 2)
    until(lambda: not other.get_repeat("r").running)
    found = other.get_repeat("r")
    assert (found.occurrence, found.data, found.paused, found.schedule) == (3, b"2", True, Every(1800))
    assert found.previous == seen.events[1].job.due
    assert [event.data for event in seen.events] == [b"1", b"2"]
    assert other.resume("r")
    assert not other.get_repeat("r").paused
    running()
    assert other.cancel("r")
    assert not other.cancel("r")
    goes_on.set()
    until(lambda: "r" not in other and other.get_repeat("r") is None)
    assert seen.numbers == [1, 2, 3]


def test_what_is_paused_starts_nowhere_and_resumed_goes_on_with_its_next_time(node):
    seen = Seen()
    one = node(handlers={"t": seen}, **QUICK)
    other = node(start=False, **QUICK)
    other.repeat(0.1, "t", id="r")
    until(lambda: len(seen.events) >= 2)
    assert other.pause("r")
    time.sleep(0.1)
    ran = len(seen.events)
    time.sleep(0.4)
    assert len(seen.events) == ran
    assert one.explain("r") == "'r' is held back: it is paused"
    assert one.trigger("r")
    until(lambda: len(seen.events) == ran + 1)
    time.sleep(0.3)
    assert len(seen.events) == ran + 1
    assert one.resume("r")
    until(lambda: len(seen.events) >= ran + 3)
    one.cancel("r")
    assert seen.numbers == list(range(1, len(seen.events) + 1))


def test_a_declared_repeat_runs_while_a_node_declares_it(node):
    seen = Seen()

    def declaring():
        scheduler = node(start=False, **QUICK)
        scheduler.repeated(0.1, target="t")(seen)
        scheduler.start()
        return scheduler

    plain = Seen()
    watcher = node(handlers={"t": plain}, **QUICK)
    one, other = declaring(), declaring()
    until(lambda: len(seen.events) >= 3)
    one.close()
    ran = len(seen.events)
    until(lambda: len(seen.events) >= ran + 3)
    other.close()
    ran = len(seen.events)
    time.sleep(0.4)
    assert len(seen.events) == ran
    assert "declared" in watcher.explain("t")
    assert not plain.events
    declaring()
    until(lambda: len(seen.events) > ran)
    numbers = [event.occurrence for event in seen.events]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_repeat_that_fails_is_retried_and_goes_on(node):
    def fails(event):
        if event.occurrence == 1:
            raise ValueError("busy")

    seen = Seen(fails)
    one = node(handlers={"t": seen}, **QUICK)
    one.repeat(0.2, "t", id="r", retry_limit=1, min_backoff=0.01, count=2)
    until(lambda: one.get_repeat("r") is None)
    assert [(event.occurrence, event.attempt) for event in seen.events] == [(1, 1), (1, 2), (2, 1)]
    (dead,) = one.dead()
    assert (dead.event.occurrence, dead.reason) == (1, "failed")
    assert seen.events[-1].previous is None


def test_wait_waits_for_no_repeat_without_an_end(node):
    seen = Seen()
    one = node(handlers={"t": seen}, **QUICK)
    one.repeat(3600, "t")
    assert one.wait(10)
    one.repeat(0.1, "t", count=2)
    assert one.wait(20)
    assert seen.numbers == [1, 2]


def test_async_handlers_and_awaited_calls(storage):
    async def main():
        done = asyncio.Event()
        numbers = []
        async with aio.Scheduler(storage(**QUICK)) as scheduler:

            @scheduler.handler("t")
            async def handler(event):
                numbers.append(event.occurrence)
                if len(numbers) == 3:
                    done.set()

            assert await scheduler.repeat(0.05, "t", id="r") == "r"
            await asyncio.wait_for(done.wait(), 20)
            assert await scheduler.pause("r")
            assert (await scheduler.get_repeat("r")).paused
            assert [repeat.id async for repeat in scheduler.repeats()] == ["r"]
            assert await scheduler.resume("r")
            assert await scheduler.trigger("r")
            assert await scheduler.cancel("r")
            assert await scheduler.get_repeat("r") is None
        assert numbers[:3] == [1, 2, 3]

    asyncio.run(main())


def test_two_versions_of_the_code_that_declare_it_otherwise_both_say_so(node, caplog):
    nodes = []
    with caplog.at_level(logging.WARNING, "duewheel"):
        for name, seconds in (("old", 3_600), ("new", 7_200), ("same", 7_200)):
            nodes.append(node(name=name, lease=1.0, start=False))
            nodes[-1].repeated(seconds, target="r")(print)
            nodes[-1].start()
        until(lambda: len(caplog.messages) >= 3)
    said = [message for message in caplog.messages if "declared otherwise" in message]
    by_others = "the repeat 'r' is declared otherwise on the node {!r}: what the later start() has said counts"
    assert sorted(said) == sorted(by_others.format(name) for name in ("new", "old", "old"))
    assert {str(one.get_repeat("r").schedule) for one in nodes} == {str(nodes[1].get_repeat("r").schedule)}


def test_no_number_is_left_out_and_none_comes_twice_over_kills(nodes, url, schema, tmp_path):
    log = tmp_path / "log"
    log.touch()
    scheduler = Scheduler(PostgresStorage(url, schema=schema, **QUICK))
    ids = [f"r{n}" for n in range(6)]
    for n, id in enumerate(ids):
        scheduler.repeat(0.03 + n / 100, "work", id=id)
    running = [nodes.start(url, schema, log, storage=QUICK, takes=0.005) for _ in range(2)]
    for _ in range(4):
        time.sleep(0.8)
        running.pop(0).kill()
        running.append(nodes.start(url, schema, log, storage=QUICK, takes=0.005))
    time.sleep(2.5)
    for id in ids:
        assert scheduler.cancel(id)
    for node in running:
        nodes.end(node)
    ends = collections.defaultdict(list)
    runs = collections.defaultdict(list)
    for line in log.read_text().splitlines():
        what, id, run, process, *number = line.split()
        if not number:
            continue  # it was cancelled while a node ran it that was killed: it comes once more, and not as a repeat
        number = int(number[0])
        if what == "end":
            ends[id].append(number)
        else:
            runs[id].append((number, int(run), process))
    interrupted = collections.Counter(
        dead.event.occurrence for dead in scheduler.dead() if dead.reason == "interrupted"
    )
    assert not interrupted
    again = 0
    for id in ids:
        started = [number for number, _, _ in runs[id]]
        assert started == sorted(started), "one after the other"
        assert set(started) == set(range(1, max(started) + 1)), "none is left out"
        assert len({run for _, run, _ in runs[id]}) == len(runs[id]), "event ids stay unique"
        again += len(started) - len(set(started))
    # What had started in a node that was killed starts again; what it had ended and not committed, too.
    assert again <= 4 * 4
    assert sum(map(len, ends.values())) > 100
    scheduler.close()
