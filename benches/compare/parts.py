"""What a job costs as a sum: where the processor's time goes, part by part, beside what was measured without looking.

    python benches/compare/parts.py [--rows schedule,run_due] [--rounds 10] [--lines 5]

Each row runs as it does in the comparison, and then under `perf`, which notes by the processor's clock where each thread is
between the row's two readings of the clock. A sample belongs to the part of the innermost of our own functions, inlined
ones included, or to the library it is in. The sum of the parts is held against the processor time of a job as it was
measured without `perf`: within 10 %, or it says nothing. `--lines` names the heaviest lines of each part. Needs Linux,
`perf`, binutils and the right to sample the kernel; builds the extension, unstripped, below target/profiled.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import profiled
from rows import BY_KEY

ROWS = "schedule,run_due,whole"
PERIOD_NS = 250_000  # a sample takes some ten microseconds itself
ELSE = "else"
# By the path of the innermost function that is ours, below rust/: the first that it begins with.
PARTS = (
    ("engine/src/clock", "reading the clock"),
    ("engine/src/jobs/ids", "the id"),
    ("engine/src/jobs/digits", "the id"),
    ("engine/src/jobs/id_index", "the id"),
    ("engine/src/due/slab", "the slab of entries"),
    ("engine/src/due/free", "the slab of entries"),
    ("engine/src/due", "the wheel"),
    ("engine/src/jobs", "the job in the table"),
    ("engine/src/sync", "locks"),
    ("engine/src/handover", "handing over"),
    ("engine/src/targets", "handing over"),
    ("engine/src/engine/lanes", "handing over"),
    ("engine/src/engine/settle", "settling"),
    ("engine/src/engine", "the engine's call"),
    ("binding/src/run", "the worker's loop and the call"),
    ("binding/src/interpreter", "the worker's loop and the call"),
    ("binding/src/values/event", "the event"),
    ("binding/src/values/spare", "the event"),
    ("binding/src/values", "arguments, data and Spec"),
    ("binding/src", "arguments, data and Spec"),
    ("", ELSE),
)
LIBRARIES = (
    ("[kernel", "the kernel: first touch of memory, and interrupts"),
    ("[vdso]", "reading the clock"),
    ("libpython", "CPython"),
    ("python", "CPython"),
    ("libc.", "the C library"),
    ("libm", "the C library"),
)
SAMPLE = re.compile(r"\s*([0-9a-f]+) (.*) \((.*)\)$")
MAPPED = re.compile(r"PERF_RECORD_MMAP2 .*\[0x([0-9a-f]+)\(0x([0-9a-f]+)\) @ (0x[0-9a-f]+|0) .*\]: r.x. (\S+)$")
OWN = re.compile(r"(?:^|/)rust/(\w+/src/\S+\.rs):(\d+)")


def watched(library: str, row: str, n: int, control: str, answers: str) -> None:
    """One row under perf, which samples while the row's clock runs."""
    with open(control, "w", encoding="ascii") as tell, open(answers, encoding="ascii") as answer:

        def switch(samples: bool) -> None:
            tell.write("enable\n" if samples else "disable\n")
            tell.flush()
            answer.readline()

        profiled.run(library, row, n, switch)
    os._exit(0)


def sampled(row: str, n: int, built: Path, directory: str) -> list[str]:
    """What perf has noted, a line each."""
    data, control, answers = (f"{directory}/{name}" for name in ("data", "control", "answers"))
    for pipe in (control, answers):
        if not os.path.exists(pipe):
            os.mkfifo(pipe)
    record = [
        "perf",
        "record",
        "--event=cpu-clock",
        f"--count={PERIOD_NS}",
        "--delay=-1",
        f"--output={data}",
        "--quiet",
    ]
    command = [*record, f"--control=fifo:{control},{answers}", "--", sys.executable, __file__]
    command += ["--watched", "ours", row, str(n), control, answers]
    subprocess.run(command, capture_output=True, check=True, env=profiled.importing(built))
    script = ["perf", "script", f"--input={data}", "--fields=ip,sym,dso", "--show-mmap-events"]
    return subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()


def segments(library: Path) -> list[tuple[int, int, int]]:
    """Where the segments of a library lie: offset in the file, length, address."""
    shown = subprocess.run(["readelf", "-lW", library], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith("LOAD")]
    return [(int(row[1], 16), int(row[4], 16), int(row[2], 16)) for row in rows]


def own_lines(library: Path, addresses: list[int]) -> dict[int, str | None]:
    """The file and line of the innermost function that is ours, for each address."""
    table = ["addr2line", "--exe", str(library), "--inlines", "--addresses"]
    given = "\n".join(hex(address) for address in addresses)
    shown = subprocess.run(table, input=given, capture_output=True, text=True, check=True).stdout
    found: dict[int, str | None] = {}
    at = 0
    for line in shown.splitlines():
        if line.startswith("0x"):
            at = int(line, 16)
            found[at] = None
        elif found[at] is None and (own := OWN.search(line)):
            found[at] = f"{own[1]}:{own[2]}"
    return found


def parts(lines: list[str], library: Path) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Samples by part, and by part and line."""
    loads = segments(library)
    mapped: list[tuple[int, int, int]] = []
    ours: Counter[int] = Counter()
    counted: Counter[str] = Counter()
    heavy: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if (found := MAPPED.search(line)) and found[4].endswith(library.name):
            mapped.append((int(found[1], 16), int(found[2], 16), int(found[3], 16)))
        elif sample := SAMPLE.match(line):
            ip, symbol, dso = int(sample[1], 16), sample[2], sample[3]
            if dso.endswith(library.name):
                at = next(ip - start + offset for start, length, offset in mapped if start <= ip < start + length)
                ours[
                    next(at - offset + address for offset, size, address in loads if offset <= at < offset + size)
                ] += 1
            else:
                name = Path(dso).name
                part = next((part for begin, part in LIBRARIES if name.startswith(begin)), ELSE)
                counted[part] += 1
                heavy[part, f"{symbol} ({name})"] += 1
    lines_of = own_lines(library, list(ours))
    for address, count in ours.items():
        line_of = lines_of[address] or ""
        part = next(part for begin, part in PARTS if line_of.startswith(begin))
        counted[part] += count
        heavy[part, line_of] += count
    return counted, heavy


def measured(row: str, n: int, built: Path) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).with_name("measure.py")), "ours", row, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=profiled.importing(built))
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


class Row:
    """What a row costs, a job: by part, and as it was measured without looking."""

    def __init__(self, row: str, rounds: int, built: Path) -> None:
        n = BY_KEY[row].n
        library = next((built / "duewheel").glob("_core*.so"))
        self.title = BY_KEY[row].title
        counted: Counter[str] = Counter()
        heavy: Counter[tuple[str, str]] = Counter()
        alone: list[dict[str, float]] = []
        with tempfile.TemporaryDirectory() as directory:
            for _ in range(rounds):
                alone.append(measured(row, n, built))
                found, found_lines = parts(sampled(row, n, built, directory), library)
                counted += found
                heavy += found_lines
        each = PERIOD_NS / (n * rounds)
        self.parts = {part: count * each for part, count in counted.items()}
        self.lines = {line: count * each for line, count in heavy.most_common()}
        self.cpu = median(one["cpu"] for one in alone)

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def table(rows: list[Row]) -> list[str]:
    """The parts of all rows as a table, the heaviest first."""
    names = {part for row in rows for part in row.parts}
    order = sorted(names, key=lambda part: -max(row.parts.get(part, 0.0) for row in rows))
    bodies = [
        *((part, [f"{row.parts.get(part, 0.0):.0f}" for row in rows]) for part in order),
        ("**sum of the parts**", [f"**{row.total:.0f}**" for row in rows]),
        ("measured without perf", [f"{row.cpu:.0f}" for row in rows]),
        ("the sum is off by", [f"{row.total / row.cpu - 1:+.1%}" for row in rows]),
    ]
    head = ["", *(row.title for row in rows)]
    lines = [head, ["---", *("---:" for _ in rows)], *([name, *found] for name, found in bodies)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell what a job costs as a sum of its parts.")
    parser.add_argument("--rows", default=ROWS, help="comma-separated")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=0, help="show so many lines of each part as well")
    parser.add_argument("--built", type=Path, help="where an unstripped duewheel is imported from, in place of a build")
    parser.add_argument("--watched", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watched:
        library, row, n, control, answers = given.watched
        watched(library, row, int(n), control, answers)
    built = given.built or profiled.build("sampled")
    rows = [Row(row, given.rounds, built) for row in given.rows.split(",")]
    print(*table(rows), sep="\n")
    for row in rows if given.lines else []:
        print(f"\n{row.title}")
        for part in sorted(row.parts, key=lambda part: -row.parts[part]):
            print(f"    {row.parts[part]:7.1f}  {part}")
            of_part = [(line, found) for (its, line), found in row.lines.items() if its == part]
            for line, found in of_part[: given.lines]:
                print(f"             {found:7.1f}  {line}")


if __name__ == "__main__":
    main()
