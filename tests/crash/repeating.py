"""A program whose repeats run until it is killed: it writes down what starts and what ends."""

import os
import sys
import threading

from duewheel import Consistency, LocalStorage, Scheduler


def main(path, log, life, *periods):
    scheduler = Scheduler(LocalStorage(path, durability="commit"), workers=3)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(*words):
        os.write(out, (" ".join(map(str, words)) + "\n").encode())

    def handler(event):
        say("run", life, event.job_id, event.job.due, event.occurrence, event.run, event.attempt)
        if event.job_id == "retried" and event.attempt == 1:
            say("fail", life, event.job_id, event.job.due)
            raise RuntimeError
        say("end", life, event.job_id, event.job.due)

    scheduler.handle("t", handler)
    for id, period in (said.split("=") for said in periods):
        retried = {"min_backoff": 0.001, "max_backoff": 0.001}
        options = {"consistency": Consistency.AT_MOST_ONCE} if id == "once" else retried
        scheduler.repeat(float(period), "t", id=id, catch_up="all", window=3_600, **options)
        say("ack", life, id)
    scheduler.start()
    say("open", life)
    sys.stdin.readline()
    for repeat in scheduler.repeats():
        scheduler.pause(repeat.id)
    scheduler.drain()
    for dead in scheduler.dead():
        say("dead", life, dead.event.job_id, dead.event.job.due, dead.reason)
    for repeat in scheduler.repeats():
        say("next", life, repeat.id, scheduler.get(repeat.id).job.due, repeat.occurrence, repeat.missed)
    scheduler.close()


if __name__ == "__main__":
    threading.stack_size(1 << 20)
    main(*sys.argv[1:])
