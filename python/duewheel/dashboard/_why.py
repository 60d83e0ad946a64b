"""Why a job that is due does not run: in a word, and in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from duewheel.dashboard._format import moment

if TYPE_CHECKING:
    from duewheel._core import Event
    from duewheel.dashboard._source import Source

LATE_NS = 1_000_000_000
"""What has been due for so long is late: anything may be so by a moment."""

LOOK = 200
"""At how many that are held back it is looked for one that is not."""

_WORDS = {"is parked": "parked", "is held back": "paused", "waits: its target": "paused"}
"""What `explain` says of what somebody holds back."""

_HELD_BACK = frozenset(_WORDS.values())


class Why(NamedTuple):
    """What `Scheduler.explain` says of a job that is overdue."""

    word: str
    """`"parked"`, `"paused"` or `"overdue"`."""
    said: str
    """The rest of a sentence that begins with the id."""
    event: Event

    @property
    def is_held_back(self) -> bool:
        """Whether it waits for somebody, and not for its turn."""
        return self.word in _HELD_BACK


async def why(source: Source, event: Event, now_ns: int) -> Why | None:
    """Return why a job does not run, if it is overdue."""
    if now_ns - event.due < LATE_NS:
        return None
    text: str = await source.call("explain", event.job_id)
    said = text.removeprefix(f"{event.job_id!r} ")
    word = next((word for begin, word in _WORDS.items() if said.startswith(begin)), "overdue")
    return Why(word, said, event)


async def first_late(source: Source, now_ns: int) -> Why | None:
    """Return why the first job that is overdue does not run: one that is not held back, if there is any.

    A repeat that is paused is not overdue: it passes over its times.
    """
    bounds = {"end": moment(now_ns - LATE_NS)}
    found = await source.select("between", bounds, lambda _event: True, want=LOOK, look=LOOK)
    first: Why | None = None
    seen: set[str] = set()
    for event in found.items:
        if event.target in seen and not event.occurrence:
            continue  # what holds back a job that is no repeat holds back its target
        reason = await why(source, event, now_ns)
        if reason is None or not reason.is_held_back:
            return reason
        if not event.occurrence:
            seen.add(event.target)
        elif reason.word == "paused":
            continue
        first = first or reason
    return first
