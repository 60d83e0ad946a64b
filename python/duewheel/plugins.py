"""Plugins: what is called around handlers, and told of how jobs end.

`Scheduler(plugins=[…])` takes objects that have any of these:

| hook | called |
| --- | --- |
| `around(event)` | for each attempt; the context manager that it returns is entered in the handler's thread or task |
| `scheduling(target, headers)` | where a job is scheduled, by the caller: `headers` is a dict that it may add to |
| `ended(event, outcome)` | after each attempt, with an `AttemptOutcome` |
| `dead(dead_event)` | when a job has ended as dead |
| `missed(repeat, count)` | when times of a repeat were passed over or merged into a later one |
| `parked(target)` | once a target, when a job of it is due and it has no handler |
| `store_failed(error)` | when the store takes nothing any more |

What `around` and its context manager raise is a failure of the attempt, as if the handler had raised it. What the
others raise is logged, and changes nothing.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from duewheel import _log
from duewheel._checks import headers, shown
from duewheel._current import is_for_another

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
    from contextlib import AbstractContextManager
    from typing import TypeGuard

    from duewheel._core import Event

__all__ = ["AttemptOutcome"]

_REPORTS = ("ended", "dead", "missed", "parked", "store_failed")
_HOOKS = ("around", "scheduling", *_REPORTS)


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """How an attempt has ended, and what becomes of its job."""

    state: Literal["succeeded", "retry", "snoozed", "dead"]
    """`"succeeded"`: its handler returned; `"retry"`: it failed, and is tried again; `"snoozed"`: the same attempt
    comes again; `"dead"`: it is over without success."""
    error: BaseException | None
    """What the handler raised: `Snooze` and `Discard`, too; `None` where it returned."""


class Hooks:
    """The hooks of some plugins, in their order: of each one function, and none where no plugin has it.

    So nothing is called for what nobody asks for, and a handler that nothing is around is registered itself.
    """

    ended: Callable[..., None] | None
    dead: Callable[..., None] | None
    missed: Callable[..., None] | None
    parked: Callable[..., None] | None
    store_failed: Callable[..., None] | None
    scheduling: Callable[[str, Mapping[str, str]], dict[str, str]] | None

    def __init__(self, plugins: Iterable[object]) -> None:
        given = _checked(plugins)
        self.arounds = _of(given, "around")
        self.scheduling = _adding(_of(given, "scheduling"))
        for name in _REPORTS:
            setattr(self, name, _reporting(name, _of(given, name)))
        if (report := self.ended) is not None:
            self.ended = lambda event, state, error: report(event, AttemptOutcome(state, error))

    def put_around(self, around: Callable[[Event], AbstractContextManager[object]]) -> None:
        """Have this around all handlers that are composed from now on, outermost."""
        self.arounds.insert(0, around)

    def composed(self, handler: Callable[[Event], Any], on_loop: bool) -> Callable[[Event], Any]:
        """Return a handler with what is around it: the one of the first plugin outermost."""
        for around in reversed(self.arounds):
            handler = put_around(around, handler, on_loop)
        return handler


def put_around(
    around: Callable[[Event], AbstractContextManager[object]], handler: Callable[[Event], Any], on_loop: bool
) -> Callable[[Event], Any]:
    """Return a handler with this around it."""
    return _around_coroutine(around, handler) if on_loop else _around_call(around, handler)


def _checked(plugins: Iterable[object]) -> list[object]:
    if isinstance(plugins, str | bytes) or not hasattr(plugins, "__iter__"):
        raise TypeError(f"plugins must be an iterable of plugins, not {shown(plugins)}: write plugins=[…]")
    given = list(plugins)
    for plugin in given:
        if isinstance(plugin, type):
            raise TypeError(f"a plugin must be an object, not the class {plugin.__qualname__}: make one")
        if not any(hasattr(plugin, hook) for hook in _HOOKS):
            raise TypeError(f"a plugin must have one of {', '.join(_HOOKS)}, and {shown(plugin)} has none")
        for hook in _HOOKS:
            _check(plugin, hook)
    return given


def _check(plugin: object, name: str) -> None:
    hook = getattr(plugin, name, None)
    if hook is None:
        return  # `dead = None` says that it has none
    what = f"{name} of the plugin {shown(plugin)}"
    if not callable(hook):
        raise TypeError(f"{what} must be a function, not {shown(hook)}")
    inner = inspect.unwrap(hook)
    if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(f"{what} must be a plain function: it is called, or its `with` entered, and never awaited")


def _of(plugins: list[object], name: str) -> list[Any]:
    hooks = (getattr(plugin, name, None) for plugin in plugins)
    return [hook for hook in hooks if hook is not None]


def _reporting(name: str, hooks: list[Callable[..., object]]) -> Callable[..., None] | None:
    """Return a function that calls all of these hooks, whatever they raise."""
    if not hooks:
        return None

    def report(*arguments: object) -> None:
        for hook in hooks:
            try:
                hook(*arguments)
            except Exception as error:
                _log.plugin_failed(name, hook, error)

    return report


def _adding(
    hooks: list[Callable[[str, dict[str, str]], object]],
) -> Callable[[str, Mapping[str, str]], dict[str, str]] | None:
    """Return a function that has these hooks add headers; one that raises, or leaves what is none, adds nothing."""
    if not hooks:
        return None

    def scheduling(target: str, given: Mapping[str, str]) -> dict[str, str]:
        found = dict(given)
        for hook in hooks if not is_for_another.get() else ():
            added = dict(found)
            try:
                hook(target, added)
                found = headers(added)
            except Exception as error:
                _log.plugin_failed("scheduling", hook, error)
        return found

    return scheduling


def _around_coroutine(
    around: Callable[[Event], AbstractContextManager[object]], handler: Callable[[Event], Awaitable[object]]
) -> Callable[[Event], Any]:
    @functools.wraps(handler)
    async def inside(event: Event) -> object:
        with around(event):
            return await handler(event)
        return None  # the plugin has suppressed what was raised

    return inside


def _around_call(
    around: Callable[[Event], AbstractContextManager[object]], handler: Callable[[Event], object]
) -> Callable[[Event], Any]:
    @functools.wraps(handler)
    def inside(event: Event) -> object:
        with ExitStack() as stack:
            stack.enter_context(around(event))
            returned = handler(event)
            if _is_awaited(returned):
                return _StillInside(stack.pop_all(), returned)
            return returned
        return None  # the plugin has suppressed what was raised

    return inside


def _is_awaited(returned: object) -> TypeGuard[Awaitable[object]]:
    """Tell whether the event loop is to await it: a future is under way already."""
    return returned is not None and inspect.isawaitable(returned) and not hasattr(returned, "_asyncio_future_blocking")


class _StillInside:
    """What a sync handler has returned to be awaited, which is inside as well: it goes on with the same attempt."""

    def __init__(self, stack: ExitStack, awaitable: Awaitable[object]) -> None:
        self._stack, self._awaitable = stack, awaitable

    def __await__(self) -> Generator[Any, Any, object]:
        with self._stack.pop_all():
            return (yield from self._awaitable.__await__())
        return None

    def __del__(self) -> None:
        # Never awaited, for the scheduler was closed before.
        if inspect.iscoroutine(self._awaitable):
            self._awaitable.close()
        self._stack.close()
