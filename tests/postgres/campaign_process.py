"""The processes of a campaign: nodes that run jobs, and those that schedule them. Each writes down what it does.

    python campaign_process.py '{"is": "node", "url": …, "schema": …, "name": …, "log": …, "storage": {…}}'

A job is a number; its data say it, and when it is due. Times are of the monotonic clock, which all processes share and
no campaign makes wrong. One that is told to end by the end of its input drains.
"""

import contextlib
import json
import logging
import os
import random
import struct
import sys
import threading
import time
import traceback

from duewheel import Consistency, JobOptions, PostgresStorage, Scheduler, StorageError, StorageUnavailableError

DATA = struct.Struct("<Id")
"""A job, and when it is due."""
RAN = struct.Struct("<cIHdd")
"""What a node writes down: `s` start or `e` end, the job, the attempt, when, and when it was due."""
CALLED = struct.Struct("<cIHd")
"""What a call wrote down: see `CALLS`; its first job, how many they are, when."""

ASKED, DONE, REFUSED, IN_DOUBT, WITHDRAWN = b"?", b"+", b"-", b"!", b"x"
"""Before a call; it returned; it said that nothing was changed; it said that nobody knows; a cancel said `True`."""
BULK = 64
"""Numbers of one call are of one block; what its jobs do is told by its number."""
WORKERS = 4
AHEAD_S = 4.0
"""Jobs are due within this time."""

ONCE = JobOptions(consistency=Consistency.AT_MOST_ONCE)
LEAST = JobOptions(min_backoff=0.05, max_backoff=0.5)


def is_once(job):
    """At most once."""
    return job // BULK // 2 % 10 == 9


def fails(job):
    """At its first attempt."""
    return job // BULK // 2 % 10 == 0


def takes_s(job):
    return 0.03 if job % 50 == 7 else 0


def open_log(told):
    return os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def open_scheduler(told, **options):
    """Open it once the server is in reach."""
    storage = PostgresStorage(told["url"], schema=told["schema"], name=told["name"], **told["storage"])
    while True:
        with contextlib.suppress(StorageError):
            return Scheduler(storage, **options)


def be_a_node(told):
    log = open_log(told)
    scheduler = open_scheduler(told, workers=WORKERS)

    @scheduler.handler("work")
    def work(event):
        job, due = DATA.unpack(event.data)
        os.write(log, RAN.pack(b"s", job, event.attempt, time.monotonic(), due))
        if takes_s(job):
            time.sleep(takes_s(job))
        if fails(job) and event.attempt == 1:
            raise ConnectionError("as it was told")
        os.write(log, RAN.pack(b"e", job, event.attempt, time.monotonic(), due))

    scheduler.start()
    sys.stdin.read()
    scheduler.drain()
    scheduler.close()


class Producer:
    """Schedules jobs, withdraws some, and writes down each call before and after it."""

    def __init__(self, told):
        self.log, self.scheduler = open_log(told), open_scheduler(told)
        self.per_s, self.next = told["per_s"], told["first"]
        self.rng = random.Random(told["first"])

    def note(self, what, first, count):
        os.write(self.log, CALLED.pack(what, first, count, time.monotonic()))

    def call(self, first, count, what):
        """Make a call that schedules these; its answer is written down."""
        self.note(ASKED, first, count)
        try:
            what()
        except StorageUnavailableError:
            self.note(REFUSED, first, count)
        except StorageError:
            self.note(IN_DOUBT, first, count)
        else:
            self.note(DONE, first, count)

    def take(self):
        """The first number of the next block."""
        first, self.next = self.next, self.next + BULK
        return first

    def many(self):
        first, now = self.take(), time.monotonic()
        delays = [self.rng.uniform(0, AHEAD_S) for _ in range(BULK)]
        datas = [DATA.pack(first + n, now + delay) for n, delay in enumerate(delays)]
        options = ONCE if is_once(first) else LEAST
        if self.rng.random() < 0.5:
            wall = time.time()
            dues = [wall + delay for delay in delays]
            self.call(first, BULK, lambda: self.scheduler.at_many(dues, "work", datas, options=options))
        else:
            self.call(first, BULK, lambda: self.scheduler.in_many(delays, "work", datas, options=options))

    def one(self):
        """One, which is asked for again by its id where nobody knows, and now and then withdrawn."""
        job, delay = self.take(), self.rng.uniform(0, AHEAD_S)
        data = DATA.pack(job, time.monotonic() + delay)
        options = ONCE if is_once(job) else LEAST
        self.call(job, 1, lambda: self.scheduler.in_(delay, "work", data, id=f"job-{job}", options=options))
        if self.rng.random() < 0.3:
            with contextlib.suppress(StorageError):
                if self.scheduler.cancel(f"job-{job}"):
                    self.note(WITHDRAWN, job, 1)

    def run(self, stopped):
        calls = 0.0
        begun = time.monotonic()
        while not stopped.is_set():
            self.one()
            self.many()
            calls += 1
            stopped.wait(max(0.0, begun + calls * (BULK + 1) / self.per_s - time.monotonic()))
        self.scheduler.close()


def be_a_producer(told):
    stopped = threading.Event()
    producer = Producer(told)

    def runs():
        try:
            producer.run(stopped)
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # or nobody notices

    thread = threading.Thread(target=runs)
    thread.start()
    sys.stdin.read()
    stopped.set()
    thread.join()


if __name__ == "__main__":
    logging.getLogger("duewheel").setLevel(logging.CRITICAL)
    told = json.loads(sys.argv[1])
    {"node": be_a_node, "producer": be_a_producer}[told["is"]](told)
