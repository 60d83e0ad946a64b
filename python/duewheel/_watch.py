"""Timeouts of handlers: an async one is cancelled; one on a thread is told, and a worker steps in for it."""

from __future__ import annotations

import functools
import heapq
import inspect
import itertools
import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from duewheel import _log, _threads
from duewheel._core import Scheduler as SchedulerCore

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator
    from contextlib import AbstractAsyncContextManager

    from duewheel._core import Event, Spares
    from duewheel.testing import ManualClock

_LINGERS_S = 1.0
"""How long the thread that watches stays when nothing is left to watch."""

_STALE = 64
"""So many deadlines may be there of what has ended."""


_FIRST_OF_ALL = -(2**63)


class _Watched:
    """A handler on a thread."""

    __slots__ = ("event", "is_stuck", "thread")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.thread = threading.get_ident()
        self.is_stuck = False

    def expire(self, spares: Spares) -> tuple[str, str, str]:
        """Note that it is past its deadline, while it cannot leave; return its job, its target and where it stands."""
        self.is_stuck = True
        spares.expire(self.event)
        frame = sys._current_frames().get(self.thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        return self.event.job_id, self.event.target, stack


class Watch:
    """The handlers of a scheduler that have a timeout and run on threads; their deadlines are on the monotonic clock.

    Its thread refers to this and to what the scheduler's threads share, never to the scheduler. It is there while there
    is something to watch.
    """

    def __init__(self, spares: Spares) -> None:
        self._spares = spares
        self._pid = os.getpid()
        self._changed = threading.Condition(threading.Lock())
        self._deadlines: list[tuple[int, int]] = []
        self._watched: dict[int, _Watched] = {}
        self._serials = itertools.count()
        self._has_thread = False
        self._closed = False

    def enter(self, event: Event, timeout_ns: int) -> int:
        """Watch a handler on the calling thread, from now on."""
        deadline = time.monotonic_ns() + timeout_ns
        with self._changed:
            serial = next(self._serials)
            self._watched[serial] = _Watched(event)
            heapq.heappush(self._deadlines, (deadline, serial))
            if self._deadlines[0][1] == serial:
                self._changed.notify()
            starts = not self._has_thread
            self._has_thread = True
        if starts:
            try:
                _threads.start(self._run, "duewheel-watch")
            except BaseException:
                self._has_thread = False
                self.leave(serial)
                raise
        return serial

    def leave(self, serial: int) -> None:
        """Watch it no longer: it has ended."""
        if os.getpid() != self._pid:
            return  # it has forked, and this is the child: the thread that watches may have had the lock
        with self._changed:
            watched = self._watched.pop(serial)
            if watched.is_stuck:
                self._spares.returned(watched.event)
            if len(self._deadlines) > 2 * len(self._watched) + _STALE:
                self._deadlines = [deadline for deadline in self._deadlines if deadline[1] in self._watched]
                heapq.heapify(self._deadlines)
            if self._closed and not self._watched:
                self._changed.notify()

    def close(self) -> None:
        """Keep the thread no longer than there is something to watch."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                expired = self._next()
                if expired is None:
                    self._has_thread = False
                    return
                # Under the lock: it has not ended, and the event is not another's by then.
                told = expired.expire(self._spares)
                del expired
            _log.stuck(*told, steps_in=True)
            try:
                self._spares.step_in()
            except RuntimeError as error:
                _log.no_spare(error)

    def _next(self) -> _Watched | None:
        """Wait for the next that is past its deadline; `None`: there is nothing to watch."""
        lingers = True
        while True:
            while self._deadlines and self._deadlines[0][1] not in self._watched:
                heapq.heappop(self._deadlines)
            if self._deadlines:
                lingers = True
                deadline, serial = self._deadlines[0]
                left_ns = deadline - time.monotonic_ns()
                if left_ns <= 0:
                    heapq.heappop(self._deadlines)
                    return self._watched[serial]
                self._changed.wait(min(left_ns / 1e9, threading.TIMEOUT_MAX))
            elif self._closed or not lingers:
                return None
            else:
                lingers = self._changed.wait(_LINGERS_S)


class AtHand:
    """The handler on the thread that advances a clock by hand, if it has a timeout: there is one at a time.

    Its time passes where another thread advances the clock meanwhile. No worker steps in, for there are none.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._time = clock._time
        self._lock = threading.Lock()
        self._watched: tuple[int, _Watched, Spares] | None = None

    def of(self, spares: Spares) -> _OfOne:
        """Return what watches the handlers of one scheduler."""
        return _OfOne(self, spares)

    def enter(self, event: Event, timeout_ns: int, spares: Spares) -> None:
        """Watch a handler on the calling thread, from now on."""
        with self._lock:
            self._watched = self._time.boot() + timeout_ns, _Watched(event), spares

    def leave(self) -> None:
        """Watch it no longer: it has ended."""
        with self._lock:
            watched, self._watched = self._watched, None
            if watched is not None and watched[1].is_stuck:
                watched[2].returned(watched[1].event)

    def pass_by(self, target_ns: int) -> bool:
        """Move the clock to the deadline of the handler that runs, if that is no later; return whether there is one."""
        with self._lock:
            if self._watched is None or self._watched[0] > target_ns:
                return False
            deadline_ns, watched, spares = self._watched
            if watched.is_stuck:
                return True
            ahead_ns = max(deadline_ns - self._time.boot(), 0)
            self._time.set(self._time.wall() + ahead_ns, self._time.boot() + ahead_ns)
            told = watched.expire(spares)
        _log.stuck(*told, steps_in=False)
        return True


class _OfOne:
    """What watches the handlers of one scheduler on a clock that is moved by hand."""

    def __init__(self, at_hand: AtHand, spares: Spares) -> None:
        self._at_hand, self._spares = at_hand, spares

    def enter(self, event: Event, timeout_ns: int) -> int:
        self._at_hand.enter(event, timeout_ns, self._spares)
        return 0

    def leave(self, _serial: int) -> None:
        self._at_hand.leave()


class ByHand:
    """The deadlines of async handlers on a clock that is moved by hand."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._serials = itertools.count()
        self._waiting: dict[tuple[int, int], tuple[asyncio.AbstractEventLoop, asyncio.Timeout]] = {}

    def limit(self, timeout_ns: int) -> AbstractAsyncContextManager[object]:
        """Return what cancels its block at the deadline; while it is waited for, real time counts."""
        import asyncio
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def limited() -> AsyncIterator[None]:
            place = self._clock._time.boot() + timeout_ns, next(self._serials)
            async with asyncio.timeout(timeout_ns / 1e9) as timeout:
                self._waiting[place] = asyncio.get_running_loop(), timeout
                try:
                    yield
                finally:
                    self._waiting.pop(place, None)

        return limited()

    def first(self) -> int | None:
        """Return the first deadline, on the boot clock."""
        return min(self._waiting)[0] if self._waiting else None

    def expire(self) -> bool:
        """Cancel what is past its deadline; return whether there is anything."""
        now = self._clock._time.boot()
        due = [place for place in self._waiting if place[0] <= now]
        for place in due:
            loop, timeout = self._waiting.pop(place)
            loop.call_soon_threadsafe(_expire, loop, timeout)
        return bool(due)


def _expire(loop: asyncio.AbstractEventLoop, timeout: asyncio.Timeout) -> None:
    try:
        timeout.reschedule(loop.time())
    except RuntimeError:  # it has ended meanwhile
        return


class Limited(SchedulerCore):
    """Handlers with a timeout."""

    _clock: ManualClock | None = None
    _watch: Watch | None = None
    _by_hand: ByHand | None = None

    def _limited(self, fn: Callable[[Event], Any], on_loop: bool, timeout_ns: int) -> Callable[[Event], Any]:
        """Return a handler with a timeout."""
        if self._clock is not None:
            self._by_hand = self._by_hand or ByHand(self._clock)
        limit = _limit_of_loop if self._by_hand is None else self._by_hand.limit
        if on_loop:
            return _on_loop(fn, functools.partial(limit, timeout_ns))
        if self._clock is not None:
            at_hand = self._clock._at_hand.of(self._spares())
            return _on_thread(fn, at_hand, timeout_ns, (self._clock._time.boot, limit))
        self._watch = self._watch or Watch(self._spares())
        return _on_thread(fn, self._watch, timeout_ns, (time.monotonic_ns, limit))

    def close(self) -> None:
        """Start nothing more; what runs on is watched still."""
        super().close()
        if self._watch is not None:
            self._watch.close()

    def _manual_next(self) -> tuple[int, int] | None:
        offer = super()._manual_next()
        first = None if self._by_hand is None else self._by_hand.first()
        if first is None or (offer is not None and offer[0] < first):
            return offer
        return first, _FIRST_OF_ALL

    def _manual_run(self: Any) -> bool:
        if self._by_hand is not None and self._by_hand.expire():
            return True
        ran, on_loop = self._manual_step()
        if on_loop:
            from duewheel import _loop

            _loop.run_due(self)
        return bool(ran)


def _limit_of_loop(timeout_ns: int) -> AbstractAsyncContextManager[object]:
    """Return what cancels its block at the deadline."""
    from asyncio import timeout

    return timeout(timeout_ns / 1e9)


def _on_thread(
    fn: Callable[[Event], object],
    watch: Watch | _OfOne,
    timeout_ns: int,
    measure: tuple[Callable[[], int], Callable[[int], AbstractAsyncContextManager[object]]],
) -> Callable[[Event], object]:
    """Return a handler that is watched while it runs on its thread, by a clock and with what limits the rest."""
    now_ns, limit = measure

    @functools.wraps(fn)
    def watched(event: Event) -> object:
        began = now_ns()
        serial = watch.enter(event, timeout_ns)
        try:
            returned = fn(event)
        finally:
            watch.leave(serial)
        if inspect.isawaitable(returned) and not hasattr(returned, "_asyncio_future_blocking"):
            left_ns = max(timeout_ns - (now_ns() - began), 0)
            return _StillLimited(returned, functools.partial(limit, left_ns))
        return returned

    return watched


def _on_loop(
    fn: Callable[[Event], Awaitable[object]], limit: Callable[[], AbstractAsyncContextManager[object]]
) -> Callable[[Event], Any]:
    """Return an async handler that is cancelled when its time is over."""

    @functools.wraps(fn)
    async def limited(event: Event) -> object:
        async with limit():
            return await fn(event)

    return limited


class _StillLimited:
    """What a sync handler has returned to be awaited: it goes on within the time that is left."""

    def __init__(self, awaitable: Awaitable[object], limit: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        self._awaitable, self._limit = awaitable, limit

    def __await__(self) -> Generator[Any, Any, object]:
        return self._within().__await__()

    async def _within(self) -> object:
        async with self._limit():
            return await self._awaitable

    def __del__(self) -> None:
        # Never awaited, for the scheduler was closed before.
        if inspect.iscoroutine(self._awaitable):
            self._awaitable.close()
