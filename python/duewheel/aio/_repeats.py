"""Repeats, awaited: as the calls of `duewheel.Scheduler` about them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from duewheel import _transactions, targets
from duewheel._checks import is_async
from duewheel.aio import _waits
from duewheel.aio._handlers import Handling
from duewheel.aio._unopened import UNOPENED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import timedelta
    from typing import Unpack

    from typing_extensions import Buffer

    from duewheel._core import AwaitedCalls, DeadEvent, Repeat, Schedule, _RepeatKeywords, _RepeatTerms
    from duewheel.scheduler import _H, Handler
    from duewheel.targets import Limit, Rate


class Repeating(Handling):
    """The calls of `duewheel.aio.Scheduler` about repeats."""

    _awaited: AwaitedCalls = UNOPENED
    _has_store: bool = False

    async def repeat(
        self,
        schedule: Schedule | str | timedelta | float,
        target: str,
        data: Buffer = b"",
        **keywords: Unpack[_RepeatKeywords],
    ) -> str:
        """Schedule a job that comes again at the times of `schedule`; return its id. As `duewheel.Scheduler.repeat`."""
        core = self._core
        connection = keywords.pop("connection", None)
        if connection is not None:
            statement = _transactions.repeating(core, schedule, target, data, dict(keywords))
            return str(await _transactions.run(connection, statement))
        if self._has_store:
            return await _waits.complete(core, self._awaited.repeat(schedule, target, data, False, **keywords))
        return core._repeat(schedule, target, data, False, **keywords)

    def repeated(
        self,
        schedule: Schedule | str | timedelta | float,
        *,
        target: str | None = None,
        data: Buffer = b"",
        concurrency: int | Limit | None = None,
        rate: Rate | None = None,
        timeout: float | timedelta | None = None,
        priority: float | timedelta = 0,
        dead: str | None = None,
        **keywords: Unpack[_RepeatTerms],
    ) -> Callable[[_H], _H]:
        """Register the decorated function, async or not, and declare a repeat that calls it.

        As `duewheel.Scheduler.repeated`: it is taken in by `start`. Where that was before, it is taken in at once, and
        over a file this waits for the disk.
        """
        core = self._core
        controls = targets.checked(concurrency, rate, timeout, priority, dead)

        def handle(name: str, fn: Handler) -> object:
            return core._handle(name, fn, is_async(fn), controls)

        return core._declaring(handle, (schedule, target, data), keywords)

    async def pause(self, id: str | None = None, *, target: str | None = None) -> bool:
        """Hold back a repeat, or all of a target, until it is resumed. As `duewheel.Scheduler.pause`."""
        core = self._core
        if not self._has_store:
            return core.pause(id, target=target)
        if id is None or target is not None:
            return await asyncio.to_thread(core.pause, id, target=target)
        return await _waits.complete(core, self._awaited.pause(id))

    async def resume(self, id: str | None = None, *, target: str | None = None) -> bool:
        """Let a paused repeat, or a target, go on. As `duewheel.Scheduler.resume`."""
        core = self._core
        if not self._has_store:
            return core.resume(id, target=target)
        if id is None or target is not None:
            return await asyncio.to_thread(core.resume, id, target=target)
        return await _waits.complete(core, self._awaited.resume(id))

    async def trigger(self, id: str) -> bool:
        """Have a repeat run once more, as soon as possible. As `duewheel.Scheduler.trigger`."""
        core = self._core
        return await _waits.complete(core, self._awaited.trigger(id)) if self._has_store else core.trigger(id)

    async def get_repeat(self, id: str) -> Repeat | None:
        """Return the repeat of this id, pending or running, if there is one. As `duewheel.Scheduler.get_repeat`."""
        core = self._core
        return await _waits.complete(core, self._awaited.get_repeat(id)) if self._has_store else core.get_repeat(id)

    def repeats(self) -> AsyncIterator[Repeat]:
        """Iterate over the repeats, in the order of their dues. As `duewheel.Scheduler.repeats`."""
        core = self._core
        len(core)  # raises when closed, and in a fork
        return _waits.each(core, core.repeats)

    async def explain(self, id: str) -> str:
        """Say why the job or repeat of this id does not run now, or that it does. As `duewheel.Scheduler.explain`."""
        core = self._core
        if self._has_store:
            return await asyncio.to_thread(core.explain, id)
        return core.explain(id)

    def _deaths(self, id: str, *, limit: int | None = None) -> AsyncIterator[DeadEvent]:
        """Iterate over the deaths of one id, newest first."""
        core = self._core
        deaths = core._deaths(id, limit=limit)
        return _waits.each(core, lambda: deaths)

    async def _take_in_declared(self) -> None:
        core = self._core
        for made in [*core._declared.begin(self._awaited)]:
            await _waits.complete(core, made)
        core._report_undeclared()
