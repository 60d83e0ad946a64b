"""Numbers, durations and times as the pages of the dashboard say them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NONE = "–"

_STEPS = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1.0, 1e3, "ms"))
_LONG = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def count(number: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{number:,}"


def compact(number: float) -> str:
    """Return a number in at most five characters, for where there is little room."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 10 * size or (size > 1e3 and number >= size):
            scaled = number / size
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"


def size(octets: int) -> str:
    """Return how many bytes, in the unit that is read best."""
    scaled = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if scaled < 1024:
            return f"{octets} B" if unit == "B" else f"{scaled:.1f} {unit}"
        scaled /= 1024
    return f"{scaled:.1f} TiB"


def duration(seconds: float | None) -> str:
    """Return a duration in seconds with two or three digits, in the unit that is read best."""
    if seconds is None or math.isnan(seconds):
        return NONE
    if seconds == 0:
        return "0 s"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    for below, factor, unit in _STEPS:
        if seconds < below * 0.9995:
            return f"{_digits(seconds * factor)} {unit}"
    if seconds < 59.95:
        return f"{_digits(seconds)} s"
    whole = round(seconds)
    for least, unit, part, part_unit in _LONG:
        if whole >= least:
            rest = whole % least // part
            number = f"{whole // least:,} {unit}"
            return f"{number} {rest} {part_unit}" if rest and whole < 100 * least else number
    return f"{whole} s"


def _digits(number: float) -> str:
    """Return three digits at most, with no zeros that say nothing."""
    if number >= 99.95:
        return f"{number:.0f}"
    text = f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"
    return text.rstrip("0").rstrip(".")


def moment(when_ns: int) -> datetime:
    """Return unix nanoseconds as an aware time, rounded down to microseconds."""
    return EPOCH + timedelta(microseconds=when_ns // 1_000)


def clock(when_ns: int | None) -> str:
    """Return unix nanoseconds as a time in UTC, to the millisecond."""
    if when_ns is None:
        return NONE
    return f"{moment(when_ns):%Y-%m-%d %H:%M:%S}.{when_ns // 1_000_000 % 1_000:03d} UTC"


def machine(when_ns: int) -> str:
    """Return unix nanoseconds as the value of a `datetime` attribute."""
    return moment(when_ns).isoformat(timespec="milliseconds")


def distance(when_ns: int | None, now_ns: int) -> str:
    """Return how far a time is from now, and on which side."""
    if when_ns is None:
        return NONE
    left_s = (when_ns - now_ns) / 1e9
    if abs(left_s) < 0.0005:
        return "now"
    return f"in {duration(left_s)}" if left_s > 0 else f"{duration(-left_s)} ago"


def last_line(error: str) -> str:
    """Return what a traceback says at its end, or all of what is none."""
    return error.rstrip().rpartition("\n")[2].strip() or "(no text)"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
