"""Threads that run Python for a scheduler, made as the process makes its others."""

from __future__ import annotations

import sys
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def start(run: Callable[[], object], name: str) -> None:
    """Start a daemon thread that calls `run`.

    It is a thread of `threading`: traced, profiled, named and enumerated, its stack as `threading.stack_size` says.
    Where gevent has put greenlets in the place of threads it is a native one all the same: its waits must not
    switch greenlets.

    **Raises** `RuntimeError` when the system gives no more threads.
    """
    if native := original("_thread", "start_new_thread"):
        native(run, ())
        return
    # From 3.14 on a thread may refer to the context that it was made in for its whole life.
    more: dict[str, Any] = {"context": Context()} if sys.version_info >= (3, 14) else {}
    threading.Thread(target=run, name=name, daemon=True, **more).start()


def original(module: str, name: str) -> Callable[..., Any] | None:
    """Return the original of what gevent has replaced; `None` where it has not replaced threads."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return None
    found: Callable[..., Any] = monkey.get_original(module, name)
    return found
