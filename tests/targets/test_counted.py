"""What is counted of each target adds up to what is counted in all, whatever becomes of its jobs."""

import asyncio
import random
from dataclasses import fields

import pytest

from duewheel import Discard, LocalStorage, NopScheduler, Running, Scheduler, Snooze, TargetStats, aio
from duewheel.testing import ManualClock

COUNTS = (
    "pending parked running scheduled started succeeded retried snoozed dead cancelled revived dropped missed stuck"
).split()

pytestmark = pytest.mark.usefixtures("quiet")


def assert_sums(scheduler, moves=False):
    """Compare the sums over all targets with `stats`; `moves`: repeats may have gone from one target to another."""
    targets, stats = scheduler.targets(), scheduler.stats()
    sums = {name: sum(getattr(target, name) for target in targets.values()) for name in COUNTS}
    assert sums == {name: getattr(stats, name) for name in COUNTS}
    lateness = [target.lateness for target in targets.values()]
    assert sum(one.count for one in lateness) == stats.lateness.count
    assert sum(one.sum for one in lateness) == pytest.approx(stats.lateness.sum)
    assert max([one.max for one in lateness], default=0.0) == stats.lateness.max
    bounds = [0.0, 0.5, 1.5, 3.0, float("inf")]
    columns = zip(*(one.buckets(bounds) for one in lateness), strict=True)
    assert [sum(column) for column in columns] == list(stats.lateness.buckets(bounds))[: 5 if targets else 0]
    for target in targets.values():
        taken_in = target.scheduled + target.revived
        ended = target.succeeded + target.dead + target.cancelled + target.dropped
        assert moves or taken_in == target.pending + target.running + ended
    return targets


@pytest.fixture(params=["memory", "file", "paged"])
def storage(request, tmp_path):
    if request.param == "memory":
        return None
    resident = 2 if request.param == "paged" else 1_000
    return LocalStorage(tmp_path / "jobs.db", durability="relaxed", resident=resident)


def test_each_target_has_its_own_counts(storage):
    clock = ManualClock()
    with Scheduler(storage, workers=1, clock=clock, seed=1) as scheduler:
        scheduler.handle("good", lambda event: None)
        scheduler.handle("idle", lambda event: None)

        @scheduler.handler("bad")
        def bad(event):
            raise ValueError("no")

        for _ in range(3):
            scheduler.in_(1, "good")
        scheduler.in_(1, "bad", retry_limit=1, id="b")
        for _ in range(2):
            scheduler.in_(0, "parked")
        assert scheduler.cancel(scheduler.in_(60, "good"))
        clock.advance(0)
        clock.advance(5_000)
        found = assert_sums(scheduler)
        assert {*found} == {"good", "bad", "idle", "parked"}
        good, bad_, idle = found["good"], found["bad"], found["idle"]
        assert (good.scheduled, good.succeeded, good.cancelled, good.started, good.pending) == (4, 3, 1, 3, 0)
        assert (bad_.scheduled, bad_.started, bad_.retried, bad_.dead) == (1, 2, 1, 1)
        assert (found["parked"].pending, found["parked"].parked) == (2, 2)
        assert idle == found["idle"]
        assert {name for name in COUNTS if getattr(idle, name)} == set()
        assert (good.lateness.count, good.runtime.count, bad_.runtime.count) == (3, 3, 2)
        assert scheduler.revive("b")
        assert scheduler.targets()["bad"].revived == 1
        assert_sums(scheduler)
        scheduler._check()
    found = assert_sums(scheduler)
    assert found["parked"].pending == (0 if storage is None else 2)


def test_what_a_file_has_at_its_opening_is_scheduled(storage):
    if storage is None:
        pytest.skip("memory keeps nothing")
    clock = ManualClock()
    with Scheduler(storage, clock=clock) as scheduler:
        ids = {name: [scheduler.in_(100 + n, name) for n in range(5)] for name in "ab"}
        scheduler.repeat(3_600, "again", id="again")
        scheduler.in_(0, "parked")
        clock.advance(0)
        assert scheduler.cancel(ids["a"][0])
        assert_sums(scheduler)
    with Scheduler(storage, clock=clock) as scheduler:
        # Before anybody asks: in memory or not, known by a number or by a name.
        assert scheduler.cancel(ids["a"][4])
        assert scheduler.cancel(ids["b"][0])
        scheduler.in_(50, "c")
        found = assert_sums(scheduler)
        assert {name: (one.scheduled, one.cancelled, one.pending) for name, one in found.items()} == {
            "a": (4, 1, 3),
            "again": (1, 0, 1),
            "b": (5, 1, 4),
            "c": (1, 0, 1),
            "parked": (1, 0, 1),
        }
        scheduler.handle("a", lambda event: None)
        assert scheduler.cancel(ids["b"][4])
        clock.advance(1_000)
        found = assert_sums(scheduler)
        assert (found["a"].succeeded, found["a"].pending, found["b"].parked) == (3, 0, 3)
        scheduler._check()


@pytest.mark.parametrize("seed", range(4))
def test_sums_hold_whatever_comes(storage, seed):
    dice, clock, names = random.Random(seed), ManualClock(), ["a", "b", "c", "d"]
    scheduler = Scheduler(storage, workers=1, clock=clock, seed=seed)
    ids, handlers = [], {}

    def handler(event):
        match dice.randrange(6):
            case 0:
                raise ValueError("no")
            case 1:
                raise Snooze(dice.randrange(3))
            case 2:
                raise Discard("enough")

    scheduler.start()
    for step in range(150):
        name = dice.choice(names)
        match dice.randrange(10):
            case 0 | 1:
                ids.append(scheduler.in_(dice.randrange(6), name, retry_limit=dice.choice([None, 0, 2])))
            case 2:
                ids.extend(scheduler.in_many([float(dice.randrange(9)) for _ in range(3)], name))
            case 3 if ids:
                scheduler.cancel(dice.choice(ids))
            case 4 if ids:
                scheduler.cancel_many(dice.sample(ids, min(len(ids), 3)))
            case 5:
                # An edit may give a repeat another target.
                scheduler.repeat(dice.randrange(1, 4), name, id=f"again {dice.randrange(3)}")
            case 6:
                scheduler.cancel(f"again {dice.randrange(3)}")
            case 7 if ids:
                scheduler.reschedule(dice.choice(ids), clock.now() + dice.randrange(5))
            case 8:
                deregister = handlers.pop(name, None)
                if deregister is None:
                    handlers[name] = scheduler.handle(name, handler)
                else:
                    deregister()
            case 9:
                for dead in [*scheduler.dead()][:2]:
                    # A repeat's that is cancelled would come back as a job, whose id a repeat cannot have.
                    if dead.event.job_id not in scheduler and not dead.event.job_id.startswith("again"):
                        scheduler.revive(dead.event.job_id)
        clock.advance(dice.randrange(2))
        if step % 10 == 9:
            assert_sums(scheduler, moves=True)
            scheduler._check()
    scheduler.close()
    assert_sums(scheduler, moves=True)


def test_timers_are_counted_by_the_targets_that_they_have():
    clock = ManualClock()
    with Scheduler(workers=1, clock=clock) as scheduler:
        scheduler.handle("named", lambda event: None)
        scheduler.timer(1, "named")
        scheduler.timer(1, lambda event: None).cancel()
        scheduler.timer(1, lambda event: None)
        clock.advance(1)
        found = assert_sums(scheduler)
        assert (found["named"].succeeded, found["<callable>"].succeeded, found["<callable>"].cancelled) == (1, 1, 1)


@pytest.mark.slow
def test_those_that_were_counted_longest_ago_are_forgotten_together():
    with Scheduler() as scheduler:
        for n in range(130_000):
            scheduler.cancel(scheduler.in_(60, f"t{n}"))
        kept = scheduler.in_(60, "t0")
        found = assert_sums(scheduler)
        assert 100_000 <= len(found) <= 120_000
        assert found[""].cancelled == 130_000 - sum(one.cancelled for name, one in found.items() if name)
        assert (found["t0"].pending, found["t129999"].cancelled) == (1, 1)
        assert "t1" not in found
        assert scheduler.cancel(kept)


def test_a_target_that_has_nothing_is_not_listed():
    with Scheduler() as scheduler:
        deregister = scheduler.handle("a", print)
        assert [*scheduler.targets()] == ["a"]
        deregister()
        assert dict(scheduler.targets()) == {}
        scheduler.cancel(scheduler.in_(60, "b"))
        assert [*scheduler.targets()] == ["b"]


def test_the_mapping_is_of_a_moment_and_cannot_be_changed():
    with Scheduler() as scheduler:
        scheduler.handle("a", print)
        found = scheduler.targets()
        with pytest.raises(TypeError):
            found["b"] = found["a"]
        assert isinstance(found["a"], TargetStats)
        assert found["a"] == scheduler.targets()["a"]
        assert [*found["a"].asdict()] == [*COUNTS, "lateness", "runtime"]
        assert repr(found["a"]).startswith("TargetStats(pending=0, parked=0, running=0, scheduled=0, ")
        with pytest.raises(AttributeError):
            found["a"].pending = 1


def test_a_handler_is_running_while_it_runs():
    clock = ManualClock(1_000.0)
    seen = []
    with Scheduler(workers=1, clock=clock) as scheduler:

        @scheduler.handler("a")
        def a(event):
            seen.extend(scheduler.running())
            seen.append(scheduler.targets()["a"].running)

        id = scheduler.in_(5, "a", b"x")
        clock.advance(7)
        [one, count] = seen
        assert isinstance(one, Running)
        assert (one.event.job_id, one.event.data, one.started) == (id, b"x", 1_005_000_000_000)
        assert (one.worker, one.expired, one.event.expired, count) == ("MainThread", False, False, 1)
        assert [field.name for field in fields(one)] == ["event", "started", "worker", "expired"]
        assert scheduler.running() == []


def test_threads_and_tasks_are_told_apart():
    import threading

    entered, leave = threading.Barrier(3), threading.Event()
    with Scheduler(workers=2) as scheduler:
        waiting = []

        @scheduler.handler("thread")
        def thread(event):
            entered.wait(10)
            leave.wait(10)

        @scheduler.handler("task")
        async def task(event):
            waiting.append(event)
            while not leave.is_set():
                await asyncio.sleep(0.001)

        for target in ("thread", "thread", "task"):
            scheduler.in_(0, target)
        entered.wait(10)
        while not waiting:
            pass
        running = scheduler.running()
        leave.set()
        assert sorted(one.event.target for one in running) == ["task", "thread", "thread"]
        workers = {one.worker for one in running if one.event.target == "thread"}
        assert workers == {"duewheel-worker-1", "duewheel-worker-2"}
        assert [one.started for one in running] == sorted(one.started for one in running)
        assert scheduler.wait(10)
        assert scheduler.running() == []


@pytest.mark.parametrize("kept", [False, True])
def test_a_loop_awaits_what_is_counted(kept, tmp_path):
    async def main():
        async with aio.Scheduler(tmp_path / "jobs.db" if kept else None) as scheduler:
            running = []

            @scheduler.handler("a")
            async def a(event):
                running.extend(scheduler.running())
                await asyncio.sleep(0)
                running.extend(scheduler.running())

            await scheduler.in_(0, "a")
            assert await scheduler.wait(10)
            found = await scheduler.targets()
            assert (found["a"].succeeded, [*scheduler.targets()]) == (1, ["a"])
            assert [one.event.target for one in running] == ["a", "a"]
            assert scheduler.running() == []

    asyncio.run(main())


def test_nothing_is_counted_where_all_is_discarded():
    scheduler = NopScheduler()
    scheduler.in_(1, "a")
    assert (dict(scheduler.targets()), scheduler.running()) == ({}, [])
