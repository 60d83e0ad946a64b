"""Calls of the engine with keywords that few of them have: the extension makes these where it meets one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duewheel import _core, _transactions

if TYPE_CHECKING:
    from collections.abc import Callable


def call(name: str, scheduler: _core.Scheduler, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Make the call of this name of a scheduler, which was given a keyword that the engine's own does not have."""
    return _CALLS[name](scheduler, *arguments, **keywords)


def _at(
    self: _core.Scheduler,
    when: Any,
    target: Any,
    data: Any = b"",
    *,
    connection: Any = None,
    id: Any = None,
    options: Any = None,
    **job_options: Any,
) -> str:
    if connection is None:
        return self._schedule(False, when, target, data, id, options, job_options)
    statement = _transactions.scheduling(self, False, when, target, data, id, options, job_options)
    return str(_transactions.run_here(connection, statement))


def _in(
    self: _core.Scheduler,
    delay: Any,
    target: Any,
    data: Any = b"",
    *,
    connection: Any = None,
    id: Any = None,
    options: Any = None,
    **job_options: Any,
) -> str:
    if connection is None:
        return self._schedule(True, delay, target, data, id, options, job_options)
    statement = _transactions.scheduling(self, True, delay, target, data, id, options, job_options)
    return str(_transactions.run_here(connection, statement))


def _cancel(self: _core.Scheduler, id: Any, *, connection: Any) -> bool:
    if connection is None:
        return _core.Scheduler.cancel(self, id)
    return bool(_transactions.run_here(connection, _transactions.cancelling(self, id)))


_CALLS: dict[str, Callable[..., Any]] = {"at": _at, "in_": _in, "cancel": _cancel}

for _name, _function in _CALLS.items():
    _function.__qualname__ = f"Scheduler.{_name}"  # as it is called in errors
