"""The charts as coordinates; the same numbers stand beside them as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from duewheel.dashboard._format import duration
from duewheel.dashboard._history import BOUNDS, SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duewheel.dashboard._history import Flow

WIDTH, HEIGHT = 720, 120


class Bar(NamedTuple):
    """What ended in some seconds, what succeeded below and what failed above it."""

    x: float
    width: float
    y: float
    height: float
    failed_y: float
    failed_height: float


class Throughput(NamedTuple):
    """The chart of what ends a second."""

    bars: list[Bar]
    top: float
    """What its height stands for."""
    succeeded: float
    """Of the newest bar, as the next."""
    failed: float


class Row(NamedTuple):
    """A bar of a histogram."""

    label: str
    starts: int
    percent: float
    width: float
    """Of 100."""


def throughput(flows: Sequence[Flow]) -> Throughput:
    """Lay out what ended, second by second, the newest on the right."""
    top = _above(max((flow.succeeded + flow.failed for flow in flows), default=0.0))
    bars = []
    for flow in flows:
        length_s = min(flow.length_s, SECONDS - flow.ago_s)
        x = WIDTH * (1 - (flow.ago_s + length_s) / SECONDS)
        width = max(1.0, WIDTH * length_s / SECONDS - 1)
        height, failed = (HEIGHT * part / top for part in (flow.succeeded, flow.failed))
        y = HEIGHT - height
        bars.append(Bar(*(round(v, 2) for v in (x, width, y, height, y - failed, failed))))
    last = flows[-1] if flows else None
    return Throughput(bars, top, last.succeeded if last else 0.0, last.failed if last else 0.0)


def _above(number: float) -> float:
    """Return the next number that is read easily."""
    if number <= 10:
        return 10.0
    size = 10.0 ** math.floor(math.log10(number))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= number)


def histogram(counts: Sequence[int]) -> list[Row]:
    """Lay out how late jobs started."""
    total, most = sum(counts), max(counts, default=0)
    rows = []
    for at, (bound, count) in enumerate(zip(BOUNDS, counts, strict=True)):
        label = f"≤ {duration(bound)}" if bound != math.inf else f"> {duration(BOUNDS[at - 1])}"
        width = 100 * count / most if most else 0.0
        rows.append(Row(label, count, 100 * count / total if total else 0.0, round(max(width, 0.6 * bool(count)), 2)))
    return rows
