"""Read the recurrence rules of RFC 5545 by ``dateutil``, which is there for tests alone.

It is given what it reads as the contract does: `rewritten` says what is written in another way, and why.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from itertools import islice, takewhile

_WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
_LAST = datetime(2262, 4, 12, tzinfo=UTC)
"""Where every search ends, but for a zone's offset."""


@dataclass(frozen=True)
class Rewritten:
    """A rule as ``dateutil`` is given it."""

    text: str
    begin: datetime
    """Where ``dateutil`` counts from: not after the start."""

    count: int | None
    """How many of its times from the start on there are, where ``dateutil`` is not to count them."""

    until: int | None
    """The last second that may be, of an ``UNTIL`` in UTC."""

    weeks: frozenset[int]
    """The numbers of weeks, where ``dateutil`` is not to count them."""

    first_weekday: int
    why: tuple[str, ...]


def rewritten(text: str, start: datetime) -> Rewritten:
    """Write a rule so that ``dateutil`` reads it as the contract does; ``start`` is in local time."""
    parts = dict(part.split("=") for part in text.strip().upper().removeprefix("RRULE:").split(";"))
    why: list[str] = []
    count = until = None
    begin = start
    first_weekday = _WEEKDAYS.index(parts.get("WKST", "MO"))
    if "BYSECOND" in parts:
        seconds = parts["BYSECOND"].split(",")
        if "60" in seconds:
            why.append("a leap second is the one before")
            parts["BYSECOND"] = ",".join("59" if second == "60" else second for second in seconds)
    if "BYWEEKNO" in parts and not {"BYDAY", "BYMONTHDAY", "BYYEARDAY"} & parts.keys():
        why.append("a week without a weekday has that of the start, not all seven")
        parts["BYDAY"] = _WEEKDAYS[start.weekday()]
    weeks = frozenset(int(week) for week in parts.get("BYWEEKNO", "0").split(","))
    if weeks & {52, 53, -52, -53} and "BYSETPOS" not in parts:
        why.append("at both ends of a year it miscounts the weeks of the years beside it")
        parts.pop("BYWEEKNO")
    else:
        weeks = frozenset()
    if _mixes_weekdays(parts):
        why.append("a weekday without a number beside one with is every one of them, not both at once")
        parts["BYDAY"] = _numbered(parts)
    if parts["FREQ"] == "WEEKLY" and "BYSETPOS" in parts:
        behind = (start.weekday() - first_weekday) % 7
        if behind:
            why.append("the first week begins with its first day, not with the start: places are counted from there")
            parts.setdefault("BYDAY", _WEEKDAYS[start.weekday()])
            begin = start - timedelta(behind)
    if (weeks or begin != start) and "COUNT" in parts:
        count = int(parts.pop("COUNT"))
    if parts.get("UNTIL", "").endswith("Z"):
        why.append("an end in UTC is compared with instants, not with local times")
        moment = datetime.strptime(parts["UNTIL"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        until = int(moment.timestamp())
        parts["UNTIL"] = f"{moment + timedelta(2):%Y%m%dT%H%M%S}"
    elif len(parts.get("UNTIL", "")) == len("20271231"):
        why.append("an end that is a date includes that day")
        parts["UNTIL"] += "T235959"
    joined = ";".join(f"{name}={value}" for name, value in parts.items())
    return Rewritten(joined, begin, count, until, weeks, first_weekday, tuple(why))


def _mixes_weekdays(parts: dict[str, str]) -> bool:
    return len({len(weekday) == len("MO") for weekday in parts.get("BYDAY", "").split(",")}) == 2


def _numbered(parts: dict[str, str]) -> str:
    most = 53 if parts["FREQ"] == "YEARLY" and "BYMONTH" not in parts else 5
    listed: list[str] = []
    for weekday in parts["BYDAY"].split(","):
        plain = len(weekday) == len("MO")
        listed += [f"{number}{weekday}" for number in range(1, most + 1)] if plain else [weekday]
    return ",".join(listed)


class LocalTimes:
    """The times of a rule on clocks that never change, in order."""

    def __init__(self, text: str, start: datetime) -> None:
        rule = rewritten(text, start)
        self.until = rule.until
        self._left = _walk(rule, start)
        self._known: list[datetime] = []

    def __iter__(self) -> Iterator[datetime]:
        index = 0
        while True:
            if index == len(self._known):
                found = next(self._left, None)
                if found is None:
                    return
                self._known.append(found)
            yield self._known[index]
            index += 1


def _walk(rule: Rewritten, start: datetime) -> Iterator[datetime]:
    found = iter(import_module("dateutil.rrule").rrulestr(rule.text, dtstart=rule.begin))
    found = takewhile(lambda local: local.replace(tzinfo=UTC) < _LAST + timedelta(2), found)
    return islice((local for local in found if local >= start and _has_week(rule, local)), rule.count)


def _has_week(rule: Rewritten, day: date) -> bool:
    """Tell whether the week of a day has one of the numbers: it is of the year that has four of its days."""
    fourth = day + timedelta(3 - (day.weekday() - rule.first_weekday) % 7)
    behind = fourth.timetuple().tm_yday - 1
    ahead = (date(fourth.year, 12, 31) - date(fourth.year, fourth.month, fourth.day)).days
    return not rule.weeks or bool(rule.weeks & {behind // 7 + 1, -(ahead // 7) - 1})
