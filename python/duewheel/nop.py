"""A scheduler that does nothing, for where scheduling is switched off."""

from __future__ import annotations

from threading import Event as Flag
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from duewheel import _signals
from duewheel._core import Outcome, Stats, Timer
from duewheel.scheduler import NO_COPY, Scheduler
from duewheel.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from duewheel._core import DeadEvent, Event, Repeat, TargetStats
    from duewheel._running import Running
    from duewheel.postgres import Node
    from duewheel.scheduler import _H
    from duewheel.tasks import TaskDecorator

__all__ = ["NopScheduler"]


class NopScheduler(Scheduler):
    """Stand in for a `Scheduler`: every job is discarded, no handler is ever called.

    It checks nothing: no argument, no state. Nothing is ever pending, so `wait` and `drain` return
    `True` at once. Only `run` takes its time, as a service's main thread needs: until `drain`,
    `close`, Ctrl-C or SIGTERM.

    >>> scheduler = NopScheduler()
    >>> scheduler.in_(30, "email.welcome")
    ''
    >>> len(scheduler), scheduler.wait()
    (0, True)
    """

    def __init__(self, *, plugins: object = ()) -> None:
        # Not opened: it has no engine, and so no thread and no descriptor.
        self._stopped = Flag()
        self._ended = False

    def start(self) -> None:
        """Do nothing."""

    def drain(self, timeout: object = None) -> bool:
        """Let `run` return; return `True`."""
        self._stopped.set()
        return True

    def close(self) -> None:
        """Let `run` return, now and ever after."""
        self._ended = True
        self._stopped.set()

    def wait(self, timeout: object = None) -> bool:
        """Return `True`: nothing is pending."""
        return True

    def run(self, *, drain_timeout: object = None, signals: Any = _signals.ENDS) -> None:
        """Keep the calling thread until `drain`, `close` or one of the signals."""
        try:
            numbers = _signals.checked(signals)
        except (TypeError, ValueError):
            numbers = _signals.ENDS
        self._stopped.clear()
        try:
            with _signals.noted(numbers, self._stopped.set) as received:
                # Not for ever: Windows would not see Ctrl-C.
                while not self._ended and not received and not self._stopped.wait(_signals.LOOKS_EVERY_S):
                    pass
        except BaseException:
            self.close()
            raise
        if received:
            self.close()

    def handle(
        self,
        target: object,
        fn: object,
        *,
        concurrency: object = None,
        rate: object = None,
        timeout: object = None,
        priority: object = None,
        dead: object = None,
    ) -> Callable[[], None]:
        """Forget the handler; return a `deregister` that does nothing."""
        return _deregister

    def handler(
        self,
        target: object,
        *,
        concurrency: object = None,
        rate: object = None,
        timeout: object = None,
        priority: object = None,
        dead: object = None,
    ) -> Callable[[_H], _H]:
        """Return the decorated function unchanged."""
        return _unchanged

    def task(self, target: Any = None, *, codec: Any = "json", **keywords: Any) -> TaskDecorator:
        """Return a task whose jobs are discarded. What makes it one is checked, and so are its arguments."""
        from duewheel.tasks import Task

        def register(fn: Any) -> Any:
            return Task(self, fn, target, codec, {})

        return register

    def at(
        self,
        when: object,
        target: object,
        data: object = None,
        *,
        id: object = None,
        options: object = None,
        connection: object = None,
        **job_options: object,
    ) -> str:
        """Discard the job; return an empty id."""
        return ""

    def in_(
        self,
        delay: object,
        target: object,
        data: object = None,
        *,
        id: object = None,
        options: object = None,
        connection: object = None,
        **job_options: object,
    ) -> str:
        """Discard the job; return an empty id."""
        return ""

    def timer(self, delay: object, target: object, data: object = None, **job_options: object) -> Timer:
        """Discard the timer; return one that is not pending."""
        return Timer._nop()

    def at_many(
        self,
        whens: Any,
        target: object,
        datas: object = None,
        *,
        options: object = None,
        **job_options: object,
    ) -> Sequence[str]:
        """Discard the jobs; return as many empty ids."""
        return ("",) * len(whens)

    def in_many(
        self,
        delays: Any,
        target: object,
        datas: object = None,
        *,
        options: object = None,
        **job_options: object,
    ) -> Sequence[str]:
        """Discard the jobs; return as many empty ids."""
        return ("",) * len(delays)

    def cancel(self, id: object, *, connection: object = None) -> bool:
        """Return `False`: it is unknown."""
        return False

    def cancel_many(self, ids: object) -> int:
        """Return 0: they are unknown."""
        return 0

    def reschedule(self, id: object, when: object) -> bool:
        """Return `False`: it is unknown."""
        return False

    def get(self, id: object) -> Event | None:
        """Return `None`: it is unknown."""
        return None

    def next(self, start: object = None, end: object = None) -> Event | None:
        """Return `None`: nothing is pending."""
        return None

    def between(self, start: object = None, end: object = None, *, target: object = None) -> Iterator[Event]:
        """Iterate over nothing."""
        return iter(())

    def repeat(self, schedule: object, target: object, data: object = None, **keywords: object) -> str:
        """Discard the repeat; return an empty id."""
        return ""

    def repeated(
        self,
        schedule: object,
        *,
        target: object = None,
        data: object = None,
        concurrency: object = None,
        rate: object = None,
        timeout: object = None,
        priority: object = None,
        dead: object = None,
        **keywords: object,
    ) -> Callable[[_H], _H]:
        """Return the decorated function unchanged."""
        return _unchanged

    def pause(self, id: object = None, *, target: object = None) -> bool:
        """Return `False`: it is unknown."""
        return False

    def resume(self, id: object = None, *, target: object = None) -> bool:
        """Return `False`: it is unknown."""
        return False

    def interrupt(self, id: object) -> bool:
        """Return `False`: nothing runs."""
        return False

    def outcome(self, id: object, timeout: object = 0) -> Outcome:
        """Say that it was cancelled: every job is discarded here, and nothing is to be waited for."""
        return Outcome("cancelled")

    def trigger(self, id: object) -> bool:
        """Return `False`: it is unknown."""
        return False

    def get_repeat(self, id: object) -> Repeat | None:
        """Return `None`: it is unknown."""
        return None

    def repeats(self) -> Iterator[Repeat]:
        """Iterate over nothing."""
        return iter(())

    def explain(self, id: object) -> str:
        """Say that it is discarded."""
        return f"{id!r} is unknown: every job is discarded here"

    def dead(self, *, target: object = None, before: object = None, limit: object = None) -> Iterator[DeadEvent]:
        """Iterate over nothing."""
        return iter(())

    def revive(self, id: object) -> bool:
        """Return `False`: it is unknown."""
        return False

    def purge(self, before: object = None, *, ids: object = None) -> int:
        """Return 0: there is nothing to forget."""
        return 0

    @property
    def role(self) -> Literal["alone"]:
        """`"alone"`: there is no file that processes could share."""
        return "alone"

    @property
    def failure(self) -> None:
        """`None`: there is no store that could fail."""

    @property
    def storage(self) -> Storage:
        """A store that stays empty."""
        return Storage(self)

    def backup(self, path: object) -> None:
        """Do nothing: there is no file."""

    def rotate(self, progress: object = None) -> None:
        """Do nothing: there is no file."""

    def nodes(self) -> list[Node]:
        """Return an empty list: there is no database."""
        return []

    def stats(self) -> Stats:
        """Return zeros."""
        return Stats._zeros()

    def targets(self) -> MappingProxyType[str, TargetStats]:
        """Return an empty mapping: nothing is counted."""
        return MappingProxyType({})

    def running(self) -> list[Running]:
        """Return an empty list: no handler is ever called."""
        return []

    def _put_around(self, around: object, what: object) -> None:
        """Do nothing: no handler is called."""

    def _restore(self, event: object) -> None:
        """Discard the event of `storage.create`."""

    def __contains__(self, id: object) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> Self:
        """Do nothing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let `run` return."""
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(NO_COPY)

    def __repr__(self) -> str:
        return "<duewheel.NopScheduler>"

    def __del__(self, warn: object = None) -> None:
        """Do nothing: nothing was begun."""


def _deregister() -> None:
    pass


def _unchanged(fn: _H) -> _H:
    return fn
