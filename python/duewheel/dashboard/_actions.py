"""What can be changed through the dashboard: asked for on a page of its own where it cannot be taken back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from duewheel.dashboard import _dead
from duewheel.dashboard._format import plural
from duewheel.dashboard._view import page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from duewheel.dashboard._view import View

_MOST_BODY = 65_536

_WORKS_FOR_S = 10.0
"""How long one request goes on with many jobs; then it says that there are more."""

_AT_ONCE = 512


class Action(NamedTuple):
    """Something to be done to a job, a repeat, a target or to many of the dead."""

    does: str
    """As the button says it."""
    asks: str
    """What it is asked with, of `what`; empty: it is done at once."""
    warns: str
    """What becomes of it."""
    notice: str
    of: str = "id"
    """Which field says what it is done to: an id, a target, or what the dead are filtered by."""


ACTIONS = {
    "revive": Action("Revive", "Revive {what}?", "It is due now, from attempt 1.", "revived"),
    "revive-all": Action("Revive all", "Revive {what}?", "Each is due now, from attempt 1.", "revived", "filter"),
    "discard": Action("Discard", "Discard {what}?", "It is forgotten, with its error and its data.", "discarded"),
    "discard-all": Action(
        "Discard all", "Discard {what}?", "Each is forgotten, with its error and its data.", "discarded", "filter"
    ),
    "cancel": Action("Cancel", "Cancel {what}?", "It never starts; a repeat does not come again.", "cancelled"),
    "run-now": Action("Run now", "", "", "moved"),
    "pause": Action("Pause", "", "", "paused"),
    "resume": Action("Resume", "", "", "resumed"),
    "trigger": Action("Trigger", "", "", "triggered"),
}


async def confirm(view: View) -> Response:
    """Return the question before an action, as a page or as what a dialog shows."""
    name = view.query.get("action", "")
    action = ACTIONS.get(name)
    if action is None or not view.may_write:
        return _refused(view)
    return await _question(view, name, action, view.query)


async def _question(view: View, name: str, action: Action, fields: Mapping[str, str]) -> Response:
    if action.of == "filter":
        ids, is_all = await _dead.ids_of(view, fields, _dead.LOOK_ASKED)
        what = plural(len(ids), "dead job")
        if not is_all:
            is_full = len(ids) == _dead.MOST_IDS
            what = f"the newest {what} of more" if is_full else f"at least {what}, and at most {_dead.MOST_IDS:,}"
    else:
        what = fields.get("id", "")
    kept = {key: fields[key] for key in ("id", "target", "error", "reason", "back") if fields.get(key)}
    asks = (action.asks or f"{action.does} {{what}}?").format(what=what)
    return page(view, "confirm.html", name=name, action=action, asks=asks, fields=kept,
                summary=await view.summary(), cancel=view.backwards(kept.get("back")))  # fmt: skip


def _refused(view: View) -> Response:
    if not view.may_write:
        return PlainTextResponse("this dashboard is read-only for you: app(…, actions=True) allows actions\n", 403)
    return PlainTextResponse(f"there is no such action; there are {', '.join(ACTIONS)}\n", 404)


async def act(view: View) -> Response:
    """Do what a form asks for, and go back to the page that it was on."""
    name = view.request.path_params["action"]
    action = ACTIONS.get(name)
    if action is None or not view.may_write:
        return _refused(view)
    fields = await _form(view.request)
    if fields is None:
        return PlainTextResponse("the form is too large, or no form\n", 413)
    if action.of == "id" and not fields.get("id"):
        return PlainTextResponse("the form names no id\n", 400)
    if action.asks and fields.get("confirmed") != "yes":
        return await _question(view, name, action, fields)
    done, failed, left = await _DO.get(name, _do_one)(view, name, fields)
    to = view.backwards(fields.get("back"), notice=action.notice, done=done, failed=failed, left=left)
    return RedirectResponse(to, 303)


async def _form(request: Request) -> dict[str, str] | None:
    """Read a form; Starlette's own reader needs another package."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY:
            return None
    try:
        return dict(parse_qsl(body.decode("utf-8"), max_num_fields=32, errors="strict"))
    except ValueError:
        return None


async def _do_one(view: View, name: str, fields: Mapping[str, str]) -> tuple[int, int, int]:
    call, arguments = (name, ()) if name != "run-now" else ("reschedule", (time.time(),))
    try:
        done = bool(await view.source.call(call, fields["id"], *arguments))
    except ValueError:
        done = False  # the id is taken, or none
    return int(done), int(not done), 0


async def _discard(view: View, _name: str, fields: Mapping[str, str]) -> tuple[int, int, int]:
    try:
        done = await view.source.call("purge", ids=[fields["id"]])
    except ValueError:
        done = 0  # an id that none can have
    return int(done > 0), int(done == 0), 0


async def _discard_all(view: View, _name: str, fields: Mapping[str, str]) -> tuple[int, int, int]:
    ids, is_all = await _dead.ids_of(view, fields)
    return await view.source.call("purge", ids=ids), 0, int(not is_all)


async def _revive_all(view: View, _name: str, fields: Mapping[str, str]) -> tuple[int, int, int]:
    """Do it to all that match, some at once, until it has taken so long that a browser should be answered."""
    ids, is_all = await _dead.ids_of(view, fields)
    ends = time.monotonic() + _WORKS_FOR_S
    done = failed = 0
    while ids and time.monotonic() < ends:
        some, ids = ids[:_AT_ONCE], ids[_AT_ONCE:]
        results: list[Any] = []
        await view.source.each("revive", some, results.append)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, ValueError):
                raise result
        revived = sum(result is True for result in results)
        done, failed = done + revived, failed + len(results) - revived
    return done, failed, len(ids) + (not is_all)


_DO = {"revive-all": _revive_all, "discard": _discard, "discard-all": _discard_all}
