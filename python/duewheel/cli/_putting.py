"""Put many jobs into a store, without waiting for each before the next."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from duewheel.errors import ClosedError, DuplicateJobError, ForkedError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from duewheel._core import Event
    from duewheel.cli._reach import Reached
    from duewheel.scheduler import Scheduler

    Ended = Callable[[str, Exception | None], None]
    """Told of each job, by what it is called, that it was put, or why not."""

REFUSALS = (DuplicateJobError, TypeError, ValueError, OverflowError)
"""What is said of one job. All else is of the store, and ends the whole."""
_ON_THEIR_WAY = 512
"""How many jobs are not waited for yet, of which the first is."""
_THREADS = 16
_LARGEST_GROUP = 1_000


def putting(reached: Reached, ended: Ended) -> InOrder | InThreads:
    """Return what puts jobs into the place that was reached."""
    return InOrder(reached.calls, ended) if reached.how == "file" else InThreads(reached.calls, ended)


class InOrder:
    """Put jobs into a file: one call after another, none of which is waited for."""

    def __init__(self, calls: Scheduler, ended: Ended) -> None:
        self._calls = calls
        self._awaited = calls._awaited()
        self._ended = ended
        self._made: deque[tuple[str, Any]] = deque()
        self._last_ticket = 0

    def put(self, name: str, event: Event) -> None:
        """Put one more."""
        try:
            self._made.append((name, self._awaited.restore(event)))
        except REFUSALS as error:
            self._ended(name, error)
        if len(self._made) > _ON_THEIR_WAY:
            self._end_one()

    def settle(self) -> None:
        """Wait until all are in the store."""
        while self._made:
            self._end_one()
        if self._last_ticket:
            self._calls._wait_settled(self._last_ticket)

    def close(self) -> None:
        """Leave what was not put."""
        self._made.clear()

    def _end_one(self) -> None:
        name, made = self._made.popleft()
        try:
            while not isinstance(made, tuple):  # the store is asked whether the id is taken
                made = made.wait()
        except REFUSALS as error:
            self._ended(name, error)
            return
        self._last_ticket = max(self._last_ticket, made[1])
        self._ended(name, None)


class InThreads:
    """Put jobs into a store that is asked about each: many at once. Those of one due stay in their order."""

    def __init__(self, calls: Scheduler, ended: Ended) -> None:
        self._storage = calls.storage
        self._ended = ended
        self._group: list[tuple[str, Event]] = []
        self._threads = ThreadPoolExecutor(_THREADS, "duewheel-import")
        self._sent: deque[Future[list[tuple[str, Exception | None]]]] = deque()

    def put(self, name: str, event: Event) -> None:
        """Put one more."""
        if self._group and (self._group[-1][1].due != event.due or len(self._group) == _LARGEST_GROUP):
            self._send()
        self._group.append((name, event))

    def settle(self) -> None:
        """Wait until all are in the store."""
        self._send()
        while self._sent:
            self._end_one()

    def close(self) -> None:
        """Leave what was not put."""
        self._threads.shutdown(cancel_futures=True)

    def _send(self) -> None:
        is_next = len(self._group) == _LARGEST_GROUP  # of the same due, perhaps: what comes must not overtake it
        if self._group:
            self._sent.append(self._threads.submit(self._create, self._group))
        self._group = []
        while len(self._sent) > (0 if is_next else _ON_THEIR_WAY):
            self._end_one()

    def _create(self, group: list[tuple[str, Event]]) -> list[tuple[str, Exception | None]]:
        results: list[tuple[str, Exception | None]] = []
        for name, event in group:
            try:
                self._storage.create(event)
                results.append((name, None))
            except REFUSALS as error:
                results.append((name, error))
            except StateError as error:
                if isinstance(error, (ClosedError, ForkedError)):
                    raise
                results.append((name, error))  # such as `keep`, which a database has not
        return results

    def _end_one(self) -> None:
        for name, error in self._sent.popleft().result():
            self._ended(name, error)
