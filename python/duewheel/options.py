"""Options of jobs: the words that fill `JobOptions`, and its defaults."""

from __future__ import annotations

import enum
from typing import Any, Final

from duewheel._core import JobOptions
from duewheel._times import exactly

__all__ = [
    "DEFAULT_MAX_BACKOFF",
    "DEFAULT_MIN_BACKOFF",
    "DEFAULT_RETRY_LIMIT",
    "UNSET",
    "Consistency",
    "JobOptions",
    "Unset",
]


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset.UNSET
"""The value of a field of `JobOptions` that was not given."""


class Consistency(enum.Enum):
    """What happens to a job when its process dies while it runs."""

    AT_MOST_ONCE = "at_most_once"
    """It was started once, and is never started again: not by a retry either."""
    AT_LEAST_ONCE = "at_least_once"
    """It is started again, until a start has come to an end. The default."""


DEFAULT_RETRY_LIMIT: Final = 5
"""Retries of a job that has neither limit set and may start more than once."""
DEFAULT_MIN_BACKOFF: Final = 1.0
"""The shortest pause before a retry, in seconds."""
DEFAULT_MAX_BACKOFF: Final = 3600.0
"""The longest pause before a retry, in seconds."""


def _rebuild(fields: dict[str, Any], exact: dict[str, int | None | Unset]) -> JobOptions:
    """Make options from their pickled fields."""
    for name, ns in exact.items():
        # A float may not be exact where a timedelta was given.
        if isinstance(ns, int):
            fields[name] = exactly(ns, fields[name])
    return JobOptions(**fields)
