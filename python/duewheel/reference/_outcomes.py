"""Keep how jobs have ended, for as long as their calls said."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from duewheel import _times
from duewheel._checks import check_name, data_bytes, shown
from duewheel._core import DeadEvent, JobOptions, ManualTime, Outcome
from duewheel.reference._queue import MOST, Entry, Queue

DEAD_LIMIT = 1_000


class Keeping:
    """The call that looks how a job has ended."""

    _clock: ManualTime
    _queue: Queue
    _counts: Counter[str]
    _dead: deque[tuple[DeadEvent, int | None]]  # with for how long the job says that its end is kept

    _check_open: Callable[[], None]
    _check_free: Callable[[str], None]

    def _begin_outcomes(self) -> None:
        self._kept: dict[str, tuple[Outcome, int]] = {}  # and until when, on the boot clock

    def outcome(self, id: str, timeout: Any = 0) -> Outcome:
        """Return how a job has ended that was scheduled with ``keep``.

        It does not block: jobs run when the clock advances.

        **Raises**: ``TimeoutError`` while it is not over, ``LookupError`` where nothing is kept of it.
        """
        self._check_open()
        check_name(id, "id")
        if timeout is not None:
            _times.delay_ns(timeout, "timeout")
        entry = self._queue.jobs.get(id)
        if entry is not None:
            ends = entry if entry.follow is None else entry.follow
            if ends.keep is None:
                raise LookupError(f"how the job {id!r} ends is not kept: schedule it with keep=, in seconds")
            raise TimeoutError(f"the job {id!r} is not over yet")
        kept = self._outcome_of(id)
        if kept is None:
            raise LookupError(f"no job has the id {id!r}, and no outcome of one is kept")
        return kept

    def _outcome_of(self, id: str) -> Outcome | None:
        """Return what is kept of the end of a job, now."""
        kept, until = self._kept.get(id, (None, 0))
        return kept if self._clock.boot() < until else None

    def _keep(self, entry: Entry, state: str, result: bytes = b"", reason: Any = None, error: Any = None) -> None:
        """Keep how a job ends, unless another one of its id follows."""
        if entry.keep is not None and entry.follow is None:
            ended, until = self._clock.wall(), self._clock.boot() + entry.keep
            self._kept[entry.id] = Outcome(state, result, reason, error, ended), until

    def revive(self, id: str) -> bool:
        """Make the newest dead job of this id due now, from attempt 1 and a new age.

        What is kept of a death of this id is forgotten.

        **Raises**: ``DuplicateJobError`` when the id is taken.
        """
        self._check_open()
        check_name(id, "id")
        at = max((at for at, (dead, _) in enumerate(self._dead) if dead.event.job_id == id), default=None)
        if at is None:
            return False
        kept = self._outcome_of(id)
        if kept is not None and kept.state == "dead":
            del self._kept[id]
        self._check_free(id)
        dead, keep = self._dead[at]
        del self._dead[at]
        self._queue.insert(_revived(dead, keep, self._clock.boot()))
        self._counts["revived"] += 1
        return True


def _revived(dead: DeadEvent, keep: int | None, now: int) -> Entry:
    event, job = dead.event, dead.event.job
    options: JobOptions = job.options
    run = min(event.run + 1, MOST)
    entry = Entry(job.id, job.target, job.due, job.data, options, now, True, run, headers=dict(job.headers))
    entry.keep, entry.key = keep, job.key
    return entry


def keep_ns(keep: Any) -> int | None:
    """Return for how long an end is kept."""
    if keep is None:
        return None
    ns = _times.delay_ns(keep, "keep")
    if ns == 0:
        raise ValueError("keep must be above 0 seconds: leave it out to keep nothing")
    return ns


def result_of(entry: Entry, returned: object) -> bytes:
    """Return what is kept of what a handler has returned, which is nothing where nothing is kept.

    **Raises**: ``TypeError`` for what is not bytes-like.
    """
    if entry.keep is None or returned is None:
        return b""
    try:
        return data_bytes(returned)
    except TypeError:
        raise TypeError(
            f"the handler of {entry.target!r} returned {shown(returned)}, and its job was scheduled with keep=: it "
            "must return bytes-like or None"
        ) from None
