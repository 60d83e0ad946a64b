"""Read the job store of an APScheduler 3 in a database, and say of each job what it is here.

The rows are read as they are: APScheduler itself removes those that it cannot restore. A row is a pickle, of which
only classes of the standard library's times, of zones and of APScheduler's triggers are made: nothing else in it runs.
"""

from __future__ import annotations

import importlib
import inspect
import io
import pickle
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from duewheel._core import Cron, Event, Every, Job, JobOptions
from duewheel.cli._ends import UNREACHABLE, EndsError
from duewheel.cli._reach import without_password
from duewheel.cli._transfer import GivenRepeat, LineError
from duewheel.codecs._json import Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duewheel._core import Schedule

_NEEDED = "reading a job store of APScheduler needs it: pip install 'apscheduler[sqlalchemy]<4'"
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLASSES = {
    "builtins": {"set", "frozenset", "complex", "bytearray", "range"},
    "collections": {"OrderedDict", "deque"},
    "datetime": {"datetime", "date", "time", "timedelta", "timezone"},
    "dateutil.tz.tz": {"tzutc", "tzoffset", "tzlocal", "tzfile"},
    "decimal": {"Decimal"},
    "pytz": {"_UTC", "_p"},
    "uuid": {"UUID"},
    "zoneinfo": {"ZoneInfo"},
}
"""What data may be made of, beside what pickle has words for."""


def given(url: str, table: str, options: JobOptions) -> Iterator[tuple[str, Event | GivenRepeat | LineError]]:
    """Read all jobs of the table: the id of each, and what it is here, or why it is not taken over."""
    sys.path.insert(0, str(Path.cwd()))  # where the program's modules are, as `python -m` has it
    for job_id, state in _rows(url, table):
        try:
            yield job_id, _read(job_id, _unpickled(state), options)
        except LineError as error:
            yield job_id, error


def _rows(url: str, table: str) -> Iterator[tuple[str, bytes]]:
    try:
        sqlalchemy = importlib.import_module("sqlalchemy")
        importlib.import_module("apscheduler.triggers.cron")
    except ImportError as error:
        raise EndsError(f"{_NEEDED} ({error})") from None
    errors = sqlalchemy.exc.SQLAlchemyError
    try:
        engine = sqlalchemy.create_engine(url)
    except (errors, ImportError, ValueError) as error:
        raise EndsError(f"{without_password(url)}: {without_password(str(error))}") from None
    try:
        if not sqlalchemy.inspect(engine).has_table(table):  # of a file that is not there, as well
            raise EndsError(f"{without_password(url)} has no table {table}: --table names another one", UNREACHABLE)
        columns = [sqlalchemy.column(name) for name in ("id", "job_state")]
        rows = (
            sqlalchemy.select(*columns)
            .select_from(sqlalchemy.table(table))
            .order_by(sqlalchemy.column("next_run_time"))
        )
        with engine.connect() as connection:
            for row in connection.execute(rows):
                yield row.id, bytes(row.job_state)
    except errors as error:
        raise EndsError(f"{without_password(url)}: {without_password(str(error))}", UNREACHABLE) from None
    finally:
        engine.dispose()


class _Careful(pickle.Unpickler):
    """Make nothing of a pickle but data, times, zones and triggers."""

    def find_class(self, module: str, name: str) -> Any:
        module = "builtins" if module == "__builtin__" else module  # as old protocols call it
        if (module, name) == ("builtins", "getattr"):
            return _attribute
        if (module, name) == ("_codecs", "encode"):
            return _bytes
        if name in _CLASSES.get(module, ()):
            return super().find_class(module, name)
        if module.startswith("apscheduler.triggers.") and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__.startswith("apscheduler.triggers."):
                return found
        raise LineError(f"it has a {module}.{name} in it: only data, times and triggers are read")


def _attribute(owner: Any, name: str) -> Any:
    """Return the one attribute that a pickle of times asks for: how a zone is made."""
    if owner is ZoneInfo and name == "_unpickle":
        return getattr(owner, name)
    raise LineError(f"it asks for {name!r} of {owner!r}: only data, times and triggers are read")


def _bytes(text: str, encoding: str) -> bytes:
    """Return what old protocols say of bytes."""
    if encoding != "latin1":
        raise LineError(f"it asks for {encoding!r}: only data, times and triggers are read")
    return text.encode("latin1")


def _unpickled(state: bytes) -> dict[str, Any]:
    try:
        found = _Careful(io.BytesIO(state)).load()
    except LineError:
        raise
    except Exception as error:
        raise LineError(f"it cannot be read: {type(error).__name__}: {error}") from None
    if not isinstance(found, dict) or "trigger" not in found:
        raise LineError("it is no job of APScheduler 3")
    return found


def _read(id: str, state: dict[str, Any], options: JobOptions) -> Event | GivenRepeat:
    trigger, next_run = state["trigger"], state.get("next_run_time")
    target, data = _target(state), _data(state)
    kind = type(trigger).__name__
    if kind == "DateTrigger":
        if next_run is None:
            raise LineError("it is paused, and comes once: resume or remove it there")
        due = _ns(next_run)
        return Event(Job(id, target, due, data, options))
    if kind == "IntervalTrigger":
        schedule: Schedule = Every(trigger.interval, anchor=trigger.start_date)
    elif kind == "CronTrigger":
        schedule = _cron(trigger)
    else:
        raise LineError(f"its trigger is a {kind}: date, interval and cron are taken over")
    terms: dict[str, Any] = {"catch_up": "one", "options": options}
    if trigger.start_date is not None:
        terms["start"] = trigger.start_date
    if trigger.end_date is not None:
        terms["end"] = trigger.end_date + timedelta(microseconds=1)  # there the last time counts, here it is the bound
    if trigger.jitter:
        terms["spread"] = trigger.jitter
    grace_s = state.get("misfire_grace_time")
    if grace_s is not None:
        terms["window"] = grace_s
        if not state.get("coalesce", True):
            terms["catch_up"] = "all"
    next_ns = None if next_run is None else _ns(next_run)
    return GivenRepeat(id, schedule, target, data, terms, next=next_ns, paused=next_run is None)


def _ns(when: datetime) -> int:
    return int(when.timestamp() // 1) * 1_000_000_000 + when.microsecond * 1_000


# What it calls, and with what


def _target(state: dict[str, Any]) -> str:
    """Return the target: that of `Scheduler.task` for the callable."""
    module, colon, name = str(state.get("func", "")).partition(":")
    if not colon or not module or not name:
        raise LineError(f"it names no callable: {state.get('func')!r}")
    return f"{module}.{name}"


def _data(state: dict[str, Any]) -> bytes:
    """Return the arguments as a task with the codec `json` reads them."""
    args, kwargs = tuple(state.get("args") or ()), dict(state.get("kwargs") or {})
    if not args and not kwargs:
        return b""
    try:
        return Json(_signature(state["func"], args, kwargs)).dumps(args, kwargs)
    except TypeError as error:
        raise LineError(f"its arguments: {error}") from None


def _signature(reference: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.Signature:
    """Return the signature of the callable, by which its arguments get their names."""
    module, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        signature = inspect.signature(found)
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise LineError(f"its arguments do not fit {reference}: {error}") from None
    except Exception as error:
        if not args:  # each has its name
            parameters = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in kwargs]
            return inspect.Signature(parameters)
        raise LineError(
            f"its arguments have no names, and {reference} that has them cannot be imported here "
            f"({type(error).__name__}: {error}): call this where the program is"
        ) from None
    return signature


# Cron


def _cron(trigger: Any) -> Schedule:
    """Return the schedule of a cron trigger: there all fields must match."""
    fields = {field.name: field for field in trigger.fields}
    for name in ("year", "week"):
        if str(fields[name]) != "*":
            raise LineError(f"its cron trigger has {name}={fields[name]}: expressions here have no {name}")
    seconds, minutes, hours, days, months = (
        _items(fields[name]) for name in ("second", "minute", "hour", "day", "month")
    )
    weekdays = _weekdays(fields["day_of_week"])
    in_month, positions = _days(days)
    zone = _zone(trigger.timezone)
    clock = f"{minutes} {hours}" if seconds == "0" else f"{seconds} {minutes} {hours}"
    found: Schedule | None = None
    try:
        for day, weekday in _both(in_month, positions):
            part: Schedule = Cron(f"{clock} {day} {months} {weekday}", tz=zone)
            found = part if found is None else found | part
        if found is None:
            raise LineError("its cron trigger has no day")
        found = found if weekdays == "*" else found & Cron(f"* * * * {weekdays}", tz=zone)
        if found.next() is None:
            raise LineError("its cron trigger never comes")
        return found
    except (TypeError, ValueError) as error:
        raise LineError(f"its cron trigger: {error}") from None


def _both(in_month: list[str], positions: list[str]) -> Iterator[tuple[str, str]]:
    """Return days of the month, and days of the week at a place in it: either of them, for there they are one field."""
    if in_month:
        yield ",".join(in_month), "*"
    if positions:
        yield "*", ",".join(positions)


def _items(field: Any) -> str:
    """Return the text of a field; `5/15`, which goes on to the end there, says so here."""
    highest = {"second": 59, "minute": 59, "hour": 23, "day": 31, "month": 12}[field.name]
    items = []
    for expression in field.expressions:
        text = str(expression)
        if hasattr(expression, "first"):  # a range, by numbers or names
            last = highest if expression.last is None else expression.last
            text = f"{expression.first}-{last}/{expression.step or 1}" if last != expression.first else str(last)
        items.append(text)
    return ",".join(items)


def _days(text: str) -> tuple[list[str], list[str]]:
    """Return days of the month, and days of the week by their places in it: `last` is `L`, `2nd fri` is `5#2`."""
    in_month, positions = [], []
    for item in text.split(","):
        words = item.split()
        if item == "last":
            in_month.append("L")
        elif len(words) == 2:
            at, weekday = words
            number = (_WEEKDAYS.index(weekday) + 1) % 7
            positions.append(f"{number}L" if at == "last" else f"{number}#{at[0]}")
        else:
            in_month.append(item)
    return in_month, positions


def _weekdays(field: Any) -> str:
    """Return the names of the days of the week: 0 is Monday there, and Sunday here."""
    if str(field) == "*":
        return "*"
    days: set[int] = set()
    for expression in field.expressions:
        first = getattr(expression, "first", 0)
        last = getattr(expression, "last", 6)
        days.update(range(first, (6 if last is None else last) + 1, expression.step or 1))
    return ",".join(_WEEKDAYS[day] for day in sorted(days))


def _zone(zone: Any) -> Any:
    """Return a zone by its name, or a fixed offset."""
    for attribute in ("key", "zone", "_key"):
        name = getattr(zone, attribute, None)
        if isinstance(name, str) and name:
            return name
    if zone.utcoffset(None) is not None:
        return timezone(zone.utcoffset(None))
    raise LineError(f"its zone has no name: {zone!r}")
