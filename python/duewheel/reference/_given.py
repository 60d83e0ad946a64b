"""Check what callers give."""

from typing import Any

from duewheel._core import JobOptions
from duewheel.errors import DuplicateJobError

CONTROLS = ("concurrency", "rate", "timeout", "priority", "dead")
"""The keywords of a handler."""


def check_options(options: object) -> None:
    """Refuse what are no options."""
    if options is not None and not isinstance(options, JobOptions):
        raise TypeError(f"options must be JobOptions or None, not {options!r}")


def items(values: Any, what: str) -> list[Any]:
    """Return the times of a bulk call."""
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"{what} must be a sequence of times, not {values!r}")
    return list(values)


def datas_of(datas: Any, count: int) -> list[Any]:
    """Return the data of each job of a bulk call."""
    if datas is None:
        return [b""] * count
    if isinstance(datas, str | bytes) or not hasattr(datas, "__iter__"):
        raise TypeError(f"datas must be a sequence of bytes-like objects, one a job, not {datas!r}")
    given = list(datas)
    if len(given) != count:
        raise ValueError(f"datas must be as many as the dues: {len(given)} for {count}")
    return given


def taken(id: str) -> DuplicateJobError:
    """Make the error for an id that is another's."""
    return DuplicateJobError(
        f"a job with the id {id!r} is pending or running, or its outcome is kept: choose another, or cancel what is "
        "pending"
    )
