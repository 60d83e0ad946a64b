"""Jobs with async handlers of a plain scheduler, run to their end."""

import asyncio
import threading

from waiting import PATIENCE_S

from duewheel import Scheduler

AT_ONCE = {"min_backoff": 0, "max_backoff": 0}


def run(*handlers, data=b"", scheduler=None, **job_options):
    """Run one job for each handler to its end; the closed scheduler, and the dead."""
    with scheduler or Scheduler() as running:
        for number, handler in enumerate(handlers):
            running.handle(f"t{number}", handler)
        for number in range(len(handlers)):
            running.in_(0, f"t{number}", data, **job_options)
        assert running.wait(PATIENCE_S)
        running._check()
        dead = list(running.dead())
    return running, dead


def loop_threads():
    return [thread for thread in threading.enumerate() if thread.name == "duewheel-loop"]


async def the_innermost(waits):
    if waits:
        await asyncio.sleep(0)
    raise ValueError("deep down")
