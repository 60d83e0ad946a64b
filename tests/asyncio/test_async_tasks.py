"""The task and the context of an async handler are its own, in every step."""

import asyncio
import weakref

import pytest
from async_jobs import run, the_innermost
from waiting import PATIENCE_S, until

from duewheel import Scheduler, current_scheduler

pytestmark = pytest.mark.usefixtures("quiet")


def test_the_current_scheduler_is_right_everywhere():
    seen = []

    async def spawned():
        seen.append(current_scheduler())
        await asyncio.sleep(0)
        seen.append(current_scheduler())

    async def handler(event):
        seen.append(current_scheduler())
        task = asyncio.create_task(spawned())
        await asyncio.sleep(0)
        seen.append(current_scheduler())
        await task
        await asyncio.to_thread(lambda: seen.append(current_scheduler()))

    scheduler, _ = run(handler)
    assert seen == [scheduler] * 5


def test_a_handler_has_a_context_of_its_own():
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)
    seen = []

    async def handler(event):
        seen.append(variable.get())
        variable.set(1)
        await asyncio.sleep(0)
        seen.append(variable.get())

    run(handler, handler, handler)
    assert sorted(seen) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_has_its_task_in_every_step(waits):
    seen = []

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert isinstance(task, asyncio.Task)
        seen.append(task is asyncio.current_task())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(PATIENCE_S)
        async with asyncio.TaskGroup() as group:
            own = group.create_task(asyncio.sleep(0, "x"))
        seen.append(own.result())
        with pytest.raises(ExceptionGroup):  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                group.create_task(the_innermost(False))
                await asyncio.sleep(PATIENCE_S)
        assert task.cancelling() == 0
        seen.append(await asyncio.wait_for(asyncio.sleep(0, "y"), PATIENCE_S))

    _, dead = run(handler, retry_limit=0)
    assert not dead, dead[0].error
    assert seen == [True, "x", "y"]


LOOKS = {
    "keeps it": lambda task, kept: kept.append(task),
    "names it": lambda task, kept: task.set_name("mine"),
    "adds a callback": lambda task, kept: task.add_done_callback(kept.append),
    "puts it into a weak set": lambda task, kept: kept[0].add(task),
    "refers to it weakly": lambda task, kept: kept.append(weakref.ref(task)),
    "sees its id": lambda task, kept: kept.append(task.get_name()),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_handlers_that_look_at_their_task_never_share_one(look):
    kept, names = [weakref.WeakSet()], []

    async def looks(event):
        task = asyncio.current_task()
        look(task, kept)

    async def checks(event):
        task = asyncio.current_task()
        names.append(task.get_name())
        assert all(task is not other and task != other for other in kept[1:])
        assert task not in kept[0]
        assert task.get_name() != "mine"

    _, dead = run(*[looks, checks] * 20, retry_limit=0)
    assert not dead, dead[0].error
    assert len(set(names)) == 20


def test_done_callbacks_run_once_when_their_handler_ends():
    order = []

    async def handler(event):
        task = asyncio.current_task()
        task.add_done_callback(lambda done: order.append(("done", event.data, done is task, done.cancelled())))
        if event.data == b"waits":
            await asyncio.sleep(0)
        order.append(("ends", event.data))

    with Scheduler() as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(0, "t", b"waits")
        scheduler.in_(0, "t", b"does not")
        assert scheduler.wait(PATIENCE_S)
        until(lambda: len(order) == 4)
    for data in (b"waits", b"does not"):
        assert order.index(("ends", data)) < order.index(("done", data, True, False))
