"""docs/benchmarks.md from the samples."""

from typing import Any

from figures import Figure, Results, Verdict
from rows import FLOOR, LIBRARIES, METRIC_TITLES, OURS, ROWS, Row

TITLES = {row.key: row.title for row in ROWS}
METHOD = """\
Every sample is a fresh process; within a round the libraries take turns, row by row. A figure is the median of the rounds, with the lowest and the highest in brackets. A ratio is taken round by
round (ours over the peer's of the same round), so that what slows the machine for a while slows both. Goals are judged by
the wall's clock; the ratio in CPU time, of all threads together, shows what is left when other processes take their turns,
and is what counts where they took most of them.
The garbage collector is on, as by default, for all. Delays are drawn before the clock starts, from the same seed for all.

The *floor* of a row is what CPython and the system ask for it, with nothing of a scheduler (`benches/floor`, built by
`make compare`): a ratio to it does not move with what the machine or the interpreter does to the peers.

| floor | what it does | rows |
| --- | --- | --- |
| (a) | a call from Python with a float and a str that returns a new str of 36 characters | schedule |
| (b) | the same that returns an int | cancel; (a) then (b): schedule and cancel, `Timer` |
| (c) | a native loop that calls a no-op handler in a copied context with a fresh object | run what is due; (a) then (c): whole; (c) with a handler that does (a): hold |
| (d) | the same with a coroutine function, driven to its end | run what is due, async |
| (e) | the first touch of as many bytes as a pending job takes | first touch; a part of schedule |
| (f) | a thread that sleeps until the same dues on the timer that we use | lateness |
| (g) | the write and one `fdatasync` of what a commit writes, of one job or of 16 | schedule in a file |

duewheel is `Scheduler(workers=1)` with a handler that takes the event and does nothing; the event loops do
`loop.call_later(delay, handler)`; `sched` does `enter(delay, 1, handler)`; APScheduler 3 adds `date` jobs to a background
scheduler with one thread. What each row times:

| row | timed, for each job |
| --- | --- |
| schedule | `in_(delay, target)` in a Python loop, 1,000,000 jobs due one to two hours ahead, in a fresh process |
| schedule, the second million | the same after as many have been scheduled and have run |
| schedule in bulk | one `in_many(array("d"), target)`; the peers have no such call, so the goal counts against their first row |
| cancel | `cancel(id)` of jobs far ahead, in the order of scheduling or shuffled; the loops cancel through a handle that the caller kept |
| cancel in bulk | one `cancel_many(ids)` of the same |
| start and cancel a `Timer` | `timer(delay, handler).cancel()`; the loops: `call_later(delay, handler).cancel()` |
| schedule and cancel by id | `cancel(in_(delay, target))`; the loops as above |
| `timeout` | `async with timeout(3600)`, ten around each other; asyncio's own on the loops |
| run what is due already | all dues within one millisecond and past: from `start()` until the last has run; async: coroutine functions; the loops: `call_soon` of `create_task`, from the first turn on |
| whole | schedule over the next 50 ms, then run all; "started before": with the worker running meanwhile |
| hold | half as many pending far out, and chains of handlers that schedule themselves again within 10 ms: a run |
| a failing attempt | a handler that raises, five times a job, retried within milliseconds; logging off. The peers: `try` and `call_later` by hand |
| memory | growth of the resident set for a job that is pending, ids not kept, after a collection |
| lateness | first line of the handler minus due, 1,000 jobs a second at random phases, else idle |
| schedule in a file | `in_(delay, target, data)` of 100 bytes under `"commit"`, by one thread or 16; `sqlite3`: one row a commit, in our schema |
| run at most once in a file | no-ops that are due, at most once, from `start()` until the last has run |
| handlers that compute | a loop of 100,000 turns each; on a free-threaded interpreter |
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


def is_lateness(row: Row) -> bool:
    return row.key.startswith("lateness")


def scaled(figure: Figure, row: Row) -> str:
    """Median (lowest–highest); lateness in microseconds."""
    by = 1e-3 if is_lateness(row) else 1.0
    middle, low, high = (number(x * by) for x in (figure.median, figure.low, figure.high))
    return f"{middle} ({low}–{high})"


def unit_of(row: Row, metric: str) -> str:
    if is_lateness(row):
        return "µs"
    if metric == "cpu" and row.unit == "ns":
        return "ns of CPU"
    return row.unit if metric in ("ns", "bytes") else ""


def table(results: Results, libraries: list[str]) -> list[str]:
    """The figures; ours over the floor stands behind both."""
    floored = FLOOR in libraries
    heads = [LIBRARIES[library] + " | over floor" * (library == FLOOR) for library in libraries]
    lines = [
        "| row | unit | " + " | ".join(heads) + " |",
        "| --- | --- |" + " ---: |" * (len(libraries) + floored),
    ]
    for row in ROWS:
        for metric in row.metrics:
            shown = results.shown(row, metric)
            figures = [results.figure(row.key, library, shown) for library in libraries]
            if any(figures):
                title = METRIC_TITLES.get((row.key, metric), row.title)
                cells = [scaled(figure, row) if figure else "" for figure in figures]
                if floored:
                    over = results.over_floor(row.key, shown)
                    cells.insert(libraries.index(FLOOR) + 1, times(over) if over else "")
                lines.append(f"| {title} | {unit_of(row, shown)} | " + " | ".join(cells) + " |")
    return lines


def times(ratio: Figure) -> str:
    return f"{ratio.median:.2f} × ({ratio.low:.2f}–{ratio.high:.2f})"


def part(value: float) -> str:
    """A ratio as one reads it: 1/18.2, or 1.4 ×."""
    return f"1/{1 / value:.1f}" if 0 < value < 1 else f"{value:.2f} ×"


def verdict_line(verdict: Verdict) -> str:
    row, goal, found = verdict.row, verdict.goal, verdict.found
    title = METRIC_TITLES.get((row.key, goal.metric), row.title)
    if goal.peer is None:
        unit = f" {row.unit}" if row.unit else ""
        limit, shown = f"≤ {number(goal.limit)}{unit}", f"{number(found.median)}{unit}"
        spread, peer = f"{number(found.low)}–{number(found.high)}", ""
    else:
        limit, shown = f"≤ {part(goal.limit)}", part(found.median)
        spread = f"{part(found.low)} to {part(found.high)}"
        other = f", {TITLES[goal.row]}" if goal.row else ""
        peer = LIBRARIES[goal.peer] + other
    cpu = ""
    if verdict.cpu:
        cpu = f"{part(verdict.cpu.median)} ({part(verdict.cpu.low)} to {part(verdict.cpu.high)})"
    return f"| {title} | {peer} | {limit} | {shown} | {spread} | {cpu} | {'met' if verdict.met else '**missed**'} |"


def goals(found: dict[str, Any]) -> list[str]:
    """The goals and what was reached, by one interpreter."""
    verdicts = list(Results(found).verdicts())
    return [
        "| row | against | goal | reached | spread | in CPU time | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *map(verdict_line, verdicts),
        "",
        f"{sum(v.met for v in verdicts)} of {len(verdicts)} goals met.",
    ]


def section(python: str, raw: dict[str, Any]) -> list[str]:
    """What one interpreter has measured, in one table with the goals before it."""
    results = Results(raw)
    machine, measured = results.machine, results.libraries()
    main = [x for x in measured if not x.startswith(("apscheduler", "rscheduler", "rust_"))]
    others = [x for x in measured if x == OURS or x not in main]
    versions = ", ".join(
        f"{LIBRARIES[library]} {machine['versions'][library]}"
        for library in measured
        if library not in (FLOOR, "asyncio_loop") and not library.startswith("stdlib_")
    )
    lines = [
        f"## {python}",
        "",
        *(["**A quick run with a tenth of the jobs: it shows that the rows work, not how fast.**", ""] * results.quick),
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB; {machine['kernel']}; {machine['python']}; "
        f"{versions}; {machine['date']}. Medians of {counted(results.rounds)}.",
        *load_line(results),
        "",
        *goals(raw),
        "",
        *table(results, main),
        "",
        *([*table_of_others(results, others), ""] if len(others) > 1 else []),
    ]
    if absent := [name for library, name in LIBRARIES.items() if library not in measured]:
        lines += [f"Not measured here: {', '.join(absent)}.", ""]
    if absent := results.absent():
        lines += [f"Rows that this build or interpreter does not have: {'; '.join(absent)}.", ""]
    if errors := results.errors():
        lines += ["Samples that failed:", "", *(f"- {error}" for error in errors), ""]
    return lines


def render(by_python: dict[str, Any]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made by `make compare` (`benches/compare/run.py`); every raw sample is in `benches/compare/results.json`, with its CPU time and the load of the machine.",
        "",
        "![Time of each operation, duewheel beside its peers and the floor, on a logarithmic scale](benchmarks.svg)",
        "",
    ]
    for python, found in by_python.items():
        lines += section(python, found)
    lines += ["## Method", "", METHOD, "## Notes", "", NOTES]
    return "\n".join(lines).rstrip() + "\n"


def counted(rounds: int) -> str:
    return f"{rounds} round" + "s" * (rounds != 1)


def load_line(results: Results) -> list[str]:
    """What else the machine did: a comparison alone keeps the load near one."""
    loads = results.loads()
    if not loads:
        return []
    warning = (
        " **Other processes took most of the CPUs: goals are judged in CPU time, and the run is to be repeated on a "
        "quiet machine.**" * results.is_busy()
    )
    return ["", f"Load average during the run: {loads[0]:g} to {loads[-1]:g}.{warning}"]


def table_of_others(results: Results, libraries: list[str]) -> list[str]:
    """The libraries that take part in few rows, in those rows only."""
    shared = {s["row"] for s in results.samples if s["library"] in libraries and s["library"] != OURS}
    kept = {**vars(results), "samples": [s for s in results.samples if s["row"] in shared]}
    return table(Results(kept), libraries)
