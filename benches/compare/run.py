"""Compare duewheel with its peers: every sample in a fresh process, the libraries interleaved, the rounds repeated.

    python benches/compare/run.py [--rounds 5] [--rows schedule,whole] [--libraries ours,asyncio_loop] [--quick]

Writes all raw samples to results.json beside this file, and from them docs/benchmarks.md and docs/benchmarks.svg;
`--report` does the writing alone. The interpreter that runs this file runs the samples: it needs duewheel and
requirements.txt. A library that is not installed is left out, and the page says so. Nothing here asserts a time.
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
from rows import LIBRARIES, OURS, ROWS, Row, size

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent.parent / "docs"
DISTRIBUTIONS = {
    OURS: "duewheel",
    "uvloop_loop": "uvloop",
    "rloop_loop": "rloop",
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


def sample(library: str, row: Row, n: int) -> dict[str, float] | str:
    """One sample in a process of its own, or what went wrong."""
    command = [sys.executable, str(HERE / "measure.py"), library, row.key, str(n)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SAMPLE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"took over {SAMPLE_LIMIT_S} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values


def measure(number: int, rounds: int, rows: list[Row], libraries: list[str], *, quick: bool) -> list[dict[str, Any]]:
    """One round: every row with every library that has it."""
    samples: list[dict[str, Any]] = []
    for row in rows:
        for library in [library for library in libraries if library == OURS or library in row.peers]:
            n = size(row, library, quick=quick)
            load = round(os.getloadavg()[0], 2)  # of the whole machine: what else it was doing
            record: dict[str, Any] = {"round": number, "row": row.key, "library": library, "n": n, "load": load}
            values = sample(library, row, n)
            if isinstance(values, str):
                record["error"] = shown = values
            else:
                record["values"] = values
                shown = "  ".join(f"{name} {value:,.1f}" for name, value in values.items())
            samples.append(record)
            print(f"{number}/{rounds}  {row.key:15} {LIBRARIES[library]:18} {n:>10,}  {shown}", flush=True)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare duewheel with its peers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default=",".join(row.key for row in ROWS), help="comma-separated")
    parser.add_argument("--libraries", default=",".join(LIBRARIES), help="comma-separated modules of peers/")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the jobs; figures that show little")
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="the raw samples")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page and its picture go")
    parser.add_argument("--report", action="store_true", help="measure nothing, write page and picture again")
    given = parser.parse_args()
    if unknown := set(given.rows.split(",")) - {row.key for row in ROWS}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join(row.key for row in ROWS)}")
    if unknown := set(given.libraries.split(",")) - set(LIBRARIES):
        parser.error(f"no such library: {', '.join(sorted(unknown))}; there are: {', '.join(LIBRARIES)}")

    if not given.report:
        about = machine()
        libraries = [library for library in given.libraries.split(",") if library in about["versions"]]
        rows = [row for row in ROWS if row.key in given.rows.split(",")]
        results = {"machine": about, "quick": given.quick, "samples": []}
        for number in range(1, given.rounds + 1):  # written after each round: a run that is stopped leaves whole rounds
            results["samples"] += measure(number, given.rounds, rows, libraries, quick=given.quick)
            results["rounds"] = number
            given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results = json.loads(given.json.read_text(encoding="utf-8"))
    given.docs.mkdir(parents=True, exist_ok=True)
    (given.docs / "benchmarks.md").write_text(page.render(results) + loops_page.stored(), encoding="utf-8")
    (given.docs / "benchmarks.svg").write_text(picture.render(results), encoding="utf-8")
    print(f"written: {given.json.name}, benchmarks.md, benchmarks.svg")


if __name__ == "__main__":
    main()
