"""Say in plain Python what the engine does: the specification that one can read.

``ReferenceScheduler`` promises what ``duewheel.Scheduler`` promises in memory, over two heaps and a
dictionary, without a thread and without the Rust engine; only the value classes are shared, so that
events compare equal. It runs when its ``ManualClock`` advances. It is made for reading and for holding the
engine against it in tests, not for speed.
"""

import contextvars
import heapq
import logging
import math
import secrets
import traceback
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from types import AsyncGeneratorType, CoroutineType, GeneratorType, SimpleNamespace, TracebackType
from typing import Any, Literal, Self, TypeVar

from duewheel import _current, _times
from duewheel._checks import check_name, data_bytes
from duewheel._core import DeadEvent, Event, Job, JobOptions
from duewheel._failure import bounded
from duewheel._log import ancient as _log_ancient
from duewheel._times import LAST_NS, SECOND, exactly
from duewheel.errors import ClosedError, Discard, DuplicateJobError, DuplicateTargetError, Snooze, StateError
from duewheel.options import DEFAULT_MAX_BACKOFF, DEFAULT_MIN_BACKOFF, DEFAULT_RETRY_LIMIT, UNSET, Consistency
from duewheel.scheduler import Handler
from duewheel.storage import Storage
from duewheel.testing import ManualClock

__all__ = ["ReferenceScheduler", "backoff_ns", "ceiling_ns", "exhausted", "resolve"]

_log = logging.getLogger("duewheel")

_DEAD_KEPT = 1_000
_MOST = 2**32 - 1  # where counters stay
_COUNTS = ["scheduled", "started", "succeeded", "retried", "snoozed", "dead", "cancelled", "revived", "dropped"]

When = float | datetime
Delay = float | timedelta
Fn = TypeVar("Fn", bound=Handler)


def resolve(above: JobOptions, below: JobOptions) -> JobOptions:
    """Lay options over others, field by field, and fill in what stays unset.

    **Raises**: ``ValueError`` for ``min_backoff`` above ``max_backoff``, and for an age limit alone with
    ``min_backoff`` 0, which would retry without a pause.
    """

    def pick(name: str, default: Any) -> Any:
        values = (getattr(layer, name) for layer in (above, below))
        return next((value for value in values if value is not UNSET), default)

    consistency = pick("consistency", Consistency.AT_LEAST_ONCE)
    age_limit = pick("_age_limit_ns", None)
    retry_limit = pick("retry_limit", DEFAULT_RETRY_LIMIT if age_limit is None else None)
    return JobOptions(
        retry_limit=0 if consistency is Consistency.AT_MOST_ONCE else retry_limit,
        min_backoff=exactly(pick("_min_backoff_ns", round(DEFAULT_MIN_BACKOFF * SECOND))),
        max_backoff=exactly(pick("_max_backoff_ns", round(DEFAULT_MAX_BACKOFF * SECOND))),
        age_limit=None if age_limit is None else exactly(age_limit),
        consistency=consistency,
    )


def exhausted(options: JobOptions, attempt: int, age_ns: int) -> bool:
    """Tell whether a job is dead whose attempt (from 1) failed at this age: when every limit it has is reached."""
    limits = (attempt - 1, options.retry_limit), (age_ns, options._age_limit_ns)
    reached = [value >= limit for value, limit in limits if isinstance(limit, int)]
    return bool(reached) and all(reached)


def ceiling_ns(options: JobOptions, attempt: int) -> int:
    """Return the longest backoff after this attempt: ``min(max_backoff, min_backoff · 2ⁿ)``."""
    low, high = options._min_backoff_ns, options._max_backoff_ns
    # Past 63 doublings anything above zero is beyond 64 bits; the shift itself must stay small.
    return min(high, low << min(attempt, 63))


def backoff_ns(options: JobOptions, seed: int, id: str, attempt: int) -> int:
    """Return the backoff after this attempt: uniform in ``[min_backoff, ceiling]``, drawn by BLAKE2b."""
    message = id.encode() + attempt.to_bytes(4, "little")
    digest = blake2b(message, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    low = options._min_backoff_ns
    return low + (int.from_bytes(digest, "little") * (ceiling_ns(options, attempt) - low + 1) >> 64)


def _run_returned(fn: Handler, returned: object, context: contextvars.Context) -> None:
    """Do the work that a handler has returned undone: a coroutine, as long as it waits for nothing."""
    if isinstance(returned, CoroutineType):
        try:
            context.run(returned.send, None)
        except StopIteration:
            return
        returned.close()
        raise TypeError(f"the handler {fn!r} returned {returned!r}, which waits: the reference has no event loop")
    if isinstance(returned, GeneratorType | AsyncGeneratorType):
        raise TypeError(f"the handler {fn!r} returned {returned!r}, which nothing runs: a handler must not yield")


def _summary(late_ns: list[int]) -> SimpleNamespace:
    """Summarise how late jobs started, in seconds; a quantile is the least value that so many are at most."""
    count = len(late_ns)
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    quantiles = {name: late_ns[math.ceil(share * count) - 1] / SECOND for name, share in shares.items() if count}
    return SimpleNamespace(
        count=count, mean=sum(late_ns) / max(count, 1) / SECOND, **(quantiles or dict.fromkeys(shares, 0.0))
    )


def _check_options(options: object) -> None:
    if options is not None and not isinstance(options, JobOptions):
        raise TypeError(f"options must be JobOptions or None, not {options!r}")


def _items(values: Any, what: str) -> list[Any]:
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"{what} must be a sequence of times, not {values!r}")
    return list(values)


def _datas(datas: Any, count: int) -> list[Any]:
    if datas is None:
        return [b""] * count
    if isinstance(datas, str | bytes) or not hasattr(datas, "__iter__"):
        raise TypeError(f"datas must be a sequence of bytes-like objects, one a job, not {datas!r}")
    given = list(datas)
    if len(given) != count:
        raise ValueError(f"datas must be as many as the dues: {len(given)} for {count}")
    return given


@dataclass(slots=True)
class _Entry:
    """A job that is pending or running."""

    id: str
    target: str
    job_due: int  # unix ns as first scheduled; never changes
    data: bytes
    options: JobOptions
    due: int  # of the coming execution, on the boot clock or the wall's
    on_boot: bool
    sequence: int
    run: int = 1
    attempt: int = 1
    first_start: int | None = None  # boot ns: the job's age counts from it
    stage: Literal["waiting", "parked", "running", "over"] = "waiting"


class ReferenceScheduler:
    """Schedule as ``duewheel.Scheduler`` does, on the thread that advances ``clock``.

    **Time**: at the dues of its clock, exactly.

    **Order**: (due, sequence), the due of a boot job taken as the wall time that it maps to now.
    """

    def __init__(self, *, clock: ManualClock, options: JobOptions | None = None, seed: int | None = None) -> None:
        _check_options(options)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise TypeError(f"seed must be an int or None, not {seed!r}")
        if seed is not None and not 0 <= seed < 2**64:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, not {seed!r}")
        self._base = JobOptions() if options is None else options
        resolve(JobOptions(), self._base)  # what can never be resolved is refused here
        self._seed = secrets.randbits(64) if seed is None else seed
        self._clock = clock
        self._started = self._closed = False
        self._inside = 0
        self._context = contextvars.copy_context()
        self._handlers: dict[str, tuple[object, Handler]] = {}
        self._noticed: set[str] = set()
        self._jobs: dict[str, _Entry] = {}
        self._wall_heap: list[tuple[int, int, _Entry]] = []
        self._boot_heap: list[tuple[int, int, _Entry]] = []
        self._sequence = 0
        self._dead: deque[DeadEvent] = deque(maxlen=_DEAD_KEPT)
        self._counts: Counter[str] = Counter(dict.fromkeys(_COUNTS, 0))
        self._late_ns: list[int] = []  # of every start
        clock._attach(self)

    # Life

    def start(self) -> None:
        """Begin to run what is due, whenever the clock advances."""
        self._open()
        if not self._started:
            self._context = contextvars.copy_context()
            self._context.run(_current.current.set, self)  # type: ignore[arg-type]
            self._started = True

    def drain(self, timeout: Delay | None = None) -> bool:
        """Start nothing more until ``start``; nothing can be running, so that it is done at once."""
        self._refuse_wait("drain", timeout)
        self._started = False
        return True

    def close(self) -> None:
        """Forget what is pending, for good, and count it as dropped."""
        if self._closed:
            return
        self._closed, self._started = True, False
        pending = [entry for entry in self._jobs.values() if entry.stage != "running"]
        for entry in pending:
            self._forget(entry)
        self._counts["dropped"] += len(pending)
        if pending:
            _log.warning("closed with %d pending jobs, which are gone", len(pending))

    def wait(self, timeout: Delay | None = None) -> bool:
        """Tell whether nothing is pending but parked jobs; does not block, for nobody else runs them."""
        self._open()
        self._refuse_wait("wait", timeout)
        return all(entry.stage == "parked" for entry in self._jobs.values())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and not self._closed:
            self.drain()
        self.close()

    # Handlers

    def handle(self, target: str, fn: Handler) -> Callable[[], None]:
        """Register ``fn`` for ``target``; its parked jobs go back to their old places.

        **Raises**: ``DuplicateTargetError`` when there is a handler.
        """
        self._open()
        check_name(target, "target")
        if not callable(fn):
            raise TypeError(f"handler must be callable, not {fn!r}")
        if target in self._handlers:
            raise DuplicateTargetError(f"the target {target!r} has a handler: deregister it first")
        token = object()
        self._handlers[target] = token, fn
        self._noticed.discard(target)
        for entry in self._jobs.values():
            if entry.target == target and entry.stage == "parked":
                self._push(entry)

        def deregister() -> None:
            # A second call must not take away the handler that followed.
            if self._handlers.get(target, (None,))[0] is token:
                del self._handlers[target]

        return deregister

    def handler(self, target: str) -> Callable[[Fn], Fn]:
        """Register the decorated function for ``target``."""
        self._open()
        check_name(target, "target")

        def register(fn: Fn) -> Fn:
            self.handle(target, fn)
            return fn

        return register

    # Scheduling

    def at(self, when: When, target: str, data: Any = b"", *, id: str | None = None, **options: Any) -> str:
        """Schedule a job due at ``when`` on the wall clock; returns its id."""
        due = _times.wall_ns(when)
        name = self._schedule([(due, False)], target, [data], id, **options)[0]
        self._warn_if_ancient(due)
        return name

    def in_(self, delay: Delay, target: str, data: Any = b"", *, id: str | None = None, **options: Any) -> str:
        """Schedule a job due ``delay`` from now on the boot clock; returns its id."""
        return self._schedule([(self._boot_due(delay), True)], target, [data], id, **options)[0]

    def at_many(self, whens: Iterable[Any], target: str, datas: Any = None, **options: Any) -> Sequence[str]:
        """Schedule a job at each of ``whens``, in that order, all of them or none."""
        dues = [(_times.wall_ns(when), False) for when in _items(whens, "whens")]
        names = self._schedule(dues, target, _datas(datas, len(dues)), None, **options)
        if dues:
            self._warn_if_ancient(min(dues)[0])
        return names

    def in_many(self, delays: Iterable[Any], target: str, datas: Any = None, **options: Any) -> Sequence[str]:
        """Schedule a job after each of ``delays``, in that order, all of them or none."""
        dues = [(self._boot_due(delay), True) for delay in _items(delays, "delays")]
        return self._schedule(dues, target, _datas(datas, len(dues)), None, **options)

    def _boot_due(self, delay: object) -> int:
        due = self._clock._time.boot() + _times.delay_ns(delay)
        if max(due, due + self._offset()) > LAST_NS:
            raise OverflowError(f"delay is out of range: {delay!r}; 64 bits of unix nanoseconds end in 2262")
        return due

    def _schedule(
        self,
        dues: list[tuple[int, bool]],
        target: str,
        datas: list[Any],
        id: str | None,
        options: JobOptions | None = None,
        **keywords: Any,
    ) -> tuple[str, ...]:
        # Everything is checked before anything is scheduled: all of them or none.
        self._open()
        check_name(target, "target")
        payloads = [data_bytes(data) for data in datas]
        _check_options(options)
        given = {name: value for name, value in keywords.items() if value is not UNSET}
        resolved = resolve((options or JobOptions()).replace(**given), self._base)
        if id is not None:
            self._check_free(id)
        ids = []
        for (due, on_boot), data in zip(dues, payloads, strict=True):
            name = str(uuid.uuid4()) if id is None else id
            job_due = due + self._offset() if on_boot else due
            self._insert(_Entry(name, target, job_due, data, resolved, due, on_boot, 0))
            self._counts["scheduled"] += 1
            ids.append(name)
        return tuple(ids)

    def _check_free(self, id: str) -> None:
        check_name(id, "id")
        if id in self._jobs:
            raise DuplicateJobError(f"a job with the id {id!r} is pending or running: cancel it, or choose another")

    def cancel(self, id: str) -> bool:
        """Withdraw a pending job; ``False`` when it is unknown, running or over."""
        if (entry := self._pending(id)) is None:
            return False
        self._forget(entry)
        self._counts["cancelled"] += 1
        return True

    def reschedule(self, id: str, when: When) -> bool:
        """Move a pending job to ``when`` on the wall clock, at a new place in the order."""
        self._open()
        due = _times.wall_ns(when)
        if (entry := self._pending(id)) is None:
            return False
        self._again(entry, due, on_boot=False)
        self._warn_if_ancient(due)
        return True

    def _warn_if_ancient(self, due: int) -> None:
        if due < self._clock.now_ns() - 365 * 86_400 * SECOND:
            _log_ancient(due)

    # Questions

    def get(self, id: str) -> Event | None:
        """Return the coming execution of a pending job."""
        entry = self._pending(id)
        return None if entry is None else self._event(entry)

    def __contains__(self, id: str) -> bool:
        return self.get(id) is not None

    def __len__(self) -> int:
        self._open()
        return sum(entry.stage != "running" for entry in self._jobs.values())

    def __bool__(self) -> bool:
        return True

    def next(self, start: When | None = None, end: When | None = None) -> Event | None:
        """Return the first pending event with ``start <= due < end``."""
        return next(self.between(start, end), None)

    def between(self, start: When | None = None, end: When | None = None) -> Iterator[Event]:
        """Iterate over the pending events with ``start <= due < end``, in the order of (due, sequence)."""
        self._open()
        first = None if start is None else _times.wall_ns(start, "start")
        last = None if end is None else _times.wall_ns(end, "end")
        waiting = [entry for entry in self._jobs.values() if entry.stage != "running"]
        places = sorted((self._wall_due(entry), entry.sequence, entry) for entry in waiting)
        chosen = [entry for due, _, entry in places if (first is None or first <= due) and (last is None or due < last)]
        return iter([self._event(entry) for entry in chosen])

    def stats(self) -> SimpleNamespace:
        """Count; ``scheduled + revived = pending + running + succeeded + dead + cancelled + dropped``."""
        stages = [entry.stage for entry in self._jobs.values()]
        running, parked = stages.count("running"), stages.count("parked")
        pending = len(stages) - running
        late = _summary(sorted(self._late_ns))
        return SimpleNamespace(pending=pending, parked=parked, running=running, lateness=late, **self._counts)

    @property
    def storage(self) -> Storage:
        """What is pending, as a store of events."""
        return Storage(self)  # type: ignore[arg-type]  # the same calls

    def _restore(self, event: Event) -> None:
        """Take in an event as it stands, due on the wall clock."""
        self._open()
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, not {event!r}")
        job = event.job
        self._check_free(job.id)
        entry = _Entry(job.id, job.target, job.due, job.data, job.options, event.due, False, 0)
        entry.run, entry.attempt = event.run, event.attempt
        self._insert(entry)
        self._counts["scheduled"] += 1

    # The dead

    def dead(self) -> Iterator[DeadEvent]:
        """Iterate over the newest 1,000 that ended as dead, newest first."""
        self._open()
        return iter(list(reversed(self._dead)))

    def revive(self, id: str) -> bool:
        """Make the newest dead job of this id due now, from attempt 1 and a new age.

        **Raises**: ``DuplicateJobError`` when the id is taken.
        """
        self._open()
        check_name(id, "id")
        found = next((dead for dead in reversed(self._dead) if dead.event.job_id == id), None)
        if found is None:
            return False
        self._check_free(id)
        # By identity: an equal one may have died before.
        self._dead = deque((dead for dead in self._dead if dead is not found), _DEAD_KEPT)
        event, job = found.event, found.event.job
        now = self._clock._time.boot()
        run = min(event.run + 1, _MOST)
        entry = _Entry(id, job.target, job.due, job.data, job.options, now, True, 0, run=run)
        self._insert(entry)
        self._counts["revived"] += 1
        return True

    def purge(self, before: When | None = None) -> int:
        """Forget the dead that died before a time of the wall clock, or all; returns how many."""
        self._open()
        end = None if before is None else _times.wall_ns(before, "before")
        kept = [dead for dead in self._dead if end is not None and dead.died >= end]
        count = len(self._dead) - len(kept)
        self._dead = deque(kept, _DEAD_KEPT)
        return count

    # Order: one heap a clock, so that a step of the wall clock moves nothing

    def _offset(self) -> int:
        return self._clock._time.wall() - self._clock._time.boot()

    def _wall_due(self, entry: _Entry) -> int:
        return min(entry.due + self._offset(), LAST_NS) if entry.on_boot else entry.due

    def _insert(self, entry: _Entry) -> None:
        self._jobs[entry.id] = entry
        self._again(entry, entry.due, on_boot=entry.on_boot)

    def _again(self, entry: _Entry, due: int, *, on_boot: bool) -> None:
        """Give a new due and a new place; what lies in the heaps of the old one is stale."""
        self._sequence += 1
        entry.due, entry.on_boot, entry.sequence = due, on_boot, self._sequence
        self._push(entry)

    def _push(self, entry: _Entry) -> None:
        entry.stage = "waiting"
        heap = self._boot_heap if entry.on_boot else self._wall_heap
        heapq.heappush(heap, (entry.due, entry.sequence, entry))

    def _forget(self, entry: _Entry) -> None:
        entry.stage = "over"
        del self._jobs[entry.id]

    def _first(self) -> list[tuple[int, int, _Entry]] | None:
        """Find the heap that the first entry of both tops."""
        heads = []
        for heap, offset in ((self._wall_heap, 0), (self._boot_heap, self._offset())):
            while heap and (heap[0][1] != heap[0][2].sequence or heap[0][2].stage != "waiting"):
                heapq.heappop(heap)
            if heap:
                heads.append((heap[0][0] + offset, heap[0][1], heap))
        return min(heads)[2] if heads else None

    def _pending(self, id: str) -> _Entry | None:
        self._open()
        check_name(id, "id")
        entry = self._jobs.get(id)
        return None if entry is None or entry.stage == "running" else entry

    def _event(self, entry: _Entry) -> Event:
        job = Job(entry.id, entry.target, entry.job_due, entry.data, entry.options)
        return Event(job, entry.run, entry.attempt, self._wall_due(entry))

    # Running

    def _manual_next(self) -> tuple[int, int] | None:
        heap = self._first() if self._started else None
        if heap is None:
            return None
        due = self._wall_due(heap[0][2])
        return max(due - self._offset(), self._clock._time.boot()), due

    def _manual_run(self) -> bool:
        heap = self._first() if self._started else None
        if heap is None or self._wall_due(heap[0][2]) > self._clock._time.wall():
            return False
        entry = heapq.heappop(heap)[2]
        registered = self._handlers.get(entry.target)
        if registered is not None:
            self._run(entry, registered[1])
            return True
        entry.stage = "parked"
        if entry.target not in self._noticed:
            self._noticed.add(entry.target)
            _log.warning("no handler for %r: its due jobs are parked until there is one", entry.target)
        return True

    def _run(self, entry: _Entry, fn: Handler) -> None:
        now = self._clock._time.boot()
        late = self._clock._time.wall() - self._wall_due(entry)
        event = self._event(entry)._late(late)
        entry.stage = "running"
        entry.first_start = now if entry.first_start is None else entry.first_start
        self._late_ns.append(late)
        self._counts["started"] += 1
        self._inside += 1
        try:
            context = self._context.copy()
            _run_returned(fn, context.run(fn, event), context)
        except BaseException as error:
            self._failed(entry, event, error)
        else:
            self._counts["succeeded"] += 1
            self._forget(entry)
        finally:
            self._inside -= 1

    def _failed(self, entry: _Entry, event: Event, error: BaseException) -> None:
        """Decide what follows an attempt that did not succeed."""
        now = self._clock._time.boot()
        at_most_once = entry.options.consistency is Consistency.AT_MOST_ONCE
        if isinstance(error, Discard):
            self._bury(entry, event, "discarded", error.reason)
        elif isinstance(error, Snooze) and not at_most_once:
            self._follow(entry, now + _times.delay_ns(error.delay), "snoozed")
        else:
            assert entry.first_start is not None
            dead = at_most_once or exhausted(entry.options, entry.attempt, now - entry.first_start)
            _log.log(logging.ERROR if dead else logging.WARNING, "%s failed", event.id, exc_info=error)
            self._clock._time.keep_error(error)
            if dead:
                self._bury(entry, event, "failed", "".join(traceback.format_exception(error)))
            else:
                due = now + backoff_ns(entry.options, self._seed, entry.id, entry.attempt)
                entry.attempt = min(entry.attempt + 1, _MOST)
                self._follow(entry, due, "retried")

    def _follow(self, entry: _Entry, due: int, count: str) -> None:
        """Make a job due again on the boot clock, unless its scheduler was closed meanwhile."""
        entry.run = min(entry.run + 1, _MOST)
        if self._closed:
            self._counts["dropped"] += 1
            self._forget(entry)
            return
        self._counts[count] += 1
        self._again(entry, min(due, LAST_NS), on_boot=True)

    def _bury(self, entry: _Entry, event: Event, reason: str, error: str) -> None:
        self._counts["dead"] += 1
        self._forget(entry)
        self._dead.append(DeadEvent(event, reason, bounded(error), self._clock._time.wall()))

    def _open(self) -> None:
        if self._closed:
            raise ClosedError("the scheduler is closed")

    def _refuse_wait(self, call: str, timeout: object) -> None:
        if timeout is not None:
            _times.delay_ns(timeout, "timeout")
        if self._inside:
            raise StateError(f"{call}() in a handler of the same scheduler would wait for itself")
