"""Life in a process: exits, forks, Ctrl-C, handlers that hang."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

HEAD = """
import logging, os, sys, time, threading, signal
import duewheel
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests run in the background of a shell
scheduler = duewheel.Scheduler(workers=2)
inside = threading.Event()
def spin(event):
    inside.set()
    while True: pass
def sleep(event):
    inside.set()
    time.sleep(60)
def schedule(event):
    while True: scheduler.in_many([3600.0] * 10_000, "z")
class Write(logging.Handler):
    null = os.open(os.devnull, os.O_WRONLY)
    def emit(self, record): os.write(self.null, b"failed")
def log_elsewhere():
    logging.getLogger("duewheel").addHandler(Write())
    logging.getLogger("duewheel").propagate = False
class End:
    def __del__(self, sleep=time.sleep): sleep(0.02)  # the interpreter ends slowly, and lets others run
end = [End() for _ in range(5)]
"""


def run(code, timeout=30, **more):
    program = HEAD + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=timeout,
        **more,
    )


EXITS = {
    "never started": "scheduler.in_(3600, 't')",
    "started and idle": "scheduler.start(); scheduler.in_(3600, 't')",
    "busy": "scheduler.handle('t', lambda e: scheduler.in_(0, 't')); scheduler.start(); scheduler.in_(0, 't')",
    "a handler sleeps": "scheduler.handle('t', sleep); scheduler.start(); scheduler.in_(0, 't'); inside.wait()",
    "a handler spins": "scheduler.handle('t', spin); scheduler.start(); scheduler.in_(0, 't'); inside.wait()",
    "handlers fail": "log_elsewhere(); scheduler.handle('t', lambda e: 1 / 0); scheduler.start(); "
    "scheduler.in_many([0] * 100_000, 't', retry_limit=0)",
    "handlers schedule": "log_elsewhere(); scheduler.handle('t', schedule); scheduler.start(); "
    "scheduler.in_many([0] * 2, 't')",
    "closed": "scheduler.start(); scheduler.close()",
    "default": "duewheel.in_(3600, 't')",
}


def test_threads_that_end_with_the_interpreter_say_nothing():
    # Their last steps are Python's: it must not have cleared its modules before them.
    for _ in range(5):
        ended = run(
            """
            sys.setswitchinterval(1e-6)
            schedulers = [duewheel.Scheduler(workers=20) for _ in range(5)]
            for scheduler in schedulers: scheduler.start()
            """
        )
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("code", EXITS.values(), ids=EXITS.keys())
@pytest.mark.parametrize("status", [0, 3])
def test_the_interpreter_ends(code, status):
    ended = run(f"{code}\nsys.exit({status})")
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr and "panic" not in ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_is_refused_and_the_parent_goes_on():
    ended = run("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from 3.12
        ran = []
        scheduler.handle("t", lambda event: ran.append(1))
        scheduler.start()
        scheduler.in_(0.05, "t")
        for call in range(20):
            child = os.fork()
            if child == 0:
                codes = []
                for call in (scheduler.stats, lambda: scheduler.in_(1, "t"), scheduler.close, scheduler.drain):
                    try:
                        call()
                        os._exit(1)
                    except duewheel.ForkedError:
                        pass
                with duewheel.Scheduler() as own:
                    own.handle("t", lambda event: None)
                    own.in_(0, "t")
                    assert own.wait(10)
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert scheduler.wait(10) and ran == [1]
        """)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("call", ["scheduler.wait()", "scheduler.drain()"])
def test_ctrl_c_ends_a_wait(call):
    ended = run(f"""
        scheduler.handle("t", sleep)
        scheduler.start()
        scheduler.in_(0, "t")
        inside.wait()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted")
        """)
    assert (ended.returncode, ended.stdout) == (0, "interrupted\n"), ended.stderr


def test_ctrl_c_ends_run_which_drains_and_closes():
    ended = run("""
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t")
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        scheduler.run()
        print(scheduler.stats().succeeded, scheduler)
        """)
    assert ended.stdout == "1 <duewheel.Scheduler closed>\n", ended.stderr


def test_a_hanging_handler_leaves_the_other_workers():
    ended = run("""
        done = []
        scheduler.handle("hang", sleep)
        scheduler.handle("t", lambda event: done.append(1))
        scheduler.start()
        scheduler.in_(0, "hang")
        inside.wait()
        scheduler.in_many([0] * 100, "t")
        while len(done) < 100: time.sleep(0.001)
        assert not scheduler.drain(0.05)
        """)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_a_thousand_exits_and_two_hundred_forks():
    codes = list(EXITS.values())
    for number in range(1_000):
        ended = run(f"{codes[number % len(codes)]}\nsys.exit(5)")
        assert ended.returncode == 5, (codes[number % len(codes)], ended.stderr)
    for _ in range(10):
        test_a_forked_child_is_refused_and_the_parent_goes_on()


def test_sigterm_ends_it():
    ended = run("scheduler.start(); scheduler.in_(3600, 't'); os.kill(os.getpid(), signal.SIGTERM)")
    assert ended.returncode == -signal.SIGTERM


# --- what Python does while the interpreter ends ---

SCHEDULES_AS_IT_IS_TOLD = """
kept, told = [], []
class Schedules(logging.Handler):
    def emit(self, record):
        told.append(record.getMessage())
        {does}
logging.getLogger("duewheel").addHandler(Schedules())
logging.getLogger("duewheel").propagate = False
scheduler.start()
scheduler.in_(3600, "t")
"""

AT_THE_END = {
    "schedules on the default": "duewheel.in_(3600, 't')",
    "makes and starts one": "kept.append(duewheel.Scheduler()); kept[-1].start(); kept[-1].in_(0, 't')",
    "makes and closes one": "with duewheel.Scheduler() as made: made.stats()",
}


@pytest.mark.parametrize("does", AT_THE_END.values(), ids=AT_THE_END.keys())
@pytest.mark.parametrize("default", [False, True], ids=["no default", "with a default"])
def test_a_logger_may_use_schedulers_while_the_interpreter_closes_them(does, default):
    code = SCHEDULES_AS_IT_IS_TOLD.format(does=does)
    ended = run(code + ("duewheel.in_(3600, 't')\n" if default else "") + "sys.exit(3)", timeout=20)
    assert (ended.returncode, ended.stderr) == (3, "")


ENDS_SLOWLY = """
import contextvars
kept = []
async def swallows(event):
    import asyncio
    inside.set()
    while True:  # the exit waits for it a while
        try: await asyncio.sleep(0.01)
        except asyncio.CancelledError: pass
def handler(event):
    inside.wait()
    while not scheduler._closed: time.sleep(0.001)
    contextvars.Context().run(do)
    os.write(1, b"made")
def do():
    {does}
scheduler.handle("a", swallows)
scheduler.handle("t", handler)
scheduler.start()
scheduler.in_(0, "a")
scheduler.in_(0, "t")
while scheduler.stats().running < 2: time.sleep(0.001)
"""


@pytest.mark.parametrize("does", AT_THE_END.values(), ids=AT_THE_END.keys())
def test_a_handler_may_make_schedulers_while_the_interpreter_ends(does):
    ended = run(ENDS_SLOWLY.format(does=does), timeout=20)
    assert (ended.returncode, ended.stdout) == (0, "made"), ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CPython refuses to fork at its end")
def test_a_child_that_is_forked_while_schedulers_are_closed_has_its_own():
    ended = run(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        codes = []
        class Forks(logging.Handler):
            def emit(self, record):
                child = os.fork()
                if child == 0:
                    with duewheel.Scheduler() as own:
                        own.handle("t", lambda event: codes.append(1))
                        own.in_(0, "t")
                        own.wait(10)
                    os._exit(7 if codes else 8)
                os.write(1, b"child: %d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        logging.getLogger("duewheel").addHandler(Forks())
        logging.getLogger("duewheel").propagate = False
        scheduler.start()
        scheduler.in_(3600, "t")
        """,
        timeout=20,
    )
    assert (ended.returncode, ended.stdout) == (0, "child: 7"), ended.stderr
