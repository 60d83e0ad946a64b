"""Use the public API as a user's type checker sees it. Never run: mypy --strict and pyright read it.

What must be refused stands with a `type: ignore`, and mypy says so if it is not needed.
"""

import functools
import logging
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal, assert_type
from zoneinfo import ZoneInfo

import numpy as np
from fastapi import FastAPI
from flask import Flask
from prometheus_client import REGISTRY

import duewheel
import duewheel.flask
from duewheel import (
    DEFAULT_MAX_BACKOFF,
    DEFAULT_RETRY_LIMIT,
    UNSET,
    Config,
    Consistency,
    Cron,
    Days,
    DeadEvent,
    Discard,
    Event,
    Every,
    Handler,
    Job,
    JobOptions,
    Keyring,
    LocalStorage,
    NopScheduler,
    RRule,
    Schedule,
    Scheduler,
    Snooze,
    Stats,
    Storage,
    StorageError,
    Timer,
    Times,
    adapters,
    aio,
    otel,
    sentry,
)
from duewheel.logs import JobFilter
from duewheel.prometheus import Collector
from duewheel.testing import ManualClock

NOW = datetime.now(UTC)


def construction(clock: ManualClock) -> None:
    Scheduler()
    Scheduler("jobs.db", workers=1)
    Scheduler(Path("jobs.db"))
    Scheduler(LocalStorage("jobs.db"))
    Scheduler(5)  # type: ignore[arg-type]
    Scheduler(None, workers=2, options=JobOptions(retry_limit=1), clock=clock, seed=7)
    Scheduler(workers="4")  # type: ignore[arg-type]
    Scheduler(threads=4)  # type: ignore[call-arg]


def storage(scheduler: Scheduler) -> None:
    keys = Keyring({1: bytes(32), 2: bytes(32)}, default=2)
    LocalStorage("jobs.db", durability="relaxed", keys=keys, max_data=10, horizon=timedelta(hours=1), resident=5)
    LocalStorage(Path("jobs.db"), keys=None, horizon=3.5, max_interruptions=1)
    LocalStorage("jobs.db", durability="never")  # type: ignore[arg-type]
    LocalStorage(b"jobs.db")  # type: ignore[arg-type]
    Keyring({1: "key"}, default=1)  # type: ignore[dict-item]
    scheduler.backup("copy.db")
    scheduler.backup(Path("copy.db"))
    scheduler.rotate()


def handlers(scheduler: Scheduler) -> None:
    @scheduler.handler("a")
    def by_decorator(event: Event) -> int:
        return event.attempt

    assert_type(by_decorator(Event(Job("a", "a", 0, b"", JobOptions()))), int)

    def steers(event: Event) -> None:
        if event.attempt > 3:
            raise Discard("enough")
        raise Snooze(timedelta(seconds=1))

    deregister = scheduler.handle("b", steers)
    assert_type(deregister, Callable[[], None])
    deregister()
    scheduler.handle("c", lambda event: print(event.data.decode()))
    scheduler.handle("d", 4)  # type: ignore[arg-type]

    async def waits(event: Event) -> None:
        print(event.id)

    table: dict[str, Handler] = {"e": steers, "f": by_decorator, "g": waits, "h": lambda event: event.run}
    for target, fn in table.items():
        scheduler.handle(target, fn)
        assert_type(scheduler.handler(target)(fn), Handler)
    as_it_was: Callable[[Event], None] = scheduler.handler("i")(steers)
    print(as_it_was)
    wrong: Handler = len  # type: ignore[assignment]
    print(wrong)


def scheduling(scheduler: Scheduler) -> None:
    assert_type(scheduler.at(NOW, "a"), str)
    scheduler.at(4_000_000_000, "a", b"data", id="mine")
    scheduler.at(4e9, "a", bytearray(b"data"), options=JobOptions(age_limit=60))
    assert_type(scheduler.in_(30, "a", memoryview(b"data"), retry_limit=3, age_limit=None), str)
    scheduler.in_(timedelta(minutes=1), "a", min_backoff=timedelta(seconds=1), max_backoff=3.5)
    scheduler.in_(0.5, "a", consistency=Consistency.AT_MOST_ONCE)
    scheduler.in_(0.5, "a", retry_limit=UNSET)
    scheduler.at("tomorrow", "a")  # type: ignore[arg-type]
    scheduler.in_(1, "a", "text")  # type: ignore[arg-type]
    scheduler.in_(1, "a", retries=3)  # type: ignore[call-arg]
    scheduler.in_(1, "a", retry_limit="3")  # type: ignore[arg-type]


def scheduling_many(scheduler: Scheduler) -> None:
    assert_type(scheduler.at_many([NOW, NOW], "a"), Sequence[str])
    assert_type(scheduler.in_many([1, 2.5], "a", [b"one", b"two"], retry_limit=1), Sequence[str])
    scheduler.in_many(array("d", [1.0, 2.0]), "a")
    scheduler.in_many(np.array([1.0, 2.0]), "a")
    scheduler.at_many(np.array(["2027-01-01"], dtype="datetime64[s]"), "a")


def pending(scheduler: Scheduler) -> None:
    assert_type(scheduler.cancel("a"), bool)
    assert_type(scheduler.cancel_many({"a", "b"}), int)
    scheduler.cancel_many(scheduler.in_many([1, 2], "a"))
    assert_type(scheduler.reschedule("a", NOW), bool)
    assert_type(scheduler.get("a"), Event | None)
    assert_type("a" in scheduler, bool)
    assert_type(len(scheduler), int)
    assert_type(scheduler.next(), Event | None)
    assert_type(scheduler.next(NOW, 4e9), Event | None)
    assert_type(scheduler.between(end=NOW), Iterator[Event])
    assert_type(scheduler.storage, Storage)
    assert_type(scheduler.storage.load("a"), Event | None)


def events(event: Event, job: Job) -> None:
    assert_type(event.id, str)
    assert_type(event.run, int)
    assert_type(event.due, int)
    assert_type(event.due_at, datetime)
    assert_type(event.lateness, float)
    assert_type(event.job, Job)
    assert_type(job.data, bytes)
    assert_type(job.options, JobOptions)
    event.run = 2  # type: ignore[misc]


def dead(scheduler: Scheduler) -> None:
    assert_type(scheduler.dead(), Iterator[DeadEvent])
    for one in scheduler.dead():
        assert_type(one.event, Event)
        assert_type(one.reason, str)
        assert_type(one.error, str)
        assert_type(one.died, int)
        assert_type(one.died_at, datetime)
    assert_type(scheduler.revive("a"), bool)
    assert_type(scheduler.purge(NOW, ids=["a"]), int)


def life(scheduler: Scheduler) -> None:
    with scheduler as same:
        assert_type(same, Scheduler)
        assert_type(scheduler.wait(), bool)
        assert_type(scheduler.wait(timedelta(seconds=1)), bool)
    assert_type(scheduler.drain(timeout=0.5), bool)
    stats = scheduler.stats()
    assert_type(stats, Stats)
    assert_type(stats.pending, int)
    assert_type(stats.stuck, int)
    for target, counted in scheduler.targets().items():
        assert_type(target, str)
        assert_type(counted.runtime.p99, float)
    for running in scheduler.running():
        assert_type(running.event.expired, bool)
        assert_type(running.started, int)
        assert_type(running.worker, str)
    assert_type(stats.lateness.p99, float)
    assert_type(stats.asdict(), dict[str, Any])
    assert_type(stats.lateness.asdict(), dict[str, Any])
    assert_type(scheduler.failure, StorageError | None)
    scheduler.close()


def frameworks(scheduler: Scheduler, awaited: aio.Scheduler) -> None:
    FastAPI(lifespan=awaited.lifespan)
    FastAPI(lifespan=functools.partial(awaited.lifespan, drain_timeout=timedelta(seconds=8)))
    duewheel.flask.init_app(Flask("shop"), scheduler)
    duewheel.flask.init_app(Flask("shop"), awaited)
    duewheel.flask.init_app(scheduler)  # type: ignore[call-arg, arg-type]
    logging.StreamHandler().addFilter(JobFilter())
    REGISTRY.register(Collector(scheduler))
    REGISTRY.register(Collector(awaited, lateness_buckets=[0.1, 1], run_buckets=(1.0, 10)))
    Collector("jobs.db")  # type: ignore[arg-type]
    Scheduler(plugins=[otel.Plugin(parent="child"), sentry.Plugin(crons=False)])
    otel.Plugin(parent="none")  # type: ignore[arg-type]


def sharing(scheduler: Scheduler, awaited: aio.Scheduler) -> None:
    assert_type(Scheduler("jobs.db", share=True), Scheduler)
    assert_type(scheduler.role, Literal["alone", "owner", "client"])
    assert_type(awaited.role, Literal["alone", "owner", "client"])
    client = duewheel.connect("jobs.db")
    assert_type(client.owner_pid, int)
    assert_type(client.in_(1, "a", b"", retry_limit=1), str)
    assert_type(client.get("a"), Event | None)
    assert_type(client.cancel_many(client.in_many([1], "a")), int)
    assert_type(duewheel.connect(duewheel.PostgresStorage("postgresql://")), Scheduler)
    client.in_("soon", "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def sharing_awaited() -> None:
    async with aio.connect("jobs.db") as client:
        assert_type(await client.in_(1, "a", retry_limit=1), str)
        assert_type(await client.get("a"), Event | None)
        async for event in client.between():
            assert_type(event, Event)


def options() -> None:
    chosen = JobOptions(retry_limit=None, age_limit=timedelta(days=1))
    assert_type(chosen.replace(retry_limit=DEFAULT_RETRY_LIMIT), JobOptions)
    chosen.replace(max_backoff=DEFAULT_MAX_BACKOFF)
    limit = chosen.retry_limit
    if limit is not UNSET and limit is not None:
        assert_type(limit, int)
    JobOptions(3)  # type: ignore[call-arg]
    JobOptions(retry_limit="3")  # type: ignore[arg-type]


def timers(scheduler: Scheduler, awaited: aio.Scheduler) -> None:
    async def called(event: Event) -> None: ...

    timer = scheduler.timer(1.5, called, object(), retry_limit=3)
    assert_type(timer, Timer)
    assert_type(awaited.timer(timedelta(seconds=1), "target", [1]), Timer)
    assert_type(NopScheduler().timer(1, print), Timer)
    assert_type((timer.id, timer.due, timer.pending), tuple[str, int, bool])
    assert_type((timer.cancel(), timer.reschedule(2)), tuple[bool, bool])
    scheduler.timer(1, 5)  # type: ignore[arg-type]
    scheduler.timer(1, print, id="x")  # type: ignore[call-arg]


async def timeouts(scheduler: aio.Scheduler) -> None:
    async with aio.timeout(1.5, scheduler=scheduler) as bound, aio.timeout(timedelta(seconds=1)):
        assert_type(bound, aio.Timeout)
        bound.reschedule(None)
    async with aio.timeout_at(None):
        assert_type((bound.when(), bound.expired()), tuple[float | None, bool])
    aio.timeout("1")  # type: ignore[arg-type]


def context() -> None:
    with duewheel.use(NopScheduler()) as nop:
        assert_type(nop, NopScheduler)
    assert_type(duewheel.current_scheduler(), Scheduler)
    assert_type(duewheel.at(NOW, "a", b"", id="mine", retry_limit=3), str)
    assert_type(duewheel.in_(timedelta(seconds=1), "a", options=JobOptions(), age_limit=None), str)
    assert_type(duewheel.in_(1, "a", connection=object()), str)
    duewheel.in_(1, "a", retries=3)  # type: ignore[call-arg]
    duewheel.use(None)  # type: ignore[type-var]


def clocks() -> None:
    ManualClock(NOW, raise_errors=True)
    ManualClock(raise_errors=1)  # type: ignore[arg-type]


def configuration(raw: Mapping[str, object]) -> None:
    config = Config(on=True, adapter="mine", config={"url": "x", "size": 4, "rate": 0.5})
    assert_type(Config.from_mapping(raw), Config)
    assert_type(adapters.new(config), Scheduler)
    assert_type(adapters.names(), list[str])

    def factory(config: Mapping[str, str | int | float]) -> Scheduler:
        return Scheduler(workers=int(config["workers"]))

    adapters.register("mine", factory)
    adapters.register("off", lambda config: NopScheduler())
    adapters.register("wrong", lambda config: 4)  # type: ignore[arg-type, return-value]


def errors() -> None:
    for error in (duewheel.ConfigError, duewheel.DuplicateJobError, duewheel.PayloadTooLargeError):
        as_value_error: type[ValueError] = error
        as_ours: type[duewheel.DuewheelError] = error
        print(as_value_error, as_ours)


def schedules() -> None:
    office = Cron("* 9-17 * * mon-fri", tz="Asia/Tokyo")
    holidays = Days([date(2027, 1, 1)], tz=ZoneInfo("Asia/Tokyo"))
    assert_type(office - holidays, Schedule)
    assert_type(60 | office, Schedule)
    assert_type(office & "0 9 * * *", Schedule)
    assert_type(timedelta(1) - office, Schedule)
    assert_type(Every(0.5, anchor=NOW).next(), datetime | None)
    assert_type(list(Times([NOW, 5]).between(start=0, end=NOW)), list[datetime])
    assert_type(Times(np.array([1.5])).describe(n=2, after=0), str)
    assert_type(NOW in office, bool)
    Cron("@daily", timezone.utc)  # noqa: UP017 - what users of 3.10 wrote
    RRule("FREQ=DAILY", datetime(2027, 1, 1), tz="Europe/Paris")  # noqa: DTZ001
    RRule("FREQ=DAILY", NOW)  # type: ignore[call-arg]
    Every("5")  # type: ignore[arg-type]
    Every(5, NOW)  # type: ignore[call-arg]
    Cron(5)  # type: ignore[arg-type]
    Days(["2027-01-01"])  # type: ignore[list-item]
    office | None  # type: ignore[operator]
