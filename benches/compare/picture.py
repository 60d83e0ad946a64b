"""docs/benchmarks.svg from the samples: one group of bars a row, logarithmic, shorter is better."""

import math
import re
from typing import Any
from xml.sax.saxutils import escape

from figures import Figure, Results
from rows import FLOOR, LIBRARIES, METRIC_TITLES, OURS, ROWS

PICTURED = (
    FLOOR,
    OURS,
    "zuvloop_loop",
    "blazio_loop",
    "rloop_loop",
    "uvloop_loop",
    "asyncio_loop",
    "stdlib_sqlite",
    "stdlib_sched",
    "apscheduler3",
)
COLOURS = {
    FLOOR: "#fdba74",
    OURS: "#c2410c",
    "zuvloop_loop": "#1e293b",
    "blazio_loop": "#334155",
    "stdlib_sqlite": "#a8b5c6",
    "rloop_loop": "#475569",
    "uvloop_loop": "#64748b",
    "asyncio_loop": "#94a3b8",
    "stdlib_sched": "#b6c2d1",
    "apscheduler3": "#d3dbe5",
}
WIDTH = 880
LEFT, RIGHT = 262, 120
BAR, GAP, GROUP_GAP, TOP, BOTTOM = 13, 2, 15, 104, 34
FONT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, DejaVu Sans, sans-serif"'
UNITS = {"ns": ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")), "bytes": ((1024.0, "KiB"), (1.0, "B"))}


def text(x: float, y: float, content: str, *, size: int = 12, fill: str = "#334155", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" {more}>{escape(content)}</text>'


def readable(value: float, unit: str = "ns") -> str:
    for factor, name in UNITS[unit]:
        if value >= factor:
            scaled = value / factor
            return f"{scaled:.0f} {name}" if scaled >= 99.5 else f"{scaled:.3g} {name}"
    return f"{value:.2g} {UNITS[unit][-1][1]}"


class Scale:
    """Decades of nanoseconds (or bytes) to the width between the names and the right edge."""

    def __init__(self, values: list[float]) -> None:
        self.low = math.floor(math.log10(min(values)))
        self.high = math.ceil(math.log10(max(values)))

    def x(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return LEFT + max(share, 0.0) * (WIDTH - LEFT - RIGHT)


def groups(results: Results) -> list[tuple[str, list[tuple[str, Figure]]]]:
    """The rows measured in time: (title, bars of the libraries that have the row)."""
    found = []
    for row in ROWS:
        for metric in row.metrics:
            if not row.pictured or row.unit != "ns":
                continue
            figures = [(library, results.figure(row.key, library, metric)) for library in PICTURED]
            bars = [(library, figure) for library, figure in figures if figure and figure.median > 0]
            if any(library == OURS for library, _ in bars):
                found.append((METRIC_TITLES.get((row.key, metric), row.title), bars))
    return found


def header(title: str, subtitle: str, names: dict[str, str], colours: dict[str, str]) -> list[str]:
    parts = [
        text(24, 34, title, size=20, fill="#0f172a", more='font-weight="600"'),
        text(24, 56, subtitle, fill="#64748b"),
    ]
    x = 24.0
    for key, name in names.items():
        parts.append(f'<rect x="{x:.1f}" y="70" width="12" height="12" rx="2" fill="{colours[key]}"/>')
        parts.append(text(x + 18, 80, name))
        x += 42 + 7 * len(name)
    return parts


def render(by_python: dict[str, Any]) -> str:
    """The newest interpreter's rows."""
    if not by_python:
        return ""
    newest = max(by_python, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
    results = Results(by_python[newest])
    machine = results.machine
    subtitle = f"Median time of one operation, logarithmic: shorter is better. {machine['cpu']}, {machine['python']}."
    names = {library: LIBRARIES[library] for library in PICTURED if library in results.libraries()}
    return draw("duewheel beside its peers", subtitle, groups(results), names, COLOURS)


def draw(
    title: str,
    subtitle: str,
    drawn: list[tuple[str, list[tuple[str, Figure]]]],
    names: dict[str, str],
    colours: dict[str, str],
) -> str:
    """A group of bars for each row, in nanoseconds."""
    scale = Scale([figure.median for _, bars in drawn for _, figure in bars] or [1.0, 10.0])
    heights = [len(bars) * (BAR + GAP) + GROUP_GAP for _, bars in drawn]
    bottom = TOP + sum(heights)
    height = bottom + BOTTOM
    parts = header(title, subtitle, names, colours)
    for decade in range(scale.low, scale.high + 1):
        x = scale.x(10.0**decade)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom - 6}" stroke="#e2e8f0"/>')
        parts.append(text(x, bottom + 12, readable(10.0**decade), size=11, fill="#64748b", more='text-anchor="middle"'))
    y = float(TOP)
    for (row, bars), tall in zip(drawn, heights, strict=True):
        middle = y + (tall - GROUP_GAP) / 2 + 4
        parts.append(text(LEFT - 14, middle, row, fill="#0f172a", more='text-anchor="end"'))
        for key, figure in bars:
            parts += bar(y, scale.x(figure.median), names[key], readable(figure.median), colours[key], ours=key == OURS)
            y += BAR + GAP
        y += GROUP_GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" aria-label="{escape(title)}" {FONT}>',
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def bar(y: float, end: float, name: str, label: str, colour: str, *, ours: bool) -> list[str]:
    width = max(end - LEFT, 1.0)
    weight = 'font-weight="600"' if ours else ""
    return [
        f'<rect x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}">'
        f"<title>{escape(name)}: {label}</title></rect>",
        text(end + 6, y + 10.5, label, size=11, fill="#9a3412" if ours else "#475569", more=weight),
    ]
