"""taskito: `task.apply_async(args=…, delay=…)`, which has no memory to keep jobs in: SQLite in a file."""

import os
import tempfile

from taskito import Queue
from workload import Sample, clock, far, on_disk, per_op


def schedule_task(n: int) -> Sample:
    with tempfile.TemporaryDirectory(prefix="taskito-", dir=on_disk()) as directory:
        queue = Queue(db_path=os.path.join(directory, "jobs.db"))

        @queue.task()
        def add(left: int, right: int) -> None:
            pass

        delays = far(n)
        begin = clock()
        for delay in delays:
            add.apply_async(args=(1, 2), delay=delay)
        return per_op(begin, n)


ROWS = {"schedule_task": schedule_task}
