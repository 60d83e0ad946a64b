"""What a closed scheduler held is given back when its last handler has ended, without the collector."""

import subprocess
import sys
import textwrap

import pytest

PATIENCE_S = 60

HEAD = """
import asyncio, gc, os, sys, threading, time, weakref
gc.disable()
import duewheel
from duewheel import aio
from duewheel.testing import ManualClock
asyncio.new_event_loop().close()  # what the process holds from then on

def held():
    "What descriptors and threads this process has."
    links = []
    for name in os.listdir("/proc/self/fd"):
        try: links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError: pass  # that of the listing
    return sorted(links), len(os.listdir("/proc/self/task")), threading.active_count()

def until(holds):
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, (held(), before)
        time.sleep(0.001)

class Handler:
    def __init__(self, scheduler): self.scheduler = scheduler
    def __call__(self, event): pass

before = held()
"""


def child(code):
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""


linux = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
pytestmark = linux

STAYS_CLOSED = """
assert scheduler.drain() and scheduler.stats().running == 0
scheduler.close()
scheduler.close()
deregister()
for call in (scheduler.start, scheduler.wait, scheduler.__len__, lambda: scheduler.in_(1, "t")):
    try: call()
    except duewheel.ClosedError: pass
    else: raise AssertionError(call)
assert repr(scheduler) == "<duewheel.Scheduler closed>"
"""


@pytest.mark.parametrize("ran", [False, True], ids=["never started", "started"])
@pytest.mark.parametrize("more", ["", "clock=clock"], ids=["threads", "manual clock"])
@pytest.mark.parametrize("loop", [False, True], ids=["sync", "with a loop"])
def test_a_closed_scheduler_gives_all_back_though_its_handlers_refer_to_it(ran, more, loop):
    child(
        f"""
        clock = ManualClock()
        scheduler = duewheel.Scheduler({more})
        handler = Handler(scheduler)
        gone = weakref.ref(handler)
        deregister = scheduler.handle("t", handler)
        del handler
        if {loop}:
            async def on_loop(event): scheduler
            scheduler.handle("a", on_loop)
        if {ran}:
            scheduler.start()
            scheduler.in_(0, "t")
            if {loop}: scheduler.in_(0, "a")
            if {bool(more)}: clock.advance(0)
            assert scheduler.wait(30)
        scheduler.close()
        until(lambda: held() == before)
        until(lambda: gone() is None)
        {textwrap.indent(STAYS_CLOSED, " " * 8).strip()}
        ended = weakref.ref(scheduler)
        del scheduler, deregister, call
        {"del on_loop" if loop else ""}
        until(lambda: ended() is None)
        """
    )


@pytest.mark.parametrize("closes", ["scheduler.close()", "event.set"], ids=["the handler closes", "closed meanwhile"])
def test_the_last_handler_gives_it_back(closes):
    child(
        f"""
        inside, go_on = threading.Event(), threading.Event()
        scheduler = duewheel.Scheduler(workers=3)
        class Waits(Handler):
            def __call__(self, event):
                {closes if closes == "scheduler.close()" else "pass"}
                inside.set()
                go_on.wait()
        handler = Waits(scheduler)
        gone = weakref.ref(handler)
        deregister = scheduler.handle("t", handler)
        del handler
        scheduler.start()
        scheduler.in_(0, "t")
        inside.wait()
        scheduler.close()
        # What nobody needs while it runs is given back at once: the timer and its descriptors, idle workers.
        until(lambda: held()[0] == before[0] and held()[2] == before[2] + 1)
        assert gone() is not None
        assert not scheduler.drain(0)
        go_on.set()
        until(lambda: held() == before)
        until(lambda: gone() is None)
        {textwrap.indent(STAYS_CLOSED, " " * 8).strip()}
        """
    )


def test_an_async_handler_that_closes_its_scheduler_gives_it_back():
    child(
        """
        class Closes(Handler):
            async def __call__(self, event):
                await asyncio.sleep(0)
                scheduler.close()
                await asyncio.sleep(0.01)
        scheduler = duewheel.Scheduler()
        handler = Closes(scheduler)
        gone = weakref.ref(handler)
        scheduler.handle("a", handler)
        del handler
        scheduler.start()
        scheduler.in_(0, "a")
        until(lambda: held() == before)
        until(lambda: gone() is None)
        assert scheduler.stats().succeeded == 1
        """
    )


def test_on_the_loop_of_its_user_it_is_given_back_too():
    child(
        """
        async def main():
            before = held()
            scheduler = aio.Scheduler()
            async def on_loop(event): scheduler
            handler = Handler(scheduler)
            gone = weakref.ref(handler)
            scheduler.handle("a", on_loop)
            scheduler.handle("t", handler)
            del handler
            async with scheduler:
                await scheduler.in_(0, "a")
                await scheduler.in_(0, "t")
                assert await scheduler.wait(30)
            until(lambda: held() == before)
            until(lambda: gone() is None)
            assert await scheduler.drain() and scheduler.stats().succeeded == 2
            await scheduler.close()
        asyncio.run(main())
        """
    )


def test_under_a_manual_clock_it_is_given_back_too():
    child(
        """
        clock = ManualClock()
        scheduler = duewheel.Scheduler(clock=clock)
        class Closes(Handler):
            def __call__(self, event): scheduler.close()
        handler = Closes(scheduler)
        gone = weakref.ref(handler)
        scheduler.handle("t", handler)
        del handler
        scheduler.start()
        scheduler.in_(1, "t")
        clock.advance(1)
        assert gone() is None and held() == before
        """
    )


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_the_files_of_a_store_are_given_back_too(tmp_path, durability):
    child(
        f"""
        storage = duewheel.LocalStorage({str(tmp_path / "jobs.db")!r}, durability={durability!r})
        scheduler = duewheel.Scheduler(storage)
        handler = Handler(scheduler)
        gone = weakref.ref(handler)
        deregister = scheduler.handle("t", handler)
        del handler
        scheduler.start()
        scheduler.in_(0, "t")
        assert scheduler.wait(30)
        scheduler.close()
        until(lambda: held() == before)
        until(lambda: gone() is None)
        {textwrap.indent(STAYS_CLOSED, " " * 8).strip()}
        """
    )
