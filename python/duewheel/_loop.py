"""Event loops: the tasks of async handlers, and the loop of a scheduler that is not on one of its user's.

Imported with the first async handler: asyncio takes longer to import than all of duewheel.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import threading
import traceback
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from duewheel import _log, _threads
from duewheel._core import outer_handlers, run_inside, touch
from duewheel.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from duewheel._core import EventLoop
    from duewheel.scheduler import Core

_LAST_WORDS_S = 1.0
"""How long what handlers have spawned may go on once the loop has no handlers left: it may swallow its cancellation."""

_FIRST_STEPS = (
    "on the thread of the running event loop the clock advances without waiting for async handlers, whose first steps "
    "alone have run: await asyncio.to_thread(clock.advance, ...)"
)

_LOST = "the event loop was closed while this ran: a scheduler closes its own loop"


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


def attach(core: Core, loop: asyncio.AbstractEventLoop, over: Callable[[], object] | None = None) -> EventLoop:
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
        try:
            _threads.start(functools.partial(_call, events, loop), "duewheel-bell")
        except BaseException:
            events.abandon()
            raise
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


def run_due(core: Core) -> None:
    """Run what is due, and all that it waits for, where the clock is a manual one.

    On the loop's own thread only the first steps: the loop cannot go on before its caller lets it.
    """
    while True:
        events = core._provide_loop()
        if events.over:
            return
        loop = events.events
        here = asyncio._get_running_loop()
        if here is loop:
            events.drain()
            if not core._holds("finished"):
                warnings.warn(_FIRST_STEPS, RuntimeWarning, stacklevel=5)  # who advances the clock
        elif loop.is_running():
            asyncio.run_coroutine_threadsafe(_finish(events), loop).result()
        elif not loop.is_closed():
            _beside_loops(functools.partial(_run_until_finished, loop, events))
        if events.over or not loop.is_closed():  # type: ignore[redundant-expr]  # it ends meanwhile
            return
        # Somebody has closed it.
        events.abandon(StateError(_LOST))
        core._events = None


def _beside_loops(run: Callable[[], None]) -> None:
    """Call what runs a loop: where another one runs in this thread, ours needs one of its own."""
    if asyncio._get_running_loop() is None:
        run()
        return
    failed: list[BaseException] = []
    outer = outer_handlers()

    def attempt() -> None:
        run_inside(outer)
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
        _complete(loop, _finish(events))
    finally:
        if events.over:  # a handler has closed the scheduler: the loop could not be closed while it ran
            _end(loop)


def _complete(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, object]) -> None:
    """Run the loop until a coroutine has ended, whatever stops it on the way, but for Ctrl-C."""
    task = loop.create_task(main)
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            if not _is_of_the_loop(error):
                task.cancel()
                raise
            _log.loop_stopped(error)
        except RuntimeError:
            if not loop.is_closed():
                raise
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            return
        else:
            if not task.done():
                _log.loop_stopped(None)
    task.result()


def _is_of_the_loop(error: BaseException) -> bool:
    """Tell whether an exception came out of what the loop has called, and not to who runs it, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        return True
    callback = asyncio.Handle._run.__code__
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_code is callback for frame in frames)


def close_by_hand(events: EventLoop) -> None:
    """Cancel what runs, and let it end: the loop of a manual clock has no thread that goes on with it."""
    events.drain()
    loop = events.events
    if not (events.over or loop.is_running() or loop.is_closed()):
        _beside_loops(functools.partial(_run_last_words, loop, events))


def _run_last_words(loop: asyncio.AbstractEventLoop, events: EventLoop) -> None:
    try:
        if tasks := events.tasks():
            _complete(loop, _wait_for_last_words(tasks))
    finally:
        if events.over:
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
        _complete(loop, _wait_for_last_words(left))
    # What ended last may have something to say yet.
    _complete(loop, loop.shutdown_asyncgens())
    loop.close()


async def _wait_for_last_words(tasks: Iterable[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks, timeout=_LAST_WORDS_S)


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


def own_loop(core: Core, manual: bool) -> EventLoop:
    """Make a loop for a scheduler whose user has none, and run it in a thread until the scheduler is closed.

    With a manual clock it has no thread: who advances the clock runs it.
    """
    loop = _new_loop()
    try:
        events = attach(core, loop, functools.partial(_close, loop) if manual else loop.stop)
    except BaseException:
        loop.close()
        raise
    if not manual:
        try:
            # It refers to no scheduler: that is closed when nobody else does.
            _threads.start(functools.partial(_run, loop, events, weakref.ref(core)), "duewheel-loop")
        except BaseException:
            events.abandon()
            loop.close()
            raise
    return events


def _new_loop() -> asyncio.AbstractEventLoop:
    if selector := _threads.original("selectors", "DefaultSelector"):
        # The loop has a native thread, where gevent's would look for greenlets to wait for.
        return asyncio.SelectorEventLoop(selector())
    return asyncio.new_event_loop()


def _run(loop: asyncio.AbstractEventLoop, events: EventLoop, owner: weakref.ref[Core]) -> None:
    events.enter_thread()
    try:
        while _is_lost(loop, events):
            # A handler has closed it, or one of its descriptors.
            replaced = _replace(events, owner())
            if replaced is None:
                return
            loop, events = replaced
        _end(loop)
    finally:
        events.leave_thread()


def _is_lost(loop: asyncio.AbstractEventLoop, events: EventLoop) -> bool:
    """Run a loop until its scheduler is closed, whatever stops it on the way; `True`: it cannot run any more."""
    asyncio.set_event_loop(loop)
    while not events.over:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            _log.loop_stopped(error)
        except Exception as error:
            _log.loop_lost(error)
            return not events.over
        else:
            if not events.over:
                _log.loop_stopped(None)
    return False


def _replace(events: EventLoop, core: Core | None) -> tuple[asyncio.AbstractEventLoop, EventLoop] | None:
    """Give up what ran on a loop that is lost, and go on with another one; `None`: the scheduler is closed."""
    events.abandon(StateError(_LOST))
    with contextlib.suppress(Exception):
        events.events.close()
    if core is None or core._closed:
        return None
    loop = _new_loop()
    core._events = attach(core, loop, loop.stop)
    return loop, core._events
