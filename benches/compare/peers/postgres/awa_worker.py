"""awa beside duewheel; see roles.py.

To start jobs early it looks every 50 ms, and promotes what is scheduled every 50: less makes it later; to run many it claims with two
loops by 1,000 jobs.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import awa
from roles import Counter, Lateness, Told, clients, input_ends, main, paced_async, payload, say, say_rate


@dataclass
class Noop:
    due: int
    more: str


def ahead(told: Told) -> datetime | None:
    """`None`: at once, which it keeps in another table."""
    return datetime.now(UTC) + timedelta(seconds=told.ahead) if told.ahead else None


async def setup(told: Told) -> None:
    client = awa.AsyncClient(told.url)
    await client.migrate()
    await client.install_queue_storage()  # its newer storage, which its documents recommend


async def single(told: Told) -> None:
    client = awa.AsyncClient(told.url, max_connections=told.clients)
    job, when = Noop(**payload(0)), ahead(told)
    await clients(told, lambda number: client.insert(job, run_at=when))


async def bulk(told: Told) -> None:
    client = awa.AsyncClient(told.url)
    jobs, when = [Noop(**payload(0))] * told.batch, ahead(told)
    begin = time.perf_counter()
    for _ in range(told.n // told.batch):
        await client.enqueue_many_copy(jobs, run_at=when)
    say_rate(told.n, begin)


async def produce(told: Told) -> None:
    client = awa.AsyncClient(told.url)
    async for _ in paced_async(told.n, told.rate):
        due = ahead(told)
        await client.insert(Noop(**payload(due.timestamp())), run_at=due)


async def early(told: Told, handler) -> awa.AsyncClient:
    client = awa.AsyncClient(told.url, max_connections=10)
    client.task(Noop)(handler)
    await client.start([("default", 16)], poll_interval_ms=50, promote_interval_ms=50)
    await asyncio.sleep(2)  # until it leads
    say(ready=True)
    return client


async def late(told: Told) -> None:
    over = asyncio.Event()
    lateness = Lateness(told.n, over.set)

    async def handler(job) -> None:
        lateness(job.args.due)

    client = await early(told, handler)
    await over.wait()
    lateness.say()
    await client.shutdown()


async def run(told: Told) -> None:
    over = asyncio.Event()
    count = Counter(told.n, over.set)

    async def handler(job) -> None:
        count()

    client = awa.AsyncClient(told.url, max_connections=20)
    client.task(Noop)(handler)
    say(started=time.time())
    queue = {"name": "default", "max_workers": 1000, "claimers": 2, "claim_batch_size": 1000}
    await client.start([queue], poll_interval_ms=10)
    await over.wait()
    say(ran=time.time())
    await input_ends()
    await client.shutdown()


async def idle(told: Told) -> None:
    async def handler(job) -> None:
        pass

    client = await early(told, handler)
    await input_ends()
    await client.shutdown()


if __name__ == "__main__":
    main({role.__name__: role for role in (setup, single, bulk, produce, late, run, idle)})
