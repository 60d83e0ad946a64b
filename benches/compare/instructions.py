"""Instructions of each row, counted by callgrind: what stays the same however busy the machine is.

    python benches/compare/instructions.py [--rows schedule,run_due] [--libraries ours,floor_bare] [--functions 20]

Counts between the two readings of the clock that a row is timed by, for two sizes, and divides the difference: what
comes once cancels out. `--functions` shows where most of it went; a build that is not stripped names them. Needs
valgrind. Time is not instructions: what misses the cache, locks or reads the clock costs more than it counts.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = "schedule,schedule_many,cancel,cancel_many,timer,run_due,async_due"
SMALL, LARGE = 4_000, 12_000
LINE = re.compile(r"\s*([\d,]+)\s+\S*?:(.+?)(?: \[.*\])?$")


def watched(library: str, row: str, n: int) -> None:
    """One row under callgrind, which counts while the row's clock runs."""
    import importlib

    import workload

    def count(state: str) -> None:
        subprocess.run(["callgrind_control", f"--instr={state}", str(os.getpid())], capture_output=True, check=True)

    clock, per_op = workload.clock, workload.per_op

    def begin() -> workload.Moment:
        workload_clock = clock()
        count("on")
        return workload_clock

    def end(begin: workload.Moment, n: int) -> workload.Sample:
        count("off")
        return per_op(begin, n)

    workload.clock, workload.per_op = begin, end
    importlib.import_module(f"peers.{library}").ROWS[row](n)
    os._exit(0)


def functions(library: str, row: str, n: int) -> Counter[str] | None:
    """Instructions by function; none where the library does not have the row."""
    with tempfile.TemporaryDirectory() as directory:
        out = f"{directory}/counted"
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        command = [*valgrind, sys.executable, __file__, "--watched", library, row, str(n)]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
        if done.returncode:
            print(f"{row}, {library}: {(done.stderr.strip().splitlines() or ['fails'])[-1]}", file=sys.stderr)
            return None
        table = ["callgrind_annotate", "--threshold=100", "--show-percs=no", out]
        shown = subprocess.run(table, capture_output=True, text=True, check=True).stdout
    counted: Counter[str] = Counter()
    for found in map(LINE.match, shown.splitlines()):
        if found:
            counted[found[2].removesuffix("'2")] += int(found[1].replace(",", ""))
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the instructions of each row.")
    parser.add_argument("--rows", default=ROWS, help="comma-separated")
    parser.add_argument("--libraries", default="ours,floor_bare", help="comma-separated modules of peers/")
    parser.add_argument("--functions", type=int, default=0, help="show so many functions of each row")
    parser.add_argument("--watched", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watched:
        library, row, n = given.watched
        watched(library, row, int(n))
    for row in given.rows.split(","):
        for library in given.libraries.split(","):
            small, large = functions(library, row, SMALL), functions(library, row, LARGE)
            if small is None or large is None:
                continue
            each = {name: (large[name] - small[name]) / (LARGE - SMALL) for name in large}
            print(f"{row:18} {library:14} {sum(each.values()):10,.1f} instructions", flush=True)
            for name, count in sorted(each.items(), key=lambda item: -item[1])[: given.functions]:
                print(f"    {count:8.1f}  {name[:110]}", flush=True)


if __name__ == "__main__":
    main()
