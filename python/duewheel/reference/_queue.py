"""Order jobs by (due, sequence): one heap a clock, so that a step of the wall clock moves nothing."""

import heapq
import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

from duewheel._core import Event, Job, JobOptions, ManualTime
from duewheel._times import LAST_NS, exactly
from duewheel.reference._repeats import Repeat

MOST = 2**32 - 1  # where counters stay

_Heap = list[tuple[int, int, int, "Entry"]]


@dataclass(slots=True)
class Changed:
    """What a job is to be that was changed."""

    target: str
    data: bytes
    options: JobOptions
    headers: dict[str, str]
    keep: int | None  # for how long how it ends is kept
    key: str | None
    place: tuple[int, bool] | None = None  # due, and whether it is on the boot clock; none: where it is


@dataclass(slots=True)
class Entry:
    """A job that is pending or running."""

    id: str
    target: str
    job_due: int  # unix ns as first scheduled; never changes, but for the next occurrence of a repeat
    data: bytes
    options: JobOptions
    due: int  # of the coming execution, on the boot clock or the wall's
    on_boot: bool
    run: int = 1
    attempt: int = 1
    sequence: int = 0
    first_start: int | None = None  # boot ns: the job's age counts from it
    stage: Literal["waiting", "parked", "running", "over"] = "waiting"
    repeat: Repeat | None = None
    headers: dict[str, str] = field(default_factory=dict)
    keep: int | None = None  # for how long how it ends is kept, in ns
    key: str | None = None  # handlers run one after another, in order: any key is kept
    follow: Changed | None = None  # it was changed while it ran
    event: Event | None = None  # of the execution that runs, or ran last

    def is_held(self) -> bool:
        """Tell whether it does not start although it is due: a repeat that is paused."""
        return self.repeat is not None and self.repeat.is_held

    def has_started(self) -> bool:
        """Tell whether its occurrence runs, or is to be retried."""
        return self.stage == "running" or self.first_start is not None

    def waits_for_ever(self) -> bool:
        """Tell whether this is a repeat that waits for its next time, and that nothing ends."""
        is_waiting = self.stage == "waiting" and self.first_start is None
        return self.repeat is not None and is_waiting and self.repeat.terms.is_endless()


class Queue:
    """The pending and running jobs by id, and those that wait in their order."""

    def __init__(self, time: ManualTime) -> None:
        self.jobs: dict[str, Entry] = {}
        self._time = time
        self._sequence = 0
        self._pushes = itertools.count()  # one entry may be pushed twice in one place: no two items are equal
        self._wall_heap: _Heap = []
        self._boot_heap: _Heap = []

    def offset(self) -> int:
        """Return how far the wall clock is ahead of the boot clock."""
        return self._time.wall() - self._time.boot()

    def last_sequence(self) -> int:
        """Return the sequence that was given last."""
        return self._sequence

    def wall_due(self, entry: Entry) -> int:
        """Return the due of an entry as the wall time that it maps to."""
        return min(entry.due + self.offset(), LAST_NS) if entry.on_boot else entry.due

    def event(self, entry: Entry) -> Event:
        """Make the event of the coming execution."""
        keep = None if entry.keep is None else exactly(entry.keep)
        carried: Any = {"headers": entry.headers, "key": entry.key, "keep": keep}
        job = Job(entry.id, entry.target, entry.job_due, entry.data, entry.options, **carried)
        number, previous = (0, None) if entry.repeat is None else (entry.repeat.number, entry.repeat.previous)
        due = self.wall_due(entry)
        return Event(job, entry.run, entry.attempt, due, occurrence=number, previous=previous)

    def insert(self, entry: Entry) -> None:
        """Take in a job, at a place after all of the same due."""
        self.jobs[entry.id] = entry
        self.move(entry, entry.due, on_boot=entry.on_boot)

    def move(self, entry: Entry, due: int, *, on_boot: bool) -> None:
        """Give an entry a new due and a new place; its item of the old place is stale."""
        self._sequence += 1
        entry.due, entry.on_boot, entry.sequence = due, on_boot, self._sequence
        self.push(entry)

    def push(self, entry: Entry) -> None:
        """Let an entry wait in its place, a parked one in its old place."""
        entry.stage = "waiting"
        heap = self._boot_heap if entry.on_boot else self._wall_heap
        heapq.heappush(heap, (entry.due, entry.sequence, next(self._pushes), entry))

    def remove(self, entry: Entry) -> None:
        """Forget an entry, and free its id."""
        entry.stage = "over"
        del self.jobs[entry.id]

    def pending(self) -> list[Entry]:
        """List the entries that wait or are parked."""
        return [entry for entry in self.jobs.values() if entry.stage != "running"]

    def first(self) -> Entry | None:
        """Return the entry that is due first."""
        heap = self._first_heap()
        return heap[0][-1] if heap else None

    def _first_heap(self) -> _Heap:
        """Return the heap whose top is the first of both; an empty one if nothing waits."""
        heads = []
        for heap, offset in ((self._wall_heap, 0), (self._boot_heap, self.offset())):
            while heap and (heap[0][1] != heap[0][-1].sequence or heap[0][-1].stage != "waiting"):
                heapq.heappop(heap)
            if heap:
                heads.append((heap[0][0] + offset, heap[0][1], heap))
        return min(heads)[2] if heads else []
