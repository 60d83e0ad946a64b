"""Wait on an event loop, without blocking it: for a batch on disk, a condition, a call in a thread."""

from __future__ import annotations

import asyncio
import contextvars
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from duewheel import _loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from duewheel._core import AwaitedCalls, Condition, EventLoop, PendingCall
    from duewheel.scheduler import Core

_R = TypeVar("_R")

MANY = 1_000
"""So many jobs at once take some hundred microseconds: a thread makes a call for more, not the event loop."""

_CHUNK = 100
"""How many events an iterator makes before the event loop has its turn."""

_LAST_TURNS = 10
"""How many turns of the loop cancelled tasks get while `close` waits."""

_POLL_S = 0.02
"""How often a condition is read on a loop that the scheduler does not run on."""


async def complete(core: Core, made: tuple[_R, int] | PendingCall[_R]) -> _R:
    """Return the result of a call over a store once its batch is on disk.

    The call was made with its batch submitted, or it asks the store first.
    """
    while not isinstance(made, tuple):
        if _loop.is_running_here(event_loop := core._event_loop):
            made = await event_loop.answered(made)
        else:
            made = await asyncio.to_thread(made.wait)
    result, ticket = made
    if ticket:
        await _settled(core, ticket)
    return result


async def _settled(core: Core, ticket: int) -> None:
    event_loop = core._event_loop
    if _loop.is_running_here(event_loop):
        await event_loop.settled(ticket)
        if core._has_room():
            return
    await asyncio.to_thread(core._wait_settled, ticket)


async def until_idle(core: Core, awaited: AwaitedCalls, idle: Condition, seconds: float | None) -> bool:
    """Wait until nothing is pending or runs, here or in a store that nodes share; `False` at the timeout."""
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    while True:
        left = None if end is None else max(0.0, end - loop.time())
        if not await until(core, idle, left):
            return False
        if core._closed or not await complete(core, awaited.unfinished()):
            return True
        if end is not None and loop.time() >= end:
            return False
        await asyncio.sleep(_POLL_S)


async def until(
    core: Core, condition: Condition, seconds: float | None, unless: asyncio.Future[None] | None = None
) -> bool:
    """Wait until a condition holds; `False`: the time is over, or `unless` is done."""
    event_loop = core._event_loop
    if not _loop.is_running_here(event_loop):
        return await _poll(core, condition, seconds, unless)
    future = event_loop.watch(condition)
    if future is None:
        return True
    try:
        ends = (future,) if unless is None else (future, unless)
        done, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if future in done:
            future.result()
        return future in done
    finally:
        event_loop.unwatch(future)


async def _poll(core: Core, condition: Condition, seconds: float | None, unless: asyncio.Future[None] | None) -> bool:
    """Wait on a loop that no change of the condition wakes: the scheduler has not started, or runs on another one."""
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    while not core._holds(condition):
        if (end is not None and loop.time() >= end) or (unless is not None and unless.done()):
            return False
        await asyncio.sleep(_POLL_S if end is None else min(_POLL_S, max(0.0, end - loop.time())))
    return True


async def let_tasks_end(event_loop: EventLoop) -> None:
    """Cancel the tasks of a closed scheduler, and give them some turns of the loop to end."""
    event_loop.take_turn()
    for _ in range(_LAST_TURNS):
        await asyncio.sleep(0)
        if event_loop.over:
            return


async def each(core: Core, begin: Callable[[], Iterator[_R]]) -> AsyncIterator[_R]:
    """Iterate in chunks, between which the loop goes on; over a store a thread reads them."""
    has_store = core._has_store
    items = await asyncio.to_thread(begin) if has_store or len(core) > MANY else begin()
    while True:
        chunk = await asyncio.to_thread(_take, items) if has_store else _take(items)
        for item in chunk:
            yield item
        if len(chunk) < _CHUNK:
            return
        await asyncio.sleep(0)


def _take(items: Iterator[_R]) -> list[_R]:
    return list(islice(items, _CHUNK))


async def to_its_end(call: Callable[[], object]) -> None:
    """Make a call in a thread, to its end, also when the coroutine that waits for it is cancelled."""
    made = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, call)
    await asyncio.shield(made)
