"""Schedule jobs on the current scheduler from a coroutine."""

from __future__ import annotations

import asyncio
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from duewheel.context import current_scheduler
from duewheel.scheduler import Scheduler

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from typing import Unpack

    from typing_extensions import Buffer

    from duewheel._core import Schedule, _JobKeywords, _RepeatKeywords
    from duewheel.options import JobOptions


async def at(
    when: datetime | float,
    target: str,
    data: Buffer = b"",
    *,
    id: str | None = None,
    options: JobOptions | None = None,
    **job_options: Unpack[_JobKeywords],
) -> str:
    """Schedule a job due at `when` on the current scheduler; return its id. As `duewheel.at`, for coroutines.

    The current scheduler may be a plain one: where it has a file, a thread waits for the disk, not the loop.
    """
    return await _schedule("at", when, target, data, id=id, options=options, **job_options)


async def in_(
    delay: timedelta | float,
    target: str,
    data: Buffer = b"",
    *,
    id: str | None = None,
    options: JobOptions | None = None,
    **job_options: Unpack[_JobKeywords],
) -> str:
    """Schedule a job due `delay` from now on the current scheduler; return its id. As `duewheel.in_`, for coroutines.

    The current scheduler may be a plain one: where it has a file, a thread waits for the disk, not the loop.
    """
    return await _schedule("in_", delay, target, data, id=id, options=options, **job_options)


async def repeat(
    schedule: Schedule | str | timedelta | float,
    target: str,
    data: Buffer = b"",
    **keywords: Unpack[_RepeatKeywords],
) -> str:
    """Schedule a job that comes again on the current scheduler; return its id. As `duewheel.repeat`, for coroutines."""
    return await _schedule("repeat", schedule, target, data, **keywords)


async def _schedule(name: str, *arguments: Any, **keywords: Any) -> str:
    scheduler: object = current_scheduler()  # of `duewheel.aio`, a plain one, or one with the same calls
    call = partial(getattr(scheduler, name), *arguments, **keywords)
    if isinstance(scheduler, Scheduler) and scheduler._has_store:
        made: str = await asyncio.to_thread(call)
        return made
    returned = call()
    return await returned if isawaitable(returned) else returned  # type: ignore[no-any-return]
