"""Event loops: the tasks of async handlers, and the loop of a scheduler that is not on one of its user's.

Imported with the first async handler: asyncio takes longer to import than all of duewheel.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any

from duewheel._core import touch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from duewheel._core import EventLoop
    from duewheel._core import Scheduler as SchedulerCore

_LAST_WORDS_S = 1.0
"""How long what handlers have spawned may go on once the loop has no handlers left: it may swallow its cancellation."""


class HandlerTask(asyncio.Task[None]):
    """The task of an async handler.

    One is the current task while handlers take their first steps; the extension must know when a handler looks at it,
    for then it is that handler's alone.
    """

    def __getattribute__(self, name: str) -> Any:
        touch()
        return super().__getattribute__(name)

    def __hash__(self) -> int:
        touch()
        return super().__hash__()


def attach(core: SchedulerCore, loop: asyncio.AbstractEventLoop, over: Callable[[], object] | None = None) -> EventLoop:
    """Put the async handlers of a scheduler on this loop; called on its thread, or before it runs."""
    task = functools.partial(HandlerTask, loop=loop)
    events = core._attach(loop, task, True, over)
    try:
        if events.descriptor is None:
            raise NotImplementedError
        loop.add_reader(events.descriptor, events.drain)
    except NotImplementedError:
        # The loop watches no descriptors, as on Windows: a thread waits for the bell, one call a batch.
        events.abandon()
        events = core._attach(loop, task, False, over)
        threading.Thread(target=_call, args=(events, loop), name="duewheel-bell", daemon=True).start()
    return events


def _call(events: EventLoop, loop: asyncio.AbstractEventLoop) -> None:
    while events.wait_bell():
        try:
            loop.call_soon_threadsafe(events.drain)
        except RuntimeError:  # the loop is closed
            return


def as_coroutine(returned: object) -> Coroutine[Any, Any, object]:
    """Make a coroutine of what a handler has returned."""
    if inspect.iscoroutine(returned):
        return returned
    if not inspect.isawaitable(returned):
        raise TypeError(f"an async handler must return an awaitable, not {returned!r}")
    return _await(returned)


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable


def run_due(events: EventLoop) -> None:
    """Run what is due, and all that it waits for, where the clock is a manual one.

    On the loop's own thread only the first steps: the loop cannot go on before its caller lets it.
    """
    loop = events.events
    here = asyncio._get_running_loop()
    if here is loop:
        events.drain()
    elif loop.is_running():
        asyncio.run_coroutine_threadsafe(_finish(events), loop).result()
    else:
        _beside_loops(functools.partial(_run_until_finished, loop, events))


def _beside_loops(run: Callable[[], None]) -> None:
    """Call what runs a loop: where another one runs in this thread, ours needs one of its own."""
    if asyncio._get_running_loop() is None:
        run()
        return
    failed: list[BaseException] = []

    def attempt() -> None:
        try:
            run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=attempt, name="duewheel-loop")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _run_until_finished(loop: asyncio.AbstractEventLoop, events: EventLoop) -> None:
    try:
        loop.run_until_complete(_finish(events))
    finally:
        if events.over:  # a handler has closed the scheduler: the loop could not be closed while it ran
            _end(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_running():
        _beside_loops(functools.partial(_end, loop))


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what handlers have left behind, and close the loop, as `asyncio.run` does, but not for ever."""
    if loop.is_closed():
        return
    if left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=_LAST_WORDS_S))
    # What ended last may have something to say yet.
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _finish(events: EventLoop) -> None:
    events.drain()
    while True:
        if tasks := events.tasks():
            await asyncio.wait(tasks)
        elif finished := events.watch("finished"):
            # It has started and is no task yet: an at-most-once job in a file waits for the disk first.
            await finished
        else:
            return


def own_loop(core: SchedulerCore, manual: bool) -> EventLoop:
    """Make a loop for a scheduler whose user has none, and run it in a thread until the scheduler is closed.

    With a manual clock it has no thread: who advances the clock runs it.
    """
    loop = asyncio.new_event_loop()
    try:
        events = attach(core, loop, functools.partial(_close, loop) if manual else loop.stop)
    except BaseException:
        loop.close()
        raise
    if not manual:
        # It refers to no scheduler: that is closed when nobody else does.
        threading.Thread(target=_run, args=(loop, events), name="duewheel-loop", daemon=True).start()
    return events


def _run(loop: asyncio.AbstractEventLoop, events: EventLoop) -> None:
    events.enter_thread()
    try:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        _end(loop)
    finally:
        events.leave_thread()
