"""Nodes that run for long over one database: what they and its tables take, and how late jobs are, while time passes.

    python tests/postgres/soak.py [--minutes 30] [--nodes 3] [--per-second 2000] [--snapshot 10]

Nodes and the one that schedules are processes. For the `--snapshot` minutes in the middle a transaction keeps its
snapshot, so that the server cannot give back what is deleted meanwhile. Prints a line a minute, and at the end the
last fifth of the time beside the second; the exit status is 1 if a job was lost or a process ended badly.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pg_server

from duewheel import PostgresStorage, Scheduler

SCHEMA = "duewheel_soak"
BULK = 100
AHEAD_S = 2.0
END_S = 60


def rank(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Node:
    """Runs jobs; at each line of its input it says how late they were since the last."""

    def __init__(self, url):
        self.late, self.ran = [], 0
        self.scheduler = Scheduler(PostgresStorage(url, schema=SCHEMA), workers=4)
        self.scheduler.handle("work", self.work)
        self.scheduler.start()

    def work(self, event):
        self.late.append((time.time_ns() - event.due) / 1e9)
        self.ran += 1

    def run(self):
        for _ in sys.stdin:
            late, self.late = self.late, []
            print(json.dumps({"ran": self.ran, "late": [rank(late, share) for share in (0.5, 0.99)]}), flush=True)
        self.scheduler.drain()
        self.scheduler.close()


class Producer:
    """Schedules a steady number a second; at each line of its input it says how many so far."""

    def __init__(self, url, per_s):
        self.per_s, self.made, self.is_over = per_s, 0, threading.Event()
        self.scheduler = Scheduler(PostgresStorage(url, schema=SCHEMA))

    def make(self):
        try:
            self.schedule()
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # or nobody notices

    def schedule(self):
        begun = time.monotonic()
        while not self.is_over.wait(max(0.0, begun + self.made / self.per_s - time.monotonic())):
            first = AHEAD_S + BULK / self.per_s
            self.scheduler.in_many([first + n / self.per_s for n in range(BULK)], "work", [b"x" * 100] * BULK)
            self.made += BULK

    def run(self):
        thread = threading.Thread(target=self.make)
        thread.start()
        for _ in sys.stdin:
            print(json.dumps({"made": self.made}), flush=True)
        self.is_over.set()
        thread.join()
        self.scheduler.close()


class Process:
    def __init__(self, *told):
        command = [sys.executable, __file__, *map(str, told)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def takes(self):
        """Kilobytes that are resident, and descriptors."""
        at = Path("/proc", str(self.process.pid))
        status = dict(line.split(":", 1) for line in (at / "status").read_text().splitlines() if ":" in line)
        return int(status["VmRSS"].split()[0]), len([*(at / "fd").iterdir()])

    def end(self):
        self.process.stdin.close()
        return self.process.wait(END_S)


class Soak:
    """A server, its nodes, and what they take a minute."""

    def __init__(self, server, nodes, per_s):
        self.psql = pg_server.Psql(server.url)
        with Scheduler(PostgresStorage(server.url, schema=SCHEMA)):
            pass  # the tables are there
        self.nodes = [Process("node", server.url) for _ in range(nodes)]
        self.producer = Process("producer", server.url, per_s)
        self.lines = []
        self.snapshot = None

    def hold_snapshot(self):
        """Keep a snapshot, as a long report or a forgotten transaction does."""
        text = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class; SELECT pg_sleep(1e6);"
        command = [str(self.psql.bin / "psql"), "-X", "-q", "-d", self.psql.url, "-c", text]
        self.snapshot = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def let_snapshot_go(self):
        if self.snapshot is not None:
            self.psql.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1e6)%'"
                          " AND pid <> pg_backend_pid()")  # fmt: skip
            self.snapshot.send_signal(signal.SIGTERM)
            self.snapshot.wait()
            self.snapshot = None

    def sizes(self):
        """Megabytes of the tables, and of their indexes."""
        text = (
            "SELECT sum(pg_table_size(oid)), sum(pg_indexes_size(oid)) FROM pg_class"
            f" WHERE relkind = 'r' AND relnamespace = '{SCHEMA}'::regnamespace"
        )
        return [int(size) / 1e6 for size in self.psql.sql(text)[0].split("|")]

    def note(self, minute):
        said, takes = [node.ask() for node in self.nodes], [node.takes() for node in self.nodes]
        tables, indexes = self.sizes()
        line = {
            "minute": minute,
            "made": self.producer.ask()["made"],
            "ran": sum(node["ran"] for node in said),
            "p50 ms": max(node["late"][0] for node in said) * 1e3,
            "p99 ms": max(node["late"][1] for node in said) * 1e3,
            "RSS MB": max(kb for kb, _ in takes) / 1e3,
            "descriptors": max(count for _, count in takes),
            "tables MB": tables,
            "indexes MB": indexes,
            "snapshot": int(self.snapshot is not None),
        }
        self.lines.append(line)
        print("  ".join(f"{name} {value:,.6g}" for name, value in line.items()), flush=True)

    def run(self, minutes, snapshot):
        first, last = (minutes - snapshot) / 2, (minutes + snapshot) / 2
        begun = time.monotonic()
        for minute in range(1, round(minutes) + 1):
            time.sleep(max(0.0, begun + minute * 60 - time.monotonic()))
            self.note(minute)
            if first <= minute < last and self.snapshot is None:
                self.hold_snapshot()
            elif minute >= last:
                self.let_snapshot_go()

    def close(self):
        """Whether all that was made has run, and all have ended well."""
        made = self.producer.ask()["made"]
        ended = [self.producer.end()]
        end = time.monotonic() + END_S
        while sum(node.ask()["ran"] for node in self.nodes) < made and time.monotonic() < end:
            time.sleep(0.5)
        made_last = int(self.psql.sql(f"SELECT count(*) FROM {SCHEMA}.job")[0])
        ran = sum(node.ask()["ran"] for node in self.nodes)
        ended += [node.end() for node in self.nodes]
        print(f"\nscheduled {made:,} or up to {BULK} more, ran {ran:,}, left {made_last}; exit statuses {ended}")
        return made <= ran <= made + BULK and made_last == 0 and not any(ended)

    def remove(self):
        self.let_snapshot_go()
        for process in (self.producer, *self.nodes):
            if process.process.poll() is None:
                process.process.kill()
                process.process.wait()

    def report(self):
        """The second fifth of the time beside the last."""
        fifth = max(1, len(self.lines) // 5)
        early, late = self.lines[fifth : 2 * fifth], self.lines[-fifth:]
        print(f"\n{'':12}{'early':>12}{'late':>12}")
        for name in ("p50 ms", "p99 ms", "RSS MB", "descriptors", "tables MB", "indexes MB"):
            values = [sorted(line[name] for line in lines)[len(lines) // 2] for lines in (early, late)]
            print(f"{name:12}{values[0]:12,.2f}{values[1]:12,.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, metavar="M")
    parser.add_argument("--nodes", type=int, default=3, metavar="N")
    parser.add_argument("--per-second", type=float, default=2_000, metavar="N", help="jobs that are scheduled")
    parser.add_argument("--snapshot", type=float, default=10, metavar="M", help="how many minutes one is held")
    flags = parser.parse_args()
    server = pg_server.start()
    if server is None:
        return 1
    soak = None
    try:
        soak = Soak(server, flags.nodes, flags.per_second)
        soak.run(flags.minutes, flags.snapshot)
        soak.report()
        return 0 if soak.close() else 1
    finally:
        if soak is not None:
            soak.remove()
        server.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["node"]:
        Node(sys.argv[2]).run()
    elif sys.argv[1:2] == ["producer"]:
        Producer(sys.argv[2], float(sys.argv[3])).run()
    else:
        sys.exit(main())
