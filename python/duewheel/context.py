"""Find the scheduler that code means when it names none.

`use` sets the current scheduler for a block; each handler runs with its own scheduler as the current one; outside
of both there is the process's default.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import Context
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from duewheel._current import current
from duewheel.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta
    from typing import Any, Unpack

    from typing_extensions import Buffer

    from duewheel import aio
    from duewheel._core import Schedule, _JobKeywords, _RepeatKeywords
    from duewheel.options import JobOptions

    class _Keywords(_JobKeywords, total=False):
        connection: Any


__all__ = ["at", "current_scheduler", "in_", "repeat", "use"]

_S = TypeVar("_S", bound="Scheduler | aio.Scheduler")


def use(scheduler: _S) -> AbstractContextManager[_S]:
    """Make `scheduler` the current one for the block of a `with` statement.

    It is neither started nor closed by this.

    **Concurrency**: seen by this thread or task alone, and by tasks that it starts meanwhile.

    >>> from duewheel import NopScheduler
    >>> with use(NopScheduler()) as nop:
    ...     current_scheduler() is nop
    True
    """
    if not (callable(getattr(scheduler, "at", None)) and callable(getattr(scheduler, "in_", None))):
        raise TypeError(f"scheduler must be a Scheduler, not {type(scheduler).__name__}")
    return _using(scheduler)


def current_scheduler() -> Scheduler:
    """Return the current scheduler, else the process's default.

    The default keeps its jobs in memory. It is made and started when first asked for, again if it was closed, and again
    in a forked child. Its handlers run in an empty context, whoever asked first.

    **Concurrency**: any thread may call it; all get the same default.
    """
    scheduler = current.get()
    return _default_scheduler() if scheduler is None else scheduler


def at(
    when: datetime | float,
    target: str,
    data: Buffer = b"",
    *,
    id: str | None = None,
    options: JobOptions | None = None,
    **keywords: Unpack[_Keywords],
) -> str:
    """Schedule a job due at `when` on the current scheduler; return its id.

    See `Scheduler.at`. In a coroutine await `duewheel.aio.at` instead.
    """
    scheduler = _callable_in_this_thread()
    return scheduler.at(when, target, data, id=id, options=options, **keywords)


def in_(
    delay: timedelta | float,
    target: str,
    data: Buffer = b"",
    *,
    id: str | None = None,
    options: JobOptions | None = None,
    **keywords: Unpack[_Keywords],
) -> str:
    """Schedule a job due `delay` from now on the current scheduler; return its id.

    See `Scheduler.in_`. In a coroutine await `duewheel.aio.in_` instead.
    """
    scheduler = _callable_in_this_thread()
    return scheduler.in_(delay, target, data, id=id, options=options, **keywords)


def repeat(
    schedule: Schedule | str | timedelta | float,
    target: str,
    data: Buffer = b"",
    **keywords: Unpack[_RepeatKeywords],
) -> str:
    """Schedule a job that comes again at the times of `schedule` on the current scheduler; return its id.

    See `Scheduler.repeat`. In a coroutine await `duewheel.aio.repeat` instead.
    """
    scheduler = _callable_in_this_thread()
    return scheduler.repeat(schedule, target, data, **keywords)


def _callable_in_this_thread() -> Scheduler:
    """Find the current scheduler, as it can be called in this thread."""
    scheduler = current_scheduler()
    in_this_thread = getattr(scheduler, "_in_this_thread", None)
    return scheduler if in_this_thread is None else in_this_thread()


@contextmanager
def _using(scheduler: _S) -> Iterator[_S]:
    token = current.set(scheduler)  # type: ignore[arg-type]  # the same calls, awaited
    try:
        yield scheduler
    finally:
        current.reset(token)


def _default_scheduler() -> Scheduler:
    global _default
    before = _default
    if before is not None and not before._closed:
        return before
    # Made without the lock: making and starting one runs Python, which may ask for the default, too.
    scheduler = Scheduler()
    Context().run(scheduler.start)
    with _lock:
        if _default is before:
            _default = scheduler
            return scheduler
    scheduler.close()  # another thread was faster
    return _default_scheduler()


def _forget_default() -> None:
    """Start afresh in a forked child, where the parent's scheduler is unusable and the lock may stay locked."""
    global _default, _lock
    _default = None
    _lock = RLock()


_default: Scheduler | None = None
_lock = RLock()  # re-entrant: a signal handler may call, too

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_default)
