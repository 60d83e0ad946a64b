"""The stream that keeps a page up to date, a second at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import StreamingResponse

from duewheel.dashboard._view import View, live
from duewheel.errors import DuewheelError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from duewheel.dashboard._view import Settings

EVERY_S = 1.0

LASTS_S = 30
"""A stream ends after so many seconds, and the page asks for the next: a server that stops waits no longer."""


async def _nothing_more(view: View) -> dict[str, Any]:
    return {"summary": await view.summary()}


def stream(
    settings: Settings, request: Request, pages: dict[str, tuple[str, Callable[[View], Awaitable[dict[str, Any]]]]]
) -> StreamingResponse:
    """Answer with what has changed on a page, again and again; on pages that are read with its head alone."""
    name = request.query_params.get("of", "")
    template, variables_of = pages.get(name, ("base.html", _nothing_more))
    page = name if name in pages else "overview"

    async def events() -> AsyncIterator[str]:
        for _ in range(LASTS_S):
            view = View(settings, request, page)
            view.query.pop("of", None)
            try:
                text = live(view, template, **await variables_of(view))
            except DuewheelError:
                return  # the page says why when it is loaded again
            lines = "".join(f"data: {line}\n" for line in text.splitlines())
            yield f"{lines}\n"
            await anyio.sleep(EVERY_S)

    return StreamingResponse(events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
