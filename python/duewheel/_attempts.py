"""What plugins ask about the attempt that they are around, in its context."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from duewheel._answering import answering
from duewheel._current import current

if TYPE_CHECKING:
    from duewheel.scheduler import Core


def running_core() -> Core:
    """Return the scheduler whose handler runs here; of one that is awaited, the calls that are not."""
    core: Core = answering(current.get())  # a handler has one, and runs where the file is
    return core


def is_cut_short(raised: BaseException) -> bool:
    """Return whether closing its scheduler ends this attempt, so that it has not failed: it comes again as it was."""
    if isinstance(raised, GeneratorExit):
        return True
    return isinstance(raised, asyncio.CancelledError) and running_core()._closed
