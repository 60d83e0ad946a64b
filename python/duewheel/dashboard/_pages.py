"""The pages of the whole: what is made of the numbers of a scheduler."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from duewheel.dashboard import _charts
from duewheel.dashboard._history import WINDOWS
from duewheel.dashboard._why import why
from duewheel.errors import DuewheelError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from duewheel.dashboard._view import View

NEXT = 8
"""How many jobs the overview shows."""

PAGE = 50

_WINDOW_NAMES = {"minute": "Last minute", "hour": "Last hour", "life": "Since start"}

_SORTS: dict[str, tuple[str, Callable[[tuple[str, Any]], Any]]] = {
    "target": ("Target", lambda item: item[0]),
    "pending": ("Pending", lambda item: -item[1].pending),
    "running": ("Running", lambda item: -item[1].running),
    "started": ("Started", lambda item: -item[1].started),
    "failed": ("Failed", lambda item: -(item[1].retried + item[1].dead)),
    "late": ("Late (p99)", lambda item: -item[1].lateness.p99),
    "long": ("Run (p99)", lambda item: -item[1].runtime.p99),
}


async def overview(view: View) -> dict[str, Any]:
    """Return how it goes: what ends, how late, what is due next."""
    summary = await view.summary()
    coming = await view.source.select("between", {}, lambda _event: True, want=NEXT, look=NEXT)
    window = view.query.get("window", "life")
    window = window if window in WINDOWS else "life"
    lateness = view.history.lateness(window, summary.stats)
    return {
        "summary": summary,
        "throughput": _charts.throughput(view.history.flows()),
        "histogram": _charts.histogram(lateness.counts),
        "counted": sum(lateness.counts),
        "counted_s": lateness.seconds,
        "window": window,
        "windows": _WINDOW_NAMES,
        "coming": [(event, await why(view.source, event, view.now_ns)) for event in coming.items],
    }


async def targets(view: View) -> dict[str, Any]:
    """Return what each target has and does, a page of them."""
    summary = await view.summary()
    of_each = await view.source.call("targets")
    wanted = view.query.get("q", "")
    sort = view.query.get("sort", "target")
    sort = sort if sort in _SORTS else "target"
    found = [item for item in of_each.items() if wanted in item[0]]
    found.sort(key=lambda item: item[0])
    found.sort(key=_SORTS[sort][1])
    number = numbered(view)
    return {
        "summary": summary,
        "rows": found[number * PAGE : (number + 1) * PAGE],
        "found": len(found),
        "number": number,
        "is_last": (number + 1) * PAGE >= len(found),
        "sorts": {name: label for name, (label, _) in _SORTS.items()},
        "sort": sort,
    }


async def running(view: View) -> dict[str, Any]:
    """Return what runs, longest first."""
    summary = await view.summary()
    of_all = sorted(await view.source.call("running"), key=attrgetter("started"))
    return {"summary": summary, "rows": of_all[:PAGE], "found": len(of_all)}


async def store(view: View) -> dict[str, Any]:
    """Return where jobs are kept, and who else has them."""
    summary = await view.summary()
    scheduler, nodes = view.source.scheduler, None
    core = getattr(scheduler, "_core", scheduler)
    has_store = getattr(core, "_has_store", None)
    if has_store and callable(getattr(core, "nodes", None)):
        try:
            nodes = await view.source.call("nodes") if view.source.has("nodes") else None
        except StateError:
            nodes = None  # a file has none
        except DuewheelError as error:
            return {"summary": summary, "kind": "database", "nodes": [], "error": str(error), "role": None}
    kind = "memory" if has_store is False else "database" if nodes is not None else "file"
    role = getattr(scheduler, "role", None)
    return {"summary": summary, "kind": kind, "nodes": nodes, "error": None, "role": role}


def numbered(view: View) -> int:
    """Return which page was asked for, from 0."""
    text = view.query.get("page", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
