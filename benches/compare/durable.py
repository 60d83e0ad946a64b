"""Jobs on disk, against the ways that there are: every sample in a fresh process and a fresh file, sides interleaved.

    python benches/compare/durable.py [--rounds 5] [--rows threads,bulk] [--directory PATH] [--quick]

All write to the same disk, payloads of 100 bytes. The rate counts until the call has returned, or the job has run;
CPU time counts all threads until the file is closed, since work that is put off is work. Prints medians with their
ends, and the ratios of the medians with those of the single rounds. Nothing here asserts a time.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

DATA = bytes(range(100))
FAR_S = 7_200
BULK = 10_000
THREADS = 16
JOBS_PER_SECOND = 500
CHECKOUT = Path(__file__).resolve().parent.parent.parent

Sample = dict[str, float]


class Timed:
    """What `n` operations took: until `stop`, and in CPU time until the process has put all away."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        self.wall = time.perf_counter() - self.wall

    def over(self) -> Sample:
        return {"rate": self.n / self.wall, "cpu": (time.process_time() - self.cpu) / self.n * 1e6}


# duewheel


def ours(file: str, **more):
    from duewheel import LocalStorage, Scheduler

    return Scheduler(LocalStorage(file, **more), workers=1)


def ours_threads(file: str, n: int) -> Sample:
    scheduler = ours(file)

    def schedule() -> None:
        for _ in range(n // THREADS):
            scheduler.in_(FAR_S, "noop", DATA)

    threads = [threading.Thread(target=schedule) for _ in range(THREADS)]
    timed = Timed(n)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    timed.stop()
    scheduler.close()
    return timed.over()


def ours_bulk(file: str, n: int) -> Sample:
    scheduler = ours(file)
    delays, datas = [float(FAR_S)] * BULK, [DATA] * BULK
    timed = Timed(n)
    for _ in range(n // BULK):
        scheduler.in_many(delays, "noop", datas)
    timed.stop()
    scheduler.close()
    return timed.over()


def ours_one(durability: str) -> Callable[[str, int], Sample]:
    def one(file: str, n: int) -> Sample:
        scheduler = ours(file, durability=durability)
        timed = Timed(n)
        for _ in range(n):
            scheduler.in_(FAR_S, "noop", DATA)
        timed.stop()
        scheduler.close()
        return timed.over()

    return one


def ours_whole(durability: str, *, bulk: bool) -> Callable[[str, int], Sample]:
    def whole(file: str, n: int) -> Sample:
        scheduler = ours(file, durability=durability)
        scheduler.handle("noop", lambda event: None)
        scheduler.start()
        delays, datas = [0.0] * BULK, [DATA] * BULK
        timed = Timed(n)
        if bulk:
            for _ in range(n // BULK):
                scheduler.in_many(delays, "noop", datas)
        else:
            for _ in range(n):
                scheduler.in_(0, "noop", DATA)
        scheduler.wait()
        timed.stop()
        ran = scheduler.stats().succeeded
        scheduler.close()
        if ran != n:
            raise RuntimeError(f"{n} jobs were due, {ran} ran")
        return timed.over()

    return whole


def lateness(scheduler, n: int) -> Sample:
    scheduler.handle("noop", lambda event: None)
    scheduler.start()
    for i in range(n):
        scheduler.in_(0.5 + i / JOBS_PER_SECOND, "noop", DATA)
    cpu = time.process_time()
    scheduler.wait()
    late = scheduler.stats().lateness
    scheduler.close()
    return {"p50": late.p50 * 1e6, "p99": late.p99 * 1e6, "cpu": (time.process_time() - cpu) / n * 1e6}


def in_memory(file: str, n: int) -> Sample:
    from duewheel import Scheduler

    return lateness(Scheduler(workers=1), n)


# The standard library's sqlite3, in the schema of our own file


def database(file: str) -> tuple[sqlite3.Connection, str]:
    ours(file).close()
    connection = sqlite3.connect(file, isolation_level=None)
    for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "mmap_size = 0"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    columns = [row[1] for row in connection.execute("PRAGMA table_info(job)")]
    names = columns[: len(row_of(1))]  # those that came later are NULL for such a job
    return connection, f"INSERT INTO job ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def row_of(seq: int) -> tuple[object, ...]:
    """A job as our own file has it: the id a UUID."""
    due = 1_800_000_000_000_000_000 + seq
    job_id = f"01a20d81-5743-7daf-9b89-{seq:012x}"
    return (seq, due, 1, job_id, "noop", DATA, None, due, due, 1, 1, 0, None, 5, None, 10**9, 3600 * 10**9, 0)


def sqlite_rows(file: str, n: int) -> Sample:
    connection, insert = database(file)
    rows = [row_of(seq) for seq in range(1, n + 1)]
    timed = Timed(n)
    for row in rows:
        connection.execute(insert, row)
    timed.stop()
    connection.close()
    return timed.over()


def sqlite_bulk(file: str, n: int) -> Sample:
    connection, insert = database(file)
    bulks = [[row_of(start + seq + 1) for seq in range(BULK)] for start in range(0, n, BULK)]
    timed = Timed(n)
    for bulk in bulks:
        connection.execute("BEGIN")
        connection.executemany(insert, bulk)
        connection.execute("COMMIT")
    timed.stop()
    connection.close()
    return timed.over()


# huey 3


def huey_one(*, fsync: bool | None) -> Callable[[str, int], Sample]:
    def one(file: str, n: int) -> Sample:
        from huey import SqliteHuey

        queue = SqliteHuey(filename=file, fsync=fsync)
        noop = queue.task()(lambda data: None)
        timed = Timed(n)
        for _ in range(n):
            noop.schedule(args=(DATA,), delay=FAR_S)
        timed.stop()
        queue.storage.close()
        return timed.over()

    return one


def huey_whole(file: str, n: int) -> Sample:
    from huey import SqliteHuey

    queue = SqliteHuey(filename=file, results=False)
    done = threading.Event()
    ran = 0

    @queue.task()
    def noop(data: bytes) -> None:
        nonlocal ran
        ran += 1
        if ran == n:
            done.set()

    consumer = queue.create_consumer(workers=1, worker_type="thread", periodic=False)
    consumer.start()
    timed = Timed(n)
    for _ in range(n):
        noop(DATA)
    done.wait()
    timed.stop()
    taken = timed.over()
    consumer.stop(graceful=True)
    return taken


# APScheduler 3


def noop(data: bytes) -> None:
    pass


def apscheduler_one(file: str, n: int) -> Sample:
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = BackgroundScheduler(jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{file}")}, timezone=UTC)
    scheduler.start(paused=True)
    when = datetime.now(UTC) + timedelta(seconds=FAR_S)
    timed = Timed(n)
    for _ in range(n):
        scheduler.add_job(noop, "date", run_date=when, args=(DATA,))
    timed.stop()
    scheduler.shutdown()
    return timed.over()


@dataclass(frozen=True)
class Side:
    title: str
    run: Callable[[str, int], Sample]
    n: int


@dataclass(frozen=True)
class Row:
    title: str
    ours: Side
    theirs: dict[str, tuple[Side, float]]  # with the ratio that is the goal
    metric: str = "rate"  # jobs a second; or a quantile in µs, where less is better


HUEY = Side("huey 3, SQLite", huey_one(fsync=None), 2_000)
HUEY_WHOLE = Side("huey 3, SQLite, its consumer", huey_whole, 1_000)
ROWS = {
    "threads": Row(
        "in_, 16 threads, commit",
        Side("duewheel", ours_threads, 48_000),
        {"sqlite": (Side("sqlite3, commit a row", sqlite_rows, 5_000), 8)},
    ),
    "bulk": Row(
        "in_many of 10,000, commit",
        Side("duewheel", ours_bulk, 10 * BULK),
        {"sqlite": (Side("sqlite3, executemany", sqlite_bulk, 10 * BULK), 1)},
    ),
    "one": Row(
        "in_, 1 thread, relaxed",
        Side("duewheel", ours_one("relaxed"), 50_000),
        {
            "huey": (HUEY, 20),
            "huey_unsynced": (Side("huey 3, fsync=False", huey_one(fsync=False), 2_000), 0),
            "apscheduler": (Side("APScheduler 3, SQLite", apscheduler_one, 300), 50),
        },
    ),
    "one_commit": Row("in_, 1 thread, commit", Side("duewheel", ours_one("commit"), 5_000), {"huey": (HUEY, 0)}),
    "whole": Row(
        "in_many, run and finish, commit",
        Side("duewheel", ours_whole("commit", bulk=True), 100_000),
        {"huey": (HUEY_WHOLE, 20)},
    ),
    "whole_relaxed": Row(
        "in_, run and finish, relaxed",
        Side("duewheel", ours_whole("relaxed", bulk=False), 100_000),
        {"huey": (HUEY_WHOLE, 20)},
    ),
    "lateness": Row(
        "lateness p50, 500 a second",
        Side("duewheel, on disk", lambda file, n: lateness(ours(file), n), 2_000),
        {"memory": (Side("duewheel, in memory", in_memory, 2_000), 1 / 1.5)},
        metric="p50",
    ),
}


def measure(row: str, side: str, n: int, directory: str) -> Sample:
    """One sample in a process of its own, with a file of its own."""
    with tempfile.TemporaryDirectory(prefix="durable-", dir=directory) as fresh:
        command = [sys.executable, __file__, "--sample", row, side, str(n), os.path.join(fresh, "jobs.db")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{row}, {side}: {done.stderr}")
    values: Sample = json.loads(done.stdout.splitlines()[-1])
    return values


def sample(row: str, side: str, n: int, file: str) -> None:
    found = ROWS[row]
    run = found.ours if side == "ours" else found.theirs[side][0]
    print(json.dumps(run.run(file, n)), flush=True)
    os._exit(0)


def spread(values: list[float]) -> str:
    return f"{median(values):>11,.0f}  ({min(values):,.0f} to {max(values):,.0f})"


def report(rows: list[str], samples: dict[tuple[str, str], list[Sample]]) -> None:
    print(f"\n{'':34}{'jobs a second, or µs':40}{'CPU, µs a job':>14}\n{'─' * 100}")
    for key in rows:
        row = ROWS[key]
        print(row.title)
        sides = [("ours", row.ours), *((side, their) for side, (their, _) in row.theirs.items())]
        for side, about in sides:
            taken = samples[key, side]
            values, cpu = [one[row.metric] for one in taken], [one["cpu"] for one in taken]
            print(f"  {about.title:32}{spread(values):40}{median(cpu):>14,.1f}")
        for side, (their, goal) in row.theirs.items():
            less = row.metric != "rate"  # what is better
            pairs = [
                (their[row.metric] / one[row.metric] if less else one[row.metric] / their[row.metric])
                for one, their in zip(samples[key, "ours"], samples[key, side], strict=True)
            ]
            cpus = [
                their["cpu"] / one["cpu"] for one, their in zip(samples[key, "ours"], samples[key, side], strict=True)
            ]
            verdict = "" if not goal else f"goal {goal:.2g} ×: {'reached' if median(pairs) >= goal else 'MISSED'}"
            ends = f"({min(pairs):,.2f} to {max(pairs):,.2f})"
            print(f"    {median(pairs):,.2f} × {their.title} {ends}; {median(cpus):,.2f} × in CPU time. {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare durable jobs with other ways to keep them.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma-separated")
    parser.add_argument("--directory", help="on the disk that is measured; else target/ of the checkout")
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs; figures that show little")
    parser.add_argument("--sample", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sample:
        row, side, n, file = given.sample
        sample(row, side, int(n), file)
    rows = given.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join(ROWS)}")
    directory = given.directory or str(CHECKOUT / "target")
    os.makedirs(directory, exist_ok=True)
    samples: dict[tuple[str, str], list[Sample]] = {}
    for number in range(1, given.rounds + 1):
        for key in rows:
            row = ROWS[key]
            for side, about in [("ours", row.ours), *((side, their) for side, (their, _) in row.theirs.items())]:
                n = max(about.n // 10, 100) if given.quick else about.n
                if key in ("bulk", "whole"):
                    n = max(n // BULK, 1) * BULK if side == "ours" or key == "bulk" else n
                found = measure(key, side, n, directory)
                samples.setdefault((key, side), []).append(found)
                shown = "  ".join(f"{name} {value:,.1f}" for name, value in found.items())
                print(f"{number}/{given.rounds}  {key:14} {about.title:30} {n:>8,}  {shown}", flush=True)
    print(f"\nload of the machine: {os.getloadavg()[0]:.2f}; SQLite of the standard library: {sqlite3.sqlite_version}")
    report(rows, samples)


if __name__ == "__main__":
    main()
