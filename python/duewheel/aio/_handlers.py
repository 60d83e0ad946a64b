"""Handlers and what controls their targets, on `duewheel.aio.Scheduler`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duewheel import targets
from duewheel._checks import is_async
from duewheel.aio._unopened import UNOPENED

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from duewheel._core import Event
    from duewheel.scheduler import _H, Core
    from duewheel.targets import Limit, Rate


class Handling:
    """The calls of `duewheel.aio.Scheduler` that register handlers."""

    _core: Core = UNOPENED

    def handle(
        self,
        target: str,
        fn: Callable[[Event], object],
        *,
        concurrency: int | Limit | None = None,
        rate: Rate | None = None,
        timeout: float | timedelta | None = None,
        priority: float | timedelta = 0,
        dead: str | None = None,
    ) -> Callable[[], None]:
        """Register `fn(event)`, async or not, as the handler of `target`; return what deregisters it.

        As `duewheel.Scheduler.handle`.

        **Raises** `DuplicateTargetError` when the target has a handler, `TypeError` when `fn` is not callable,
        `ClosedError`.
        """
        return self._core._handle(target, fn, is_async(fn), targets.checked(concurrency, rate, timeout, priority, dead))

    def handler(
        self,
        target: str,
        *,
        concurrency: int | Limit | None = None,
        rate: Rate | None = None,
        timeout: float | timedelta | None = None,
        priority: float | timedelta = 0,
        dead: str | None = None,
    ) -> Callable[[_H], _H]:
        """Register the decorated function as the handler of `target`; the keywords are those of `handle`.

        **Raises** as `handle` does.
        """
        self._core._check_target(target)
        targets.checked(concurrency, rate, timeout, priority, dead)

        def register(fn: _H) -> _H:
            self.handle(target, fn, concurrency=concurrency, rate=rate, timeout=timeout, priority=priority, dead=dead)
            return fn

        return register
