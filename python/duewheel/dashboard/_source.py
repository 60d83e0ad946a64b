"""What a dashboard looks at: a scheduler, an awaited one or a client, asked without blocking the event loop."""

from __future__ import annotations

import functools
import inspect
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from anyio import CapacityLimiter, to_thread

from duewheel._checks import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from duewheel._core import Stats

_T = TypeVar("_T")

_NEEDED = ("stats", "between", "dead", "get", "repeats", "revive", "purge", "explain")
_THREADS = 8
"""Calls of a dashboard that wait at once: a slow disk must not take all the threads of the server."""


class Found(NamedTuple, Generic[_T]):
    """What a bounded look has found."""

    items: list[_T]
    looked: int
    """At how many it looked."""
    last: _T | None
    """The last of them."""
    is_all: bool
    """Whether there was nothing after it."""


class Source:
    """A scheduler or a client, whose calls are awaited, whatever they are of their own."""

    def __init__(self, scheduler: Any) -> None:
        missing = [name for name in _NEEDED if not callable(getattr(scheduler, name, None))]
        if missing or isinstance(scheduler, type):
            raise TypeError(
                f"a dashboard shows a Scheduler, an aio.Scheduler or a client of one, not {shown(scheduler)}: "
                "give it the object that jobs are scheduled with"
            )
        self.scheduler = scheduler
        self._is_awaited = inspect.iscoroutinefunction(getattr(type(scheduler), "get", None))
        self._limiter: CapacityLimiter | None = None
        self._has_counted = False

    def has(self, name: str) -> bool:
        """Whether there is such a call."""
        return callable(getattr(self.scheduler, name, None))

    async def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Make a call; one that is not awaited of its own in a thread."""
        method = getattr(self.scheduler, name)
        if self._is_awaited:
            made = method(*arguments, **keywords)
            return await made if inspect.isawaitable(made) else made
        return await self._in_thread(functools.partial(method, *arguments, **keywords))

    async def stats(self) -> Stats:
        """Return its numbers."""
        stats: Stats = await self.call("stats")
        return stats

    async def count_targets(self) -> None:
        """Have targets counted, once: from then on it is known of which there is nothing, without reading all."""
        if not self._has_counted and self.has("targets"):
            await self.call("targets")
            self._has_counted = True

    async def select(
        self,
        name: str,
        keywords: dict[str, Any],
        chosen: Callable[[Any], bool],
        *,
        want: int,
        look: int,
    ) -> Found[Any]:
        """Take the first `want` of what a call iterates over that are `chosen`, of the first `look`."""
        begin = functools.partial(getattr(self.scheduler, name), **keywords)
        if not self._is_awaited:
            return await self._in_thread(lambda: _select(begin(), chosen, want, look))
        made = begin()
        if not hasattr(made, "__aiter__"):
            return _select(made, chosen, want, look)
        return await _select_awaited(made, chosen, want, look)

    async def each(self, name: str, ids: Iterable[str], done: Callable[[Any], object]) -> None:
        """Make a call of one id for each, some at once, so that a disk syncs for many of them together."""
        import anyio

        waiting = iter(ids)

        async def go_on() -> None:
            for job_id in waiting:
                try:
                    done(await self.call(name, job_id))
                except Exception as error:
                    done(error)

        async with anyio.create_task_group() as group:
            for _ in range(_THREADS):
                group.start_soon(go_on)

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        if self._limiter is None:
            self._limiter = CapacityLimiter(_THREADS)  # of the event loop that serves, which runs by now
        return await to_thread.run_sync(call, limiter=self._limiter)


def _select(items: Iterable[_T], chosen: Callable[[_T], bool], want: int, look: int) -> Found[_T]:
    found: list[_T] = []
    looked, last = 0, None
    each: Iterator[_T] = iter(items)
    for item in islice(each, look):
        looked, last = looked + 1, item
        if chosen(item):
            found.append(item)
            if len(found) == want:
                break
    else:
        if looked < look:
            return Found(found, looked, last, True)
    return Found(found, looked, last, next(each, None) is None)


async def _select_awaited(items: AsyncIterator[_T], chosen: Callable[[_T], bool], want: int, look: int) -> Found[_T]:
    found: list[_T] = []
    looked, last, is_all = 0, None, True
    try:
        async for item in items:
            if len(found) == want or looked == look:
                is_all = False
                break
            looked, last = looked + 1, item
            if chosen(item):
                found.append(item)
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
    return Found(found, looked, last, is_all)
