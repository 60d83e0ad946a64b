"""The section "asyncio" of docs/benchmarks.md, and docs/loops.svg, from the samples of `loops.py`."""

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

from picture import FONT, readable, text

HERE = Path(__file__).resolve().parent
HEADING = "## asyncio\n"
TITLES = {
    "due": "1M due no-op async handlers, asyncio",
    "due_uvloop": "1M due no-op async handlers, uvloop",
    "idle": "lateness, else idle, asyncio",
    "idle_uvloop": "lateness, else idle, uvloop",
    "busy": "lateness, loop half busy, asyncio",
    "busy_uvloop": "lateness, loop half busy, uvloop",
    "schedule": "sync: `in_`",
    "run_due": "sync: run what is due already",
    "whole": "sync: schedule and run",
    "cancel": "sync: cancel, in order",
}
SIDES = {
    "ours": "duewheel",
    "call_soon": "`call_soon`, `create_task`",
    "eager": "the same, eager tasks",
    "sleep": "`asyncio.sleep`",
    "call_at": "`loop.call_at`",
    "before": "before async handlers",
}
GOALS = {  # row -> (side, metric, limit)
    "due": [("call_soon", "ns", 1 / 2.5)],
    "due_uvloop": [("call_soon", "ns", 1 / 2)],
    "idle": [(side, m, limit) for side in ("sleep", "call_at") for m, limit in (("p50", 1 / 4), ("p99", 1 / 3))],
    "idle_uvloop": [(side, m, limit) for side in ("sleep", "call_at") for m, limit in (("p50", 1 / 4), ("p99", 1 / 3))],
    "busy": [("call_at", "p50", 1.0), ("call_at", "p99", 1.0)],
    "busy_uvloop": [("call_at", "p50", 1.0), ("call_at", "p99", 1.0)],
    **{row: [("before", "ns", 1.03)] for row in ("schedule", "run_due", "whole", "cancel")},
}
METHOD = """\
Each sample is a fresh process; within a round the sides take turns; ratios are of the same round; medians, with the lowest
and the highest in brackets. *Run* counts from `start()` to the end of `wait()`, with the jobs scheduled before; for the loop, from the
first turn to the end of the last task, with the calls of `call_soon(lambda: create_task(h()))` made before. *With scheduling*
counts from the first `await in_(…)`, or `call_soon`. Lateness: first line of the handler minus due, 1,000 jobs a second at random
phases. The half busy loop works for 1 ms in every 2, by `call_at` on a grid. Sync handlers: the rows of the same names above, against
the commit before async handlers came. uvloop counts in whole milliseconds from the time that it cached at the last turn: what it
calls before it is due lowers its p50.
"""

Rounds = list[dict[str, Any]]


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def part(value: float) -> str:
    return f"1/{1 / value:.2f}" if 0 < value < 1 else f"{value:.3f} ×"


def spread(values: list[float], by: float = 1.0) -> str:
    values = [value * by for value in values]
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def goals(rows: dict[str, Rounds]) -> list[str]:
    lines = [
        "| row | against | goal | reached | spread | in CPU time | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, limits in GOALS.items():
        for side, metric, limit in limits:
            rounds = rows.get(row)
            if not rounds:
                continue
            # A loop that is early on the whole is nothing to be a fraction of.
            ratios = [r["ours"][metric] / r[side][metric] for r in rounds if r[side][metric] > 0]
            title = TITLES[row] + (f", {metric}" if metric != "ns" else "")
            if not ratios:
                lines.append(f"| {title} | {SIDES[side]} | ≤ {part(limit)} | they are early |  |  | **missed** |")
                continue
            has_cpu = metric == "ns" and all("cpu" in r["ours"] for r in rounds)
            cpu = part(median(r["ours"]["cpu"] / r[side]["cpu"] for r in rounds)) if has_cpu else ""
            verdict = "met" if median(ratios) <= limit else "**missed**"
            ends = f"{part(min(ratios))} to {part(max(ratios))}"
            lines.append(
                f"| {title} | {SIDES[side]} | ≤ {part(limit)} | {part(median(ratios))} | {ends} | {cpu} | {verdict} |"
            )
    return lines


def figures(rows: dict[str, Rounds]) -> list[str]:
    lines = ["| row | side | | |", "| --- | --- | --- | --- |"]
    for row, rounds in rows.items():
        for side in rounds[0] if rounds else ():
            if side == "load":
                continue
            values = [r[side] for r in rounds]
            if "p50" in values[0]:
                cells = [f"{q} {spread([v[q] for v in values], 1e-3)} µs" for q in ("p50", "p99")]
            else:
                cells = [f"{spread([v['ns'] for v in values])} ns"]
                if "whole" in values[0]:
                    cells.append(f"with scheduling {spread([v['whole'] for v in values])} ns")
            lines.append(f"| {TITLES[row]} | {SIDES[side]} | {' | '.join([*cells, ''][:2])} |")
    return lines


def busy_line(rows: dict[str, Rounds]) -> str:
    """How busy the half busy loops were: the sides must not differ."""
    shares = [
        f"{SIDES[side]} {median(r[side]['busy'] for r in rounds):.0%} ({'uvloop' if 'uvloop' in row else 'asyncio'})"
        for row, rounds in rows.items()
        if row.startswith("busy") and rounds
        for side in ("ours", "call_at")
    ]
    return f"The half busy loops worked, of their time: {', '.join(shares)}." if shares else ""


def section(results: dict[str, Any]) -> str:
    lines = [
        HEADING,
        "Made by `benches/compare/loops.py`; the samples are in `benches/compare/loops.json`. What the lateness of threads",
        "beside a busy interpreter is, and what one can do: [lateness.md](lateness.md).",
        "",
        "![What part of the jobs is at most so late, on an idle loop and on one that is half busy](loops.svg)",
        "",
    ]
    for python, found in results.items():
        about, rows = found["machine"], found["rows"]
        loads = [r["load"] for rounds in rows.values() for r in rounds]
        counts = sorted({len(rounds) for rounds in rows.values()})
        lines += [
            f"### {python}",
            "",
            f"{about['cpu']}, {about['cpus']} CPUs, {about['memory_gib']} GiB; {about['kernel']}; "
            f"uvloop {about['versions'].get('uvloop_loop', 'absent')}; {about['date']}; "
            f"{' to '.join(map(str, counts))} rounds; load average {min(loads):g} to {max(loads):g}.",
            "",
            *goals(rows),
            "",
            *figures(rows),
            "",
            *([line, ""] if (line := busy_line(rows)) else []),
        ]
    return "\n".join([*lines, "### Method", "", METHOD])


def stored() -> str:
    """The section from the samples that are stored, for who writes the page anew."""
    path = HERE / "loops.json"
    return "\n" + section(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else ""


def write(results: dict[str, Any], docs: Path) -> None:
    page = docs / "benchmarks.md"
    rest = page.read_text(encoding="utf-8").partition("\n" + HEADING)[0] if page.exists() else "# Benchmarks\n"
    page.write_text(rest.rstrip("\n") + "\n\n" + section(results), encoding="utf-8")
    (docs / "loops.svg").write_text(picture(results), encoding="utf-8")
    print("written: the section asyncio of benchmarks.md, loops.svg")


COLOURS = {"ours": "#c2410c", "sleep": "#64748b", "call_at": "#94a3b8"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 880, 560, 56, 20, 96, 30
LOW, HIGH = 1e4, 1e7  # ns
PANELS = (
    ("idle", "idle, asyncio"),
    ("idle_uvloop", "idle, uvloop"),
    ("busy", "half busy, asyncio"),
    ("busy_uvloop", "half busy, uvloop"),
)


def picture(results: dict[str, Any]) -> str:
    """What part of the jobs is at most so late: one panel a row, one line a side, of the first Python that has rows."""
    python, found = next(((p, f) for p, f in results.items() if "idle" in f["rows"]), ("", {"rows": {}}))
    rows: dict[str, Rounds] = found["rows"]
    parts = [
        text(24, 34, "How late a thousand jobs a second are", size=20, fill="#0f172a", more='font-weight="600"'),
        text(24, 56, f"Share of jobs that are at most so late, on a logarithmic scale. {python}.", fill="#64748b"),
    ]
    x = 24.0
    for side, colour in COLOURS.items():
        name = SIDES[side].strip("`")
        parts.append(f'<rect x="{x:.1f}" y="68" width="12" height="12" rx="2" fill="{colour}"/>')
        parts.append(text(x + 18, 78, name))
        x += 44 + 7 * len(name)
    wide, tall = (WIDTH - LEFT - RIGHT) / 2, (HEIGHT - TOP - BOTTOM) / 2
    for index, (row, title) in enumerate(PANELS):
        left, top = LEFT + index % 2 * wide, TOP + index // 2 * tall
        parts += panel(rows.get(row, []), title, left, top, wide - 40, tall - 50)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'role="img" aria-label="Lateness of async handlers" {FONT}>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def panel(rounds: Rounds, title: str, left: float, top: float, wide: float, tall: float) -> list[str]:
    def at(late_ns: float, share: float) -> str:
        along = (math.log10(min(max(late_ns, LOW), HIGH)) - math.log10(LOW)) / (math.log10(HIGH) - math.log10(LOW))
        return f"{left + along * wide:.1f},{top + 20 + (1 - share) * tall:.1f}"

    parts = [text(left, top + 10, title, size=13, fill="#0f172a", more='font-weight="600"')]
    for decade in range(round(math.log10(LOW)), round(math.log10(HIGH)) + 1):
        x, y = at(10.0**decade, 0).split(",")
        parts.append(f'<line x1="{x}" y1="{top + 20:.1f}" x2="{x}" y2="{y}" stroke="#e2e8f0"/>')
        label = ("≤ " if decade == round(math.log10(LOW)) else "") + readable(10.0**decade)
        # The last label ends with its axis: the next panel begins there.
        anchor = "end" if 10.0**decade >= HIGH else "middle"
        parts.append(text(float(x), float(y) + 14, label, size=11, fill="#64748b", more=f'text-anchor="{anchor}"'))
    for share in (0.0, 0.5, 1.0):
        start, end = at(LOW, share), at(HIGH, share)
        parts.append(f'<polyline points="{start} {end}" stroke="#e2e8f0" fill="none"/>')
        y = float(start.split(",")[1])
        parts.append(text(left - 6, y + 4, f"{share:.0%}", size=11, fill="#64748b", more='text-anchor="end"'))
    for side, colour in reversed(COLOURS.items()):
        if rounds and side in rounds[0]:
            points = " ".join(at(median(r[side][f"p{q}"] for r in rounds), q / 100) for q in range(1, 100))
            wider = 2.5 if side == "ours" else 1.8
            parts.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="{wider}" fill="none"/>')
    return parts
