"""Say when a repeat comes: the schedules of `duewheel` in plain Python.

They are made as the public ones are. Their times are unix nanoseconds.
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

from duewheel import _times
from duewheel._times import LAST_NS, SECOND
from duewheel.reference import _zones
from duewheel.reference._cron import Expression
from duewheel.reference._recurrence import LocalTimes
from duewheel.reference._zones import DAY, day_number

_MOST_STEPS = 100_000


class Schedule:
    """Some times, each of them once, in order."""

    floats = False
    """Whether it counts from when it is scheduled, wholly or in part."""

    def next(self, after: int) -> int | None:
        """Return the first time after one; ``None``: there is none until 2262."""
        raise NotImplementedError

    def next_until(self, after: int, until: int) -> int | None:
        """Return the first time after one, if it is not after another, up to which alone it is looked for."""
        found = self.next(after)
        return None if found is None or found > until else found

    def ends(self) -> bool:
        """Tell whether there is a last time."""
        return False

    def anchored(self, _anchor: int) -> "Schedule":
        """Return the same with an anchor for what has none."""
        return self

    def has(self, time: int) -> bool:
        """Tell whether this is one of its times."""
        return self.next(time - 1) == time

    def covers(self, time: int) -> bool:
        """Tell whether a time lies in it, where it is the right operand of ``&`` or ``-``."""
        return self.has(time)

    def first(self, time: int, within: bool, _until: int) -> int | None:
        """Return the first moment from ``time`` on that lies in it, or that does not; or one after ``until``."""
        if self.covers(time) == within:
            return time
        return self.next(time) if within else time + 1

    def last(self, after: int, until: int) -> int | None:
        """Return the last time ``t`` with ``after < t <= until``."""
        # Back from the end, twice as far each time, until there is one; then it is the last of a half, and so on.
        width = 1
        while (found := self.next_until(max(after, until - width), until)) is None:
            if until - width <= after:
                return None
            width *= 2
        while (later := self.next_until(found, until)) is not None:
            middle = (later + until) // 2
            in_half = self.next_until(middle, until)
            if in_half is None:
                found, until = later, max(middle, later)
            else:
                found = in_half
        return found

    def between(self, start: int, end: int) -> Iterator[int]:
        """Iterate over the times ``start <= t < end``; what counts from ``start`` has its first one period later."""
        schedule = self.anchored(start)
        time = schedule.next_until(start - 1, end - 1)
        while time is not None:
            yield time
            time = schedule.next_until(time, end - 1)

    def __or__(self, other: "Schedule") -> "Schedule":
        return Union(self, other)

    def __and__(self, other: "Schedule") -> "Schedule":
        return Filtered(self, other, within=True)

    def __sub__(self, other: "Schedule") -> "Schedule":
        return Filtered(self, other, within=False)


@dataclass(frozen=True, init=False)
class Every(Schedule):
    """A grid, ``anchor + k·period`` for all whole ``k``; without an anchor that of when it is scheduled."""

    period: int
    anchor: int | None
    from_end: bool
    is_begun: bool
    """Whether its times are those after the anchor alone: that is where it was scheduled."""

    def __init__(self, period: Any, *, anchor: Any = None, from_end: bool = False) -> None:
        # To the nearest nanosecond: a grid has no "early" that a ceiling would be for.
        exact = period if isinstance(period, float) else _times.span_ns(period, "period") / Fraction(SECOND)
        try:
            rounded = round(Fraction(exact) * SECOND)
        except (OverflowError, ValueError):
            raise ValueError(f"period must be finite, not {period!r}") from None
        if rounded <= 0:
            raise ValueError(f"period must be 1 ns or more, not {period!r}")
        if from_end and anchor is not None:
            raise ValueError("from_end counts from the end of each occurrence, so that no anchor fits")
        self._set(rounded, None if anchor is None else _times.wall_ns(anchor, "anchor"), from_end, False)

    def _set(self, period: int, anchor: int | None, from_end: bool, is_begun: bool) -> None:
        named = {"period": period, "anchor": anchor, "from_end": from_end, "is_begun": is_begun}
        for name, value in named.items():
            object.__setattr__(self, name, value)

    @property
    def floats(self) -> bool:  # type: ignore[override]
        """Whether it has no anchor."""
        return self.anchor is None

    def anchored(self, anchor: int) -> "Every":
        """Return the same grid with an anchor, after which its times are."""
        if self.anchor is not None:
            return self
        made = object.__new__(Every)
        made._set(self.period, anchor, False, True)
        return made

    def next(self, after: int) -> int | None:
        """Return the first time after one; without an anchor a period later."""
        anchor = after if self.anchor is None else self.anchor
        after = max(after, anchor) if self.is_begun else after
        time = after + self.period - (after - anchor) % self.period
        return time if time <= LAST_NS else None

    def has(self, time: int) -> bool:
        """Tell whether this is one of its times."""
        if self.anchor is None:
            raise ValueError("Every without an anchor has no times before it is scheduled: give it an anchor")
        return super().has(time)

    def last(self, after: int, until: int) -> int | None:
        """Return the last time ``t`` with ``after < t <= until``."""
        anchor = after if self.anchor is None else self.anchor
        after = max(after, anchor) if self.is_begun else after
        time = until - (until - anchor) % self.period
        return time if time > after else None


@dataclass(frozen=True, init=False)
class Cron(Schedule):
    """What a cron expression matches on the clock of a zone.

    *Fixed* expressions, in which none of second, minute and hour begins with ``*``, come once: what the clock skips
    at the end of the gap, what it shows twice the first time. Others come whenever it shows them.
    """

    text: str
    zone: tzinfo
    _expression: Expression = field(compare=False, repr=False)

    def __init__(self, text: str, tz: str | tzinfo = "UTC") -> None:
        if not isinstance(text, str):
            raise TypeError(f"a cron expression must be a str, not {text!r}")
        object.__setattr__(self, "text", " ".join(text.lower().split()))
        object.__setattr__(self, "zone", _zones.zone_of(tz))
        object.__setattr__(self, "_expression", Expression(text))

    def next(self, after: int) -> int | None:
        """Return the first time after one."""
        expression, zone = self._expression, self.zone
        for start, end in _zones.pieces(zone, after // SECOND + 1):
            ahead = _zones.offset(zone, start)
            begin, stop = start + ahead, end + ahead
            if expression.is_fixed:
                # The clock jumped over what lies between: that comes now.
                skipped_from = start + _zones.offset(zone, start - 1)
                if skipped_from < begin and expression.first(skipped_from, begin) is not None:
                    return start * SECOND
                # What it has shown before has been.
                begin = max(begin, _zones.shown_before(zone, start))
            found = expression.first(begin, stop)
            if found is not None:
                time = (found - ahead) * SECOND
                return time if time <= LAST_NS else None
        return None

    @property
    def _lasts(self) -> int:
        return SECOND if self._expression.has_seconds else 60 * SECOND

    def _begun(self, time: int) -> int | None:
        """Return the time whose minute, or second, lasts at a moment."""
        begun = self.next(time - self._lasts)
        return begun if begun is not None and begun <= time else None

    def covers(self, time: int) -> bool:
        """Tell whether a moment is within the minute that begins at one of its times; with six fields: the second."""
        return self._begun(time) is not None

    def first(self, time: int, within: bool, until: int) -> int | None:
        """Return the first moment from ``time`` on that lies in it, or that does not."""
        if within:
            return super().first(time, within, until)
        for _ in range(_MOST_STEPS):
            begun = self._begun(time)
            if begun is None or time > until:
                return time
            time = begun + self._lasts
        raise ValueError(f"no moment was found that lies outside of {self}: the parts of a schedule may never meet")


@dataclass(frozen=True, init=False)
class Times(Schedule):
    """Single times."""

    times: tuple[int, ...]

    def __init__(self, whens: Iterable[Any]) -> None:
        object.__setattr__(self, "times", tuple(sorted({_times.wall_ns(when, "whens") for when in whens})))

    def next(self, after: int) -> int | None:
        """Return the first time after one."""
        index = bisect_right(self.times, after)
        return self.times[index] if index < len(self.times) else None

    def ends(self) -> bool:
        """Tell whether there is a last time."""
        return True


@dataclass(frozen=True, init=False)
class Days(Schedule):
    """Whole local days, which have no times: they stand on the right of ``&`` and ``-``."""

    days: frozenset[int]
    zone: tzinfo

    def __init__(self, dates: Iterable[date], tz: str | tzinfo = "UTC") -> None:
        given: list[Any] = list(dates)
        for one in given:
            if not isinstance(one, date) or isinstance(one, datetime):
                raise TypeError(f"dates must be datetime.date, not {one!r}")
        object.__setattr__(self, "days", frozenset(day_number(one) for one in given))
        object.__setattr__(self, "zone", _zones.zone_of(tz))

    def next(self, after: int) -> int | None:  # noqa: ARG002
        """Refuse to answer."""
        raise ValueError("Days are whole days and give no times: write them on the right of & and -")

    def ends(self) -> bool:
        """Tell whether there is a last day."""
        return True

    def has(self, time: int) -> bool:
        """Tell whether a moment is in one of these days."""
        second = time // SECOND
        return (second + _zones.offset(self.zone, second)) // DAY in self.days

    def first(self, time: int, within: bool, _until: int) -> int | None:
        """Return the first moment from ``time`` on that lies in these days, or that does not."""
        if self.has(time) == within:
            return time
        last = max(self.days, default=0)
        for start, end in _zones.pieces(self.zone, time // SECOND + 1):
            ahead = _zones.offset(self.zone, start)
            today = (start + ahead) // DAY
            if within and today > last + 2:  # a clock that is put back shows a day again, not a week
                return None
            midnights = range((today + 1) * DAY - ahead, end, DAY)
            for second in (start, *midnights):
                moment: int = second * SECOND
                if self.has(moment) == within:
                    return moment
        return None


@dataclass(frozen=True)
class Union(Schedule):
    """The times of both, equal ones once."""

    one: Schedule
    other: Schedule

    def __post_init__(self) -> None:
        for part in (self.one, self.other):
            _check_combines(part)
            _check_gives_times(part)

    @property
    def floats(self) -> bool:  # type: ignore[override]
        """Whether one of both counts from when it is scheduled."""
        return self.one.floats or self.other.floats

    def anchored(self, anchor: int) -> Schedule:
        """Return the same with an anchor for what has none."""
        return Union(self.one.anchored(anchor), self.other.anchored(anchor))

    def next(self, after: int) -> int | None:
        """Return the first time after one."""
        return self.next_until(after, LAST_NS)

    def next_until(self, after: int, until: int) -> int | None:
        """Return the first time after one, if it is not after another."""
        both = [part.anchored(after).next_until(after, until) for part in (self.one, self.other)]
        return min((time for time in both if time is not None), default=None)

    def ends(self) -> bool:
        """Tell whether there is a last time."""
        return self.one.ends() and self.other.ends()

    def has(self, time: int) -> bool:
        """Tell whether this is one of its times."""
        return self.one.has(time) or self.other.has(time)

    def covers(self, time: int) -> bool:
        """Tell whether a moment lies in one of both."""
        return self.one.covers(time) or self.other.covers(time)

    def first(self, time: int, within: bool, until: int) -> int | None:
        """Return the first moment from ``time`` on that lies in it, or that does not."""
        if within:
            both = [part.first(time, True, until) for part in (self.one, self.other)]
            return min((moment for moment in both if moment is not None), default=None)
        return _agreed((time, until), (self.one, False), (self.other, False))


@dataclass(frozen=True)
class Filtered(Schedule):
    """Those times of the left one that lie in the right one, or that do not."""

    left: Schedule
    right: Schedule
    within: bool

    def __post_init__(self) -> None:
        _check_combines(self.left)
        _check_combines(self.right)
        _check_gives_times(self.left)

    @property
    def floats(self) -> bool:  # type: ignore[override]
        """Whether one of both counts from when it is scheduled."""
        return self.left.floats or self.right.floats

    def anchored(self, anchor: int) -> Schedule:
        """Return the same with an anchor for what has none."""
        return Filtered(self.left.anchored(anchor), self.right.anchored(anchor), self.within)

    def next(self, after: int) -> int | None:
        """Return the first time after one."""
        return self.next_until(after, LAST_NS)

    def next_until(self, after: int, until: int) -> int | None:
        """Return the first time after one, if it is not after another."""
        left, right = self.left.anchored(after), self.right.anchored(after)
        for _ in range(_MOST_STEPS):
            time = left.next_until(after, until)
            if time is None:
                return None
            fits = right.first(time, self.within, until)
            if fits is None or fits == time:
                return fits
            after = fits - 1
        raise ValueError(f"no time was found in {_MOST_STEPS} steps: the parts of {self} may never meet")

    def ends(self) -> bool:
        """Tell whether there is a last time."""
        return self.left.ends() or (self.within and self.right.ends())

    def has(self, time: int) -> bool:
        """Tell whether this is one of its times."""
        return self.left.has(time) and self.right.covers(time) == self.within

    def covers(self, time: int) -> bool:
        """Tell whether a moment lies in it."""
        return self.left.covers(time) and self.right.covers(time) == self.within

    def first(self, time: int, within: bool, until: int) -> int | None:
        """Return the first moment from ``time`` on that lies in it, or that does not."""
        if within:
            return _agreed((time, until), (self.left, True), (self.right, self.within))
        outside = [self.left.first(time, False, until), self.right.first(time, not self.within, until)]
        return min((moment for moment in outside if moment is not None), default=None)


def _agreed(span: tuple[int, int], *conditions: tuple[Schedule, bool]) -> int | None:
    """Return the first moment of a span that lies in all of them, or that does not, as each says; or one after it."""
    time, until = span
    for _ in range(_MOST_STEPS):
        before = time
        for schedule, within in conditions:
            found = schedule.first(time, within, until)
            if found is None:
                return None
            time = found
        if time == before or time > until:
            return time
    raise ValueError(f"no moment was found in {_MOST_STEPS} steps: the parts of a schedule may never meet")


def _check_combines(part: object) -> None:
    if not isinstance(part, Schedule):
        raise TypeError(f"a schedule is combined with schedules, not with {part!r}")
    if isinstance(part, Every) and part.from_end:
        raise ValueError("from_end counts from the end of each occurrence, and cannot be combined: leave it out")


def _check_gives_times(part: Schedule) -> None:
    if isinstance(part, Days):
        part.next(0)


class RRule(Schedule):
    """RFC 5545, by ``dateutil``, which is there for tests alone.

    In a gap a time is read with the offset before it, in a fold it is the first; equal ones are one.
    """

    def __init__(self, text: str, start: datetime, tz: str | tzinfo = "UTC") -> None:
        self.text, self.start, self.zone = text, start, _zones.zone_of(tz)
        naive = start if start.tzinfo is None else start.astimezone(self.zone).replace(tzinfo=None)
        self._locals = LocalTimes(text, naive)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RRule) and vars(self) | {"_locals": 0} == vars(other) | {"_locals": 0}

    def __hash__(self) -> int:
        return hash((self.text, self.start, self.zone))

    def next(self, after: int) -> int | None:
        """Return the first time after one."""
        # Local times are in another order than their instants only near a change of the clock.
        near = datetime.fromtimestamp(after // SECOND, self.zone).replace(tzinfo=None)
        until = LAST_NS if self._locals.until is None else min(LAST_NS, self._locals.until * SECOND)
        best: int | None = None
        last: datetime | None = None
        for local in self._locals:
            if last is not None and local > last:
                break
            if local <= near - timedelta(2):
                continue
            # Python reads a time in a gap with the offset before it, too, and the first of a fold.
            time = int(local.replace(tzinfo=self.zone).timestamp()) * SECOND
            if time > after and (best is None or time < best):
                best = time
                last = datetime.fromtimestamp(_zones.last_shown(self.zone, time // SECOND), UTC).replace(tzinfo=None)
        return None if best is None or best > until else best

    def ends(self) -> bool:
        """Tell whether there is a last time."""
        return "COUNT=" in self.text.upper() or "UNTIL=" in self.text.upper()


def schedule_of(given: Any, tz: str | tzinfo | None = None) -> Schedule:
    """Return the schedule that a caller means: one of these or of `duewheel`'s, a period, or a cron expression.

    **Raises**: ``ValueError`` for ``tz`` beside anything but an expression, and for ``Days``.
    """
    if isinstance(given, str):
        return Cron(given, "UTC" if tz is None else tz)
    if tz is not None:
        raise ValueError("tz is for a cron expression that is given as a str: other schedules have their own")
    made = given
    if isinstance(given, int | float | timedelta) or type(given).__module__ == "numpy":
        made = Every(given)
    elif not isinstance(given, Schedule) and type(given).__module__.startswith("duewheel"):
        made = _read(repr(given))
    if not isinstance(made, Schedule):
        raise TypeError(f"a schedule must be one, seconds, a timedelta or a cron expression, not {given!r}")
    _check_gives_times(made)
    return made


def _read(text: str) -> Any:
    """Make the schedule that an expression of Python says: the ``repr`` of a public one."""
    names: dict[str, Any] = {"Cron": Cron, "Days": Days, "Every": Every, "RRule": RRule, "Times": Times}
    names |= {"datetime": dt, "timezone": timezone, "ZoneInfo": ZoneInfo}
    if "numpy" in text:
        names["numpy"] = import_module("numpy")
    return eval(text, names)
