"""A dashboard: what a scheduler holds, runs and has lost, as pages of a web server.

`app` makes an ASGI app, to be mounted in FastAPI, Starlette or anything else that takes one; `serve` serves it on this
machine. It needs the extra `dashboard`: Starlette, Jinja2 and uvicorn.

>>> from duewheel import Scheduler
>>> from duewheel import dashboard
>>> from starlette.testclient import TestClient
>>> scheduler = Scheduler()
>>> id = scheduler.in_(3600, "email.welcome")
>>> TestClient(dashboard.app(scheduler)).get("/jobs").status_code
200
>>> scheduler.close()
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from duewheel._checks import shown

try:
    import jinja2 as _jinja2  # noqa: F401
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import RedirectResponse, Response
    from starlette.routing import BaseRoute, Mount, Route
    from starlette.staticfiles import StaticFiles
except ModuleNotFoundError as error:
    raise ImportError(
        f"the dashboard needs {error.name}, which is not installed: pip install 'duewheel[dashboard]'"
    ) from error

from duewheel.dashboard import _actions, _dead, _events, _jobs, _pages
from duewheel.dashboard._guard import Guard, is_loopback
from duewheel.dashboard._history import History
from duewheel.dashboard._source import Source
from duewheel.dashboard._view import Settings, View, page, trouble
from duewheel.errors import DuewheelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request

    from duewheel._core import Event
    from duewheel.dashboard._guard import Authorize

__all__ = ["app", "serve"]

PORT = 8274

_PAGES: dict[str, tuple[str, Callable[[View], Awaitable[dict[str, Any]]]]] = {
    "overview": ("overview.html", _pages.overview),
    "targets": ("targets.html", _pages.targets),
    "jobs": ("jobs.html", _jobs.jobs),
    "job": ("job.html", _jobs.job),
    "running": ("running.html", _pages.running),
    "dead": ("dead.html", _dead.dead),
    "repeats": ("repeats.html", _jobs.repeats),
    "store": ("store.html", _pages.store),
}

_LIVE = ("overview", "targets", "running", "store")
"""Pages that change while they are looked at; of the others, which are read, the head alone does."""


def app(
    scheduler_or_client: Any,
    *,
    actions: bool = False,
    authorize: Authorize | None = None,
    show_data: Callable[[Event], object] | None = None,
    hosts: Iterable[str] | None = None,
) -> Starlette:
    """Return a dashboard of a scheduler or a client of one, as an ASGI app to mount.

    It is read-only unless `actions`. `authorize(request)`, which may be async, says what somebody may do: `"read"`,
    `"write"` (with `actions`) or `None`; without it this machine alone is answered. The data of jobs are hidden unless
    `show_data(event)` returns what is to be shown of them. Beside `authorize` any host name is answered to, or those
    in `hosts`; without it those of this machine and of `hosts`.

    **Concurrency**: calls that may wait are made in threads, or awaited, where the scheduler is one of `duewheel.aio`.
    **Raises** `TypeError` for arguments that are not as above.
    """
    for name, given in (("authorize", authorize), ("show_data", show_data)):
        if given is not None and not callable(given):
            raise TypeError(f"{name} must be a function or None, not {shown(given)}")
    if not isinstance(actions, bool):
        raise TypeError(f"actions must be True or False, not {shown(actions)}")
    if isinstance(hosts, str):
        raise TypeError(f"hosts must be names, not one str: say hosts=[{hosts!r}]")
    settings = Settings(Source(scheduler_or_client), History(), show_data)
    routes: list[BaseRoute] = [
        Route("/" if name == "overview" else f"/{name}", _shown(settings, name), name=name) for name in _PAGES
    ]
    routes += [
        Route("/find", _answered(settings, "overview", _find), name="find"),
        Route("/confirm", _answered(settings, "overview", _actions.confirm), name="confirm"),
        Route("/do/{action}", _answered(settings, "overview", _actions.act), methods=["POST"], name="do"),
        Route("/events", functools.partial(_stream, settings), name="events"),
        Mount("/static", StaticFiles(packages=[("duewheel.dashboard", "static")]), name="static"),
    ]
    guard = Middleware(Guard, actions=actions, authorize=authorize, hosts=None if hosts is None else tuple(hosts))
    return Starlette(routes=routes, middleware=[guard])


def serve(
    scheduler_or_client: Any,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    actions: bool = False,
    authorize: Authorize | None = None,
    show_data: Callable[[Event], object] | None = None,
    hosts: Iterable[str] | None = None,
) -> None:
    """Serve a dashboard with uvicorn until Ctrl-C or SIGTERM; the arguments are those of `app`.

    Whoever reaches an address that is not of this machine alone reaches the jobs, too: without `authorize` it does not
    start on one.

    **Raises** `ValueError` for such a host without `authorize`, and for a port that there is not; as `app`.
    """
    if not isinstance(host, str):
        raise TypeError(f"host must be a str, not {shown(host)}")
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port must be an int, not {shown(port)}")
    if not 0 <= port < 65_536:
        raise ValueError(f"port must be from 0 to 65535, not {port}")
    if authorize is None and not is_loopback(host):
        raise ValueError(
            f"host={host!r} can be reached from elsewhere, and everybody there could read the jobs: give authorize=, "
            'a function of the request that returns "read", "write" or None; or host="127.0.0.1"'
        )
    made = app(scheduler_or_client, actions=actions, authorize=authorize, show_data=show_data, hosts=hosts)
    import uvicorn

    uvicorn.run(made, host=host, port=port, access_log=False, timeout_graceful_shutdown=1)


def _answered(
    settings: Settings, name: str, answer: Callable[[View], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint; a scheduler that is closed, or a store that is gone, is said on a page."""

    async def endpoint(request: Request) -> Response:
        view = View(settings, request, name)
        try:
            return await answer(view)
        except DuewheelError as error:
            return trouble(view, error)

    return endpoint


def _shown(settings: Settings, name: str) -> Callable[[Request], Awaitable[Response]]:
    template, variables_of = _PAGES[name]

    async def show(view: View) -> Response:
        return page(view, template, **await variables_of(view))

    return _answered(settings, name, show)


async def _find(view: View) -> Response:
    """Go to the job whose id was looked for."""
    wanted = view.query.get("id", "").strip()
    return RedirectResponse(view.link("job", id=wanted) if wanted else view.link("jobs"), 303)


async def _stream(settings: Settings, request: Request) -> Response:
    return _events.stream(settings, request, {name: _PAGES[name] for name in _LIVE})
