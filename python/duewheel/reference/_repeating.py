"""The calls about repeats, and how an occurrence is taken up and comes again."""

import logging
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any, TypeVar

from duewheel import _times
from duewheel._checks import check_keywords, check_name, data_bytes
from duewheel._checks import headers as headers_of
from duewheel._core import DeadEvent, JobOptions, ManualTime, Outcome
from duewheel._pauses import one_of
from duewheel._times import LAST_NS, SECOND
from duewheel.options import UNSET
from duewheel.reference._given import CONTROLS, check_options, taken
from duewheel.reference._queue import Entry, Queue
from duewheel.reference._repeats import CATCH_UPS, Repeat, Terms, take_up, upcoming
from duewheel.reference._rules import resolve, spread_ns
from duewheel.reference._schedules import schedule_of
from duewheel.scheduler import Handler

_log = logging.getLogger("duewheel")

_MOST = 2**32 - 1  # where counters stay
_CLOCK_WAS_WRONG = 3 * 3_600 * SECOND

When = float | datetime
Delay = float | timedelta
Fn = TypeVar("Fn", bound=Handler)


def _check_terms(count: object, catch_up: object, window: object, pause_on_dead: object) -> None:
    if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
        raise TypeError(f"count must be an int or None, not {count!r}")
    if isinstance(count, int) and count < 1:
        raise ValueError(f"count must be 1 or more, not {count!r}")
    if not isinstance(catch_up, str):
        raise TypeError(f"catch_up must be one of {CATCH_UPS}, not {catch_up!r}")
    if not isinstance(pause_on_dead, bool):
        raise TypeError(f"pause_on_dead must be a bool, not {pause_on_dead!r}")
    if catch_up not in CATCH_UPS:
        raise ValueError(f"catch_up must be one of {CATCH_UPS}, not {catch_up!r}")
    if catch_up == "all" and window is None:
        raise ValueError('catch_up="all" needs a window: how late may an occurrence start?')


class Repeating:
    """What ``ReferenceScheduler`` has for repeats."""

    _base: JobOptions
    _clock: ManualTime
    _counts: Counter[str]
    _dead: deque[tuple[DeadEvent, int | None]]
    _handlers: dict[str, tuple[object, Handler]]
    _queue: Queue
    _seed: int
    _started: bool
    _closed: bool
    _check_open: Callable[[], None]
    _come_changed: Callable[[Entry, int | None], bool]
    _outcome_of: Callable[[str], Outcome | None]
    _paused: set[str]
    _set_paused: Callable[[str, bool], bool]
    handle: Callable[..., Callable[[], None]]

    def _begin_repeats(self) -> None:
        self._declared: dict[str, Terms] = {}  # to be taken in by start()
        self._handled_since: dict[str, int] = {}  # boot ns: when a target got its handler
        self._could_not_start: int | None = None  # boot ns: what was due before could not start
        self._offset_seen = self._queue.offset()
        self._review_from: tuple[int, int] | None = None  # sequence and wall ns: what waited before is due anew

    # Calls

    def repeat(self, schedule: Any, target: str, data: Any = b"", *, id: str | None = None, **terms: Any) -> str:
        """Schedule a job that comes again, or make the one of this id what is said; return its id."""
        self._check_open()
        check_keywords("Scheduler.repeat", terms)
        if id is not None:
            check_name(id, "id")
        return self._take_in(id, self._terms(schedule, target, data, **terms))

    def repeated(self, schedule: Any, *, target: str | None = None, **terms: Any) -> Callable[[Fn], Fn]:
        """Register the decorated function, and declare a repeat of its target with that as its id.

        The keywords are those of ``repeat`` and of ``handle``.
        """
        self._check_open()
        controls = {name: terms.pop(name) for name in CONTROLS if name in terms}

        def register(fn: Fn) -> Fn:
            name = fn.__name__ if target is None else target
            made = self._terms(schedule, name, declared=True, **terms)
            self.handle(name, fn, **controls)
            self._declared[name] = made
            if self._started:
                self._take_in_declared()
            return fn

        return register

    def _take_in_declared(self) -> None:
        # The reference keeps no file: there is no earlier life that has declared what this one does not.
        for name, terms in self._declared.items():
            self._take_in(name, terms)
        self._declared = {}

    def _terms(
        self,
        schedule: Any,
        target: str,
        data: Any = b"",
        *,
        tz: str | tzinfo | None = None,
        start: When | None = None,
        end: When | None = None,
        count: int | None = None,
        spread: Delay = 0,
        catch_up: str = "one",
        window: Delay | None = None,
        pause_on_dead: bool = False,
        declared: bool = False,
        options: JobOptions | None = None,
        headers: Any = None,
        key: str | None = None,
        **keywords: Any,
    ) -> Terms:
        check_name(target, "target")
        check_options(options)
        if key is not None:
            check_name(key, "key")
        _check_terms(count, catch_up, window, pause_on_dead)
        start_ns = None if start is None else _times.wall_ns(start, "start")
        end_ns = None if end is None else _times.wall_ns(end, "end")
        if start_ns is not None and end_ns is not None and end_ns <= start_ns:
            raise ValueError(f"end must be after start: {end!r} is not after {start!r}")
        given = {name: value for name, value in keywords.items() if value is not UNSET}
        return Terms(
            schedule=schedule_of(schedule, tz),
            target=target,
            data=data_bytes(data),
            options=resolve((options or JobOptions()).replace(**given), self._base),
            start=start_ns,
            end=end_ns,
            count=count,
            spread=_times.delay_ns(spread, "spread"),
            catch_up=catch_up,
            window=None if window is None else _times.delay_ns(window, "window"),
            pause_on_dead=pause_on_dead,
            declared=declared,
            headers=headers_of(headers),
            key=key,
        )

    def _take_in(self, id: str | None, terms: Terms) -> str:
        entry = None if id is None else self._queue.jobs.get(id)
        if entry is not None:
            return self._edit(entry, terms)
        if id is not None and self._outcome_of(id) is not None:
            raise taken(id)
        name = str(uuid.uuid4()) if id is None else id
        repeat = self._new_repeat(name, terms)
        if repeat is None:
            raise ValueError(f"the schedule has no time after now and within its bounds: {terms.schedule}")
        entry = Entry(name, terms.target, 0, terms.data, terms.options, 0, repeat.on_boot, repeat=repeat)
        entry.headers, entry.key = terms.headers, terms.key
        self._queue.insert(entry)
        self._arm(entry, repeat)
        self._counts["scheduled"] += 1
        return name

    def _new_repeat(self, id: str, terms: Terms) -> Repeat | None:
        """Make a repeat that counts from now: times before the call, and at its moment, are none of its own."""
        on_boot = terms.interval is not None
        now = self._clock.boot() if on_boot else self._clock.wall()
        repeat = Repeat(terms, on_boot, now, spread_ns(self._seed, id, terms.spread), now, now)
        first = repeat.grid(self._queue.offset()).next(now)
        if first is None:
            return None
        repeat.time = first
        return repeat

    def _edit(self, entry: Entry, terms: Terms) -> str:
        old = entry.repeat
        if old is None or old.ends:
            raise taken(entry.id)
        if terms == (old.edit or old).terms:
            return entry.id
        new, is_anew = self._edited(entry.id, old, terms)
        if is_anew and entry.has_started():
            new.count_from(new.last, new.time)  # the occurrence that has started comes again as it is
        if entry.stage == "running":
            old.edit = new  # target, data and options count from the next start on
        elif entry.first_start is not None:
            # A retry waits for its backoff; it starts with what is new.
            old.edit = new
            self._apply_edit(entry)
            if entry.stage == "parked":
                self._queue.push(entry)  # its new target may have a handler
        else:
            entry.repeat = new
            self._apply_terms(entry, terms)
            self._arm(entry, new)
        return entry.id

    def _edited(self, id: str, old: Repeat, terms: Terms) -> tuple[Repeat, bool]:
        """Return what a repeat becomes, and whether it counts from now: number, previous and pause are kept."""
        ahead = self._queue.offset() if old.on_boot else 0
        is_anew = terms.schedule != old.terms.schedule or not terms.admit(old.time + ahead)
        new = self._new_repeat(id, terms) if is_anew else replace(old, terms=terms, edit=None)
        if new is not None and new.on_boot and is_anew:
            # The grid of an interval goes on from its last time, which may be of a later due that was moved.
            last = old.last + ahead - self._queue.offset()
            assert terms.interval is not None
            new.anchor = min(last, new.last - (new.last - last) % terms.interval.period)
            following = new.grid(self._queue.offset()).next(new.last)
            if following is None:
                new = None
            else:
                new.time = following
        if new is None or (terms.count is not None and old.number > terms.count):
            raise ValueError(f"the schedule has no time after now and within its bounds: {terms.schedule}")
        is_same_spread = terms.spread == old.terms.spread
        new.offset = old.offset if is_same_spread else spread_ns(self._seed, id, terms.spread)
        new.has_come_as(old)
        return new, is_anew

    def _apply_edit(self, entry: Entry) -> None:
        """Make a repeat that has run what was said meanwhile; its occurrence has the time that it had."""
        assert entry.repeat is not None
        if entry.repeat.edit is not None:
            entry.repeat = entry.repeat.coming()
            self._apply_terms(entry, entry.repeat.terms)

    def _apply_terms(self, entry: Entry, terms: Terms) -> None:
        entry.target, entry.data, entry.options = terms.target, terms.data, terms.options
        entry.headers, entry.key = terms.headers, terms.key

    def _arm(self, entry: Entry, repeat: Repeat) -> None:
        """Let the coming occurrence wait for its due, at a new place."""
        if repeat.triggered is not None:
            entry.job_due = repeat.triggered
            self._queue.move(entry, repeat.triggered, on_boot=False)
            return
        entry.job_due = min(repeat.time + (self._queue.offset() if repeat.on_boot else 0), LAST_NS)
        self._queue.move(entry, min(repeat.time + repeat.offset, LAST_NS), on_boot=repeat.on_boot)

    def pause(self, id: str | None = None, *, target: str | None = None) -> bool:
        """Hold a repeat back until it is resumed; ``False``: there is none. Or hold back all of a target."""
        one_of("pause", id, target)
        if id is None:
            return self._set_paused(target, True)  # type: ignore[arg-type]  # one of them is given
        entry, repeat = self._repeat(id)
        if entry is None or repeat is None:
            return False
        repeat.paused = True
        return True

    def resume(self, id: str | None = None, *, target: str | None = None) -> bool:
        """Let a paused repeat go on with the first time after now, whatever its ``catch_up``; ``False``: none.

        Or let what is parked of a target go on in its old places.
        """
        one_of("resume", id, target)
        if id is None:
            return self._set_paused(target, False)  # type: ignore[arg-type]  # one of them is given
        entry, repeat = self._repeat(id)
        if entry is None or repeat is None:
            return False
        if not repeat.paused:
            return True
        repeat.paused = False
        coming = repeat.coming()
        # After a step back nothing runs twice.
        by_now = max(self._now_of(coming) - coming.offset, coming.last)
        following = coming.grid(self._queue.offset()).next(by_now)
        time = LAST_NS if following is None else following
        if entry.has_started():
            (repeat.edit or repeat).count_from(by_now, time)
            if entry.stage == "parked":
                self._queue.push(entry)
        elif following is None and repeat.triggered is None:
            self._end_unstarted(entry)
        else:
            repeat.time, repeat.last = time, by_now
            self._arm(entry, repeat)
        return True

    def trigger(self, id: str) -> bool:
        """Have a repeat run once more as soon as possible; several before its start are one; ``False``: none."""
        entry, repeat = self._repeat(id)
        if entry is None or repeat is None:
            return False
        if entry.has_started():
            repeat.wanted = self._clock.wall() if repeat.wanted is None else repeat.wanted
        elif repeat.triggered is None:
            repeat.triggered = self._clock.wall()
            self._arm(entry, repeat)
        return True

    def repeats(self) -> Iterator[SimpleNamespace]:
        """Iterate over the repeats, in the order of their dues."""
        self._check_open()
        entries = [entry for entry in self._queue.jobs.values() if entry.repeat is not None and not entry.repeat.ends]
        entries.sort(key=lambda entry: (self._queue.wall_due(entry), entry.sequence))
        return iter([found for entry in entries if (found := self.get_repeat(entry.id)) is not None])

    def get_repeat(self, id: str) -> SimpleNamespace | None:
        """Return a repeat as it stands; ``None``: there is none."""
        entry, repeat = self._repeat(id)
        if entry is None or repeat is None:
            return None
        coming, offset = repeat.coming(), self._queue.offset()
        terms = coming.terms
        due = self._queue.wall_due(entry)
        return SimpleNamespace(
            **{name: getattr(terms, name) for name in ("target", "schedule", "data", "options", "declared")},
            **{name: getattr(terms, name) for name in ("start", "end", "count", "catch_up", "pause_on_dead")},
            id=id,
            next=due,
            previous=repeat.previous,
            occurrence=repeat.number,
            missed=repeat.missed,
            paused=repeat.paused,
            running=entry.stage == "running",
            spread=terms.spread / SECOND,
            window=None if terms.window is None else terms.window / SECOND,
            upcoming=lambda n=5: upcoming(coming, due, offset, n),
        )

    def explain(self, id: str) -> str:
        """Say why a job does not run now, or that it does: a text for a person."""
        self._check_open()
        check_name(id, "id")
        entry = self._queue.jobs.get(id)
        if entry is None:
            found = next((dead for dead, _ in reversed(self._dead) if dead.event.job_id == id), None)
            kept = self._outcome_of(id)
            if kept is not None and kept.state != "dead":
                return f"{id!r} has ended: {kept.state}"
            return f"{id!r} is unknown" if found is None else f"{id!r} is dead: {found.reason}"
        if entry.stage == "running":
            return f"{id!r} runs now"
        if entry.is_held():
            return f"{id!r} is paused: resume it"
        if entry.target in self._paused and entry.stage == "parked":
            return f"{id!r} waits: its target {entry.target!r} is paused, until resume(target={entry.target!r})"
        left = (self._queue.wall_due(entry) - self._clock.wall()) / SECOND
        if entry.stage == "parked":
            return f"{id!r} is parked: {entry.target!r} has no handler"
        return f"{id!r} is due in {left} s" + ("" if self._started else ", and the scheduler is not started")

    def _repeat(self, id: str) -> tuple[Entry | None, Repeat | None]:
        """Find a repeat that goes on."""
        self._check_open()
        check_name(id, "id")
        entry = self._queue.jobs.get(id)
        if entry is None or entry.repeat is None or entry.repeat.ends:
            return None, None
        return entry, entry.repeat

    def _now_of(self, repeat: Repeat) -> int:
        return self._clock.boot() if repeat.on_boot else self._clock.wall()

    # Running

    def _take_up(self, entry: Entry, repeat: Repeat) -> bool:
        """Find the time of an occurrence that is due; whether it runs, or was passed over to a later one."""
        if entry.first_start is not None or repeat.triggered is not None:
            return True  # a retry is of its own time, and what was asked for is never missed
        now, grid = self._now_of(repeat), repeat.grid(self._queue.offset())
        ahead = self._queue.offset() if repeat.on_boot else 0
        due = self._queue.wall_due(entry) - ahead  # another than of its time, if it was rescheduled
        taken = take_up(repeat, grid, due, now, self._is_missed(entry, repeat, due + ahead))
        repeat.missed += taken.missed
        self._counts["missed"] += taken.missed
        if taken.missed:
            _log.info("%r: %d times were passed over or merged", entry.id, taken.missed)
        if taken.time is None:
            self._end_unstarted(entry)
            return False
        is_another = taken.time != repeat.time
        repeat.time = taken.time
        if not taken.runs:
            self._arm(entry, repeat)
            return False
        repeat.last = max(repeat.last, taken.time)
        if is_another:
            entry.job_due = taken.time + ahead
            entry.due, entry.on_boot = taken.time + repeat.offset, repeat.on_boot
        return True

    def _is_missed(self, entry: Entry, repeat: Repeat, wall_due: int) -> bool:
        """Tell whether a due came while its occurrence could not start."""
        could_not = [self._could_not_start, self._handled_since.get(entry.target), repeat.since]
        boot_due = wall_due - self._queue.offset()
        return any(boot_due < moment for moment in could_not if moment is not None)

    def _end_unstarted(self, entry: Entry) -> None:
        """No time is left of a repeat that waits: it counts as cancelled, so that the sum of stats holds."""
        self._counts["cancelled"] += 1
        self._queue.remove(entry)

    def _come_again(self, entry: Entry, previous: int | None) -> None:
        """Let the next occurrence wait, or forget a repeat that is over; ``previous``: of one that succeeded."""
        if entry.repeat is None:
            if not self._come_changed(entry, None):
                self._queue.remove(entry)
            return
        if previous is not None:
            entry.repeat.previous = previous
        self._apply_edit(entry)
        repeat = entry.repeat
        repeat.since = self._clock.boot()
        grid, period = repeat.grid(self._queue.offset()), repeat.terms.period_from_end
        following: int | None
        if period is not None:
            following = grid.next(self._now_of(repeat))
        elif repeat.triggered is not None:
            # What was coming before one more was asked for, if anything was.
            following = None if repeat.time == LAST_NS else repeat.time
        else:
            following = grid.next(max(repeat.time, repeat.last))
        repeat.triggered, repeat.wanted = repeat.wanted, None
        is_used_up = repeat.terms.count is not None and repeat.number >= repeat.terms.count
        is_over = repeat.ends or is_used_up or (following is None and repeat.triggered is None)
        if is_over or self._closed:
            self._queue.remove(entry)
            return
        repeat.number += 1
        repeat.time = LAST_NS if following is None else following
        entry.run, entry.attempt, entry.first_start = min(entry.run + 1, _MOST), 1, None
        self._counts["scheduled"] += 1
        self._arm(entry, repeat)

    def _note_clock(self) -> None:
        """See whether the wall clock was stepped since this was asked before."""
        step = self._queue.offset() - self._offset_seen
        self._offset_seen += step
        if step > 0:
            self._could_not_start = self._clock.boot()  # what it stepped over was missed
        if step < -_CLOCK_WAS_WRONG:
            self._review_from = self._queue.last_sequence(), self._clock.wall()

    def _review(self) -> None:
        """Find the dues of repeats that had a place when the wall clock went back by hours anew: it was wrong."""
        if self._review_from is None:
            return
        (sequence, now), self._review_from = self._review_from, None
        queue = self._queue
        for entry in sorted(queue.jobs.values(), key=lambda entry: (queue.wall_due(entry), entry.sequence)):
            if entry.repeat is None or entry.repeat.coming().on_boot or entry.sequence > sequence:
                continue
            repeat = entry.repeat
            coming = repeat.coming()
            following = coming.grid(0).next(now)
            if following is None or following == coming.time:
                continue
            if entry.has_started() or repeat.triggered is not None:
                (repeat.edit or repeat).count_from(now, following)
            else:
                repeat.time, repeat.last = following, now
                self._arm(entry, repeat)
