"""duewheel: what controls, plugins and tasks cost, each beside the same without."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import count
from typing import Any

from workload import Sample, clock, far, per_op, within

from duewheel import Event, Rate, Scheduler

DELAY_S = 3600.0
NEVER_REACHED = 1_000_000
PER_NANOSECOND = Rate(10**9)


def noop(event: Event) -> None:
    pass


def add(left: int, right: int) -> None:
    pass


def run(n: int, delay: Callable[[Scheduler, float], object], **controls: Any) -> Sample:
    """From the start until all have run; `delay` schedules one."""
    scheduler: Scheduler = controls.pop("scheduler", None) or Scheduler(workers=1)
    scheduler.handle("noop", noop, **controls)
    for seconds in within(n, 0.001):
        delay(scheduler, seconds)
    begin = clock()
    scheduler.start()
    scheduler.wait()
    taken = per_op(begin, n)
    if scheduler.stats().succeeded != n:
        raise RuntimeError(f"{n} jobs were due: {scheduler.stats()}")
    return taken


def plainly(scheduler: Scheduler, seconds: float) -> None:
    scheduler.in_(seconds, "noop")


def run_plain(n: int, **controls: Any) -> Sample:
    return run(n, plainly, **controls)


def run_beside(n: int) -> Sample:
    """No control is on what runs, but on a target beside it."""
    scheduler = Scheduler(workers=1)
    scheduler.handle("other", noop, concurrency=1)
    return run_plain(n, scheduler=scheduler)


def run_key(n: int) -> Sample:
    numbers = count()
    return run(n, lambda scheduler, seconds: scheduler.in_(seconds, "noop", key=f"key-{next(numbers)}"))


class Around:
    def around(self, event: Event) -> AbstractContextManager[None]:
        return nullcontext()


class Ended:
    def ended(self, event: Event, outcome: object) -> None:
        pass


class Missed:
    """It has a hook, which no job of this row calls."""

    def missed(self, repeat: object, count: int) -> None:
        pass


def run_plugin(n: int, plugin: object) -> Sample:
    return run_plain(n, scheduler=Scheduler(workers=1, plugins=[plugin]))


def run_task(n: int, codec: str) -> Sample:
    scheduler = Scheduler(workers=1)
    task = scheduler.task("add", codec=codec)(add)
    return run(n, lambda _, seconds: task.in_(seconds, 1, 2), scheduler=scheduler)


def run_json(n: int) -> Sample:
    """What a task does, by hand."""
    scheduler = Scheduler(workers=1)
    scheduler.handle("add", lambda event: add(*json.loads(event.data)))
    return run(n, lambda _, seconds: scheduler.in_(seconds, "add", json.dumps([1, 2]).encode()), scheduler=scheduler)


def schedule(n: int, **keywords: Any) -> Sample:
    in_ = Scheduler(workers=1).in_
    delays = far(n)
    begin = clock()
    for delay in delays:
        in_(delay, "noop", **keywords)
    return per_op(begin, n)


def schedule_plain(n: int) -> Sample:
    in_ = Scheduler(workers=1).in_
    delays = far(n)
    begin = clock()
    for delay in delays:
        in_(delay, "noop")
    return per_op(begin, n)


def schedule_json(n: int) -> Sample:
    in_, dumps = Scheduler(workers=1).in_, json.dumps
    delays = far(n)
    begin = clock()
    for delay in delays:
        in_(delay, "noop", dumps([1, 2]).encode())
    return per_op(begin, n)


def schedule_task(n: int, codec: str) -> Sample:
    in_ = Scheduler(workers=1).task("add", codec=codec)(add).in_
    delays = far(n)
    begin = clock()
    for delay in delays:
        in_(delay, 1, 2)
    return per_op(begin, n)


ROWS = {
    "run_plain": run_plain,
    "run_beside": run_beside,
    "run_concurrency": partial(run_plain, concurrency=NEVER_REACHED),
    "run_concurrency_1": partial(run_plain, concurrency=1),
    "run_rate": partial(run_plain, rate=PER_NANOSECOND),
    "run_priority": partial(run_plain, priority=1),
    "run_timeout": partial(run_plain, timeout=DELAY_S),
    "run_key": run_key,
    "run_missed": partial(run_plugin, plugin=Missed()),
    "run_ended": partial(run_plugin, plugin=Ended()),
    "run_around": partial(run_plugin, plugin=Around()),
    "run_json": run_json,
    "run_task": partial(run_task, codec="json"),
    "schedule_plain": schedule_plain,
    "schedule_key": partial(schedule, key="user-7"),
    "schedule_headers": partial(schedule, headers={"trace": "4bf92f3577b34da6"}),
    "schedule_json": schedule_json,
    "schedule_task": partial(schedule_task, codec="json"),
}
