"""The pages of single jobs: what is pending, what comes again, and one job with all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from duewheel.dashboard._cursor import Cursor, Pager
from duewheel.dashboard._format import moment
from duewheel.dashboard._pages import PAGE, numbered
from duewheel.dashboard._why import Why, why

if TYPE_CHECKING:
    from collections.abc import Callable

    from duewheel._core import Event, Repeat
    from duewheel.dashboard._view import View

LOOK = 5_000
"""At how many pending jobs a page looks for those that match."""

LOOK_REPEATS = 10_000

STATES = {"": "All", "overdue": "Overdue", "waiting": "Waiting", "retrying": "Retrying", "repeating": "Repeating"}

_MATCHES: dict[str, Callable[[Event], bool]] = {
    "retrying": lambda event: event.attempt > 1,
    "repeating": lambda event: event.occurrence > 0,
}


class Job(NamedTuple):
    """A row of the list."""

    event: Event
    why: Why | None
    """Of one that is overdue."""


async def jobs(view: View) -> dict[str, Any]:
    """Return a page of what is pending, in the order of the dues."""
    summary = await view.summary()
    state = view.query.get("state", "")
    state = state if state in STATES else ""
    cursor = Cursor.read(view.query.get("after"))
    pager = Pager(cursor, lambda event: event.due, _MATCHES.get(state, lambda _event: True), upwards=True)
    bounds: dict[str, Any] = {"target": view.query.get("target") or None}
    if bounds["target"]:
        await view.source.count_targets()
    if state == "overdue":
        bounds["end"] = moment(view.now_ns)
    if cursor is not None:
        bounds["start"] = cursor.start
    elif state == "waiting":
        bounds["start"] = moment(view.now_ns)
    look = LOOK + (cursor.passed if cursor else 0)
    found = await view.source.select("between", bounds, pager, want=PAGE, look=look)
    return {
        "summary": summary,
        "states": STATES,
        "state": state,
        "target": bounds["target"] or "",
        "rows": [Job(event, await why(view.source, event, view.now_ns)) for event in found.items],
        "looked": found.looked,
        "is_all": found.is_all,
        "next": None if found.is_all else pager.next,
        "cursor": cursor,
    }


async def repeats(view: View) -> dict[str, Any]:
    """Return a page of what comes again, in the order of the dues."""
    summary = await view.summary()
    target, number = view.query.get("target", ""), numbered(view)
    skipped = 0

    def chosen(repeat: Repeat) -> bool:
        nonlocal skipped
        if target and repeat.target != target:
            return False
        skipped += 1
        return skipped > number * PAGE

    found = await view.source.select("repeats", {}, chosen, want=PAGE, look=LOOK_REPEATS)
    return {
        "summary": summary,
        "rows": found.items,
        "target": target,
        "number": number,
        "is_last": found.is_all or len(found.items) < PAGE,
        "is_all": found.is_all or len(found.items) == PAGE,
        "looked": found.looked,
    }


async def job(view: View) -> dict[str, Any]:
    """Return all that is known of one job, by its id."""
    summary = await view.summary()
    wanted = view.query.get("id", "")
    try:
        event = await view.source.call("get", wanted)
        repeat = await view.source.call("get_repeat", wanted)
    except (TypeError, ValueError) as error:
        return {"summary": summary, "id": wanted, "event": None, "repeat": None, "run": None, "dead": None,
                "said": str(error), "late": None}  # fmt: skip
    runs = await view.source.call("running") if view.source.has("running") else []
    run = next((run for run in runs if run.event.job_id == wanted), None)
    dead = None
    if event is None and repeat is None and run is None:
        found = await view.source.select("_deaths", {"id": wanted, "limit": 1}, lambda _dead: True, want=1, look=1)
        dead = next(iter(found.items), None)
    said = late = None
    if event is not None or repeat is not None or run is not None:
        said = await view.source.call("explain", wanted)
    if event is not None:
        late = await why(view.source, event, view.now_ns)
    return {
        "summary": summary,
        "id": wanted,
        "event": event if event is not None else run.event if run is not None else None,
        "repeat": repeat,
        "run": run,
        "dead": dead,
        "said": said,
        "late": late,
    }
