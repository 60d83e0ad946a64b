"""Who may see the dashboard and change something through it, checked before any page."""

from __future__ import annotations

import inspect
import ipaddress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Access: TypeAlias = Literal["read", "write"]
"""What somebody may do."""

Authorize: TypeAlias = "Callable[[Request], Access | None | Awaitable[Access | None]]"

ACCESS = "duewheel.access"
"""Where a request has what it may do."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_LOCAL = {"localhost", "testserver"}
"""Names that no stranger's DNS can point here; `testserver` is what Starlette's test client calls itself."""

_SAFE = ("GET", "HEAD", "OPTIONS")


def is_loopback(host: str) -> bool:
    """Whether a name or an address is of this machine alone."""
    name = host.strip("[]").partition("%")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower().rstrip(".") in _LOCAL or name.lower().rstrip(".").endswith(".localhost")


def name_of(netloc: str) -> str:
    """Return the name in `name:port`, in lower case; what is none is empty."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class Guard:
    """Let a request through to the pages, with what it may do; add the headers that hold a browser to them."""

    def __init__(
        self, app: ASGIApp, *, actions: bool, authorize: Authorize | None, hosts: Iterable[str] | None
    ) -> None:
        self._app, self._actions, self._authorize = app, actions, authorize
        self._hosts = None if hosts is None else {host.lower().rstrip(".") for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        refusal = self._foreign(request) or self._forged(request)
        if refusal is None:
            access = await self._access(request)
            if access is not None:
                await self._app({**scope, ACCESS: access}, receive, send_guarded)
                return
            refusal = PlainTextResponse("not for you: authorize() has refused this request\n", 403)
        await refusal(scope, receive, send_guarded)

    async def _access(self, request: Request) -> Access | None:
        if self._authorize is None:
            return "write" if self._actions else "read"
        given: Any = self._authorize(request)
        if inspect.isawaitable(given):
            given = await given
        if given not in ("read", "write", None):
            raise TypeError(f'authorize(request) must return "read", "write" or None, not {given!r}')
        return "read" if given == "write" and not self._actions else given

    def _foreign(self, request: Request) -> PlainTextResponse | None:
        """Refuse what was not meant for this host: a page elsewhere whose name was pointed here (DNS rebinding)."""
        host = name_of(request.headers.get("host", ""))
        if self._authorize is None and request.client is not None:
            try:
                is_elsewhere = not ipaddress.ip_address(request.client.host.partition("%")[0]).is_loopback
            except ValueError:
                is_elsewhere = False  # a socket of the machine, or a test
            if is_elsewhere:
                return PlainTextResponse(
                    "without authorize= a dashboard answers this machine alone: give app() or serve() a function "
                    'authorize(request) that returns "read", "write" or None\n',
                    403,
                )
        if host and (is_loopback(host) or (self._hosts is None and self._authorize is not None)):
            return None
        if host and self._hosts is not None and host in self._hosts:
            return None
        return PlainTextResponse(
            f"the host {host!r} is not among those that this dashboard answers to: name it in hosts=, "
            "beside authorize=\n",
            400,
        )

    def _forged(self, request: Request) -> PlainTextResponse | None:
        """Refuse a change that another site's page asks for (CSRF): by what the browser says of its origin."""
        if request.method in _SAFE:
            return None
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            if site in ("same-origin", "none"):
                return None
        else:
            origin = request.headers.get("origin")
            if origin is None:
                return None  # no browser: nobody's cookies are sent along
            netloc = urlsplit(origin).netloc.lower() if origin != "null" else ""
            if netloc and netloc == request.headers.get("host", "").lower():
                return None
        return PlainTextResponse("a page of another origin asks for this: refused\n", 403)
