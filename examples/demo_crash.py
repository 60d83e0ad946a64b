"""Jobs in a file, and a process that kills itself with SIGKILL in the midst of them: nothing is lost.

    python examples/demo_crash.py [--jobs 20000] [--kills 5] [--workers 4] [--file PATH]

One process after another opens the file, schedules its share of the jobs, runs what is due, and kills itself in the
midst of it; the last one runs all that is left. What was acknowledged and what was run is written to a log, a line
each, in one `write` at its end, so that it is known of the dead, too. One job in ten runs at most once. The exit status
is 1 if anything was lost, or run more often than is promised.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from duewheel import Consistency, Event, Scheduler

WIDTH = 78
SECONDS = 0.3  # over which the jobs of a process are due
BULK = 100
BATCH = 256  # ends that may wait for their way to the disk: their jobs are run again, like those that were running


class Log:
    """Lines that are there once written: each is one `write`, at the end of the file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def say(self, word: str, numbers: range) -> None:
        """Write a word and a range of jobs down."""
        os.write(self._file, f"{word} {numbers.start} {numbers.stop}\n".encode())


class Books:
    """What the processes wrote down: which jobs were acknowledged, and how often each was run."""

    def __init__(self, path: Path) -> None:
        self.acknowledged: set[int] = set()
        self.started: Counter[int] = Counter()
        self.finished: Counter[int] = Counter()
        if path.exists():
            for line in path.read_text(encoding="ascii").splitlines():
                word, start, stop = line.split()
                if word == "acknowledged":
                    self.acknowledged.update(range(int(start), int(stop)))
                elif word in ("start", "end"):
                    (self.started if word == "start" else self.finished)[int(start)] += 1


def is_once(job: int) -> bool:
    """Tell the jobs that run at most once."""
    return job // BULK % 10 == 9


def live(file: Path, log: Path, orders: range, share: int, workers: int) -> None:
    """Be one process: open the file, schedule these orders, run what is due, and die in the midst of the share."""
    begin = time.perf_counter()
    lines = Log(log)
    scheduler = Scheduler(file, workers=workers)
    opened = time.perf_counter() - begin
    runs, lock = 0, threading.Lock()

    @scheduler.handler("order.ship")
    def ship(event: Event) -> None:
        nonlocal runs
        order = int(event.data)
        lines.say("start", range(order, order + 1))
        with lock:
            runs += 1
            last = runs == share
        if last:
            print(f"{opened:.6f} {time.perf_counter() - begin:.6f} {runs}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        lines.say("end", range(order, order + 1))

    with scheduler:
        for start in range(orders.start, orders.stop, BULK):
            bulk = range(start, min(start + BULK, orders.stop))
            consistency = Consistency.AT_MOST_ONCE if is_once(start) else Consistency.AT_LEAST_ONCE
            payloads = [b"%d" % order for order in bulk]
            delays = [SECONDS * (order - orders.start) / len(orders) for order in bulk]
            scheduler.in_many(delays, "order.ship", payloads, consistency=consistency)
            lines.say("acknowledged", bulk)  # on disk now; what was asked for and not acknowledged, nobody counts on
        scheduler.wait()
        dead = [int(dead.event.data) for dead in scheduler.dead() if dead.reason == "interrupted"]
    print(f"{opened:.6f} {time.perf_counter() - begin:.6f} {runs}", *dead, flush=True)


def report(log: Path, interrupted: set[int], kills: int, workers: int) -> bool:
    """Print what became of the jobs, and tell whether it is as promised."""
    books = Books(log)
    lost = books.acknowledged - set(books.finished) - interrupted
    once = [order for order in books.started if is_once(order)]
    twice = [order for order, runs in books.started.items() if runs > 1]
    once_twice = [order for order in twice if is_once(order)]
    uncalled = [order for order in interrupted if order not in books.started]
    print(f"\n{'What became of the jobs':42}{'found':>10}   promised\n{'─' * WIDTH}")
    rows = [
        ("jobs acknowledged", len(books.acknowledged), ""),
        ("jobs run", len(books.started), ""),
        ("lost", len(lost), "0"),
        ("run twice, at least once", len(twice) - len(once_twice), f"≤ {kills} × ({workers} + {BATCH})"),
        ("run twice, at most once", len(once_twice), "0"),
        ("at most once, interrupted and reported", len(interrupted), ""),
        ("of these never called", len(uncalled), f"≤ {kills} × 2 × {workers}"),
    ]
    for name, found, promised in rows:
        print(f"  {name:40}{found:>10,}   {promised}")
    unreported = [order for order in once if order not in books.finished and order not in interrupted]
    return not (
        lost
        or once_twice
        or unreported
        or len(twice) > kills * (workers + BATCH)
        or len(uncalled) > kills * 2 * workers
    )


def main() -> int:
    """Start the processes one after another and report."""
    parser = argparse.ArgumentParser(description="Jobs in a file, and a process that kills itself again and again.")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--file", type=Path, help="where the jobs are kept; else a directory that goes")
    parser.add_argument("--child", type=int, nargs=3, help=argparse.SUPPRESS)  # from, to, die after so many runs
    given = parser.parse_args()
    if given.child:
        start, stop, share = given.child
        live(given.file, given.file.with_suffix(".log"), range(start, stop), share, given.workers)
        return 0
    if given.jobs < 100 or not 1 <= given.kills <= given.jobs // 100 or given.workers < 1:
        parser.error("--jobs is at least 100, --kills from 1 to a hundredth of it, --workers at least 1")
    if not hasattr(signal, "SIGKILL"):
        parser.error("this system has no SIGKILL")
    with tempfile.TemporaryDirectory(prefix="duewheel-") as directory:
        file = given.file or Path(directory) / "jobs.db"
        log = file.with_suffix(".log")
        if file.exists() or log.exists():
            parser.error(f"{file} or {log} is there already")
        return play(file, log, given.jobs, given.kills, given.workers)


def play(file: Path, log: Path, jobs: int, kills: int, workers: int) -> int:
    """Let the processes live and die."""
    print(f"{jobs:,} jobs in one file, {workers} workers, a process that is killed {kills} times\n")
    print(f"  {'process':>10}{'opened in':>12}{'lived':>10}{'ran':>10}   ended")
    print(f"{'─' * WIDTH}")
    interrupted: set[int] = set()
    begin = time.perf_counter()
    for number in range(kills + 1):
        last = number == kills
        start, stop = (jobs // BULK * part // kills * BULK for part in (number, number + 1))
        start, stop = (jobs if last else start), (jobs if number >= kills - 1 else stop)
        share = 0 if last else max((stop - start) * 4 // 5, 1)
        command = [sys.executable, str(Path(__file__).resolve()), "--workers", str(workers), "--file", str(file)]
        command += ["--child", str(start), str(stop), str(share)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if child.returncode != (0 if last else -signal.SIGKILL) or not child.stdout:
            print(f"the process {number + 1} ended with {child.returncode}, before its time")
            return 1
        opened, lived, runs, *dead = child.stdout.split()
        interrupted.update(map(int, dead))
        end = "by itself, all done" if last else "kill -9, by its own hand"
        print(f"  {number + 1:>10}{float(opened) * 1e3:>9,.1f} ms{float(lived):>8.2f} s{int(runs):>10,}   {end}")
    kept = report(log, interrupted, kills, workers)
    print(f"\n  {time.perf_counter() - begin:.1f} s in all")
    print("\nNothing is lost." if kept else "\nTHE PROMISE IS BROKEN.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
