"""Workers are threads of `threading`: their stacks, names, tracers and forks, and what the system does not give."""

import contextlib
import importlib.util
import logging
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from waiting import until

from duewheel import Scheduler, StateError, _threads
from duewheel.testing import ManualClock

PATIENCE_S = 30


def run(code, timeout=60, **more):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        **more,
    )


def in_worker(look, workers=1):
    """Call something in a handler; what it returned."""
    seen = []
    with Scheduler(workers=workers) as scheduler:
        scheduler.handle("look", lambda event: seen.append(look()))
        scheduler.in_(0, "look")
        assert scheduler.wait(PATIENCE_S)
    return seen[0]


# --- stacks ---

RECURSES = """
import sys, threading
import duewheel
if len(sys.argv) > 1: threading.stack_size(int(sys.argv[1]))
attempts = []
scheduler = duewheel.Scheduler()
@scheduler.handler("deep")
def deep(event):
    attempts.append(event.attempt)
    def f(e=None): sorted([1], key=f)
    if event.attempt == 1:
        f()
    try:
        f()
    except RecursionError:
        print("caught at attempt", event.attempt)
with scheduler:
    scheduler.in_(0, "deep", min_backoff=0.001)
    assert scheduler.wait(30)
print(attempts, scheduler.stats().succeeded)
"""


def test_a_handler_that_recurses_through_c_fails_and_is_retried():
    ended = run(RECURSES)
    assert (ended.returncode, ended.stdout) == (0, "caught at attempt 2\n[1, 2] 1\n"), ended.stderr[-2_000:]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the stack's size as glibc tells it")
def test_the_stack_is_as_large_as_threading_makes_it():
    ended = run(
        """
        import ctypes, threading
        import duewheel
        libc = ctypes.CDLL(None)
        libc.pthread_self.restype = ctypes.c_void_p
        def size():
            attributes = ctypes.create_string_buffer(256)
            assert libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes) == 0
            address, size = ctypes.c_void_p(), ctypes.c_size_t()
            assert libc.pthread_attr_getstack(attributes, ctypes.byref(address), ctypes.byref(size)) == 0
            return size.value
        def of_plain_thread():
            sizes = []
            thread = threading.Thread(target=lambda: sizes.append(size()))
            thread.start(); thread.join()
            return sizes
        async def on_loop(event): sizes.append(size())
        for given in (0, 40 * 2**20):
            threading.stack_size(given)
            sizes = []
            with duewheel.Scheduler(workers=1) as scheduler:
                scheduler.handle("t", lambda event: sizes.append(size()))
                scheduler.handle("a", on_loop)
                scheduler.in_(0, "t"); scheduler.in_(0, "a")
                assert scheduler.wait(30)
            assert sizes == of_plain_thread() * 2, (given, sizes, of_plain_thread())
            assert given == 0 or sizes[0] >= given
        """
    )
    assert ended.returncode == 0, ended.stderr


# --- known to threading ---


def test_a_worker_is_named_and_enumerated(caplog):
    def look():
        here = threading.current_thread()
        logging.getLogger("app").warning("hello")
        return here, here in threading.enumerate()

    thread, enumerated = in_worker(look)
    assert enumerated
    assert (type(thread), thread.name, thread.daemon) == (threading.Thread, "duewheel-worker-1", True)
    assert [record.threadName for record in caplog.records if record.name == "app"] == ["duewheel-worker-1"]


def test_every_worker_has_a_name_of_its_own():
    names, all_are_here = set(), threading.Barrier(3)

    def handler(event):
        all_are_here.wait(PATIENCE_S)
        names.add(threading.current_thread().name)

    with Scheduler(workers=3) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_many([0] * 3, "t")
        assert scheduler.wait(PATIENCE_S)
    assert names == {f"duewheel-worker-{n}" for n in (1, 2, 3)}


def test_a_worker_that_has_ended_is_enumerated_no_longer():
    thread = in_worker(threading.current_thread)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert thread not in threading.enumerate()


@pytest.mark.parametrize("hook", ["settrace", "setprofile"])
def test_handlers_are_traced_and_profiled(hook):
    called = []

    def watch(frame, event, argument):
        if event == "call":
            called.append((frame.f_code.co_name, threading.current_thread().name))
        return watch

    def watched_on_worker(event):
        pass

    async def watched_on_loop(event):
        pass

    before = getattr(threading, hook.replace("set", "get"))()
    getattr(threading, hook)(watch)
    try:
        with Scheduler(workers=1) as scheduler:
            scheduler.handle("t", watched_on_worker)
            scheduler.handle("a", watched_on_loop)
            scheduler.in_(0, "t")
            scheduler.in_(0, "a")
            assert scheduler.wait(PATIENCE_S)
    finally:
        getattr(threading, hook)(before)
    assert ("watched_on_worker", "duewheel-worker-1") in called
    assert ("watched_on_loop", "duewheel-loop") in called


def test_a_tracer_that_ends_the_thread_leaves_no_count_behind():
    """What is not there when `start` is called again is made then."""
    ended = run(
        """
        import threading, duewheel
        threading.excepthook = lambda args: seen.append(args.exc_type)
        seen = []
        def trace(frame, event, argument):
            if frame.f_code.co_name == "run": raise LookupError  # the thread's own
        scheduler = duewheel.Scheduler(workers=2)
        scheduler.handle("t", lambda event: None)
        threading.settrace(trace)
        scheduler.start()
        for thread in threading.enumerate():
            if thread.name.startswith("duewheel"): thread.join()
        threading.settrace(None)
        assert seen, "nothing was traced"
        scheduler.start()
        scheduler.in_(0, "t")
        assert scheduler.wait(30)
        assert sum(t.name.startswith("duewheel-worker") for t in threading.enumerate()) == 2, threading.enumerate()
        scheduler.close()
        """
    )
    assert ended.returncode == 0, ended.stderr


# --- forks in handlers ---

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@fork
@pytest.mark.parametrize("logs", [True, False])
def test_a_process_of_multiprocessing_that_a_handler_forks_ends_well(logs):
    ended = run(
        f"""
        import logging, multiprocessing, warnings
        import duewheel
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from 3.12
        logging.basicConfig(level="CRITICAL")
        context = multiprocessing.get_context("fork")
        codes = []
        def child(queue): queue.put("from the child")
        scheduler = duewheel.Scheduler(workers=2)
        @scheduler.handler("t")
        def t(event):
            if {logs}: logging.getLogger("app").warning("about to fork")
            queue = context.SimpleQueue()
            process = context.Process(target=child, args=[queue])
            process.start()
            assert queue.get() == "from the child"
            process.join()
            codes.append(process.exitcode)
        with scheduler:
            scheduler.in_many([0] * 3, "t", retry_limit=0)
            assert scheduler.wait(30)
        assert codes == [0] * 3, codes
        """
    )
    assert ended.returncode == 0, ended.stderr


@fork
@pytest.mark.parametrize(
    ("ends", "code"),
    [("return", 0), ("raise SystemExit(0)", 0), ("os._exit(7)", 7), ("1 / 0", 0)],
    ids=["returns", "exits", "_exits", "raises"],
)
def test_a_child_that_a_handler_forks_runs_no_job_of_its_parent(ends, code):
    ended = run(
        f"""
        import os, warnings, duewheel
        warnings.simplefilter("ignore", DeprecationWarning)
        codes = []
        reads, writes = os.pipe()
        scheduler = duewheel.Scheduler(workers=1)
        @scheduler.handler("fork")
        def forks(event):
            child = os.fork()
            if child == 0:
                {ends}
                return
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        @scheduler.handler("after")
        def after(event):
            os.write(writes, b"x")
        with scheduler:
            scheduler.in_(0, "fork")
            scheduler.in_many([0] * 5, "after")
            assert scheduler.wait(30)
        assert os.read(reads, 100) == b"x" * 5
        assert codes == [{code}], codes
        """
    )
    assert ended.returncode == 0, ended.stderr
    assert "t failed" not in ended.stderr, "the child has reported a failed job"


# --- threads that the system does not give ---


def timers():
    """How many timers run in this process."""
    tasks = Path("/proc/self/task").glob("*/comm")
    names = []
    for task in tasks:
        with contextlib.suppress(OSError):  # it has ended
            names.append(task.read_text().strip())
    return names.count("duewheel-timer")


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("failing", range(1, 5))
@pytest.mark.parametrize("times", [1, 3])
def test_start_makes_what_an_earlier_one_could_not(monkeypatch, failing, times):
    until(lambda: timers() == 0)
    calls, start = [], threading.Thread.start

    def refuses(thread):
        calls.append(thread.name)
        if len(calls) in range(failing, failing + times):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuses)
    ran = threading.Barrier(5)
    scheduler = Scheduler(workers=4)
    scheduler.handle("t", lambda event: ran.wait(PATIENCE_S))
    scheduler.in_many([0] * 4, "t")
    errors = []
    for _ in range(times):
        with pytest.raises(RuntimeError, match="can't start new thread") as raised:
            scheduler.start()
        errors.append(raised)  # it refers to the frames of what could not start
        assert repr(scheduler) == "<duewheel.Scheduler stopped, 4 pending>"
    scheduler.start()
    ran.wait(PATIENCE_S)  # four workers run at once
    assert scheduler.wait(PATIENCE_S)
    assert timers() == 1
    assert len(calls) == 4 + times
    scheduler.start()
    assert (timers(), len(calls)) == (1, 4 + times)
    scheduler.close()
    until(lambda: timers() == 0)


def test_start_makes_a_loop_that_an_earlier_one_could_not(monkeypatch):
    start, refused = _threads.start, []

    def refuses(run, name):
        if name == "duewheel-loop" and not refused:
            refused.append(name)
            raise RuntimeError("can't start new thread")
        start(run, name)

    monkeypatch.setattr(_threads, "start", refuses)

    async def handler(event):
        ran.append(threading.current_thread().name)

    ran = []
    scheduler = Scheduler()
    scheduler.handle("a", handler)
    scheduler.in_(0, "a")
    with pytest.raises(RuntimeError, match="can't start new thread"):
        scheduler.start()
    assert repr(scheduler) == "<duewheel.Scheduler stopped, 1 pending>"
    scheduler.start()
    assert scheduler.wait(PATIENCE_S)
    assert ran == ["duewheel-loop"]
    scheduler.close()


def test_a_start_that_was_interrupted_can_be_made_again(monkeypatch):
    """By the way that `threading` takes, interrupted after the thread was made."""

    def interrupted(self, timeout=None):
        wait(self, timeout)
        if threading.current_thread() is threading.main_thread() and not raised:
            raised.append(1)
            raise KeyboardInterrupt
        return True

    raised, wait = [], threading.Event.wait
    scheduler = Scheduler(workers=2)
    scheduler.handle("t", lambda event: ran.wait(PATIENCE_S))
    ran = threading.Barrier(3)
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scheduler.start()
    monkeypatch.undo()
    scheduler.start()
    scheduler.in_many([0] * 2, "t")
    ran.wait(PATIENCE_S)
    assert scheduler.wait(PATIENCE_S)
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("duewheel-worker")]
    assert len(workers) <= 3, "the one whose start was interrupted may be about to end"
    scheduler.close()


# --- waiting for oneself ---


@pytest.mark.parametrize("call", ["drain", "wait", "run"])
@pytest.mark.parametrize("kind", ["worker", "loop"])
def test_a_call_that_waits_is_refused_by_all_schedulers_that_the_thread_is_inside_of(call, kind):
    clock, refused = ManualClock(), []
    outer, inner = Scheduler(), Scheduler(clock=clock)

    def refuses():
        for scheduler in (outer, inner):
            with pytest.raises(StateError, match="would wait for itself"):
                getattr(scheduler, call)()
            refused.append(scheduler)

    def in_inner(event):
        refuses()

    async def in_inner_on_loop(event):
        refuses()

    def in_outer(event):
        clock.advance(1)

    async def in_outer_on_loop(event):
        clock.advance(1)

    inner.handle("t", in_inner if kind == "worker" else in_inner_on_loop)
    inner.start()
    inner.in_(1, "t", retry_limit=0)
    outer.handle("t", in_outer if kind == "worker" else in_outer_on_loop)
    with outer:
        outer.in_(0, "t", retry_limit=0)
        assert outer.wait(PATIENCE_S)
    assert refused == [outer, inner]
    assert (outer.stats().succeeded, inner.stats().succeeded) == (1, 1)
    inner.close()


def test_after_the_inner_handler_the_outer_one_is_known_still():
    clock, seen = ManualClock(), []
    outer, inner = Scheduler(), Scheduler(clock=clock)
    inner.handle("t", lambda event: 1 / 0)
    inner.start()
    inner.in_(1, "t", retry_limit=0)

    def in_outer(event):
        logging.getLogger("duewheel").disabled = True
        clock.advance(1)
        logging.getLogger("duewheel").disabled = False
        assert inner.drain(PATIENCE_S), "the thread is inside of it no longer"
        with pytest.raises(StateError):
            outer.drain()
        seen.append(event)

    outer.handle("t", in_outer)
    with outer:
        outer.in_(0, "t", retry_limit=0)
        assert outer.wait(PATIENCE_S)
    assert len(seen) == 1
    inner.close()


# --- greenlets ---

needs_gevent = pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")


@needs_gevent
def test_under_gevent_workers_and_loop_are_native_threads():
    ended = run(
        """
        from gevent import monkey
        monkey.patch_all()
        import asyncio, threading, time
        import gevent, duewheel
        main = threading.get_native_id()
        seen, ticks = {}, []
        scheduler = duewheel.Scheduler(workers=2)
        @scheduler.handler("sync")
        def sync(event):
            time.sleep(0.05)  # gevent's: a native thread has a hub of its own
            seen["sync"] = threading.get_native_id()
        @scheduler.handler("async")
        async def on_loop(event):
            await asyncio.sleep(0.05)
            seen["async"] = threading.get_native_id()
        scheduler.start()
        scheduler.in_(0, "sync"); scheduler.in_(0, "async")
        while len(seen) < 2:
            ticks.append(1)
            gevent.sleep(0.001)  # greenlets go on meanwhile
        assert main not in seen.values() and len({*seen.values()}) == 2, seen
        assert len(ticks) > 1
        assert scheduler.wait(30) and scheduler.drain(30)  # the main thread is in no handler
        scheduler.close()
        """
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
