"""The scheduler in the lifespan of a web application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from duewheel._core import timeout_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta
    from types import TracebackType


class _Entered(Protocol):
    """What a scheduler is entered and drained by."""

    _unfinished: bool

    async def drain(self, timeout: float | timedelta | None = None) -> bool: ...
    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...


_S = TypeVar("_S", bound=_Entered)


class Lifespan:
    """The call of `duewheel.aio.Scheduler` that web frameworks make."""

    @asynccontextmanager
    async def lifespan(
        self: _S,
        app: object,  # noqa: ARG002  # frameworks give it
        *,
        drain_timeout: float | timedelta | None = None,
    ) -> AsyncIterator[dict[str, _S]]:
        """Start with an application, and drain and close with it: `FastAPI(lifespan=scheduler.lifespan)`.

        Starlette takes it, too, Litestar the scheduler itself: `Litestar(lifespan=[scheduler])`. Requests have the
        scheduler as `request.state.scheduler`. Handlers that run for longer than `drain_timeout` are cancelled, and in
        a file come again: `functools.partial(scheduler.lifespan, drain_timeout=8)` gives one.

        **Time**: `drain_timeout` is seconds or a `timedelta`; `None` has no end.
        **Raises** `ClosedError` the second time: an application that starts again makes another scheduler.
        """
        patience_s = timeout_s(drain_timeout)
        async with self:
            yield {"scheduler": self}
            if patience_s is not None:
                self._unfinished = not await self.drain(patience_s)
