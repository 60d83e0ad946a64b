"""docs/benchmarks.md from the samples."""

from typing import Any

from figures import Figure, Results, Verdict
from rows import LIBRARIES, METRIC_TITLES, OURS, ROWS, Row

METHOD = """\
Every sample is a fresh process; within a round the libraries take turns, row by row; there were
{rounds}. A figure is the median of the rounds, with the lowest and the highest in brackets. A ratio is taken round by
round (ours over the peer's of the same round), so that what slows the machine for a while slows both. Goals are judged by
the wall's clock; the ratio in CPU time, of all threads together, shows what is left when other processes take their turns.
The garbage collector is on, as by default, for all. Delays are drawn before the clock starts, from the same seed for all.

duewheel is `Scheduler(workers=1)` with a handler that takes the event and does nothing; the event loops do
`loop.call_later(delay, handler)`; `sched` does `enter(delay, 1, handler)`; APScheduler 3 adds `date` jobs to a background
scheduler with one thread. What each row times:

| row | timed, for each job |
| --- | --- |
| schedule | `in_(delay, target)` in a Python loop, {n:,} jobs due one to two hours ahead, in a fresh process |
| schedule, the second million | the same after as many have been scheduled and have run |
| schedule in bulk | one `in_many(array("d"), target)`; the peers have no such call, so the goal counts against their first row |
| cancel | `cancel(id)` of jobs far ahead, in the order of scheduling or shuffled; the loops cancel through a handle that the caller kept |
| run what is due already | all dues within one millisecond and past: from `start()` until the last has run |
| whole | schedule over the next 50 ms, then run all; "started beforehand": with the worker running meanwhile |
| hold | half as many pending far out, and chains of handlers that schedule themselves again within 10 ms: a run |
| a failing attempt | a handler that raises, five times a job, retried within milliseconds; logging off. The peers: `try` and `call_later` by hand |
| memory | growth of the resident set for a job that is pending, ids not kept, after a collection |
| lateness | first line of the handler minus due, 1,000 jobs a second at random phases, else idle |
| schedule and run, 100k and 10M | one job scheduled and run, with that many pending at once |
| idle | a million pending over an hour away, ten seconds: context switches of all threads but the main one, and CPU time |
"""

NOTES = """\
- `sched` sleeps after every job that it runs and searches a list to cancel, and APScheduler 3 slows with every job that it
  holds: they get fewer jobs in the rows where a million would take minutes, which is in their favour.
- rscheduler and rust-py-scheduler, the two with a Rust core on the index, have repeating intervals (and cron) only, the first
  running at once when added, the second in whole seconds: neither has a job that runs once at a time, so they stand in the rows of
  adding, cancelling and memory, and cannot do the others.
- uvloop counts a delay from the time that it cached at the last turn of its loop, in whole milliseconds: some handlers run before
  they are due, which lowers its p50.
- The handle that cancels a job of an event loop is kept by the caller; duewheel's id is a string that can be stored.
"""


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def scaled(figure: Figure, row: Row, metric: str) -> str:
    """Median (lowest-highest); lateness in microseconds."""
    by = 1e-3 if row.key == "lateness" else 1.0
    middle, low, high = (number(x * by) for x in (figure.median, figure.low, figure.high))
    return f"{middle} ({low}–{high})"


def unit_of(row: Row, metric: str) -> str:
    return "µs" if row.key == "lateness" else row.unit if metric in ("ns", "bytes") else ""


def table(results: Results, libraries: list[str]) -> list[str]:
    lines = [
        "| row | unit | " + " | ".join(LIBRARIES[library] for library in libraries) + " |",
        "| --- | --- |" + " ---: |" * len(libraries),
    ]
    for row in ROWS:
        for metric in row.metrics:
            figures = [results.figure(row.key, library, metric) for library in libraries]
            if any(figures):
                title = METRIC_TITLES.get((row.key, metric), row.title)
                cells = [scaled(figure, row, metric) if figure else "" for figure in figures]
                lines.append(f"| {title} | {unit_of(row, metric)} | " + " | ".join(cells) + " |")
    return lines


def part(value: float) -> str:
    """A ratio as one reads it: 1/18.2, or 1.4 ×."""
    return f"1/{1 / value:.1f}" if 0 < value < 1 else f"{value:.2f} ×"


def verdict_line(verdict: Verdict) -> str:
    row, goal, found = verdict.row, verdict.goal, verdict.found
    title = METRIC_TITLES.get((row.key, goal.metric), row.title)
    if goal.peer is None:
        unit = f" {row.unit}" if row.unit else ""
        limit, shown = f"≤ {goal.limit:g}{unit}", f"{number(found.median)}{unit}"
        spread, peer = f"{number(found.low)}–{number(found.high)}", ""
    else:
        limit, shown = f"≤ {part(goal.limit)}", part(found.median)
        spread = f"{part(found.low)} to {part(found.high)}"
        peer = "100k pending" if goal.peer == OURS else LIBRARIES[goal.peer]
    cpu = part(verdict.cpu.median) if verdict.cpu else ""
    return f"| {title} | {peer} | {limit} | {shown} | {spread} | {cpu} | {'met' if verdict.met else '**missed**'} |"


def render(raw: dict[str, Any]) -> str:
    results = Results(raw)
    machine = results.machine
    measured = results.libraries()
    main = [x for x in measured if not x.startswith(("apscheduler", "rscheduler", "rust_"))]
    others = [x for x in measured if x == OURS or x not in main]
    versions = ", ".join(
        f"{LIBRARIES[library]} {machine['versions'][library]}"
        for library in measured
        if library not in ("asyncio_loop", "stdlib_sched")
    )
    verdicts = list(results.verdicts())
    absent = [name for library, name in LIBRARIES.items() if library not in measured]
    n = max((s["n"] for s in results.samples if s["row"] == "schedule" and s["library"] == OURS), default=1_000_000)
    lines = [
        "# Benchmarks",
        "",
        "Made by `make compare` (`benches/compare/run.py`); every raw sample is in `benches/compare/results.json`, with its CPU time and the load of the machine.",
        "",
        *(
            ["**A quick run with a twentieth of the jobs: it shows that the rows work, not how fast.**", ""]
            * results.quick
        ),
        "![Time of each operation, duewheel beside its peers, on a logarithmic scale](benchmarks.svg)",
        "",
        "## Machine",
        "",
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB; {machine['kernel']}; {machine['python']}; "
        f"{versions}; {machine['date']}. Medians of {counted(results.rounds)}.",
        *load_line(results),
        "",
        "## Goals",
        "",
        "| row | against | goal | reached | spread | in CPU time | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *map(verdict_line, verdicts),
        "",
        f"{sum(v.met for v in verdicts)} of {len(verdicts)} goals met.",
        "",
        "## Figures",
        "",
        *table(results, main),
        "",
        *([*table_of_others(results, others), ""] if len(others) > 1 else []),
        "## Method",
        "",
        METHOD.format(rounds=counted(results.rounds), n=n),
        "## Notes",
        "",
        NOTES,
    ]
    if absent:
        lines += [f"Not measured here: {', '.join(absent)}.", ""]
    if errors := results.errors():
        lines += ["Samples that failed:", "", *(f"- {error}" for error in errors), ""]
    return "\n".join(lines).rstrip() + "\n"


def counted(rounds: int) -> str:
    return f"{rounds} round" + "s" * (rounds != 1)


def load_line(results: Results) -> list[str]:
    """What else the machine did: a comparison alone keeps the load near one."""
    loads = sorted(s["load"] for s in results.samples if "load" in s)
    if not loads:
        return []
    busy = loads[len(loads) // 2] > 2
    warning = " **Other processes took most of the CPUs: a run to be repeated on a quiet machine.**" if busy else ""
    return ["", f"Load average during the run: {loads[0]:g} to {loads[-1]:g}.{warning}"]


def table_of_others(results: Results, libraries: list[str]) -> list[str]:
    """The libraries that take part in few rows, in those rows only."""
    shared = {s["row"] for s in results.samples if s["library"] in libraries and s["library"] != OURS}
    kept = {**vars(results), "samples": [s for s in results.samples if s["row"] in shared]}
    return table(Results(kept), libraries)
