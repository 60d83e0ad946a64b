"""Recurring jobs, against the schedulers that Python has and against our own jobs that come once.

    python benches/compare/repeats.py [--rounds 5] [--rows next,add] [--quick]

Every sample is taken in a fresh process, the sides of a row in turns. Takes three minutes. Prints medians with their
ends, and each goal with the median of the ratios of single rounds. Nothing here asserts a time.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from run import machine
from workload import Sample, clock, per_op, resident_bytes

CRON, ZONE = "30 2 * * mon-fri", "Europe/Paris"
FROM = datetime(2027, 1, 1, tzinfo=ZoneInfo(ZONE))
COMPARED = 1_000  # times that all sides must agree on: four years, with their changes of clocks
PERIOD_S = 60
SUSTAINED_S = 8.0
CHECKOUT = Path(__file__).resolve().parent.parent.parent
SAMPLE_LIMIT_S = 120


# The next time


def ours_times() -> Iterator[datetime]:
    from duewheel import Cron

    after, following = FROM, Cron(CRON, tz=ZONE).next
    while True:
        after = following(after)
        yield after


def cronsim_times() -> Iterator[datetime]:
    from cronsim import CronSim

    return CronSim(CRON, FROM)


def croniter_times() -> Iterator[datetime]:
    from croniter import croniter

    following = croniter(CRON, FROM, ret_type=datetime).get_next
    while True:
        yield following()


def apscheduler_times() -> Iterator[datetime]:
    from apscheduler.triggers.cron import CronTrigger

    after, following = FROM, CronTrigger.from_crontab(CRON, ZONE).get_next_fire_time
    while True:
        after = following(after, after)
        yield after


def next_time(times: Callable[[], Iterator[datetime]], n: int) -> Sample:
    """What one `next()` takes, in a loop that is the same for all: the expression is read before."""
    if list(islice(times(), COMPARED)) != list(islice(ours_times(), COMPARED)):
        raise RuntimeError("the sides do not give the same times")
    asked = times()
    next(asked)
    begin = clock()
    for _ in range(n):
        next(asked)
    return per_op(begin, n)


# A repeat more, in a scheduler that runs


def ours(*, start: bool = True):
    from duewheel import Scheduler

    scheduler = Scheduler(workers=1)
    scheduler.handle("noop", lambda event: None)
    if start:
        scheduler.start()
    return scheduler


def ours_add(n: int) -> Sample:
    repeat = ours().repeat
    begin = clock()
    for _ in range(n):
        repeat(CRON, "noop", tz=ZONE)
    return per_op(begin, n)


def noop() -> None:
    pass


def apscheduler_add(n: int) -> Sample:
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.cron import CronTrigger

    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.start()
    begin = clock()
    for _ in range(n):
        scheduler.add_job(noop, CronTrigger.from_crontab(CRON, ZONE))
    return per_op(begin, n)


# An occurrence, run and armed again. All are due at one moment, and come again in a minute: once each is measured


def all_of(scheduler, n: int) -> Sample:
    """Start when all are due already, and wait until each has run once."""
    begin = clock()
    scheduler.start()
    while scheduler.stats().succeeded < n:
        time.sleep(0.0005)
    taken = per_op(begin, n)
    stats = scheduler.stats()
    if (stats.succeeded, stats.scheduled, stats.pending, stats.missed) != (n, 2 * n, n, 0):
        raise RuntimeError(f"{n} jobs were to run once and come again: {stats}")
    return taken


def ours_rearm(n: int) -> Sample:
    from duewheel import Every

    scheduler = ours(start=False)
    begun = time.time()
    due = begun + n * 20e-6 + 0.5
    for _ in range(n):
        scheduler.repeat(Every(PERIOD_S, anchor=due), "noop")
    if time.time() >= due:
        raise RuntimeError("some were scheduled too late to be due with the others")
    time.sleep(due - time.time() + 0.01)
    return all_of(scheduler, n)


def ours_again_by_in(n: int) -> Sample:
    scheduler = ours(start=False)
    in_ = scheduler.in_
    scheduler.handle("again", lambda event: in_(PERIOD_S, "again"))
    due = time.time() + 0.5
    for _ in range(n):
        scheduler.at(due, "again")
    time.sleep(max(due - time.time(), 0) + 0.01)
    return all_of(scheduler, n)


# Memory


def ours_memory(n: int, *, ids: bool) -> Sample:
    scheduler = ours(start=False)
    scheduler.repeat(PERIOD_S, "noop")
    before = resident_bytes()
    for number in range(n):
        scheduler.repeat(PERIOD_S, "noop", id=f"repeat-{number}" if ids else None)
    return {"bytes": (resident_bytes() - before) / n}


# A million of a minute


def ours_sustained(n: int) -> Sample:
    """How much of one core all threads together take, while they come as evenly as their spread has them."""
    from duewheel import Every

    scheduler = ours()
    first = time.time() + n * 10e-6 + 1
    every = Every(PERIOD_S, anchor=first)
    for _ in range(n):
        scheduler.repeat(every, "noop", spread=PERIOD_S)
    if time.time() >= first:
        raise RuntimeError("some were scheduled after the first were due")
    time.sleep(first - time.time() + 1)
    ran, begin = scheduler.stats().succeeded, clock()
    time.sleep(SUSTAINED_S)
    stats, end = scheduler.stats(), clock()
    wall, ran = end.wall - begin.wall, stats.succeeded - ran
    expected = n * wall / PERIOD_S
    if stats.missed or not 0.95 < ran / expected < 1.05:
        raise RuntimeError(f"{expected:,.0f} were due, {ran:,} ran, {stats.missed:,} were missed")
    cpu = end.cpu - begin.cpu
    return {"share": 100 * cpu / wall, "cpu": cpu * 1e9 / ran, "p99": stats.lateness.p99 * 1e6, "ran": ran / wall}


@dataclass(frozen=True)
class Side:
    title: str
    run: Callable[[int], Sample]
    n: int


@dataclass(frozen=True)
class Row:
    title: str
    sides: dict[str, Side]  # ours first
    unit: str = "ns"
    most: float | None = None  # of our own figure: its goal
    ratio: float | None = None  # ours to the best of the others: its goal


MILLION = 1_000_000
ROWS = {
    "next": Row(
        f"next() of {CRON}, {ZONE}",
        {
            "ours": Side("duewheel", partial(next_time, ours_times), 200_000),
            "cronsim": Side("cronsim", partial(next_time, cronsim_times), 5_000),
            "croniter": Side("croniter", partial(next_time, croniter_times), 5_000),
            "apscheduler": Side("APScheduler 3, CronTrigger", partial(next_time, apscheduler_times), 5_000),
        },
        ratio=1 / 20,
    ),
    "add": Row(
        "a cron repeat more, in memory",
        {
            "ours": Side("duewheel, repeat", ours_add, 100_000),
            "apscheduler": Side("APScheduler 3, add_job", apscheduler_add, 3_000),
        },
        ratio=1 / 20,
    ),
    "rearm": Row(
        "an occurrence, run and armed again",
        {
            "ours": Side("duewheel, repeat", ours_rearm, 100_000),
            "in": Side("duewheel, in_ by the handler", ours_again_by_in, 100_000),
        },
        ratio=1.5,
    ),
    "memory": Row(
        "memory of a repeat, id made",
        {"ours": Side("duewheel", partial(ours_memory, ids=False), MILLION)},
        unit="bytes",
        most=200,
    ),
    "memory_id": Row(
        "memory of a repeat, id given",
        {"ours": Side("duewheel", partial(ours_memory, ids=True), MILLION)},
        unit="bytes",
        most=350,
    ),
    "sustained": Row(
        "1,000,000 repeats of a minute, of a core",
        {"ours": Side("duewheel, one worker", ours_sustained, MILLION)},
        unit="share",
    ),
}
UNITS = {"ns": "ns", "bytes": "B", "share": "%"}


def measure(key: str, side: str, n: int) -> Sample:
    """One sample in a process of its own."""
    command = [sys.executable, __file__, "--sample", key, side, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SAMPLE_LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{key}, {side}: {done.stderr}")
    values: Sample = json.loads(done.stdout.splitlines()[-1])
    return values


def sample(key: str, side: str, n: int) -> None:
    logging.disable(logging.CRITICAL)
    print(json.dumps(ROWS[key].sides[side].run(n)), flush=True)
    os._exit(0)  # a million repeats need not be taken down one by one


def spread(values: list[float]) -> str:
    return f"{median(values):>10,.1f}  ({min(values):,.1f} to {max(values):,.1f})"


def verdicts(row: Row, samples: dict[str, list[Sample]]) -> Iterator[str]:
    """Each goal of a row, and whether it is reached."""
    found = {side: [one[row.unit] for one in taken] for side, taken in samples.items()}
    own = found.pop("ours")
    if row.most is not None:
        said = "reached" if median(own) <= row.most else "MISSED"
        yield f"goal {row.most:,.0f} {UNITS[row.unit]} or less: {said}"
    if row.ratio is not None:
        best = min(found, key=lambda side: median(found[side]))
        ratios = [mine / their for mine, their in zip(own, found[best], strict=True)]
        said = "reached" if median(ratios) <= row.ratio else "MISSED"
        ends = f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        yield f"{ends} of {row.sides[best].title}; goal {row.ratio:.3g} or less: {said}"


def report(rows: list[str], samples: dict[str, dict[str, list[Sample]]]) -> None:
    print(f"\n{'':34}{'ns, bytes or % of a core':40}{'CPU, ns each':>14}\n{'─' * 90}")
    for key in rows:
        row = ROWS[key]
        print(row.title)
        for side, taken in samples[key].items():
            cpu = f"{median(one['cpu'] for one in taken):>14,.0f}" if "cpu" in taken[0] else ""
            print(f"  {row.sides[side].title:32}{spread([one[row.unit] for one in taken]):40}{cpu}")
        if "p99" in samples[key]["ours"][0]:
            late = median(one["p99"] for one in samples[key]["ours"])
            ran = median(one["ran"] for one in samples[key]["ours"])
            print(f"    {ran:,.0f} a second; lateness p99 {late:,.0f} µs")
        for verdict in verdicts(row, samples[key]):
            print(f"    {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare recurring jobs with other ways to have them.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma-separated")
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs; figures that show little")
    parser.add_argument("--sample", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sample:
        key, side, n = given.sample
        sample(key, side, int(n))
    rows = given.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join(ROWS)}")
    samples: dict[str, dict[str, list[Sample]]] = {key: {side: [] for side in ROWS[key].sides} for key in rows}
    for number in range(1, given.rounds + 1):
        for key in rows:
            for side, about in ROWS[key].sides.items():
                n = about.n // 10 if given.quick else about.n
                found = measure(key, side, n)
                samples[key][side].append(found)
                shown = "  ".join(f"{name} {value:,.1f}" for name, value in found.items())
                print(f"{number}/{given.rounds}  {key:10} {about.title:30} {n:>9,}  {shown}", flush=True)
    about = machine()
    print(
        f"\n{about['cpu']}, {about['cpus']} CPUs, {about['kernel']}, {about['python']}; load {os.getloadavg()[0]:.2f}"
    )
    report(rows, samples)


if __name__ == "__main__":
    main()
