"""Hold the engine with async handlers, and `duewheel.aio` over it, against the same reference by the same rules."""

import asyncio
import contextvars
import functools
import itertools
import os

import pytest
from machine import bursts, hold, kept_bursts
from sides import Random, Side, at_once

from duewheel import Scheduler, aio

pytestmark = pytest.mark.usefixtures("quiet")

SLOW_STEPS = max(200_000, int(os.environ.get("DUEWHEEL_MODEL_STEPS", "0")))


class Suspending(Side):
    """The plain scheduler, whose handlers are sync and async by turns, and the async ones wait now and then."""

    def __init__(self, make):
        self.turns = itertools.count()
        self.chance = Random(0)
        self.may_pause = True
        super().__init__(make)

    def handler(self):
        return self.run_async if next(self.turns) % 3 else super().handler()

    async def run_async(self, event):
        return await self.run(event)

    async def pause(self):
        loop = asyncio._get_running_loop()
        if loop is None or not self.may_pause or asyncio.current_task() is None:
            return
        how = self.chance.number(0, 7)
        if how == 0:
            await asyncio.sleep(0)
        elif how == 1:
            future = loop.create_future()
            loop.call_later(0, future.set_result, None)
            await future
        elif how == 2:
            await asyncio.create_task(asyncio.sleep(0))
        elif how == 3:
            await asyncio.wait_for(asyncio.to_thread(lambda: None), 30)


class Awaited:
    """A scheduler of `aio` as if its calls were not awaited: each runs on the one loop, in this thread, to its end."""

    def __init__(self, runner, *arguments, **keywords):
        self.runner = runner
        self.scheduler = aio.Scheduler(*arguments, **keywords)

    def __getattr__(self, name):
        held_by = self.scheduler if hasattr(self.scheduler, name) else self.scheduler._core
        found = getattr(held_by, name)
        return functools.partial(self.call, found) if callable(found) else found

    def call(self, call, *arguments, **keywords):
        made = call(*arguments, **keywords)
        if hasattr(made, "__aiter__"):
            return iter(self.runner.run(listed(made)))
        return self.runner.run(made) if asyncio.iscoroutine(made) else made

    def __len__(self):
        return self.runner.run(self.scheduler.count())

    def __contains__(self, id):
        return self.get(id) is not None


async def listed(items):
    return [item async for item in items]


class OnLoop(Suspending):
    """`duewheel.aio.Scheduler`, on one loop in this thread."""

    def __init__(self, storage=None):
        self.runner = asyncio.Runner()
        self.elsewhere = asyncio.Runner()
        super().__init__(functools.partial(Awaited, self.runner, storage))

    @property
    def inside(self):
        return self.scheduler.scheduler

    def handler(self):
        return self.run_async if next(self.turns) % 3 else self.run_sync

    def run_sync(self, event):
        # Where calls wait, a sync handler makes them on a loop of its own.
        if not self.is_kept:
            return at_once(self.run(event))
        return self.elsewhere.run(self.run(event), context=contextvars.copy_context())

    def advance(self, delay):
        how = self.chance.number(0, 3)
        if how == 0:
            self.runner.run(asyncio.to_thread(self.clock.advance, delay))
        elif how == 1 and not self.is_kept:
            # Only first steps are taken, so none may wait.
            self.may_pause = False
            self.runner.run(self.advance_here(delay))
            self.may_pause = True
        else:
            self.clock.advance(delay)

    async def advance_here(self, delay):
        self.clock.advance(delay)

    def close(self):
        if not self.inside._core._closed:
            self.scheduler.close()
            self.runner.close()
            self.elsewhere.close()


def plain(storage=None):
    return Suspending(functools.partial(Scheduler, storage))


ENGINES = pytest.mark.parametrize("engine", [plain, OnLoop], ids=["plain", "aio"])


@ENGINES
@pytest.mark.timeout(300)  # about 4 s on an idle machine
def test_the_engine_does_what_the_reference_does(engine):
    hold(engine, 20)


@ENGINES
@pytest.mark.parametrize("window", [{"horizon": 40, "resident": 5}, {"durability": "commit"}], ids=str)
def test_the_engine_does_the_same_with_a_file_behind_it(engine, window, tmp_path):
    kept_bursts(engine, tmp_path, window, 12, 3)


@ENGINES
@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_many_operations(engine):
    hold(engine, 500)
    bursts(engine, SLOW_STEPS)


@ENGINES
@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    "window", [{}, {"horizon": 1.2}, {"horizon": 40, "resident": 5}, {"horizon": 0}, {"durability": "commit"}], ids=str
)
def test_many_operations_over_a_file(engine, window, tmp_path):
    kept_bursts(engine, tmp_path, window, 12, 50)
