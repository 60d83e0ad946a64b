"""Read the times, durations and zones that a command line gives."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from typing import NamedTuple

from duewheel._schedules import zone_info
from duewheel._times import FIRST_NS, LAST_NS, SECOND, Nanoseconds, exactly
from duewheel.cli._ends import EndsError

FORMS = "+30s, 'in 5m', 2027-01-01T09:00Z, unix seconds, or now"
"""What WHEN may be, for help and errors."""

_UNITS = {"ms": SECOND // 1_000, "s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND}
_UNITS |= {"d": 86_400 * SECOND, "w": 7 * 86_400 * SECOND}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)(?![a-z])", re.IGNORECASE)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DIGITS = 100
_LEAST_UNIX = 10**8
"""Smaller numbers are not read as unix seconds (1973): who writes 60 means a minute from now."""


class When(NamedTuple):
    """A time: of the wall clock, or after a delay. One of them is not `None`; both are nanoseconds."""

    at_ns: int | None
    in_ns: int | None

    def wall_ns(self) -> int:
        """Return the time of the wall clock that it stands for now."""
        if self.at_ns is not None:
            return self.at_ns
        return time.time_ns() + (self.in_ns or 0)


def read_when(text: str, tz: str | None = None) -> When:
    """Read a WHEN; a time without a zone is of `tz`, and refused without one."""
    stripped = text.strip()
    lowered = stripped.lower()
    if lowered == "now":
        return When(None, 0)
    if lowered.startswith("+"):
        return When(None, read_duration(stripped[1:], text))
    if lowered.startswith("in "):
        return When(None, read_duration(stripped[3:], text))
    number = _number(stripped.removeprefix("@"))
    if number is not None:
        if number < _LEAST_UNIX and not stripped.startswith("@"):
            raise EndsError(
                f"{text!r} is a time in the year {1970 + int(number // 31_556_952)}, as unix seconds: "
                f"say +{stripped}s for a delay, or @{stripped} if it is meant"
            )
        return When(_checked(-(-number * SECOND // 1), text), None)
    return When(_checked(_iso_ns(stripped, text, tz), text), None)


def read_before(text: str, tz: str | None = None) -> int:
    """Read a time that lies back, in unix nanoseconds: a WHEN, or a duration, which counts back from now."""
    stripped = text.strip().lower().removesuffix("ago").strip()
    if _durations(stripped) is not None:
        return time.time_ns() - read_duration(stripped, text)
    return read_when(text, tz).wall_ns()


def read_duration(text: str, given: str | None = None) -> int:
    """Read a duration, in nanoseconds: `30s`, `1h30m`, `1.5d`; a number alone is seconds."""
    given = text if given is None else given
    number = _number(text.strip())
    found = number * SECOND if number is not None else _durations(text)
    if found is None or found < 0:
        raise EndsError(f"{given!r} is no duration: say 30s, 5m, 1h30m, 1.5d or 2w, of the units ms, s, m, h, d, w")
    return _checked(-(-found // 1), given)


def _durations(text: str) -> Fraction | None:
    """Return the nanoseconds of numbers with units, if the text is nothing else."""
    if not text.strip() or _PART.sub("", text).strip():
        return None
    parts = [(_number(number), _UNITS[unit.lower()]) for number, unit in _PART.findall(text)]
    return sum((number * unit for number, unit in parts if number is not None), Fraction(0))


def _number(text: str) -> Fraction | None:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return None
    if len(text) > _MOST_DIGITS:
        raise EndsError(f"{text[:20]}… is out of range: times are seconds, and end in the year 2262")
    return Fraction(text)


def _checked(ns: int, given: str) -> int:
    if not FIRST_NS <= ns <= LAST_NS:
        raise EndsError(f"{given!r} is out of range: times are seconds, and end in the year 2262")
    return ns


def _iso_ns(text: str, given: str, tz: str | None) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise EndsError(f"{given!r} is no time: say {FORMS}") from None
    if when.tzinfo is None:
        if tz is None:
            raise EndsError(
                f"{given!r} has no zone: end it with Z or an offset as +02:00, or say --tz Europe/Paris, or --tz local"
            )
        when = _in_zone(when, given, tz)
    return (when - _EPOCH) // timedelta(microseconds=1) * 1_000


def _in_zone(when: datetime, given: str, tz: str) -> datetime:
    """Return a local time with its zone; refuse one that clocks skip, or show twice."""
    zone = read_zone(tz)
    first, second = (when.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    if first.astimezone(zone).replace(tzinfo=None, fold=0) != when:
        raise EndsError(f"{given!r} does not exist in {tz}: clocks go forward over it")
    offsets = " or ".join(f"{moment.astimezone(zone):%z}" for moment in (first, second))
    raise EndsError(f"{given!r} comes twice in {tz}, as clocks go back: end it with its offset, {offsets}")


def read_zone(name: str) -> tzinfo | None:
    """Read the name of a zone: `local`, `UTC`, `+02:00`, an IANA name. `None` is that of this machine."""
    if name == "local":
        return None
    offset = _OFFSET.fullmatch(name)
    if offset:
        sign, hours, minutes = offset.groups()
        span = timedelta(hours=int(hours), minutes=int(minutes))
        if span < timedelta(hours=24):
            return timezone(-span if sign == "-" else span)
    try:
        zone = None if offset else zone_info(name)
    except (ValueError, OSError):  # a name that is a path, or a directory
        zone = None
    if zone is None:
        raise EndsError(f"{name!r} is no zone that is known here: say local, UTC, +02:00, or a name as Europe/Paris")
    return zone


# What is given to calls, to the nanosecond


class Moment(datetime):
    """A time of the wall clock that is exact where no `datetime` is."""

    _ns: int

    def __sub__(self, other: object) -> Nanoseconds:  # type: ignore[override]
        """Return the span from a time of its class's own arithmetic: the calls subtract 1970."""
        return Nanoseconds(self._ns)

    def __reduce__(self) -> tuple[type[datetime], tuple[object, ...]]:
        """Be a plain datetime elsewhere."""
        return datetime, (self.year, self.month, self.day, self.hour, self.minute, self.second, self.microsecond, UTC)


def moment(ns: int) -> datetime:
    """Return a time as calls take it, exact to the nanosecond."""
    plain = _EPOCH + timedelta(microseconds=ns // 1_000)
    if ns % 1_000 == 0:
        return plain
    exact = Moment(plain.year, plain.month, plain.day, plain.hour, plain.minute, plain.second, plain.microsecond, UTC)
    exact._ns = ns
    return exact


def delay(ns: int) -> float | timedelta:
    """Return a delay as calls take it, exact to the nanosecond."""
    return exactly(ns)
