"""Hold the variable that names the current scheduler.

It has a module of its own since two set it: `use()` for its block, and the schedulers for their handlers.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duewheel.scheduler import Scheduler

__all__ = ["current"]

current: ContextVar["Scheduler | None"] = ContextVar("duewheel.current", default=None)
"""The current scheduler of this thread or task; `None` stands for the process's default."""
