"""What runs now, as `Scheduler.running` tells it, and on which nodes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from duewheel._core import Scheduler as SchedulerCore
from duewheel._core import live_nodes
from duewheel.postgres import Node

if TYPE_CHECKING:
    from duewheel._core import Event

WAITS_FOR_LOOP = "event loop"
"""Where something runs that a sync handler has returned, before the event loop has taken it."""


@dataclass(frozen=True, slots=True)
class Running:
    """An execution whose handler runs, as `Scheduler.running` lists it.

    **Time**: `started` is unix nanoseconds.
    """

    event: Event
    """What the handler was called with."""

    started: int
    """When it started."""

    worker: str
    """The name of the thread that it runs on; of an async handler, that of its event loop."""

    expired: bool
    """Whether it was asked to end: `event.expired`, as it was."""


class Watched(SchedulerCore):
    """The calls of `duewheel.Scheduler` that tell what runs and where."""

    def running(self) -> list[Running]:
        """Return what runs now, in the order of starts.

        Each is there from just before the first line of its handler to its end. A list of a moment: another may have
        started or ended by the time it is looked at.

        **Raises** `ForkedError` in a forked child. **Cost**: O(running), and of the threads of the process.

        >>> from duewheel import Scheduler
        >>> Scheduler().running()
        []
        """
        found = self._running()
        if not found:
            return []
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        names[0] = WAITS_FOR_LOOP
        running = (
            Running(event, started, names.get(thread, f"thread {thread}"), expired)
            for event, started, thread, expired in found
        )
        return sorted(running, key=lambda each: each.started)

    def nodes(self) -> list[Node]:
        """Return the nodes that share the database and live, by name; this one is among them.

        A node that was killed is there until its lease has lapsed.

        **Raises** `StateError` for a scheduler in memory or with a file, `StorageUnavailableError`, `ClosedError`.
        """
        return [Node(*fields) for fields in live_nodes(self)]
