"""APScheduler 3: `add_job(handler, "date", run_date=…)` on a background scheduler with one thread in its pool."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from workload import Sample, clock, far, per_op, resident_bytes, shuffled, within

logging.disable(logging.CRITICAL)
scheduler = BackgroundScheduler(
    executors={"default": ThreadPoolExecutor(1)},
    job_defaults={"misfire_grace_time": None, "max_instances": 1},
    timezone=UTC,
)
add_job = scheduler.add_job


def handler() -> None:
    pass


def add(left: int, right: int) -> None:
    pass


def dues(delays: list[float]) -> list[datetime]:
    now = datetime.now(UTC)
    return [now + timedelta(seconds=delay) for delay in delays]


def schedule(n: int) -> Sample:
    scheduler.start(paused=True)
    whens = dues(far(n))
    begin = clock()
    for when in whens:
        add_job(handler, "date", run_date=when)
    return per_op(begin, n)


def schedule_task(n: int) -> Sample:
    scheduler.start(paused=True)
    whens = dues(far(n))
    begin = clock()
    for when in whens:
        add_job(add, "date", run_date=when, args=(1, 2))
    return per_op(begin, n)


def cancel(n: int, *, at_random: bool) -> Sample:
    scheduler.start(paused=True)
    jobs = [add_job(handler, "date", run_date=when) for when in dues(far(n))]
    order = shuffled(jobs) if at_random else jobs
    begin = clock()
    for job in order:
        job.remove()
    return per_op(begin, n)


def counting(n: int) -> tuple[threading.Event, object]:
    done = threading.Event()
    ran = 0

    def count() -> None:
        nonlocal ran
        ran += 1
        if ran == n:
            done.set()

    return done, count


def run_due(n: int) -> Sample:
    scheduler.start(paused=True)
    done, count = counting(n)
    for when in dues(within(n, 0.001)):
        add_job(count, "date", run_date=when)
    begin = clock()
    scheduler.resume()
    done.wait()
    return per_op(begin, n)


def whole(n: int) -> Sample:
    done, count = counting(n)
    whens = dues(within(n, 0.05))
    scheduler.start(paused=True)
    begin = clock()
    for when in whens:
        add_job(count, "date", run_date=when)
    scheduler.resume()
    done.wait()
    return per_op(begin, n)


def memory(n: int) -> Sample:
    scheduler.start(paused=True)
    whens = dues(far(n))
    before = resident_bytes()
    for when in whens:
        add_job(handler, "date", run_date=when)
    return {"bytes": (resident_bytes() - before) / n}


ROWS = {
    "schedule": schedule,
    "schedule_task": schedule_task,
    "cancel": lambda n: cancel(n, at_random=False),
    "cancel_random": lambda n: cancel(n, at_random=True),
    "run_due": run_due,
    "whole": whole,
    "memory": memory,
}
