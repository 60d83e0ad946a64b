"""Repeats: the calls of a scheduler that are written in Python, and what is declared for a life of the program."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from duewheel import _transactions
from duewheel._core import Scheduler as SchedulerCore
from duewheel._times import span_text
from duewheel.errors import StateError, StorageCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from typing import Unpack

    from typing_extensions import Buffer

    from duewheel._core import AwaitedCalls, DeadEvent, Event, Outcome, Repeat, Schedule, _RepeatKeywords, _RepeatTerms
    from duewheel.scheduler import _H, Handler


class Declared:
    """The repeats that a program declares, by id: taken in when its scheduler starts."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def add(self, id: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Declare one more."""
        self._waiting[id] = (arguments, keywords)

    def forget(self, id: str) -> None:
        """Declare one no longer."""
        self._waiting.pop(id, None)

    def begin(self, awaited: AwaitedCalls) -> Iterator[Any]:
        """Schedule all of them; what is made of each, and is waited for after the last."""
        waiting, self._waiting = self._waiting, {}
        for arguments, keywords in waiting.values():
            schedule, target, data = arguments
            yield awaited.repeat(schedule, target, data, True, **keywords)


class Kept(NamedTuple):
    """How a job has ended, and until when that is kept, in unix nanoseconds."""

    outcome: Outcome
    until: int

    def said_of(self, id: str) -> str:
        """Say it in a text."""
        outcome = self.outcome
        ended = {"succeeded": "has succeeded", "cancelled": "was cancelled"}.get(outcome.state)
        if ended is None:
            ended = f"is dead, {outcome.reason}: {_last_line(outcome.error or '')}; it died"
        kept = f"its outcome is kept, and its id taken, until {_moment(self.until)}"
        return f"{id!r} {ended} at {_moment(outcome.ended)}; {kept}"


def declared_name(fn: object) -> str:
    """Return the target of a handler that is declared without one."""
    name = getattr(fn, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"{fn!r} has no __name__ to be its target: say repeated(…, target=…)")
    return name


class Repeating(SchedulerCore):
    """The calls of `duewheel.Scheduler` about repeats."""

    _declared: Declared

    def repeat(
        self,
        schedule: Schedule | str | timedelta | float,
        target: str,
        data: Buffer = b"",
        **keywords: Unpack[_RepeatKeywords],
    ) -> str:
        """Schedule a job that comes again at the times of `schedule`; return its id.

        `schedule` is an `Every`, `Cron`, `Times`, `RRule` or a combination of them; a number of seconds or a
        `timedelta` stands for `Every`, a `str` for `Cron`, and only then `tz` may be given. Of its times those
        count that are after now, from `start` on and before `end`; there are `count` occurrences in all.
        `spread` adds a fixed part of so many seconds to each due. `catch_up` says what becomes of times that
        came while it could not start: `"one"`, the last of them runs; `"all"`, each does, and `window` must be
        given; `"none"`. What would start more than `window` seconds after its due is passed over. With
        `pause_on_dead` it pauses when an occurrence ends as dead.

        The id of a repeat that is there makes that one what this call says. Where nothing differs nothing is
        written; an edit never makes anything due at once, and counts from the next start on.

        **Time**: `start` and `end` are as `when` of `at`; durations are seconds or a `timedelta`.
        **Order**: an occurrence takes its place when the one before has ended: a repeat never overlaps itself.
        **Durability**: in a file, definition and first due are on disk when this returns, as `LocalStorage` says.
        **Raises** `ValueError` for a schedule that has no time left, and for terms that contradict each other;
        `DuplicateJobError` for the id of a job that comes once; and as `at`.

        >>> from duewheel import Scheduler
        >>> scheduler = Scheduler()
        >>> scheduler.repeat(3600, "sweep", id="sweep")
        'sweep'
        >>> scheduler.get_repeat("sweep").occurrence
        1
        >>> scheduler.cancel("sweep"), scheduler.close()
        (True, None)
        """
        connection = keywords.pop("connection", None)
        if connection is not None:
            statement = _transactions.repeating(self, schedule, target, data, dict(keywords))
            return str(_transactions.run_here(connection, statement))
        return self._repeat(schedule, target, data, False, **keywords)

    def repeats(self) -> Iterator[Repeat]:
        """Iterate over the repeats, in the order of their dues.

        **Raises** `ClosedError` after `close`.
        """
        found = map(self.get_repeat, self._repeat_ids())
        return (repeat for repeat in found if repeat is not None)

    def explain(self, id: str) -> str:
        """Say why the job or repeat of this id does not run now, or that it does: a text for a person.

        **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
        """
        stage = self._stage_of(id)
        now_ns, held = self._wall_ns(), self._held_by(id)
        try:
            event, repeat = self.get(id), self.get_repeat(id)
            if event is not None and stage in {None, "parked"} and self._is_paused(event.target):
                return f"{id!r} waits: its target {event.target!r} is paused, until resume(target={event.target!r})"
        except StorageCorruptError as error:
            return f"{id!r} is stored and cannot be read, so it never runs: {error}. cancel() removes it"
        if event is not None and stage is None and event.due <= now_ns:
            held = self._left_by(event.target)
        if held == ("handler", None):
            stage, held = "parked", None
        if event is None and repeat is None and stage is None:
            kept = self._kept(id)
            return kept.said_of(id) if kept else _over(id, next(self._deaths(id, limit=1), None))
        return _explanation(id, (stage, self._started, now_ns, held), event, repeat)

    def _kept(self, id: str) -> Kept | None:
        """Return how a job has ended, and until when that is kept, if it is."""
        try:
            outcome = self.outcome(id)
        except (LookupError, TimeoutError, StateError):  # such as in its own handler
            return None
        return None if outcome._until is None else Kept(outcome, outcome._until)

    def _declaring(
        self, handle: Callable[[str, Handler], object], declared: tuple[Any, str | None, Any], keywords: _RepeatTerms
    ) -> Callable[[_H], _H]:
        """Return the decorator of `repeated`, which registers by `handle`; its arguments are checked now."""
        schedule, target, data = declared
        if "id" in keywords:
            raise TypeError("repeated() takes no id: its id is the target; say target=…")
        self._check_repeat(schedule, data, **keywords)

        def register(fn: _H) -> _H:
            name = declared_name(fn) if target is None else target
            handle(name, fn)
            self._declared.add(name, (schedule, name, data), {**keywords, "id": name})
            if self._started:
                self._take_in_declared()
            return fn

        return register

    def _take_in_declared(self) -> None:
        """Schedule what is declared, all in one batch of the disk, and report what is not any more."""
        last, awaited = 0, self._awaited()
        for made in self._declared.begin(awaited):
            while not isinstance(made, tuple):
                made = made.wait()
            last = max(last, made[1])
        if last:
            self._wait_settled(last)
        self._report_undeclared()


def _held_by(what: str, figure: int | None, target: str) -> str:
    """Say why a target at a limit starts nothing; `figure`: the limit, or the nanoseconds that its rate leaves."""
    if what == "key":
        return f"another of {target!r} with its key runs, or is about to (key)"
    if what == "concurrency":
        return f"{figure} of {target!r} run, and no more may (concurrency)"
    if figure is None:
        return f"another of {target!r} is to start before it (rate)"
    return f"{target!r} may start again in {span_text(max(figure, 0))} (rate)"


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds")


def _last_line(error: str) -> str:
    return error.strip().rpartition("\n")[2]


def _explanation(
    id: str,
    state: tuple[str | None, bool, int, tuple[str, int | None] | None],
    event: Event | None,
    repeat: Repeat | None,
) -> str:
    """Say in a text why what is pending or runs does not start; `state`: where, started, time, what holds it."""
    stage, started, now_ns, held = state
    if stage == "running" or (repeat is not None and repeat.running):
        return f"{id!r} runs now"
    if repeat is not None and repeat._held is not None:
        return f"{id!r} is held back: {repeat._held}"
    if event is not None:
        due = _moment(event.due)
        left_ns = event.due - now_ns
        attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
        if stage == "parked":
            return f"{id!r} is parked: it was due at {due}, and {event.target!r} has no handler"
        if not started:
            return f"{id!r} waits for the scheduler to be started; it is due at {due}{attempt}"
        if held is not None:
            return f"{id!r} is due since {due}{attempt}, and held: {_held_by(*held, event.target)}"
        if stage == "handed" or left_ns <= 0:
            return f"{id!r} is due since {due}{attempt}, and waits for a worker"
        return f"{id!r} is due in {span_text(left_ns)}, at {due}{attempt}"
    return _over(id, None)


def _over(id: str, dead: DeadEvent | None) -> str:
    """Say that no job of this id is pending or runs; `dead`: its newest death."""
    if dead is None:
        return f"{id!r} is unknown: no job of this id is pending, running or dead"
    return f"{id!r} is dead, {dead.reason}: {_last_line(dead.error)}"
