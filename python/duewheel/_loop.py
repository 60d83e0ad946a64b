"""Put async handlers on an event loop: the user's, or one of the scheduler's own.

Imported with the first async handler: asyncio takes longer to import than all of duewheel.

An `event_loop` is the extension's `EventLoop`, the scheduler's part of an asyncio loop; a `loop` is asyncio's.
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
from duewheel._core import Condition, outer_handlers, run_inside, touch
from duewheel.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from typing import TypeGuard

    from duewheel._core import EventLoop, LoopWaker
    from duewheel.scheduler import Core

_LAST_TASKS_S = 1.0
"""How long cancelled tasks may go on before their loop is closed: a task may suppress its cancellation."""

_FIRST_STEPS = (
    "on the thread of the running event loop the clock advances without waiting for async handlers, whose first steps "
    "alone have run: await asyncio.to_thread(clock.advance, ...)"
)

_LOST = "the event loop was closed while this ran: a scheduler closes its own loop"


class HandlerTask(asyncio.Task[None]):
    """The task of an async handler.

    Handlers take their first steps in one task, which is shared. A handler that reads an attribute or the hash of the
    current task may keep it: the extension notes it, and gives other
    handlers another task.
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
    event_loop = core._attach(loop, task, True, over)
    try:
        if event_loop.descriptor is None:
            raise NotImplementedError
        loop.add_reader(event_loop.descriptor, event_loop.take_turn)
    except NotImplementedError:
        # The loop watches no descriptors, as on Windows: a thread waits to be woken, one call a batch.
        event_loop.abandon()
        event_loop = core._attach(loop, task, False, over)
        try:
            _threads.start(functools.partial(_forward_bell, event_loop.waker, weakref.ref(event_loop)), "duewheel-bell")
        except BaseException:
            event_loop.abandon()
            raise
    return event_loop


def _forward_bell(waker: LoopWaker, reference: weakref.ref[EventLoop]) -> None:
    """Forward each wake to the loop; a scheduler whose loop has ended is collected though this waits."""
    while waker.wait() and (event_loop := reference()) is not None:
        try:
            event_loop.asyncio_loop.call_soon_threadsafe(event_loop.take_turn)
        except RuntimeError:  # the loop is closed
            return
        del event_loop


def take_over(core: Core, loop: asyncio.AbstractEventLoop) -> bool:
    """Put a scheduler on this loop; `False`: it has started on another one. Called under its `_loop_lock`.

    **Raises** `StateError` when another loop, which runs, has it.
    """
    event_loop = core._event_loop
    if event_loop is not None and event_loop.asyncio_loop is not loop:
        if core._started and not event_loop.asyncio_loop.is_closed():
            return False
        if event_loop.asyncio_loop.is_running():
            raise StateError("another event loop, which runs, has this scheduler: close it there")
        event_loop.abandon()
        core._event_loop = event_loop = None
    if event_loop is None:
        core._event_loop = attach(core, loop)
    return True


def leave_closed(core: Core) -> None:
    """Take a scheduler off a loop that was closed before the scheduler: nothing else ends what runs there."""
    event_loop = core._event_loop
    if event_loop is None or event_loop.over or not event_loop.asyncio_loop.is_closed():
        return
    with core._loop_lock:
        if core._event_loop is event_loop:
            event_loop.abandon()
            core._event_loop = None


def is_running_here(event_loop: EventLoop | None) -> TypeGuard[EventLoop]:
    """Tell whether the scheduler is on the loop that runs in this thread."""
    return event_loop is not None and event_loop.asyncio_loop is asyncio.get_running_loop() and not event_loop.over


def as_coroutine(returned: object) -> Coroutine[Any, Any, object]:
    """Make a coroutine of what a handler has returned."""
    if inspect.iscoroutine(returned):
        return returned
    if not inspect.isawaitable(returned):
        raise TypeError(f"an async handler must return an awaitable, not {returned!r}")
    return _await(returned)


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable


# The loop of a scheduler with a manual clock: it runs when the clock advances.


def run_due(core: Core) -> None:
    """Run what is due on the loop, and all that it waits for, where the clock is a manual one.

    On the loop's own thread only the first steps: the loop cannot go on before its caller returns.
    """
    while True:
        event_loop = core._provide_loop()
        if event_loop.over:
            return
        loop = event_loop.asyncio_loop
        if asyncio._get_running_loop() is loop:
            event_loop.take_turn()
            if not core._holds(Condition.FINISHED):
                warnings.warn(_FIRST_STEPS, RuntimeWarning, stacklevel=5)  # at the call that advances the clock
        elif loop.is_running():
            asyncio.run_coroutine_threadsafe(_finish(event_loop), loop).result()
        elif not loop.is_closed():
            _beside_loops(functools.partial(_run_to_the_end, event_loop, functools.partial(_finish, event_loop)))
        if event_loop.over or not loop.is_closed():  # type: ignore[redundant-expr]  # it ends meanwhile
            return
        # A handler has closed the loop.
        event_loop.abandon(StateError(_LOST))
        core._event_loop = None


def close_by_hand(event_loop: EventLoop) -> None:
    """Cancel the tasks and run them to their ends: the loop of a manual clock has no thread that does."""
    event_loop.take_turn()
    loop = event_loop.asyncio_loop
    if event_loop.over or loop.is_running() or loop.is_closed():
        return
    if tasks := event_loop.tasks():
        _beside_loops(functools.partial(_run_to_the_end, event_loop, functools.partial(_wait_for, tasks)))


def _run_to_the_end(event_loop: EventLoop, main: Callable[[], Coroutine[Any, Any, object]]) -> None:
    try:
        _complete(event_loop.asyncio_loop, main())
    finally:
        if event_loop.over:  # a handler has closed the scheduler: the loop could not be closed while it ran
            _end(event_loop.asyncio_loop)


def _beside_loops(run: Callable[[], None]) -> None:
    """Call `run`, which runs a loop; in a thread of its own where another loop runs in this one."""
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


def _complete(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, object]) -> None:
    """Run the loop until a coroutine has ended, whatever stops it on the way, but for Ctrl-C."""
    task = loop.create_task(main)
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            if not _comes_from_callback(error):
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


def _comes_from_callback(error: BaseException) -> bool:
    """Tell whether an exception was raised by a callback of the loop, not by a signal beside it, as Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        return True
    callback = asyncio.Handle._run.__code__
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_code is callback for frame in frames)


async def _finish(event_loop: EventLoop) -> None:
    event_loop.take_turn()
    while True:
        if tasks := event_loop.tasks():
            await asyncio.wait(tasks)
        elif finished := event_loop.watch(Condition.FINISHED):
            # It has started and is no task yet: an at-most-once job in a file waits for the disk first.
            await finished
        else:
            return


async def _wait_for(tasks: Iterable[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks, timeout=_LAST_TASKS_S)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_running():
        _beside_loops(functools.partial(_end, loop))


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks that handlers have left, and close the loop, as `asyncio.run` does, but within a time."""
    if loop.is_closed():
        return
    if left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        _complete(loop, _wait_for(left))
    # After the tasks, which may have left generators.
    _complete(loop, loop.shutdown_asyncgens())
    loop.close()


# The loop of a scheduler whose user has none.


def own_loop(core: Core, manual: bool) -> EventLoop:
    """Make a loop for a scheduler, and run it in a thread until the scheduler is closed.

    With a manual clock it has no thread: the call that advances the clock runs it.
    """
    loop = _new_loop()
    try:
        event_loop = attach(core, loop, functools.partial(_close, loop) if manual else loop.stop)
    except BaseException:
        loop.close()
        raise
    if not manual:
        try:
            # The thread refers to no scheduler: that is closed when nothing else refers to it.
            _threads.start(functools.partial(_run, event_loop, weakref.ref(core)), "duewheel-loop")
        except BaseException:
            event_loop.abandon()
            loop.close()
            raise
    return event_loop


def _new_loop() -> asyncio.AbstractEventLoop:
    if selector := _threads.original("selectors", "DefaultSelector"):
        # The loop has a native thread, where gevent's selector would look for greenlets to wait for.
        return asyncio.SelectorEventLoop(selector())
    return asyncio.new_event_loop()


def _run(event_loop: EventLoop, owner: weakref.ref[Core]) -> None:
    event_loop.enter_thread()
    try:
        while not _run_until_over(event_loop):
            # A handler has closed the loop, or one of its descriptors.
            replaced = _replace(event_loop, owner())
            if replaced is None:
                return
            event_loop = replaced
        _end(event_loop.asyncio_loop)
    finally:
        event_loop.leave_thread()


def _run_until_over(event_loop: EventLoop) -> bool:
    """Run a loop until its scheduler is closed, whatever stops it on the way; `False`: it cannot run any more."""
    loop = event_loop.asyncio_loop
    asyncio.set_event_loop(loop)
    while not event_loop.over:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            _log.loop_stopped(error)
        except Exception as error:
            _log.loop_lost(error)
            return event_loop.over
        else:
            if not event_loop.over:
                _log.loop_stopped(None)
    return True


def _replace(event_loop: EventLoop, core: Core | None) -> EventLoop | None:
    """Give up what ran on a loop that is lost, and go on with another one; `None`: the scheduler is closed."""
    event_loop.abandon(StateError(_LOST))
    with contextlib.suppress(Exception):
        event_loop.asyncio_loop.close()
    if core is None or core._closed:
        return None
    loop = _new_loop()
    core._event_loop = attach(core, loop, loop.stop)
    return core._event_loop
