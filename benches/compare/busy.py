"""Lateness beside a thread that spins in Python, and what the spinner pays: `python busy.py` measures every way.

One sample is a process: a job each 20 ms at random phases, in every other half second; in the half seconds between,
the spinner is alone, so that what slows the machine for a while slows both. `--way duewheel --spinner main` measures
one, with whatever `duewheel` is on the path.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

WAYS = ("threading", "duewheel", "duewheel, 0.5 ms", "duewheel, at once")
SPINNERS = ("main", "thread", "both")
PERIOD_S = 0.02
SLICE_S = 0.5
SEED = 20_261_124

Late = list[float]


def dues(seconds: float) -> Iterator[float]:
    """Seconds from the start: one each 20 ms, in the odd slices."""
    draw = random.Random(SEED).random
    due = 0.0
    while due < seconds:
        if due // SLICE_S % 2:
            yield due
        due += PERIOD_S * (0.5 + draw())


def spin(begin: float, counts: list[int]) -> None:
    """Count in slices of time."""
    done = 0
    while True:
        for _ in range(500):
            done += 1
        at = int((time.monotonic() - begin) / SLICE_S)
        if at >= len(counts):
            return
        counts[at] += 500


def plain_thread(begin: float, plan: list[float], late: Late) -> None:
    """What a timer thread of one's own does."""

    def run() -> None:
        for due in plan:
            while (left := begin + due - time.monotonic()) > 0:
                time.sleep(left)
            late.append(time.monotonic() - begin - due)

    threading.Thread(target=run).start()


def scheduler(begin: float, plan: list[float], late: Late) -> None:
    """All jobs known from the start."""
    import duewheel

    made = duewheel.Scheduler(workers=1)
    made.handle("job", lambda event: late.append(time.monotonic() - begin - float(event.data)))
    for due in plan:
        made.in_(max(0.0, begin + due - time.monotonic()), "job", repr(due).encode())
    made.start()


def at_once(begin: float, plan: list[float], late: Late) -> None:
    """Jobs that are due when they are scheduled, by a thread that first has to get the interpreter itself."""
    import duewheel

    made = duewheel.Scheduler(workers=1)

    def chain(event: duewheel.Event) -> None:
        late.append(time.monotonic() - float(event.data))

    made.handle("job", chain)
    made.start()

    def run() -> None:
        for due in plan:
            while (left := begin + due - time.monotonic()) > 0:
                time.sleep(left)
            made.in_(0, "job", repr(time.monotonic()).encode())

    threading.Thread(target=run).start()


def sample(way: str, spinner: str, seconds: float) -> dict[str, float]:
    if way.endswith("0.5 ms"):
        sys.setswitchinterval(0.0005)
    ways: dict[str, Callable[[float, list[float], Late], None]] = {
        "threading": plain_thread,
        "duewheel": scheduler,
        "duewheel, 0.5 ms": scheduler,
        "duewheel, at once": at_once,
    }
    counts = [0] * int(seconds / SLICE_S)
    late: Late = []
    begin = time.monotonic() + 0.1
    plan = list(dues(seconds - 0.1))
    ways[way](begin, plan, late)
    time.sleep(max(0.0, begin - time.monotonic()))
    spinners = [threading.Thread(target=spin, args=(begin, counts)) for _ in range(spinner != "main")]
    for thread in spinners:
        thread.start()
    if spinner != "thread":
        spin(begin, counts)
    for thread in spinners:
        thread.join()
    time.sleep(0.1)
    if len(late) != len(plan):
        raise RuntimeError(f"{len(plan)} jobs were due, {len(late)} ran")
    late.sort()
    pairs = zip(counts[::2], counts[1::2], strict=False)
    return {
        "p50": late[len(late) // 2] * 1e3,
        "p90": late[len(late) * 9 // 10] * 1e3,
        "p99": late[len(late) * 99 // 100] * 1e3,
        "max": late[-1] * 1e3,
        "min": late[0] * 1e3,
        "slowed": 100 * (1 - statistics.median(with_jobs / alone for alone, with_jobs in pairs)),
        "jobs": len(late),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure lateness beside a thread that spins.")
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--spinner", choices=SPINNERS)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.way and given.spinner:
        print(json.dumps(sample(given.way, given.spinner, given.seconds)))
        return
    version = sys.version.split()[0]
    for spinner in [given.spinner] if given.spinner else SPINNERS:
        for way in [given.way] if given.way else WAYS:
            rounds: list[dict[str, float]] = []
            for _ in range(given.rounds):
                call = [sys.executable, __file__, "--way", way, "--spinner", spinner, "--seconds", str(given.seconds)]
                done = subprocess.run(call, capture_output=True, text=True, check=True)
                rounds.append(json.loads(done.stdout))
            shown = []
            for name in ("p50", "p90", "p99", "max", "slowed"):
                values = sorted(one[name] for one in rounds)
                shown.append(f"{name} {statistics.median(values):.3f} ({values[0]:.3f} to {values[-1]:.3f})")
            print(f"{version}  {spinner:6}  {way:18}  {'  '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
