"""Tables of HTML for notebooks: what a scheduler, its numbers and a repeat show of themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duewheel._core import Repeat, Stats

_UPCOMING = 5


def scheduler(shown: object, stats: Stats) -> str:
    """Return a heading and the numbers of a scheduler."""
    return f"<p><code>{escape(repr(shown))}</code></p>{of_stats(stats)}"


def of_stats(stats: Stats) -> str:
    """Return the numbers, and lateness in a row of its own."""
    numbers = stats.asdict()
    lateness = numbers.pop("lateness")
    late = {name: value if name == "count" else _duration(value) for name, value in lateness.items()}
    return _columns("jobs", numbers.items()) + _columns("lateness", late.items())


def of_repeat(repeat: Repeat) -> str:
    """Return what a repeat is, how far it has come, and when it comes next."""
    state = "paused" if repeat.paused else "running" if repeat.running else "waiting"
    rows = [
        ("id", repeat.id),
        ("target", repeat.target),
        ("schedule", repr(repeat.schedule)),
        ("state", state),
        ("occurrence", repeat.occurrence if repeat.count is None else f"{repeat.occurrence} of {repeat.count}"),
        ("missed", repeat.missed),
        ("previous", _when(repeat.previous)),
        ("next", ", ".join(map(_when, repeat.upcoming(_UPCOMING)))),
    ]
    body = "".join(f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in rows)
    return f"<table>{body}</table>"


def _columns(caption: str, cells: Iterable[tuple[str, object]]) -> str:
    cells = list(cells)
    head = "".join(f"<th>{escape(name)}</th>" for name, _ in cells)
    body = "".join(f"<td>{escape(str(value))}</td>" for _, value in cells)
    return f"<table><caption>{caption}</caption><tr>{head}</tr><tr>{body}</tr></table>"


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns" if seconds else "0"


def _when(ns: int | None) -> str:
    return "–" if ns is None else datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
