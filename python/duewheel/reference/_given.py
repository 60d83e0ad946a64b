"""Check what callers give."""

from typing import Any

from duewheel._core import JobOptions

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


def check_conflict(on_conflict: object, id: str | None) -> None:
    """Refuse what is no answer to an id that is taken."""
    must = "on_conflict must be 'error', 'ignore', 'update' or 'replace'"
    if not isinstance(on_conflict, str):
        raise TypeError(f"{must}, not {on_conflict!r}")
    if on_conflict not in ("error", "ignore", "update", "replace"):
        raise ValueError(f"{must}, not {on_conflict!r}")
    if on_conflict != "error" and id is None:
        raise ValueError("on_conflict says what becomes of the job that has the id: give it an id=, too")
