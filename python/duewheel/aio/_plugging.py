"""Tasks and plugins of a scheduler that is awaited, and what it shows in a notebook."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from duewheel._answering import answering
from duewheel.aio._tasks import Task
from duewheel.aio._unopened import UNOPENED
from duewheel.tasks import check_arguments

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Unpack

    from duewheel._core import Event, _TaskKeywords
    from duewheel.aio._tasks import TaskDecorator
    from duewheel.codecs import Codec
    from duewheel.scheduler import Core


class Plugging:
    """The call of `duewheel.aio.Scheduler` that makes tasks, and what it tells its plugins."""

    _core: Core = UNOPENED

    def task(
        self, target: str | None = None, *, codec: str | Codec = "json", **keywords: Unpack[_TaskKeywords]
    ) -> TaskDecorator:
        """Register the decorated function, async or not, as a handler with a signature.

        As `duewheel.Scheduler.task`; the calls of the task that schedule it are awaited.
        """
        len(self._core)  # raises when closed, and in a fork
        check_arguments(target, keywords)

        def register(fn: Any) -> Any:
            return Task(self, fn, target, codec, keywords)

        return register

    def _put_around(self, around: Callable[[Event], AbstractContextManager[object]], what: str) -> None:
        """Put this around all handlers."""
        self._core._put_around(around, what)

    async def interrupt(self, id: str) -> bool:
        """Ask what runs of a job to end; `False`: nothing of this id runs. As `duewheel.Scheduler.interrupt`."""
        return self._core.interrupt(id)

    def _repr_html_(self) -> str:
        """Show it in a notebook: its state and its numbers."""
        from duewheel import _html

        return _html.scheduler(self, answering(self).stats())

    async def _report_interrupted(self) -> None:
        core = self._core
        if core._hooks is not None and core._has_store:
            await asyncio.to_thread(core._report_interrupted)
