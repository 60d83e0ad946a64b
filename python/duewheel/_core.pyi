"""The extension of duewheel: the engine in Rust, behind the classes that Python sees.

What a user needs of it is exported by `duewheel`; the contracts stand here.
"""

from asyncio import AbstractEventLoop, Future, Task
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextvars import Context
from datetime import date, datetime, timedelta, tzinfo
from os import PathLike
from typing import (
    Any,
    Final,
    Generic,
    Literal,
    Protocol,
    Self,
    SupportsIndex,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    final,
    overload,
)

from typing_extensions import Buffer, disjoint_base

from duewheel.errors import DuplicateJobError, StorageError
from duewheel.options import Consistency, Unset
from duewheel.plugins import Hooks
from duewheel.postgres import PostgresStorage
from duewheel.storage import LocalStorage
from duewheel.targets import Limit, Rate
from duewheel.testing import ManualClock

__all__ = [
    "DEBUG",
    "AwaitedCalls",
    "Condition",
    "Cron",
    "Days",
    "DeadEvent",
    "DeadEvents",
    "Event",
    "EventLoop",
    "Events",
    "Every",
    "Ids",
    "Job",
    "JobOptions",
    "Lateness",
    "LoopWaker",
    "ManualTime",
    "Moments",
    "Outcome",
    "PendingCall",
    "RRule",
    "Repeat",
    "Schedule",
    "Scheduler",
    "ShareRequests",
    "ShareServer",
    "Spares",
    "Stats",
    "TargetStats",
    "TaskCoroutine",
    "Timer",
    "Times",
    "__version__",
    "after_fork_in_child",
    "at_exit",
    "check_bounds",
    "current_event",
    "defined_schedule",
    "duplicate_job",
    "find_names",
    "hello_line",
    "live_nodes",
    "outer_handlers",
    "postgres_sql",
    "retry_options",
    "retry_text",
    "run_inside",
    "timeout_s",
    "touch",
    "transaction_cancels",
    "transaction_repeats",
    "transaction_terms",
]

__version__: Final[str]
DEBUG: Final[bool]

_Seconds: TypeAlias = float | timedelta
_When: TypeAlias = datetime | float
_Schedule: TypeAlias = "Schedule | _Seconds | str"
_T = TypeVar("_T")
_Made: TypeAlias = tuple[_T, int] | PendingCall[_T]

class _JobOptions(TypedDict, total=False):
    """The keywords of `JobOptions`, which the calls that schedule take, too."""

    retry_limit: int | None | Unset
    min_backoff: _Seconds | Unset
    max_backoff: _Seconds | Unset
    age_limit: _Seconds | None | Unset
    consistency: Consistency | Unset

class _HandlerKeywords(TypedDict, total=False):
    """The keywords of `Scheduler.handle`."""

    concurrency: int | Limit | None
    rate: Rate | None
    timeout: _Seconds | None
    priority: _Seconds
    dead: str | None

class _TaskKeywords(_HandlerKeywords, _JobOptions, total=False):
    """The keywords of `Scheduler.task`."""

    options: JobOptions | None

class _Carried(_JobOptions, total=False):
    """What a job carries beside its data, and the keywords of `JobOptions`."""

    headers: Mapping[str, str] | None
    key: str | None

class _ManyKeywords(_Carried, total=False):
    """What many jobs are scheduled with at once, beside their options: the same for each."""

    keep: _Seconds | None

class _JobKeywords(_ManyKeywords, total=False):
    """The keywords of `Scheduler.at` and `in_` that few calls have, and those of `JobOptions`."""

    on_conflict: Literal["error", "ignore", "update", "replace"]

class _RepeatTerms(_Carried, total=False):
    """The keywords of a repeat but for its id, and those of `JobOptions`."""

    tz: str | tzinfo | None
    start: _When | None
    end: _When | None
    count: int | None
    spread: _Seconds
    catch_up: str
    window: _Seconds | None
    pause_on_dead: bool
    options: JobOptions | None

class _RepeatKeywords(_RepeatTerms, total=False):
    """The keywords of `Scheduler.repeat`."""

    id: str | None
    connection: Any

class _UsingKeywords(_RepeatKeywords, _JobKeywords, total=False):
    """The keywords of `Task.using`: those of `at` and `in_`, and of `repeat`."""

class _Array(Protocol):
    """An array of NumPy's, which is a `Buffer` to type checkers only from Python 3.12."""

    @property
    def dtype(self) -> object: ...
    def __len__(self) -> int: ...

@final
class JobOptions:
    """How a job is retried; a field not given is `UNSET` and leaves it to the layer below.

    `retry_limit`: retries after the first attempt. `min_backoff`, `max_backoff`: the bounds of the
    pause before a retry, which doubles with each attempt, with jitter. `age_limit`: the age from
    the first start at which retries end. `None` for a limit means that there is none. With both
    limits a job is dead when both are reached; with neither it is retried for ever.

    **Time**: durations are seconds or a `timedelta`, and read back as float seconds.
    **Raises** `TypeError` for wrong types and unknown fields; `ValueError` for negative or
    non-finite values, `min_backoff > max_backoff`, a retry limit with at most once, an age limit
    alone with `min_backoff` 0; `OverflowError` for a `retry_limit` of 2**32 or more.

    >>> from duewheel import JobOptions
    >>> JobOptions(retry_limit=3).replace(min_backoff=0.5)
    JobOptions(retry_limit=3, min_backoff=0.5)
    """

    def __new__(cls, **keywords: Unpack[_JobOptions]) -> JobOptions: ...
    @property
    def retry_limit(self) -> int | None | Unset:
        """Retries after the first attempt; `None` is no limit."""
    @property
    def min_backoff(self) -> float | Unset:
        """The shortest pause before a retry, in seconds."""
    @property
    def max_backoff(self) -> float | Unset:
        """The longest pause before a retry, in seconds."""
    @property
    def age_limit(self) -> float | None | Unset:
        """The age, in seconds from the first start, at which retries end; `None` is no limit."""
    @property
    def consistency(self) -> Consistency | Unset:
        """Whether a job may be started more than once."""
    @property
    def _min_backoff_ns(self) -> int: ...
    @property
    def _max_backoff_ns(self) -> int: ...
    @property
    def _age_limit_ns(self) -> int | None: ...
    def replace(self, **changes: Unpack[_JobOptions]) -> JobOptions:
        """Return these options with some fields changed; `UNSET` unsets one.

        **Raises** as `JobOptions` does.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Job:
    """A job: what was asked for, which never changes.

    `Job(id, target, due, data, options, headers=None, key=None, keep=None)` makes one by hand, for `Storage.create`;
    the options are resolved then.

    **Time**: `due` is unix nanoseconds, as first scheduled; `keep` is given as seconds or a `timedelta`.
    **Raises** `TypeError` for wrong types; `ValueError` for an empty or over-long id or target, or
    options that contradict themselves; `OverflowError` for a due that 64 bits do not hold.
    """

    def __new__(
        cls,
        id: str,
        target: str,
        due: int,
        data: Buffer,
        options: JobOptions,
        *,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        keep: float | timedelta | None = None,
    ) -> Job: ...
    @property
    def id(self) -> str:
        """Its id, given or generated."""
    @property
    def target(self) -> str:
        """The name under which its handler is registered."""
    @property
    def due(self) -> int:
        """When it was first due, in unix nanoseconds."""
    @property
    def data(self) -> bytes:
        """What its handler gets: bytes, or the object that `timer` was given."""
    @property
    def options(self) -> JobOptions:
        """Its options, resolved: no field is `UNSET`."""
    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that it was scheduled with, and that plugins have added: a read-only mapping of texts."""
    @property
    def key(self) -> str | None:
        """Jobs of its target that have the same run one after another; `None`: it has none."""
    @property
    def keep(self) -> float | None:
        """For how many seconds how it ends is kept; `None`: it is not."""
    @property
    def _keep_ns(self) -> int | None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Event:
    """One execution of a job: what a handler is called with, and what is pending.

    `Event(job, run=1, attempt=1, due=job.due)` makes one by hand, for `Storage.create` or a test of
    a handler.

    **Time**: `due` is unix nanoseconds; that of an execution on the boot clock is the wall time
    that it maps to now.
    **Raises** `TypeError` for wrong types, `ValueError` for a run or an attempt below 1,
    `OverflowError` for a due that 64 bits do not hold.
    """

    def __new__(
        cls,
        job: Job,
        run: int | None = None,
        attempt: int | None = None,
        due: int | None = None,
        *,
        occurrence: int = 0,
        previous: int | None = None,
    ) -> Event: ...
    @property
    def id(self) -> str:
        """The job's id, a slash and the run."""
    @property
    def run(self) -> int:
        """Starts of the job so far, this one included: from 1."""
    @property
    def attempt(self) -> int:
        """Failures so far, plus one; a snooze is no failure."""
    @property
    def occurrence(self) -> int:
        """Which occurrence of a repeat it is, from 1; 0: it is of no repeat."""
    @property
    def previous(self) -> int | None:
        """`job.due` of the last occurrence of the repeat that succeeded, in unix nanoseconds; `None`: there is none."""
    @property
    def due(self) -> int:
        """When this execution is due, in unix nanoseconds."""
    @property
    def job(self) -> Job:
        """The job that is executed."""
    @property
    def job_id(self) -> str:
        """The job's id."""
    @property
    def target(self) -> str:
        """The job's target."""
    @property
    def data(self) -> bytes:
        """The job's data: bytes, or the object that `timer` was given."""
    @property
    def due_at(self) -> datetime:
        """The due as an aware `datetime` in UTC, rounded down to microseconds."""
    @property
    def lateness(self) -> float:
        """Seconds from its due to its start, as of the start; 0.0 while pending. Not compared."""
    @property
    def expired(self) -> bool:
        """Whether it is asked to end: what runs on a thread for long looks at it now and then. Not compared."""
    @property
    def _keeps(self) -> bool:
        """Whether how its job ends is kept."""
    def _interrupt(self) -> None:
        """Ask it to end: for the reference."""
    def _late(self, lateness: int) -> Event:
        """Return the same event, started so many nanoseconds after its due: for the reference."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Repeat:
    """A job that comes again, as it stood when it was asked for.

    **Time**: `next`, `previous`, `start` and `end` are unix nanoseconds, `spread` and `window` float seconds.
    """

    @property
    def id(self) -> str:
        """Its id."""
    @property
    def target(self) -> str:
        """The name under which its handler is registered."""
    @property
    def schedule(self) -> Schedule:
        """When it comes."""
    @property
    def data(self) -> bytes:
        """What its handler gets."""
    @property
    def options(self) -> JobOptions:
        """How each occurrence is retried, resolved: no field is `UNSET`."""
    @property
    def next(self) -> int | None:
        """When the occurrence that comes is due, spread included; while one runs, when that was due."""
    @property
    def previous(self) -> int | None:
        """The first due of the last occurrence that succeeded."""
    @property
    def occurrence(self) -> int:
        """The number of the occurrence that comes or runs, from 1."""
    @property
    def missed(self) -> int:
        """How many of its times were passed over or merged into a later one."""
    @property
    def paused(self) -> bool:
        """Whether it is paused."""
    @property
    def declared(self) -> bool:
        """Whether it was declared by `repeated`, so that it runs only in a life of the program that declares it."""
    @property
    def running(self) -> bool:
        """Whether its occurrence runs now."""
    @property
    def start(self) -> int | None:
        """The first of its times is not before this."""
    @property
    def end(self) -> int | None:
        """The last of its times is before this."""
    @property
    def count(self) -> int | None:
        """How many occurrences there are in all."""
    @property
    def spread(self) -> float:
        """The largest offset of its dues from its times, in seconds."""
    @property
    def catch_up(self) -> str:
        """What becomes of times that were missed: `"one"`, `"all"` or `"none"`."""
    @property
    def window(self) -> float | None:
        """How late an occurrence may start, in seconds."""
    @property
    def pause_on_dead(self) -> bool:
        """Whether it pauses when an occurrence ends as dead."""
    def upcoming(self, n: int = 5) -> list[int]:
        """Return the next `n` dues, spread included, in unix nanoseconds; fewer where it ends.

        What is missed meanwhile, and what is triggered, nobody knows ahead.
        """
    def _repr_html_(self) -> str:
        """Show it in a notebook, as a table."""
    @property
    def _held(self) -> str | None:
        """Why it does not start when it is due, if it does not."""
    def _tell(self) -> str: ...
    @staticmethod
    def _told(text: str) -> Repeat: ...

@final
class DeadEvent:
    """A job that ended as dead, as `Scheduler.dead` lists it.

    `DeadEvent(event, reason, error, died)` makes one by hand.

    **Time**: `died` is unix nanoseconds.
    **Raises** `TypeError` for wrong types, `ValueError` for a reason that there is not.
    """

    def __new__(cls, event: Event, reason: str, error: str, died: int) -> DeadEvent: ...
    @property
    def event(self) -> Event:
        """Its last execution."""
    @property
    def reason(self) -> str:
        """Why: `"failed"`, `"discarded"` or `"interrupted"`."""
    @property
    def error(self) -> str:
        """The traceback's text, or the reason given to `Discard`."""
    @property
    def died(self) -> int:
        """When it died, in unix nanoseconds."""
    @property
    def died_at(self) -> datetime:
        """When it died, as an aware `datetime` in UTC, rounded down to microseconds."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Outcome:
    """How a job has ended, as `Scheduler.outcome` returns it.

    `Outcome(state, result=b"", reason=None, error=None, ended=0)` makes one by hand.

    **Time**: `ended` is unix nanoseconds.
    **Raises** `TypeError` for wrong types, `ValueError` for a state or a reason that there is not.
    """

    def __new__(
        cls,
        state: str,
        result: bytes | None = None,
        reason: str | None = None,
        error: str | None = None,
        ended: int = 0,
    ) -> Outcome: ...
    @property
    def state(self) -> Literal["succeeded", "dead", "cancelled"]:
        """How: `"succeeded"`, `"dead"` or `"cancelled"`."""
    @property
    def result(self) -> bytes:
        """What its handler returned; `b""` for `None`, and where it has not succeeded."""
    @property
    def reason(self) -> str | None:
        """Why it is dead: `"failed"`, `"discarded"` or `"interrupted"`; else `None`."""
    @property
    def error(self) -> str | None:
        """The traceback's text of a dead one, or the reason given to `Discard`; else `None`."""
    @property
    def ended(self) -> int:
        """When it ended, in unix nanoseconds."""
    @property
    def ended_at(self) -> datetime:
        """When it ended, as an aware `datetime` in UTC, rounded down to microseconds."""
    @property
    def _until(self) -> int | None:
        """Until when it is kept, in unix nanoseconds; `None` of one that was made by hand."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Outcome], tuple[str, bytes, str | None, str | None, int]]: ...

@final
class Lateness:
    """How late jobs started, or how long they took, in seconds: quantiles within 1 %, `max` exact."""

    @property
    def count(self) -> int:
        """Starts counted."""
    @property
    def sum(self) -> float:
        """All of them together, in seconds, exact."""
    @property
    def mean(self) -> float:
        """The mean, in seconds, exact."""
    @property
    def p50(self) -> float:
        """The median, in seconds."""
    @property
    def p90(self) -> float:
        """The 90th percentile, in seconds."""
    @property
    def p99(self) -> float:
        """The 99th percentile, in seconds."""
    @property
    def p999(self) -> float:
        """The 99.9th percentile, in seconds."""
    @property
    def max(self) -> float:
        """The largest, in seconds, exact."""
    def buckets(self, bounds: Iterable[float]) -> tuple[int, ...]:
        """Return how many are at most as large as each bound: a cumulative histogram.

        **Time**: bounds are seconds, infinity included; a value counts for a bound that is within 0.4 % of it.
        **Raises** `TypeError` for what is no number, `ValueError` for NaN. **Cost**: O(bounds + different values).

        >>> from duewheel import Scheduler
        >>> Scheduler().stats().lateness.buckets([0.001, 0.01, float("inf")])
        (0, 0, 0)
        """
    def asdict(self) -> dict[str, Any]:
        """Return the numbers as a dictionary, in the order of the `repr`."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Timer:
    """A job in memory that was started by `Scheduler.timer`; dropping it changes nothing.

    **Concurrency**: any thread may call it. A `cancel` that returns `True` means that it never starts.
    **Raises** `ForkedError` in a forked child, and nothing after `close`, which drops what is pending.
    """

    @property
    def id(self) -> str:
        """The id of its job, made when it is asked for."""
    def cancel(self) -> bool:
        """Withdraw it.

        `True`: it was pending and will never start. `False`: it runs or is over, or the scheduler is closed.

        **Cost**: O(1), amortised.
        """
    def reschedule(self, delay: _Seconds) -> bool:
        """Move it to a delay from now, at a new place in the order; `False` as for `cancel`.

        **Time**: seconds or a `timedelta`, on the boot clock. **Raises** as `timer` for what is no delay.
        """
    @property
    def pending(self) -> bool:
        """Whether it waits, for a retry too: it neither runs nor is over."""
    @property
    def due(self) -> int:
        """When it is due, in unix nanoseconds; once it is not pending, when it was."""
    @staticmethod
    def _nop() -> Timer:
        """Return one that does nothing."""

@final
class Stats:
    """What a scheduler holds now, and has done since it was made.

    `pending`, `parked` and `running` are of now, all else counts from the construction: a file that
    is opened again begins at 0, whatever `Scheduler.dead` has in it.
    `scheduled + revived = pending + running + succeeded + dead + cancelled + dropped`; what is
    `parked` is pending too. In a file what was pending at its opening is `scheduled`.
    """

    @staticmethod
    def _told(text: str) -> Stats: ...
    @staticmethod
    def _zeros() -> Stats: ...
    @property
    def pending(self) -> int:
        """Jobs that wait, are parked, or are handed over and not started."""
    @property
    def parked(self) -> int:
        """Jobs that wait for a handler of their target."""
    @property
    def running(self) -> int:
        """Jobs whose handler runs."""
    @property
    def scheduled(self) -> int:
        """Jobs taken in."""
    @property
    def started(self) -> int:
        """Executions started."""
    @property
    def succeeded(self) -> int:
        """Jobs whose handler returned."""
    @property
    def retried(self) -> int:
        """Failures that were followed by another attempt."""
    @property
    def snoozed(self) -> int:
        """Executions that asked for another time."""
    @property
    def dead(self) -> int:
        """Jobs that ended as dead."""
    @property
    def cancelled(self) -> int:
        """Jobs withdrawn."""
    @property
    def revived(self) -> int:
        """Dead jobs made due again."""
    @property
    def dropped(self) -> int:
        """Jobs forgotten by closing."""
    @property
    def missed(self) -> int:
        """Times of repeats that were passed over or merged into a later one."""
    @property
    def stuck(self) -> int:
        """Handlers on threads that run now and are past their timeout."""
    @property
    def lateness(self) -> Lateness:
        """Start minus due, of every start."""
    def _repr_html_(self) -> str:
        """Show them in a notebook, as tables."""
    def asdict(self) -> dict[str, Any]:
        """Return the numbers as a dictionary, in the order of the `repr`; `lateness` is one, too."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class TargetStats:
    """What a scheduler holds of one target now, and has done of it since it was made: as `Stats`, and how long it took.

    In a file what was pending at its opening is `scheduled`, as in `Stats`.
    """

    def _tell(self) -> str: ...
    @staticmethod
    def _told(text: str) -> TargetStats: ...
    @property
    def pending(self) -> int:
        """Jobs that wait, are parked, or are handed over and not started."""
    @property
    def parked(self) -> int:
        """Jobs that wait for a handler of the target."""
    @property
    def running(self) -> int:
        """Jobs whose handler runs."""
    @property
    def scheduled(self) -> int:
        """Jobs taken in."""
    @property
    def started(self) -> int:
        """Executions started."""
    @property
    def succeeded(self) -> int:
        """Jobs whose handler returned."""
    @property
    def retried(self) -> int:
        """Failures that were followed by another attempt."""
    @property
    def snoozed(self) -> int:
        """Executions that asked for another time."""
    @property
    def dead(self) -> int:
        """Jobs that ended as dead."""
    @property
    def discarded(self) -> int:
        """Of the dead, those that their handler discarded. Not in `asdict`."""
    @property
    def interrupted(self) -> int:
        """Of the dead, those that were interrupted. Not in `asdict`."""
    @property
    def cancelled(self) -> int:
        """Jobs withdrawn."""
    @property
    def revived(self) -> int:
        """Dead jobs made due again."""
    @property
    def dropped(self) -> int:
        """Jobs forgotten by closing."""
    @property
    def missed(self) -> int:
        """Times of repeats that were passed over or merged into a later one."""
    @property
    def stuck(self) -> int:
        """Handlers on threads that run now and are past their timeout."""
    @property
    def lateness(self) -> Lateness:
        """Start minus due, of every start."""
    @property
    def runtime(self) -> Lateness:
        """From the call of the handler to its end, of every execution that has ended."""
    def asdict(self) -> dict[str, Any]:
        """Return the numbers as a dictionary, in the order of the `repr`; `lateness` and `runtime` are such, too."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Ids(Sequence[str]):
    """The ids of many jobs: an immutable sequence that makes its strings on access.

    **Order**: that of the times that were given.
    """

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: SupportsIndex, /) -> str: ...
    @overload
    def __getitem__(self, at: slice, /) -> Ids: ...
    def __contains__(self, id: object, /) -> bool: ...
    def __reduce__(self) -> tuple[type[tuple[object, ...]], tuple[tuple[str, ...]]]: ...
    def index(self, id: str) -> int:  # type: ignore[override]
        """Return where an id is.

        **Raises** `ValueError` when it is not there. **Cost**: O(n).
        """
    def count(self, id: str) -> int:
        """Return how often an id is there: once or never. **Cost**: O(n)."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class DeadEvents:
    """An iterator over jobs that ended as dead, newest first.

    What dies after the first look is not among them; what is forgotten meanwhile may be left out.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> DeadEvent: ...

@final
class Events:
    """An iterator over pending events, in the order of (due, sequence).

    Each is looked at when it is asked for: jobs that stop being pending meanwhile are left out.
    """

    def __iter__(self) -> Events: ...
    def __next__(self) -> Event: ...

@disjoint_base
class Schedule:
    """A set of times, which is asked for the next one: a frozen value, equal to others of the same times said alike.

    Made as `Every`, `Cron`, `Times`, `Days` or `RRule`, and combined. `a | b` has the times of both. In `a & b` and
    `a - b` *the left gives the times, the right says when*: those of `a` that lie in (not in) `b`, where a cron time of
    five fields lasts a minute, of six fields a second, and `Days` last whole days. A number or a `timedelta` stands
    for `Every`, a `str` for `Cron` in UTC.

    **Time**: asked for are aware datetimes or unix seconds; what is shown is in the first zone that it names, or in
    UTC, rounded up to microseconds. The search ends in 2262.
    **Raises** `ValueError` where its zone is no longer known, and for parts that never meet.

    >>> from duewheel import Cron, Every
    >>> office = Cron("* 9-17 * * mon-fri", tz="Asia/Tokyo")
    >>> print((Every(600) & office).describe(2, after=1_798_934_400))
    Every(600) & Cron('* 9-17 * * mon-fri', tz='Asia/Tokyo')
      Mon 2027-01-04 09:00 +09:00
      Mon 2027-01-04 09:10 +09:00
    """

    def next(self, after: _When | None = None) -> datetime | None:
        """Return the first time after `after`, or after now, as an aware datetime in its zone; `None`: no more.

        An `Every` without an anchor counts from `after`.

        **Time**: `after` is an aware datetime or unix seconds.
        **Raises** `ValueError` for `Days`, for parts that never meet, and for a zone that is no longer known.

        >>> from duewheel import Cron
        >>> str(Cron("0 9 * * *").next(after=1_798_934_400))
        '2027-01-03 09:00:00+00:00'
        """
    def between(self, start: _When | None = None, end: _When | None = None) -> Moments:
        """Return an iterator over the times with `start <= t < end`, looked for as they are asked for.

        Without `start` it begins now, without `end` it goes on until 2262. That of an `Every` without an anchor begins
        one period after `start`. Parts that never meet have none before `end`.

        **Time**: the bounds are aware datetimes or unix seconds.
        **Raises** as `next`.

        >>> from duewheel import Cron
        >>> [when.hour for when in Cron("0 */8 * * *").between(1_798_934_400, 1_798_934_400 + 86_400)]
        [0, 8, 16]
        """
    def describe(self, n: int = 5, after: _When | None = None) -> str:
        """Return a text of its next `n` times after `after`, or after now, with notes where clocks change.

        **Raises** as `next`.

        >>> from duewheel import Cron
        >>> print(Cron("30 2 * * *", tz="Europe/Paris").describe(2, after=1_806_148_800))
        Cron('30 2 * * *', tz='Europe/Paris')
          Sun 2027-03-28 03:00 +02:00  (clocks go forward from 02:00 to 03:00: what was between is run now)
          Mon 2027-03-29 02:30 +02:00
        """
    def __contains__(self, when: _When, /) -> bool: ...
    def __or__(self, other: _Schedule, /) -> Schedule: ...
    def __ror__(self, other: _Schedule, /) -> Schedule: ...
    def __and__(self, other: _Schedule, /) -> Schedule: ...
    def __rand__(self, other: _Schedule, /) -> Schedule: ...
    def __sub__(self, other: _Schedule, /) -> Schedule: ...
    def __rsub__(self, other: _Schedule, /) -> Schedule: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: object, /) -> Self: ...
    def __reduce__(self) -> tuple[Callable[[str], Schedule], tuple[str]]: ...

@final
class Every(Schedule):
    """The times `anchor + k * period`, for all whole numbers *k*.

    Without an anchor it counts from the moment at which it is scheduled: the first time is one period later.
    `from_end=True`: one period after the end of the last occurrence, and the first one period after it is scheduled;
    with `start=` of the repeat none is before that, and no period counts from it.

    **Time**: `period` is seconds or a `timedelta`, rounded to the nearest nanosecond; `anchor` is an aware datetime or
    unix seconds. Alone and without an anchor it keeps to the boot clock, else to the wall clock.
    **Raises** `ValueError` for a period that rounds to 0, and for `from_end` with an anchor or in a combination.

    >>> from duewheel import Every
    >>> Every(0.5, anchor=0).next(after=10.2)
    datetime.datetime(1970, 1, 1, 0, 0, 10, 500000, tzinfo=datetime.timezone.utc)
    """

    def __new__(cls, period: _Seconds, *, anchor: _When | None = None, from_end: bool = False) -> Every: ...

@final
class Cron(Schedule):
    """The times of a cron expression in a zone.

    Five fields (minute, hour, day of month, month, day of week), or six with seconds *first*: `*`, lists, ranges and
    steps, names in any case, 0 and 7 for Sunday, `?` for `*` in the fields of days, `L`, `LW` and `15W` for days of the
    month, `5L` and `fri#2` for days of the week; `@yearly @annually @monthly @weekly @daily @midnight @hourly`. If a
    field of days begins with `*` both must match, else either.

    **Time**: where clocks change, an expression of which neither second, minute nor hour begins with `*` is run once
    for each time that it names: at the end of a gap that holds it, and at the first of two. Others match what clocks
    show: nothing in a gap, both of two.
    **Raises** `ValueError`, which names the cure: for what is no expression, never comes, or no zone.

    >>> from duewheel import Cron
    >>> Cron("30 2 * * mon-fri", tz="Europe/Paris").next(after=1_798_934_400)
    datetime.datetime(2027, 1, 4, 2, 30, tzinfo=zoneinfo.ZoneInfo(key='Europe/Paris'))
    """

    def __new__(cls, text: str, tz: str | tzinfo = "UTC") -> Cron: ...

@final
class Times(Schedule):
    """These times: any iterable of aware datetimes or unix seconds, equal ones once.

    **Order**: any; they are sorted.
    **Raises** as `Scheduler.at` for what is no time.

    >>> from duewheel import Times
    >>> [when.second for when in Times([30, 10, 30]).between(0)]
    [10, 30]
    """

    def __new__(cls, whens: Iterable[_When] | _Array) -> Times: ...

@final
class Days(Schedule):
    """Whole days of a zone, which say when and give no times: the right operand of `&` and `-`.

    `dates`: any iterable of `datetime.date`. `when in days` is whether a time is in one of them.

    **Raises** `ValueError` where times are asked of it, or it is the left operand.

    >>> from datetime import date
    >>> from duewheel import Cron, Days
    >>> print((Cron("0 9 * * *") - Days([date(2027, 1, 2)])).describe(2, after=1_798_794_000))
    Cron('0 9 * * *', tz='UTC') - Days([datetime.date(2027, 1, 2)], tz='UTC')
      Sun 2027-01-03 09:00 +00:00
      Mon 2027-01-04 09:00 +00:00
    """

    def __new__(cls, dates: Iterable[date], tz: str | tzinfo = "UTC") -> Days: ...

@final
class RRule(Schedule):
    """The times of a recurrence rule of RFC 5545 in a zone, from a local time on.

    `text` is what stands after `RRULE:`. `start` has no times of its own: a time that the rule does not name is not in
    it. A naive datetime is local time of `tz`; an aware one is converted.

    **Time**: where clocks change, as the RFC has it: a time in a gap is read with the offset before the gap (02:30 is
    run at 03:30), one that comes twice is the first.
    **Raises** `ValueError` for what is no rule, has no time, or no zone.

    >>> from datetime import datetime
    >>> from duewheel import RRule
    >>> payday = RRule("FREQ=MONTHLY;BYDAY=-1FR", datetime(2027, 1, 1, 9), tz="Europe/Paris")
    >>> [str(when.date()) for when in payday.between(1_798_934_400, 1_804_000_000)]
    ['2027-01-29', '2027-02-26']
    """

    def __new__(cls, text: str, start: datetime, tz: str | tzinfo) -> RRule: ...

@final
class Moments:
    """An iterator over the times of a schedule, each looked for when it is near.

    **Concurrency**: threads may share it; each time is given to one of them.
    """

    def __iter__(self) -> Moments: ...
    def __next__(self) -> datetime: ...

def defined_schedule(definition: str) -> Schedule:
    """Return the schedule of the text that a store or a pickle has of it.

    **Raises** `ValueError` for what is none. A zone that is not known now is an error when it is asked for times.
    """

@final
class ManualTime:
    """The readings of a manual clock, which the engines that it drives share.

    **Time**: nanoseconds.
    """

    def __new__(cls, wall_ns: int, boot_ns: int, keeps_errors: bool = False) -> ManualTime: ...
    def wall(self) -> int:
        """Return the reading of the wall clock, in unix nanoseconds."""
    def boot(self) -> int:
        """Return the reading of the boot clock, in nanoseconds."""
    def set(self, wall_ns: int, boot_ns: int) -> None:
        """Set both readings; nothing runs by this alone."""
    def keep_error(self, error: BaseException) -> None:
        """Collect an exception that a handler has raised, if this clock collects them."""
    def take_errors(self) -> list[BaseException]:
        """Return the collected exceptions in their order, and forget them."""

@final
class ShareRequests:
    """Writes calls, with the ids that it makes for them."""

    def __new__(cls, options: JobOptions | None) -> Self: ...
    def schedule(
        self,
        is_delay: bool,
        time: _When | _Seconds,
        target: str,
        data: Buffer,
        id: str | None,
        options: JobOptions | None,
        keywords: _JobOptions | None,
    ) -> tuple[str, bytes]:
        """Return the id of a job, and the call that schedules it."""
    def schedule_many(
        self,
        are_delays: bool,
        times: object,
        target: str,
        datas: Sequence[Buffer] | None,
        options: JobOptions | None,
        keywords: _JobOptions | None,
    ) -> tuple[Ids, bytes]:
        """Return the ids of many jobs, and the call that schedules them."""
    def repeat(
        self, schedule: _Schedule, target: str, data: Buffer, keywords: _RepeatKeywords | None
    ) -> tuple[str, bytes]:
        """Return the id of a repeat, and the call that schedules it."""

@final
class ShareServer:
    """The socket of an owner, and those who answer there."""

    def __new__(cls, scheduler: Scheduler, path: str | PathLike[str]) -> Self: ...
    def work(self, answer: Callable[[bytes], bytes]) -> None:
        """Do what needs Python until the server is stopped: `answer` makes an answer of a line."""
    def stop(self) -> None:
        """Serve no more: callers are cut off."""

@disjoint_base
class Scheduler:
    """The calls of a scheduler that are all in Rust; what users make is `duewheel.Scheduler`."""

    def __new__(cls, *_arguments: object, **_keywords: object) -> Self: ...
    def drain(self, timeout: _Seconds | None = None) -> bool:
        """Start nothing more and finish what has started.

        What was handed over but not started is pending again in its old place. Returns `True`
        when all has finished, `False` when `timeout` ran out first. Jobs may still be scheduled;
        none runs until `start`. Allowed after `close`.

        **Time**: `timeout` is seconds or a `timedelta`; `None` has no end.
        **Raises** `StateError` in a handler of this scheduler.
        """
    def close(self) -> None:
        """Start nothing more, for good, and wait for nothing.

        Handlers that are running go on. In memory what is pending is dropped, counted and logged.
        Idempotent, allowed in a handler.

        **Durability**: on disk it stays pending, and the file is given up after the last outcome. What still
        runs when the process ends comes again with the next `run`.
        """
    def wait(self, timeout: _Seconds | None = None) -> bool:
        """Wait until nothing is pending or running, parked jobs aside; `False` at the timeout.

        Returns `True` too when the scheduler is closed meanwhile and nothing runs any more. Under a
        `ManualClock` nothing runs unless another thread advances it.

        **Time**: `timeout` is seconds or a `timedelta`; `None` has no end.
        **Raises** `StateError` in a handler of this scheduler, `ClosedError` after `close`.
        """
    def at(
        self,
        when: _When,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        connection: Any = None,
        **job_options: Unpack[_JobKeywords],
    ) -> str:
        """Schedule a job for a time of the wall clock; return its id.

        `data` is bytes-like. `id` names the job, else it gets a UUIDv7. The keywords of `JobOptions`
        lie over `options`, and those over the scheduler's own.

        `headers` are texts by name, at most 4 KiB of UTF-8 in all, for traces, tenants or ids of requests: the
        `job.headers`. They are never encrypted.

        Jobs of one target and `key` never overlap, and run in order, on one node: the later ones wait.

        How the job ends is kept for `keep` seconds from then, and what its handler returned, which must be bytes-like
        or `None`: for `outcome`. As long its id stays taken.

        `on_conflict` says what becomes of a job that has the `id`. `"error"`: nothing, and this is refused. `"ignore"`:
        nothing, and its id is returned. `"update"`: it gets this target, data, headers and options, and keeps its due.
        `"replace"`: it gets the due, too. What runs is followed by one job that is as the last of these calls says.

        Over PostgreSQL a `connection` to its database schedules it in your transaction: it is there if that commits.
        psycopg 3, SQLAlchemy (`Connection`, `Session`) and Django's are taken, the async ones of psycopg, SQLAlchemy
        and asyncpg by `aio.Scheduler`. One statement is run on it; nothing is begun, committed or set.

        **Time**: an aware `datetime`, or unix seconds; a float's nanoseconds are the exact
        ceiling of its binary value. A due in the past runs at once, in the place of its own value.
        **Order**: (due, sequence of scheduling).
        **Raises** `TypeError`, `ValueError` and `OverflowError` for what is no time, target, data
        or option; `DuplicateJobError` when `id` is taken; `PayloadTooLargeError` for data over the
        store's `max_data`; `StorageError`; `ClosedError`. Nothing is scheduled then.
        **Durability**: with a file, the job is on disk when this returns, as `LocalStorage` says.
        **Cost**: O(1).
        """
    def in_(
        self,
        delay: _Seconds,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        connection: Any = None,
        **job_options: Unpack[_JobKeywords],
    ) -> str:
        """Schedule a job after a delay from now; return its id.

        `data`, `id`, `connection`, `headers`, `on_conflict` and options are as for `at`.

        **Time**: seconds or a `timedelta`, on the boot clock, which no step of the wall clock moves;
        with a file, on the wall clock once the file was opened again.
        **Raises** as `at`; `ValueError` for a negative delay.
        **Durability**: as `at`.
        **Cost**: O(1).
        """
    def at_many(
        self,
        whens: Sequence[_When] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_ManyKeywords],
    ) -> Sequence[str]:
        """Schedule many jobs of one target, in that order: all of them or none; return their ids.

        `whens` is a sequence of what `at` takes, or an array: float64 is read without making Python
        objects, NumPy's `datetime64` is exact. `datas` has the data of each, or is `None` for none. All have the same
        `headers` and `key`.

        **Raises** as `at`; `ValueError` when `datas` are not as many.
        **Durability**: as `at`.
        **Cost**: O(n).
        """
    def in_many(
        self,
        delays: Sequence[_Seconds] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_ManyKeywords],
    ) -> Sequence[str]:
        """Schedule many jobs after delays from now, as `at_many` does; return their ids.

        All delays count from one reading of the clock.

        **Raises** as `in_`; `ValueError` when `datas` are not as many.
        **Durability**: as `at`.
        **Cost**: O(n).
        """
    def _schedule(
        self,
        is_delay: bool,
        when: _When | _Seconds,
        target: str,
        data: Buffer | None,
        id: str | None,
        options: JobOptions | None,
        keywords: dict[str, Any],
    ) -> str:
        """As `at`, or `in_` where it is a delay, with keywords that few calls have."""
    def timer(
        self,
        delay: _Seconds,
        target: str | Callable[[Event], object],
        data: object = None,
        **job_options: Unpack[_JobOptions],
    ) -> Timer:
        """Start a timer: a job in memory for what is mostly cancelled; return its handle.

        `target` is the name of a handler, or a callable that is called with the event, an `async def` one on
        the event loop. `data` is any object: `event.data` is this object. It is not retried unless
        `retry_limit` says so; the keywords are those of `JobOptions`. It counts as any job does, but is not
        among the `dead`. Dropping the handle changes nothing. What it was given is let go of when it has
        ended or is cancelled.

        **Time**: seconds or a `timedelta`, on the boot clock.
        **Order**: (due, sequence of scheduling), among all jobs.
        **Raises** `StateError` for a scheduler with a file; `TypeError` for a target that is neither a str nor
        callable; else as `in_`.
        **Cost**: O(1), less than `in_`.

        >>> from duewheel import Scheduler
        >>> scheduler = Scheduler()
        >>> timer = scheduler.timer(30, lambda event: print("no answer from", event.data), "ada")
        >>> timer.pending, timer.cancel(), timer.pending
        (True, True, False)
        """
    def cancel(self, id: str, *, connection: Any = None) -> bool:
        """Withdraw a pending job.

        `True`: it was pending and will never start. `False`: unknown, running or over.

        With `connection`, as for `at`, in your transaction: withdrawn if it commits.

        **Raises** `TypeError` and `ValueError` for what is no id, `StorageError`, `ClosedError`.
        **Durability**: as `at`.
        **Cost**: O(1), amortised.
        """
    def cancel_many(self, ids: Iterable[str]) -> int:
        """Withdraw many pending jobs; return how many were pending.

        `ids` is any iterable of ids, or what `in_many` has returned, which is read without making strings. All
        are looked at before any job is withdrawn; one that is there twice counts once.

        **Raises** as `cancel`, for the first that is no id: nothing is withdrawn then.
        **Durability**: as `at`; with a file, in one commit for those that are in memory.
        **Cost**: O(n), amortised.
        """
    def reschedule(self, id: str, when: _When) -> bool:
        """Move a pending job to another time of the wall clock, at a new place in the order.

        `False` as for `cancel`. **Raises** as `at`. **Durability**: as `at`.
        """
    def pause(self, id: str) -> bool:
        """Hold a repeat back until it is resumed; `False`: there is none of this id.

        What runs goes on. `trigger` starts it all the same.

        **Durability**: in a file it stays paused when that is opened again.
        **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
        """
    def resume(self, id: str) -> bool:
        """Let a paused repeat go on with the first of its times after now, whatever its `catch_up`.

        Returns `False` when there is no repeat of this id.

        **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
        """
    def trigger(self, id: str) -> bool:
        """Have a repeat run once more, as soon as possible; `False`: there is none of this id.

        Several before its start are one; while an occurrence runs it comes after that. It also starts while
        paused, and its other times stay what they are.

        **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
        """
    def get_repeat(self, id: str) -> Repeat | None:
        """Return the repeat of this id, pending or running, if there is one.

        **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
        """
    def get(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`.

        **Raises** as `cancel`.
        """
    def __contains__(self, id: str, /) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def next(self, start: _When | None = None, end: _When | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`.

        **Time**: bounds are what `at` takes; `None` is no bound. **Order**: (due, sequence).
        **Raises** as `at`. **Cost**: O(levels) without `start`, else O(pending).
        """
    def between(
        self, start: _When | None = None, end: _When | None = None, *, target: str | None = None
    ) -> Iterator[Event]:
        """Iterate over the pending events with `start <= due < end`, of all targets or of one.

        Jobs that stop being pending meanwhile may be left out.

        **Time**: bounds are what `at` takes; `None` is no bound. **Order**: (due, sequence).
        **Raises** as `at`. **Cost**: O(pending), then O(1) an event; of a store a page at a time.
        """
    def dead(
        self, *, target: str | None = None, before: _When | None = None, limit: int | None = None
    ) -> Iterator[DeadEvent]:
        """Iterate over the jobs that ended as dead, newest first.

        In memory the newest 1,000 are kept, in a store all of them until `purge`. Given a `target`, only its own come;
        given `before`, only what died before that time; given a `limit`, at most so many.

        **Time**: `before` is what `at` takes. **Raises** `ClosedError` after `close`, `TypeError` and `ValueError`
        for what is no target, time or limit. **Cost**: of a store a page of 1,000 at a time, when it is asked for.
        """
    def revive(self, id: str) -> bool:
        """Make the newest dead job of this id due now, from attempt 1 and a new age.

        Its `run` goes on. `False`: no dead job has the id.

        **Raises** `DuplicateJobError` when the id is taken by another job, `StorageError`, `ClosedError`.
        **Durability**: as `at`.
        """
    def outcome(self, id: str, timeout: _Seconds | None = 0) -> Outcome:
        """Return how a job has ended that was scheduled with `keep=`, waiting for its end.

        What its handler returned is `result`. It is kept for `keep` seconds from the end, and as long the id stays
        taken: what is scheduled under it meanwhile is refused, or ignored with `on_conflict="ignore"`. A dead job that
        is revived has not ended any more.

        **Time**: `timeout` is seconds or a `timedelta`, 0 unless given; `None` has no end. `keep` is by the boot clock,
        in a file by the wall's, over PostgreSQL by the server's. There an end on another node is seen up to `poll`
        late.
        **Raises** `TimeoutError` while it is not over; `LookupError` for an id that is unknown or whose outcome is not
        kept, or no longer; `StateError` in a handler where the other could never end: of the same job, with
        `workers=1`, and on the loop of async handlers (there `aio.Scheduler.outcome` is awaited); `ClosedError`,
        `StorageError`.
        **Durability**: with a file or a database, what was seen once is there after a crash.

        >>> from duewheel import Scheduler
        >>> scheduler = Scheduler()
        >>> _ = scheduler.handle("square", lambda event: str(int(event.data) ** 2).encode())
        >>> with scheduler:
        ...     id = scheduler.in_(0, "square", b"12", keep=60)
        ...     outcome = scheduler.outcome(id, timeout=10)
        >>> outcome.state, outcome.result
        ('succeeded', b'144')
        """
    def purge(self, before: _When | None = None, *, ids: Iterable[str] | None = None) -> int:
        """Forget the dead that died before a time, or all; return how many.

        Given `ids`, an iterable of them, only those of these ids, each with all its deaths.

        **Time**: `before` is what `at` takes. **Raises** as `at`. **Durability**: as `at`.
        """
    def stats(self) -> Stats:
        """Return what it holds now and has done since it was made; allowed after `close`."""
    def targets(self) -> Mapping[str, TargetStats]:
        """Return what is counted of each target, by its name; those that were forgotten are `""`.

        What there is: a target that has a job, a handler, or a counter other than 0. Where more than 100,000 have
        neither job nor handler, the oldest are forgotten. The sums over all are those of `stats`. Allowed after
        `close`.

        **Raises** `StorageError`. **Cost**: O(targets); over a file the first call reads through what is stored there.
        """
    def _set_paused(self, target: str | None, paused: bool) -> bool: ...
    def _is_paused(self, target: str) -> bool: ...
    def _paused_targets(self) -> list[str]: ...
    def _spares(self) -> Spares: ...
    def _running(self) -> list[tuple[Event, int, int, bool]]: ...
    @property
    def _failure(self) -> StorageError | None: ...
    def _open(
        self,
        storage: str | PathLike[str] | LocalStorage | PostgresStorage | None,
        workers: int | None,
        options: JobOptions | None,
        clock: ManualClock | None,
        seed: int | None,
        tasks: int | None,
        hooks: Hooks | None,
        serves: bool,
    ) -> None: ...
    @property
    def _opened(self) -> bool: ...
    @property
    def _closed(self) -> bool: ...
    @property
    def _started(self) -> bool: ...
    @property
    def _forked(self) -> bool: ...
    def _start(self, context: Context) -> None: ...
    def _repeat(
        self,
        schedule: Schedule | str | _Seconds,
        target: str,
        data: Buffer | None,
        declared: bool,
        **keywords: Unpack[_RepeatKeywords],
    ) -> str: ...
    def _check_repeat(
        self, schedule: Schedule | str | _Seconds, data: Buffer | None, **keywords: Unpack[_RepeatKeywords]
    ) -> None: ...
    def _repeat_defined(
        self, definition: str, id: str, target: str, data: Buffer, options: JobOptions, carried: dict[str, Any]
    ) -> None: ...
    def _was_found(self, id: str, since: int) -> bool: ...
    def _told_stats(self) -> str: ...
    def _report_undeclared(self) -> None: ...
    def _repeat_ids(self) -> list[str]: ...
    def interrupt(self, id: str) -> bool:
        """Ask what runs of a job to end; `False`: nothing of this id runs.

        An async handler is cancelled. On a thread nothing can be interrupted: `event.expired` turns true, for the
        handler to look at. If it raises from then on, whatever that is, the job is dead, reason `"discarded"`, and not
        retried; if it returns it has succeeded. Over PostgreSQL: what runs on this node.

        **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`. **Cost**: O(running).
        """
    def _deaths(self, id: str, *, limit: int | None = None) -> Iterator[DeadEvent]: ...
    def _stage_of(self, id: str) -> str | None: ...
    def _held_by(self, id: str) -> tuple[str, int | None] | None: ...
    def _left_by(self, target: str) -> tuple[str, int | None] | None: ...
    def _wall_ns(self) -> int: ...
    def _wait_stopped(self) -> None: ...
    def _refuse_inside(self, call: str) -> None: ...
    def _register(
        self,
        target: str,
        handler: Callable[[Event], object],
        on_loop: bool = False,
        controls: tuple[int | None, bool, tuple[int, int] | None, int] | None = None,
        dead: str | None = None,
    ) -> tuple[int, int]: ...
    def _deregister(self, number: int, registration: int) -> None: ...
    def _wrap_handlers(self, wrap: Callable[[Callable[..., Any], bool], Callable[..., Any]]) -> None: ...
    def _restore(self, event: Event) -> None: ...
    def _backup(self, path: str | PathLike[str]) -> None: ...
    def _rotate(self, progress: Callable[[int, int], object] | None = None) -> None: ...
    def _stop(self) -> None: ...
    def _wait_settled(self, ticket: int) -> None: ...
    def _has_room(self) -> bool: ...
    def _holds(self, condition: Condition) -> bool: ...
    def _give_up_file(self) -> None: ...
    def _check_target(self, target: str) -> None: ...
    def _attach(
        self,
        asyncio_loop: AbstractEventLoop,
        task: Callable[[TaskCoroutine], Task[None]],
        watched: bool,
        over: Callable[[], object] | None,
    ) -> EventLoop: ...
    def _awaited(self) -> AwaitedCalls: ...
    @property
    def _has_store(self) -> bool: ...
    def _check(self) -> None: ...
    def _targets(self) -> tuple[int, int]: ...
    def _manual_next(self) -> tuple[int, int] | None: ...
    def _manual_step(self) -> tuple[bool, bool]: ...

@final
class AwaitedCalls:
    """The calls of a scheduler that coroutines make.

    Each returns its result and the ticket to wait for (0: none), or a pending call.
    """

    def at(
        self,
        when: _When,
        target: str,
        data: Buffer | None = None,
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobKeywords],
    ) -> _Made[str]:
        """As `Scheduler.at`."""
    def in_(
        self,
        delay: _Seconds,
        target: str,
        data: Buffer | None = None,
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobKeywords],
    ) -> _Made[str]:
        """As `Scheduler.in_`."""
    def many(
        self,
        are_delays: bool,
        times: Sequence[Any] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_ManyKeywords],
    ) -> _Made[Ids]:
        """As `Scheduler.at_many`, and `in_many` where they are delays."""
    def many_in_thread(
        self,
        are_delays: bool,
        times: Sequence[Any] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_ManyKeywords],
    ) -> Ids:
        """Do the same on a thread: it waits, and gives up the interpreter on the way."""
    def cancel(self, id: str) -> _Made[bool]:
        """As `Scheduler.cancel`."""
    def cancel_many(self, ids: Iterable[str]) -> _Made[int]:
        """As `Scheduler.cancel_many`."""
    def reschedule(self, id: str, when: _When) -> _Made[bool]:
        """As `Scheduler.reschedule`."""
    def repeat(
        self,
        schedule: Schedule | str | _Seconds,
        target: str,
        data: Buffer | None,
        declared: bool,
        **keywords: Unpack[_RepeatKeywords],
    ) -> _Made[str]:
        """As `Scheduler.repeat`."""
    def pause(self, id: str) -> _Made[bool]:
        """As `Scheduler.pause`."""
    def resume(self, id: str) -> _Made[bool]:
        """As `Scheduler.resume`."""
    def trigger(self, id: str) -> _Made[bool]:
        """As `Scheduler.trigger`."""
    def get_repeat(self, id: str) -> _Made[Repeat | None]:
        """As `Scheduler.get_repeat`."""
    def get(self, id: str) -> _Made[Event | None]:
        """As `Scheduler.get`."""
    def next(self, start: _When | None = None, end: _When | None = None) -> _Made[Event | None]:
        """As `Scheduler.next`."""
    def revive(self, id: str) -> _Made[bool]:
        """As `Scheduler.revive`."""
    def outcome(self, id: str) -> _Made[Outcome | None]:
        """As `Scheduler.outcome`, without a wait: `None` where it is not over."""
    def outcome_late(self, id: str, is_late: bool) -> None:
        """Refuse to wait for the outcome of a job that could never end; the error of one that has not ended in time."""
    def outcome_pause(self, looks: int) -> float | None:
        """Return how many seconds to wait at most after so many calls of `outcome`. `None`: its end is told."""
    def unfinished(self) -> _Made[int]:
        """Return how many jobs of the targets that have handlers here are in a store that nodes share."""
    def count(self) -> _Made[int]:
        """As `len(Scheduler)`."""
    def purge(self, before: _When | None = None, *, ids: Iterable[str] | None = None) -> _Made[int]:
        """As `Scheduler.purge`."""
    def restore(self, event: Event) -> _Made[None]:
        """As `Scheduler._restore`."""
    def close_in_thread(self) -> None:
        """As `Scheduler.close`, on a thread, giving up the interpreter on the way."""

@final
class PendingCall(Generic[_T]):
    """A call that waits for an answer of the store."""

    def wait(self) -> _Made[_T]:
        """Wait for the answer, and go on with the call."""

@final
class Condition:
    """What a coroutine may wait for: nothing runs, nothing is pending or runs, nothing starts any more."""

    FINISHED: Final[Condition]
    IDLE: Final[Condition]
    STOPPED: Final[Condition]
    def __int__(self) -> int: ...

@final
class TaskCoroutine(Coroutine[Any, Any, None]):
    """The coroutine of a task, which runs one async handler from its second step on.

    The first step is taken before there is need of a task: most handlers end in it. So a task is made with a
    coroutine that has no handler, and gets the one that turns out to wait.
    """

    def __next__(self) -> Any: ...
    def __iter__(self) -> TaskCoroutine: ...
    def __await__(self) -> TaskCoroutine: ...
    def send(self, _value: object) -> Any:
        """Resume the handler."""
    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise an exception where the handler waits."""
    def close(self) -> None:
        """End the handler where it waits."""

@final
class LoopWaker:
    """Wake an event loop that watches no descriptor."""

    def wait(self) -> bool:
        """Wait until the loop is woken; `False`: the waker was removed."""

@final
class Spares:
    """What is told of handlers on threads that are past their timeout."""

    def expire(self, event: Event) -> None:
        """Note that the handler of an event, on a worker, is past its timeout."""
    def step_in(self) -> None:
        """Have a worker step in, if that is to be."""
    def returned(self, event: Event) -> None:
        """Note that it has returned after all: one worker is too many, from now on."""

@final
class EventLoop:
    """Run async handlers on one event loop; made by `Scheduler._attach`."""

    @property
    def asyncio_loop(self) -> AbstractEventLoop:
        """The event loop of asyncio."""
    @property
    def descriptor(self) -> int | None:
        """The descriptor to watch, whose reader is `take_turn`; `None`: the `waker` in a thread instead."""
    @property
    def waker(self) -> LoopWaker:
        """What wakes the loop; a thread that waits for it does not keep the event loop."""
    @property
    def over(self) -> bool:
        """Whether no task is left, after closing: the loop is no longer used."""
    def enter_thread(self) -> None:
        """Count the thread that runs the loop among those that end with the scheduler.

        All that it runs is a handler's, or what one has spawned: a call that waits would wait for itself.
        """
    def leave_thread(self) -> None:
        """Count it out again."""
    def take_turn(self) -> None:
        """Start what is due, resolve futures, cancel tasks after closing. On the loop's thread."""
    def exempt_caller(self) -> None:
        """Note that the handler that runs now, if one does, closes its scheduler: that cancels the others.

        Cancelled itself, it would start again with the next life of a file, and close that, too.
        """
    def tasks(self) -> list[Task[None]]:
        """Return the tasks of handlers that wait for something."""
    def watch(self, condition: Condition) -> Future[bool] | None:
        """Return a future that is done when a condition holds, or `None` when it does now."""
    def unwatch(self, future: Future[bool]) -> None:
        """Forget a future of `watch`."""
    def ended(self, id: str) -> Future[bool]:
        """Return a future that is done when the job of this id ends, until `forget_end`."""
    def forget_end(self, future: Future[bool]) -> None:
        """Forget a future of `ended`."""
    def settled(self, ticket: int) -> Future[bool]:
        """Return a future that is done when a batch is on disk."""
    def answered(self, call: PendingCall[_T]) -> Future[_Made[_T]]:
        """Return a future of what a call that asks the store comes to."""
    def abandon(self, error: Exception | None = None) -> None:
        """Leave a loop that is closed, or is to be left: running jobs are pending again, or fail with `error`."""

def check_bounds(start: _When | None, end: _When | None, target: str | None = None) -> None:
    """Check the bounds of a query, and the target that it is about."""

def timeout_s(timeout: _Seconds | None) -> float | None:
    """Check a timeout; return its seconds."""

def touch() -> None:
    """Note that a handler's code reads its task."""

def postgres_sql(schema: str) -> str:
    """Return the statements that make the tables of a database, in this schema."""

def hello_line(protocol: int) -> bytes:
    """Return the first line of a caller that speaks this protocol."""

def retry_options(retry: str) -> JobOptions:
    """Return options that were written."""

def retry_text(options: JobOptions) -> str:
    """Return the options of a job as they are written."""

def live_nodes(scheduler: Scheduler) -> list[tuple[str, str, int, str, int, int, int, int]]:
    """Return the nodes that share a scheduler's store and live, each as the fields of a `Node`."""

def transaction_terms(
    scheduler: Scheduler,
    is_delay: bool,
    when: _When | _Seconds,
    target: str,
    data: Buffer | None = None,
    *,
    id: str | None = None,
    options: JobOptions | None = None,
    **job_options: Unpack[_JobKeywords],
) -> tuple[str, tuple[Any, ...]]:
    """Return the schema, and what a statement that schedules a job is given; refuse what `at` and `in_` refuse."""

def transaction_repeats(
    scheduler: Scheduler,
    schedule: Schedule | str | timedelta | float,
    target: str,
    data: Buffer | None = None,
    **keywords: Unpack[_RepeatKeywords],
) -> tuple[str, tuple[Any, ...]]:
    """Return the schema, and what a statement that schedules a repeat is given; refuse what `repeat` refuses."""

def transaction_cancels(scheduler: Scheduler, id: str) -> tuple[str, str]:
    """Return the schema and the id for a statement that withdraws a job; refuse what `cancel` refuses."""

def duplicate_job(id: str) -> DuplicateJobError:
    """Return the error for an id that is taken."""

def current_event() -> Event | None:
    """Return the event of the handler that calls, sync or async; `None` outside of handlers.

    Code that a handler calls finds it. Threads and tasks that it starts have none of their own.
    """

def find_names() -> None:
    """Look up what the extension uses of the package's modules; called once they are imported."""

def outer_handlers() -> list[int]:
    """Return the schedulers in whose handlers the calling thread is, for a thread that it waits for."""

def run_inside(outer: list[int]) -> None:
    """Run the rest of the calling thread as if it was in these handlers, too."""

def after_fork_in_child() -> None:
    """Disown the schedulers of the parent: called in the child of every fork."""

def at_exit() -> None:
    """Close every scheduler and wait until no thread of duewheel needs the interpreter any more.

    Threads that are in a handler are not waited for.
    """
