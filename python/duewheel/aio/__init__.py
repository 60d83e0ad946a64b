"""The scheduler for coroutines: the same calls, awaited, on the event loop that started it.

>>> import asyncio
>>> from duewheel import aio
>>> async def main():
...     scheduler = aio.Scheduler()
...
...     @scheduler.handler("greet")
...     async def greet(event):
...         await asyncio.sleep(0.01)
...         print("hello", event.data.decode())
...
...     async with scheduler:
...         await scheduler.in_(0.01, "greet", b"Ada")
...         await scheduler.wait()
>>> asyncio.run(main())
hello Ada
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
import warnings
from collections.abc import Sized
from typing import TYPE_CHECKING, Any, NoReturn

from duewheel import _current, _loop, _signals, _transactions
from duewheel._checks import lists_keywords
from duewheel._core import Condition, check_bounds, timeout_s
from duewheel.aio import _lifespan, _outcomes, _plugging, _repeats, _roles, _timeouts, _upkeep, _waits, _watched
from duewheel.aio._context import at, in_, repeat
from duewheel.aio._roles import connect
from duewheel.aio._storage import Storage
from duewheel.aio._tasks import Task
from duewheel.aio._timeouts import Timeout, timeout, timeout_at
from duewheel.aio._unopened import UNOPENED
from duewheel.errors import StateError
from duewheel.scheduler import NO_COPY, Core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from datetime import datetime, timedelta
    from os import PathLike
    from types import TracebackType
    from typing import Self, Unpack

    from typing_extensions import Buffer

    from duewheel._core import DeadEvent, Event, Stats, Timer, _Array, _JobKeywords, _JobOptions, _ManyKeywords
    from duewheel.errors import StorageError
    from duewheel.options import JobOptions
    from duewheel.postgres import PostgresStorage
    from duewheel.storage import LocalStorage
    from duewheel.testing import ManualClock

__all__ = ["Scheduler", "Storage", "Task", "Timeout", "at", "connect", "in_", "repeat", "timeout", "timeout_at"]

for _named in (Storage, Task, Timeout, at, connect, in_, repeat, timeout, timeout_at):
    _named.__module__ = __name__  # where users find them


class Scheduler(
    _repeats.Repeating,
    _outcomes.Outcomes,
    _upkeep.Upkeep,
    _plugging.Plugging,
    _lifespan.Lifespan,
    _watched.Watched,
    _roles.Roles,
):
    """Run jobs at a time, on an event loop: `duewheel.Scheduler` for coroutines.

    The arguments are those of `duewheel.Scheduler`. Async handlers run as tasks on the event loop that `start` was
    awaited on, at most `tasks` (1 or more, 1,000 unless given) at once; sync handlers run on `workers` threads. Calls
    that may wait are coroutines, and none of them blocks the loop, a sync of the disk included. A file is opened by
    the constructor, which waits for it.

    **Order**: what is due is taken up in the order of (due, sequence of scheduling), by the loop and by the workers.
    **Concurrency**: calls may be awaited on any loop, but for those that start: `start`, `run`, `async with`. A call
    that is cancelled while it waits for the disk has been made all the same; one that is cancelled before has not.
    **Durability**, **Raises**: as `duewheel.Scheduler`.
    """

    _core_class = Core
    _wheel: _timeouts.Wheel | None = None  # of the timeouts, from the first one on

    def __new__(cls, *_arguments: object, **_keywords: object) -> Self:
        """Make one that is not opened yet."""
        self = super().__new__(cls)
        self._core = self._awaited = UNOPENED
        self._has_store = False
        self._unfinished = False  # `run` has ended before the handlers: leaving `async with` does not wait for them
        return self

    @lists_keywords
    def __init__(
        self,
        storage: str | PathLike[str] | LocalStorage | PostgresStorage | None = None,
        *,
        workers: int = 4,
        options: JobOptions | None = None,
        clock: ManualClock | None = None,
        seed: int | None = None,
        tasks: int = 1_000,
        plugins: Iterable[object] = (),
        share: bool = False,
    ) -> None:
        """Make a scheduler; `start` starts it."""
        if share:
            arguments = {"workers": workers, "options": options, "clock": clock, "seed": seed, "tasks": tasks}
            _roles.share(self, Scheduler, storage, {**arguments, "plugins": tuple(plugins)})
            return
        if self._core is not UNOPENED:
            raise StateError("this scheduler is open: __init__() was called before; make another one")
        self._core = self._core_class(
            storage, workers=workers, options=options, clock=clock, seed=seed, tasks=tasks, plugins=plugins
        )
        self._has_store = self._core._has_store
        self._awaited = self._core._awaited()

    async def start(self) -> None:
        """Begin to run what is due, async handlers on this event loop.

        Idempotent; after `drain` it starts again, on the loop it is awaited on. Handlers run in copies of the present
        context.

        **Raises** `ClosedError` after `close`, `StateError` while another running loop has it.
        """
        self._check_open()
        core = self._core
        await self._take_in_declared()
        await self._report_interrupted()
        context = contextvars.copy_context()
        context.run(_current.current.set, self._face or self)  # type: ignore[arg-type]  # the same calls, awaited
        loop = asyncio.get_running_loop()
        with core._loop_lock:
            if _loop.take_over(core, loop):
                core._start(context)
        _timeouts.note_started(self, loop)

    async def drain(self, timeout: float | timedelta | None = None) -> bool:
        """Start nothing more and finish what has started, tasks too.

        As `duewheel.Scheduler.drain`: `False` when `timeout` ran out first.

        **Time**: `timeout` is seconds or a `timedelta`; `None` has no end.
        **Raises** `StateError` in a handler of this scheduler.
        """
        seconds = timeout_s(timeout)
        core = self._core
        core._refuse_inside("drain")
        core._stop()
        _loop.leave_closed(core)
        finished = await _waits.until(core, Condition.FINISHED, seconds)
        if finished and self._has_store and core._closed:
            await asyncio.to_thread(core._give_up_file)
        return finished

    async def close(self) -> None:
        """Start nothing more, for good, and wait for nothing.

        Async handlers that are running are cancelled, except for one that calls this, and get a moment to end; sync
        handlers go on in their threads. In memory what is pending is dropped, counted and logged. Idempotent, allowed
        in a handler.

        **Durability**: on disk it stays pending, that of cancelled handlers too, and the file is given up after the
        last outcome.
        """
        core = self._core
        self._wheel = None  # timeouts that are active keep it
        _loop.leave_closed(core)
        event_loop = core._event_loop
        if event_loop is not None:
            event_loop.exempt_caller()  # on this thread, where the caller is known: another one may close it
        if self._has_store or (not core._closed and len(core) > _waits.MANY):
            await _waits.to_its_end(self._awaited.close_in_thread)
        else:
            core.close()
        if event_loop is not None:
            if event_loop.asyncio_loop is not asyncio.get_running_loop():
                return  # it was woken there
            await _waits.let_tasks_end(event_loop)
        if self._has_store:
            await _waits.to_its_end(core._give_up_file)

    async def wait(self, timeout: float | timedelta | None = None) -> bool:
        """Wait until nothing is pending or running, parked jobs aside; `False` at the timeout.

        Returns `True` too when the scheduler is closed meanwhile and nothing runs any more.

        **Time**: `timeout` is seconds or a `timedelta`; `None` has no end.
        **Raises** `StateError` in a handler of this scheduler, `ClosedError` after `close`.
        """
        seconds = timeout_s(timeout)
        if self._core._closed:
            self._core.wait(0)  # raises
        self._core._refuse_inside("wait")
        _loop.leave_closed(self._core)
        core, awaited = self._core, self._awaited
        if not self._has_store:
            return await _waits.until(core, Condition.IDLE, seconds)
        return await _waits.until_idle(core, awaited, Condition.IDLE, seconds)

    async def run(
        self, *, drain_timeout: float | timedelta | None = None, signals: Iterable[int] = _signals.ENDS
    ) -> None:
        """Start, then wait until `drain` or `close` from elsewhere, or one of `signals`.

        As `duewheel.Scheduler.run`: a signal drains and closes, a second one or the end of `drain_timeout` closes at
        once. So does a cancellation, and goes on then: the first one drains before, a second one does not.

        **Time**: `drain_timeout` is seconds or a `timedelta`; `None` has no end.
        **Concurrency**: on a loop that runs in another thread than the main one no signal is handled.
        **Raises** `ClosedError` after `close`, `StateError` in a handler of this scheduler, `TypeError` and
        `ValueError` for signals that are none or cannot be handled.
        """
        patience_s = timeout_s(drain_timeout)
        numbers = _signals.checked(signals)
        self._core._refuse_inside("run")
        loop = asyncio.get_running_loop()
        again: asyncio.Future[None] = loop.create_future()

        def stop() -> None:
            self._core._stop()
            if len(received) > 1 and not again.done():
                again.set_result(None)

        with _signals.noted_on(loop, numbers, stop) as received:
            await self.start()
            try:
                if not received:
                    await _waits.until(self._core, Condition.STOPPED, None)
            except asyncio.CancelledError:
                await self._end_run(patience_s, again)
                raise
            if received:
                await self._end_run(patience_s, again)
        if signal.SIGINT in received[1:]:
            raise KeyboardInterrupt

    async def _end_run(self, patience_s: float | None, again: asyncio.Future[None]) -> None:
        try:
            self._core._stop()
            self._unfinished = not await _waits.until(self._core, Condition.FINISHED, patience_s, again)
        finally:
            await self.close()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain and close; on an exception, one that ends the drain included, close alone."""
        try:
            if error is None and not self._unfinished:
                await self.drain()
        finally:
            await self.close()

    async def at(
        self,
        when: datetime | float,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        connection: Any = None,
        **job_options: Unpack[_JobKeywords],
    ) -> str:
        """Schedule a job for a time of the wall clock; return its id. As `duewheel.Scheduler.at`."""
        core = self._core
        if connection is not None:
            statement = _transactions.scheduling(core, False, when, target, data, id, options, job_options)
            return str(await _transactions.run(connection, statement))
        if self._has_store:
            made = self._awaited.at(when, target, data, id=id, options=options, **job_options)
            return await _waits.complete(core, made)
        if job_options:
            return core.at(when, target, data, id=id, options=options, **job_options)
        return core.at(when, target, data, id=id, options=options)  # without **keywords: a third of the time

    async def in_(
        self,
        delay: float | timedelta,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        connection: Any = None,
        **job_options: Unpack[_JobKeywords],
    ) -> str:
        """Schedule a job after a delay from now; return its id. As `duewheel.Scheduler.in_`."""
        core = self._core
        if connection is not None:
            statement = _transactions.scheduling(core, True, delay, target, data, id, options, job_options)
            return str(await _transactions.run(connection, statement))
        if self._has_store:
            made = self._awaited.in_(delay, target, data, id=id, options=options, **job_options)
            return await _waits.complete(core, made)
        if job_options:
            return core.in_(delay, target, data, id=id, options=options, **job_options)
        return core.in_(delay, target, data, id=id, options=options)  # without **keywords: a third of the time

    def timer(
        self,
        delay: float | timedelta,
        target: str | Callable[[Event], object],
        data: object = None,
        **job_options: Unpack[_JobOptions],
    ) -> Timer:
        """Start a timer; return its handle. As `duewheel.Scheduler.timer`, and not awaited: nothing waits.

        An `async def` callable runs on the loop that started the scheduler, any other on a worker.
        """
        return self._core.timer(delay, target, data, **job_options)

    async def at_many(
        self,
        whens: Sequence[datetime | float] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_ManyKeywords],
    ) -> Sequence[str]:
        """Schedule many jobs of one target, all of them or none; return their ids. As `duewheel.Scheduler.at_many`."""
        return await self._many(False, whens, target, datas, options, job_options)

    async def in_many(
        self,
        delays: Sequence[float | timedelta] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_ManyKeywords],
    ) -> Sequence[str]:
        """Schedule many jobs after delays from now, as `at_many` does; return their ids."""
        return await self._many(True, delays, target, datas, options, job_options)

    async def cancel(self, id: str, *, connection: Any = None) -> bool:
        """Withdraw a pending job. As `duewheel.Scheduler.cancel`."""
        core = self._core
        if connection is not None:
            return bool(await _transactions.run(connection, _transactions.cancelling(core, id)))
        if not self._has_store:
            return core.cancel(id)
        return await _waits.complete(core, self._awaited.cancel(id))

    async def cancel_many(self, ids: Iterable[str]) -> int:
        """Withdraw many pending jobs; return how many were pending. As `duewheel.Scheduler.cancel_many`."""
        core = self._core
        if not self._has_store:
            return core.cancel_many(ids)
        return await _waits.complete(core, self._awaited.cancel_many(ids))

    async def reschedule(self, id: str, when: datetime | float) -> bool:
        """Move a pending job to another time of the wall clock. As `duewheel.Scheduler.reschedule`."""
        core = self._core
        if not self._has_store:
            return core.reschedule(id, when)
        return await _waits.complete(core, self._awaited.reschedule(id, when))

    async def get(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`."""
        core = self._core
        if not self._has_store:
            return core.get(id)
        return await _waits.complete(core, self._awaited.get(id))

    async def next(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`. As `duewheel.Scheduler.next`."""
        check_bounds(start, end)
        core = self._core
        if start is None or len(core) <= _waits.MANY:
            return await _waits.complete(core, self._awaited.next(start, end))
        return await asyncio.to_thread(core.next, start, end)

    def between(
        self,
        start: datetime | float | None = None,
        end: datetime | float | None = None,
        *,
        target: str | None = None,
    ) -> AsyncIterator[Event]:
        """Iterate over the pending events with `start <= due < end`. As `duewheel.Scheduler.between`."""
        check_bounds(start, end, target)
        self._check_open()
        return _waits.each(self._core, lambda: self._core.between(start, end, target=target))

    def dead(
        self, *, target: str | None = None, before: datetime | float | None = None, limit: int | None = None
    ) -> AsyncIterator[DeadEvent]:
        """Iterate over the jobs that ended as dead, newest first. As `duewheel.Scheduler.dead`."""
        self._check_open()
        dead = self._core.dead(target=target, before=before, limit=limit)
        return _waits.each(self._core, lambda: dead)

    async def revive(self, id: str) -> bool:
        """Make the newest dead job of this id due now, from attempt 1. As `duewheel.Scheduler.revive`."""
        core = self._core
        return await _waits.complete(core, self._awaited.revive(id)) if self._has_store else core.revive(id)

    async def purge(self, before: datetime | float | None = None, *, ids: Iterable[str] | None = None) -> int:
        """Forget the dead: that died before a time, or of ids, or all. As `duewheel.Scheduler.purge`."""
        core = self._core
        if not self._has_store:
            return core.purge(before, ids=ids)
        return await _waits.complete(core, self._awaited.purge(before, ids=ids))

    async def count(self) -> int:
        """Return how many jobs are pending."""
        core = self._core
        return await _waits.complete(core, self._awaited.count()) if self._has_store else len(core)

    def stats(self) -> Stats:
        """Return what it holds now and has done since it was made; allowed after `close`."""
        return self._core.stats()

    @property
    def failure(self) -> StorageError | None:
        """Why the store takes nothing any more, or `None`. As `duewheel.Scheduler.failure`."""
        return self._core._failure

    @property
    def storage(self) -> Storage:
        """What is pending, as a store of events, awaited."""
        return Storage(self)

    async def _many(
        self,
        are_delays: bool,
        times: Sequence[Any] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None,
        options: JobOptions | None,
        job_options: _ManyKeywords,
    ) -> Sequence[str]:
        """Make a bulk call; a long one in a thread."""
        awaited = self._awaited
        if isinstance(times, Sized) and len(times) > _waits.MANY:
            in_thread = awaited.many_in_thread
            return await asyncio.to_thread(in_thread, are_delays, times, target, datas, options=options, **job_options)
        made = awaited.many(are_delays, times, target, datas, options=options, **job_options)
        return await _waits.complete(self._core, made)

    async def _restore(self, event: Event) -> None:
        core = self._core
        if self._has_store:
            await _waits.complete(core, self._awaited.restore(event))
        else:
            core._restore(event)

    def _in_this_thread(self) -> Scheduler | Core:
        """Return the scheduler for this thread: a sync handler on a worker has no loop to await a coroutine on."""
        return self if asyncio._get_running_loop() else self._core

    def _check_open(self) -> None:
        if self._core._forked or self._core._closed:
            len(self._core)  # raises

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> NoReturn:
        """Refuse: its jobs, threads and file are of this process."""
        raise TypeError(NO_COPY)

    def __repr__(self) -> str:
        state = "that was not opened" if self._core is UNOPENED else self._core._state()
        return f"<duewheel.aio.Scheduler {state}>"

    def __del__(self) -> None:
        core = self._core
        if core is UNOPENED or core._forked or core._closed:
            return
        if core._started:
            message = f"unclosed {self!r}: nothing refers to it any more; await close(), or use async with"
            warnings.warn(message, ResourceWarning, source=self)
        event_loop = core._event_loop
        if event_loop is not None and not (event_loop.over or event_loop.asyncio_loop.is_running()):
            # Its loop has stopped, as that of asyncio.run does, and nothing else cancels the tasks there.
            event_loop.abandon()
        core.close()
        core._give_up_file()


Scheduler.__new__.__wrapped__ = Scheduler.__init__  # type: ignore[attr-defined]  # its signature is that of the class
