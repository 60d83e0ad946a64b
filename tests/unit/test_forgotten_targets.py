"""Targets are forgotten when nothing speaks of them, and what is made of their names anew is as if they were new."""

import asyncio
import itertools
import logging
import random
import sys
import threading

import pytest

from duewheel import Discard, LocalStorage, Scheduler, aio
from duewheel.testing import ManualClock

PLAIN, SPECIAL = 16_384, 1_024
REMEMBERED = PLAIN + SPECIAL
"""Of so many targets what their jobs are made of is remembered, whether they have any or not."""

OTHERS = itertools.count()


def remember_others(scheduler, plain=PLAIN):
    """Name so many other targets in calls that are refused that no other is remembered."""
    core = getattr(scheduler, "_core", scheduler)
    for options in [{}] * plain + [{"retry_limit": 1}] * SPECIAL:
        try:
            core.in_(3_600, f"other {next(OTHERS)}", id=5, **options)
        except TypeError:
            continue
        raise AssertionError


def spoken_of(scheduler):
    """How many targets are known for more than that they are remembered."""
    remember_others(scheduler)
    return scheduler._targets()[0] - REMEMBERED


def options(path, kept, **more):
    return LocalStorage(path / "jobs.db", durability="relaxed", **more) if kept else None


@pytest.fixture(params=[False, True], ids=["memory", "file"])
def kept(request):
    return request.param


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def scheduler(tmp_path, kept, clock):
    with Scheduler(options(tmp_path, kept), workers=1, clock=clock) as scheduler:
        yield scheduler
        scheduler._check()


def test_what_has_neither_job_nor_handler_is_forgotten(scheduler, clock):
    for n in range(40):
        deregister = scheduler.handle(f"t{n}", lambda event: None)
        assert scheduler.cancel(scheduler.in_(60, f"t{n}"))
        assert scheduler.cancel(scheduler.in_(60, f"t{n}", retry_limit=n))
        scheduler.in_(0, f"t{n}")
        clock.advance(0)
        deregister()
    assert scheduler.stats().succeeded == 40
    assert spoken_of(scheduler) == 0


def test_numbers_are_as_many_as_targets_at_once(scheduler):
    for n in range(3 * REMEMBERED):
        scheduler.handle(f"t{n}", print)()
    assert scheduler._targets() == (0, 1)
    for _ in range(4):
        remember_others(scheduler)
    known, numbers = scheduler._targets()
    assert known == REMEMBERED
    assert numbers <= known + 2  # one more while the oldest is not forgotten yet


def test_a_target_stays_while_a_job_a_handler_or_an_event_has_it(scheduler, clock):
    deregister = scheduler.handle("handled", print)
    pending, optional = scheduler.in_(60, "pending"), scheduler.in_(60, "optional", retry_limit=1)
    parked = scheduler.in_(0, "parked")
    clock.advance(0)
    event = scheduler.get(scheduler.in_(60, "seen"))
    assert scheduler.cancel(event.job_id)
    assert spoken_of(scheduler) == 5
    for id in (pending, optional, parked):
        assert scheduler.cancel(id)
    assert spoken_of(scheduler) == 2
    assert (event.target, event.job.target) == ("seen", "seen")
    del event
    deregister()
    assert spoken_of(scheduler) == 0


def test_what_runs_keeps_its_target(scheduler, clock):
    seen = []

    def alone(event):
        deregister()
        seen.append(spoken_of(scheduler))
        scheduler.handle("another", print)()
        seen.append(event.target)

    deregister = scheduler.handle("alone", alone)
    scheduler.in_(0, "alone")
    clock.advance(0)
    assert seen == [1, "alone"]
    del alone
    assert spoken_of(scheduler) == 0


@pytest.mark.usefixtures("quiet")
def test_a_dead_job_comes_again(scheduler, clock, kept):
    def dies(event):
        raise Discard("enough")

    deregister = scheduler.handle("mortal", dies)
    scheduler.in_(0, "mortal", id="a")
    clock.advance(0)
    deregister()
    assert [dead.event.target for dead in scheduler.dead()] == ["mortal"]
    # In a file it is not in memory.
    assert spoken_of(scheduler) == (0 if kept else 1)
    ran = []
    others = [scheduler.handle(f"t{n}", ran.append) for n in range(100)]
    assert scheduler.revive("a")
    clock.advance(0)
    assert (scheduler.stats().parked, ran) == (1, [])
    scheduler.handle("mortal", ran.append)
    clock.advance(0)
    assert [event.target for event in ran] == ["mortal"]
    for other in others:
        other()
    assert spoken_of(scheduler) == 1


def test_a_target_may_be_parked_again_once_it_is_forgotten(scheduler, clock, caplog):
    ran = []
    for turn in range(3):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "duewheel"):
            ids = [scheduler.in_(0, "late", retry_limit=n % 2) for n in range(200)]
            clock.advance(0)
        assert ["late" in record.getMessage() for record in caplog.records] == [True]
        assert scheduler.stats().parked == 200
        assert all(map(scheduler.cancel, ids))
        assert spoken_of(scheduler) == 0
        # Another target has the number now.
        scheduler.in_(0, f"other {turn}")
        deregister = scheduler.handle(f"other {turn}", ran.append)
        clock.advance(0)
        assert [event.target for event in ran] == [f"other {turn}"]
        deregister()
        assert scheduler.stats().parked == 0
        ran.clear()
    scheduler.in_(0, "late")
    clock.advance(0)
    assert scheduler.stats().parked == 1
    scheduler.handle("late", ran.append)
    clock.advance(0)
    assert [event.target for event in ran] == ["late"]


def test_a_target_with_the_number_of_one_that_was_parked_is_parked_itself(clock, caplog):
    with Scheduler(workers=1, clock=clock) as scheduler:
        ids = [scheduler.in_(0, f"former {n}") for n in range(100)]
        clock.advance(0)
        assert all(map(scheduler.cancel, ids))
        assert spoken_of(scheduler) == 0
        caplog.clear()
        with caplog.at_level(logging.WARNING, "duewheel"):
            ids = [scheduler.in_(0, f"new {n}") for n in range(REMEMBERED)]
            clock.advance(0)
        assert {record.args for record in caplog.records} == {(f"new {n}",) for n in range(REMEMBERED)}
        assert len(caplog.records) == scheduler.stats().parked == REMEMBERED
        scheduler._check()
        for id in ids:
            scheduler.cancel(id)


def test_an_old_deregister_does_nothing_to_the_target_that_has_the_number(scheduler, clock):
    old, ran = [], []
    for name in "abcabc":
        deregister = scheduler.handle(name, ran.append)
        assert scheduler._targets() == (1, 1)
        for former in old:
            former()
        assert scheduler._targets() == (1, 1)
        deregister()
        deregister()
        old.append(deregister)
    scheduler.handle("d", ran.append)
    for former in old:
        former()
    scheduler.in_(0, "d")
    clock.advance(0)
    assert ran.pop().target == "d"


def test_what_is_parked_on_disk_alone_finds_its_handler(tmp_path):
    with Scheduler(options(tmp_path, True, resident=64), workers=1) as scheduler:
        for n in range(120):
            scheduler.in_(0, f"parked {n % 40}", n.to_bytes(1, "big"))
        assert scheduler.wait(30)
        assert scheduler.stats().parked == 120
        for _ in range(10):  # each leaves some on disk alone
            assert scheduler.cancel(scheduler.in_(3_600, "far"))
        assert spoken_of(scheduler) < 10
        ran = []
        for n in range(40):  # they have the numbers of some that are parked
            scheduler.handle(f"other {n}", ran.append)
        assert scheduler.wait(30)
        assert (scheduler.stats().parked, ran) == (120, [])
        for n in range(40):
            deregister = scheduler.handle(f"parked {n}", ran.append)
            assert scheduler.wait(30)
            assert sorted((event.target, event.data[0]) for event in ran) == [
                (f"parked {n}", data) for data in (n, n + 40, n + 80)
            ]
            assert scheduler.stats().parked == 120 - 3 * (n + 1)
            ran.clear()
            deregister()
        scheduler._check()
        assert scheduler.stats().pending == 0


def test_targets_of_a_loop_are_forgotten(tmp_path, kept, clock):
    async def main():
        ran = []

        async def handler(event):
            await asyncio.sleep(0)
            ran.append(event.target)

        async with aio.Scheduler(options(tmp_path, kept), clock=clock) as scheduler:
            for name in "abab":
                deregister = scheduler.handle(name, handler)
                await scheduler.in_(0, name)
                await asyncio.to_thread(clock.advance, 0)
                assert await scheduler.wait(30)
                assert ran.pop() == name
                deregister()
                assert await scheduler.cancel(await scheduler.in_(60, name))
                assert spoken_of(scheduler._core) == 0

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(6))
def test_targets_come_and_go_at_random(scheduler, clock, seed):
    dice = random.Random(seed)
    handlers, jobs, parked, old, ran = {}, {}, {}, [], []
    names = [f"t{n}" for n in range(30)]
    serial = itertools.count()
    now = 0

    def register(name):
        tag = next(serial)
        handlers[name] = (tag, scheduler.handle(name, lambda event: ran.append((tag, event.target, event.job_id))))

    def run_parked(name):
        return {(handlers[name][0], name, id) for id in parked.pop(name, ())}

    def look():
        busy = handlers.keys() | parked.keys() | {name for name, _ in jobs.values()}
        assert spoken_of(scheduler) == len(busy)
        scheduler._check()

    for step in range(400):
        name, expected = dice.choice(names), set()
        match dice.randrange(8):
            case 0 | 1 | 2:
                delay = dice.randrange(4)
                id = scheduler.in_(delay, name, **dice.choice([{}, {"retry_limit": 2}, {"id": f"job {step}"}]))
                jobs[id] = (name, now + delay)
            case 3 if name not in handlers:
                register(name)
                expected = run_parked(name)
            case 4 if name in handlers:
                _, deregister = handlers.pop(name)
                deregister()
                old.append(deregister)
            case 5 if jobs or parked:
                ids = [*jobs, *itertools.chain.from_iterable(parked.values())]
                id = dice.choice(ids)
                assert scheduler.cancel(id)
                jobs.pop(id, None)
                for target in [target for target, ids in parked.items() if id in ids]:
                    parked[target].remove(id)
                    if not parked[target]:
                        del parked[target]
            case 6:
                for deregister in old:
                    deregister()
            case 7:
                now += 1
        clock.advance(now - clock.now())
        for id, (target, due) in list(jobs.items()):
            if due <= now:
                del jobs[id]
                if target in handlers:
                    expected.add((handlers[target][0], target, id))
                else:
                    parked.setdefault(target, set()).add(id)
        assert (set(ran), len(ran)) == (expected, len(expected))
        ran.clear()
        assert scheduler.stats().parked == sum(map(len, parked.values()))
        if step % 40 == 39:
            look()
    for name in names:
        if name not in handlers:
            register(name)
    clock.advance(10)
    assert {id for _, _, id in ran} == {*jobs, *itertools.chain.from_iterable(parked.values())}
    assert all(handlers[target][0] == tag for tag, target, _ in ran)


def test_threads_may_make_and_forget_targets_at_once(tmp_path, kept):
    wrong, turns = [], 60 if kept else 1_500
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with Scheduler(options(tmp_path, kept), workers=2) as scheduler:

        def churn(which):
            dice = random.Random(which)
            try:
                for turn in range(turns):
                    # Some names are of one thread, and some of all.
                    name = f"{which} {dice.randrange(5)}" if turn % 2 else f"all {dice.randrange(3)}"

                    def handler(event, name=name):
                        if event.target != name:
                            wrong.append((event.target, name))

                    deregister = None
                    if turn % 2:
                        deregister = scheduler.handle(name, handler)
                    ids = [scheduler.in_(dice.choice([0, 3_600]), name, retry_limit=turn) for _ in range(2)]
                    if deregister:
                        deregister()
                        deregister()
                    for id in ids:
                        scheduler.cancel(id)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=churn, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert scheduler.wait(30)
        # A job that a worker had at hand may have been parked: all names have a handler, and lose it.
        for name in [f"{which} {n}" for which in range(4) for n in range(5)] + [f"all {n}" for n in range(3)]:
            deregister = scheduler.handle(name, lambda event: None)
            assert scheduler.wait(30)
            deregister()
        assert scheduler.stats().pending == 0
        scheduler._check()
        # The workers look at the handlers again when they next have a job.
        scheduler.drain()
        assert spoken_of(scheduler) <= 2
    sys.setswitchinterval(switch)
