"""Call the owner of a file from coroutines."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

from duewheel.sharing import Client as Blocking
from duewheel.sharing._calls import Calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
    from datetime import datetime
    from os import PathLike
    from types import TracebackType
    from typing import Self

    from duewheel._core import DeadEvent, Event, Repeat, Stats
    from duewheel.options import JobOptions
    from duewheel.storage import LocalStorage

_P = ParamSpec("_P")
_R = TypeVar("_R")

_CHUNK = 500


def awaited(call: Callable[Concatenate[Calls, _P], _R]) -> Callable[Concatenate[Any, _P], Coroutine[Any, Any, _R]]:
    """Return a call that is made in a thread and awaited."""

    async def made(self: Any, /, *arguments: _P.args, **keywords: _P.kwargs) -> _R:
        return await asyncio.to_thread(call, await self._connected(), *arguments, **keywords)

    return functools.update_wrapper(made, call)


async def in_chunks(begin: Callable[[], Iterator[_R]]) -> AsyncIterator[_R]:
    """Iterate in chunks, each of which a thread reads."""

    def take(items: Iterator[_R]) -> list[_R]:
        return [item for _, item in zip(range(_CHUNK), items, strict=False)]

    items = await asyncio.to_thread(begin)
    while chunk := await asyncio.to_thread(take, items):
        for item in chunk:
            yield item


class Client:
    """Call the owner of a file: `duewheel.sharing.Client` for coroutines. `await` it, or use it in `async with`.

    Its calls are made in threads: none of them blocks the loop.
    """

    role = "client"
    """It never owns the file."""

    at = awaited(Calls.at)
    in_ = awaited(Calls.in_)
    at_many = awaited(Calls.at_many)
    in_many = awaited(Calls.in_many)
    repeat = awaited(Calls.repeat)
    cancel = awaited(Calls.cancel)
    cancel_many = awaited(Calls.cancel_many)
    reschedule = awaited(Calls.reschedule)
    pause = awaited(Calls.pause)
    resume = awaited(Calls.resume)
    trigger = awaited(Calls.trigger)
    get = awaited(Calls.get)
    get_repeat = awaited(Calls.get_repeat)
    next = awaited(Calls.next)
    interrupt = awaited(Calls.interrupt)
    outcome = awaited(Calls.outcome)
    revive = awaited(Calls.revive)
    purge = awaited(Calls.purge)
    explain = awaited(Calls.explain)
    backup = awaited(Calls.backup)
    wait = awaited(Calls.wait)
    count = awaited(Calls.__len__)
    targets = awaited(Calls.targets)
    running = awaited(Calls.running)
    _restore = awaited(Calls._restore)

    def __init__(self, path: str | PathLike[str] | LocalStorage, *, options: JobOptions | None = None) -> None:
        """Describe it; it connects when it is awaited, entered, or first called."""
        self._make = functools.partial(Blocking, path, options=options)
        self._client: Blocking | None = None

    async def _connected(self) -> Blocking:
        if self._client is None:
            self._client = await asyncio.to_thread(self._make)
        return self._client

    async def stats(self) -> Stats:
        """Return what the owner holds now and has done since it opened the file."""
        return await asyncio.to_thread((await self._connected()).stats)

    async def owner_pid(self) -> int:
        """Return the process that owns the file now."""
        client = await self._connected()
        return await asyncio.to_thread(lambda: client.owner_pid)

    async def between(
        self,
        start: datetime | float | None = None,
        end: datetime | float | None = None,
        *,
        target: str | None = None,
    ) -> AsyncIterator[Event]:
        """Iterate over the pending events with `start <= due < end`. As `duewheel.Scheduler.between`."""
        client = await self._connected()
        async for event in in_chunks(lambda: client.between(start, end, target=target)):
            yield event

    async def dead(
        self, *, target: str | None = None, before: datetime | float | None = None, limit: int | None = None
    ) -> AsyncIterator[DeadEvent]:
        """Iterate over the jobs that ended as dead, newest first. As `duewheel.Scheduler.dead`."""
        client = await self._connected()
        async for dead in in_chunks(lambda: client.dead(target=target, before=before, limit=limit)):
            yield dead

    async def _deaths(self, id: str, *, limit: int | None = None) -> AsyncIterator[DeadEvent]:
        client = await self._connected()
        async for dead in in_chunks(lambda: client._deaths(id, limit=limit)):
            yield dead

    async def repeats(self) -> AsyncIterator[Repeat]:
        """Iterate over the repeats, in the order of their dues. As `duewheel.Scheduler.repeats`."""
        client = await self._connected()
        async for repeat in in_chunks(client.repeats):
            yield repeat

    async def close(self) -> None:
        """Give up the connections; every call raises `ClosedError` then. Idempotent."""
        if self._client is not None:
            self._client.close()

    def __await__(self) -> Generator[Any, None, Self]:
        """Connect."""
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._connected()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> NoReturn:
        """Refuse: its connections are of this process."""
        raise TypeError("a client cannot be copied or pickled: its connections are of this process; make another one")
