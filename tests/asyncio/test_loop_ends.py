"""What would end an event loop: the lane of async handlers goes on, and nobody waits for ever."""

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from async_jobs import loop_threads
from waiting import PATIENCE_S, until

from duewheel import Consistency, Scheduler, aio
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="closes a descriptor of epoll")
ENDS = [lambda: sys.exit(3), lambda: signal.default_int_handler(2, None)]
EXITS = pytest.mark.parametrize("ends", ENDS, ids=["SystemExit", "KeyboardInterrupt"])
WAITS = pytest.mark.parametrize("waits", [False, True], ids=["first step", "later step"])
CLOCKS = pytest.mark.parametrize("manual", [False, True], ids=["real clock", "manual clock"])


class Lane:
    """A scheduler with two async handlers, one of which does harm."""

    def __init__(self, harms, manual, **job_options):
        self.clock = ManualClock() if manual else None
        self.harmed, self.ran = [], []
        self.scheduler = Scheduler(clock=self.clock)

        async def harmful(event):
            self.harmed.append(event.attempt)
            await harms(event)

        async def harmless(event):
            await asyncio.sleep(0.001)
            self.ran.append(event.data)

        with self.scheduler as scheduler:
            scheduler.handle("harmful", harmful)
            scheduler.handle("harmless", harmless)
            scheduler.in_(0, "harmful", **job_options)
            scheduler.in_(0, "harmless", b"beside")
            self.go_on()
            scheduler.in_(0, "harmless", b"after")
            self.go_on()
            scheduler._check()
            self.dead = list(scheduler.dead())
            assert scheduler.drain(PATIENCE_S)
        assert sorted(self.ran) == [b"after", b"beside"]
        until(lambda: scheduler._event_loop.asyncio_loop.is_closed() and not loop_threads())

    def go_on(self):
        if self.clock:
            self.clock.advance(0)
        assert self.scheduler.wait(PATIENCE_S)


@EXITS
@WAITS
@CLOCKS
def test_an_exit_in_an_awaited_task_fails_the_attempt_alone(ends, waits, manual, caplog):
    logging.getLogger("duewheel").disabled = False

    async def exits():
        if waits:
            await asyncio.sleep(0)
        ends()

    async def harms(event):
        if waits:
            await asyncio.sleep(0)
        await asyncio.gather(exits(), asyncio.sleep(0.01))

    lane = Lane(harms, manual, retry_limit=1, min_backoff=0, max_backoff=0)
    assert lane.harmed == [1, 2]
    assert [dead.reason for dead in lane.dead] == ["failed"]
    assert "in exits" in lane.dead[0].error
    messages = [record.getMessage() for record in caplog.records if record.name == "duewheel"]
    assert sum("failed at attempt 1 and will be retried" in message for message in messages) == 1
    assert sum("failed at attempt 2 and is dead" in message for message in messages) == 1


@EXITS
@CLOCKS
def test_an_exit_in_a_task_or_callback_that_nobody_awaits_is_logged(ends, manual, caplog):
    logging.getLogger("duewheel").disabled = False

    async def exits():
        ends()

    async def harms(event):
        loop = asyncio.get_running_loop()
        for callback in (ends, ends):
            loop.call_soon(callback)
        task = loop.create_task(exits())
        await asyncio.sleep(0.01)
        assert isinstance(task.exception(), SystemExit | KeyboardInterrupt)

    lane = Lane(harms, manual, retry_limit=0)
    assert lane.dead == []
    stopped = [record for record in caplog.records if "stopped the event loop" in record.getMessage()]
    assert len(stopped) == 3
    assert all(record.exc_info for record in stopped)


@WAITS
@CLOCKS
def test_a_handler_that_stops_the_loop_goes_on(waits, manual, caplog):
    logging.getLogger("duewheel").disabled = False
    ended = []

    async def harms(event):
        if waits:
            await asyncio.sleep(0)
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        ended.append(event.attempt)

    lane = Lane(harms, manual)
    assert ended == [1]
    assert lane.dead == []
    assert "was stopped, and goes on" in caplog.text


@EXITS
@CLOCKS
def test_an_exit_in_an_exception_handler(ends, manual):
    async def harms(event):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: ends())
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.001)

    assert Lane(harms, manual).dead == []


@EXITS
@CLOCKS
def test_an_exit_in_a_callback_of_a_future_and_of_the_handlers_own_task(ends, manual):
    async def harms(event):
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda future: ends())
        asyncio.current_task().add_done_callback(lambda task: ends())
        future.set_result(None)
        await asyncio.sleep(0.001)

    assert Lane(harms, manual).dead == []


@EXITS
@CLOCKS
def test_an_exit_in_what_is_cancelled_with_the_loop(ends, manual):
    tasks, generators = [], []

    async def exits_late():
        try:
            await asyncio.sleep(3600)
        finally:
            ends()

    async def generates():
        try:
            yield
        finally:
            await asyncio.sleep(0)
            ends()

    async def harms(event):
        tasks.append(asyncio.create_task(exits_late()))
        generators.append(generates())
        await anext(generators[0])

    Lane(harms, manual)
    assert tasks[0].done()
    with contextlib.suppress(BaseException):
        tasks[0].result()


MISUSES = {
    "runs another loop": lambda: asyncio.run(asyncio.sleep(0)),
    "runs its own": lambda: asyncio.get_running_loop().run_until_complete(asyncio.sleep(0)),
    "runs it twice": lambda: asyncio.get_running_loop().run_until_complete(asyncio.get_running_loop().create_future()),
    "closes it": lambda: asyncio.get_running_loop().close(),
}


@pytest.mark.filterwarnings("ignore:coroutine 'sleep' was never awaited")
@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
@WAITS
@CLOCKS
def test_a_loop_that_is_misused_refuses_and_goes_on(misuse, waits, manual):
    async def harms(event):
        if waits:
            await asyncio.sleep(0)
        misuse()

    dead = Lane(harms, manual, retry_limit=0).dead
    assert len(dead) == 1
    assert "RuntimeError" in dead[0].error
    gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("consistency", list(Consistency))
@CLOCKS
def test_a_loop_that_was_closed_is_replaced_and_what_ran_there_has_failed(manual, consistency, caplog):
    logging.getLogger("duewheel").disabled = False
    loops = []

    async def harms(event):
        loop = asyncio.get_running_loop()
        loops.append(loop)
        if len(loops) == 1:
            stop = loop.stop

            def closes():
                stop()
                loop.call_soon = lambda *arguments, **keywords: None
                threading.Thread(target=close).start()

            def close():
                until(lambda: not loop.is_running())
                loop.close()

            loop.run_forever = functools.partial(_lost, loop)  # what is next is not run any more
            closes()
            await asyncio.sleep(3600)

    def _lost(loop):
        until(loop.is_closed)
        type(loop).run_forever(loop)

    retries = {"retry_limit": 1, "min_backoff": 0, "max_backoff": 0}
    options = retries if consistency is Consistency.AT_LEAST_ONCE else {}
    lane = Lane(harms, manual, consistency=consistency, **options)
    if options:
        assert lane.harmed == [1, 2]
        assert loops[0] is not loops[1]
        assert lane.dead == []
    else:
        assert lane.harmed == [1]
        assert [dead.reason for dead in lane.dead] == ["failed"]
    assert "the event loop was closed while this ran" in caplog.text


@LINUX
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_whose_selector_is_broken_is_replaced():
    ran = []

    async def harms(event):
        loop = asyncio.get_running_loop()
        ran.append(loop)
        if event.attempt == 1:
            loop._selector.close()
        await asyncio.sleep(0)

    lane = Lane(harms, False, retry_limit=1, min_backoff=0, max_backoff=0)
    assert (lane.harmed, lane.dead, len(set(ran))) == ([1, 2], [], 2)
    del lane
    ran.clear()
    gc.collect()  # such a loop cannot be closed whole


# On the user's loop


@EXITS
@WAITS
def test_on_the_users_loop_an_exit_ends_it_as_ever_and_the_attempt_has_failed(ends, waits, tmp_path):
    attempts, ran = [], []
    scheduler = aio.Scheduler(tmp_path / "jobs.db")

    async def exits():
        ends()

    @scheduler.handler("exits")
    async def handler(event):
        attempts.append((event.run, event.attempt))
        if waits:
            await asyncio.sleep(0)
        if event.attempt == 1:
            await asyncio.gather(exits(), asyncio.sleep(0.001))

    @scheduler.handler("harmless")
    async def harmless(event):
        ran.append(event.data)

    async def main():
        await scheduler.start()
        await scheduler.in_(0, "exits", min_backoff=0, max_backoff=0)
        await scheduler.wait(PATIENCE_S)
        raise AssertionError("the loop went on")

    with pytest.raises((SystemExit, KeyboardInterrupt)):
        asyncio.run(main())

    async def again():
        async with scheduler:
            await scheduler.in_(0, "harmless", b"x")
            assert await scheduler.wait(PATIENCE_S)
            scheduler._core._check()

    asyncio.run(again())
    assert attempts == [(1, 1), (2, 2)]
    assert ran == [b"x"]
    stats = scheduler.stats()
    assert (stats.succeeded, stats.retried, stats.running) == (2, 1, 0)


@EXITS
def test_a_users_loop_that_is_stopped_and_run_again_has_its_lane(ends):
    loop = asyncio.new_event_loop()
    ran, errors = [], []
    scheduler = aio.Scheduler(tasks=2)

    @scheduler.handler("t")
    async def handler(event):
        ran.append(event.data)
        if event.data == b"stops":
            loop.stop()
        elif event.data == b"exits":
            loop.call_soon(ends)
        await asyncio.sleep(0.001)

    async def begin():
        await scheduler.start()
        for number in range(40):
            data = {10: b"stops", 20: b"exits"}.get(number, b"%d" % number)
            await scheduler.in_(0, "t", data)

    async def end():
        assert await scheduler.wait(PATIENCE_S)
        await scheduler.close()

    loop.run_until_complete(begin())
    ending = loop.create_task(end())
    while not ending.done():
        ending.add_done_callback(lambda _: loop.stop())
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            errors.append(error)
    ending.result()
    loop.close()
    assert len(ran) == len(set(ran)) == 40
    assert len(errors) == 1
    assert scheduler.stats().succeeded == 40


# Ctrl-C, which is for who runs the loop

INTERRUPTED = """
import asyncio, os, signal, threading
from duewheel import Scheduler
from duewheel.testing import ManualClock

clock = ManualClock()
scheduler = Scheduler(clock=clock)

@scheduler.handler("t")
async def handler(event):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    await asyncio.sleep(3600)

scheduler.start()
scheduler.in_(0, "t")
try:
    clock.advance(0)
except KeyboardInterrupt:
    print("interrupted", scheduler.stats().running)
scheduler.close()
print("closed", scheduler.drain(5))
"""


def test_ctrl_c_ends_an_advance_that_waits_for_a_handler():
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED)], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "interrupted 1\nclosed True\n", ended.stderr
