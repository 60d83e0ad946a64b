"""Compare duewheel with its peers and the floor: every sample in a fresh process, all in turns, the rounds repeated.

    python benches/compare/run.py [--rounds 5] [--rows schedule,whole] [--libraries ours,asyncio_loop] [--quick]

Writes all raw samples to results.json beside this file, under the version of the Python that ran them, and from them
docs/benchmarks.md and docs/benchmarks.svg; `--report` does the writing alone. `--quick` takes two minutes: a tenth of
the jobs, three rounds, the loops alone beside us; it writes below target/compare. The interpreter that runs this file
runs the samples: it needs duewheel, requirements.txt and a C compiler (for benches/floor). A library that is not
installed is left out, and so is what the build at hand does not have; the page says so. Nothing here asserts a time.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import loops_page
import page
import picture
import prices_page
from rows import LIBRARIES, OURS, QUICK_LIBRARIES, QUICK_ROWS, ROWS, Row, size

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
DOCS = CHECKOUT / "docs"
QUICK = CHECKOUT / "target" / "compare"
DISTRIBUTIONS = {
    OURS: "duewheel",
    "uvloop_loop": "uvloop",
    "rloop_loop": "rloop",
    "zuvloop_loop": "zuvloop",
    "blazio_loop": "blazio",
    "apscheduler3": "APScheduler",
    "rscheduler_rust": "rscheduler",
    "rust_py_scheduler_rust": "rust_py_scheduler",
}
SAMPLE_LIMIT_S = 300


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {library: found for library in LIBRARIES if (found := version_of(library))},
        "date": datetime.now(UTC).date().isoformat(),
    }


def version_of(library: str) -> str | None:
    """The version that is installed, if any; the standard library's is Python's, a checkout on the path has its own."""
    if library not in DISTRIBUTIONS:
        return platform.python_version()
    try:
        return version(DISTRIBUTIONS[library])
    except PackageNotFoundError:
        checkout = library == OURS and find_spec(DISTRIBUTIONS[library]) is not None
        return "(checkout)" if checkout else None


def sample(library: str, row: Row, n: int) -> dict[str, Any]:
    """One sample in a process of its own: its values, or why there are none."""
    command = [sys.executable, str(HERE / "measure.py"), library, row.key, str(n)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SAMPLE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"took over {SAMPLE_LIMIT_S} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found if "absent" in found else {"values": found}


def measure(number: int, rounds: int, rows: list[Row], libraries: list[str], *, quick: bool) -> list[dict[str, Any]]:
    """One round: every row with every library that has it."""
    samples: list[dict[str, Any]] = []
    for row in rows:
        for library in [library for library in libraries if library in row.peers or (library == OURS and row.ours)]:
            n = size(row, library, quick=quick)
            load = round(os.getloadavg()[0], 2)  # of the whole machine: what else it was doing
            found = sample(library, row, n)
            samples.append({"round": number, "row": row.key, "library": library, "n": n, "load": load, **found})
            values = "  ".join(f"{name} {value:,.1f}" for name, value in found.get("values", {}).items())
            shown = values or found.get("error") or found["absent"]
            print(f"{number}/{rounds}  {row.key:18} {LIBRARIES[library]:18} {n:>10,}  {shown}", flush=True)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare duewheel with its peers.")
    parser.add_argument("--rounds", type=int, help="5; 3 in a quick run")
    parser.add_argument("--rows", help="comma-separated; all, unless given")
    parser.add_argument("--libraries", help="comma-separated modules of peers/; all, unless given")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the jobs, in two minutes; written below target/"
    )
    parser.add_argument("--json", type=Path, help="the raw samples")
    parser.add_argument("--docs", type=Path, help="where the page and its picture go")
    parser.add_argument("--report", action="store_true", help="measure nothing, write page and picture again")
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.quick else 5)
    given.rows = given.rows or ",".join(QUICK_ROWS if given.quick else [row.key for row in ROWS])
    given.libraries = given.libraries or ",".join(QUICK_LIBRARIES if given.quick else LIBRARIES)
    given.json = given.json or (QUICK / "quick.json" if given.quick else HERE / "results.json")
    given.docs = given.docs or (QUICK if given.quick else DOCS)
    if unknown := set(given.rows.split(",")) - {row.key for row in ROWS}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join(row.key for row in ROWS)}")
    if unknown := set(given.libraries.split(",")) - set(LIBRARIES):
        parser.error(f"no such library: {', '.join(sorted(unknown))}; there are: {', '.join(LIBRARIES)}")

    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.docs.mkdir(parents=True, exist_ok=True)
    results = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else {}
    if not given.report:
        subprocess.run([sys.executable, str(CHECKOUT / "benches" / "floor" / "build.py")], check=True)
        about = machine()
        libraries = [library for library in given.libraries.split(",") if library in about["versions"]]
        rows = [row for row in ROWS if row.key in given.rows.split(",")]
        found: dict[str, Any] = {"machine": about, "quick": given.quick, "samples": []}
        for number in range(1, given.rounds + 1):  # written after each round: a run that is stopped leaves whole rounds
            found["samples"] += measure(number, given.rounds, rows, libraries, quick=given.quick)
            results[about["python"]] = {**found, "rounds": number}
            given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print("", *page.goals(results[about["python"]]), sep="\n")
    (given.docs / "benchmarks.md").write_text(
        page.render(results) + prices_page.stored() + loops_page.stored(), encoding="utf-8"
    )
    (given.docs / "benchmarks.svg").write_text(picture.render(results), encoding="utf-8")
    print(f"written: {given.json}, {given.docs / 'benchmarks.md'} and its picture")


if __name__ == "__main__":
    main()
