"""Read cron expressions, and find their times by walking the local clock."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from duewheel.reference._zones import DAY, day_number, day_of

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_WEEKDAYS = "sun mon tue wed thu fri sat".split()
_SUNDAY = 7  # is 0, too


def _number(text: str, low: int, high: int, names: Sequence[str]) -> int:
    if text in names:
        return low + names.index(text)
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is not from {low} to {high}")
    return int(text)


def _item(text: str, low: int, high: int, names: Sequence[str], stars: str) -> set[int]:
    """Return the numbers of an item such as ``*``, ``*/5``, ``3``, ``mon-fri`` or ``10-50/20``."""
    span, slash, step = text.partition("/")
    every = int(step) if slash and step.isascii() and step.isdigit() else 0 if slash else 1
    if not every:
        raise ValueError(f"{step!r} is no step: it must be a whole number from 1 on")
    if span in tuple(stars):
        top = 6 if high == _SUNDAY else high
        if every > top - low + 1:
            raise ValueError(f"{text!r} steps over all there is: a fixed period is Every(...)")
        return set(range(low, top + 1, every))
    first, dash, last = span.partition("-")
    if not dash and slash:
        raise ValueError(f"{text!r} has a step without a range: write {first}-{high}/{step}")
    begin = _number(first, low, high, names)
    end = _number(last, low, high, names) if dash else begin
    if dash and last == "sun" and begin > 0:
        end = _SUNDAY
    if end < begin:
        raise ValueError(f"{text!r} goes backwards: write {first}-{high},{low}-{last}")
    return {0 if number == _SUNDAY and high == _SUNDAY else number for number in range(begin, end + 1, every)}


def _numbers(text: str, low: int, high: int, names: Sequence[str], stars: str = "*") -> set[int]:
    return set().union(*(_item(item, low, high, names, stars) for item in text.split(",")))


def _month_days(day: date) -> list[date]:
    """List the days of the month of a day."""
    first = day.replace(day=1)
    after = (first + timedelta(31)).replace(day=1)
    return [first + timedelta(number) for number in range((after - first).days)]


def _weekday(day: date) -> int:
    return day.isoweekday() % 7  # Sunday is 0


def _is_workday(day: date) -> bool:
    return 1 <= _weekday(day) <= 5


class DayOfMonth:
    """The third field: numbers, ``L``, ``LW`` and ``15W``."""

    def __init__(self, text: str) -> None:
        self.is_open = text[0] in "*?"
        self._last = self._last_workday = False
        self._nearest: set[int] = set()
        self._days: set[int] = set()
        for item in text.split(","):
            if item == "l":
                self._last = True
            elif item == "lw":
                self._last_workday = True
            elif item.endswith("w"):
                self._nearest.add(_number(item[:-1], 1, 31, []))
            else:
                self._days |= _item(item, 1, 31, [], "*?")

    def matches(self, day: date) -> bool:
        """Tell whether this field says yes to a day."""
        if day.day in self._days:
            return True
        if not (self._last or self._last_workday or self._nearest):
            return False
        month = _month_days(day)
        workdays = [one for one in month if _is_workday(one)]
        if (self._last and day == month[-1]) or (self._last_workday and day == workdays[-1]):
            return True
        # The nearest workday that is in the same month; a day that the month has not has none.
        wanted = [month[number - 1] for number in self._nearest if number <= len(month)]
        return any(day == min(workdays, key=lambda one: abs(one - want)) for want in wanted)


class DayOfWeek:
    """The fifth field: numbers and names, ``5L`` and ``fri#2``."""

    def __init__(self, text: str) -> None:
        self.is_open = text[0] in "*?"
        self._days: set[int] = set()
        self._last: set[int] = set()
        self._nth: set[tuple[int, int]] = set()
        for item in text.split(","):
            if item.endswith("l"):
                self._last.add(_number(item[:-1], 0, 7, _WEEKDAYS) % 7)
            elif "#" in item:
                weekday, _, nth = item.partition("#")
                self._nth.add((_number(weekday, 0, 7, _WEEKDAYS) % 7, _number(nth, 1, 5, [])))
            else:
                self._days |= _item(item, 0, 7, _WEEKDAYS, "*?")

    def matches(self, day: date) -> bool:
        """Tell whether this field says yes to a day."""
        weekday = _weekday(day)
        is_last = day.month != (day + timedelta(7)).month
        return (
            weekday in self._days or (weekday in self._last and is_last) or (weekday, (day.day + 6) // 7) in self._nth
        )


class Expression:
    """A cron expression, apart from any zone: which local times it matches.

    **Raises**: ``ValueError`` for a text that is none, and for one that no day can match.
    """

    def __init__(self, text: str) -> None:
        words = text.lower().split()
        if len(words) == 1 and words[0] in _MACROS:
            words = _MACROS[words[0]].split()
        self.has_seconds = len(words) == 6
        if len(words) not in (5, 6):
            raise ValueError(f"cron {text!r} has {len(words)} fields: it must have 5, or 6 with seconds first")
        second, minute, hour, of_month, month, of_week = words if self.has_seconds else ["0", *words]
        self._seconds = sorted(_numbers(second, 0, 59, []))
        self._minutes = sorted(_numbers(minute, 0, 59, []))
        self._hours = sorted(_numbers(hour, 0, 23, []))
        self._months = _numbers(month, 1, 12, _MONTHS)
        self._of_month = DayOfMonth(of_month)
        self._of_week = DayOfWeek(of_week)
        # Vixie's rule: what asks for a time of day runs once a day, what asks for a period follows the clock.
        self.is_fixed = not any(field.startswith("*") for field in (second, minute, hour))
        # In 28 years every date falls on every weekday that it ever has.
        if not any(self.matches_day(day) for day in _days_of(2000, 2028)):
            raise ValueError(f"cron {text!r} never comes: no month that it names has such a day")

    def matches_day(self, day: date) -> bool:
        """Tell whether a day is one of its days."""
        if day.month not in self._months:
            return False
        either = self._of_month.matches(day), self._of_week.matches(day)
        both = self._of_month.is_open or self._of_week.is_open
        return all(either) if both else any(either)

    def first(self, local: int, end: int) -> int | None:
        """Return the first local second from ``local`` on, and before ``end``, that matches."""
        number, since_midnight = divmod(local, DAY)
        while number * DAY < end:
            day = day_of(number)
            if day.month not in self._months:
                number = day_number(_month_days(day)[-1]) + 1
            elif (time := self._time_from(since_midnight)) is not None and self.matches_day(day):
                found = number * DAY + time
                return found if found < end else None
            else:
                number += 1
            since_midnight = 0
        return None

    def _time_from(self, since_midnight: int) -> int | None:
        for hour in self._hours:
            if (hour + 1) * 3_600 <= since_midnight:
                continue
            for minute in self._minutes:
                if hour * 3_600 + (minute + 1) * 60 <= since_midnight:
                    continue
                for second in self._seconds:
                    time = hour * 3_600 + minute * 60 + second
                    if time >= since_midnight:
                        return time
        return None


def _days_of(first_year: int, end_year: int) -> Iterable[date]:
    return map(date.fromordinal, range(date(first_year, 1, 1).toordinal(), date(end_year, 1, 1).toordinal()))
