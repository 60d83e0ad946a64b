"""huey: `task.schedule(args=…, delay=…)` on a `MemoryHuey`."""

from huey import MemoryHuey
from workload import Sample, clock, far, per_op

huey = MemoryHuey()


@huey.task()
def add(left: int, right: int) -> None:
    pass


def schedule_task(n: int) -> Sample:
    delays = far(n)
    begin = clock()
    for delay in delays:
        add.schedule(args=(1, 2), delay=delay)
    return per_op(begin, n)


ROWS = {"schedule_task": schedule_task}
