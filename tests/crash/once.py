"""Processes with a queue of jobs at most once, which are killed: `once.py WHAT JSON`."""

import json
import logging
import random
import sys
import threading
import time

from child import AT_MOST_ONCE, Log, answer, handlers, open_one

from duewheel import Scheduler


def queue(path, *, life, seed, workers, jobs):
    """Run a queue of jobs, and cancel some of them as they wait, until killed."""
    log = Log(path)
    scheduler = open_one(path, workers=workers)
    log.say("open", life)
    handlers(scheduler, log, life, wait_s=0.0005)
    tokens = [f"o{life}-{number}" for number in range(jobs)]
    log.say("ask", *tokens)
    data = [token.encode() + b"." for token in tokens]
    ids = scheduler.in_many([0] * jobs, "once", data, consistency=AT_MOST_ONCE)
    log.say("ack", *tokens)
    answer(life)
    scheduler.start()
    rng = random.Random(seed)
    for at in sorted(rng.sample(range(jobs), jobs // 10)):
        log.say("stop?", tokens[at], life)
        if scheduler.cancel(ids[at]):
            log.say("stop", tokens[at], life)
    while True:
        time.sleep(60)


def leaves(path, *, way, workers, jobs):
    """Hold the first jobs of a queue, have the others leave it without a start, and wait to be killed."""
    scheduler = Scheduler(path, workers=workers)
    started, go_on = threading.Semaphore(0), threading.Event()

    def hold(event):
        started.release()
        go_on.wait()

    deregister = scheduler.handle("once", hold)
    ids = scheduler.in_many([0] * jobs, "once", consistency=AT_MOST_ONCE)
    scheduler.start()
    for _ in range(workers):
        assert started.acquire(timeout=30)
    if way == "cancelled":
        for job_id in ids[workers:]:
            assert scheduler.cancel(job_id)
    elif way == "cancelled together":
        assert scheduler.cancel_many(ids) == jobs - workers
    elif way == "moved":
        for job_id in ids[workers:]:
            assert scheduler.reschedule(job_id, time.time() + 3_600)
    elif way == "drained":
        assert not scheduler.drain(0.1)
    elif way == "closed":
        scheduler.close()
    elif way == "deregistered":
        deregister()
        go_on.set()
        assert scheduler.wait(30)
        assert scheduler.stats().parked == jobs - workers
    answer(list(ids))
    sys.stdin.read()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
