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
import contextlib
import contextvars
import signal
import threading
import warnings
from collections.abc import Sized
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from duewheel import _current, _loop, _signals
from duewheel import context as _context
from duewheel._checks import lists_keywords
from duewheel._core import check_bounds, timeout_s
from duewheel.errors import StateError
from duewheel.scheduler import NO_COPY, Core, is_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from datetime import datetime, timedelta
    from os import PathLike
    from types import TracebackType
    from typing import Self, Unpack

    from typing_extensions import Buffer

    from duewheel._core import AwaitedCalls, DeadEvent, Event, Stats, _Array, _JobOptions
    from duewheel.errors import StorageError
    from duewheel.options import JobOptions
    from duewheel.scheduler import _H
    from duewheel.storage import LocalStorage
    from duewheel.testing import ManualClock

__all__ = ["Scheduler", "Storage", "at", "in_"]

_A = TypeVar("_A")
_R = TypeVar("_R")

_MANY = 1_000
"""So many jobs at once take some hundred microseconds: more are not the event loop's to do."""

_CHUNK = 100
"""How many events an iterator makes before the event loop has its turn."""


class _NotOpened:
    """Stands for what a scheduler has once it was opened.

    In the instance, not in the class, and not as its `__getattr__`: looking at what is there must cost nothing.
    """

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # what any object may be asked for
            raise AttributeError(name)
        raise StateError("this scheduler was not opened: super().__init__() was not called, or has raised")


_NOT_OPENED: Any = _NotOpened()


class Scheduler:
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

    _core: Core
    _kept: bool  # else a call waits for nothing
    _awaited: AwaitedCalls
    _starting: threading.Lock  # of the loops of several threads, one gets it

    def __new__(cls, *_arguments: object, **_keywords: object) -> Self:
        """Make one that is not opened yet."""
        self = super().__new__(cls)
        self._core = self._awaited = self._starting = _NOT_OPENED
        self._kept = False
        self._unfinished = False  # `run` was told not to wait for what still runs
        return self

    @lists_keywords
    def __init__(
        self,
        storage: str | PathLike[str] | LocalStorage | None = None,
        *,
        workers: int = 4,
        options: JobOptions | None = None,
        clock: ManualClock | None = None,
        seed: int | None = None,
        tasks: int = 1_000,
    ) -> None:
        """Make a scheduler; `start` starts it."""
        if self._core is not _NOT_OPENED:
            raise StateError("this scheduler is open: __init__() was called before; make another one")
        self._core = Core(storage, workers=workers, options=options, clock=clock, seed=seed, tasks=tasks)
        self._kept = self._core._kept
        self._awaited = self._core._awaited()
        self._starting = threading.Lock()

    async def start(self) -> None:
        """Begin to run what is due, async handlers on this event loop.

        Idempotent; after `drain` it starts again, on the loop it is awaited on. Handlers run in copies of the present
        context.

        **Raises** `ClosedError` after `close`, `StateError` while another running loop has it.
        """
        self._check_open()
        core = self._core
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        context.run(_current.current.set, self)  # type: ignore[arg-type]  # the same calls, awaited
        with self._starting:
            events = core._events
            if events is not None and events.events is not loop:
                if core._started and not events.events.is_closed():
                    return
                if events.events.is_running():
                    raise StateError("another event loop, which runs, has this scheduler: close it there")
                events.abandon()
                core._events = events = None
            if events is None:
                core._events = _loop.attach(core, loop)
            core._start(context)

    async def drain(self, timeout: float | timedelta | None = None) -> bool:
        """Start nothing more and finish what has started, tasks too.

        As `duewheel.Scheduler.drain`: `False` when `timeout` ran out first.

        **Time**: `timeout` is seconds or a `timedelta`; `None` has no end.
        **Raises** `StateError` in a handler of this scheduler.
        """
        seconds = timeout_s(timeout)
        self._core._refuse_inside("drain")
        core = self._core
        core._stop()
        self._leave_closed_loop()
        finished = await self._until("finished", seconds)
        if finished and self._kept and core._closed:
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
        self._leave_closed_loop()
        events = core._events
        if events is not None:
            events.spare_caller()  # here, where it is known: a thread may close it
        if self._kept or (not core._closed and len(core) > _MANY):
            await _in_thread(self._awaited.close_gently)
        else:
            core.close()
        if events is not None:
            if events.events is not asyncio.get_running_loop():
                return  # the bell has rung there
            events.drain()
            for _ in range(10):
                await asyncio.sleep(0)
                if events.over:
                    break
        if self._kept:
            await _in_thread(core._give_up_file)

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
        self._leave_closed_loop()
        return await self._until("idle", seconds)

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

        def told() -> None:
            self._core._stop()
            if len(received) > 1 and not again.done():
                again.set_result(None)

        with (
            _signals.waking(loop) if numbers else contextlib.nullcontext(),
            _signals.noted(numbers, lambda: loop.call_soon_threadsafe(told)) as received,
        ):
            await self.start()
            try:
                if not received:
                    await self._until("stopped", None)
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
            self._unfinished = not await self._until("finished", patience_s, again)
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

    def handle(self, target: str, fn: Callable[[Event], object]) -> Callable[[], None]:
        """Register `fn(event)`, async or not, as the handler of `target`; return what deregisters it.

        As `duewheel.Scheduler.handle`.

        **Raises** `DuplicateTargetError` when the target has a handler, `TypeError` when `fn` is not callable,
        `ClosedError`.
        """
        core = self._core
        number, registration = core._register(target, fn, is_async(fn))

        def deregister() -> None:
            core._deregister(number, registration)

        return deregister

    def handler(self, target: str) -> Callable[[_H], _H]:
        """Register the decorated function as the handler of `target`.

        **Raises** as `handle` does.
        """
        self._core._check_target(target)

        def register(fn: _H) -> _H:
            self.handle(target, fn)
            return fn

        return register

    async def at(
        self,
        when: datetime | float,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobOptions],
    ) -> str:
        """Schedule a job for a time of the wall clock; return its id. As `duewheel.Scheduler.at`."""
        if self._kept:
            made = self._awaited.at(when, target, data, id=id, options=options, **job_options)
            if made is not None:
                return await self._settled(*made)
            return await asyncio.to_thread(self._core.at, when, target, data, id=id, options=options, **job_options)
        if job_options:
            return self._core.at(when, target, data, id=id, options=options, **job_options)
        return self._core.at(when, target, data, id=id, options=options)  # packs no keywords: a third of the time

    async def in_(
        self,
        delay: float | timedelta,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobOptions],
    ) -> str:
        """Schedule a job after a delay from now; return its id. As `duewheel.Scheduler.in_`."""
        if self._kept:
            made = self._awaited.in_(delay, target, data, id=id, options=options, **job_options)
            if made is not None:
                return await self._settled(*made)
            return await asyncio.to_thread(self._core.in_, delay, target, data, id=id, options=options, **job_options)
        if job_options:
            return self._core.in_(delay, target, data, id=id, options=options, **job_options)
        return self._core.in_(delay, target, data, id=id, options=options)  # packs no keywords: a third of the time

    async def at_many(
        self,
        whens: Sequence[datetime | float] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobOptions],
    ) -> Sequence[str]:
        """Schedule many jobs of one target, all of them or none; return their ids. As `duewheel.Scheduler.at_many`."""
        return await self._make_many(False, whens, target, datas, options, job_options)

    async def in_many(
        self,
        delays: Sequence[float | timedelta] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobOptions],
    ) -> Sequence[str]:
        """Schedule many jobs after delays from now, as `at_many` does; return their ids."""
        return await self._make_many(True, delays, target, datas, options, job_options)

    async def cancel(self, id: str) -> bool:
        """Withdraw a pending job. As `duewheel.Scheduler.cancel`."""
        if not self._kept:
            return self._core.cancel(id)
        made = self._awaited.cancel(id)
        return await (asyncio.to_thread(self._core.cancel, id) if made is None else self._settled(*made))

    async def reschedule(self, id: str, when: datetime | float) -> bool:
        """Move a pending job to another time of the wall clock. As `duewheel.Scheduler.reschedule`."""
        if not self._kept:
            return self._core.reschedule(id, when)
        made = self._awaited.reschedule(id, when)
        return await (asyncio.to_thread(self._core.reschedule, id, when) if made is None else self._settled(*made))

    async def get(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`."""
        if not self._kept:
            return self._core.get(id)
        made = self._awaited.get(id)
        return await asyncio.to_thread(self._core.get, id) if made is None else made[0]

    async def next(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`. As `duewheel.Scheduler.next`."""
        check_bounds(start, end)
        made = None
        if start is None or await self.count() <= _MANY:
            made = self._awaited.next(start, end)
        return await asyncio.to_thread(self._core.next, start, end) if made is None else made[0]

    def between(
        self, start: datetime | float | None = None, end: datetime | float | None = None
    ) -> AsyncIterator[Event]:
        """Iterate over the pending events with `start <= due < end`. As `duewheel.Scheduler.between`."""
        check_bounds(start, end)
        self._check_open()
        return self._each(lambda: self._core.between(start, end))

    def dead(self) -> AsyncIterator[DeadEvent]:
        """Iterate over the jobs that ended as dead, newest first. As `duewheel.Scheduler.dead`."""
        self._check_open()
        return self._each(lambda: iter(self._core._dead()))

    async def revive(self, id: str) -> bool:
        """Make the newest dead job of this id due now, from attempt 1. As `duewheel.Scheduler.revive`."""
        return await self._ask(self._core.revive, id)

    async def purge(self, before: datetime | float | None = None) -> int:
        """Forget the dead that died before a time, or all; return how many. As `duewheel.Scheduler.purge`."""
        return await self._ask(self._core.purge, before)

    async def count(self) -> int:
        """Return how many jobs are pending."""
        return len(self._core)

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

    async def backup(self, path: str | PathLike[str]) -> None:
        """Copy the durable store into a new file while it is in use. As `duewheel.Scheduler.backup`."""
        self._refuse_in_memory("back up")
        await asyncio.to_thread(self._core._backup, path)

    async def rotate(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Encrypt the data of all jobs under the keyring's default key. As `duewheel.Scheduler.rotate`.

        **Concurrency**: `progress` is called on a thread.
        """
        self._refuse_in_memory("rotate the keys of")
        await asyncio.to_thread(self._core._rotate, progress)

    def _leave_closed_loop(self) -> None:
        """Give up what a loop has left that was closed before the scheduler was: nobody else ends it."""
        core = self._core
        events = core._events
        if events is None or events.over or not events.events.is_closed():
            return
        with self._starting:
            if core._events is events:
                events.abandon()
                core._events = None

    def _here(self) -> Scheduler | Core:
        """Return what takes jobs in this thread: a sync handler on a worker has no loop to await a coroutine on."""
        return self if asyncio._get_running_loop() else self._core

    def _refuse_in_memory(self, what: str) -> None:
        self._check_open()
        if not self._kept:
            raise StateError(f"there is nothing to {what}: this scheduler keeps its jobs in memory, not in a file")

    def _check_open(self) -> None:
        if self._core._forked or self._core._closed:
            len(self._core)  # raises

    # A call that changes a file writes its batch and returns the ticket to wait for; one that would have to ask the
    # store first does nothing, and is made anew in a thread.

    async def _make_many(
        self,
        are_delays: bool,
        times: Sequence[Any] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None,
        options: JobOptions | None,
        job_options: _JobOptions,
    ) -> Sequence[str]:
        """Make a bulk call; a long one is not the loop's to make."""
        awaited = self._awaited
        if not (isinstance(times, Sized) and len(times) > _MANY):
            made = awaited.many(are_delays, times, target, datas, options=options, **job_options)
            if made is not None:
                return await self._settled(*made)
        return await asyncio.to_thread(
            awaited.many_gently, are_delays, times, target, datas, options=options, **job_options
        )

    async def _restore(self, event: Event) -> None:
        if self._kept:
            made = self._awaited.restore(event)
            await (asyncio.to_thread(self._core._restore, event) if made is None else self._settled(*made))
        else:
            self._core._restore(event)

    async def _ask(self, call: Callable[[_A], _R], argument: _A) -> _R:
        """Make a call that has to ask the store."""
        return await asyncio.to_thread(call, argument) if self._kept else call(argument)

    async def _settled(self, result: _R, ticket: int) -> _R:
        """Return the result of a call once its batch is on disk."""
        if not ticket:
            return result
        events = self._core._events
        if events is not None and events.events is asyncio.get_running_loop() and not events.over:
            await events.settled(ticket)
            if self._core._has_room():
                return result
        await asyncio.to_thread(self._core._wait_settled, ticket)
        return result

    async def _until(self, awaited: str, seconds: float | None, unless: asyncio.Future[None] | None = None) -> bool:
        """Wait until something holds; `False`: the time is over, or there is no need to wait any more."""
        events = self._core._events
        if events is None or events.events is not asyncio.get_running_loop() or events.over:
            return await self._until_elsewhere(awaited, seconds, unless)
        future = events.watch(awaited)
        if future is None:
            return True
        try:
            ends = (future,) if unless is None else (future, unless)
            done, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if future in done:
                future.result()
            return future in done
        finally:
            events.unwatch(future)

    async def _until_elsewhere(self, awaited: str, seconds: float | None, unless: asyncio.Future[None] | None) -> bool:
        # Not started, or on another loop: nobody tells this one.
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        while not self._core._holds(awaited):
            if (end is not None and loop.time() >= end) or (unless is not None and unless.done()):
                return False
            await asyncio.sleep(0.02 if end is None else min(0.02, max(0.0, end - loop.time())))
        return True

    async def _each(self, begin: Callable[[], Iterator[_R]]) -> AsyncIterator[_R]:
        """Iterate over events in chunks, between which the loop goes on."""
        slow = self._kept or len(self._core) > _MANY
        items = await asyncio.to_thread(begin) if slow else begin()
        while True:
            chunk = await asyncio.to_thread(_take, items) if self._kept else _take(items)
            for item in chunk:
                yield item
            if len(chunk) < _CHUNK:
                return
            await asyncio.sleep(0)

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> NoReturn:
        """Refuse: what it holds is of this process."""
        raise TypeError(NO_COPY)

    def __repr__(self) -> str:
        if self._core is _NOT_OPENED:
            state = "that was not opened"
        elif self._core._forked:
            state = "of the parent process"
        elif self._core._closed:
            state = "closed"
        else:
            state = f"{'started' if self._core._started else 'stopped'}, {len(self._core)} pending"
        return f"<duewheel.aio.Scheduler {state}>"

    def __del__(self) -> None:
        core = self._core
        if core is _NOT_OPENED or core._forked or core._closed:
            return
        if core._started:
            message = f"unclosed {self!r}: nothing refers to it any more; await close(), or use async with"
            warnings.warn(message, ResourceWarning, source=self)
        events = core._events
        if events is not None and not (events.over or events.events.is_running()):
            # Its loop has ended, as asyncio.run does: nobody cancels what is left there.
            events.abandon()
        core.close()
        core._give_up_file()


Scheduler.__new__.__wrapped__ = Scheduler.__init__  # type: ignore[attr-defined]  # its signature is that of the class


async def at(
    when: datetime | float,
    target: str,
    data: Buffer = b"",
    *,
    id: str | None = None,
    options: JobOptions | None = None,
    **job_options: Unpack[_JobOptions],
) -> str:
    """Schedule a job due at `when` on the current scheduler; return its id. As `duewheel.at`, for coroutines.

    The current scheduler may be a plain one: where it has a file, a thread waits for the disk, not the loop.
    """
    scheduler = _current_one()
    if isinstance(scheduler, Scheduler):
        return await scheduler.at(when, target, data, id=id, options=options, **job_options)
    return await _apart(partial(_context.at, when, target, data, id=id, options=options, **job_options))


async def in_(
    delay: timedelta | float,
    target: str,
    data: Buffer = b"",
    *,
    id: str | None = None,
    options: JobOptions | None = None,
    **job_options: Unpack[_JobOptions],
) -> str:
    """Schedule a job due `delay` from now on the current scheduler; return its id. As `duewheel.in_`, for coroutines.

    The current scheduler may be a plain one: where it has a file, a thread waits for the disk, not the loop.
    """
    scheduler = _current_one()
    if isinstance(scheduler, Scheduler):
        return await scheduler.in_(delay, target, data, id=id, options=options, **job_options)
    return await _apart(partial(_context.in_, delay, target, data, id=id, options=options, **job_options))


def _current_one() -> object:
    """Return the current scheduler, which may be one of this module."""
    return _context.current_scheduler()


async def _apart(call: Callable[[], _R]) -> _R:
    """Make a call of the current scheduler, a plain one; where it waits for a disk, in a thread."""
    kept = getattr(_current_one(), "_kept", False)
    return await asyncio.to_thread(call) if kept else call()


class Storage:
    """Read and change what is pending, event by event; made by `Scheduler.storage`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def create(self, event: Event) -> None:
        """Take in an event as it stands. As `duewheel.Storage.create`."""
        await self._scheduler._restore(event)

    async def load(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`."""
        return await self._scheduler.get(id)

    async def delete(self, id: str) -> bool:
        """Withdraw a pending job, as `Scheduler.cancel` does."""
        return await self._scheduler.cancel(id)

    async def next(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`."""
        return await self._scheduler.next(start, end)

    def between(
        self, start: datetime | float | None = None, end: datetime | float | None = None
    ) -> AsyncIterator[Event]:
        """Iterate over the pending events with `start <= due < end`, in order."""
        return self._scheduler.between(start, end)


def _take(items: Iterator[_R]) -> list[_R]:
    return list(islice(items, _CHUNK))


async def _in_thread(call: Callable[[], object]) -> None:
    """Make a call in a thread, to its end, also when the coroutine that waits for it is cancelled."""
    made = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, call)
    await asyncio.shield(made)
