"""pgqueuer beside duewheel; see roles.py.

asyncpg and uvloop; a worker fetches 10 jobs at a time (its default) to start them early, 100 to run many, and looks
again after a millisecond where a job is due soon, for which it has an attribute: it waits for 100 ms by default.
"""

import asyncio
import time
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from roles import TARGET, Counter, Lateness, Told, clients, input_ends, main, paced_async, say, say_rate, text


async def queries(told: Told) -> Queries:
    return Queries(AsyncpgDriver(await asyncpg.connect(told.url)))


async def setup(told: Told) -> None:
    await (await queries(told)).install()


async def single(told: Told) -> None:
    each = [await queries(told) for _ in range(told.clients)]
    data, ahead = text(0), timedelta(seconds=told.ahead)
    await clients(told, lambda number: each[number].enqueue(TARGET, data, execute_after=ahead))


async def bulk(told: Told) -> None:
    enqueue = (await queries(told)).enqueue
    n = told.batch
    targets, datas, priorities, ahead = [TARGET] * n, [text(0)] * n, [0] * n, [timedelta(seconds=told.ahead)] * n
    begin = time.perf_counter()
    for _ in range(told.n // n):
        await enqueue(targets, datas, priorities, ahead)
    say_rate(told.n, begin)


async def produce(told: Told) -> None:
    enqueue = (await queries(told)).enqueue
    ahead = timedelta(seconds=told.ahead)
    async for _ in paced_async(told.n, told.rate):
        await enqueue(TARGET, text(0), execute_after=ahead)


async def work(told: Told, handler, batch_size: int) -> None:
    """Run jobs until it is cancelled."""
    queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(told.url)))
    queuer.qm.min_dequeue_poll_interval = timedelta(milliseconds=1)
    queuer.entrypoint(TARGET)(handler)
    await queuer.qm.run(batch_size=batch_size)


async def late(told: Told) -> None:
    over = asyncio.Event()
    lateness = Lateness(told.n, over.set)

    async def handler(job: Job) -> None:
        # It takes delays only, and the server makes a due of them.
        lateness(job.execute_after.timestamp() * 1e6)

    worker = asyncio.create_task(work(told, handler, 10))
    await asyncio.sleep(1)
    say(ready=True)
    await over.wait()
    lateness.say()
    worker.cancel()


async def run(told: Told) -> None:
    over = asyncio.Event()
    count = Counter(told.n, over.set)

    async def handler(job: Job) -> None:
        count()

    say(started=time.time())
    worker = asyncio.create_task(work(told, handler, 100))
    await over.wait()
    say(ran=time.time())
    await input_ends()
    worker.cancel()


async def idle(told: Told) -> None:
    async def handler(job: Job) -> None:
        pass

    worker = asyncio.create_task(work(told, handler, 10))
    await asyncio.sleep(1)
    say(ready=True)
    await input_ends()
    worker.cancel()


if __name__ == "__main__":
    main({role.__name__: role for role in (setup, single, bulk, produce, late, run, idle)})
