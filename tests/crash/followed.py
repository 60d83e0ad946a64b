"""Processes whose jobs are followed by others, which are killed: `followed.py WHAT JSON`."""

import json
import logging
import random
import sys
import threading
import time

from child import Log, answer

from duewheel import Consistency, Discard, LocalStorage, Scheduler

NOW_AND_THEN = 1_000
"""No job here dies of having been interrupted often."""
AGAIN = {"min_backoff": 0.002, "max_backoff": 0.002}
MORTALS = {"mortal": {}, "fleeting": {"consistency": Consistency.AT_MOST_ONCE}}
"""What dies by itself, and what does when its process is killed."""


def opened(path, log, life, *, workers, storage):
    """A scheduler whose handlers say what they do, and what of that is in the file for certain."""
    scheduler = Scheduler(LocalStorage(path, max_interruptions=NOW_AND_THEN, **storage), workers=workers)
    before, given_back, short = threading.local(), [], random.Random()

    def begins(*words):
        # A worker that calls the next handler has given back the job before.
        if getattr(before, "words", None) is not None:
            given_back.append(before.words)
        before.words = None
        log.say("run", *words, life)
        if short.random() < 0.5:
            time.sleep(short.random() * 0.002)

    @scheduler.handler("changed")
    def changed(event):
        words = event.job_id, event.data.decode(), event.attempt
        begins(*words)
        if event.attempt == 1 and short.random() < 0.3:
            before.words = words
            raise ValueError(words)
        log.say("end", *words)
        before.words = words

    @scheduler.handler("mortal", dead="undertaker")
    def mortal(event):
        begins("mortal", event.data.decode(), 1)
        raise Discard("enough")

    @scheduler.handler("fleeting", dead="undertaker")
    def fleeting(event):
        begins("fleeting", event.data.decode(), 1)
        time.sleep(short.random() * 0.01)  # killed meanwhile it is dead
        log.say("end", "fleeting", event.data.decode(), 1)

    @scheduler.handler("undertaker")
    def undertaker(event):
        begins("undertaker", event.data.decode(), 1)
        log.say("heir", event.data.decode(), event.job_id)

    def settle():
        """Say what of that which was given back is settled, and so in the file."""
        count = len(given_back)
        scheduler.stats()
        for words in given_back[:count]:
            log.say("settled", *words)
        del given_back[:count]

    return scheduler, settle


def change(path, *, life, seed, threads, workers, storage):
    """Update and replace jobs, many of them while they run, and have others die, until killed."""
    log = Log(path)
    scheduler, settle = opened(path, log, life, workers=workers, storage=storage)
    answer(life)
    scheduler.start()

    def at_random(thread):
        dice, number = random.Random(seed * 100 + thread), 0
        while True:
            number += 1
            token = f"{life}-{thread}-{number}"
            if dice.random() < 0.2:
                target = dice.choice(list(MORTALS))
                log.say("ask", target, token)
                scheduler.in_(dice.choice([0, 0.01]), target, token.encode(), **MORTALS[target])
                log.say("ack", target, token)
            else:
                # One thread changes a job: its lines are in order, then.
                id, word = f"j{thread}-{dice.randrange(3)}", dice.choice(["update", "replace"])
                log.say("ask", id, token)
                scheduler.in_(dice.choice([0, 0, 0.005]), "changed", token.encode(), id=id, on_conflict=word, **AGAIN)
                log.say("ack", id, token)
            time.sleep(dice.random() * 0.002)

    for thread in range(threads):
        threading.Thread(target=at_random, args=(thread,), daemon=True).start()
    while True:
        time.sleep(0.005)
        settle()


def finish(path, *, workers, storage):
    """Run all that is left, and list the dead."""
    scheduler, _ = opened(path, Log(path), "last", workers=workers, storage=storage)
    with scheduler:
        over = scheduler.wait(100)
        dead = [[dead.event.target, dead.event.data.decode(), dead.reason] for dead in scheduler.dead()]
        scheduler._check()
        answer({"over": over, "left": len(scheduler), "dead": dead})


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
