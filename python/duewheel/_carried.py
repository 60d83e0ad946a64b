"""Say as JSON what few jobs carry beside their data, and read that: a field for each keyword that a `Job` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duewheel._times import exactly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duewheel._core import Job


def carried_of(job: Job) -> dict[str, Any]:
    """Return what of that a job has."""
    carried = {"headers": dict(job.headers), "key": job.key, "keep_ns": job._keep_ns}
    return {name: value for name, value in carried.items() if value}


def carried_as(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of a job that has what is told."""
    keywords = {name: told[name] for name in ("headers", "key") if name in told}
    return keywords | ({"keep": exactly(told["keep_ns"])} if "keep_ns" in told else {})
