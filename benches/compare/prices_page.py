"""The section "Prices" of docs/benchmarks.md, from the samples of `prices.py`."""

import json
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

RAW = Path(__file__).resolve().with_name("prices.json")
HEADING = "\n## Prices\n"
OURS = "ours_prices"


class Price(NamedTuple):
    """What a row is, the row that is the same without it, and how many nanoseconds it may cost."""

    title: str
    without: str | None = None
    goal: float | None = None


ROWS = {
    "run_plain": Price("run: nothing of these"),
    "run_beside": Price("run: a `concurrency` on another target", "run_plain"),
    "run_concurrency": Price("run: `concurrency`, never reached", "run_plain", 25),
    "run_concurrency_1": Price("run: `concurrency=1`, one worker, always reached", "run_plain"),
    "run_rate": Price("run: `rate`, one a nanosecond", "run_plain"),
    "run_priority": Price("run: `priority`", "run_plain", 60),
    "run_timeout": Price("run: `timeout`", "run_plain"),
    "run_key": Price("run: `key`, one of each", "run_plain"),
    "run_missed": Price("run: a plugin without a hook for attempts", "run_plain"),
    "run_ended": Price("run: a plugin with `ended`", "run_plain"),
    "run_around": Price("run: a plugin with `around`", "run_plain"),
    "run_json": Price("run: two ints, `json` by hand", "run_plain"),
    "run_task": Price("run: a task of two ints", "run_json"),
    "schedule_plain": Price("schedule: nothing of these"),
    "schedule_key": Price("schedule: `key`", "schedule_plain"),
    "schedule_headers": Price("schedule: one header", "schedule_plain"),
    "schedule_json": Price("schedule: two ints, `json` by hand", "schedule_plain"),
    "schedule_task": Price("schedule: a task of two ints", "schedule_json"),
}
TASK_GOAL_NS = 2_500
PEERS = {"huey_memory": "huey, in memory", "apscheduler3": "APScheduler 3", "taskito_rust": "taskito, SQLite in a file"}
METHOD = """\
Made by `benches/compare/prices.py`; the samples are in `benches/compare/prices.json`. CPU time of all threads, for each job: what
other processes take does not count. Each sample is a fresh process, all in turns; medians, with the lowest and the
highest in brackets. *More* is by how much a row is over the same without it, in the same round. *Run* is from `start()` to the end of `wait()`,
no-ops that are due already, `workers=1`; *schedule* is one call, due in an hour. Instructions are counted by callgrind, in which a
reading of the clock costs a system call.
"""


def results() -> dict[str, Any]:
    """What was measured, by the version of Python."""
    found: dict[str, Any] = json.loads(RAW.read_text(encoding="utf-8")) if RAW.exists() else {}
    return found


def by_round(found: dict[str, Any], row: str, library: str = OURS) -> dict[int, float]:
    """The CPU time of each round, in nanoseconds a job."""
    samples = found["samples"]
    return {one["round"]: one["values"]["cpu"] for one in samples if (one["row"], one["library"]) == (row, library)}


def spread(values: list[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def table(found: dict[str, Any]) -> list[str]:
    lines = ["| row | ns | more | goal | | instructions | more |", "| --- | ---: | ---: | ---: | --- | ---: | ---: |"]
    counted: dict[str, float] = found["instructions"]
    for row, price in ROWS.items():
        own = by_round(found, row)
        if not own:
            continue
        without = by_round(found, price.without) if price.without else {}
        more = [own[i] - without[i] for i in own if i in without]
        goal, judged = price.goal, more
        if row == "schedule_task":
            goal, judged = TASK_GOAL_NS, list(own.values())
        verdict = "" if goal is None or not judged else "met" if median(judged) <= goal else "**missed**"
        has_both = row in counted and price.without in counted
        cells = [
            price.title,
            spread(list(own.values())),
            spread(more) if more else "",
            "" if goal is None else f"≤ {goal:,.0f}",
            verdict,
            f"{counted[row]:,.0f}" if row in counted else "",
            f"{counted[row] - counted[str(price.without)]:,.0f}" if has_both else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for library, name in PEERS.items():
        if own := by_round(found, "schedule_task", library):
            lines.append(f"| the same by {name} | {spread(list(own.values()))} | | | | | |")
    return lines


def section(found_by_python: dict[str, Any]) -> str:
    lines = [HEADING, METHOD]
    for python, found in found_by_python.items():
        about = found["machine"]
        loads = sorted(one["load"] for one in found["samples"])
        lines += [
            f"### Prices on {python}\n",
            f"{about['cpu']}, {about['cpus']} CPUs; {about['kernel']}; {about['date']}; load average {loads[0]:g} to {loads[-1]:g}.\n",
            "\n".join(table(found)) + "\n",
        ]
    return "\n".join(lines)


def stored() -> str:
    """The section from the samples that are stored, for who writes the page anew."""
    found = results()
    return section(found) if found else ""


def write(docs: Path) -> None:
    """Put the section in its place, before the next."""
    page = docs / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    before, _, old = text.partition(HEADING)
    if not old:
        before, _, old = text.partition("\n## asyncio\n")
        old = "\n## asyncio\n" + old
    after = old[old.index("\n## asyncio\n") :]
    page.write_text(before.rstrip("\n") + "\n" + stored() + after, encoding="utf-8")
    print("written: the section Prices of benchmarks.md")
