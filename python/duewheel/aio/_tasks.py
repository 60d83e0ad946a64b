"""Tasks whose jobs are scheduled by awaited calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from duewheel._core import Event
from duewheel.tasks import TaskBase, TaskOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime, timedelta

    from duewheel._core import Schedule

_C = ParamSpec("_C")  # of a plain call
_P = ParamSpec("_P")  # of a job: without the event
_R = TypeVar("_R")


class Task(TaskBase[_C, _P, _R]):
    """A function that `duewheel.aio.Scheduler.task` has decorated. As `duewheel.tasks.Task`, awaited.

    Wrong arguments are refused by the call itself, before it is awaited.
    """

    def at(self, when: datetime | float, /, *args: _P.args, **kwargs: _P.kwargs) -> Coroutine[Any, Any, str]:
        """Schedule a call for a time of the wall clock; return the id of the job. As `Scheduler.at`."""
        return self._scheduled(self._scheduler.at, when, args, kwargs)  # type: ignore[no-any-return]

    def in_(self, delay: timedelta | float, /, *args: _P.args, **kwargs: _P.kwargs) -> Coroutine[Any, Any, str]:
        """Schedule a call after a delay from now; return the id of the job. As `Scheduler.in_`."""
        return self._scheduled(self._scheduler.in_, delay, args, kwargs)  # type: ignore[no-any-return]

    def repeat(
        self, schedule: Schedule | str | timedelta | float, /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Coroutine[Any, Any, str]:
        """Schedule a call that comes again; return the id of the repeat. As `Scheduler.repeat`."""
        return self._scheduled(self._scheduler.repeat, schedule, args, kwargs)  # type: ignore[no-any-return]

    async def outcome(self, id: str, timeout: float | timedelta | None = 0) -> TaskOutcome[_R]:
        """Return how a job has ended that was scheduled by `using(keep=…)`, and its value. As `Scheduler.outcome`."""
        return TaskOutcome(await self._scheduler.outcome(id, timeout), self._codec)


class TaskDecorator(Protocol):
    """What `duewheel.aio.Scheduler.task` returns: it makes a `Task` of a function."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Event, _P], _R], /) -> Task[Concatenate[Event, _P], _P, _R]: ...
    @overload
    def __call__(self, fn: Callable[_P, _R], /) -> Task[_P, _P, _R]: ...
