"""The extension of duewheel: the engine in Rust, behind the classes that Python sees.

What a user needs of it is exported by `duewheel`; the contracts stand here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from os import PathLike
from typing import Final, Protocol, Self, SupportsIndex, TypeAlias, TypedDict, Unpack, final, overload

from typing_extensions import Buffer, disjoint_base

from duewheel.options import Consistency, Unset
from duewheel.testing import ManualClock

__all__ = [
    "DEBUG",
    "DeadEvent",
    "Event",
    "Events",
    "Ids",
    "Job",
    "JobOptions",
    "Lateness",
    "ManualTime",
    "SchedulerCore",
    "Stats",
    "__version__",
    "after_fork_in_child",
    "at_exit",
]

__version__: Final[str]
DEBUG: Final[bool]

_Seconds: TypeAlias = float | timedelta
_When: TypeAlias = datetime | float

class _JobOptions(TypedDict, total=False):
    """The keywords of `JobOptions`, which the calls that schedule take, too."""

    retry_limit: int | None | Unset
    min_backoff: _Seconds | Unset
    max_backoff: _Seconds | Unset
    age_limit: _Seconds | None | Unset
    consistency: Consistency | Unset

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
        """Retries after the first attempt."""
    @property
    def min_backoff(self) -> float | Unset:
        """The shortest pause before a retry, in seconds."""
    @property
    def max_backoff(self) -> float | Unset:
        """The longest pause before a retry, in seconds."""
    @property
    def age_limit(self) -> float | None | Unset:
        """The age, in seconds from the first start, at which retries end."""
    @property
    def consistency(self) -> Consistency | Unset:
        """Whether it may be started more than once."""
    @property
    def _min_backoff_ns(self) -> int: ...
    @property
    def _max_backoff_ns(self) -> int: ...
    @property
    def _age_limit_ns(self) -> int | None: ...
    def replace(self, **changes: Unpack[_JobOptions]) -> JobOptions:
        """Return these options with some fields changed."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Job:
    """A job: what was asked for, which never changes.

    **Time**: `due` is unix nanoseconds, as first scheduled.
    """

    def __new__(cls, id: str, target: str, due: int, data: Buffer, options: JobOptions) -> Job: ...
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
        """What its handler gets."""
    @property
    def options(self) -> JobOptions:
        """Its options, resolved: no field is `UNSET`."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Event:
    """One execution of a job: what a handler is called with, and what is pending.

    **Time**: `due` is unix nanoseconds; that of an execution on the boot clock is the wall time
    that it maps to now.
    """

    def __new__(cls, job: Job, run: int | None = None, attempt: int | None = None, due: int | None = None) -> Event: ...
    @property
    def id(self) -> str:
        """The job's id, a slash and the run."""
    @property
    def run(self) -> int:
        """Starts of the job so far, this one included."""
    @property
    def attempt(self) -> int:
        """Failures so far, plus one."""
    @property
    def due(self) -> int:
        """When this execution is due, in unix nanoseconds."""
    @property
    def job(self) -> Job:
        """The job."""
    @property
    def job_id(self) -> str:
        """The job's id."""
    @property
    def target(self) -> str:
        """The job's target."""
    @property
    def data(self) -> bytes:
        """The job's data."""
    @property
    def due_at(self) -> datetime:
        """The due as an aware `datetime` in UTC, rounded down to microseconds."""
    @property
    def lateness(self) -> float:
        """Seconds from its due to its start; 0.0 while pending. Not compared."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class DeadEvent:
    """A job that ended as dead."""

    def __new__(cls, event: Event, reason: str, error: str, died: int) -> DeadEvent: ...
    @property
    def event(self) -> Event:
        """Its last execution."""
    @property
    def reason(self) -> str:
        """`"failed"`, `"discarded"` or `"interrupted"`."""
    @property
    def error(self) -> str:
        """The traceback's text, or the reason given to `Discard`."""
    @property
    def died(self) -> int:
        """When, in unix nanoseconds."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Lateness:
    """Start minus due of every start, in seconds: quantiles within 1 %, `max` exact."""

    @property
    def count(self) -> int:
        """Starts counted."""
    @property
    def mean(self) -> float:
        """The mean, exact."""
    @property
    def p50(self) -> float:
        """The median."""
    @property
    def p90(self) -> float:
        """The 90th percentile."""
    @property
    def p99(self) -> float:
        """The 99th percentile."""
    @property
    def p999(self) -> float:
        """The 99.9th percentile."""
    @property
    def max(self) -> float:
        """The largest, exact."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Stats:
    """What a scheduler holds now, and has done since it was made.

    `scheduled + revived = pending + running + succeeded + dead + cancelled + dropped`; what is
    `parked` is pending too.
    """

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
    def lateness(self) -> Lateness:
        """Start minus due, of every start."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Ids(Sequence[str]):
    """The ids of many jobs: an immutable sequence that makes its strings on access."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: SupportsIndex, /) -> str: ...
    @overload
    def __getitem__(self, at: slice, /) -> Ids: ...
    def __contains__(self, id: object, /) -> bool: ...
    def index(self, id: str) -> int:  # type: ignore[override]
        """Return where an id is; `ValueError` when it is not there."""
    def count(self, id: str) -> int:
        """Return how often an id is there: once or never."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Events:
    """An iterator over pending events."""

    def __iter__(self) -> Events: ...
    def __next__(self) -> Event: ...

@final
class ManualTime:
    """The readings of a manual clock, in nanoseconds."""

    def __new__(cls, wall_ns: int, boot_ns: int) -> ManualTime: ...
    def wall(self) -> int: ...
    def boot(self) -> int: ...
    def set(self, wall_ns: int, boot_ns: int) -> None: ...

@disjoint_base
class SchedulerCore:
    """The calls of a scheduler that are all in Rust."""

    def __new__(
        cls,
        storage: None | str | PathLike[str] = None,
        *,
        workers: int | None = None,
        options: JobOptions | None = None,
        clock: ManualClock | None = None,
        seed: int | None = None,
    ) -> Self: ...
    def drain(self, timeout: _Seconds | None = None) -> bool:
        """Start nothing more and finish what has started.

        What was handed over but not started is pending again in its old place. Returns `True`
        when all has finished, `False` when `timeout` ran out first. Jobs may still be scheduled;
        none runs until `start`. Allowed after `close`.

        **Raises** `StateError` in a handler of this scheduler.
        """
    def close(self) -> None:
        """Start nothing more, for good, and wait for nothing.

        Handlers that are running go on; what is pending is dropped, counted and logged.
        Idempotent, allowed in a handler.
        """
    def wait(self, timeout: _Seconds | None = None) -> bool:
        """Wait until nothing is pending or running, parked jobs aside; `False` at the timeout.

        **Raises** `StateError` in a handler of this scheduler, `ClosedError`.
        """
    def at(
        self,
        when: _When,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobOptions],
    ) -> str:
        """Schedule a job for a time of the wall clock; return its id.

        **Time**: an aware `datetime`, or unix seconds; a float's nanoseconds are the exact
        ceiling of its binary value. A due in the past runs at once, in the place of its own value.
        **Raises** `TypeError`, `ValueError` and `OverflowError` for what is no time, target, data
        or option; `DuplicateJobError` when `id` is taken; `ClosedError`. Nothing is scheduled then.
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
        **job_options: Unpack[_JobOptions],
    ) -> str:
        """Schedule a job after a delay from now; return its id.

        **Time**: seconds or a `timedelta`, on the boot clock, which no step of the wall clock moves.
        **Raises** as `at`; `ValueError` for a negative delay.
        **Cost**: O(1).
        """
    def at_many(
        self,
        whens: Sequence[_When] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobOptions],
    ) -> Sequence[str]:
        """Schedule many jobs of one target, in that order: all of them or none.

        A buffer of float64 is read without making Python objects; NumPy's `datetime64` is exact.

        **Raises** as `at`; `ValueError` when `datas` are not as many.
        """
    def in_many(
        self,
        delays: Sequence[_Seconds] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_JobOptions],
    ) -> Sequence[str]:
        """Schedule many jobs after delays from now, as `at_many` does.

        **Raises** as `in_`; `ValueError` when `datas` are not as many.
        """
    def cancel(self, id: str) -> bool:
        """Withdraw a pending job.

        `True`: it was pending and will never start. `False`: unknown, running or over.

        **Cost**: O(1), amortised.
        """
    def reschedule(self, id: str, when: _When) -> bool:
        """Move a pending job to another time of the wall clock, at a new place in the order.

        `False` as for `cancel`. **Raises** as `at`.
        """
    def get(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`."""
    def __contains__(self, id: str, /) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def next(self, start: _When | None = None, end: _When | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`.

        **Order**: (due, sequence). **Cost**: O(levels) without `start`, else O(pending).
        """
    def between(self, start: _When | None = None, end: _When | None = None) -> Iterator[Event]:
        """Iterate over the pending events with `start <= due < end`.

        Jobs that stop being pending meanwhile may be left out. **Order**: (due, sequence).
        **Cost**: O(pending), then O(1) an event.
        """
    def revive(self, id: str) -> bool:
        """Make the newest dead job of this id due now, from attempt 1 and a new age.

        `False`: no dead job has it. **Raises** `DuplicateJobError` when the id is taken.
        """
    def purge(self, before: _When | None = None) -> int:
        """Forget the dead that died before a time, or all; return how many."""
    def stats(self) -> Stats:
        """Return what it holds now and has done; allowed after `close`."""
    @property
    def _closed(self) -> bool: ...
    @property
    def _started(self) -> bool: ...
    @property
    def _forked(self) -> bool: ...
    def _start(self, context: Context) -> None: ...
    def _wait_stopped(self) -> None: ...
    def _refuse_inside(self, call: str) -> None: ...
    def _register(self, target: str, handler: Callable[[Event], object]) -> tuple[int, int]: ...
    def _deregister(self, number: int, registration: int) -> None: ...
    def _dead(self) -> list[DeadEvent]: ...
    def _restore(self, event: Event) -> None: ...
    def _check(self) -> None: ...
    def _manual_next(self) -> tuple[int, int] | None: ...
    def _manual_run(self) -> bool: ...

def after_fork_in_child() -> None: ...
def at_exit() -> None: ...
