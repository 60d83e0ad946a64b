"""Put the headers that continue a trace with the headers of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOM = 3 * 1024
"""How many bytes all headers of a job may have for one more to be put with them: a job may have 4 KiB."""


def carry(headers: dict[str, str], found: Mapping[str, str], order: Iterable[str] = ()) -> None:
    """Add what is found to the headers, what `order` names first, as far as there is room.

    What the caller has given is kept; telemetry never makes a job too large to be scheduled.
    """
    used = sum(_size(name, value) for name, value in headers.items())
    for name in sorted(found, key=[*order, *found].index):
        size = _size(name, found[name])
        if name not in headers and used + size <= ROOM:
            headers[name] = found[name]
            used += size


def _size(name: str, value: str) -> int:
    return len(name.encode()) + len(value.encode())
