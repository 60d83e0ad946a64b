"""`on_conflict`: what a call makes of a job that has its id, pending, far away on disk, or running."""

import asyncio
import threading

import pytest
from waiting import PATIENCE_S, until

from duewheel import DuplicateJobError, LocalStorage, Scheduler, StateError, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

FAR = 9_000  # seconds: past what is held in memory


@pytest.fixture
def clock():
    return ManualClock(1_000)


def make(kind, clock, place):
    if kind == "reference":
        return ReferenceScheduler(clock=clock)
    storage = {"memory": None, "file": place / "jobs.db", "far": LocalStorage(place / "far.db", horizon=10)}[kind]
    return Scheduler(storage, clock=clock)


ON_EVERY_SIDE = pytest.mark.parametrize("kind", ["memory", "file", "far", "reference"])


@pytest.fixture
def scheduler(kind, clock, tmp_path):
    made = make(kind, clock, tmp_path)
    yield made
    made.close()


def seen(event):
    return event.target, event.data, dict(event.job.headers), event.job.options.retry_limit


@ON_EVERY_SIDE
def test_a_free_id_is_taken_whatever_is_said(scheduler, kind):
    for word in ("error", "ignore", "update", "replace"):
        assert scheduler.in_(FAR, "t", id=word, on_conflict=word) == word
    assert len(scheduler) == 4
    assert scheduler.stats().scheduled == 4


@ON_EVERY_SIDE
def test_ignore_changes_nothing(scheduler, kind, clock):
    due = clock.now_ns() + FAR * 10**9
    scheduler.in_(FAR, "t", b"one", id="j")
    assert scheduler.in_(1, "u", b"two", id="j", on_conflict="ignore") == "j"
    event = scheduler.get("j")
    assert (event.target, event.data, event.due, len(scheduler)) == ("t", b"one", due, 1)


@ON_EVERY_SIDE
def test_update_keeps_the_due_and_replace_does_not(scheduler, kind, clock):
    due = clock.now_ns() + FAR * 10**9
    scheduler.in_(FAR, "t", b"one", id="j")
    changed = {"id": "j", "headers": {"n": "2"}, "retry_limit": 2}
    scheduler.in_(FAR + 50, "u", b"two", on_conflict="update", **changed)
    event = scheduler.get("j")
    assert seen(event) == ("u", b"two", {"n": "2"}, 2)
    assert (event.due, event.job.due, event.run) == (due, due, 1)
    scheduler.in_(20, "v", b"three", id="j", on_conflict="replace")
    event = scheduler.get("j")
    assert seen(event) == ("v", b"three", {}, 5)
    assert event.due == event.job.due == clock.now_ns() + 20 * 10**9
    scheduler.at(clock.now() + FAR, "w", b"four", id="j", on_conflict="replace")
    assert scheduler.get("j").due == due
    assert (len(scheduler), scheduler.stats().scheduled) == (1, 1)


@ON_EVERY_SIDE
def test_what_is_replaced_again_and_again_runs_once(scheduler, kind, clock):
    ran = []
    scheduler.handle("t", lambda event: ran.append((event.data, clock.now())))
    scheduler.start()
    for number in range(5):
        scheduler.in_(3, "t", b"%d" % number, id="debounced", on_conflict="replace")
        clock.advance(1)
    clock.advance(10)
    assert ran == [(b"4", 1_007.0)]


@ON_EVERY_SIDE
def test_a_retry_that_waits_keeps_its_attempt_when_it_is_updated_and_begins_anew_when_replaced(scheduler, kind, clock):
    ran = []

    def fails(event):
        ran.append((event.data, event.attempt, event.run))
        raise ValueError

    scheduler.handle("t", fails)
    scheduler.start()
    options = {"min_backoff": 5, "max_backoff": 5, "id": "j"}
    scheduler.in_(1, "t", b"one", **options)
    clock.advance(1)
    scheduler.in_(500, "t", b"two", on_conflict="update", **options)
    clock.advance(5)
    scheduler.in_(1, "t", b"three", on_conflict="replace", **options)
    clock.advance(1)
    assert ran == [(b"one", 1, 1), (b"two", 2, 2), (b"three", 1, 3)]


@ON_EVERY_SIDE
def test_a_parked_job_goes_to_the_target_that_has_a_handler(scheduler, kind, clock):
    ran = []
    scheduler.handle("here", lambda event: ran.append(event.data))
    scheduler.start()
    scheduler.in_(1, "nowhere", b"one", id="j")
    clock.advance(2)
    assert scheduler.stats().parked == 1
    scheduler.in_(1, "here", b"two", id="j", on_conflict="update")
    clock.advance(0)
    assert (ran, scheduler.stats().parked) == ([b"two"], 0)


def test_what_is_parked_on_disk_alone_keeps_its_place_when_it_is_updated(clock, tmp_path):
    ran, ids = [], [f"p{number}" for number in range(20)]
    with Scheduler(LocalStorage(tmp_path / "jobs.db", resident=2), workers=1, clock=clock) as scheduler:
        scheduler.handle("here", lambda event: ran.append(event.job_id))
        for id in ids:
            scheduler.at(1_001, "nowhere", id=id)
        clock.advance(2)
        assert scheduler.stats().parked == 20
        scheduler.drain()
        scheduler.at(1_001, "here", id="later")
        for id in reversed(ids):
            scheduler.in_(50, "here", id=id, on_conflict="update")
        assert [event.job_id for event in scheduler.between()] == [*ids, "later"]
        scheduler._check()
        scheduler.start()
        clock.advance(0)
        scheduler._check()
    assert ran == [*ids, "later"]


@ON_EVERY_SIDE
@pytest.mark.parametrize("how", ["returns", "raises", "dies"])
def test_what_runs_is_followed_by_one_that_is_as_the_last_call_says(scheduler, kind, clock, quiet, how):
    ran = []

    def handler(event):
        ran.append((event.data, event.attempt, event.run, clock.now()))
        if event.data != b"one":
            return
        again = {"id": "j", "min_backoff": 4, "max_backoff": 4}
        assert scheduler.in_(1, "t", b"ignored", on_conflict="ignore", **again) == "j"
        scheduler.in_(1, "t", b"two", on_conflict="update", **again)
        scheduler.in_(9, "t", b"three", on_conflict="replace", **again)
        scheduler.in_(1, "t", b"four", on_conflict="update", **again)
        assert scheduler.get("j") is None
        if how != "returns":
            raise ValueError

    scheduler.handle("t", handler)
    scheduler.start()
    limit = {"retry_limit": 0} if how == "dies" else {}
    scheduler.in_(1, "t", b"one", id="j", min_backoff=4, max_backoff=4, **limit)
    clock.advance(1)
    assert scheduler.get("j").due == 1_010 * 10**9
    clock.advance(20)
    assert ran == [(b"one", 1, 1, 1_001.0), (b"four", 1, 2, 1_010.0)]
    stats = scheduler.stats()
    assert (stats.scheduled, stats.pending) == (1 if how == "raises" else 2, 0)
    assert [dead.event.attempt for dead in scheduler.dead()] == ([1] if how == "dies" else [])


@ON_EVERY_SIDE
def test_an_update_of_what_runs_comes_at_once_after_it_and_with_its_retry(scheduler, kind, clock, quiet):
    ran = []

    def handler(event):
        ran.append((event.data, event.attempt, event.run, clock.now()))
        if event.data in (b"returns", b"raises"):
            scheduler.in_(50, "t", b"after", id=event.job_id, on_conflict="update")
        if event.data == b"raises":
            raise ValueError

    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(1, "t", b"returns", id="a")
    scheduler.in_(2, "t", b"raises", id="b", min_backoff=4, max_backoff=4)
    clock.advance(20)
    first = [(b"returns", 1, 1, 1_001.0), (b"after", 1, 2, 1_001.0)]
    assert ran == [*first, (b"raises", 1, 1, 1_002.0), (b"after", 2, 2, 1_006.0)]


def test_the_dead_in_memory_is_what_has_run(clock, quiet):
    with Scheduler(clock=clock) as scheduler:

        @scheduler.handler("t")
        def handler(event):
            if event.data == b"one":
                scheduler.in_(1, "t", b"two", id="j", on_conflict="replace")
                raise ValueError

        scheduler.in_(1, "t", b"one", id="j", retry_limit=0)
        clock.advance(5)
        (dead,) = scheduler.dead()
        assert dead.event.data == b"one"


@ON_EVERY_SIDE
def test_a_repeat_is_ignored_and_never_changed(scheduler, kind):
    scheduler.repeat(5, "t", id="r")
    assert scheduler.in_(1, "t", id="r", on_conflict="ignore") == "r"
    for word in ("error", "update", "replace"):
        with pytest.raises(DuplicateJobError, match="'r'"):
            scheduler.in_(1, "t", id="r", on_conflict=word)
    assert scheduler.get_repeat("r").occurrence == 1


def test_a_transaction_takes_none():
    with Scheduler() as scheduler, pytest.raises(StateError, match="connection= is for jobs in a PostgreSQL database"):
        scheduler.in_(5, "t", id="j", connection=object(), on_conflict="ignore")


@pytest.mark.parametrize("kind", ["file", "far"])
def test_a_change_is_in_the_file(clock, tmp_path, kind):
    with make(kind, clock, tmp_path) as scheduler:
        scheduler.in_(FAR, "t", b"one", id="j")
        scheduler.in_(FAR, "u", b"two", id="j", on_conflict="update")
        scheduler.in_(FAR, "t", b"one", id="k")
        scheduler.in_(FAR + 5, "u", b"two", id="k", on_conflict="replace")
    with make(kind, clock, tmp_path) as scheduler:
        found = [(event.job_id, event.data, event.due // 10**9) for event in scheduler.between()]
        assert found == [("j", b"two", 1_000 + FAR), ("k", b"two", 1_005 + FAR)]


def test_a_close_leaves_what_follows_to_the_file(tmp_path):
    began, goes_on = threading.Event(), threading.Event()

    def handler(event):
        began.set()
        goes_on.wait(PATIENCE_S)

    scheduler = Scheduler(tmp_path / "jobs.db")
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(0, "t", b"one", id="j")
    assert began.wait(PATIENCE_S)
    scheduler.in_(0, "t", b"two", id="j", on_conflict="update")
    scheduler.close()
    goes_on.set()
    assert scheduler.drain(PATIENCE_S)
    with Scheduler(tmp_path / "jobs.db") as scheduler:
        (event,) = scheduler.between()
        assert (event.data, event.run, event.attempt) == (b"two", 2, 1)


@pytest.mark.parametrize("in_file", [False, True])
def test_awaited(tmp_path, in_file):
    async def main():
        ran = []
        async with aio.Scheduler(tmp_path / "jobs.db" if in_file else None) as scheduler:

            async def handler(event):
                ran.append(event.data)
                if event.data == b"two":
                    await scheduler.in_(0, "t", b"three", id="j", on_conflict="update")

            await scheduler.in_(FAR, "t", b"one", id="j")
            await scheduler.in_(FAR, "t", b"nothing", id="j", on_conflict="ignore")
            await scheduler.in_(0, "t", b"two", id="j", on_conflict="replace")
            scheduler.handle("t", handler)
            assert await scheduler.wait(PATIENCE_S)
        assert ran == [b"two", b"three"]

    asyncio.run(main())


def test_threads_that_update_one_job_lose_no_change(tmp_path):
    """What every thread has said last is what runs last: one job follows, whoever says so."""
    ran = []
    with Scheduler(tmp_path / "jobs.db") as scheduler:
        scheduler.handle("t", lambda event: ran.append(int(event.data)))
        lock = threading.Lock()
        said = []

        def say(first):
            for number in range(first, first + 50):
                with lock:
                    said.append(number)
                    scheduler.in_(0, "t", b"%d" % number, id="j", on_conflict="replace")

        threads = [threading.Thread(target=say, args=(first,)) for first in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: len(scheduler) == 0)
        assert scheduler.wait(PATIENCE_S)
        scheduler._check()
    assert ran[-1] == said[-1]
    assert ran == sorted(ran, key=said.index), "each later than the one before"
    assert len(set(ran)) == len(ran)


@pytest.mark.parametrize("kind", ["memory", "file", "reference"])
def test_an_update_of_what_is_due_takes_the_head_start_of_its_new_target(scheduler, clock):
    ran = []

    def first(event):
        ran.append(event.job_id)
        if event.job_id == "first":
            scheduler.in_(0, "plain", id="updated", on_conflict="update")

    scheduler.handle("early", first, priority=10)
    scheduler.handle("plain", first)
    scheduler.start()
    for id, target in (("first", "early"), ("other", "plain"), ("updated", "early")):
        scheduler.in_(1, target, id=id)
    clock.advance(1)
    assert ran == ["first", "other", "updated"]
