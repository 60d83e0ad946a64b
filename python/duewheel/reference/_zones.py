"""Read local clocks over `zoneinfo`: what they show, and when they change. All times here are whole unix seconds."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

HOUR = 3_600
DAY = 86_400
LAST_SECOND = (2**63 - 1) // 10**9
"""Where every search ends: later times have no nanoseconds of 64 bits."""

LONGEST_FOLD = 26 * HOUR
"""No clock was ever put back by more: a place that changed its side of the date line saw one day twice."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1).toordinal()


def zone_of(tz: str | tzinfo) -> tzinfo:
    """Return the zone that a caller means.

    **Raises**: ``ValueError`` for a name that is unknown, ``TypeError`` for what is no zone.
    """
    if isinstance(tz, tzinfo):
        return tz
    if not isinstance(tz, str):
        raise TypeError(f"tz must be the name of a zone, a ZoneInfo or a timezone, not {tz!r}")
    try:
        return ZoneInfo(tz)
    except Exception as error:  # as many types as there are ways to be no file
        raise ValueError(f"tz {tz!r} is no zone that is known here") from error


def day_number(day: date) -> int:
    """Return how many days after 1970-01-01 a day is."""
    return day.toordinal() - _FIRST_DAY


def day_of(number: int) -> date:
    """Return the day that is so many after 1970-01-01."""
    return date.fromordinal(number + _FIRST_DAY)


def offset(zone: tzinfo, second: int) -> int:
    """Return how far the local clock is ahead of UTC."""
    shown = (_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
    assert shown is not None
    return round(shown.total_seconds())


@lru_cache(maxsize=100_000)
def _changes_of_year(zone: tzinfo, year: int) -> tuple[int, ...]:
    """List the seconds of a year (of UTC) from which on the offset is another than before."""
    first = day_number(date(year, 1, 1)) * DAY
    end = day_number(date(year + 1, 1, 1)) * DAY
    changes = []
    # No zone has ever changed its mind within so short a time.
    step = DAY // 2
    for low in range(first, end, step):
        # A second before, so that a change at the first second of the year is one of this year.
        before, high = low - 1, low - 1 + step
        if offset(zone, before) != offset(zone, high):
            while high - before > 1:
                middle = (before + high) // 2
                if offset(zone, middle) == offset(zone, before):
                    before = middle
                else:
                    high = middle
            changes.append(high)
    return tuple(changes)


def changes(zone: tzinfo, low: int, high: int) -> list[int]:
    """List the seconds with ``low < second <= high`` from which on the offset is another than before."""
    years = range(day_of(low // DAY).year, day_of(high // DAY).year + 1)
    return [change for year in years for change in _changes_of_year(zone, year) if low < change <= high]


def pieces(zone: tzinfo, begin: int) -> Iterator[tuple[int, int]]:
    """Cut the time from ``begin`` on into pieces ``start <= second < end`` without a change inside.

    They are cut at the ends of years, too, so that nobody looks for changes further than for times.
    """
    start = begin
    while start <= LAST_SECOND:
        new_year = day_number(date(day_of(start // DAY).year + 1, 1, 1)) * DAY
        for change in changes(zone, start, new_year - 1):
            yield start, change
            start = change
        yield start, new_year
        start = new_year


def shown_before(zone: tzinfo, second: int) -> int:
    """Return the local second up to which, exclusively, the clock ran before it was put back within the last day.

    What lies before that is over, or is shown for the second time now.
    """
    ends = [change + offset(zone, change - 1) for change in changes(zone, second - LONGEST_FOLD, second)]
    return max(ends, default=second + offset(zone, second))


def last_shown(zone: tzinfo, second: int) -> int:
    """Return a local second after which none stands for an instant up to ``second``, also of those that are skipped."""
    near = range(second - LONGEST_FOLD, second + LONGEST_FOLD + 1, HOUR)
    return second + max(offset(zone, other) for other in near)
