"""Say in plain Python what the engine does: the specification that one can read.

``ReferenceScheduler`` promises what ``duewheel.Scheduler`` promises in memory, over two heaps and a
dictionary, without a thread and without the Rust engine; only the value classes are shared, so that
events compare equal. It runs when its ``ManualClock`` advances. It is made for reading and for holding the
engine against it in tests, not for speed.
"""

import contextvars
import logging
import math
import secrets
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from types import AsyncGeneratorType, CoroutineType, GeneratorType, SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from duewheel import _current, _times, tasks
from duewheel._checks import check_name, listed_ids, whole_number
from duewheel._core import DeadEvent, Event, JobOptions
from duewheel._failure import bounded
from duewheel._times import LAST_NS, SECOND
from duewheel.errors import ClosedError, Discard, DuplicateTargetError, Snooze, StateError
from duewheel.options import Consistency
from duewheel.reference._given import check_options
from duewheel.reference._outcomes import DEAD_LIMIT, result_of
from duewheel.reference._queue import MOST, Entry, Queue
from duewheel.reference._repeating import Repeating
from duewheel.reference._rules import backoff_ns, ceiling_ns, exhausted, is_final, resolve
from duewheel.reference._scheduling import Delay, Scheduling, When
from duewheel.reference._targets import Controlling
from duewheel.scheduler import Handler
from duewheel.storage import Storage
from duewheel.testing import ManualClock

if TYPE_CHECKING:
    from typing import Unpack

    from duewheel._core import _HandlerKeywords, _TaskKeywords
    from duewheel.codecs import Codec
    from duewheel.tasks import TaskDecorator

__all__ = ["ReferenceScheduler", "backoff_ns", "ceiling_ns", "exhausted", "resolve"]

for _rule in (backoff_ns, ceiling_ns, exhausted, resolve):
    _rule.__module__ = __name__  # where users find it

_log = logging.getLogger("duewheel")

_COUNTS = "scheduled started succeeded retried snoozed dead cancelled revived dropped missed".split()

Fn = TypeVar("Fn", bound=Handler)


def _run_returned(fn: Handler, returned: object, context: contextvars.Context) -> object:
    """Run a coroutine that a handler has returned, if it waits for nothing; return what it returns in the end."""
    if isinstance(returned, CoroutineType):
        try:
            context.run(returned.send, None)
        except StopIteration as end:
            return end.value
        returned.close()
        raise TypeError(f"the handler {fn!r} returned {returned!r}, which waits: the reference has no event loop")
    if isinstance(returned, GeneratorType | AsyncGeneratorType):
        raise TypeError(f"the handler {fn!r} returned {returned!r}, which nothing runs: a handler must not yield")
    return returned


def _summary(late_ns: list[int]) -> SimpleNamespace:
    """Summarise sorted latenesses in seconds; a quantile is the least value that its share does not exceed."""
    count = len(late_ns)
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    quantiles = {name: late_ns[math.ceil(share * count) - 1] / SECOND for name, share in shares.items() if count}
    return SimpleNamespace(
        count=count, mean=sum(late_ns) / max(count, 1) / SECOND, **(quantiles or dict.fromkeys(shares, 0.0))
    )


class ReferenceScheduler(Scheduling, Repeating, Controlling):
    """Schedule as ``duewheel.Scheduler`` does, on the thread that advances ``clock``.

    **Time**: at the dues of its clock, exactly.

    **Order**: (due, sequence), the due of a boot job taken as the wall time that it maps to now.
    """

    def __init__(self, *, clock: ManualClock, options: JobOptions | None = None, seed: int | None = None) -> None:
        check_options(options)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise TypeError(f"seed must be an int or None, not {seed!r}")
        if seed is not None and not 0 <= seed < 2**64:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, not {seed!r}")
        self._base = JobOptions() if options is None else options
        resolve(JobOptions(), self._base)  # refuses what can never be resolved
        self._seed = secrets.randbits(64) if seed is None else seed
        self._clock = clock._time
        self._started = self._closed = False
        self._inside = 0
        self._context = contextvars.copy_context()
        self._handlers: dict[str, tuple[object, Handler]] = {}
        self._queue = Queue(self._clock)
        self._dead = deque(maxlen=DEAD_LIMIT)
        self._begin_outcomes()
        self._counts: Counter[str] = Counter(dict.fromkeys(_COUNTS, 0))
        self._late_ns: list[int] = []  # of every start
        self._begin_repeats()
        self._begin_controls()
        clock._attach(self)

    # Life

    def start(self) -> None:
        """Begin to run what is due, whenever the clock advances."""
        self._check_open()
        if not self._started:
            self._context = contextvars.copy_context()
            self._context.run(_current.current.set, self)  # type: ignore[arg-type]
            self._take_in_declared()
            self._started, self._could_not_start = True, self._clock.boot()

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
        pending = self._queue.pending()
        for entry in pending:
            self._queue.remove(entry)
        self._counts["dropped"] += len(pending)
        if pending:
            _log.warning("closed with %d pending jobs, which are gone", len(pending))

    def wait(self, timeout: Delay | None = None) -> bool:
        """Tell whether nothing is pending but parked jobs, and repeats that nothing ends.

        It does not block: jobs run when the clock advances.
        """
        self._check_open()
        self._refuse_wait("wait", timeout)
        return all(entry.stage == "parked" or entry.waits_for_ever() for entry in self._queue.jobs.values())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and not self._closed:
            self.drain()
        self.close()

    # Handlers

    def handle(
        self,
        target: str,
        fn: Handler,
        **controls: "Unpack[_HandlerKeywords]",
    ) -> Callable[[], None]:
        """Register ``fn`` for ``target``; its parked jobs go back to their old places.

        **Raises**: ``DuplicateTargetError`` when there is a handler.
        """
        self._check_open()
        check_name(target, "target")
        if not callable(fn):
            raise TypeError(f"handler must be callable, not {fn!r}")
        if target in self._handlers:
            raise DuplicateTargetError(f"the target {target!r} has a handler: deregister it first")
        end_controls = self._control(target, **controls)
        token = object()
        self._handlers[target] = token, fn
        if target not in self._paused:
            self._unpark(target)

        def deregister() -> None:
            # A second call must not take away the handler that followed.
            if self._handlers.get(target, (None,))[0] is token:
                del self._handlers[target]
                end_controls()

        return deregister

    def handler(self, target: str, **controls: Any) -> Callable[[Fn], Fn]:
        """Register the decorated function for ``target``."""
        self._check_open()
        check_name(target, "target")

        def register(fn: Fn) -> Fn:
            self.handle(target, fn, **controls)
            return fn

        return register

    def task(
        self, target: str | None = None, *, codec: "str | Codec" = "json", **keywords: "Unpack[_TaskKeywords]"
    ) -> "TaskDecorator":
        """Register the decorated function as a handler with a signature; as ``duewheel.Scheduler.task``."""
        self._check_open()
        tasks.check_arguments(target, keywords)

        def register(fn: Any) -> Any:
            return tasks.Task(self, fn, target, codec, keywords)

        return register

    # Changes

    def cancel(self, id: str) -> bool:
        """Withdraw a pending job; ``False`` when it is unknown, running or over.

        A repeat ends; what runs of it goes on, and is not retried: ``True`` then, too.
        """
        if (entry := self._pending(id)) is None:
            _, running = self._repeat(id)
            if running is not None:
                running.ends = True
            return running is not None
        self._keep(entry, "cancelled")
        self._queue.remove(entry)
        self._counts["cancelled"] += 1
        return True

    def cancel_many(self, ids: Iterable[str]) -> int:
        """Withdraw many pending jobs; return how many were pending."""
        self._check_open()
        return sum(self.cancel(name) for name in listed_ids(ids))

    def reschedule(self, id: str, when: When) -> bool:
        """Move a pending job to ``when`` on the wall clock, at a new place in the order."""
        self._check_open()
        due = _times.wall_ns(when)
        if (entry := self._pending(id)) is None:
            return False
        self._queue.move(entry, due, on_boot=False)
        self._warn_if_ancient(due)
        return True

    # Questions

    def get(self, id: str) -> Event | None:
        """Return the coming execution of a pending job."""
        entry = self._pending(id)
        return None if entry is None else self._queue.event(entry)

    def __contains__(self, id: str) -> bool:
        return self.get(id) is not None

    def __len__(self) -> int:
        self._check_open()
        return len(self._queue.pending())

    def __bool__(self) -> bool:
        return True

    def next(self, start: When | None = None, end: When | None = None) -> Event | None:
        """Return the first pending event with ``start <= due < end``."""
        return next(self.between(start, end), None)

    def between(
        self, start: When | None = None, end: When | None = None, *, target: str | None = None
    ) -> Iterator[Event]:
        """Iterate over the pending events with ``start <= due < end``, in the order of (due, sequence)."""
        self._check_open()
        first = None if start is None else _times.wall_ns(start, "start")
        last = None if end is None else _times.wall_ns(end, "end")
        if target is not None:
            check_name(target, "target")
        places = sorted((self._queue.wall_due(entry), entry.sequence, entry) for entry in self._queue.pending())
        chosen = [entry for due, _, entry in places if (first is None or first <= due) and (last is None or due < last)]
        return iter([self._queue.event(entry) for entry in chosen if target in (None, entry.target)])

    def stats(self) -> SimpleNamespace:
        """Count; ``scheduled + revived = pending + running + succeeded + dead + cancelled + dropped``."""
        stages = [entry.stage for entry in self._queue.jobs.values()]
        running, parked = stages.count("running"), stages.count("parked")
        pending = len(stages) - running
        late = _summary(sorted(self._late_ns))
        return SimpleNamespace(pending=pending, parked=parked, running=running, stuck=0, lateness=late, **self._counts)

    @property
    def storage(self) -> Storage:
        """What is pending, as a store of events."""
        return Storage(self)  # type: ignore[arg-type]  # the same calls

    def _restore(self, event: Event) -> None:
        """Take in an event as it stands, due on the wall clock."""
        self._check_open()
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, not {event!r}")
        job = event.job
        self._check_free(job.id)
        entry = Entry(job.id, job.target, job.due, job.data, job.options, event.due, False, event.run, event.attempt)
        entry.headers, entry.key, entry.keep = dict(job.headers), job.key, job._keep_ns
        self._queue.insert(entry)
        self._counts["scheduled"] += 1

    # The dead

    def dead(
        self, *, target: str | None = None, before: When | None = None, limit: int | None = None
    ) -> Iterator[DeadEvent]:
        """Iterate over the newest 1,000 that ended as dead, newest first."""
        self._check_open()
        end = None if before is None else _times.wall_ns(before, "before")
        if target is not None:
            check_name(target, "target")
        if limit is not None:
            limit = whole_number(limit, "limit")
        newest = [dead for dead, _ in reversed(self._dead) if target in (None, dead.event.target)]
        return iter([dead for dead in newest if end is None or dead.died < end][:limit])

    def purge(self, before: When | None = None, *, ids: Iterable[str] | None = None) -> int:
        """Forget the dead that died before a time of the wall clock, or of these ids, or all; returns how many."""
        self._check_open()
        end = None if before is None else _times.wall_ns(before, "before")
        named = None if ids is None else listed_ids(ids)
        count = len(self._dead)
        kept = (
            (dead, keep)
            for dead, keep in self._dead
            if (end is not None and dead.died >= end) or (named is not None and dead.event.job_id not in named)
        )
        self._dead = deque(kept, DEAD_LIMIT)
        return count - len(self._dead)

    def _pending(self, id: str) -> Entry | None:
        self._check_open()
        check_name(id, "id")
        entry = self._queue.jobs.get(id)
        return None if entry is None or entry.stage == "running" else entry

    # Running

    def _manual_next(self) -> tuple[int, int] | None:
        self._note_clock()
        if self._started:
            self._review()
        start = self._next_start() if self._started else None
        return None if start is None else (start.at, start.due)

    def _manual_run(self) -> bool:
        start = self._next_start() if self._started else None
        if start is None or start.entry is None:
            return False
        entry = start.entry
        if not self._park_if_unhandled(entry) and (entry.repeat is None or self._take_up(entry, entry.repeat)):
            self._note_start(entry.target)
            self._run(entry, self._handlers[entry.target][1])
        return True

    def _run(self, entry: Entry, fn: Handler) -> None:
        now = self._clock.boot()
        late = self._clock.wall() - self._queue.wall_due(entry)
        event = self._queue.event(entry)._late(late)
        entry.stage, entry.event = "running", event
        entry.first_start = now if entry.first_start is None else entry.first_start
        self._late_ns.append(late)
        self._counts["started"] += 1
        self._inside += 1
        try:
            context = self._context.copy()
            result = result_of(entry, _run_returned(fn, context.run(fn, event), context))
        except BaseException as error:
            self._failed(entry, event, error)
        else:
            self._counts["succeeded"] += 1
            self._keep(entry, "succeeded", result)
            self._come_again(entry, event.job.due)
        finally:
            self._inside -= 1

    def _failed(self, entry: Entry, event: Event, error: BaseException) -> None:
        """Decide what follows an attempt that did not succeed."""
        now = self._clock.boot()
        at_most_once = entry.options.consistency is Consistency.AT_MOST_ONCE
        if isinstance(error, Discard):
            self._bury(entry, event, "discarded", error.reason)
        elif event.expired:
            self._bury(entry, event, "discarded", "".join(traceback.format_exception(error)))
        elif isinstance(error, Snooze) and not at_most_once:
            self._follow(entry, now + _times.delay_ns(error.delay), "snoozed")
        else:
            assert entry.first_start is not None
            dead = is_final(entry.options, error) or exhausted(entry.options, entry.attempt, now - entry.first_start)
            _log.log(logging.ERROR if dead else logging.WARNING, "%s failed", event.id, exc_info=error)
            self._clock.keep_error(error)
            if dead:
                self._bury(entry, event, "failed", "".join(traceback.format_exception(error)))
            else:
                due = now + backoff_ns(entry.options, self._seed, entry.id, entry.attempt)
                entry.attempt = min(entry.attempt + 1, MOST)
                self._follow(entry, due, "retried")

    def _follow(self, entry: Entry, due: int, count: str) -> None:
        """Make a job due again on the boot clock, unless its scheduler was closed meanwhile."""
        entry.run = min(entry.run + 1, MOST)
        if entry.repeat is not None:
            if entry.repeat.ends:  # cancelled while it ran: it is not retried
                self._end_unstarted(entry)
                return
            self._apply_edit(entry)
        if self._closed:
            self._counts["dropped"] += 1
            self._queue.remove(entry)
            return
        self._counts[count] += 1
        if not self._come_changed(entry, min(due, LAST_NS)):
            self._queue.move(entry, min(due, LAST_NS), on_boot=True)

    def _bury(self, entry: Entry, event: Event, reason: str, error: str) -> None:
        self._counts["dead"] += 1
        if entry.repeat is not None and entry.repeat.terms.pause_on_dead:
            entry.repeat.paused = True
        keep = entry.keep
        self._keep(entry, "dead", b"", reason, bounded(error))
        self._come_again(entry, None)
        self._dead.append((DeadEvent(event, reason, bounded(error), self._clock.wall()), keep))
        self._leave_heir(event)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the scheduler is closed")
        self._note_clock()

    def _refuse_wait(self, call: str, timeout: object) -> None:
        if timeout is not None:
            _times.delay_ns(timeout, "timeout")
        if self._inside:
            raise StateError(f"{call}() in a handler of the same scheduler would wait for itself")
