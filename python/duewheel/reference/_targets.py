"""Decide which of the jobs that are due may start, and when: the controls of targets."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from duewheel._checks import check_name
from duewheel._core import Event, ManualTime
from duewheel.reference._queue import Entry, Queue
from duewheel.scheduler import Handler
from duewheel.targets import NONE, Controls, Limit, Rate, check_dead, checked

_log = logging.getLogger("duewheel")


@dataclass(frozen=True, slots=True)
class Start:
    """What starts next: when (boot ns), its due (wall ns), and which job it is, if it may start now."""

    at: int
    due: int
    entry: Entry | None


class Controlling:
    """What ``ReferenceScheduler`` has for targets that are controlled."""

    _clock: ManualTime
    _closed: bool
    _handled_since: dict[str, int]
    _check_open: Callable[[], None]
    in_: Callable[..., str]
    _queue: Queue
    _handlers: dict[str, tuple[object, Handler]]

    def _begin_controls(self) -> None:
        self._controls: dict[str, Controls] = {}  # of the targets that have a handler, and controls
        self._arrivals: dict[str, int] = {}  # boot ns: the theoretical arrival of each target's next start
        self._warned: set[str] = set()
        self._paused: set[str] = set()  # targets, with a handler or without

    def _control(
        self,
        target: str,
        concurrency: int | Limit | None = None,
        rate: Rate | None = None,
        timeout: float | timedelta | None = None,
        priority: float | timedelta = 0,
        dead: str | None = None,
    ) -> Callable[[], None]:
        """Control a target; return what ends it. Handlers run one after another: any ``concurrency`` is kept."""
        controls = checked(concurrency, rate, timeout, priority, dead)  # no time passes while a handler runs
        check_dead(target, dead)
        if controls != Controls():
            self._controls[target] = controls

        def end() -> None:
            self._controls.pop(target, None)

        return end

    def _set_paused(self, target: str, paused: bool) -> bool:
        """Hold back all jobs of a target, or let them go on; whether that is news."""
        self._check_open()
        check_name(target, "target")
        if paused == (target in self._paused):
            return False
        (self._paused.add if paused else self._paused.discard)(target)
        if not paused and target in self._handlers:
            self._unpark(target)
        return True

    def _unpark(self, target: str) -> None:
        """Let the parked jobs of a target that is handled from now on go back to their old places."""
        self._handled_since[target] = self._clock.boot()
        self._warned.discard(target)
        for entry in self._queue.jobs.values():
            if entry.target == target and entry.stage == "parked" and not entry.is_held():
                self._queue.push(entry)

    def _leave_heir(self, event: Event) -> None:
        """Schedule what the death of a job leaves behind."""
        controls = self._controls.get(event.target)
        if controls is not None and controls.dead is not None and not self._closed:
            self.in_(0, controls.dead, event.data, headers=event.job.headers, key=event.job.key)

    def _decides(self) -> bool:
        """Tell whether anything but dues and sequences decides what starts."""
        running = [controls for target, controls in self._controls.items() if target not in self._paused]
        return any(controls.for_engine() != NONE.for_engine() for controls in running)

    def _next_start(self) -> Start | None:
        """Find what starts next of all that waits."""
        now = self._clock.boot()
        if not self._decides():
            entry = self._queue.first()
            if entry is None:
                return None
            due = self._queue.wall_due(entry)
            at = max(due - self._queue.offset(), now)
            return Start(at, due, entry if at == now else None)
        self._park_due()
        waiting = [entry for entry in self._queue.jobs.values() if entry.stage == "waiting"]
        if not waiting:
            return None
        at = min(self._may_start(entry) for entry in waiting)
        first = [entry for entry in waiting if self._may_start(entry) == at]
        if at > now:
            return Start(at, min(self._queue.wall_due(entry) for entry in first), None)
        chosen = min(first, key=self._rank)
        return Start(now, self._queue.wall_due(chosen), chosen)

    def _may_start(self, entry: Entry) -> int:
        """Return when a job may start, on the boot clock; its rate is looked at once it is due."""
        now, due = self._clock.boot(), self._queue.wall_due(entry) - self._queue.offset()
        controls = self._controls.get(entry.target)
        if due > now or controls is None or controls.rate is None or entry.target not in self._arrivals:
            return max(due, now)
        return max(now, self._arrivals[entry.target] - controls.rate._tolerance_ns)

    def _rank(self, entry: Entry) -> tuple[int, int]:
        """Return the place of a job among those that may start: its target may have a head start."""
        controls = self._controls.get(entry.target, Controls())
        return self._queue.wall_due(entry) - controls.priority, entry.sequence

    def _note_start(self, target: str) -> None:
        """Count a start of a target with a rate: the next one is expected an interval after it."""
        controls, now = self._controls.get(target), self._clock.boot()
        if controls is not None and controls.rate is not None:
            self._arrivals[target] = max(self._arrivals.get(target, now), now) + controls.rate._interval_ns

    def _park_due(self) -> None:
        """Park what is due and has no handler, and what is paused."""
        for entry in self._queue.jobs.values():
            if entry.stage == "waiting" and self._queue.wall_due(entry) <= self._clock.wall():
                self._park_if_unhandled(entry)

    def _park_if_unhandled(self, entry: Entry) -> bool:
        """Park a job that is due and has no handler, or is held back; whether it was."""
        is_handled, is_paused = entry.target in self._handlers, entry.target in self._paused
        if is_handled and not is_paused and not entry.is_held():
            return False
        entry.stage = "parked"
        if not is_handled and not is_paused and not entry.is_held() and entry.target not in self._warned:
            self._warned.add(entry.target)
            _log.warning("no handler for %r: its due jobs are parked until there is one", entry.target)
        return True
