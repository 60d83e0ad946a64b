"""What a constructor is given is what counts, also from a subclass with an `__init__` of its own."""

import copy
import gc
import pickle
import sys
import threading
from pathlib import Path

import pytest

import duewheel
from duewheel import JobOptions, NopScheduler, Scheduler, StateError, StorageLockedError, aio
from duewheel.testing import ManualClock

KINDS = [Scheduler, aio.Scheduler]


def core_of(scheduler):
    return scheduler if isinstance(scheduler, Scheduler) else scheduler._core


def descriptors():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_subclass_says_where_its_jobs_are_kept(kind, tmp_path):
    class Mine(kind):
        def __init__(self):
            super().__init__(tmp_path / "mine.db", workers=1)

    mine = Mine()
    core_of(mine).in_(3_600, "x", id="kept")
    core_of(mine).close()
    with Scheduler(tmp_path / "mine.db") as again:
        assert "kept" in again


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_subclass_takes_is_its_own(kind, tmp_path, monkeypatch):
    class Named(kind):
        def __init__(self, name, *, workers):
            super().__init__()
            self.name, self.given = name, workers

    monkeypatch.chdir(tmp_path)
    named = Named("billing", workers="many")
    assert (named.name, named.given) == ("billing", "many")
    assert not core_of(named)._has_store
    assert list(tmp_path.iterdir()) == []
    core_of(named).close()


def test_all_arguments_reach_the_engine_from_a_subclass(tmp_path):
    clock = ManualClock()

    class Mine(Scheduler):
        def __init__(self, path):
            super().__init__(path, workers=1, options=JobOptions(retry_limit=7), clock=clock, seed=5, tasks=2)

    with Mine(tmp_path / "jobs.db") as mine:
        mine.in_(10, "x", id="a")
        assert mine.get("a").job.options.retry_limit == 7
        ran = []
        mine.handle("x", ran.append)
        clock.advance(10)
        assert [event.job_id for event in ran] == ["a"]


def test_attributes_may_be_set_before_and_a_mixin_may_stand_before_it():
    class Counting:
        def __init__(self, *args, **keywords):
            self.counted = 0
            super().__init__(*args, **keywords)

    class Mine(Counting, Scheduler):
        def __init__(self):
            self.early = True
            super().__init__(workers=2)

    with Mine() as mine:
        assert (mine.early, mine.counted, len(mine)) == (True, 0, 0)


class Forgetful(Scheduler):
    def __init__(self):
        pass


class AsyncForgetful(aio.Scheduler):
    def __init__(self):
        pass


CALLS = {
    "start": lambda s: s.start(),
    "close": lambda s: s.close(),
    "drain": lambda s: s.drain(0),
    "wait": lambda s: s.wait(0),
    "run": lambda s: s.run(),
    "at": lambda s: s.at(2e9, "x"),
    "in_": lambda s: s.in_(1, "x"),
    "in_many": lambda s: s.in_many([1], "x"),
    "handle": lambda s: s.handle("x", print),
    "handler": lambda s: s.handler("x"),
    "cancel": lambda s: s.cancel("a"),
    "reschedule": lambda s: s.reschedule("a", 2e9),
    "get": lambda s: s.get("a"),
    "next": lambda s: s.next(),
    "between": lambda s: s.between(),
    "dead": lambda s: s.dead(),
    "revive": lambda s: s.revive("a"),
    "purge": lambda s: s.purge(),
    "stats": lambda s: s.stats(),
    "storage": lambda s: s.storage.next(),
    "backup": lambda s: s.backup("x.db"),
    "rotate": lambda s: s.rotate(),
    "len": len,
    "in": lambda s: "a" in s,
    "with": lambda s: s.__enter__(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_one_that_was_never_opened_says_so(call):
    with pytest.raises(StateError, match=r"super\(\)\.__init__\(\) was not called"):
        call(Forgetful())


def test_an_async_one_that_was_never_opened_says_so():
    scheduler = AsyncForgetful()
    for call in (
        lambda: scheduler.stats(),
        lambda: scheduler.start().send(None),
        lambda: scheduler.in_(1, "x").send(None),
        lambda: scheduler.close().send(None),
        lambda: scheduler.handle("x", print),
    ):
        with pytest.raises(StateError, match=r"super\(\)\.__init__\(\) was not called"):
            call()
    with pytest.raises(AttributeError, match="nonsense"):
        _ = scheduler.nonsense


@pytest.mark.parametrize("kind", [Forgetful, AsyncForgetful])
def test_one_that_was_never_opened_is_shown_collected_and_freed(kind):
    before = descriptors() if sys.platform == "linux" else None
    scheduler = kind()
    assert "that was not opened" in repr(scheduler)
    scheduler.itself = scheduler
    del scheduler
    gc.collect()  # warnings are errors, those of __del__ too
    if before is not None:
        assert descriptors() == before


@pytest.mark.parametrize("kind", KINDS)
def test_one_whose_init_raised_gives_everything_back(kind, tmp_path):
    with Scheduler(tmp_path / "jobs.db"):
        for _ in range(3):
            with pytest.raises(StorageLockedError):
                kind(tmp_path / "jobs.db")
    with pytest.raises(ValueError, match="workers"):
        kind(workers=0)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_opened_once(kind, tmp_path):
    scheduler = kind(tmp_path / "jobs.db")
    core_of(scheduler).in_(3_600, "x", id="a")
    with pytest.raises(StateError, match=r"__init__\(\) was called before"):
        scheduler.__init__()
    assert "a" in core_of(scheduler)
    core_of(scheduler).close()


def test_of_threads_that_open_it_at_once_one_does():
    class Late(Scheduler):
        def __init__(self):
            pass

    late, barrier, outcomes = Late(), threading.Barrier(8), []

    def open_it():
        barrier.wait()
        try:
            Scheduler.__init__(late)
        except StateError:
            outcomes.append("refused")
        else:
            outcomes.append("opened")

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["opened"] + ["refused"] * 7
    with late:
        assert len(late) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_arguments_are_the_constructors(kind):
    for wrong in (lambda: kind(worker=5), lambda: kind(None, 4)):
        with pytest.raises(TypeError, match=r"^Scheduler(\.__init__)?\(\)") as caught:
            wrong()
        assert "__new__" not in str(caught.value)


@pytest.mark.parametrize("kind", [*KINDS, NopScheduler])
@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_is_neither_copied_nor_pickled(kind, take):
    scheduler = kind()
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        take(scheduler)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_that_does_nothing_makes_nothing():
    before, threads = descriptors(), threading.active_count()
    stats = Scheduler().stats()
    many = [NopScheduler() for _ in range(10)]
    for nop in many:
        with nop:
            nop.handle("x", print)
            nop.in_(0, "x")
            nop.stats()
    assert (descriptors(), threading.active_count()) == (before, threads)
    assert many[0].stats() == stats


def test_a_subclass_of_the_one_that_does_nothing_has_its_own_init():
    class Mine(NopScheduler):
        def __init__(self, name):
            super().__init__()
            self.name = name

    with duewheel.use(Mine("billing")) as mine:
        assert duewheel.in_(1, "x") == ""
        assert mine.name == "billing"
