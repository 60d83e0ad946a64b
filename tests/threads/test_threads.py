"""Threads × schedulers: each thread makes and closes its own, and uses those of all others. At the end all adds up."""

import asyncio
import contextlib
import gc
import inspect
import random
import threading
import time

import pytest
from waiting import until

from duewheel import ClosedError, DuplicateTargetError, LocalStorage, Scheduler, StateError, _loop, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet", "switching")

PATIENCE_S = 40


@contextlib.contextmanager
def collecting():
    """Collect garbage all the while, in a thread of its own."""
    over = threading.Event()

    def collects():
        while not over.wait(0.02):
            gc.collect()

    thread = threading.Thread(target=collects)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def said(answer):
    return await answer if inspect.isawaitable(answer) else answer


class Life:
    """One scheduler and what is to be said of it: appended to by any thread."""

    def __init__(self, make, storage):
        self.scheduler = make(storage, workers=2, tasks=3)
        self.accepted, self.cancelled, self.began, self.ended = [], [], [], []
        self.bulks, self.pending, self.closes = [], [], False
        self.scheduler.handle("sync", self.on_worker)
        self.scheduler.handle("async", self.on_loop)

    def on_worker(self, event):
        self.began.append(event.job_id)
        if self.closes and isinstance(self.scheduler, Scheduler):
            self.scheduler.close()
        self.ended.append(event.job_id)

    async def on_loop(self, event):
        self.began.append(event.job_id)
        for _ in range(len(self.began) % 3):
            await asyncio.sleep(0)
        if self.closes:
            await said(self.scheduler.close())
        self.ended.append(event.job_id)

    async def used(self, chance):
        """One call, by any thread; what it said is noted."""
        scheduler, target = self.scheduler, chance.choice(["sync", "async"])
        how = chance.random()
        try:
            if how < 0.5:
                delay = chance.choice([0, 0, 0.001, 100])
                self.accepted.append(await said(scheduler.in_(delay, target)))
            elif how < 0.6:
                count = chance.choice([1, 30, 300])
                ids = await said(scheduler.in_many([chance.choice([0, 0.002])] * count, target))
                self.bulks.append(ids)
                self.accepted.extend(ids)
            elif how < 0.65 and self.bulks:
                ids = chance.choice(self.bulks)
                assert ids.index(ids[-1]) == len(ids) - 1 and ids[0] in ids[:2]
                if await said(scheduler.cancel(ids[0])):
                    self.cancelled.append(ids[0])
            elif how < 0.7:
                await self.changed(chance)
            elif self.accepted:
                id = chance.choice(self.accepted)
                if how < 0.9:
                    if await said(scheduler.cancel(id)):
                        self.cancelled.append(id)
                elif how < 0.95:
                    await said(scheduler.reschedule(id, 1))
                else:
                    await said(scheduler.get(id))
                    scheduler.stats()
        except ClosedError:
            pass

    async def changed(self, chance):
        """One of the calls that many threads at once make seldom."""
        scheduler = self.scheduler
        how = chance.choice(["passes on", "drains", "looks", "closes"])
        if how == "passes on":
            with contextlib.suppress(DuplicateTargetError):
                deregister = scheduler.handle("passed on", chance.choice([self.on_worker, self.on_loop]))
                self.accepted.append(await said(scheduler.in_(0, "passed on")))
                await asyncio.sleep(chance.choice([0, 0.001]))
                deregister()
        elif how == "drains":
            await said(scheduler.drain(0))
            with contextlib.suppress(StateError):  # of a loop that has it
                await said(scheduler.start())
        elif how == "looks" and isinstance(scheduler, Scheduler):
            assert len(scheduler) >= 0 and repr(scheduler)
            scheduler.next()
            # One iterator, for whoever comes.
            if not self.pending:
                self.pending.append(scheduler.between())
            for _, event in zip(range(20), self.pending[-1], strict=False):
                assert event.run == 1
            if chance.random() < 0.3:
                self.pending.append(scheduler.between())
        elif how == "closes" and chance.random() < 0.05:
            self.closes = True

    async def ends(self, chance):
        how = chance.random()
        if how < 0.5:
            await said(self.scheduler.drain(PATIENCE_S))
        await said(self.scheduler.close())
        assert await said(self.scheduler.drain(PATIENCE_S))

    def adds_up(self):
        stats = self.scheduler.stats()
        assert stats.running == 0
        assert stats.scheduled == len(self.accepted) == len(set(self.accepted))
        assert stats.cancelled == len(self.cancelled) == len(set(self.cancelled))
        assert stats.started == len(self.began) == len(set(self.began))
        assert stats.succeeded == len(self.ended)
        assert not {*self.cancelled} & {*self.began}
        assert {*self.began} <= {*self.accepted}
        assert stats.scheduled == stats.succeeded + stats.cancelled + stats.dropped + stats.pending
        assert stats.dead == stats.retried == stats.snoozed == stats.revived == 0


def in_threads(count, run):
    """Run coroutine functions, each on the loop of a thread of its own; what they raised is raised."""
    failed = []

    def on_loop(number):
        try:
            asyncio.run(run(number))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=on_loop, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


LONG = [pytest.mark.slow, pytest.mark.timeout(1_200)]


@pytest.mark.parametrize(
    ("kept", "rounds"),
    [
        pytest.param(False, 10, id="memory"),
        pytest.param(True, 4, id="file"),  # each call waits for a sync
        pytest.param(False, 100, marks=LONG, id="memory, long"),
        pytest.param(True, 100, marks=LONG, id="file, long"),
    ],
)
def test_what_threads_do_to_schedulers_of_each_other_adds_up(tmp_path, kept, rounds):
    shared = []

    async def lives(thread):
        chance = random.Random(thread)
        for number in range(rounds):
            make = chance.choice([Scheduler, aio.Scheduler])
            life = Life(make, tmp_path / f"{thread}-{number}.db" if kept else None)
            shared.append(life)
            with contextlib.suppress(ClosedError):  # by a handler, before start has returned
                await said(life.scheduler.start())
            for _ in range(60):
                await chance.choice([life, *shared[-12:]]).used(chance)
                if chance.random() < 0.1:
                    await asyncio.sleep(0)
            await life.ends(chance)

    with collecting():
        in_threads(8, lives)
    assert len(shared) == 8 * rounds
    for life in shared:
        life.adds_up()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "duewheel-loop"])


def test_of_loops_that_start_a_scheduler_at_once_one_has_it(monkeypatch):
    attached, ran = [], []

    def attach(core, loop, over=None, attach=_loop.attach):
        attached.append(loop)
        return attach(core, loop, over)

    async def handler(event):
        ran.append(asyncio.get_running_loop())

    async def starts(number):
        if number == 0:
            attached.clear()
            ran.clear()
        before.wait(PATIENCE_S)
        await scheduler.start()
        after.wait(PATIENCE_S)
        if attached[0] is asyncio.get_running_loop():
            await scheduler.in_many([0] * 3, "t")
            assert await scheduler.wait(PATIENCE_S)
            await scheduler.close()

    monkeypatch.setattr(_loop, "attach", attach)
    for _ in range(50):
        scheduler = aio.Scheduler()
        scheduler.handle("t", handler)
        before, after = threading.Barrier(4), threading.Barrier(4)
        in_threads(4, starts)
        assert len(attached) == 1
        assert ran == attached * 3


def test_whoever_takes_a_clock_while_others_leave_it_is_driven_by_it():
    clock = ManualClock()
    stop = threading.Event()

    def advances():
        while not stop.is_set():
            clock.advance(0)

    advancing = threading.Thread(target=advances)
    advancing.start()

    async def takes_it(number):
        for _ in range(300):
            ReferenceScheduler(clock=clock)  # it takes the clock, and leaves it at once

        for _ in range(100):
            ran = threading.Event()
            with Scheduler(clock=clock) as scheduler:
                scheduler.handle("t", lambda event, ran=ran: ran.set())
                scheduler.in_(0, "t")
                assert ran.wait(PATIENCE_S / 4)

    try:
        in_threads(3, takes_it)
    finally:
        stop.set()
        advancing.join()


def test_a_clock_that_another_thread_advances_stands_still_for_handlers_of_the_loop():
    seen = []

    async def handler(event):
        seen.append(clock.now())

    async def main():
        async with aio.Scheduler(clock=clock) as scheduler:
            scheduler.handle("t", handler)
            await scheduler.in_many(range(1, 1_001), "t")
            await asyncio.to_thread(clock.advance, 1_000)

    clock = ManualClock()
    asyncio.run(main())
    assert seen == list(range(1, 1_001))


def test_of_threads_that_start_a_scheduler_at_once_one_makes_its_threads():
    async def starts(number):
        before.wait(PATIENCE_S)
        scheduler.start()

    def handler(event):
        if alone.acquire(blocking=False):
            time.sleep(0.0001)
            alone.release()
        else:
            together.append(event)

    together, alone = [], threading.Lock()
    for _ in range(50):
        scheduler = Scheduler(workers=1)
        scheduler.handle("t", handler)
        scheduler.in_many([0] * 20, "t")
        before = threading.Barrier(4)
        in_threads(4, starts)
        assert scheduler.wait(PATIENCE_S)
        scheduler.close()
    assert not together


def test_a_target_that_threads_pass_on_runs_whoever_has_it():
    async def has_it(number):
        for _ in range(100):
            ran = threading.Event()
            while True:
                with contextlib.suppress(DuplicateTargetError):
                    deregister = scheduler.handle("t", lambda event, ran=ran: ran.set())
                    break
            try:
                scheduler.in_(0, "t")
                assert ran.wait(PATIENCE_S / 4)
            finally:
                deregister()

    with Scheduler() as scheduler:
        in_threads(4, has_it)


def test_a_scheduler_that_is_closed_while_it_starts_leaves_no_loop():
    async def handler(event):
        pass

    async def starts_or_closes(number):
        before.wait(PATIENCE_S)
        with contextlib.suppress(ClosedError):
            scheduler.start() if number else scheduler.close()

    for _ in range(100):
        scheduler = Scheduler()
        scheduler.handle("t", handler)
        before = threading.Barrier(2)
        in_threads(2, starts_or_closes)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "duewheel-loop"])


def test_an_iterator_that_threads_share_gives_each_event_once(tmp_path):
    storage = LocalStorage(tmp_path / "jobs.db", durability="relaxed", resident=10)
    with Scheduler(storage) as scheduler:
        ids = list(scheduler.in_many([3_600 + n for n in range(5_000)], "t"))
        for _ in range(5):
            events, seen = scheduler.between(), []

            async def takes(number, events=events, seen=seen):
                seen.extend([event.job_id for event in events])

            in_threads(4, takes)
            assert sorted(seen) == sorted(ids)
