"""The scheduler: the engine's calls, and those that are written in Python, around them."""

from __future__ import annotations

import contextvars
import functools
import itertools
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from duewheel import _current, _signals, targets
from duewheel._arounds import Surrounded
from duewheel._checks import is_async, lists_keywords
from duewheel._core import Event, Ids, timeout_s
from duewheel._pauses import Pausing
from duewheel._repeats import Declared
from duewheel._running import Watched
from duewheel._watch import Limited
from duewheel.errors import StateError, StorageError
from duewheel.storage import Storage, path_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from os import PathLike
    from types import TracebackType
    from typing import Literal, Self, Unpack

    from typing_extensions import Buffer

    from duewheel._core import EventLoop, JobOptions, Schedule, _RepeatTerms, _TaskKeywords
    from duewheel.codecs import Codec
    from duewheel.postgres import PostgresStorage
    from duewheel.storage import LocalStorage
    from duewheel.targets import Controls, Limit, Rate
    from duewheel.tasks import TaskDecorator
    from duewheel.testing import ManualClock


NO_COPY = "a scheduler cannot be copied or pickled: its jobs, threads and file are of this process; make another one"


Handler: TypeAlias = Callable[[Event], object]
"""A function that may be registered for a target: it is called with an `Event`. It may be an `async def` one."""

_H = TypeVar("_H", bound=Handler)


class Core(Pausing, Surrounded, Watched, Limited):
    """The engine, and the event loop of its async handlers."""

    _serves = False  # other processes, once it is open
    _event_loop: EventLoop | None = None
    _path: str | None = None  # of its file
    _wheel: object = None  # of `aio.timeout` in its handlers, from the first one on, where it has a loop of its own
    _opened_ns: int | None = None  # until plugins have been told what an earlier life has interrupted

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
    ) -> None:
        """Open it; `start` starts it."""
        if plugins != ():
            from duewheel.plugins import Hooks

            self._hooks = Hooks(plugins)
        self._loop_lock = threading.Lock()  # held to give it an event loop, and to leave one
        self._declared = Declared()
        self._opened_ns = time.time_ns()  # a store notes interruptions by this clock, also where another one is given
        self._open(storage, workers, options, clock, seed, tasks, self._hooks, self._serves)
        self._path = path_of(storage)
        self._clock = clock
        if clock is not None:
            clock._attach(self)

    def close(self) -> None:
        """Start nothing more; the async handler that calls this goes on, if one does."""
        self._wheel = None  # timeouts that are active keep it
        if self._event_loop is not None:
            self._event_loop.exempt_caller()
        super().close()

    def _provide_loop(self) -> EventLoop:
        """Return the event loop that runs async handlers."""
        if self._event_loop is None:
            raise StateError("its event loop has ended: start the scheduler on another one")
        return self._event_loop

    def _expect_async(self) -> None:
        """Be ready to run something async."""

    def _handle(self, target: str, fn: Handler, on_loop: bool, controls: Controls) -> Callable[[], None]:
        """Register a handler; return what deregisters it."""
        targets.check_dead(target, controls.dead)
        if controls.timeout is not None:
            fn = self._limited(fn, on_loop, controls.timeout)
        if self._hooks is not None:
            fn = self._hooks.composed(fn, on_loop)
        given = None if controls is targets.NONE else controls.for_engine()
        number, registration = self._register(target, fn, on_loop, given, controls.dead)

        def deregister() -> None:
            self._deregister(number, registration)

        return deregister

    def _report_interrupted(self) -> None:
        """Tell plugins, once, of the jobs that opening the store has found interrupted and buried."""
        hooks, opened_ns, self._opened_ns = self._hooks, self._opened_ns, None
        if hooks is None or hooks.dead is None or opened_ns is None or not self._has_store:
            return
        newest = list(itertools.takewhile(lambda dead: dead.died >= opened_ns, self.dead()))
        for dead in reversed(newest):
            if dead.reason == "interrupted":
                hooks.dead(dead)

    def _refuse_in_memory(self, what: str) -> None:
        len(self)  # raises when closed, and in a fork
        if not self._has_store:
            raise StateError(f"there is nothing to {what}: this scheduler keeps its jobs in memory, not in a file")

    def _state(self) -> str:
        """Describe its state for a `repr`."""
        if self._forked:
            return "of the parent process"
        if not self._opened:
            return "that was not opened"
        if self._closed:
            return "closed"
        return f"{'started' if self._started else 'stopped'}, {len(self)} pending"


class Scheduler(Core):
    """Run jobs at a time, through handlers that are registered by target.

    `storage` says where jobs are kept: `None` in memory, a path or a `LocalStorage` in a file,
    a `postgresql://` URL or a `PostgresStorage` in a database that others share, from
    which they come back when it is opened again. `workers` (1 or more, 4 unless given) is the
    number of threads that run handlers; with one they run strictly one after another. `options`
    is a `JobOptions` laid under every job's own. `clock` is the system's, or a
    `duewheel.testing.ManualClock`. `seed` (an unsigned 64-bit int) makes the jitter of jobs with
    a given id reproducible. `tasks` (1 or more) is how many `async def` handlers run at once, as tasks
    of an event loop in a thread of its own; `duewheel.aio.Scheduler` runs them on yours. `plugins` are
    objects that are called around handlers, and told of how jobs end: see `duewheel.plugins`. With `share` other
    processes of this machine may use the file: see `role`.

    **Order**: what is due is taken up in the order of (due, sequence of scheduling).
    **Concurrency**: every call may come from any thread, handlers included.
    **Durability**: in a file, a change is on disk when its call returns, as `LocalStorage` says, and
    a job is there until it has succeeded, is dead or cancelled.
    **Raises** `TypeError` and `ValueError` for arguments that are not as above; `StorageError` for a
    file that cannot be opened: `StorageLockedError`, `StorageCorruptError`, `StorageVersionError`,
    `WrongKeyError`. After `close`, every call but `close`, `drain` and `stats` raises `ClosedError`;
    in a forked child, every call raises `ForkedError`.

    >>> scheduler = Scheduler()
    >>> @scheduler.handler("greet")
    ... def greet(event):
    ...     print("hello", event.data.decode())
    >>> with scheduler:
    ...     id = scheduler.in_(0.01, "greet", b"Ada")
    ...     finished = scheduler.wait()
    hello Ada
    """

    _has_async = False
    _face: Scheduler | None = None  # what handlers see as the scheduler, where it shares its file

    _unfinished = False  # `run` has ended before the handlers: leaving `with` does not wait for them

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
        self._manual = clock is not None
        if share:
            from duewheel.sharing._shared import become_sharing

            self._declared = Declared()
            arguments = {"workers": workers, "options": options, "clock": clock, "seed": seed, "tasks": tasks}
            become_sharing(self, Scheduler, storage, {**arguments, "plugins": tuple(plugins)})
            return
        super().__init__(
            storage, workers=workers, options=options, clock=clock, seed=seed, tasks=tasks, plugins=plugins
        )

    @property
    def role(self) -> Literal["alone", "owner", "client"]:
        """What this process is to a file that is shared: `"owner"` or `"client"`; `"alone"`: it is not shared.

        The owner has the file open, runs handlers, and answers the calls of the others. When it ends, a client becomes
        the owner within half a second, with the handlers that were registered there.
        """
        return "alone"

    def start(self) -> None:
        """Begin to run what is due.

        Idempotent; after `drain` it starts again. Handlers run in copies of the present context.

        **Raises** `ClosedError` after `close`.
        """
        context = contextvars.copy_context()
        context.run(_current.current.set, self._face or self)
        if self._has_async:
            self._provide_loop()  # first: without a thread for the loop nothing starts
        self._take_in_declared()
        self._report_interrupted()
        self._start(context)
        if self._has_async:
            self._provide_loop()  # for a handler that was registered meanwhile

    def _provide_loop(self) -> EventLoop:
        from duewheel import _loop

        with self._loop_lock:
            if self._event_loop is None:
                self._event_loop = _loop.own_loop(self, self._manual)
            return self._event_loop

    def _expect_async(self) -> None:
        self._has_async = True
        if self._started:
            self._provide_loop()

    def close(self) -> None:
        """Start nothing more, for good, and wait for nothing.

        Handlers that are running go on, but for async ones: they are cancelled, except for one that calls this. In
        memory what is pending is dropped, counted and logged. Idempotent, allowed in a handler.

        **Durability**: on disk it stays pending, and the file is given up after the last outcome. What still
        runs when the process ends comes again with the next `run`.
        """
        super().close()
        if self._manual and self._event_loop is not None:
            from duewheel import _loop

            _loop.close_by_hand(self._event_loop)

    def handle(
        self,
        target: str,
        fn: Handler,
        *,
        concurrency: int | Limit | None = None,
        rate: Rate | None = None,
        timeout: float | timedelta | None = None,
        priority: float | timedelta = 0,
        dead: str | None = None,
    ) -> Callable[[], None]:
        """Register `fn(event)` as the handler of `target`; return what deregisters it.

        `deregister()` is idempotent, also after `close`. Once it has returned, nothing more
        starts on `fn`.

        At most `concurrency` of the target run at once, and it starts no more often than `rate` says; what is due
        and may not start is held in its order, costs no worker, and holds up no other target. `priority` is a head
        start: what is due is taken up in the order of (due - priority, sequence). An attempt that takes longer than
        `timeout` fails with `TimeoutError` where `fn` is async; on a thread, where nothing can be interrupted,
        `event.expired` turns true, and another worker steps in. A death also schedules a job of the target `dead`, with
        the same data, due now.

        **Time**: `timeout` and `priority` are seconds or a `timedelta`; `priority` may be negative.
        **Raises** `DuplicateTargetError` when the target has a handler, `TypeError` when `fn` is
        not callable, `TypeError`, `ValueError` and `OverflowError` for controls that are none, `ClosedError`.
        """
        controls = targets.checked(concurrency, rate, timeout, priority, dead)
        on_loop = is_async(fn)
        deregister = self._handle(target, fn, on_loop, controls)
        if on_loop:
            self._expect_async()
        return deregister

    def handler(
        self,
        target: str,
        *,
        concurrency: int | Limit | None = None,
        rate: Rate | None = None,
        timeout: float | timedelta | None = None,
        priority: float | timedelta = 0,
        dead: str | None = None,
    ) -> Callable[[_H], _H]:
        """Register the decorated function as the handler of `target`; the keywords are those of `handle`.

        **Raises** as `handle` does.
        """
        self._check_target(target)
        targets.checked(concurrency, rate, timeout, priority, dead)

        def register(fn: _H) -> _H:
            self.handle(target, fn, concurrency=concurrency, rate=rate, timeout=timeout, priority=priority, dead=dead)
            return fn

        return register

    def task(
        self, target: str | None = None, *, codec: str | Codec = "json", **keywords: Unpack[_TaskKeywords]
    ) -> TaskDecorator:
        """Register the decorated function as a handler with a signature; return it as a `duewheel.tasks.Task`.

        Its `at`, `in_` and `repeat` take the arguments of the function, and check them. The target is
        `module.qualname` unless given. `codec` makes bytes of the arguments: `"json"`, `"msgspec"`, `"pydantic"`, the
        name of an entry point in the group `duewheel.codecs`, or a `duewheel.codecs.Codec`. The keywords are those of
        `JobOptions` and `options`, for its jobs, and those of `handle`. A first parameter that is annotated as `Event`
        is given the event, and is no argument of jobs.

        A job whose data cannot be read, or no longer fits the signature, is dead at once, reason `"failed"`.

        **Raises** as `handle` does and `JobOptions`; `ConfigError` for a codec that there is not; `TypeError` for what
        has no signature, and for annotations that the codec cannot store.
        """
        from duewheel import tasks

        len(self)  # raises when closed, and in a fork
        tasks.check_arguments(target, keywords)

        def register(fn: Any) -> Any:
            return tasks.Task(self, fn, target, codec, keywords)

        return register

    def repeated(
        self,
        schedule: Schedule | str | timedelta | float,
        *,
        target: str | None = None,
        data: Buffer = b"",
        concurrency: int | Limit | None = None,
        rate: Rate | None = None,
        timeout: float | timedelta | None = None,
        priority: float | timedelta = 0,
        dead: str | None = None,
        **keywords: Unpack[_RepeatTerms],
    ) -> Callable[[_H], _H]:
        """Register the decorated function, and declare a repeat that calls it; the id is the target.

        The target is the function's name unless given. The repeat is taken in when the scheduler starts, at once if it
        has. It runs only in a life of the program that declares it: one that is in the file and is declared no longer
        waits, `start` logs its id, and `cancel` forgets it. The keywords are those of `handle` and of `repeat`.

        **Raises** as `handle` and `repeat` do.
        """
        targets.checked(concurrency, rate, timeout, priority, dead)
        handle = functools.partial(
            self.handle, concurrency=concurrency, rate=rate, timeout=timeout, priority=priority, dead=dead
        )
        return self._declaring(handle, (schedule, target, data), keywords)

    def run(self, *, drain_timeout: float | timedelta | None = None, signals: Iterable[int] = _signals.ENDS) -> None:
        """Start, then give the calling thread to the scheduler.

        Returns after `drain` or `close` from elsewhere, or after one of `signals` (Ctrl-C and SIGTERM unless given),
        which drains and closes. A second one closes at once, as does the end of `drain_timeout`; handlers that are
        running then go on in their threads. A second one that is Ctrl-C goes on as `KeyboardInterrupt`. When this
        returns the former handlers of the signals are back. An exception that another handler of a signal raises
        closes at once, and goes on.

        **Time**: `drain_timeout` is seconds or a `timedelta`; `None` has no end.
        **Concurrency**: in another thread than the main one no signal is handled.
        **Raises** `ClosedError` after `close`, `StateError` in a handler of this scheduler, `TypeError` and
        `ValueError` for signals that are none or cannot be handled.
        """
        patience_s = timeout_s(drain_timeout)
        numbers = _signals.checked(signals)
        self._refuse_inside("run")
        began = False
        try:
            with _signals.noted(numbers, self._stop) as received:
                self.start()
                began = True
                if not received:
                    self._wait_stopped()
                if received:
                    self._unfinished = not self._drain_unless_again(patience_s, received)
                    self.close()
        except BaseException as error:
            # Not after a start that failed: the next one may succeed. A store that failed is kept, to be looked at.
            if (began and not isinstance(error, StorageError)) or not isinstance(error, Exception):
                self.close()
            raise
        if signal.SIGINT in received[1:]:
            raise KeyboardInterrupt

    def _drain_unless_again(self, patience_s: float | None, received: list[int]) -> bool:
        end = None if patience_s is None else time.monotonic() + patience_s
        while len(received) < 2:
            left_s = math.inf if end is None else end - time.monotonic()
            if self.drain(max(0.0, min(left_s, _signals.LOOKS_EVERY_S))):
                return True
            if left_s <= _signals.LOOKS_EVERY_S:
                return False
        return False

    @property
    def failure(self) -> StorageError | None:
        """Why the store takes nothing any more, or `None`: it has not failed, or there is none.

        After a failed write or sync nothing is accepted and nothing runs until the file is opened again. Readable
        after `close`, too.
        """
        return self._failure

    @property
    def storage(self) -> Storage:
        """What is pending, as a store of events."""
        return Storage(self)

    def backup(self, path: str | PathLike[str]) -> None:
        """Copy the durable store into a new file while it is in use.

        The copy is opened like any other file, under the same keys.

        **Durability**: the copy is whole and on disk when this returns.
        **Raises** `StateError` for a scheduler in memory, `StorageError` when `path` is taken or cannot
        be written, `ClosedError`.
        """
        self._refuse_in_memory("back up")
        self._backup(path)

    def rotate(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Encrypt the data of all jobs of the durable store under the keyring's default key.

        `progress(done, all)` is called now and then with how many rows are done, of how many. When this
        returns, no row needs the other keys: open it without them from then on. Data that are not
        encrypted, as SQL schedules them, are then, too. What was cut off goes on with the next call.

        **Nodes** of a database are opened with both keys and the new default before one of them
        rotates: while others encrypt under another key it ends with a `StorageError` that says so.

        **Concurrency**: jobs are scheduled and run meanwhile; returns when all is done.
        **Raises** `StateError` for a scheduler in memory, `WrongKeyError` without a keyring,
        `StorageError`, `ClosedError`, and what `progress` raises.
        """
        self._refuse_in_memory("rotate the keys of")
        self._rotate(progress)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain and close; on an exception, one that ends the drain included, close alone."""
        try:
            if error is None and not self._unfinished:
                self.drain()
        finally:
            self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse: its jobs, threads and file are of this process."""
        raise TypeError(NO_COPY)

    def __repr__(self) -> str:
        return f"<duewheel.Scheduler {self._state()}>"

    def __del__(self) -> None:
        if self._forked or self._closed:
            return
        if self._started:
            message = f"unclosed {self!r}: nothing refers to it any more; close() it, or use with"
            warnings.warn(message, ResourceWarning, source=self)
        self.close()


__all__ = ["Handler", "Ids", "Scheduler"]
