"""duewheel beside its peers on PostgreSQL; see roles.py. Settings are those by default, but one worker for no-ops."""

import sys
import threading
import time
from multiprocessing import get_context

from roles import TARGET, Lateness, Told, paced, say, say_rate, text, told

from duewheel import PostgresStorage, Scheduler


def opened(told: Told, *, workers: int = 1) -> Scheduler:
    return Scheduler(PostgresStorage(told.url), workers=workers)


def setup(told: Told) -> None:
    opened(told).close()


def single(told: Told) -> None:
    scheduler = opened(told)
    data = text(0)

    def schedule() -> None:
        for _ in range(told.n // told.clients):
            scheduler.in_(told.ahead, TARGET, data)

    threads = [threading.Thread(target=schedule) for _ in range(told.clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say_rate(told.n // told.clients * told.clients, begin)
    scheduler.close()


def bulk(told: Told) -> None:
    scheduler = opened(told)
    delays, datas = [told.ahead] * told.batch, [text(0)] * told.batch
    begin = time.perf_counter()
    for _ in range(told.n // told.batch):
        scheduler.in_many(delays, TARGET, datas)
    say_rate(told.n, begin)
    scheduler.close()


def produce(told: Told) -> None:
    scheduler = opened(told)
    for _ in paced(told.n, told.rate):
        due = time.time() + told.ahead
        scheduler.at(due, TARGET, text(due))
    scheduler.close()


def late(told: Told) -> None:
    over = threading.Event()
    lateness = Lateness(told.n, over.set)
    with opened(told) as scheduler:
        # The due is the first number of the payload.
        scheduler.handle(TARGET, lambda event: lateness(int(event.data[8:24])))
        scheduler.start()
        say(ready=True)
        over.wait()
        lateness.say()


def node(told: Told, counts, number: int, barrier) -> None:
    """One of the nodes of `run`, which says in `counts` how many jobs it has run."""
    scheduler = opened(told)
    scheduler.handle(TARGET, lambda event: None)
    barrier.wait()
    scheduler.start()
    while sum(counts) < told.n:
        counts[number] = scheduler.stats().succeeded
        time.sleep(0.002)
    barrier.wait()
    scheduler.close()


def run(told: Told) -> None:
    context = get_context("spawn")
    counts, barrier = context.RawArray("q", told.nodes), context.Barrier(told.nodes + 1)
    nodes = [context.Process(target=node, args=(told, counts, number, barrier)) for number in range(told.nodes)]
    for process in nodes:
        process.start()
    barrier.wait()
    say(started=time.time())
    while sum(counts) < told.n:
        time.sleep(0.002)
    say(ran=time.time())
    sys.stdin.read()
    barrier.wait()
    for process in nodes:
        process.join()


def idle(told: Told) -> None:
    with opened(told) as scheduler:
        scheduler.handle(TARGET, lambda event: None)
        scheduler.start()
        say(ready=True)
        sys.stdin.read()


if __name__ == "__main__":
    role, given = told()
    {"setup": setup, "single": single, "bulk": bulk, "produce": produce, "late": late, "run": run, "idle": idle}[role](
        given
    )
