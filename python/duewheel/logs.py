"""Log records that say which job they belong to.

>>> import logging, sys
>>> from duewheel import Scheduler
>>> from duewheel.logs import JobFilter
>>> handler = logging.StreamHandler(sys.stdout)
>>> handler.addFilter(JobFilter())
>>> handler.setFormatter(logging.Formatter("%(target)s %(attempt)s: %(message)s"))
>>> log = logging.getLogger("shop")
>>> log.addHandler(handler)
>>> with Scheduler() as scheduler:
...
...     @scheduler.handler("email.welcome")
...     def welcome(event):
...         log.warning("no address")
...
...     id = scheduler.in_(0, "email.welcome")
...     finished = scheduler.wait()
email.welcome 1: no address
>>> log.removeHandler(handler)
"""

from __future__ import annotations

import logging

from duewheel._core import current_event

__all__ = ["JobFilter"]

_NAMES = ("job_id", "target", "run", "attempt")


class JobFilter(logging.Filter):
    """Give each record of a handler `job_id`, `target`, `run` and `attempt`; keep every record.

    Add it to a handler of `logging`, so that the records of all loggers pass it, and name them in the format, as in
    `"%(job_id)s %(message)s"`. What is logged outside of a handler has `None` for each. A record that has one of these
    names keeps it: those of the logger `duewheel` that are about a job say which.

    **Concurrency**: a record is told from the thread or the task that logs it. In threads and tasks that a handler
    starts, and behind a `QueueHandler` that has no filter of its own, there is no job.
    **Cost**: some hundred nanoseconds a record.
    """

    def __init__(self) -> None:
        """Make a filter; it has no state."""
        super().__init__()

    def filter(self, record: logging.LogRecord) -> bool:
        """Give the record its names; return `True`."""
        said = record.__dict__
        if (event := current_event()) is None:
            for name in _NAMES:
                said.setdefault(name, None)
        else:
            said.setdefault("job_id", event.job_id)
            said.setdefault("target", event.target)
            said.setdefault("run", event.run)
            said.setdefault("attempt", event.attempt)
        return True
