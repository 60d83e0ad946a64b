"""rust-py-scheduler (Rust): intervals of whole seconds and cron only; so what can be compared is adding and removing."""

from rust_py_scheduler import Scheduler
from workload import Sample, clock, far, per_op, resident_bytes, shuffled

scheduler = Scheduler()


def handler() -> None:
    pass


def intervals(n: int) -> list[str]:
    return [f"{int(delay)}s" for delay in far(n)]


def schedule(n: int) -> Sample:
    every = scheduler.every
    texts = intervals(n)
    begin = clock()
    for text in texts:
        every(text, handler)
    return per_op(begin, n)


def cancel(n: int, *, at_random: bool) -> Sample:
    ids = [scheduler.every(text, handler) for text in intervals(n)]
    order = shuffled(ids) if at_random else ids
    remove = scheduler.remove_job
    begin = clock()
    for job_id in order:
        remove(job_id)
    return per_op(begin, n)


def memory(n: int) -> Sample:
    texts = intervals(n)
    before = resident_bytes()
    for text in texts:
        scheduler.every(text, handler)
    return {"bytes": (resident_bytes() - before) / n}


ROWS = {
    "schedule": schedule,
    "cancel": lambda n: cancel(n, at_random=False),
    "cancel_random": lambda n: cancel(n, at_random=True),
    "memory": memory,
}
