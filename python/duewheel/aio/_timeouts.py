"""Bound the time of a block of code, as `asyncio.timeout` does, on a timing wheel.

The timers are not among the scheduler's jobs: whoever waits, under a timeout, for nothing to be pending must not wait
for that timeout, and a handler that is drained is still timed out. So each scheduler has a second engine for them,
in memory, on the same loop, from its first timeout until it is closed and the last timeout has ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from duewheel import _current, _loop
from duewheel.errors import StateError
from duewheel.scheduler import Core

if TYPE_CHECKING:
    from types import TracebackType

    from duewheel._core import Event, Timer
    from duewheel.aio import Scheduler
    from duewheel.scheduler import Scheduler as PlainScheduler

_CREATED, _ENTERED, _EXPIRING, _EXPIRED, _EXITED = "created", "active", "expiring", "expired", "finished"

_FOREVER_S = 1e9
"""What is further off than these 31 years needs no timer."""

_NO_SCHEDULER = (
    "no duewheel.aio.Scheduler runs on this event loop: await its start(), or async with it, and give it "
    "(timeout(..., scheduler=scheduler)) or make it the current one (with duewheel.use(scheduler))"
)

_started: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakSet[Scheduler]] = weakref.WeakKeyDictionary()
"""The schedulers that were started on each loop, whose thread alone looks at them."""


class Wheel(Core):
    """The engine of a scheduler's timeouts."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(workers=1, tasks=2**31 - 1)
        self.loop = loop
        with self._loop_lock:
            _loop.take_over(self, loop)
        self._start(contextvars.Context())

    def __del__(self) -> None:
        if self._forked or not self._opened:
            return
        event_loop = self._event_loop
        self.close()
        if event_loop is None or event_loop.over:
            return
        if event_loop.asyncio_loop is asyncio._get_running_loop():
            event_loop.take_turn()  # leaves the loop, which may run no more
        elif not event_loop.asyncio_loop.is_running():
            event_loop.abandon()


class Timeout:
    """Cancel the task that is in a block of code when the block has not ended in time; made by `timeout`.

    What `asyncio.Timeout` is: the task is cancelled at the deadline, and where the cancellation leaves the block it
    becomes a `TimeoutError`. Deadlines are on the clock of the running loop: `loop.time()`.
    """

    __slots__ = ("_cancelling", "_loop", "_scheduler", "_state", "_task", "_timer", "_wheel", "_when")

    def __init__(
        self, when: float | None, loop: asyncio.AbstractEventLoop, scheduler: Scheduler | PlainScheduler | None
    ) -> None:
        self._when = when
        self._loop = loop
        self._scheduler = scheduler
        self._state = _CREATED
        self._timer: Timer | asyncio.Handle | None = None
        self._wheel: Wheel | None = None

    def when(self) -> float | None:
        """Return the deadline on the loop's clock, in seconds; `None`: there is none."""
        return self._when

    def reschedule(self, when: float | None) -> None:
        """Set another deadline on the loop's clock, in seconds, or none; one that has passed expires it at once.

        **Raises** `RuntimeError` unless it is active: entered, and neither expired nor left.
        """
        if self._state is not _ENTERED:
            if self._state is _CREATED:
                raise RuntimeError("Timeout has not been entered: async with it first")
            raise RuntimeError(f"Cannot change state of {self._state} Timeout")
        deadline = None if when is None else _number(when, "when")
        if self._timer is not None:
            self._timer.cancel()
        self._when = deadline
        self._start()

    def expired(self) -> bool:
        """Tell whether the deadline came while it was active."""
        return self._state is _EXPIRING or self._state is _EXPIRED

    async def __aenter__(self) -> Timeout:
        """Begin to count, in the current task."""
        if self._state is not _CREATED:
            raise RuntimeError("Timeout has already been entered: make another one")
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Timeout should be used inside a task")
        self._wheel = _wheel_on(self._loop, self._scheduler)
        self._task = task
        self._cancelling = task.cancelling()
        self._state = _ENTERED
        self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop counting; a cancellation that came of the deadline alone becomes a `TimeoutError`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wheel = None
        if self._state is _ENTERED:
            self._state = _EXITED
            return
        self._state = _EXPIRED
        if self._task.uncancel() > self._cancelling or error is None:
            return  # somebody else has cancelled the task, too
        if isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error
        _tell_of_timeout(error)
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                _tell_of_timeout(part)

    def _start(self) -> None:
        when = self._when
        self._timer = None
        if when is None:
            return
        left_s = when - self._loop.time()
        if left_s <= 0:
            self._timer = self._loop.call_soon(self._expire)
        elif left_s < _FOREVER_S and self._wheel is not None:
            self._timer = self._wheel.timer(left_s, _expire, self)

    def _expire(self) -> None:
        self._timer = None
        if self._state is _ENTERED:
            self._task.cancel()
            self._state = _EXPIRING

    def __repr__(self) -> str:
        when = ""
        if self._state is _ENTERED:
            when = f" when={None if self._when is None else round(self._when, 3)}"
        return f"<Timeout [{self._state}]{when}>"


def timeout(delay: float | timedelta | None, *, scheduler: Scheduler | PlainScheduler | None = None) -> Timeout:
    """Bound the time of an `async with` block: `TimeoutError` after `delay`. As `asyncio.timeout`, on a timing wheel.

    `scheduler` is a `duewheel.aio.Scheduler` that was started on the running loop or, in its async handlers, a
    `duewheel.Scheduler`: without it the current one, or else one that was started there. Its jobs, counts and `drain`
    are not concerned. `None` for `delay` is no timeout, until `reschedule` sets one; one of 0 or less expires when the
    block first waits.

    **Time**: seconds or a `timedelta`, from this call; `when()` and `reschedule` use the loop's clock.
    **Raises** `StateError` on entering, where no scheduler runs on the loop; `RuntimeError` outside of a task, or when
    it is entered twice; `TypeError` and `ValueError` for what is no delay.
    **Cost**: O(1), and no more when many are active.

    >>> import asyncio
    >>> from duewheel import aio
    >>> async def main():
    ...     async with aio.Scheduler():
    ...         try:
    ...             async with aio.timeout(0.01):
    ...                 await asyncio.sleep(3600)
    ...         except TimeoutError:
    ...             print("too late")
    >>> asyncio.run(main())
    too late
    """
    loop = asyncio.get_running_loop()
    if delay is None:
        return Timeout(None, loop, scheduler)
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else _number(delay, "delay")
    return Timeout(loop.time() + seconds, loop, scheduler)


def timeout_at(when: float | None, *, scheduler: Scheduler | PlainScheduler | None = None) -> Timeout:
    """Bound an `async with` block by a deadline on the loop's clock, `loop.time()`. As `asyncio.timeout_at`.

    **Time**: seconds of the loop's clock, which is not the time of day.
    **Raises** and all else as `timeout`.
    """
    loop = asyncio.get_running_loop()
    return Timeout(None if when is None else _number(when, "when"), loop, scheduler)


def note_started(scheduler: Scheduler, loop: asyncio.AbstractEventLoop) -> None:
    """Let timeouts on this loop find the scheduler."""
    _started.setdefault(loop, weakref.WeakSet()).add(scheduler)


def _number(value: float, what: str) -> float:
    if type(value) is not float:
        if isinstance(value, bool) or not hasattr(type(value), "__float__"):
            raise TypeError(f"{what} must be a number of seconds or None, not {value!r}")
        value = float(value)
    if math.isnan(value):
        raise ValueError(f"{what} must not be NaN: None is no timeout")
    return value


async def _expire(event: Event) -> None:
    timeout: Timeout = event.data  # type: ignore[assignment]  # what the timer was given
    timeout._expire()


def _tell_of_timeout(error: BaseException) -> None:
    """Let an error that came of the cancellation say that a timeout was its cause."""
    while (context := error.__context__) is not None:
        if isinstance(context, asyncio.CancelledError):
            raised = TimeoutError()
            raised.__context__ = raised.__cause__ = context
            error.__context__ = raised
            return
        error = context


def _holding(scheduler: Any) -> Any:
    """Return the scheduler that holds the wheel: of a file that is shared the one of this process."""
    role = getattr(scheduler, "_role", None)
    return scheduler if role is None else role.own


def _wheel_on(loop: asyncio.AbstractEventLoop, given: Scheduler | PlainScheduler | None) -> Wheel:
    scheduler = given if given is not None else _current.current.get()
    wheel: Wheel | None = getattr(scheduler, "_wheel", None)
    if wheel is not None and wheel.loop is loop:
        return wheel
    if given is None and (wheel := _last()) is not None and wheel.loop is loop:
        return wheel
    return _find_wheel(loop, given)


def _find_wheel(loop: asyncio.AbstractEventLoop, given: Scheduler | PlainScheduler | None) -> Wheel:
    """Find the wheel of a scheduler on this loop, and make it if it has none."""
    global _last
    candidates: list[Any] = [given]
    if given is None:
        started = sorted(_started.get(loop, ()), key=lambda scheduler: scheduler._core._closed)
        candidates = [_current.current.get(), *started]
    for scheduler in candidates:
        scheduler = _holding(scheduler)
        core = getattr(scheduler, "_core", scheduler)
        if not isinstance(core, Core):
            if given is not None:
                raise TypeError(f"scheduler must be a duewheel.aio.Scheduler, not {given!r}")
            continue
        event_loop = core._event_loop
        if event_loop is None or event_loop.asyncio_loop is not loop:
            continue
        if scheduler._wheel is None or scheduler._wheel.loop is not loop:
            scheduler._wheel = Wheel(loop)
        wheel: Wheel = scheduler._wheel
        if given is None:
            _last = weakref.ref(wheel)
        return wheel
    raise StateError(_NO_SCHEDULER)


def _nothing() -> Wheel | None:
    return None


_last = _nothing
