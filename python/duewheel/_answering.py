"""Find what answers for a scheduler at this moment, in calls that are not awaited."""

from __future__ import annotations

from typing import Any


def answering(scheduler: Any) -> Any:
    """Return the calls of a plain scheduler, of an awaited one, of one that shares its file, or of a client.

    Of a file that is shared it is the scheduler of this process while that owns the file, and what asks the owner
    otherwise: ask again for each use.
    """
    role = getattr(scheduler, "_role", None)
    if role is not None:
        own = role.own
        scheduler = role.caller if own is None else own
    elif getattr(scheduler, "_client", None) is not None:
        scheduler = scheduler._client  # of an awaited client
    return getattr(scheduler, "_core", scheduler)


def file_of(scheduler: Any) -> str | None:
    """Return the path of the file that its jobs are in; `None`: they are in none."""
    source = answering(scheduler)
    link = getattr(source, "_link", None)  # of a client
    path: str | None = getattr(source, "_path", None) if link is None else link.file
    return path
