"""Hold the variable that names the current scheduler, and the one that says for whom a call is made.

They have a module of their own since several set them: `use()` for its block, the schedulers for their handlers, and
the owner of a shared file for the calls that it makes for others.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duewheel.scheduler import Scheduler

__all__ = ["current", "is_for_another"]

current: ContextVar["Scheduler | None"] = ContextVar("duewheel.current", default=None)
"""The current scheduler of this thread or task; `None` stands for the process's default."""

is_for_another: ContextVar[bool] = ContextVar("duewheel.is_for_another", default=False)
"""Whether the call under way is one of another process: plugins that add headers have been called there."""
