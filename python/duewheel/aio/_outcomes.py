"""How jobs have ended, awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from duewheel import _loop
from duewheel._core import timeout_s
from duewheel.aio import _waits
from duewheel.aio._unopened import UNOPENED

if TYPE_CHECKING:
    from datetime import timedelta

    from duewheel._core import AwaitedCalls, Outcome
    from duewheel.scheduler import Core

_LOOK_S = 0.05
"""How often it is looked on a loop that no end wakes."""


class Outcomes:
    """The call of `duewheel.aio.Scheduler` that waits for the end of a job."""

    _core: Core = UNOPENED
    _awaited: AwaitedCalls

    async def outcome(self, id: str, timeout: float | timedelta | None = 0) -> Outcome:
        """Return how a job has ended that was scheduled with `keep=`, waiting for its end.

        As `duewheel.Scheduler.outcome`. An async handler may await the outcome of another job.

        **Raises** `StateError` in the handler of the same job.
        """
        seconds = timeout_s(timeout)
        core, awaited = self._core, self._awaited
        if seconds != 0:
            awaited.outcome_late(id, False)
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        looks = 0
        while True:
            event_loop = core._event_loop
            # Before it is looked: no end between the two is missed.
            future = event_loop.ended(id) if seconds != 0 and _loop.is_running_here(event_loop) else None
            try:
                found = await _waits.complete(core, awaited.outcome(id))
                left = None if end is None else end - loop.time()
                if found is not None:
                    return found
                if left is not None and left <= 0:
                    awaited.outcome_late(id, True)  # raises
                pause = _LOOK_S if future is None else awaited.outcome_pause(looks)
                most = min((s for s in (left, pause) if s is not None), default=None)
                if future is None:
                    await asyncio.sleep(most or 0)
                else:
                    await asyncio.wait((future,), timeout=most)
                looks += 1
            finally:
                if future is not None and event_loop is not None:
                    event_loop.forget_end(future)
