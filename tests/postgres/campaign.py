"""A campaign of faults: nodes over one database, one fault after the other, and books at the end.

    python tests/postgres/campaign.py [--minutes 35] [--nodes 4] [--per-second 300] [--lease 2] [--only kill,stop]

Nodes and those that schedule are processes, each behind a proxy of its own. They are killed, stopped past their leases
and cut off; their connections are cut, halved, stalled and muted, their transactions arrive late; the server crashes,
restarts, ends connections, cancels statements and times out, and somebody has its tables. What each wrote down is held
against what is promised (`campaign_books.py`); the exit status is 1 if anything is not as promised.
"""

import argparse
import contextlib
import heapq
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import campaign_books as books
import campaign_process
import pg_server
import proxy

from duewheel import PostgresStorage, Scheduler

SCHEMA = "duewheel_campaign"
UNFIRED_S = 2.0
"""After so long without a message there was nothing to cut."""
DRAIN_S = 300
END_S = 120

WEIGHTS = {
    "kill": 10, "stop": 10, "away": 8, "cut": 12, "half": 9, "mute": 9, "stall": 7, "late": 7,
    "crash": 5, "restart": 3, "terminate": 5, "cancel": 6, "lock": 4, "hasty": 3,
}  # fmt: skip
OF_A_MESSAGE = ("cut", "half", "mute", "stall", "late")
OF_ONE = ("kill", "stop", "away", *OF_A_MESSAGE)


class Slot:
    """A place for a process, which is started again when it has been killed."""

    def __init__(self, campaign, kind, number):
        self.campaign, self.kind, self.number = campaign, kind, number
        self.proxy = proxy.Proxy(campaign.server.url)
        self.life, self.process, self.is_busy = 0, None, False
        self.start()

    @property
    def name(self):
        return f"{self.kind}-{self.number}-{self.life}"

    def start(self):
        self.life += 1
        campaign = self.campaign
        told = {
            "is": self.kind, "url": self.proxy.url, "schema": SCHEMA, "name": self.name, "storage": campaign.options,
            "log": str(campaign.directory / f"{self.name}.log"), "per_s": campaign.per_s,
            "first": (self.number * 1_000 + self.life) << 20,
        }  # fmt: skip
        command = [sys.executable, campaign_process.__file__, json.dumps(told)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.campaign.books.killed[self.name] = time.monotonic()
        self.start()

    def end(self, timeout):
        """Let it drain and close."""
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        if self.process.poll() != 0:
            self.campaign.books.faulty.append(f"{self.name} was to end, and its status is {self.process.poll()}")

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.proxy.close()


class Campaign:
    """A server, processes around it, and what is done to them."""

    def __init__(self, server, directory, *, nodes, per_s, lease_s, seed, weights):
        self.server, self.directory, self.lease_s, self.weights = server, directory, lease_s, weights
        self.per_s = per_s / 2
        self.rng = random.Random(seed)
        self.options = {"lease": lease_s, "poll": 0.05, "timeout": 3 * lease_s, "max_interruptions": 5}
        self.books = books.Books(lease_s)
        admin = server.url + "?options=-c%20statement_timeout%3D0"
        self.psql = pg_server.Psql(admin)
        self.ends = []  # a heap of when, a number, and what ends a fault
        self.numbers = itertools.count()
        self.asking = []
        with Scheduler(PostgresStorage(server.url, schema=SCHEMA)):
            pass  # the tables are there
        self.slots = [Slot(self, "node", number) for number in range(nodes)]
        self.slots += [Slot(self, "producer", number) for number in range(2)]

    def later(self, seconds, what):
        heapq.heappush(self.ends, (time.monotonic() + seconds, next(self.numbers), what))

    def note(self, kind, slot, begun):
        fault = books.Fault(kind, slot.name if slot else "", begun, time.monotonic())
        self.books.faults.append(fault)

    def lasts(self, longest=2.5):
        """How long a fault lasts: some are over before a lease is."""
        return self.rng.uniform(0.1, longest) * self.lease_s

    def play(self, seconds, pause_s):
        """One fault after the other, some at once."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self.end_what_is_due(now)
            for slot in self.slots:
                if slot.process.poll() is not None:
                    self.books.faulty.append(f"{slot.name} has ended by itself")
                    slot.kill()
            kind = self.rng.choices([*self.weights], [*self.weights.values()])[0]
            free = [slot for slot in self.slots if not slot.is_busy]
            if kind not in OF_ONE:
                getattr(self, kind)()
            elif free:
                slot = self.rng.choice(free)
                slot.is_busy = True
                getattr(self, "message" if kind in OF_A_MESSAGE else kind)(slot, kind)
            wake = min(self.rng.expovariate(1 / pause_s), 5 * pause_s)
            while (left := now + wake - time.monotonic()) > 0:
                next_end = self.ends[0][0] - time.monotonic() if self.ends else left
                time.sleep(max(0.0, min(left, next_end)))
                self.end_what_is_due(time.monotonic())
        while self.ends:
            time.sleep(0.05)
            self.end_what_is_due(time.monotonic())
        for asking in self.asking:
            asking.join()

    def end_what_is_due(self, now):
        while self.ends and self.ends[0][0] <= now:
            heapq.heappop(self.ends)[2]()

    def free(self, slot):
        slot.is_busy = False

    # What is done to one process

    def kill(self, slot, kind):
        begun, life = time.monotonic(), slot.name
        slot.kill()
        self.books.faults.append(books.Fault(kind, life, begun, time.monotonic()))
        self.later(1.0, lambda: self.free(slot))

    def stop(self, slot, kind):
        begun = time.monotonic()
        slot.process.send_signal(signal.SIGSTOP)

        def goes_on():
            slot.process.send_signal(signal.SIGCONT)
            self.note(kind, slot, begun)
            self.later(0.5, lambda: self.free(slot))

        self.later(self.lasts(), goes_on)

    def away(self, slot, kind):
        begun = time.monotonic()
        slot.proxy.part()

        def is_back():
            slot.proxy.join()
            self.note(kind, slot, begun)
            self.later(0.5, lambda: self.free(slot))

        self.later(self.lasts(), is_back)

    def message(self, slot, kind):
        """One of the next messages is cut, halved, stalled or muted, or its transaction comes late."""
        begun, left = time.monotonic(), itertools.count()
        number, is_request = self.rng.randrange(12), self.rng.random() < 0.5

        def chosen(message):
            if kind == proxy.LATE:
                return message.is_request and message.body.startswith(b"BEGIN")
            if message.is_request != (is_request or kind == proxy.MUTE) or not message.kind:
                return False
            return next(left) >= number

        slot.proxy.arm(chosen, kind)

        def look():
            if slot.proxy.fired.is_set():
                self.note(kind, slot, begun)
                if kind == proxy.LATE and slot.proxy.late is not None:
                    self.later(self.rng.uniform(0, self.lease_s), lambda: deliver(slot.proxy))
                self.later(self.lease_s / 2 if kind == proxy.STALL else 0.2, lambda: self.free(slot))
            elif time.monotonic() > begun + UNFIRED_S:
                slot.proxy.disarm()
                self.free(slot)
            else:
                self.later(0.05, look)

        self.later(0.05, look)

    # What is done to the server

    def crash(self):
        begun = time.monotonic()
        self.server.halt(signal.SIGQUIT)
        time.sleep(self.rng.choice([0, 0, 0, self.lasts(1.5)]))
        self.server.start()
        self.note("crash", None, begun)

    def restart(self):
        begun = time.monotonic()
        self.server.restart(signal.SIGINT)
        self.note("restart", None, begun)

    def ask(self, kind, *statements):
        """Have the server do this, while other faults go on."""
        begun = time.monotonic()

        def asks():
            for sql in statements:
                with contextlib.suppress(subprocess.CalledProcessError):
                    self.psql.sql("SET lock_timeout = '3s'; " + sql)
            self.books.faults.append(books.Fault(kind, "", begun, time.monotonic()))

        asking = threading.Thread(target=asks, daemon=True)
        asking.start()
        self.asking.append(asking)

    def others(self, function, more=""):
        return (
            f"SELECT {function}(pid) FROM pg_stat_activity "
            f"WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() {more}"
        )

    def terminate(self):
        self.ask("terminate", self.others("pg_terminate_backend", f"AND random() < {self.rng.choice([0.2, 1])}"))

    def cancel(self):
        """Statements are cancelled at any place, those that begin and end transactions too."""
        cancels = self.others("pg_cancel_backend").replace("SELECT", "PERFORM", 1)
        self.ask("cancel", f"DO $$ BEGIN FOR i IN 1..100 LOOP {cancels}; PERFORM pg_sleep(0.001); END LOOP; END $$")

    def lock(self):
        """Somebody has a table for longer than statements wait."""
        table = self.rng.choice(["job", "node"])
        lock = f"LOCK TABLE {SCHEMA}.{table} IN ACCESS EXCLUSIVE MODE"
        self.ask("lock", f"BEGIN; {lock}; SELECT pg_sleep({self.lasts(0.8)}); COMMIT")

    def hasty(self):
        """The role has a statement_timeout that hardly anything keeps to."""
        ends = self.others("pg_terminate_backend")
        wait = f"SELECT pg_sleep({self.lasts(1.0)})"
        role = "ALTER ROLE postgres"
        self.ask("hasty", f"{role} SET statement_timeout = '2ms'", ends, wait, f"{role} RESET statement_timeout", ends)

    # The end

    def close(self):
        """Let those that schedule end, wait until nothing is left, then end the nodes and read all they wrote."""
        producers = [slot for slot in self.slots if slot.kind == "producer"]
        for slot in producers:
            slot.end(END_S)
        with Scheduler(PostgresStorage(self.server.url, schema=SCHEMA, **self.options)) as scheduler:
            end = time.monotonic() + DRAIN_S
            while (left := len(scheduler)) and time.monotonic() < end:
                time.sleep(0.2)
            if left:
                self.books.faulty.append(f"{left} jobs are left")
                rows = (
                    f"SELECT j, n.name, n.lease_until FROM {SCHEMA}.job j LEFT JOIN {SCHEMA}.node n ON n.epoch = owner"
                )
                self.books.faulty += self.psql.sql(f"{rows} LIMIT 10")
            for slot in self.slots:
                if slot.kind == "node":
                    slot.end(END_S)
            for dead in scheduler.dead():
                job, _ = campaign_process.DATA.unpack(dead.event.data)
                self.books.dead[job] = dead.reason
        apart = time.monotonic() - time.time()
        lost = f"SELECT name, extract(epoch FROM started), extract(epoch FROM seen) FROM {SCHEMA}.node"
        for row in self.psql.sql(f"{lost} WHERE lease_until = '-infinity'"):
            name, started, seen = row.split("|")
            if name.startswith("node-"):
                self.books.lost_leases.append(books.Lease(name, float(started) + apart, float(seen) + apart))
        self.books.read(self.directory)


def deliver(between):
    """Give the server a transaction that was kept, if it still listens."""

    def delivers():
        late, between.late = between.late, None
        if late is None:
            return  # the one before has delivered this one, too
        with contextlib.suppress(OSError):
            late.server.sendall(b"".join(late.kept))
            late.is_done.wait(5)
        late.cut()

    threading.Thread(target=delivers, daemon=True).start()


def run(*, seconds, nodes=4, per_s=300.0, lease_s=2.0, pause_s=1.0, seed=0, weights=WEIGHTS, keep=None):
    """Play a campaign; its books. `None`: there is no server. `keep`: a directory for what processes write down."""
    server = pg_server.start(settings=("fsync=off",))  # the machine does not crash
    if server is None:
        return None
    with contextlib.nullcontext(keep) if keep else tempfile.TemporaryDirectory() as directory:
        campaign = None
        try:
            campaign = Campaign(
                server, Path(directory), nodes=nodes, per_s=per_s, lease_s=lease_s, seed=seed, weights=weights
            )
            campaign.play(seconds, pause_s)
            campaign.close()
        finally:
            for slot in campaign.slots if campaign else ():
                slot.remove()
            server.stop()
        return campaign.books


def after_kills(found):
    """For each kill of a node, how late at most what was due in its lease and had not started was, in seconds."""
    starts = sorted((start for of in found.starts.values() for start in of[:1]), key=lambda start: start.at)
    kills = [at for name, at in found.killed.items() if name.startswith("node-")]
    spans = []
    for at in kills:
        late = [s.at - max(s.due, at) for s in starts if at - 0.1 < s.due < at + found.lease_s and s.at > at]
        spans.append(max(late, default=0.0))
    return sorted(spans)


def report(found):
    """Print the books; whether they are as promised."""
    print(f"\n{'Faults':42}{'how many':>10}\n{'─' * 78}")
    for kind, count in Counter(fault.kind for fault in found.faults).most_common():
        print(f"  {kind:40}{count:>10,}")
    print(f"\n{'The books':42}{'found':>10}   promised\n{'─' * 78}")
    for name, count, promised in found.rows():
        print(f"  {name:40}{count:>10,}   {promised}")
    if spans := after_kills(found):
        p99 = spans[min(len(spans) - 1, int(len(spans) * 0.99))]
        print(
            f"  after {len(spans)} kills of nodes the latest start: p50 {spans[len(spans) // 2]:.2f} s, p99 {p99:.2f} s"
        )
    wrong = found.wrong()
    for before, again in found.unexplained()[:5]:
        print(f"  again: {before} then {again}")
    for start in found.early()[:5]:
        print(f"  early: {start}")
    print("\n" + (f"Not as promised: {', '.join(wrong)}" if wrong else "All is as promised."))
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=35, metavar="M")
    parser.add_argument("--nodes", type=int, default=4, metavar="N")
    parser.add_argument("--per-second", type=float, default=300, metavar="N", help="jobs that are scheduled")
    parser.add_argument("--lease", type=float, default=2, metavar="S")
    parser.add_argument("--pause", type=float, default=1, metavar="S", help="between two faults, on average")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), metavar="N")
    parser.add_argument("--keep", metavar="DIR", help="where processes write down what they do")
    parser.add_argument("--only", default="", metavar="KIND,…", help=f"of {', '.join(WEIGHTS)}")
    flags = parser.parse_args()
    only = [kind for kind in flags.only.split(",") if kind]
    if unknown := set(only) - set(WEIGHTS):
        parser.error(f"no such fault: {', '.join(unknown)}")
    print(f"seed {flags.seed}", flush=True)
    found = run(
        seconds=flags.minutes * 60, nodes=flags.nodes, per_s=flags.per_second, lease_s=flags.lease,
        pause_s=flags.pause, seed=flags.seed, weights={kind: WEIGHTS[kind] for kind in only or WEIGHTS},
        keep=flags.keep,
    )  # fmt: skip
    return 0 if found is not None and report(found) else 1


if __name__ == "__main__":
    sys.exit(main())
