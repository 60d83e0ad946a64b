"""A node as a process: runs jobs, notes each start and end in a log, and ends when its input does."""

import json
import logging
import os
import sys
import time

from duewheel import Limit, PostgresStorage, Scheduler

told = json.loads(sys.argv[1])
logging.getLogger("duewheel").setLevel(logging.CRITICAL)
log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what, event):
    number = f" {event.occurrence}" if event.occurrence else ""
    os.write(log, f"{what} {event.job_id} {event.run} {os.getpid()}{number}\n".encode())


storage = PostgresStorage(told["url"], schema=told["schema"], **told.get("storage", {}))
scheduler = Scheduler(storage, workers=told.get("workers", 4))


limit = told.get("limit")


@scheduler.handler("work", concurrency=None if limit is None else Limit(limit))
def work(event):
    note("start", event)
    time.sleep(told.get("takes", 0))
    if event.data == b"fail" and event.attempt == 1:
        raise ValueError("once")
    note("end", event)
    return event.data


scheduler.start()
sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdin.read()
scheduler.drain()
scheduler.close()
