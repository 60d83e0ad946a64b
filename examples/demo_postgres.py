"""A database that four nodes share, and what happens to them: nodes are killed and stopped, the server crashes.

    python examples/demo_postgres.py [--jobs 1000000] [--nodes 4] [--seconds 30]

A fifth process schedules jobs that are due over so many seconds; one in ten runs at most once, one in ten fails at
its first attempt and is retried. Meanwhile a node is killed (and another started), one is stopped past its lease and
goes on, the server crashes and comes back. Each node writes down what it starts. The exit status is 1 if anything
was lost, or at most once started twice. The server is one of its own, on the loopback interface: see
tests/postgres/pg_server.py.
"""

import argparse
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "postgres"))

import pg_server

from duewheel import Consistency, Event, JobOptions, PostgresStorage, Scheduler

WIDTH = 78
LEASE = 3.0
BULK = 1_000
ENTRY = struct.Struct("<If")
"""What a node writes down of a start: the job, and how late it was, in seconds."""
ONCE = JobOptions(consistency=Consistency.AT_MOST_ONCE)
LEAST = JobOptions(min_backoff=0.1, max_backoff=1)
BOUNDS = (0.001, 0.01, 0.1, 1.0, 5.0, float("inf"))


def is_once(job: int) -> bool:
    """Tell the jobs that run at most once."""
    return job // BULK % 10 == 9


def storage(url: str, name: str) -> PostgresStorage:
    """Describe the database as every process does."""
    return PostgresStorage(url, name=name, lease=LEASE, timeout=60)


def be_a_node(url: str, name: str, log: Path) -> None:
    """Run what is due until the input ends."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    scheduler = Scheduler(storage(url, name), workers=4)

    @scheduler.handler("order.ship")
    def ship(event: Event) -> None:
        (order,) = struct.unpack("<I", event.data)
        os.write(file, ENTRY.pack(order, event.lateness))
        if order % 10 == 0 and event.attempt == 1 and not is_once(order):
            raise ConnectionError("the carrier does not answer")

    import logging

    logging.getLogger("duewheel").setLevel(logging.CRITICAL)
    with scheduler:
        print("ready", flush=True)
        sys.stdin.read()


class Nodes:
    """The processes that run jobs."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self.directory = url, directory
        self.living: list[subprocess.Popen[str]] = []
        self.started = 0

    def start(self) -> None:
        """Start one more."""
        self.started += 1
        log = self.directory / f"node-{self.started}"
        command = [sys.executable, __file__, "--be-a-node", self.url, f"node-{self.started}", str(log)]
        node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert node.stdout is not None
        node.stdout.readline()
        self.living.append(node)

    def kill(self) -> None:
        """Kill the oldest, and start another."""
        self.living.pop(0).kill()
        self.start()

    def end(self) -> None:
        """Let all of them drain and close."""
        for node in self.living:
            assert node.stdin is not None
            node.stdin.close()
        for node in self.living:
            node.wait(60)

    def starts(self) -> list[tuple[int, float]]:
        """Read what all of them have written down."""
        logs = [path.read_bytes() for path in self.directory.glob("node-*")]
        return [entry for log in logs for entry in ENTRY.iter_unpack(log[: len(log) // ENTRY.size * ENTRY.size])]

    def count(self) -> int:
        """Count the starts so far."""
        return sum(path.stat().st_size for path in self.directory.glob("node-*")) // ENTRY.size


def show(begin: float, jobs: int, left: int, starts: int, what: str) -> None:
    """Show a line of the picture, or the present one again."""
    done = (jobs - left) * 16 // jobs
    bar = f"{'█' * done}{'·' * (16 - done)}"
    print(f"{time.monotonic() - begin:5.1f} s {bar} {left:>9,} left {starts:>9,} starts {what}", flush=True)


def play(server: pg_server.Server, nodes: Nodes, jobs: int, seconds: float) -> set[int]:
    """Schedule the jobs, let things happen, wait for the end; return which jobs were reported as interrupted."""
    events = [
        (0.2, "a node is killed", nodes.kill),
        (0.4, "a node is stopped", lambda: nodes.living[0].send_signal(signal.SIGSTOP)),
        (0.4 + 2 * LEASE / seconds, "it goes on", lambda: nodes.living[0].send_signal(signal.SIGCONT)),
        (0.7, "the server crashes", lambda: server.restart(signal.SIGQUIT)),
        (0.9, "a node is killed", nodes.kill),
    ]
    begin = time.monotonic()
    with Scheduler(storage(server.url, "producer")) as producer:
        for start in range(0, jobs, BULK):
            orders = range(start, min(start + BULK, jobs))
            options = ONCE if is_once(start) else LEAST
            delays = [2 + seconds * order / jobs for order in orders]
            payloads = [struct.pack("<I", order) for order in orders]
            producer.in_many(delays, "order.ship", payloads, options=options)
        show(begin, jobs, jobs, 0, "all are scheduled")
        begun = time.monotonic()
        left, looked = jobs, begun
        while left or events:
            time.sleep(0.1)
            now = time.monotonic()
            while events and now - begun >= events[0][0] * seconds:
                _, what, do = events.pop(0)
                do()
                show(begin, jobs, left, nodes.count(), what)
            if now - looked >= 1:
                left, looked = len(producer), now
                show(begin, jobs, left, nodes.count(), "")
        nodes.end()
        while len(producer):
            time.sleep(0.1)
        return {struct.unpack("<I", dead.event.data)[0] for dead in producer.dead() if dead.reason == "interrupted"}


def report(nodes: Nodes, jobs: int, interrupted: set[int]) -> bool:
    """Print the books, and tell whether they are as promised."""
    starts = nodes.starts()
    counted = Counter(order for order, _ in starts)
    fails = {order for order in range(0, jobs, 10) if not is_once(order)}
    lost = [order for order in range(jobs) if not counted[order] and order not in interrupted]
    unretried = [order for order in fails if counted[order] < 2]
    twice = [order for order, runs in counted.items() if is_once(order) and runs > 1]
    extra = sum(runs - 1 - (order in fails) for order, runs in counted.items() if not is_once(order))
    rows = [
        ("jobs", jobs, ""),
        ("starts", len(starts), ""),
        ("lost", len(lost), "0"),
        ("failed and not retried", len(unretried), "0"),
        ("at most once, started twice", len(twice), "0"),
        ("at most once, interrupted and reported", len(interrupted), ""),
        ("at least once, started again", extra, "what lost nodes ran"),
    ]
    print(f"\n{'The books':42}{'found':>10}   promised\n{'─' * WIDTH}")
    for name, found, promised in rows:
        print(f"  {name:40}{found:>10,}   {promised}")
    print(f"\n{'Lateness, retries and what was taken over included'}\n{'─' * WIDTH}")
    before = 0
    for bound in BOUNDS:
        up_to = sum(lateness <= bound for _, lateness in starts)
        name = f"≤ {bound * 1e3:,.0f} ms" if bound < float("inf") else "more"
        print(f"  {name:>10} {up_to - before:>10,}  {'█' * ((up_to - before) * 50 // max(1, len(starts)))}")
        before = up_to
    return not (lost or unretried or twice)


def main() -> int:
    """Play, and report."""
    if sys.argv[1:2] == ["--be-a-node"]:
        be_a_node(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--nodes", type=int, default=4, metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="over which the jobs are due")
    flags = parser.parse_args()
    if min(flags.jobs, flags.nodes - 1, flags.seconds) < 1:
        parser.error("--jobs and --seconds are at least 1, --nodes at least 2")
    server = pg_server.start()
    if server is None:
        return 1
    try:
        with tempfile.TemporaryDirectory() as directory:
            print(f"{flags.jobs:,} jobs, {flags.nodes} nodes, a server of PostgreSQL; leases of {LEASE} s")
            print("─" * WIDTH)
            nodes = Nodes(server.url, Path(directory))
            for _ in range(flags.nodes):
                nodes.start()
            try:
                interrupted = play(server, nodes, flags.jobs, flags.seconds)
            finally:
                for node in nodes.living:
                    node.kill()
                    node.wait()
            is_well = report(nodes, flags.jobs, interrupted)
    finally:
        server.stop()
    print("\nNothing is lost." if is_well else "\nThat is not as promised.")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
