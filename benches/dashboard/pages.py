"""How long each page of the dashboard takes, over many jobs: `python benches/dashboard/pages.py memory file client`.

A page is asked for as a server asks for it, without a network between; `postgres` starts a server of its own. What takes
longer than `--most` milliseconds at the median is marked, and the exit status says so. On a machine that is busy with
something else the CPU time of this process tells more.
"""

import argparse
import asyncio
import contextlib
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import httpx2 as httpx

import duewheel
from duewheel import LocalStorage, PostgresStorage, Scheduler, dashboard

POSTGRES = Path(__file__).resolve().parents[2] / "tests" / "postgres"
TARGETS = [f"service-{number % 10}.task-{number}" for number in range(200)]
ERRORS = 40
RUNS = 9

OWNER = """
import sys, duewheel
scheduler = duewheel.Scheduler(duewheel.LocalStorage(sys.argv[1], durability="relaxed"), share=True)
for target in sys.argv[2:]:
    scheduler.handle(target, lambda event: None)
scheduler.start()
print("serves", flush=True)
sys.stdin.read()
scheduler.close()
"""


def fail(event):
    raise ValueError(f"no luck with {int(event.data) % ERRORS}")


def fill(scheduler, pending, dead):
    """Have so many pending, of two hundred targets, so many that have died, and some of all else there is."""
    for target in TARGETS:
        scheduler.handle(target, fail)
    scheduler.start()
    each = -(-dead // len(TARGETS))
    for target in TARGETS:
        scheduler.in_many([0.0] * each, target, [b"%d" % n for n in range(each)], retry_limit=0)
        while len(scheduler) > 10_000:
            time.sleep(0.01)
    while len(scheduler):
        time.sleep(0.01)
    for number in range(50):
        scheduler.in_(0, TARGETS[number], b"1", min_backoff=3_600, id=f"again-{number}")
    each = pending // len(TARGETS)
    for number, target in enumerate(TARGETS):
        scheduler.in_many([100 + (n * 7_919 + number) % 80_000 for n in range(each)], target)
    for number in range(1_000):
        scheduler.repeat(86_400, TARGETS[number % 200], id=f"repeat-{number}")
    for number in range(300):
        scheduler.at(time.time() - 3_600 + number, "nobody", id=f"parked-{number}")


def paths_of(client_or_scheduler):
    """The pages, with what is in them to be asked for."""
    found = list(zip(range(1_050), client_or_scheduler.between(), strict=False))
    event = found[-1][1]
    dead = list(client_or_scheduler.dead(limit=1_000))
    error = quote(dead[0].error.rstrip().rpartition("\n")[2])
    deep = client_or_scheduler.between(time.time() + 40_000)
    return [
        "/", "/?window=hour", "/targets", "/targets?sort=late", "/jobs", f"/jobs?target={TARGETS[77]}",
        f"/jobs?after={next(iter(deep)).due}~1", "/jobs?state=overdue", "/jobs?state=retrying", "/jobs?state=repeating",
        "/jobs?target=nothing", "/running", "/dead", "/dead?view=list", f"/dead?target={TARGETS[77]}",
        "/dead?target=nothing", f"/dead?error={error}", "/dead?reason=interrupted&view=list",
        f"/dead?view=list&after={dead[-1].died}~1", "/repeats", "/repeats?page=10", "/store",
        f"/job?id={event.job_id}", f"/job?id={dead[-1].event.job_id}", "/job?id=repeat-7", "/job?id=again-7",
        "/job?id=parked-0", "/job?id=nothing", "/confirm?action=revive-all", f"/confirm?action=discard-all&error={error}",
    ]  # fmt: skip


async def measure(app, paths, most_ms):
    """Print how long each page takes; return which take too long."""
    slow = []
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=600) as client:
        for path in paths:
            took_ms, busy_ms = [], []
            for _ in range(RUNS):
                began, began_busy = time.perf_counter(), time.process_time()
                answer = await client.get(path)
                took_ms.append((time.perf_counter() - began) * 1e3)
                busy_ms.append((time.process_time() - began_busy) * 1e3)
                assert answer.status_code == 200, (path, answer.text)
            median_ms, busy = statistics.median(took_ms), statistics.median(busy_ms)
            mark = "" if median_ms <= most_ms else "  <-- slow"
            slow += [path] if mark else []
            times = f"{took_ms[0]:8.1f} {median_ms:8.1f} {max(took_ms[1:]):8.1f} {busy:8.1f}"
            print(f"{times}  {len(answer.content):7,}  {path[:70]}{mark}", flush=True)
    return slow


def report(what, shown, most_ms):
    counts = shown.stats()
    dead = sum(1 for _ in shown.dead())
    print(
        f"\n{what}: {counts.pending:,} pending, {dead:,} dead\n{'first':>8} {'median':>8} {'max':>8} {'CPU':>8}  {'bytes':>7}  page, ms"
    )
    return asyncio.run(measure(dashboard.app(shown, actions=True), paths_of(shown), most_ms))


def over_memory(args):
    with contextlib.closing(Scheduler()) as scheduler:
        fill(scheduler, args.pending, args.dead)
        return report("memory", scheduler, args.most)


def over_file(args, path):
    """A file with all of its jobs, as the process sees it that has filled it, and as one that opens it."""
    with contextlib.closing(Scheduler(LocalStorage(path, durability="relaxed"))) as scheduler:
        fill(scheduler, args.pending, args.dead)
        slow = report("file", scheduler, args.most)
    began = time.perf_counter()
    with contextlib.closing(Scheduler(LocalStorage(path, durability="relaxed"))) as scheduler:
        for target in TARGETS:
            scheduler.handle(target, lambda event: None)
        scheduler.start()
        print(f"\nopened and started in {time.perf_counter() - began:.2f} s")
        return slow + report("file, opened again", scheduler, args.most)


def over_client(args, path):
    """A client of a file whose owner is another process."""
    with contextlib.closing(Scheduler(LocalStorage(path, durability="relaxed"))) as scheduler:
        fill(scheduler, args.shared, args.shared // 10)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, path, *TARGETS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        owner.stdout.readline()
        with contextlib.closing(duewheel.connect(path)) as client:
            slow = report("client", client, args.most)
        owner.stdin.close()
    return slow


def over_postgres(args):
    sys.path.insert(0, str(POSTGRES))
    import pg_server

    server = pg_server.start(settings=("fsync=off",))
    try:
        with contextlib.closing(Scheduler(PostgresStorage(server.url, schema="dashboard"))) as scheduler:
            fill(scheduler, args.shared, args.shared // 10)
            return report("postgres", scheduler, args.most)
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("over", nargs="+", choices=["memory", "file", "client", "postgres"])
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--dead", type=int, default=100_000)
    parser.add_argument("--shared", type=int, default=100_000, help="pending of a client or PostgreSQL")
    parser.add_argument("--most", type=float, default=100.0, metavar="MS")
    args = parser.parse_args()
    logging.getLogger("duewheel").setLevel(logging.CRITICAL + 1)
    slow = []
    for over in args.over:
        with tempfile.TemporaryDirectory() as inside:
            path = f"{inside}/jobs.db"
            ways = {"memory": [args], "postgres": [args], "file": [args, path], "client": [args, path]}
            slow += globals()[f"over_{over}"](*ways[over])
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
