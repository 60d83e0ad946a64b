"""Read the zones that callers give to schedules, and find those that times are shown in.

The extension reads names of zones by itself, and calls these functions for all other values.
"""

from __future__ import annotations

import functools
from datetime import timedelta, timezone, tzinfo
from typing import TYPE_CHECKING

from duewheel._checks import shown
from duewheel._times import is_number

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_ALLOWED = "an IANA name such as 'Europe/Paris', a ZoneInfo with a key, or a datetime.timezone"


@functools.cache
def _zones() -> type[ZoneInfo]:
    """Import `zoneinfo` when it is needed: it takes longer than all of this package."""
    from zoneinfo import ZoneInfo

    return ZoneInfo


def is_period(value: object) -> bool:
    """Return whether a value stands for `Every`: a number or a span, right or wrong."""
    return isinstance(value, timedelta) or is_number(value)


def name_or_offset(tz: object) -> str | int:
    """Return the IANA name of a zone, or its offset in nanoseconds, if it is fixed."""
    if isinstance(tz, timezone):
        offset = tz.utcoffset(None)
        return (offset.days * 86_400 + offset.seconds) * 1_000_000_000 + offset.microseconds * 1_000
    if isinstance(tz, _zones()):
        key: str | None = tz.key  # typeshed has no zones from files
        if key is None:
            raise ValueError(
                f"tz must have a key, by which it is found again, and {tz!r} is read from a file: {_ALLOWED}"
            )
        return key
    remedy = ""
    if isinstance(tz, tzinfo):
        name = getattr(tz, "zone", None)  # pytz
        remedy = f": give {name!r}" if isinstance(name, str) else ": give the name of its zone"
    raise TypeError(f"tz must be {_ALLOWED}, not {shown(tz)}{remedy}")


def zone_info(name: str) -> ZoneInfo | None:
    """Return the zone of this name, or nothing where Python has no zones."""
    try:
        return _zones()(name)
    except KeyError:  # ZoneInfoNotFoundError
        return None
