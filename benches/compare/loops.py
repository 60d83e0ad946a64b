"""Measure async handlers against what asyncio itself offers: `loops.py [rounds]`.

Each sample has a fresh process; the sides take turns. Prints medians and ratios, and writes the distributions of
lateness into `docs/lateness.svg`.
"""

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

JOBS = 1_000_000
LATE = 3_000
PICTURE = Path(__file__).parents[2] / "docs" / "async-lateness.svg"


async def nothing(event):
    pass


async def run_ours():
    from duewheel import aio

    scheduler = aio.Scheduler(workers=1)
    scheduler.handle("t", nothing)
    await scheduler.in_many([0.0] * JOBS, "t")
    began = time.perf_counter()
    await scheduler.start()
    await scheduler.wait()
    took = time.perf_counter() - began
    assert scheduler.stats().succeeded == JOBS
    await scheduler.close()
    return [took / JOBS * 1e9]


async def run_call_soon():
    loop = asyncio.get_running_loop()
    left, over = JOBS, loop.create_future()

    def ended(task):
        nonlocal left
        left -= 1
        if not left:
            over.set_result(None)

    began = time.perf_counter()
    for _ in range(JOBS - 1):
        loop.call_soon(lambda: loop.create_task(nothing(None)))
    loop.call_soon(lambda: loop.create_task(nothing(None)).add_done_callback(lambda task: over.set_result(None)))
    await over
    return [(time.perf_counter() - began) / JOBS * 1e9]


def dues():
    """Dues of a thousand jobs a second, in seconds from now, at random."""
    draw = random.Random(7)
    at, found = 0.2, []
    for _ in range(LATE):
        at += draw.expovariate(1_000)
        found.append(at)
    return found


async def busy(until):
    """Keep the loop busy half of the time, in slices of a millisecond."""
    while time.monotonic() < until:
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0.001)


async def late_ours(spin=False):
    from duewheel import aio

    scheduler, found, handled = aio.Scheduler(workers=1), [], {}

    @scheduler.handler("t")
    async def handler(event):
        found.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - handled[event.data])

    async with scheduler:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for number, delay in enumerate(dues()):
            data = number.to_bytes(4, "little")
            handled[data] = now + int(delay * 1e9)
            left = handled[data] - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            await scheduler.in_(left / 1e9, "t", data)
        if spin:
            await busy(time.monotonic() + LATE / 1_000 + 0.2)
        await scheduler.wait()
    return [max(0, ns) for ns in found]


async def late_call_at(spin=False):
    loop, found = asyncio.get_running_loop(), []
    now = loop.time()
    for delay in dues():
        due = now + delay
        loop.call_at(due, lambda due=due: found.append((loop.time() - due) * 1e9))
    await (busy(time.monotonic() + LATE / 1_000 + 0.2) if spin else asyncio.sleep(LATE / 1_000 + 0.5))
    while len(found) < LATE:
        await asyncio.sleep(0.01)
    return found


async def late_sleep():
    loop, found = asyncio.get_running_loop(), []
    now = loop.time()

    async def one(due):
        await asyncio.sleep(due - loop.time())
        found.append((loop.time() - due) * 1e9)

    await asyncio.gather(*(one(now + delay) for delay in dues()))
    return found


SAMPLES = {
    "run": (run_ours, run_call_soon),
    "idle": (late_ours, late_call_at, late_sleep),
    "busy": (lambda: late_ours(True), lambda: late_call_at(True)),
}
SIDES = {"run": ("duewheel", "create_task"), "idle": ("duewheel", "call_at", "sleep"), "busy": ("duewheel", "call_at")}


def sample(loop, row, side):
    if loop == "uvloop":
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    else:
        runner = asyncio.Runner()

    async def measured():
        return await SAMPLES[row][side]()

    with runner:
        print(json.dumps(runner.run(measured())))


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def draw(distributions):
    """Draw what share of the starts was at most so late."""
    import math

    def x(us):
        return 60 + 500 * (math.log10(max(us, 10)) - 1) / 3

    lines = ['<svg xmlns="http://www.w3.org/2000/svg" width="720" height="340" font-family="sans-serif" font-size="12">']
    lines.append('<rect width="720" height="340" fill="white"/>')
    for us in (10, 100, 1_000, 10_000):
        lines.append(f'<path d="M{x(us):.0f} 20V290" stroke="#ddd"/>')
        lines.append(f'<text x="{x(us):.0f}" y="308" text-anchor="middle">{us:,} µs</text>')
    for share in (0, 50, 100):
        lines.append(f'<text x="50" y="{290 - 2.7 * share + 4:.0f}" text-anchor="end">{share} %</text>')
    lines.append('<text x="310" y="330" text-anchor="middle">lateness: start minus due, 1,000 jobs a second</text>')
    colours = ("#0b6", "#c30", "#e90", "#06c", "#a0a", "#666", "#0aa")
    for number, (name, values) in enumerate(distributions.items()):
        points = " ".join(f"{x(quantile(values, q / 100) / 1e3):.1f},{290 - 2.7 * q:.1f}" for q in range(0, 100))
        colour = colours[number % len(colours)]
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="575" y="{40 + 18 * number}" fill="{colour}">{name}</text>')
    PICTURE.write_text("\n".join([*lines, "</svg>", ""]), encoding="utf-8")


def main(rounds):
    print(f"{sys.version.split()[0]}, {rounds} rounds, medians (least, most)")
    distributions = {}
    for row, sides in SIDES.items():
        for loop in ("asyncio", "uvloop"):
            found = {side: [] for side in sides}
            for _ in range(rounds):
                for number, side in enumerate(sides):
                    command = [sys.executable, __file__, "--sample", loop, row, str(number)]
                    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                    found[side].append(json.loads(told))
            for side, samples in found.items():
                figures = [("ns a job", [one[0] for one in samples], 1)]
                if row != "run":
                    distributions[f"{side}, {loop}, {row}"] = samples[-1]
                    figures = [(f"p{q} µs", [quantile(one, q / 100) for one in samples], 1e3) for q in (50, 99)]
                for what, values, unit in figures:
                    middle, least, most = (f(values) / unit for f in (statistics.median, min, max))
                    print(f"{row:5} {loop:8} {side:12} {what:8} {middle:10.1f} ({least:.1f}, {most:.1f})", flush=True)
    draw({name: values for name, values in distributions.items() if "idle" in name or "asyncio, busy" in name})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sample"]:
        sample(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
