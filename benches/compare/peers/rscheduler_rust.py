"""rscheduler (Rust): it has repeating intervals only, the first run at once; so what can be compared is adding and removing."""

import rscheduler
from workload import Sample, clock, far, per_op, resident_bytes, shuffled

scheduler = rscheduler.Scheduler()


def handler() -> None:
    pass


def schedule(n: int) -> Sample:
    delays = far(n)
    add = scheduler.schedule
    begin = clock()
    for delay in delays:
        add(handler, delay)
    return per_op(begin, n)


def cancel(n: int, *, at_random: bool) -> Sample:
    ids = [scheduler.schedule(handler, delay) for delay in far(n)]
    order = shuffled(ids) if at_random else ids
    remove = scheduler.cancel
    begin = clock()
    for job_id in order:
        remove(job_id)
    return per_op(begin, n)


def memory(n: int) -> Sample:
    delays = far(n)
    before = resident_bytes()
    for delay in delays:
        scheduler.schedule(handler, delay)
    return {"bytes": (resident_bytes() - before) / n}


ROWS = {
    "schedule": schedule,
    "cancel": lambda n: cancel(n, at_random=False),
    "cancel_random": lambda n: cancel(n, at_random=True),
    "memory": memory,
}
