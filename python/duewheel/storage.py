"""The pending events of a scheduler, as a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from duewheel._core import Event, SchedulerCore


class Storage:
    """Read and change what is pending, event by event; made by `Scheduler.storage`.

    **Concurrency**: every call may come from any thread.
    """

    def __init__(self, core: SchedulerCore) -> None:
        self._core = core

    def create(self, event: Event) -> None:
        """Take in an event as it stands: its id, due, run and attempt.

        **Time**: the due is on the wall clock.
        **Raises** `DuplicateJobError` when the id is pending or running, `ClosedError`.
        """
        self._core._restore(event)

    def load(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`."""
        return self._core.get(id)

    def delete(self, id: str) -> bool:
        """Withdraw a pending job, as `Scheduler.cancel` does."""
        return self._core.cancel(id)

    def next(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`."""
        return self._core.next(start, end)

    def between(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Iterator[Event]:
        """Iterate over the pending events with `start <= due < end`, in order."""
        return self._core.between(start, end)
