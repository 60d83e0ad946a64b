"""What is pending, as a store of events that is awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from duewheel._core import Event
    from duewheel.aio import Scheduler


class Storage:
    """Read and change what is pending, event by event; made by `Scheduler.storage`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def create(self, event: Event) -> None:
        """Take in an event as it stands. As `duewheel.Storage.create`."""
        await self._scheduler._restore(event)

    async def load(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`."""
        return await self._scheduler.get(id)

    async def delete(self, id: str) -> bool:
        """Withdraw a pending job, as `Scheduler.cancel` does."""
        return await self._scheduler.cancel(id)

    async def next(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`."""
        return await self._scheduler.next(start, end)

    def between(
        self, start: datetime | float | None = None, end: datetime | float | None = None
    ) -> AsyncIterator[Event]:
        """Iterate over the pending events with `start <= due < end`, in order."""
        return self._scheduler.between(start, end)
