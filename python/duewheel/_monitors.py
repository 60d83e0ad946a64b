"""Say a repeat as a monitor of Sentry: its slug, and its schedule where Sentry has one like it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from duewheel._core import Cron, Every

if TYPE_CHECKING:
    from sentry_sdk._types import MonitorConfig, MonitorConfigSchedule

    from duewheel._core import Repeat, Schedule

_LONGEST_SLUG = 50
_GENERATED_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNITS: tuple[tuple[Literal["week", "day", "hour", "minute"], int], ...] = (
    ("week", 604_800),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
)
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ITEM = r"(\*|\d+|[a-z]{3})(-(\d+|[a-z]{3}))?(/\d+)?"
_FIELD = re.compile(rf"{_ITEM}(,{_ITEM})*")


def slug(repeat: Repeat) -> str:
    """Return the name of its monitor: its id, or its target where the id was generated."""
    name = repeat.target if _GENERATED_ID.fullmatch(repeat.id) else repeat.id
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:_LONGEST_SLUG] or "repeat"


def config(repeat: Repeat) -> MonitorConfig | None:
    """Return the configuration of its monitor; `None` for a schedule that Sentry cannot be told."""
    schedule = _schedule(repeat.schedule)
    if schedule is None:
        return None
    zone = _defined(repeat.schedule)[1] if isinstance(repeat.schedule, Cron) else "UTC"
    return {"schedule": schedule, "timezone": zone}


def _defined(schedule: Schedule) -> list[str]:
    """Return the words of the text that a store has of a schedule: `cron ZONE FIELDS` or `every NANOSECONDS …`."""
    (definition,) = schedule.__reduce__()[1]
    return definition.split()


def _schedule(schedule: Schedule) -> MonitorConfigSchedule | None:
    if isinstance(schedule, Every):
        return _interval(int(_defined(schedule)[1]))
    if isinstance(schedule, Cron) and not _defined(schedule)[1].startswith(("+", "-")):
        return _crontab(_defined(schedule)[2:])
    return None


def _interval(period_ns: int) -> MonitorConfigSchedule | None:
    """Say a period in the largest unit that divides it; Sentry has none below a minute."""
    for unit, seconds in _UNITS:
        count, rest = divmod(period_ns, seconds * 1_000_000_000)
        if count and not rest:
            return {"type": "interval", "value": count, "unit": unit}
    return None


def _crontab(words: list[str]) -> MonitorConfigSchedule | None:
    """Say a cron expression of minutes; one second of each minute is as good."""
    fields = _NAMED.get(words[0], " ".join(words)).lower().replace("?", "*").split()
    if len(fields) == 6 and fields[0].isdigit():
        del fields[0]
    if len(fields) != 5 or not all(map(_FIELD.fullmatch, fields)):
        return None
    return {"type": "crontab", "value": " ".join(fields)}
