"""The calls from Python, with pytest-benchmark: `pytest benches --benchmark-only`. Times are reported, never asserted."""

import itertools
import random
from array import array

import pytest

from duewheel import Event, Scheduler

N = 100_000
ROUNDS = 10
DRAW = random.Random(7).random
FAR = [3600.0 + 3600.0 * DRAW() for _ in range(N)]
DUE = [0.001 * DRAW() for _ in range(N)]


def new_scheduler() -> Scheduler:
    scheduler = Scheduler(workers=1)

    @scheduler.handler("noop")
    def handler(event: Event) -> None:
        pass

    return scheduler


@pytest.fixture
def measured(benchmark):
    """Time `work(*prepare(scheduler))` of N jobs, each round on a scheduler of its own."""

    def measure(prepare, work):
        schedulers = []

        def setup():
            for scheduler in schedulers:
                scheduler.close()
            schedulers[:] = [new_scheduler()]
            return (schedulers[0], *prepare(schedulers[0])), {}

        benchmark.extra_info["jobs"] = N
        benchmark.pedantic(work, setup=setup, rounds=ROUNDS, iterations=1, warmup_rounds=1)
        schedulers[0].close()

    return measure


def schedule_each(scheduler, delays=FAR):
    in_ = scheduler.in_
    return [in_(delay, "noop") for delay in delays]


def test_schedule(measured):
    def schedule(scheduler):
        in_ = scheduler.in_
        for delay in FAR:
            in_(delay, "noop")

    measured(lambda scheduler: (), schedule)


@pytest.mark.parametrize("given", ["buffer", "list"])
def test_schedule_in_bulk(measured, given):
    delays = array("d", FAR) if given == "buffer" else FAR
    measured(lambda scheduler: (), lambda scheduler: scheduler.in_many(delays, "noop"))


@pytest.mark.parametrize("order", ["as scheduled", "at random"])
def test_cancel(measured, order):
    def prepare(scheduler):
        ids = schedule_each(scheduler)
        if order == "at random":
            random.Random(8).shuffle(ids)
        return (ids,)

    def cancel(scheduler, ids):
        remove = scheduler.cancel
        for job_id in ids:
            remove(job_id)

    measured(prepare, cancel)


def test_run_what_is_due(measured):
    def prepare(scheduler):
        schedule_each(scheduler, DUE)
        return ()

    def run(scheduler):
        scheduler.start()
        scheduler.wait()

    measured(prepare, run)


def test_next(benchmark):
    scheduler = new_scheduler()
    schedule_each(scheduler)
    benchmark(scheduler.next)
    scheduler.close()


def test_first_hundred_between(benchmark):
    scheduler = new_scheduler()
    schedule_each(scheduler)
    benchmark(lambda: list(itertools.islice(scheduler.between(), 100)))
    scheduler.close()
