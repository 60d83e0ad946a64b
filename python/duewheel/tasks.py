"""Tasks: functions whose calls are scheduled, checked against their signatures where they are made.

>>> from duewheel import Scheduler
>>> scheduler = Scheduler()
>>> @scheduler.task("greet", retry_limit=3)
... def greet(name: str, times: int = 1) -> None:
...     print("hello " * times + name)
>>> greet("Ada")
hello Ada
>>> with scheduler:
...     id = greet.in_(0.01, "Ada", times=2)
...     finished = scheduler.wait()
hello hello Ada
>>> greet.in_(0.01, nam="Ada")
Traceback (most recent call last):
TypeError: greet() got an unexpected keyword argument 'nam'
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from duewheel import _signature, codecs
from duewheel._checks import KEYWORDS, check_name, is_async, shown, unknown_keyword
from duewheel._core import Event, JobOptions
from duewheel._times import exactly
from duewheel.errors import StateError, UnreadableDataError
from duewheel.options import UNSET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta
    from typing import Literal, Self, Unpack

    from duewheel._core import Outcome, Schedule, _TaskKeywords, _UsingKeywords
    from duewheel.codecs import Codec

__all__ = ["Task", "TaskBase", "TaskDecorator", "TaskOutcome"]

_C = ParamSpec("_C")  # of a plain call
_P = ParamSpec("_P")  # of a job: without the event
_R = TypeVar("_R")

_FIELDS = KEYWORDS["JobOptions"]
KEYWORDS["Task.using"] = tuple(
    dict.fromkeys(
        name
        for call in ("Scheduler.in_", "Scheduler.repeat")
        for name in KEYWORDS[call]
        if name not in ("delay", "schedule", "target", "data")
    )
)


class TaskOutcome(Generic[_R]):
    """How a job of a task has ended: as `duewheel.Outcome`, with what it returned as its `value`."""

    def __init__(self, outcome: Outcome, codec: Codec) -> None:
        self.outcome = outcome
        """The same, with the bytes of the codec."""
        self._codec = codec

    @property
    def state(self) -> Literal["succeeded", "dead", "cancelled"]:
        """How: `"succeeded"`, `"dead"` or `"cancelled"`."""
        return self.outcome.state

    @property
    def reason(self) -> str | None:
        """Why it is dead: `"failed"`, `"discarded"` or `"interrupted"`; else `None`."""
        return self.outcome.reason

    @property
    def error(self) -> str | None:
        """The traceback's text of a dead one, or the reason given to `Discard`; else `None`."""
        return self.outcome.error

    @property
    def ended(self) -> int:
        """When it ended, in unix nanoseconds."""
        return self.outcome.ended

    @property
    def value(self) -> _R:
        """What the task returned, as its codec gives it back.

        **Raises** `StateError` for a job that has not succeeded, and what the codec raises.
        """
        if self.outcome.state != "succeeded":
            lines = (self.outcome.error or "").strip().splitlines()
            why = f": {lines[-1]}" if lines else ""
            raise StateError(f"the job has returned nothing, it is {self.outcome.reason or self.outcome.state}{why}")
        return self._codec.loads_result(self.outcome.result)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<task outcome {self.outcome!r}>"


class TaskBase(Generic[_C, _P, _R]):
    """What the tasks of all schedulers have in common."""

    target: str
    """The name that its jobs have as their target."""

    __wrapped__: Callable[_C, _R]

    def __init__(
        self, scheduler: Any, fn: Callable[_C, _R], target: str | None, codec: str | Codec, keywords: Mapping[str, Any]
    ) -> None:
        """Make a task of a function, and register it; see `Scheduler.task`."""
        signature, takes_event = _signature.read(fn)
        functools.update_wrapper(self, fn)
        self.target = _name_of(fn) if target is None else target
        self._scheduler = scheduler
        self._check = _signature.checker(signature, getattr(fn, "__qualname__", self.target))
        self._codec = codecs.find(codec, signature)
        self._dumps = self._codec.dumps
        if is_async(fn):
            _signature.mark_async(self)
        options, others = _divided(keywords)
        self._options = _layered(options, None)
        self._keywords: dict[str, Any] = {}
        load = functools.partial(_loaded, self.target, self._codec, self._check)
        handler = _handler(fn, takes_event, load, self._codec.dumps_result)
        scheduler.handle(self.target, handler, **others)

    def __call__(self, *args: _C.args, **kwargs: _C.kwargs) -> _R:
        """Call the function, here and now."""
        return self.__wrapped__(*args, **kwargs)

    def using(self, **keywords: Unpack[_UsingKeywords]) -> Self:
        """Return the same task, with keywords for the jobs that are scheduled by it.

        They are those of `Scheduler.at` and `in_`, or of `repeat`. The ones given last count; a field of `JobOptions`
        that is not given is left as it was.

        **Raises** `TypeError` for a keyword that none of these calls has, and as `JobOptions`.
        """
        for name in keywords:
            if name not in KEYWORDS["Task.using"]:
                raise unknown_keyword(name, "Task.using")
        options, others = _divided(keywords)
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._options = _layered(options, self._options)
        other._keywords = {**self._keywords, **others}
        return other

    def _scheduled(self, call: Callable[..., Any], when: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Check the arguments of a job, and schedule it by this call of the scheduler."""
        self._check(*args, **kwargs)
        data = self._dumps(args, kwargs)
        if self._keywords:
            return call(when, self.target, data, options=self._options, **self._keywords)
        return call(when, self.target, data, options=self._options)  # without **keywords: a third of the time

    def __repr__(self) -> str:
        return f"<task {self.target!r} of {self._scheduler!r}>"


class Task(TaskBase[_C, _P, _R]):
    """A function that `Scheduler.task` has decorated: called, it is that function; its other calls schedule it.

    The arguments of a job come after its time, and are those of the function, without the event. What does not fit its
    signature is a `TypeError` of the call, and so is what its codec cannot store.
    """

    def at(self, when: datetime | float, /, *args: _P.args, **kwargs: _P.kwargs) -> str:
        """Schedule a call for a time of the wall clock; return the id of the job. As `Scheduler.at`."""
        return str(self._scheduled(self._scheduler.at, when, args, kwargs))

    def in_(self, delay: timedelta | float, /, *args: _P.args, **kwargs: _P.kwargs) -> str:
        """Schedule a call after a delay from now; return the id of the job. As `Scheduler.in_`."""
        return str(self._scheduled(self._scheduler.in_, delay, args, kwargs))

    def repeat(self, schedule: Schedule | str | timedelta | float, /, *args: _P.args, **kwargs: _P.kwargs) -> str:
        """Schedule a call that comes again; return the id of the repeat. As `Scheduler.repeat`."""
        return str(self._scheduled(self._scheduler.repeat, schedule, args, kwargs))

    def outcome(self, id: str, timeout: float | timedelta | None = 0) -> TaskOutcome[_R]:
        """Return how a job has ended that was scheduled by `using(keep=…)`, and its value. As `Scheduler.outcome`."""
        return TaskOutcome(self._scheduler.outcome(id, timeout), self._codec)


class TaskDecorator(Protocol):
    """What `Scheduler.task` returns: it makes a `Task` of a function."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Event, _P], _R], /) -> Task[Concatenate[Event, _P], _P, _R]: ...
    @overload
    def __call__(self, fn: Callable[_P, _R], /) -> Task[_P, _P, _R]: ...


def check_arguments(target: object, keywords: _TaskKeywords) -> None:
    """Refuse what `task` cannot be called with, before there is a function."""
    if target is not None:
        if callable(target):
            raise TypeError(f"task() makes a decorator: write @….task() or @….task('name') above {shown(target)}")
        check_name(target, "target")
    _layered(_divided(keywords)[0], None)


def _name_of(fn: Any) -> str:
    """Return the name of a function as other modules import it: it has to be the same in each life of a program."""
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError(f"{shown(fn)} has no name to be its target: say task('name')")
    if module == "__main__":
        main = sys.modules["__main__"]
        if (spec := getattr(main, "__spec__", None)) is not None:
            module = spec.name.removesuffix(".__main__")
        elif path := getattr(main, "__file__", None):
            module = Path(path).stem
    return f"{module}.{name}"


def _divided(keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keywords that say how jobs are retried, and the others."""
    options = {name: value for name, value in keywords.items() if name == "options" or name in _FIELDS}
    return options, {name: value for name, value in keywords.items() if name not in options}


def _layered(given: dict[str, Any], below: JobOptions | None) -> JobOptions | None:
    """Return the options that are given, as `options=` and by field, over those below."""
    if not given:
        return below
    options = given.get("options")
    if options is not None and not isinstance(options, JobOptions):
        raise TypeError(f"options must be a JobOptions, not {shown(options)}")
    near = (options or JobOptions()).replace(**{name: value for name, value in given.items() if name != "options"})
    if below is None:
        return near
    return near.replace(**{name: _exact(below, name) for name in _FIELDS if getattr(near, name) is UNSET})


def _exact(options: JobOptions, name: str) -> Any:
    """Return a field as it was given: a float of seconds may be less exact."""
    value = getattr(options, name)
    ns = getattr(options, f"_{name}_ns", None)
    return exactly(ns, value) if isinstance(ns, int) and isinstance(value, float) else value


def _loaded(target: str, codec: Codec, check: Callable[..., None], data: bytes) -> tuple[Any, Any]:
    """Return the arguments that are stored in a job.

    **Raises** `UnreadableDataError` for what cannot be read, and for what no longer fits the signature.
    """
    try:
        args, kwargs = codec.loads(data)
        check(*args, **kwargs)
    except Exception as error:
        raise UnreadableDataError(f"the data of a job of {target!r} cannot be read: {error}") from error
    return args, kwargs


def _handler(
    fn: Callable[..., Any],
    takes_event: bool,
    load: Callable[[bytes], tuple[Any, Any]],
    dump: Callable[[Any], bytes],
) -> Callable[[Event], object]:
    """Return what is registered: it reads the arguments, calls the function, and stores a result that is kept."""

    async def awaited(event: Event) -> object:
        args, kwargs = load(event.data)
        returned = await (fn(event, *args, **kwargs) if takes_event else fn(*args, **kwargs))
        return dump(returned) if event._keeps else returned

    def called(event: Event) -> object:
        args, kwargs = load(event.data)
        returned = fn(event, *args, **kwargs) if takes_event else fn(*args, **kwargs)
        return dump(returned) if event._keeps else returned

    return functools.wraps(fn)(awaited if is_async(fn) else called)
