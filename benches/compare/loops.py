"""Async handlers, against what the event loops have of their own: every sample in a fresh process, sides interleaved.

    python benches/compare/loops.py [--rounds 5] [--rows due,idle] [--before CHECKOUT] [--quick]

Writes the raw samples to loops.json beside this file, under the version of the Python that ran them, and from them the
section "asyncio" of docs/benchmarks.md and docs/loops.svg; `--report` does the writing alone. Rows that are not
measured keep the samples that they have. The rows of sync handlers need `--before`: a checkout of the commit to
compare with, built. Nothing here asserts a time.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import loops_page
from run import DOCS, machine
from workload import JOBS_PER_SECOND, Sample, clock, steady, within

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
SLICE_S = 0.001  # the busy loop works for so long in every two
SAMPLE_LIMIT_S = 120

Main = Coroutine[Any, Any, Sample]


# What is due already: no-op handlers


async def noop(event: object) -> None:
    pass


def timed(n: int, begin, middle) -> Sample:
    """Nanoseconds a job: to run it, to schedule and run it, and the CPU time of the run."""
    end = clock()
    return {
        "ns": (end.wall - middle.wall) * 1e9 / n,
        "whole": (end.wall - begin.wall) * 1e9 / n,
        "cpu": (end.cpu - middle.cpu) * 1e9 / n,
    }


async def ours_due(n: int) -> Sample:
    from duewheel import aio

    scheduler = aio.Scheduler(workers=1)
    scheduler.handle("noop", noop)
    delays, in_ = within(n, 0.001), scheduler.in_
    begin = clock()
    for delay in delays:
        await in_(delay, "noop")
    middle = clock()
    await scheduler.start()
    await scheduler.wait()
    taken = timed(n, begin, middle)
    if scheduler.stats().succeeded != n:
        raise RuntimeError(f"{n} jobs were due: {scheduler.stats()}")
    return taken


async def call_soon_due(n: int, *, eager: bool = False) -> Sample:
    loop = asyncio.get_running_loop()
    create_task, call_soon = loop.create_task, loop.call_soon
    if eager:
        loop.set_task_factory(asyncio.eager_task_factory)
    over = loop.create_future()
    begin = clock()
    for _ in range(n):
        call_soon(lambda: create_task(noop(None)))
    # What comes after the last task was made comes after the last task's only step.
    call_soon(call_soon, over.set_result, None)
    middle = clock()
    await over
    taken = timed(n, begin, middle)
    if len(asyncio.all_tasks()) != 1:
        raise RuntimeError("some tasks have not ended")
    return taken


# Lateness: a thousand jobs a second, on a loop that is idle or works half of the time


class Work:
    """Half of the loop's time: a slice of work in every two, on a grid that does not drift."""

    def __init__(self, n: int) -> None:
        loop = asyncio.get_running_loop()
        self.slices, self.end = 0, monotonic() + 0.5 + n / JOBS_PER_SECOND
        self.begin, self.next = monotonic(), loop.time()
        self.loop = loop
        self.work()

    def work(self) -> None:
        until = monotonic() + SLICE_S
        while monotonic() < until:
            pass
        self.slices += 1
        while self.next <= self.loop.time():
            self.next += 2 * SLICE_S
        if until < self.end:
            self.loop.call_at(self.next, self.work)

    def share(self) -> float:
        return self.slices * SLICE_S / (monotonic() - self.begin)


def quantiles(started: list[float], dues: list[float], n: int) -> Sample:
    """Lateness in nanoseconds: each hundredth of the jobs, then the last."""
    if len(started) != n:
        raise RuntimeError(f"{n} jobs were due, {len(started)} ran")
    late = sorted((start - due) * 1e9 for start, due in zip(started, dues, strict=True))
    found = {f"p{share}": late[n * share // 100] for share in range(1, 100)}
    return {**found, "min": late[0], "max": late[-1]}


async def lateness(n: int, side: Callable[[int, list[float]], Coroutine[Any, Any, list[float]]], *, busy: bool):
    work = Work(n) if busy else None
    started: list[float] = []
    dues = await side(n, started)
    found = quantiles(started, dues, n)
    return {**found, "busy": work.share()} if work else found


async def ours_late(n: int, started: list[float]) -> list[float]:
    from duewheel import aio

    dues: list[float] = []
    async with aio.Scheduler(workers=1) as scheduler:

        @scheduler.handler("stamp")
        async def stamp(event: object) -> None:
            started.append(monotonic())

        for delay in steady(n):
            dues.append(monotonic() + delay)
            await scheduler.in_(delay, "stamp")
        await scheduler.wait()
    return dues


async def sleep_late(n: int, started: list[float]) -> list[float]:
    dues: list[float] = []

    async def stamp(delay: float) -> None:
        dues.append(monotonic() + delay)
        await asyncio.sleep(delay)
        started.append(monotonic())

    async with asyncio.TaskGroup() as group:
        for delay in steady(n):
            group.create_task(stamp(delay))
    return dues


async def call_at_late(n: int, started: list[float]) -> list[float]:
    loop = asyncio.get_running_loop()
    dues: list[float] = []
    over = loop.create_future()

    def stamp() -> None:
        started.append(monotonic())
        if len(started) == n:
            over.set_result(None)

    for delay in steady(n):
        dues.append(monotonic() + delay)
        loop.call_at(loop.time() + delay, stamp)
    await over
    return dues


@dataclass(frozen=True)
class Row:
    n: int
    sides: dict[str, Callable[[int], Main]]
    uvloop: bool = False


def late(*names: str, busy: bool) -> dict[str, Callable[[int], Main]]:
    return {name: partial(lateness, side=LATE[name], busy=busy) for name in names}


LATE = {"ours": ours_late, "sleep": sleep_late, "call_at": call_at_late}
DUE: dict[str, Callable[[int], Main]] = {"ours": ours_due, "call_soon": call_soon_due}
if sys.version_info >= (3, 12):
    DUE["eager"] = partial(call_soon_due, eager=True)
# uvloop passes it a keyword that it takes from 3.13.3 on.
DUE_UVLOOP = {side: due for side, due in DUE.items() if side != "eager" or not (3, 13) <= sys.version_info < (3, 13, 3)}
IDLE, BUSY = late("ours", "sleep", "call_at", busy=False), late("ours", "call_at", busy=True)
ROWS = {
    "due": Row(1_000_000, DUE),
    "due_uvloop": Row(1_000_000, DUE_UVLOOP, uvloop=True),
    "idle": Row(3_000, IDLE),
    "idle_uvloop": Row(3_000, IDLE, uvloop=True),
    "busy": Row(3_000, BUSY),
    "busy_uvloop": Row(3_000, BUSY, uvloop=True),
}
SYNC = ("schedule", "run_due", "whole", "cancel")


def sample(row: str, side: str, n: int) -> None:
    """One sample: this process is for nothing else."""
    if ROWS[row].uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    else:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(ROWS[row].sides[side](n))), flush=True)
        os._exit(0)


def call(command: list[str], path: str) -> Sample:
    environment = {**os.environ, "PYTHONPATH": path}
    limit = SAMPLE_LIMIT_S
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    values: Sample = json.loads(done.stdout.splitlines()[-1])
    return values


def sides(row: str, before: Path | None, *, quick: bool) -> dict[str, Callable[[], Sample]]:
    """The ways to take one sample of a row, by side."""
    ours = os.environ.get("PYTHONPATH", str(CHECKOUT / "python"))
    if row in ROWS:
        n = ROWS[row].n // (10 if quick else 1)
        command = [sys.executable, __file__, "--sample", row]
        return {side: partial(call, [*command, side, str(n)], ours) for side in ROWS[row].sides}
    command = [sys.executable, str(HERE / "measure.py"), "ours", row, str(1_000_000 // (10 if quick else 1))]
    return (
        {"ours": partial(call, command, ours), "before": partial(call, command, str(before / "python"))}
        if before
        else {}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare async handlers with the event loops' own ways.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", help="comma-separated; all, unless given")
    parser.add_argument("--before", type=Path, help="a checkout to compare sync handlers with, built")
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs; figures that show little")
    parser.add_argument("--json", type=Path, default=HERE / "loops.json", help="the raw samples")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page and its picture are")
    parser.add_argument("--report", action="store_true", help="measure nothing, write section and picture again")
    parser.add_argument("--sample", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sample:
        row, side, n = given.sample
        sample(row, side, int(n))
    rows = given.rows.split(",") if given.rows else [*ROWS, *(SYNC if given.before else ())]
    if unknown := set(rows) - set(ROWS) - set(SYNC):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join((*ROWS, *SYNC))}")
    if set(rows) & set(SYNC) and not given.before:
        parser.error("the rows of sync handlers need --before")
    results = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else {}
    if not given.report:
        about = machine()
        found = results.setdefault(about["python"], {"rows": {}})
        found["machine"] = about
        taken: dict[str, list[dict[str, Any]]] = {row: [] for row in rows}
        for number in range(1, given.rounds + 1):
            for row in rows:
                load = round(os.getloadavg()[0], 2)
                values = {side: take() for side, take in sides(row, given.before, quick=given.quick).items()}
                taken[row].append({"load": load, **values})
                shown = "  ".join(f"{side} {v.get('ns', v.get('p50')):,.0f}" for side, v in values.items())
                print(f"{number}/{given.rounds}  {row:14} {shown}", flush=True)
        found["rows"].update(taken)
        given.json.write_text(json.dumps(results) + "\n", encoding="utf-8")
    loops_page.write(results, given.docs)


if __name__ == "__main__":
    main()
