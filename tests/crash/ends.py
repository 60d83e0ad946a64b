"""A process that ends in one of several ways while a handler runs: `ends.py WAY PATH`."""

import asyncio
import os
import signal
import sys
import threading
import time

from duewheel import LocalStorage, Scheduler
from duewheel.aio import Scheduler as AioScheduler

way, path = sys.argv[1:]
inside = threading.Event()


def held(event):
    """Go on past the end of the process."""
    with open(path + ".runs", "a") as runs:  # noqa: PTH123
        runs.write(f"{event.job_id} {event.run} {event.attempt}\n")
    inside.set()
    time.sleep(600)


async def held_on_loop(event):
    """Go on, whoever cancels it."""
    with open(path + ".runs", "a") as runs:  # noqa: PTH123
        runs.write(f"{event.job_id} {event.run} {event.attempt}\n")
    inside.set()
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            os._exit(0)


def make(kind=Scheduler):
    scheduler = kind(LocalStorage(path, max_interruptions=3))
    scheduler.handle("held", held)
    return scheduler


def begun(scheduler):
    scheduler.start()
    assert inside.wait(20)


def exit_in_with():
    with make() as scheduler:
        begun(scheduler)
        sys.exit(0)


def exit_by_signal():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with make() as scheduler:
        begun(scheduler)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        scheduler.wait()


def drain_in_vain():
    scheduler = make()
    begun(scheduler)
    assert not scheduler.drain(0.05)
    scheduler.close()


def close_and_vanish():
    scheduler = make()
    begun(scheduler)
    scheduler.close()
    os._exit(0)


def close_and_be_killed():
    scheduler = make()
    begun(scheduler)
    scheduler.close()
    os.kill(os.getpid(), signal.SIGKILL)


def end_of_the_interpreter():
    begun(make())


async def close_on_the_loop():
    scheduler = make(AioScheduler)
    await scheduler.start()
    assert await asyncio.to_thread(inside.wait, 20)
    await scheduler.close()
    os._exit(0)


def async_handler():
    scheduler = Scheduler(LocalStorage(path, max_interruptions=3))
    scheduler.handle("held", held_on_loop)
    begun(scheduler)
    scheduler.close()
    time.sleep(20)  # it is cancelled, and ends the process


def vanish():
    begun(make())
    os._exit(0)


result = globals()[way]()
if asyncio.iscoroutine(result):
    asyncio.run(result)
