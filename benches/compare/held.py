"""What a target at its limit costs the others: how many of another one run in a second, and how late, beside what is held.

    python benches/compare/held.py [--held 100000] [--jobs 50000] [--rounds 3] [--resident 1000000] [--memory 1000000] [--quick]

Every sample is taken in a fresh process, without and with held jobs in turns, in memory and over a file: `--jobs` of a free
target that are all due at once, then 200 one after the other, 5 ms apart. Then the memory of a process whose file holds
`--memory` jobs of one target, with 10,000 that may be resident. Prints medians with their ends. `--quick` takes a twentieth of
the jobs, and one round: figures that show little.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

APART_S, SPREAD = 0.005, 200
SETTLES_S = 600
IN_A_CALL = 10_000
SCHEDULED_PER_S = 20_000  # at least: what is due at once is scheduled so long before


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def opened(path, resident):
    import duewheel

    if path is None:
        return duewheel.Scheduler(workers=2)
    storage = duewheel.LocalStorage(path, durability="relaxed", resident=resident)
    return duewheel.Scheduler(storage, workers=2)


def hold(scheduler, count):
    """Have one of a target run, and so many be held; return what lets it go."""
    runs, leave = threading.Event(), threading.Event()

    def stays(event):
        runs.set()
        leave.wait()

    scheduler.handle("held", stays, concurrency=1)
    scheduler.start()
    scheduler.in_(0, "held")
    runs.wait()
    for first in range(0, count, IN_A_CALL):
        scheduler.in_many([0] * min(IN_A_CALL, count - first), "held")
    return leave


def settle(scheduler):
    """Wait until nothing comes in and goes out any more."""
    end, before = time.monotonic() + SETTLES_S, None
    while time.monotonic() < end:
        cpu = time.process_time()
        time.sleep(0.5)
        spent = time.process_time() - cpu
        if spent < 0.02 and before == (before := scheduler.stats().pending):
            return


def beside(path, held, jobs, resident):
    """Measure: free jobs a second, microseconds of CPU of each, and how late those that come one by one are."""
    with opened(path, resident) as scheduler:
        leave = hold(scheduler, held)
        settle(scheduler)
        last = [0.0]

        def free(event):
            last[0] = time.time()

        scheduler.handle("free", free)
        due = time.time() + 0.5 + jobs / SCHEDULED_PER_S
        scheduler.at_many([due] * jobs, "free")
        left = due - time.time() - 0.02
        if left < 0:
            raise RuntimeError(f"they were due before all were scheduled: {-left:.3f} s")
        time.sleep(left)
        cpu = time.process_time()
        while scheduler.targets()["free"].succeeded < jobs:
            time.sleep(0.005)
        took, cpu = last[0] - due, time.process_time() - cpu
        late = []
        scheduler.handle("late", lambda event: late.append(event.lateness))
        for _ in range(SPREAD):
            scheduler.in_(APART_S, "late")
            time.sleep(APART_S)
        while len(late) < SPREAD:
            time.sleep(0.005)
        late.sort()
        scheduler.close()
        leave.set()
    return {
        "per_s": jobs / took, "cpu_us": cpu / jobs * 1e6, "p50_us": late[SPREAD // 2] * 1e6,
        "p99_us": late[SPREAD * 99 // 100] * 1e6,
    }  # fmt: skip


def memory(path, held):
    """Measure the memory that a process has with so many held over a file, and while it runs all of them."""
    with opened(path, 10_000) as scheduler:
        leave = hold(scheduler, held)
        settle(scheduler)
        waiting = resident_mb()
        leave.set()
        began, most = time.perf_counter(), waiting
        while scheduler.targets()["held"].succeeded < min(held, 100_000):
            time.sleep(0.05)
            most = max(most, resident_mb())
        took = time.perf_counter() - began
        scheduler.close()
    return {"waiting_mb": waiting, "running_mb": most, "ran_per_s": min(held, 100_000) / took}


def sampled(kind, *arguments):
    """Take a sample in a fresh process."""
    command = [sys.executable, __file__, "--sample", kind, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def show(what, samples):
    """Print the medians of samples, with their ends."""
    parts = []
    for name in samples[0]:
        values = sorted(sample[name] for sample in samples)
        parts.append(f"{name} {statistics.median(values):,.0f} ({values[0]:,.0f}…{values[-1]:,.0f})")
    print(f"{what:<28}", "  ".join(parts), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("held", 100_000), ("jobs", 50_000), ("rounds", 3), ("resident", 1_000_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the jobs, one round")
    parser.add_argument("--sample", nargs="+")
    args = parser.parse_args()
    if args.quick:
        args.rounds = 1
        args.held, args.jobs, args.resident, args.memory = (
            n // 20 for n in (args.held, args.jobs, args.resident, args.memory)
        )
    if args.sample:
        kind, place, *numbers = args.sample
        with tempfile.TemporaryDirectory() as directory:
            path = None if place == "memory" else str(Path(directory) / "jobs.db")
            measure = {"beside": beside, "memory": memory}[kind]
            print(json.dumps(measure(path, *map(int, numbers))))
        return
    for place in ("memory", "file"):
        sides = {0: [], args.held: []}
        for _ in range(args.rounds):
            for held, samples in sides.items():
                samples.append(sampled("beside", place, held, args.jobs, args.resident))
        for held, samples in sides.items():
            show(f"{place}, beside {held:,} held", samples)
    if args.memory:
        show(f"a file with {args.memory:,} held", [sampled("memory", "file", args.memory)])


if __name__ == "__main__":
    main()
