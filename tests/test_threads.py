"""Threads × schedulers: each thread makes and closes its own, and uses those of all others. At the end all adds up."""

import asyncio
import inspect
import random
import sys
import threading
import time

import pytest

from duewheel import ClosedError, Scheduler, _loop, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet", "switching")

PATIENCE_S = 40


@pytest.fixture
def switching():
    """Let threads take turns often, as they do where there is no lock to take turns with."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def until(holds):
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


async def said(answer):
    return await answer if inspect.isawaitable(answer) else answer


class Life:
    """One scheduler and what is to be said of it: appended to by any thread."""

    def __init__(self, make, storage):
        self.scheduler = make(storage, workers=2, tasks=3)
        self.accepted, self.cancelled, self.began, self.ended = [], [], [], []
        self.scheduler.handle("sync", self.on_worker)
        self.scheduler.handle("async", self.on_loop)

    def on_worker(self, event):
        self.began.append(event.job_id)
        self.ended.append(event.job_id)

    async def on_loop(self, event):
        self.began.append(event.job_id)
        for _ in range(len(self.began) % 3):
            await asyncio.sleep(0)
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
                self.accepted.extend(await said(scheduler.in_many([chance.choice([0, 0.002])] * count, target)))
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


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize(
    "rounds", [10, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)])], ids="{} rounds".format
)
def test_threads_times_schedulers(tmp_path, kept, rounds):
    shared = []

    async def lives(thread):
        chance = random.Random(thread)
        for number in range(rounds):
            make = chance.choice([Scheduler, aio.Scheduler])
            life = Life(make, tmp_path / f"{thread}-{number}.db" if kept else None)
            shared.append(life)
            await said(life.scheduler.start())
            for _ in range(60):
                await chance.choice([life, *shared[-12:]]).used(chance)
                if chance.random() < 0.1:
                    await asyncio.sleep(0)
            await life.ends(chance)

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
