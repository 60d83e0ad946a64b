"""procrastinate beside duewheel; see roles.py.

Its psycopg connector with a pool; workers delete what has succeeded. To start jobs early it looks every 10 ms beside
LISTEN; to run many it has 20 jobs under way.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import procrastinate
from roles import TARGET, Counter, Lateness, Told, clients, input_ends, main, paced_async, payload, say, say_rate


def app(told: Told, size: int) -> procrastinate.App:
    return procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=told.url, min_size=size, max_size=max(size, 4))
    )


def ahead(told: Told) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=told.ahead)


async def setup(told: Told) -> None:
    async with app(told, 1).open_async() as opened:
        await opened.schema_manager.apply_schema_async()


async def single(told: Told) -> None:
    async with app(told, told.clients).open_async() as opened:
        when, data = ahead(told), payload(0)
        await clients(told, lambda number: opened.configure_task(TARGET, schedule_at=when).defer_async(**data))


async def bulk(told: Told) -> None:
    async with app(told, 1).open_async() as opened:
        deferrer = opened.configure_task(TARGET, schedule_at=ahead(told))
        begin = time.perf_counter()
        for _ in range(told.n // told.batch):
            await deferrer.batch_defer_async(*([payload(0)] * told.batch))
        say_rate(told.n, begin)


async def produce(told: Told) -> None:
    async with app(told, 1).open_async() as opened:
        async for _ in paced_async(told.n, told.rate):
            due = ahead(told)
            await opened.configure_task(TARGET, schedule_at=due).defer_async(**payload(due.timestamp()))


async def work(told: Told, handler, concurrency: int, poll: float) -> None:
    """Run jobs until it is cancelled."""
    made = app(told, 4)
    made.task(name=TARGET)(handler)
    async with made.open_async() as opened:
        await opened.run_worker_async(
            concurrency=concurrency,
            fetch_job_polling_interval=poll,
            delete_jobs="successful",
            install_signal_handlers=False,
        )


async def late(told: Told) -> None:
    over = asyncio.Event()
    lateness = Lateness(told.n, over.set)

    async def handler(due: int, more: str) -> None:
        lateness(due)

    worker = asyncio.create_task(work(told, handler, 4, 0.01))
    await asyncio.sleep(1)
    say(ready=True)
    await over.wait()
    lateness.say()
    worker.cancel()


async def run(told: Told) -> None:
    over = asyncio.Event()
    count = Counter(told.n, over.set)

    async def handler(due: int, more: str) -> None:
        count()

    say(started=time.time())
    worker = asyncio.create_task(work(told, handler, 20, 5.0))
    await over.wait()
    say(ran=time.time())
    await input_ends()
    worker.cancel()


async def idle(told: Told) -> None:
    async def handler(due: int, more: str) -> None:
        pass

    worker = asyncio.create_task(work(told, handler, 4, 0.01))
    await asyncio.sleep(1)
    say(ready=True)
    await input_ends()
    worker.cancel()


if __name__ == "__main__":
    main({role.__name__: role for role in (setup, single, bulk, produce, late, run, idle)})
