"""The page of the dead: grouped by target and error, or one group, death by death."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duewheel.dashboard._cursor import Cursor, Pager
from duewheel.dashboard._format import last_line
from duewheel.dashboard._pages import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from duewheel._core import DeadEvent
    from duewheel.dashboard._view import View

GROUPED = 1_000
"""How many of the newest are grouped."""

LOOK = 2_000
"""At how many a page of one group looks."""

MOST_IDS = 10_000
"""How many an action on all that match takes at once."""

LOOK_ALL = 100_000
"""At how many such an action looks for them."""

LOOK_ASKED = 10_000
"""At how many the question before it looks."""

REASONS = ("failed", "discarded", "interrupted")


class Group:
    """What died of one target with the same last line."""

    def __init__(self, dead: DeadEvent, line: str) -> None:
        self.target, self.line = dead.event.target, line
        self.count = 0
        self.reasons: set[str] = set()
        self.newest = self.oldest = dead

    def add(self, dead: DeadEvent) -> None:
        """Count one, which is older than all before."""
        self.count += 1
        self.oldest = dead
        self.reasons.add(dead.reason)


def matching(fields: Mapping[str, str]) -> Callable[[DeadEvent], bool]:
    """Return what tells whether a death matches the filters of a page; the target is asked for apart."""
    line, reason = fields.get("error"), fields.get("reason")

    def matches(dead: DeadEvent) -> bool:
        return (not reason or dead.reason == reason) and (not line or last_line(dead.error) == line)

    return matches


async def dead(view: View) -> dict[str, Any]:
    """Return the groups of the newest, or a page of one group."""
    summary = await view.summary()
    fields = {name: view.query.get(name, "") for name in ("target", "error", "reason")}
    cursor = Cursor.read(view.query.get("after"))
    is_list = bool(fields["error"] or view.query.get("view") == "list")
    pager = Pager(cursor, lambda dead: dead.died, matching(fields), upwards=False)
    want, look = (PAGE, LOOK) if is_list else (GROUPED, GROUPED)
    bounds: dict[str, Any] = {"target": fields["target"] or None}
    if cursor is not None:
        bounds["before"] = cursor.before
    found = await view.source.select("dead", bounds, pager, want=want, look=look + (cursor.passed if cursor else 0))
    groups: dict[tuple[str, str], Group] = {}
    for one in () if is_list else found.items:
        line = last_line(one.error)
        groups.setdefault((one.event.target, line), Group(one, line)).add(one)
    return {
        "summary": summary,
        "fields": fields,
        "reasons": REASONS,
        "is_list": is_list,
        "rows": found.items if is_list else [],
        "groups": sorted(groups.values(), key=lambda group: -group.count)[:PAGE],
        "all_groups": len(groups),
        "looked": found.looked,
        "is_all": found.is_all,
        "next": None if found.is_all else pager.next,
        "cursor": cursor,
    }


async def ids_of(view: View, fields: Mapping[str, str], look: int = LOOK_ALL) -> tuple[list[str], bool]:
    """Return the ids of what died and matches, newest first, of the first `look`, and whether those are all."""
    bounds = {"target": fields.get("target") or None}
    found = await view.source.select("dead", bounds, matching(fields), want=MOST_IDS, look=look)
    return list(dict.fromkeys(dead.event.job_id for dead in found.items)), found.is_all
