"""What controls, plugins and tasks cost: each beside the same without it, and tasks beside those of other libraries.

    python benches/compare/prices.py [--rounds 5] [--rows run_priority,schedule_task] [--instructions] [--quick]

Every sample is a fresh process, all in turns. Writes the raw samples to prices.json beside this file, under the version of
the Python that ran them, and from them the section "Prices" of docs/benchmarks.md; `--report` does the writing alone,
`--quick` takes a tenth of the jobs and writes nothing. `--instructions` counts those of our rows too, with valgrind.
Nothing here asserts a time.
"""

import argparse
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import instructions
import prices_page
from run import DOCS, machine
from workload import Sample

HERE = Path(__file__).resolve().parent
OURS = "ours_prices"
RUNS, SCHEDULES = 200_000, 100_000
# How many jobs each is given, and the module that it is of: what is not installed is left out.
PEERS = {"huey_memory": (20_000, "huey"), "apscheduler3": (3_000, "apscheduler"), "taskito_rust": (500, "taskito")}
SAMPLE_LIMIT_S = 120


def sides(row: str) -> dict[str, int]:
    """Who has a row, and how many jobs each is given."""
    ours = {OURS: SCHEDULES if row.startswith("schedule") else RUNS}
    peers = {peer: n for peer, (n, module) in PEERS.items() if row == "schedule_task" and find_spec(module)}
    return {**ours, **peers}


def sample(library: str, row: str, n: int) -> Sample:
    command = [sys.executable, str(HERE / "measure.py"), library, row, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SAMPLE_LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{row}, {library}: {done.stderr}")
    values: Sample = json.loads(done.stdout.splitlines()[-1])
    return values


def measure(rows: list[str], rounds: int, *, quick: bool) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        for row in rows:
            for library, n in sides(row).items():
                load = round(os.getloadavg()[0], 2)
                values = sample(library, row, n // 10 if quick else n)
                samples.append({"round": number, "row": row, "library": library, "load": load, "values": values})
                shown = "  ".join(f"{name} {value:,.0f}" for name, value in values.items())
                print(f"{number}/{rounds}  {row:18} {library:14} {shown}", flush=True)
    return samples


def counted(rows: list[str]) -> dict[str, float]:
    """The instructions of each of our rows."""
    found: dict[str, float] = {}
    for row in rows:
        small, large = (instructions.functions(OURS, row, n) for n in (instructions.SMALL, instructions.LARGE))
        if small is not None and large is not None:
            found[row] = (large.total() - small.total()) / (instructions.LARGE - instructions.SMALL)
            print(f"{row:18} {found[row]:,.0f} instructions", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell what controls, plugins and tasks cost.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default=",".join(prices_page.ROWS), help="comma-separated")
    parser.add_argument("--instructions", action="store_true", help="count them, too")
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs; figures that show little")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the section again")
    given = parser.parse_args()
    rows = given.rows.split(",")
    if unknown := set(rows) - set(prices_page.ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join(prices_page.ROWS)}")
    if not given.report:
        about = machine()
        results = prices_page.results()
        found = results.get(about["python"], {"instructions": {}})
        samples = measure(rows, given.rounds, quick=given.quick)
        if given.instructions:
            instructions.hide_clock_pages()
            found["instructions"].update(counted(rows))
        kept = [one for one in found.get("samples", ()) if one["row"] not in rows]
        results[about["python"]] = {**found, "machine": about, "samples": kept + samples}
        print("", *prices_page.table(results[about["python"]]), sep="\n")
        if given.quick:
            return
        prices_page.RAW.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    prices_page.write(DOCS)


if __name__ == "__main__":
    main()
