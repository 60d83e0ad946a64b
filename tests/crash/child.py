"""What the children of these tests do: `child.py WHAT JSON`. They are killed, or kill themselves."""

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from itertools import count

import duewheel
from duewheel import Keyring, LocalStorage, Scheduler

AT_MOST_ONCE = duewheel.Consistency.AT_MOST_ONCE
FAR_S = 3_600


class Log:
    """One `write` a line, at the end of the file: a line that was written survives the process."""

    def __init__(self, path):
        self.file = os.open(path + ".log", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self.file).st_size
        if size and os.pread(self.file, 1, size - 1) != b"\n":
            os.write(self.file, b"~\n")  # a kill has torn the line that its process wrote: it never returned

    def say(self, *words):
        line = " ".join(map(str, words)) + "\n"
        assert os.write(self.file, line.encode()) == len(line)


def answer(told):
    os.write(1, json.dumps(told).encode() + b"\n")


def ns_of(seconds):
    """The exact ceiling, as the scheduler reads a float."""
    numerator, denominator = seconds.as_integer_ratio()
    return -(-numerator * 10**9 // denominator)


def handlers(scheduler, log, life, wait_s=0.0):
    """Each says that it runs, does a little, and says how it ended."""
    short = random.Random()

    def said(event):
        token = event.data.split(b".", 1)[0].decode()
        log.say("run", token, life, event.attempt, event.run, event.due, time.time_ns())
        if wait_s and short.random() < 0.5:
            time.sleep(short.random() * wait_s)
        return token

    def plain(event):
        log.say("end", said(event), life, event.attempt)

    def fails_once(event):
        token = said(event)
        if event.attempt == 1:
            log.say("fail", token, life, event.attempt)
            raise ValueError(token)
        log.say("end", token, life, event.attempt)

    scheduler.handle("plain", plain)
    scheduler.handle("once", plain)
    scheduler.handle("fails", fails_once)


def open_one(path, *, workers, storage=None, **_):
    storage = dict(storage or {})
    if "key" in storage:
        storage["keys"] = Keyring({1: bytes.fromhex(storage.pop("key"))}, default=1)
    return Scheduler(LocalStorage(path, **storage), workers=workers)


def work(path, *, life, seed, threads, workers, pause_s, wait_s, storage):
    """Schedule, cancel, move and run until killed."""
    log = Log(path)
    scheduler = open_one(path, workers=workers, storage=storage)
    log.say("open", life)
    answer(life)
    handlers(scheduler, log, life, wait_s)
    scheduler.start()
    numbers = count()
    mine = {}  # token -> id, of those that may still wait

    def new_token(kind):
        return f"{kind}{life}-{next(numbers)}"

    def stop(token, job_id):
        log.say("stop?", token, life)
        if scheduler.cancel(job_id):
            log.say("stop", token, life)

    def move(token, job_id, due):
        log.say("move?", token, life, ns_of(due))
        if scheduler.reschedule(job_id, due):
            log.say("move", token, life, ns_of(due))

    def schedule(rng):
        kind, target = rng.choice([("p", "plain"), ("p", "plain"), ("o", "once"), ("f", "fails")])
        delay = rng.choice([0, 0, 0, 0, rng.random() * 0.1, rng.random() * 0.1, rng.random() * 2, FAR_S])
        options = {"consistency": AT_MOST_ONCE} if kind == "o" else {"min_backoff": 0.01, "max_backoff": 0.05}
        way = rng.random()
        if way < 0.15:
            tokens = [new_token(kind) for _ in range(rng.choice([2, 5, 40]))]
            log.say("ask", *tokens)
            delays = [delay + rng.random() * 0.1 for _ in tokens]
            ids = scheduler.in_many(delays, target, [token.encode() + b".many" for token in tokens], **options)
            log.say("ack", *tokens)
            mine.update(zip(tokens, ids, strict=True))
            return
        token = new_token(kind)
        given = {"id": token} if way < 0.4 else {}
        log.say("ask", token)
        mine[token] = scheduler.in_(
            delay, target, token.encode() + b"." + b"x" * rng.randrange(200), **given, **options
        )
        log.say("ack", token)

    def at_random(number):
        rng = random.Random(seed * 1_000 + number)
        if number == 0:  # those of earlier lives
            for event in scheduler.between():
                token = event.data.split(b".", 1)[0].decode()
                if token[0] == "p" and rng.random() < 0.05:
                    mine[token] = event.job_id
                if len(mine) > 10:
                    break
        while True:
            what = rng.random()
            token = rng.choice(list(mine)) if mine else None
            if what < 0.75 or token is None:
                schedule(rng)
            elif token[0] == "f":
                del mine[token]
            elif what < 0.9:
                # One thread at a time may change a job: its lines are in order, then.
                if (job_id := mine.pop(token, None)) is not None:
                    stop(token, job_id)
            elif (job_id := mine.pop(token, None)) is not None:
                move(token, job_id, time.time() + rng.choice([0, rng.random(), FAR_S]))
                mine[token] = job_id
            if pause_s:
                time.sleep(rng.random() * 2 * pause_s)

    for number in range(threads):
        threading.Thread(target=at_random, args=(number,), daemon=True).start()
    while True:
        time.sleep(60)


def finish(path, *, workers, storage, **_):
    """Run all that is left, the far future too, and report the dead."""
    log = Log(path)
    scheduler = open_one(path, workers=workers, storage=storage)
    log.say("open", "last")
    handlers(scheduler, log, "last")
    waiting = list(scheduler.between())
    pending = len(scheduler)
    with scheduler:
        for event in waiting:
            if event.due > time.time_ns() + 60 * 10**9:
                token = event.data.split(b".", 1)[0].decode()
                now = time.time()
                log.say("move?", token, "last", ns_of(now))
                if scheduler.reschedule(event.job_id, now):
                    log.say("move", token, "last", ns_of(now))
        over = scheduler.wait(200)
        for dead in scheduler.dead():
            token = dead.event.data.split(b".", 1)[0].decode()
            log.say("dead", token, dead.reason, dead.event.run, dead.died)
        stats = scheduler.stats()
    answer({"over": over, "pending": pending, "seen": len(waiting), "left": stats.pending + stats.running})


def poison(path, *, max_interruptions):
    """Run what there is; one of the jobs kills the process."""
    log = Log(path)
    scheduler = Scheduler(LocalStorage(path, max_interruptions=max_interruptions), workers=1)

    @scheduler.handler("poison")
    def kill(event):
        log.say("run", "poison", event.run, event.attempt)
        os.kill(os.getpid(), signal.SIGKILL)

    @scheduler.handler("plain")
    def plain(event):
        log.say("run", event.data.decode(), event.run, event.attempt)

    with scheduler:
        assert scheduler.wait(30)
        answer([[dead.event.job_id, dead.reason, dead.event.run] for dead in scheduler.dead()])


def hold(path, **_):
    """Have the file open until killed."""
    scheduler = Scheduler(path)
    scheduler.in_(FAR_S, "t")
    answer(os.getpid())
    sys.stdin.read()


def fifty(path, **_):
    """Schedule fifty jobs and have the file open until killed."""
    scheduler = Scheduler(path)
    ids = [scheduler.in_(FAR_S, "t") for _ in range(50)]
    answer(ids)
    sys.stdin.read()


def copied_live(path, copies):
    """Schedule, and copy the file by hand at each of these moments."""
    scheduler = Scheduler(path)
    for number, copy in enumerate(copies):
        scheduler.in_many([FAR_S] * (1 + 300 * number), "t", [b"x" * 100] * (1 + 300 * number))
        if number % 2:
            list(scheduler.dead())  # takes all to the tables
        shutil.copy(path, copy)
    answer(len(scheduler))
    sys.stdin.read()


def two_keys(default):
    return Keyring({1: bytes(range(32)), 2: bytes(range(1, 33))}, default=default)


def rotate_for_ever(path, *, default):
    """Encrypt all anew, and again, until killed."""
    while True:
        scheduler = Scheduler(LocalStorage(path, keys=two_keys(default)))
        answer(default)
        scheduler.rotate()
        scheduler.close()
        default = 3 - default


def back_up_for_ever(path, copy):
    """Make a copy, remove it, and again, until killed; schedule meanwhile."""
    scheduler = Scheduler(path)
    answer(len(scheduler))

    def more():
        while True:
            scheduler.cancel(scheduler.in_(FAR_S, "far", b"x" * 1_000))

    threading.Thread(target=more, daemon=True).start()
    while True:
        scheduler.backup(copy)
        os.unlink(copy)  # noqa: PTH108


def upgrade(path):
    """Open a file of an earlier version, until killed."""
    answer("begin")
    Scheduler(path)
    answer("opened")
    sys.stdin.read()


def outlive(path, log):
    """Schedule while the disk turns read-only; tell what each call said after that."""
    log = Log(log)
    scheduler = Scheduler(path)
    kept = 0
    answer("begin")
    end = time.monotonic() + 20
    while True:
        assert time.monotonic() < end
        token = f"{kept}"
        try:
            job_id = scheduler.in_(FAR_S, "far", token.encode() + b".")
        except duewheel.StorageError as error:
            first = error
            break
        log.say("ack", token)
        kept += 1
    told = [[type(first).__name__, str(first)]]
    calls = (
        lambda: scheduler.in_(FAR_S, "far"),
        lambda: scheduler.cancel(job_id),
        lambda: scheduler.backup(path + "-copy"),
        scheduler.close,
        lambda: Scheduler(path),
    )
    for call in calls:
        try:
            call()
        except duewheel.DuewheelError as error:
            told.append([type(error).__name__, str(error)])
        else:
            told.append([None, ""])
    answer([kept, told])
    sys.stdin.read()


def refused(path, *, user=None, key=None):
    """Open the file, without the rights of root if there are any; tell what came of it, and what threads there are."""
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    before = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1  # noqa: PTH112, PTH208
    try:
        open_one(path, workers=1, storage={"key": key} if key else {})
    except duewheel.DuewheelError as error:
        after = len(os.listdir("/proc/self/task")) if before > 1 else before  # noqa: PTH208
        answer([type(error).__name__, str(error), after - before])
    else:
        answer(["opened", "", 0])


def fill(path, *, limit=None, ballast=None, log, threads):
    """Schedule until the disk is full, then again when there is space; then wait to be killed."""
    if limit is not None:
        import resource

        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    log = Log(log)
    scheduler = Scheduler(path, workers=2)
    ran = []
    scheduler.handle("plain", lambda event: ran.append(event.job_id))
    scheduler.start()
    numbers = count()
    found = {"full": 0, "other": []}
    again = []

    def schedule(number):
        rng = random.Random(number)
        fulls = 0
        while fulls < 10:
            tokens = [f"{next(numbers)}" for _ in range(rng.choice([1, 1, 1, 20]))]
            delay = FAR_S if rng.random() < 0.9 else 0
            target = "far" if delay else "plain"
            log.say("ask", *tokens)
            try:
                if len(tokens) == 1:
                    scheduler.in_(delay, target, tokens[0].encode() + b"." + b"x" * 2_000)
                else:
                    scheduler.in_many([delay] * 20, target, [t.encode() + b"." + b"x" * 2_000 for t in tokens])
            except duewheel.StorageFullError:
                log.say("refused", *tokens)
                fulls += 1
                found["full"] += 1
                time.sleep(0.01)
            except Exception as error:
                log.say("refused", *tokens)
                found["other"].append(repr(error))
                fulls += 1
            else:
                log.say("ack" if delay else "ran", *tokens)

    def together():
        each = [threading.Thread(target=schedule, args=(number,), daemon=True) for number in range(threads)]
        for thread in each:
            thread.start()
        for thread in each:
            thread.join(30)
            assert not thread.is_alive()

    together()
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    if ballast is not None:
        os.unlink(ballast)  # noqa: PTH108
    begin = time.monotonic()
    while time.monotonic() < begin + 20:
        token = f"{next(numbers)}"
        log.say("ask", token)
        try:
            scheduler.in_(FAR_S, "far", token.encode() + b".")
        except duewheel.StorageError:
            log.say("refused", token)
            time.sleep(0.02)
        else:
            log.say("ack", token)
            again.append(token)
            if len(again) == 50:
                break
    found["again"] = len(again)
    found["after_s"] = time.monotonic() - begin
    while scheduler.stats().running or scheduler.next(None, time.time() + 60):
        assert time.monotonic() < begin + 25, scheduler.stats()
        time.sleep(0.02)
    found["ran"] = len(ran)
    answer(found)
    sys.stdin.read()


def peak_mb():
    with open("/proc/self/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6


def look(path):
    """Open a file with many jobs and start, with all that are due brought in that may be."""
    before = peak_mb()
    begin = time.monotonic()
    scheduler = Scheduler(path)
    opened = time.monotonic() - begin
    pending = len(scheduler)
    first = scheduler.next()
    ready = time.monotonic() - begin
    answer([opened, ready, pending, first is not None, before, peak_mb()])
    sys.stdin.read()


def ask_when_full(path, copy, limit):
    """Fill a file that may not grow, ask what only the tables know, let it grow, and ask again."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    scheduler = Scheduler(path)
    kept = 0
    try:
        while True:
            scheduler.in_(FAR_S, "far", b"x" * 2_000)
            kept += 1
    except duewheel.StorageFullError:
        pass
    found = []
    for ask in (lambda: list(scheduler.dead()), lambda: scheduler.backup(copy)):
        try:
            ask()
        except duewheel.DuewheelError as error:
            found.append(type(error).__name__)
        else:
            found.append(None)
    found.append(os.path.exists(copy))  # noqa: PTH110
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    end = time.monotonic() + 20
    while True:
        try:
            scheduler.backup(copy)
            break
        except duewheel.StorageFullError:
            assert time.monotonic() < end
            time.sleep(0.02)
    with Scheduler(copy) as copied:
        answer([*found, kept, len(copied)])


def run_all(path):
    """Run all that is due in a file, as fast as it goes."""
    with Scheduler(LocalStorage(path, durability="relaxed")) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.wait()
        answer([scheduler.stats().succeeded, peak_mb()])


def park_all(path, stored):
    """Let all that is due in a file wait for a handler, then run it."""
    with Scheduler(LocalStorage(path, durability="relaxed")) as scheduler:
        end = time.monotonic() + 600
        while scheduler.stats().parked < stored and time.monotonic() < end:
            time.sleep(0.01)
        parked, idle, peak = scheduler.stats().parked, scheduler.wait(0), peak_mb()
        scheduler.handle("t", lambda event: None)
        scheduler.wait()
        answer([parked, idle, peak, scheduler.stats().succeeded, peak_mb()])


def rest():
    """Do nothing until killed."""
    answer("here")
    sys.stdin.read()


def listed(path, **_):
    """What is pending after the kill."""
    scheduler = Scheduler(path)
    tokens = [event.data.split(b".", 1)[0].decode() for event in scheduler.between()]
    dead = [dead.reason for dead in scheduler.dead()]
    scheduler.close()
    answer([tokens, dead])


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
