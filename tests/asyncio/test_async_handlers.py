"""Async handlers of a plain scheduler: tasks of an event loop in a thread of its own."""

import asyncio
import contextlib
import functools
import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref

import pytest

from duewheel import Consistency, Discard, Scheduler, Snooze, StateError, current_scheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")

PATIENCE_S = 10
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


def until(holds):
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


# How a handler ends


def test_a_handler_runs_on_the_loop_and_waits_there():
    seen = []

    async def handler(event):
        seen.append(threading.current_thread().name)
        await asyncio.sleep(0.001)
        seen.append((event.data, event.attempt, threading.current_thread().name))

    scheduler, _ = run(handler, data=b"x")
    assert seen == ["duewheel-loop", (b"x", 1, "duewheel-loop")]
    assert scheduler.stats().succeeded == 1


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_whatever_a_handler_raises_is_a_failure_that_is_retried(waits, error):
    attempts = []

    async def handler(event):
        attempts.append((event.run, event.attempt))
        if waits:
            await asyncio.sleep(0)
        if event.attempt < 3:
            raise error("no")

    scheduler, dead = run(handler, **AT_ONCE)
    assert attempts == [(1, 1), (2, 2), (3, 3)]
    assert (scheduler.stats().retried, scheduler.stats().succeeded, dead) == (2, 1, [])


@pytest.mark.parametrize("waits", [False, True])
def test_snooze_and_discard_steer(waits):
    attempts = []

    async def snoozes(event):
        attempts.append((event.run, event.attempt))
        if waits:
            await asyncio.sleep(0)
        if event.run == 1:
            raise Snooze(0)

    async def discards(event):
        if waits:
            await asyncio.sleep(0)
        raise Discard("enough")

    scheduler, dead = run(snoozes, discards)
    assert attempts == [(1, 1), (2, 1)]
    assert [(dead.reason, dead.error) for dead in dead] == [("discarded", "enough")]
    assert scheduler.stats().snoozed == 1


@pytest.mark.parametrize("waits", [False, True])
def test_at_most_once_is_never_tried_again(waits):
    starts = []

    async def fails(event):
        starts.append(event.attempt)
        if waits:
            await asyncio.sleep(0)
        raise ValueError

    _, dead = run(fails, consistency=Consistency.AT_MOST_ONCE)
    assert starts == [1]
    assert [dead.reason for dead in dead] == ["failed"]


async def the_innermost(waits):
    if waits:
        await asyncio.sleep(0)
    raise ValueError("deep down")


async def in_between(waits):
    await the_innermost(waits)


@pytest.mark.parametrize("waits", [False, True])
def test_the_traceback_of_a_failed_coroutine_is_whole(waits):
    async def outermost(event):
        await in_between(waits)

    _, dead = run(outermost, retry_limit=0)
    error = dead[0].error
    places = [error.index(f"in {name}\n") for name in ("outermost", "in_between", "the_innermost")]
    assert places == sorted(places)
    assert error.endswith("ValueError: deep down\n")


def test_a_failed_attempt_is_logged_with_its_traceback(caplog):
    logging.getLogger("duewheel").disabled = False

    async def fails(event):
        await the_innermost(True)

    run(fails, retry_limit=0)
    assert "in the_innermost" in caplog.text
    assert "deep down" in caplog.text


def test_a_manual_clock_runs_at_most_once_jobs_of_a_file_to_their_end(tmp_path):
    clock = ManualClock()
    seen = []

    async def handler(event):
        seen.append(clock.now())
        await asyncio.sleep(0)
        seen.append("ends")

    with Scheduler(tmp_path / "a.db", clock=clock) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(5, "t", consistency=Consistency.AT_MOST_ONCE)
        clock.advance(10)
        assert seen == [5.0, "ends"]
        assert scheduler.stats().running == 0


# What is a handler


class Callable:
    """Called by a coroutine."""

    def __init__(self):
        self.seen = []

    async def __call__(self, event):
        await asyncio.sleep(0)
        self.seen.append(event.data)

    async def method(self, event):
        await asyncio.sleep(0)
        self.seen.append(event.data)


class Awaitable:
    """Awaited, though no coroutine."""

    def __init__(self, done):
        self.done = done

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        self.done()


def test_all_that_is_called_by_a_coroutine_is_an_async_handler():
    called = Callable()
    threads = []

    async def takes_more(more, event, *, also):
        await asyncio.sleep(0)
        threads.append((more, also, threading.current_thread().name))

    @functools.wraps(takes_more)
    def decorated(event):
        return takes_more(1, event, also=4)

    @functools.wraps(takes_more)
    def gives_an_awaitable(event):
        return Awaitable(lambda: threads.append((1, 5, threading.current_thread().name)))

    partial = functools.partial(functools.partial(takes_more, 1), also=2)
    scheduler, _ = run(called, called.method, partial, decorated, gives_an_awaitable, data=b"x")
    assert called.seen == [b"x"] * 2
    assert sorted(threads) == [(1, also, "duewheel-loop") for also in (2, 4, 5)]
    assert scheduler.stats().succeeded == 5


class Looks:
    """Looks like a coroutine function, and is none."""

    __name__, __defaults__, __kwdefaults__, __annotations__ = "looks", None, None, {}
    __code__ = Callable.method.__code__

    def __call__(self, event):
        return 7


def test_an_async_handler_that_returns_nothing_to_await_has_failed():
    _, dead = run(Looks(), retry_limit=0)
    assert "an async handler must return an awaitable, not 7" in dead[0].error


# Context and tasks


def test_the_current_scheduler_is_right_everywhere():
    seen = []

    async def spawned():
        seen.append(current_scheduler())
        await asyncio.sleep(0)
        seen.append(current_scheduler())

    async def handler(event):
        seen.append(current_scheduler())
        task = asyncio.create_task(spawned())
        await asyncio.sleep(0)
        seen.append(current_scheduler())
        await task
        await asyncio.to_thread(lambda: seen.append(current_scheduler()))

    scheduler, _ = run(handler)
    assert seen == [scheduler] * 5


def test_a_handler_has_a_context_of_its_own():
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)
    seen = []

    async def handler(event):
        seen.append(variable.get())
        variable.set(1)
        await asyncio.sleep(0)
        seen.append(variable.get())

    run(handler, handler, handler)
    assert sorted(seen) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_has_its_task_in_every_step(waits):
    seen = []

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert isinstance(task, asyncio.Task)
        seen.append(task is asyncio.current_task())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(PATIENCE_S)
        async with asyncio.TaskGroup() as group:
            own = group.create_task(asyncio.sleep(0, "x"))
        seen.append(own.result())
        with pytest.raises(ExceptionGroup):  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                group.create_task(the_innermost(False))
                await asyncio.sleep(PATIENCE_S)
        assert task.cancelling() == 0
        seen.append(await asyncio.wait_for(asyncio.sleep(0, "y"), PATIENCE_S))

    _, dead = run(handler, retry_limit=0)
    assert not dead, dead[0].error
    assert seen == [True, "x", "y"]


LOOKS = {
    "keeps it": lambda task, kept: kept.append(task),
    "names it": lambda task, kept: task.set_name("mine"),
    "adds a callback": lambda task, kept: task.add_done_callback(kept.append),
    "puts it into a weak set": lambda task, kept: kept[0].add(task),
    "refers to it weakly": lambda task, kept: kept.append(weakref.ref(task)),
    "sees its id": lambda task, kept: kept.append(task.get_name()),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_handlers_that_look_at_their_task_never_share_one(look):
    kept, names = [weakref.WeakSet()], []

    async def looks(event):
        task = asyncio.current_task()
        look(task, kept)

    async def checks(event):
        task = asyncio.current_task()
        names.append(task.get_name())
        assert all(task is not other and task != other for other in kept[1:])
        assert task not in kept[0]
        assert task.get_name() != "mine"

    _, dead = run(*[looks, checks] * 20, retry_limit=0)
    assert not dead, dead[0].error
    assert len(set(names)) == 20


def test_done_callbacks_run_once_when_their_handler_ends():
    order = []

    async def handler(event):
        task = asyncio.current_task()
        task.add_done_callback(lambda done: order.append(("done", event.data, done is task, done.cancelled())))
        if event.data == b"waits":
            await asyncio.sleep(0)
        order.append(("ends", event.data))

    with Scheduler() as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(0, "t", b"waits")
        scheduler.in_(0, "t", b"does not")
        assert scheduler.wait(PATIENCE_S)
        until(lambda: len(order) == 4)
    for data in (b"waits", b"does not"):
        assert order.index(("ends", data)) < order.index(("done", data, True, False))


# Limits and order


@pytest.mark.parametrize("tasks", [1, 3])
def test_never_more_than_so_many_at_once(tasks):
    running, most, sync = set(), [], []

    async def handler(event):
        running.add(event.job_id)
        most.append(len(running))
        for _ in range(3):
            await asyncio.sleep(0)
        running.discard(event.job_id)

    with Scheduler(tasks=tasks) as scheduler:
        scheduler.handle("async", handler)
        scheduler.handle("sync", sync.append)
        scheduler.in_many([0] * 600, "async")
        scheduler.in_many([0] * 600, "sync")
        assert scheduler.wait(PATIENCE_S)
        scheduler._check()
    assert max(most) == tasks
    assert (len(most), len(sync)) == (600, 600)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "2", None])
def test_a_limit_that_is_none_is_refused(wrong):
    if wrong is None:
        Scheduler(tasks=None).close()
        return
    with pytest.raises((TypeError, ValueError)):
        Scheduler(tasks=wrong)


@pytest.mark.parametrize("full", ["async", "sync"])
def test_a_full_lane_does_not_hold_up_the_other(full):
    gate, ran = threading.Event(), []

    async def waits(event):
        while not gate.is_set():
            await asyncio.sleep(0.001)

    async def ends(event):
        ran.append(event)

    with Scheduler(tasks=2, workers=2) as scheduler:
        if full == "async":
            scheduler.handle("full", waits)
            scheduler.handle("free", ran.append)
        else:
            scheduler.handle("full", lambda event: gate.wait())
            scheduler.handle("free", ends)
        scheduler.in_many([0] * 700, "full")
        scheduler.in_many([0] * 700, "free")
        until(lambda: len(ran) == 700 and scheduler.stats().pending <= 698)  # the full one may come to its start later
        assert scheduler.stats().pending == 698
        scheduler._check()
        gate.set()
        assert scheduler.wait(PATIENCE_S)
    assert scheduler.stats().succeeded == 1_400


@pytest.mark.parametrize("tasks", [1, 1_000])
def test_the_order_of_due_and_sequence_holds_in_the_lane(tasks):
    ran, beside = [], []

    async def handler(event):
        ran.append(int(event.data))
        await asyncio.sleep(0)

    with Scheduler(tasks=tasks, workers=1) as scheduler:
        scheduler.handle("async", handler)
        scheduler.handle("sync", lambda event: beside.append(int(event.data)))
        scheduler.drain()
        for number in range(900):
            target = "sync" if number % 3 == 0 else "async"
            scheduler.at(1_000_000_000 - number // 7, target, b"%d" % number)
        scheduler.start()
        assert scheduler.wait(PATIENCE_S)
    order = sorted(range(900), key=lambda number: (-(number // 7), number))
    assert ran == [number for number in order if number % 3]
    assert beside == [number for number in order if number % 3 == 0]


def test_a_target_may_change_its_lane():
    seen = []

    async def on_loop(event):
        seen.append(threading.current_thread().name)

    def on_worker(event):
        seen.append(threading.current_thread().name)

    with Scheduler(tasks=1) as scheduler:
        for handler in [on_loop, on_worker, on_loop]:
            deregister = scheduler.handle("t", handler)
            scheduler.in_many([0] * 300, "t")
            assert scheduler.wait(PATIENCE_S)
            deregister()
        assert [name == "duewheel-loop" for name in seen] == [True] * 300 + [False] * 300 + [True] * 300
        deregister = scheduler.handle("t", on_loop)
        scheduler.in_many([0] * 2_000, "t")
        deregister()
        before = len(seen)
        scheduler._check()
        scheduler.handle("t", on_worker)
        assert scheduler.wait(PATIENCE_S)
        # Without the interpreter's lock, one may have been under way.
        assert seen[before:].count("duewheel-loop") <= (0 if getattr(sys, "_is_gil_enabled", lambda: True)() else 1)
        scheduler._check()
    assert len(seen) == 2_900


# Draining and closing


def test_drain_waits_for_what_has_started_and_it_starts_again():
    ended = []

    async def handler(event):
        await asyncio.sleep(0.02)
        ended.append(event)

    with Scheduler(tasks=3) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_many([0] * 10, "t")
        until(lambda: scheduler.stats().running)
        assert not scheduler.drain(0)
        assert scheduler.drain(PATIENCE_S)
        assert 0 < len(ended) <= 3
        assert scheduler.stats().pending == 10 - len(ended)
        scheduler.start()
        assert scheduler.wait(PATIENCE_S)
    assert len(ended) == 10


def test_close_cancels_and_counts():
    seen = []

    async def handler(event):
        seen.append("began")
        try:
            await asyncio.sleep(PATIENCE_S)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    scheduler = Scheduler()
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_many([0] * 5, "t")
    until(lambda: len(seen) == 5)
    scheduler.close()
    assert scheduler.drain(PATIENCE_S)
    assert seen == ["began"] * 5 + ["cancelled"] * 5
    assert scheduler.stats().dropped == 5
    until(lambda: not loop_threads())


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("manual", [False, True])
def test_a_handler_that_closes_its_scheduler_goes_on_and_the_others_do_not(manual, before, after):
    clock = ManualClock() if manual else None
    scheduler = Scheduler(clock=clock)
    seen = []

    async def other(event):
        await asyncio.sleep(PATIENCE_S)

    async def handler(event):
        for _ in range(before):
            await asyncio.sleep(0)
        scheduler.close()
        for _ in range(after):
            await asyncio.sleep(0.001)
        seen.append("went on")

    scheduler.handle("other", other)
    scheduler.handle("t", handler)
    scheduler.start()
    if not manual:
        scheduler.in_(0, "other")  # a manual clock has it end first
    scheduler.in_(0, "t")
    if manual:
        clock.advance(0)
    until(lambda: seen)
    assert scheduler.drain(PATIENCE_S)
    stats = scheduler.stats()
    assert (stats.succeeded, stats.dropped) == (1, 0 if manual else 1)
    until(lambda: not loop_threads())
    if manual:
        assert scheduler._event_loop.events.is_closed()


def test_what_swallows_its_cancellation_keeps_nobody():
    let_go, began = threading.Event(), threading.Event()

    async def handler(event):
        began.set()
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                continue

    scheduler = Scheduler()
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(0, "t")
    assert began.wait(PATIENCE_S)
    scheduler.close()
    assert not scheduler.drain(0.01)
    let_go.set()
    assert scheduler.drain(PATIENCE_S)
    assert scheduler.stats().succeeded == 1
    until(lambda: not loop_threads())


def test_what_handlers_have_spawned_is_cancelled_with_the_loop():
    seen = []

    async def lingers():
        try:
            await asyncio.sleep(PATIENCE_S)
        finally:
            seen.append("ended")

    tasks = []

    async def handler(event):
        tasks.append(asyncio.create_task(lingers()))
        await asyncio.sleep(0)

    run(handler)
    until(lambda: not loop_threads())
    assert seen == ["ended"]
    assert tasks[0].cancelled()


@pytest.mark.parametrize("manual", [False, True])
def test_what_handlers_have_spawned_does_not_keep_the_loop_by_swallowing_its_cancellation(manual):
    async def swallows():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(PATIENCE_S)

    tasks = []

    async def handler(event):
        tasks.append(asyncio.create_task(swallows()))
        await asyncio.sleep(0)

    clock = ManualClock() if manual else None
    scheduler = Scheduler(clock=clock)
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(0, "t")
    if manual:
        clock.advance(0)
    else:
        assert scheduler.wait(PATIENCE_S)
    scheduler.close()
    until(lambda: not loop_threads() and scheduler._event_loop.events.is_closed())
    assert not tasks.pop().done()


@pytest.mark.parametrize("waits", [False, True])
def test_what_would_wait_for_itself_is_refused(waits):
    refused = []

    async def tries(scheduler):
        for call in (scheduler.drain, scheduler.wait, scheduler.run):
            try:
                call()
            except StateError:
                refused.append(call)

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        await tries(current_scheduler())
        await asyncio.create_task(tries(current_scheduler()))

    _, dead = run(handler, retry_limit=0)
    assert not dead, dead[0].error
    assert len(refused) == 6


def test_a_scheduler_that_nobody_refers_to_is_closed():
    async def handler(event):
        pass

    scheduler = Scheduler()
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(3600, "t")
    gone = weakref.ref(scheduler)
    with pytest.warns(ResourceWarning, match=r"unclosed <duewheel.Scheduler started, 1 pending>"):  # noqa: PT031
        del scheduler
        gc.collect()
    gc.collect()  # the warning's record had it
    assert gone() is None
    until(lambda: not loop_threads())


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")
def test_nothing_is_left_of_many():
    async def handler(event):
        await asyncio.sleep(0)

    def once():
        run(handler, handler)
        until(lambda: not loop_threads())

    once()
    gc.collect()
    before = descriptors(), threading.active_count()
    for _ in range(50):
        once()
    gc.collect()
    until(lambda: (descriptors(), threading.active_count()) <= before)


# The end of the interpreter

HEAD = """
import asyncio, sys, threading, time
import duewheel
scheduler = duewheel.Scheduler(tasks=2_000)
inside = threading.Semaphore(0)
async def sleeps(event):
    inside.release()
    await asyncio.sleep(60)
async def swallows(event):
    inside.release()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
async def spins(event):
    inside.release()
    while True: pass
async def reschedules(event):
    inside.release()
    try:
        scheduler.in_(0, "t")
    except duewheel.ClosedError:
        pass
def go(handler, count=1):
    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_many([0] * count, "t")
    for _ in range(count): inside.acquire()
"""
EXITS = {
    "idle": "scheduler.handle('t', sleeps); scheduler.start()",
    "one sleeps": "go(sleeps)",
    "many sleep": "go(sleeps, 1_000)",
    "one swallows its cancellation": "go(swallows)",
    "one spins": "go(spins)",
    "busy": "go(reschedules)",
    "closed": "go(sleeps, 3); scheduler.close()",
}


@pytest.mark.parametrize("code", EXITS.values(), ids=EXITS.keys())
def test_the_interpreter_ends(code):
    for _ in range(3):
        program = HEAD + textwrap.dedent(code) + "\nsys.exit(3)"
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert ended.returncode == 3, ended.stderr
        assert "Traceback" not in ended.stderr and "panic" not in ended.stderr


def test_no_coroutine_is_left_unawaited_by_a_drain():
    async def handler(event):
        await asyncio.sleep(0)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(*[handler] * 10)
        gc.collect()


def test_a_scheduler_on_a_manual_clock_is_closed_from_within_another_loop():
    ran = []

    async def handler(event):
        await asyncio.sleep(0.001)
        ran.append(event.attempt)

    async def main():
        clock = ManualClock()
        scheduler = Scheduler(clock=clock)
        scheduler.handle("t", handler)
        scheduler.start()
        scheduler.in_(1, "t")
        clock.advance(5)
        scheduler.close()

    asyncio.run(main())
    assert ran == [1]
