"""One of the processes that share a file: it schedules jobs and notes what was acknowledged, until its input ends.

`member.py FILE DURABILITY`. Beside the file: `acks` and `runs`, a line for each, and `faults`, which stays empty.
"""

import fcntl
import os
import sys
import threading
from pathlib import Path

import duewheel

path, durability = sys.argv[1:]
folder = Path(path).parent


def appending(name):
    return os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


acks, runs, faults = appending("acks"), appending("runs"), appending("faults")
sole = []
ended = threading.Event()


def run(event):
    """Note a run; two processes that run jobs at a time are a fault."""
    if not sole:
        sole.append(appending("sole"))
        try:
            fcntl.flock(sole[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.write(faults, b"two owners\n")
    os.write(runs, f"{event.job_id} {event.run}\n".encode())


def produce(scheduler, number):
    count = 0
    while not ended.is_set():
        count += 1
        delay = (0, 0.01, 3_600)[count % 3]
        if count % 10 == 0:
            ids = scheduler.in_many([delay] * 5, "note")
        elif count % 7 == 0:
            ids = [scheduler.in_(delay, "note", id=f"{os.getpid()}-{number}-{count}")]
        else:
            ids = [scheduler.in_(delay, "note")]
        os.write(acks, "".join(f"{id}\n" for id in ids).encode())


storage = duewheel.LocalStorage(path, durability=durability, max_interruptions=1_000)
scheduler = duewheel.Scheduler(storage, share=True, workers=2)
scheduler.handle("note", run)
scheduler.start()
threads = [threading.Thread(target=produce, args=(scheduler, number)) for number in range(2)]
for thread in threads:
    thread.start()
sys.stdout.write(f"{scheduler.role}\n")
sys.stdout.flush()
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
scheduler.drain()
if sole:
    os.close(sole[0])  # it runs nothing any more, and is about to let another own the file
scheduler.close()
