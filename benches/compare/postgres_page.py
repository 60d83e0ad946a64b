"""docs/postgres-benchmarks.md and its picture, from the samples of `postgres.py`."""

from pathlib import Path
from statistics import median
from typing import Any

import picture
from figures import Figure
from page import counted
from postgres_rows import CHURN, LATE_AHEAD_S, LATE_PER_S, LOOK_ROWS, ROWS, WATCH_S
from postgres_sides import OURS, SIDES

NOTES = """\
- A peer that runs fewer jobs a second than come in is later with each of them: its lateness is that of a queue that grows. procrastinate
  does so at 200 a second.
- awa is the later the more often it looks and promotes: 50 ms was its best of 10, 20, 25, 50, 100 and 200.
- pgqueuer waits for at least 100 ms before a job that is due soon, unless an attribute that its documents do not name is lowered, as here.
- Latenesses are by the clock in the handler, for all; duewheel, River and awa are told dues in microseconds, graphile-worker in
  milliseconds, and pgqueuer takes delays only, of which the server makes a due.
"""
METHOD = f"""\
Each sample has a database of its own and fresh processes; within a round the sides take turns, row by row; a figure is the median of
the rounds, with the lowest and the highest in brackets, a ratio is to the best of the peers in the same round. Jobs are no-ops with
100 bytes. The server has its settings as they come, but `max_wal_size` of 8 GB, so that no checkpoint falls into a sample; it, the
nodes and who schedules share the CPUs.

| row | what is timed |
| --- | --- |
| late | first line of the handler minus due, of jobs due {LATE_AHEAD_S} s after they were scheduled, {LATE_PER_S} a second, by another process |
| one by one | jobs a second that are acknowledged, two hours ahead; 16 threads, tasks or goroutines, with a connection each where it takes more than one |
| with a call | the same by calls of 10,000 jobs, by COPY where there is one |
| run and finish | from the start of the worker until the database knows of no unfinished job; all were due before, `VACUUM ANALYZE` between |
| WAL | what the server has written to its log for each job of that row, from scheduling it to its end |
| idle | a node that has nothing to do, for {WATCH_S} s, under the settings that start jobs early: statements, CPU of its process and of its connections' server processes, resident memory of its process |
| an empty look | our node among {LOOK_ROWS:,} rows that are due in an hour: what the server takes to parse, plan and run one look, by its log; then with a snapshot held while {CHURN:,} jobs went through. The longest are those from the beginning, every 5 s |
"""

# (row, metric) -> title, unit, how many of it a value is
FIGURES: dict[tuple[str, str], tuple[str, str, float]] = {
    ("late", "p50"): ("late, p50", "ms", 1e-3),
    ("late", "p99"): ("late, p99", "ms", 1e-3),
    ("late", "max"): ("late, the latest", "ms", 1e-3),
    ("single", "rate"): ("scheduled one by one", "a second", 1),
    ("bulk", "rate"): ("scheduled with a call", "a second", 1),
    ("run", "rate"): ("run and finish, one node", "a second", 1),
    ("run_two", "rate"): ("run and finish, two nodes", "a second", 1),
    ("run", "wal"): ("WAL of a job", "bytes", 1),
    ("idle", "statements"): ("idle: statements", "a second", 1),
    ("idle", "cpu"): ("idle: CPU of the node", "%", 1),
    ("idle", "server_cpu"): ("idle: CPU of the server", "%", 1),
    ("idle", "rss"): ("idle: memory", "MiB", 1),
    ("idle", "module"): ("size of the extension", "MiB", 1),
    ("look", "look"): ("an empty look", "ms", 1e-3),
    ("look", "look_max"): ("an empty look, the longest", "ms", 1e-3),
    ("look", "held"): ("the same, a snapshot held", "ms", 1e-3),
    ("look", "held_max"): ("the longest, a snapshot held", "ms", 1e-3),
    ("look", "scans"): ("scans of the whole table", "", 1),
}

# (row, metric), whether more is better, limit, of the best peer or absolute
GOALS: list[tuple[tuple[str, str], str, float]] = [
    (("late", "p50"), "most", 150),
    (("late", "p99"), "most", 2_000),
    (("late", "p50"), "part", 1 / 10),
    (("late", "p99"), "part", 1 / 10),
    (("single", "rate"), "times", 1.5),
    (("bulk", "rate"), "times", 1.5),
    (("run", "rate"), "times", 1.3),
    (("run_two", "rate"), "of one", 1),
    (("idle", "statements"), "most", 5),
    (("idle", "cpu"), "most", 1),
    (("look", "look"), "most", 500),
    (("look", "held"), "most", 500),
    (("look", "scans"), "most", 0),
    (("run", "wal"), "most", 1_000),
]
PICTURED = [("late", "p50"), ("late", "p99"), ("single", "rate"), ("bulk", "rate"), ("run", "rate")]
COLOURS = {
    OURS: "#c2410c",
    "river": "#1e293b",
    "graphile": "#475569",
    "pgqueuer": "#64748b",
    "awa": "#94a3b8",
    "procrastinate": "#c0cad6",
}


def number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


class Results:
    def __init__(self, results: dict[str, Any]) -> None:
        self.machine: dict[str, Any] = results["machine"]
        self.rounds: int = results["rounds"]
        self.quick: bool = results["quick"]
        self.absent: dict[str, str] = results["absent"]
        self.samples: list[dict[str, Any]] = results["samples"]

    def sides(self) -> list[str]:
        return [side for side in SIDES if any(s["side"] == side for s in self.samples)]

    def by_round(self, row: str, metric: str, side: str) -> dict[int, float]:
        found = [s for s in self.samples if s["row"] == row and s["side"] == side]
        return {s["round"]: s["values"][metric] for s in found if metric in s.get("values", {})}

    def figure(self, row: str, metric: str, side: str) -> Figure | None:
        return Figure.of(list(self.by_round(row, metric, side).values()), 0)

    def best(self, row: str, metric: str, *, more: bool) -> str | None:
        """The peer whose median is best."""
        found = {side: f.median for side in self.sides() if side != OURS and (f := self.figure(row, metric, side))}
        return (max if more else min)(found, key=lambda side: found[side]) if found else None

    def ratio(self, ours: dict[int, float], theirs: dict[int, float]) -> Figure | None:
        return Figure.of([ours[i] / theirs[i] for i in ours if theirs.get(i)], 0)


def shown(figure: Figure, by: float = 1.0) -> str:
    middle, low, high = (number(x * by) for x in (figure.median, figure.low, figure.high))
    return f"{middle} ({low}–{high})" if low != high else middle


def times(value: float) -> str:
    return f"1/{1 / value:.3g}" if 0 < value < 1 else f"{value:.3g} ×"


def goal_line(results: Results, key: tuple[str, str], kind: str, limit: float) -> str | None:
    row, metric = key
    title, unit, by = FIGURES[key]
    ours = results.by_round(row, metric, OURS)
    if not ours:
        return None
    if kind == "most":
        found = results.figure(row, metric, OURS)
        assert found is not None
        met = found.median <= limit
        return line(title, "", f"≤ {number(limit * by)} {unit}", f"{shown(found, by)} {unit}", met)
    if kind == "of one":
        against, theirs = "one node", results.by_round("run", metric, OURS)
    else:
        peer = results.best(row, metric, more=kind == "times")
        if peer is None:
            return None
        against, theirs = SIDES[peer].title, results.by_round(row, metric, peer)
    ratio = results.ratio(ours, theirs)
    if ratio is None:
        return None
    met = ratio.median <= limit if kind == "part" else ratio.median >= limit
    sign = "≤" if kind == "part" else "≥"
    spread = f"{times(ratio.median)} ({times(ratio.low)} to {times(ratio.high)})"
    return line(title, against, f"{sign} {times(limit)}", spread, met)


def line(title: str, against: str, goal: str, found: str, met: bool) -> str:
    return f"| {title} | {against} | {goal.strip()} | {found.strip()} | {'met' if met else '**missed**'} |"


def goals(results: Results) -> list[str]:
    lines = [found for goal in GOALS if (found := goal_line(results, *goal))]
    met = sum(found.endswith("| met |") for found in lines)
    head = ["| row | the best peer | goal | reached | |", "| --- | --- | --- | --- | --- |"]
    return [*head, *lines, "", f"{met} of {len(lines)} goals met."]


def figures(results: Results) -> list[str]:
    sides = results.sides()
    lines = [
        "| | | " + " | ".join(SIDES[side].title for side in sides) + " |",
        "| --- | --- |" + " ---: |" * len(sides),
    ]
    for (row, metric), (title, unit, by) in FIGURES.items():
        found = [results.figure(row, metric, side) for side in sides]
        if any(found):
            cells = [shown(figure, by) if figure else "" for figure in found]
            lines.append(f"| {title} | {unit} | " + " | ".join(cells) + " |")
    return lines


def settings(results: Results) -> list[str]:
    versions = results.machine["versions"]
    lines = ["| | version | to start jobs early, and idle | to run many, and in bulk |", "| --- | --- | --- | --- |"]
    for side in results.sides():
        about = SIDES[side]
        lines.append(f"| {about.title} | {versions.get(side, '')} | {about.early} | {about.busy} |")
    return lines


def sizes(results: Results) -> str:
    """How many jobs a row had, where the sides differ."""
    parts = []
    for row in ("single", "bulk", "run"):
        found = {SIDES[s["side"]].title: s["n"] for s in results.samples if s["row"] == row}
        if found:
            parts.append(f"{ROWS[row].title}: " + ", ".join(f"{title} {n:,}" for title, n in found.items()))
    return "Jobs of a sample. " + "; ".join(parts) + "."


def page(raw: dict[str, Any]) -> str:
    results = Results(raw)
    machine = results.machine
    loads = sorted(s["load"] for s in results.samples)
    errors = sorted({f"{SIDES[s['side']].title}, {s['row']}: {s['error']}" for s in results.samples if "error" in s})
    lines = [
        "# Benchmarks over PostgreSQL",
        "",
        "Made by `make compare` (`benches/compare/postgres.py`); the samples are in `benches/compare/postgres.json`.",
        "",
        *(["**A quick run with a tenth of the jobs: it shows that the rows work, not how fast.**", ""] * results.quick),
        "![Time of each job, duewheel beside its peers, on a logarithmic scale](postgres-benchmarks.svg)",
        "",
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB; {machine['kernel']}; {machine['python']}; "
        f"PostgreSQL {machine['server']}; {machine['date']}; medians of {counted(results.rounds)}; load average "
        f"{loads[0]:g} to {loads[-1]:g} (median {median(loads):g}).",
        "",
        *goals(results),
        "",
        *figures(results),
        "",
        sizes(results),
        "",
        "## Versions and settings",
        "",
        *settings(results),
        "",
        *([f"Not here: {SIDES[s].title} ({why})." for s, why in results.absent.items()]),
        *(["Samples that failed:", "", *(f"- {error}" for error in errors), ""] if errors else []),
        "## Method",
        "",
        METHOD,
        "## Notes",
        "",
        NOTES,
    ]
    return "\n".join(lines).rstrip() + "\n"


def drawn(raw: dict[str, Any]) -> str:
    """Nanoseconds of a job: how late it is, or what it takes where jobs are counted."""
    results = Results(raw)
    groups = []
    for row, metric in PICTURED:
        title = FIGURES[row, metric][0]
        bars = []
        for side in results.sides():
            if found := results.figure(row, metric, side):
                values = found.median, found.low, found.high
                as_time = [1e9 / x if metric == "rate" else x * 1e3 for x in values]
                bars.append((side, Figure(*as_time, 0)))
        if bars:
            groups.append((title, bars))
    about = f"Median time of a job, logarithmic: shorter is better. {results.machine['cpu']}, PostgreSQL {results.machine['server']}."
    names = {side: SIDES[side].title for side in results.sides()}
    return picture.draw("duewheel beside job queues over PostgreSQL", about, groups, names, COLOURS)


def write(results: dict[str, Any], docs: Path) -> None:
    (docs / "postgres-benchmarks.md").write_text(page(results), encoding="utf-8")
    (docs / "postgres-benchmarks.svg").write_text(drawn(results), encoding="utf-8")
    print("\n".join(goals(Results(results))))
    print(f"written: {docs / 'postgres-benchmarks.md'} and its picture")
