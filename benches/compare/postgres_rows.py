"""What is measured on PostgreSQL, each sample in a fresh database with programs of peers/postgres/."""

import contextlib
import itertools
import json
import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from postgres_sides import CHECKOUT, OURS, SIDES

Sample = dict[str, float]

LIMIT_S = 240
SETTLE_S = 3
WATCH_S = 6
"""An idle node is watched for so long; more than one sweep of ours."""
LATE_PER_S, LATE_AHEAD_S = 200, 5
LOOK_ROWS = 10_000_000
CHURN = 400_000
"""Jobs that go through while a snapshot is held: of an hour, at 111 a second."""
TICK_HZ = os.sysconf("SC_CLK_TCK")


class Absent(Exception):
    """A side does not have a row."""


class Program:
    """A side's program in a role: says lines of JSON, and ends with its input at the latest."""

    def __init__(self, side: str, role: str, url: str, **told: Any) -> None:
        environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(CHECKOUT / "python"))}
        self.name = f"{SIDES[side].title}, {role}"
        self.process = subprocess.Popen(
            [*SIDES[side].command, role, url, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def hear(self, limit: float = LIMIT_S) -> dict[str, Any]:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], limit)
        if not readable:
            raise TimeoutError(f"{self.name}: it has said nothing for {limit} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: {self.process.communicate()[1].strip() or 'it ended'}")
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        """It has nothing more to say: kill what does not end."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def running(*given: Any, **told: Any) -> Iterator[Program]:
    program = Program(*given, **told)
    try:
        yield program
    finally:
        program.end()


def ticks(pid: int) -> float:
    """CPU seconds of a process, which is 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK_HZ


def resident(pid: int) -> float:
    """MiB of memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


class Bench:
    """A server, and databases on it."""

    def __init__(self, server: Any, *, quick: bool) -> None:
        self.server, self.quick = server, quick
        self.admin = psycopg.connect(server.url, autocommit=True)
        self.numbers = itertools.count()

    def version(self) -> str:
        return str(self.value("SHOW server_version")).split()[0]

    def value(self, sql: str) -> Any:
        found = self.admin.execute(sql).fetchone()  # type: ignore[arg-type]
        return found[0] if found else None

    def size(self, row: str, side: str) -> int:
        n = SIDES[side].n.get(row, ROWS[row].n)
        return (ROWS[row].least or n // 10) if self.quick else n

    @contextlib.contextmanager
    def database(self, side: str, *, logged: bool = False) -> Iterator[str]:
        """A fresh database with the side's tables; `logged`: the server logs each statement and its time."""
        name = f"bench_{next(self.numbers)}"
        self.admin.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        url = self.server.url.rpartition("/")[0] + f"/{name}"
        try:
            with running(side, "setup", url) as program:
                if program.process.wait(LIMIT_S):
                    program.hear()
            if logged:
                self.admin.execute(f"ALTER DATABASE {name} SET log_min_duration_statement = 0")  # type: ignore[arg-type]
            yield url
        finally:
            self.admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]

    def lsn(self) -> int:
        return int(self.value("SELECT pg_current_wal_insert_lsn() - '0/0'"))

    def logged_since(self, offset: int) -> str:
        with (self.server.home / "log").open(encoding="utf-8", errors="replace") as log:
            log.seek(offset)
            return log.read()

    def log_size(self) -> int:
        return int((self.server.home / "log").stat().st_size)


def scheduled(bench: Bench, side: str, n: int, role: str) -> Sample:
    batch = min(n, 10_000)
    with bench.database(side) as url, running(side, role, url, n=n, batch=batch) as program:
        return {"rate": program.hear()["rate"]}


def single(bench: Bench, side: str, n: int) -> Sample:
    return scheduled(bench, side, n, "single")


def bulk(bench: Bench, side: str, n: int) -> Sample:
    return scheduled(bench, side, n, "bulk")


def fill(side: str, url: str, n: int) -> None:
    """Schedule `n` jobs that are due."""
    with running(side, "bulk", url, n=n, batch=min(n, 10_000), ahead=0) as program:
        program.hear()


def run(bench: Bench, side: str, n: int, nodes: int = 1) -> Sample:
    """Jobs a second from the start of the worker until the database knows of none; and the WAL of each job."""
    with bench.database(side) as url, psycopg.connect(url, autocommit=True) as connection:
        begin = bench.lsn()
        fill(side, url, n)
        filled = bench.lsn() - begin
        connection.execute("VACUUM ANALYZE")
        begin = bench.lsn()
        with running(side, "run", url, n=n, nodes=nodes) as program:
            started = program.hear()["started"]
            program.hear()
            limit = time.monotonic() + LIMIT_S
            while connection.execute(SIDES[side].unfinished).fetchone() == (True,):  # type: ignore[arg-type]
                if time.monotonic() > limit:
                    raise TimeoutError("some jobs are not finished")
                time.sleep(0.002)
            taken = time.time() - started
            wal = filled + bench.lsn() - begin
    return {"rate": n / taken, "wal": wal / n}


def run_two(bench: Bench, side: str, n: int) -> Sample:
    return run(bench, side, n, nodes=2)


def late(bench: Bench, side: str, n: int) -> Sample:
    """Microseconds from the due to the first line of the handler."""
    with bench.database(side) as url, running(side, "late", url, n=n) as worker:
        worker.hear()
        with running(side, "produce", url, n=n, rate=LATE_PER_S, ahead=LATE_AHEAD_S) as producer:
            found = worker.hear(LATE_AHEAD_S + n / LATE_PER_S + 60)
            if producer.process.wait(20):
                producer.hear()
    return {name: found[name] for name in ("p50", "p99", "max", "min")}


STATEMENT = re.compile(r"duration: ([\d.]+) ms  (?:statement|execute|parse|bind)\b([^\n]*)")
RUN = re.compile(r"duration: [\d.]+ ms  (?:statement|execute)\b")


def watched(bench: Bench, url: str, pid: int, seconds: float) -> Sample:
    """What a node and its connections do for some seconds."""
    name = url.rpartition("/")[2]
    of_it = f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'"
    before = {pid: ticks(pid)} | {pid: ticks(pid) for (pid,) in bench.admin.execute(of_it)}  # type: ignore[arg-type]
    offset, begin = bench.log_size(), time.monotonic()
    time.sleep(seconds)
    taken = time.monotonic() - begin
    used = {pid: max(ticks(pid) - cpu, 0.0) for pid, cpu in before.items()}
    statements = len(RUN.findall(bench.logged_since(offset)))
    node = used.pop(pid)
    return {
        "statements": statements / taken,
        "cpu": 100 * node / taken,
        "server_cpu": 100 * sum(used.values()) / taken,
        "rss": resident(pid),
    }


def idle(bench: Bench, side: str, n: int) -> Sample:
    with bench.database(side, logged=True) as url, running(side, "idle", url) as node:
        node.hear()
        time.sleep(SETTLE_S)
        found = watched(bench, url, node.process.pid, WATCH_S)
    module = find_spec("duewheel._core") if side == OURS else None
    return {**found, "module": Path(module.origin).stat().st_size / 2**20} if module and module.origin else found


FUTURE = """
INSERT INTO duewheel.job (due, seq, id, created, job_due, min_backoff, max_backoff, target, data)
SELECT due, seq, gen_random_uuid(), due, due, 1000000000, 3600000000000, (SELECT duewheel.target_of('noop')),
    convert_to(repeat('x', 100), 'UTF8')
FROM (SELECT n AS seq, duewheel.now_ns() + 3600000000000 + n * 1000 AS due FROM generate_series(1, %s) n) x
"""
LOOKED = re.compile(r"duration: ([\d.]+) ms  (?:parse|bind|execute) \S+ ?SELECT EXISTS \(SELECT FROM \"duewheel\"")


def looks(bench: Bench, seconds: float) -> list[float]:
    """Milliseconds of the server for each look of the node that is there: to parse, to plan and to run it."""
    offset = bench.log_size()
    time.sleep(seconds)
    parts = [float(ms) for ms in LOOKED.findall(bench.logged_since(offset))]
    return [sum(parts[at : at + 3]) for at in range(0, len(parts) - 2, 3)]


def look(bench: Bench, side: str, n: int) -> Sample:
    """An empty look with `n` rows due in an hour; then with a snapshot held while jobs went through."""
    churn = CHURN // 10 if bench.quick else CHURN
    with bench.database(side, logged=True) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FUTURE, [n])
        connection.execute("VACUUM ANALYZE")
        with running(side, "idle", url) as node:
            node.hear()
            time.sleep(SETTLE_S)
            scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = 'duewheel' AND relname = 'job'"
            before = connection.execute(scans).fetchone()
            calm = looks(bench, 2 * WATCH_S)
            cpu = watched(bench, url, node.process.pid, WATCH_S)
            after = connection.execute(scans).fetchone()
        with psycopg.connect(url) as holder:
            holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT count(*) FROM duewheel.target")
            fill(side, url, churn)
            with running(side, "run", url, n=churn) as node:
                node.hear()
                node.hear()
            with running(side, "idle", url) as node:
                node.hear()
                time.sleep(SETTLE_S)
                held = looks(bench, 2 * WATCH_S)
            holder.rollback()
    scans_made = float(after[0] - before[0]) if before and after else 0.0
    found = {"look": median(calm) * 1e3, "look_max": max(calm) * 1e3, "scans": scans_made, "cpu": cpu["cpu"]}
    return {**found, "held": median(held) * 1e3, "held_max": max(held) * 1e3}


@dataclass(frozen=True)
class Row:
    title: str
    take: Callable[[Bench, str, int], Sample]
    n: int = 0
    least: int = 0
    """So many in a quick run, if not a tenth."""
    ours_alone: bool = False
    rounds: int | None = None
    """At most so many: it takes long."""

    def has(self, side: str) -> bool:
        return side == OURS or not self.ours_alone


ROWS = {
    "late": Row("due 5 s ahead, 200 a second, scheduled by another process", late, 1_000, 300),
    "single": Row("schedule one by one, 16 clients", single),
    "bulk": Row("schedule 10,000 with a call", bulk, least=10_000),
    "run": Row("run and finish due no-ops, one node", run),
    "run_two": Row("run and finish due no-ops, two nodes", run_two, 100_000, ours_alone=True),
    "idle": Row("idle", idle, rounds=1),
    "look": Row("an empty look, with rows due in an hour", look, LOOK_ROWS, 100_000, ours_alone=True, rounds=1),
}
