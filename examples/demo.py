"""A million orders, each to be shipped at its own moment of the next few seconds; then the books are balanced.

    python examples/demo.py [--jobs 1000000] [--seconds 5] [--workers 4]

Most orders ship at once. Some find the carrier down once or twice and are retried, some are snoozed, some have an
address that does not exist, some are never accepted and end as dead, and some are cancelled before they are due. The
same orders then go through `asyncio.call_later`, with the retries written by hand. Last, async handlers: a fifth as
many orders, all due at once, on an event loop, beside tasks made by hand. The exit status is 1 if the counts do not
add up.
"""

import argparse
import asyncio
import itertools
import logging
import platform
import random
import sys
import time
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from duewheel import Discard, Event, JobOptions, Scheduler, Snooze, Stats, aio

WIDTH = 78
LEAD_S = 0.25  # no order is due before the last has been scheduled, if scheduling keeps up
SNOOZE_S = 0.05
RETRY_LIMIT = 3
MIN_BACKOFF_S = 0.01
MAX_BACKOFF_S = 0.08
SAMPLED = 16  # one order in so many notes its lateness


class CarrierDownError(Exception):
    """The carrier did not answer; it may, later."""


class Count:
    """A count that many threads may raise: `itertools.count` does it in one step."""

    def __init__(self) -> None:
        steps = itertools.count()
        self.add = steps.__next__
        self._steps = steps

    def total(self) -> int:
        """Give the count. Only once, when nothing counts any more."""
        return next(self._steps)


class Shop:
    """What one order does when its time has come, and what was counted meanwhile. Knows nothing of schedulers."""

    def __init__(self) -> None:
        self.started, self.shipped, self.failed = Count(), Count(), Count()
        self.given_up, self.snoozed, self.refused = Count(), Count(), Count()

    def ship(self, order: int, attempt: int, run: int) -> None:
        """Ship an order, or raise: what happens to it follows from the last two digits of its number."""
        self.started.add()
        kind = order % 100
        if 90 <= kind < 96 and attempt <= (1 if kind < 94 else 2):
            self.failed.add()
            raise CarrierDownError(order)
        if kind in (96, 97) and run == 1:
            self.snoozed.add()
            raise Snooze(SNOOZE_S)
        if kind == 98:
            if order % 200 == 98:
                self.refused.add()
                raise Discard("no such address")
            self.failed.add()
            if attempt > RETRY_LIMIT:
                self.given_up.add()
            raise CarrierDownError(order)
        self.shipped.add()


def cancelled_orders(jobs: int) -> range:
    """Give the orders that their customers take back at once: those that end on 99."""
    return range(99, jobs, 100)


@dataclass
class Part:
    """One way of doing the work: what it took and how late the orders were, in seconds."""

    schedule_s: float = 0.0
    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    runs: int = 0
    late: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Give the lateness that this share of the sampled runs does not exceed."""
        ordered = sorted(self.late)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


class Progress:
    """A bar on a terminal; elsewhere a plain line now and then."""

    def __init__(self, name: str, jobs: int) -> None:
        self.name, self.jobs = name, jobs
        self.begin = time.perf_counter()
        self.terminal = sys.stdout.isatty()
        self.shown = -1

    def show(self, done: int) -> None:
        """Draw the bar again, or write a line for each tenth."""
        share = min(done / self.jobs, 1.0)
        tenth = int(share * 10)
        if not self.terminal and tenth == self.shown:
            return
        self.shown = tenth
        seconds = time.perf_counter() - self.begin
        filled = int(share * 30)
        bar = "█" * filled + "░" * (30 - filled) if self.terminal else "#" * filled + "." * (30 - filled)
        line = f"  {self.name:9} {bar} {share:4.0%}  {done:>10,} over  {seconds:5.1f} s"
        print(f"\r{line}" if self.terminal else line, end="" if self.terminal else "\n", flush=True)

    def finish(self, done: int) -> None:
        """Draw the bar for the last time."""
        self.show(done)
        if self.terminal:
            print()


def with_duewheel(payloads: list[bytes], delays: "array[float]", workers: int) -> tuple[Part, Shop, Stats, int]:
    """Ship all orders with duewheel: the handler, two calls to schedule and cancel, and a wait."""
    part, shop = Part(), Shop()
    scheduler = Scheduler(workers=workers)
    progress = Progress("duewheel", len(payloads))

    @scheduler.handler("order.ship")
    def ship(event: Event) -> None:
        order = int(event.data[6:])
        if order % SAMPLED == 0:
            part.late.append(event.lateness)
        shop.ship(order, event.attempt, event.run)

    begin, cpu = time.perf_counter(), time.process_time()
    with scheduler:
        ids = scheduler.in_many(
            delays,
            "order.ship",
            payloads,
            retry_limit=RETRY_LIMIT,
            min_backoff=MIN_BACKOFF_S,
            max_backoff=MAX_BACKOFF_S,
        )
        cancelled = sum(scheduler.cancel(ids[order]) for order in cancelled_orders(len(payloads)))
        part.schedule_s = time.perf_counter() - begin
        while not scheduler.wait(0.1):
            now = scheduler.stats()
            progress.show(now.succeeded + now.dead + now.cancelled)
        part.elapsed_s, part.cpu_s = time.perf_counter() - begin, time.process_time() - cpu
        stats = scheduler.stats()
    progress.finish(stats.succeeded + stats.dead + stats.cancelled)
    part.runs = stats.started
    return part, shop, stats, cancelled


def with_asyncio(payloads: list[bytes], delays: "array[float]") -> Part:
    """Ship all orders with `call_later`: retries, backoff, snoozes and the end of it all are ours to write."""
    part, shop = Part(), Shop()
    loop = asyncio.new_event_loop()
    progress = Progress("asyncio", len(payloads))
    over = 0

    def again(delay: float, payload: bytes, attempt: int, run: int) -> None:
        loop.call_later(delay, ship, payload, attempt, run, loop.time() + delay)

    def ship(payload: bytes, attempt: int, run: int, due: float) -> None:
        nonlocal over
        order = int(payload[6:])
        if order % SAMPLED == 0:
            part.late.append(loop.time() - due)
        try:
            shop.ship(order, attempt, run)
        except Snooze:
            again(SNOOZE_S, payload, attempt, run + 1)
            return
        except CarrierDownError:
            if attempt <= RETRY_LIMIT:
                ceiling = min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2**attempt)
                again(random.uniform(MIN_BACKOFF_S, ceiling), payload, attempt + 1, run + 1)
                return
        except Discard:
            pass
        over += 1
        if over == len(payloads):
            loop.stop()

    def tick() -> None:
        progress.show(over)
        loop.call_later(0.1, tick)

    begin, cpu = time.perf_counter(), time.process_time()
    handles = []
    for delay, payload in zip(delays, payloads, strict=True):
        handles.append(loop.call_later(delay, ship, payload, 1, 1, loop.time() + delay))
    for order in cancelled_orders(len(payloads)):
        handles[order].cancel()
        over += 1
    part.schedule_s = time.perf_counter() - begin
    tick()
    loop.run_forever()
    part.elapsed_s, part.cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    loop.close()
    progress.finish(over)
    part.runs = shop.started.total()
    return part


async def on_an_event_loop(jobs: int) -> tuple[Part, Stats, dict[str, int]]:
    """Ship what is due already with async handlers: 1 order in 10 has to wait, 1 in 100 fails once and is retried."""
    part, counts = Part(), {"started": 0, "waited": 0, "shipped": 0, "failed": 0}
    async with aio.Scheduler() as scheduler:

        @scheduler.handler("order.ship")
        async def ship(event: Event) -> None:
            counts["started"] += 1
            order = int(event.data)
            if order % 100 == 7 and event.attempt == 1:
                counts["failed"] += 1
                raise CarrierDownError(order)
            if order % 10 == 3:
                await asyncio.sleep(0)
                counts["waited"] += 1
            counts["shipped"] += 1

        payloads = [b"%d" % order for order in range(jobs)]
        begin, cpu = time.perf_counter(), time.process_time()
        delays, backoff = [0.0] * jobs, JobOptions(min_backoff=MIN_BACKOFF_S, max_backoff=MAX_BACKOFF_S)
        await scheduler.in_many(delays, "order.ship", payloads, options=backoff)
        await scheduler.wait()
        part.elapsed_s, part.cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    part.runs = counts["started"]
    return part, scheduler.stats(), counts


async def tasks_by_hand(jobs: int) -> Part:
    """Ship the same orders as one task each, with the retry written by hand."""
    part, loop = Part(), asyncio.get_running_loop()
    over, shipped = loop.create_future(), 0

    async def ship(payload: bytes, attempt: int) -> None:
        nonlocal shipped
        part.runs += 1
        order = int(payload)
        try:
            if order % 100 == 7 and attempt == 1:
                raise CarrierDownError(order)
            if order % 10 == 3:
                await asyncio.sleep(0)
        except CarrierDownError:
            loop.call_later(random.uniform(MIN_BACKOFF_S, 2 * MIN_BACKOFF_S), start, payload, attempt + 1)
            return
        shipped += 1
        if shipped == jobs:
            over.set_result(None)

    def start(payload: bytes, attempt: int) -> None:
        tasks.add(task := loop.create_task(ship(payload, attempt)))
        task.add_done_callback(tasks.discard)

    tasks: set[asyncio.Task[None]] = set()  # a loop keeps none alive
    payloads = [b"%d" % order for order in range(jobs)]
    begin, cpu = time.perf_counter(), time.process_time()
    for payload in payloads:
        loop.call_soon(start, payload, 1)
    await over
    part.elapsed_s, part.cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    return part


def async_handlers(jobs: int) -> bool:
    """Run and report the part with async handlers; tell whether its counts agree."""
    ours, stats, counts = asyncio.run(on_an_event_loop(jobs))
    theirs = asyncio.run(tasks_by_hand(jobs))
    heading(f"Async handlers: {jobs:,} orders due at once, on one event loop")
    rows = [
        ("orders shipped", stats.succeeded, counts["shipped"], jobs),
        ("retries after a failure", stats.retried, counts["failed"], len(range(7, jobs, 100))),
        ("handlers started", stats.started, counts["started"], jobs + len(range(7, jobs, 100))),
    ]
    print(f"  {'':28}{'the engine':>14}{'the handlers':>16}")
    for name, engine, own, expected in rows:
        print(f"  {name:28}{engine:>14,}{own:>16,}   {'✓' if engine == own == expected else '✗ THEY DIFFER'}")
    print(f"  {'of these, had to wait':28}{'':>14}{counts['waited']:>16,}")
    print(f"\n  {'':34}{'duewheel':>12}{'tasks':>12}")
    for name, left, right in (
        ("until the last was over", ours.elapsed_s, theirs.elapsed_s),
        ("CPU time, a run of the handler", ours.cpu_s / ours.runs, theirs.cpu_s / theirs.runs),
    ):
        print(f"  {name:34}{readable(left):>12}{readable(right):>12}{f'{right / left:,.1f} ×':>12}")
    return all(engine == own == expected for _, engine, own, expected in rows)


def heading(text: str) -> None:
    """Print a title over a rule."""
    print(f"\n{text}\n{'─' * WIDTH}")


def balance(jobs: int, shop: Shop, stats: Stats, cancelled: int) -> bool:
    """Print the engine's counts beside the handlers' own, and tell whether all agree and the equation holds."""
    failed, given_up, refused = shop.failed.total(), shop.given_up.total(), shop.refused.total()
    rows = [
        ("orders scheduled", stats.scheduled, jobs),
        ("handlers started", stats.started, shop.started.total()),
        ("orders shipped", stats.succeeded, shop.shipped.total()),
        ("retries after a failure", stats.retried, failed - given_up),
        ("snoozes", stats.snoozed, shop.snoozed.total()),
        ("dead: refused or given up", stats.dead, refused + given_up),
        ("cancelled in time", stats.cancelled, cancelled),
        ("still pending or running", stats.pending + stats.running, 0),
    ]
    heading("Counts")
    print(f"  {'':28}{'the engine':>14}{'the handlers':>16}")
    for name, engine, ours in rows:
        print(f"  {name:28}{engine:>14,}{ours:>16,}   {'✓' if engine == ours else '✗ THEY DIFFER'}")
    left = stats.scheduled + stats.revived
    right = stats.pending + stats.running + stats.succeeded + stats.dead + stats.cancelled + stats.dropped
    print("\n  scheduled + revived")
    print("      = pending + running + succeeded + dead + cancelled + dropped")
    print(f"  {left:,} {'=' if left == right else '≠'} {right:,}   {'✓' if left == right else '✗ THEY DIFFER'}")
    return left == right and all(engine == ours for _, engine, ours in rows)


def readable(seconds: float) -> str:
    """Write a time to three digits in the unit that suits it."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(seconds) >= factor:
            return f"{seconds / factor:.3g} {unit}" if seconds / factor < 99.5 else f"{seconds / factor:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


BOUNDS = (20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 100e-3, 1.0)


def shares(late: Sequence[float]) -> list[float]:
    """Count what part of the latenesses lies under each bound, and over the last."""
    counts = [0] * (len(BOUNDS) + 1)
    for seconds in late:
        counts[bisect_right(BOUNDS, seconds)] += 1
    return [count / max(len(late), 1) for count in counts]


def histogram(ours: Part, theirs: Part) -> None:
    """Print the latenesses of both as bars."""
    heading(f"Lateness: the start of the handler minus the due (1 order in {SAMPLED})")
    print(f"  {'':12}{'duewheel':33}{'asyncio.call_later'}")
    names = [f"< {readable(bound)}" for bound in BOUNDS] + [f"≥ {readable(BOUNDS[-1])}"]
    for name, left, right in zip(names, shares(ours.late), shares(theirs.late), strict=True):
        bars = [f"{'█' * round(share * 22):22}{share:>6.1%}" for share in (left, right)]
        print(f"  {name:>9}  {bars[0]}     {bars[1]}")


def comparison(ours: Part, theirs: Part, stats: Stats) -> None:
    """Print what both took, and the engine's own quantiles."""
    heading("Side by side: the same orders, the same handler, one after the other")
    print(f"  {'':34}{'duewheel':>12}{'asyncio':>12}{'':>12}")
    rows = [
        ("schedule and cancel, all orders", ours.schedule_s, theirs.schedule_s),
        ("until the last was over", ours.elapsed_s, theirs.elapsed_s),
        ("CPU time, a run of the handler", ours.cpu_s / ours.runs, theirs.cpu_s / theirs.runs),
        ("lateness p50", ours.quantile(0.5), theirs.quantile(0.5)),
        ("lateness p99", ours.quantile(0.99), theirs.quantile(0.99)),
        ("lateness max", ours.quantile(1.0), theirs.quantile(1.0)),
    ]
    for name, left, right in rows:
        times = f"{right / left:,.1f} ×" if left > 0 else ""
        print(f"  {name:34}{readable(left):>12}{readable(right):>12}{times:>12}")
    print(f"  {'runs of the handler':34}{ours.runs:>12,}{theirs.runs:>12,}")
    rates = [f"{part.runs / part.elapsed_s:,.0f}" for part in (ours, theirs)]
    print(f"  {'throughput, runs a second':34}{rates[0]:>12}{rates[1]:>12}")
    late = stats.lateness
    quantiles = ", ".join(
        f"{name} {readable(value)}"
        for name, value in (
            ("p50", late.p50),
            ("p90", late.p90),
            ("p99", late.p99),
            ("p99.9", late.p999),
            ("max", late.max),
        )
    )
    print(f"\n  scheduler.stats().lateness, all {late.count:,} runs:")
    print(f"  {quantiles}")


def main() -> int:
    """Ship the orders both ways and report."""
    parser = argparse.ArgumentParser(description="A million orders through duewheel, and the books balanced.")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="over how long the orders are due")
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    if given.jobs < 1 or given.seconds < 0 or given.workers < 1:
        parser.error("--jobs and --workers are at least 1, --seconds at least 0")

    logging.getLogger("duewheel").disabled = True  # each failure would be logged, with its traceback
    draw = random.Random(7).random
    payloads = [b"order=%08d" % order for order in range(given.jobs)]
    delays = array("d", (LEAD_S + given.seconds * draw() for _ in range(given.jobs)))

    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{given.jobs:,} orders due over {given.seconds:g} s, {given.workers} workers, {python}\n")
    ours, shop, stats, cancelled = with_duewheel(payloads, delays, given.workers)
    theirs = with_asyncio(payloads, delays)
    histogram(ours, theirs)
    comparison(ours, theirs, stats)
    balanced = balance(given.jobs, shop, stats, cancelled)
    balanced &= async_handlers(max(given.jobs // 5, 1))
    print("\nAll counts add up." if balanced else "\nTHE COUNTS DO NOT ADD UP.")
    return 0 if balanced else 1


if __name__ == "__main__":
    sys.exit(main())
