"""Instructions of each row, counted by callgrind: what stays the same however busy the machine is.

    python benches/compare/instructions.py [--rows schedule,run_due] [--libraries ours,floor_bare] [--functions 20]

Counts between the two readings of the clock that a row is timed by, for two sizes, and divides the difference: what
comes once cancels out. `--functions` shows where most of it went; a build that is not stripped names them. Needs
valgrind. Time is not instructions: what misses the cache, locks or reads the clock costs more than it counts; beneath
valgrind a reading of the clock is a system call, of which the kernel's part is not counted.
"""

import argparse
import ctypes
import errno
import os
import platform
import re
import struct
import subprocess
import sys
import tempfile
from collections import Counter

import profiled

ROWS = "schedule,schedule_many,cancel,cancel_many,timer,run_due,async_due"
SMALL, LARGE = 4_000, 12_000
LINE = re.compile(r"\s*([\d,]+)\s+\S*?:(.+?)(?: \[.*\])?$")

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
PR_GET_AUXV = 0x4155_5856
PRCTL = {"x86_64": 157, "aarch64": 167}


def hide_clock_pages() -> None:
    """Have `prctl(PR_GET_AUXV)` fail in this process and its children.

    It tells a program where the kernel has mapped what reads the clock without a system call. Valgrind hides that, but
    lets this call through to the kernel (3.19 does), and a program that goes there dies: those are not its pages.
    """
    load, equal, give = 0x20, 0x15, 0x06  # of a word of the call; jumps, if it is not equal, over so many; the end
    fail, allow = 0x0005_0000 | errno.EINVAL, 0x7FFF_0000
    number, first_argument = 0, 16
    steps = [
        (load, 0, 0, number),
        (equal, 0, 3, PRCTL[platform.machine()]),
        (load, 0, 0, first_argument),
        (equal, 0, 1, PR_GET_AUXV),
        (give, 0, 0, fail),
        (give, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


def watched(library: str, row: str, n: int) -> None:
    """One row under callgrind, which counts while the row's clock runs."""

    def count(counts: bool) -> None:
        command = ["callgrind_control", f"--instr={'on' if counts else 'off'}", str(os.getpid())]
        subprocess.run(command, capture_output=True, check=True)

    profiled.run(library, row, n, count)
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
    hide_clock_pages()
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
