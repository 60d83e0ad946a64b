"""`run` and `with`, and what ends them: signals, timeouts, interrupts and cancellations. In real processes."""

import asyncio
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from duewheel import LocalStorage, NopScheduler, Scheduler, aio

PATIENCE_S = 30

HEAD = """
import asyncio, os, signal, sys, threading, time
import duewheel
from duewheel import aio
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests run in the background of a shell
signal.signal(signal.SIGTERM, signal.SIG_DFL)
face, loops = sys.argv[1:3]
scheduler = (duewheel if face == "sync" else aio).Scheduler(sys.argv[3] if len(sys.argv) > 3 else None)
inside, go_on = threading.Event(), threading.Event()

def say(*what):
    print(*what, flush=True)

def hangs(event):
    inside.set()
    go_on.wait(60)
    say("handler ended")

def send(*numbers):
    "Send signals to this process, once the handler runs, one after another."
    def sends():
        inside.wait()
        for number in numbers:
            if callable(number):
                number()
                continue
            before = core._started
            os.kill(os.getpid(), number)
            while core._started: time.sleep(0.001)  # it has been seen
    threading.Thread(target=sends, daemon=True).start()

core = scheduler if face == "sync" else scheduler._core
scheduler.handle("hangs", hangs)

async def awaited(**options):
    try:
        await scheduler.run(**options)
    finally:
        say("closed" if scheduler._core._closed else "open")

def run(**options):
    if face == "sync":
        try:
            return scheduler.run(**options)
        finally:
            say("closed" if scheduler._closed else "open")
    if loops == "uvloop":
        import uvloop
        return uvloop.run(awaited(**options))
    return asyncio.run(awaited(**options))

def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]

def schedule():
    (scheduler if face == "sync" else scheduler._core).in_(0, "hangs")

def schedule_later():
    "Schedule when `run` notes signals."
    def schedules():
        while handlers()[1] == before[1]: time.sleep(0.001)
        schedule()
    threading.Thread(target=schedules, daemon=True).start()

before = handlers()
"""

TAIL = """
assert handlers() == before, handlers()
assert signal.set_wakeup_fd(-1) == -1
say("returned")
"""

FACES = [("sync", "none"), ("aio", "asyncio"), ("aio", "uvloop")]


@pytest.fixture(params=FACES, ids=["sync", "asyncio", "uvloop"])
def face(request):
    if request.param[1] == "uvloop":
        pytest.importorskip("uvloop")
    return request.param


def child(face, code, *arguments, timeout=PATIENCE_S):
    program = HEAD + textwrap.dedent(code) + TAIL
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *face, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_the_first_signal_drains_and_closes(face, number):
    ended = child(
        face,
        f"""
        schedule()
        send(signal.{number}, lambda: say("drains" if not core._closed else "closed"), go_on.set)
        run()
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "drains\nhandler ended\nclosed\nreturned\n"), ended.stderr
    assert ended.stderr == ""


def test_a_signal_that_finds_nothing_running_ends_it_at_once(face):
    ended = child(face, "inside.set(); threading.Timer(0.2, send, [signal.SIGTERM]).start(); run()")
    assert (ended.returncode, ended.stdout) == (0, "closed\nreturned\n"), ended.stderr


def test_the_second_signal_closes_at_once(face):
    ended = child(
        face,
        """
        schedule()
        send(signal.SIGTERM, signal.SIGTERM)
        run()
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "closed\nreturned\n"), ended.stderr


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_a_second_ctrl_c_closes_at_once_and_goes_on(face, first):
    ended = child(
        face,
        f"""
        schedule()
        send(signal.{first}, signal.SIGINT)
        try:
            run()
        except KeyboardInterrupt:
            say("interrupted")
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "closed\ninterrupted\nreturned\n"), ended.stderr


@pytest.mark.parametrize("timeout", ["0.05", "0", "__import__('datetime').timedelta(milliseconds=50)"])
def test_the_drain_ends_with_its_timeout(face, timeout):
    ended = child(
        face,
        f"""
        schedule()
        send(signal.SIGTERM)
        run(drain_timeout={timeout})
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "closed\nreturned\n"), ended.stderr


@pytest.mark.parametrize("ends", ["send(signal.SIGTERM, signal.SIGTERM)", "send(signal.SIGTERM); timeout = 0.05"])
def test_a_with_around_it_does_not_wait_for_what_run_gave_up(face, ends):
    ended = child(
        face,
        f"""
        timeout = None
        schedule_later()
        {ends}
        if face == "sync":
            with scheduler:
                scheduler.run(drain_timeout=timeout)
        else:
            async def main():
                async with scheduler:
                    await scheduler.run(drain_timeout=timeout)
            asyncio.run(main())
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "returned\n"), ended.stderr


def test_signals_are_those_that_are_given(face):
    ended = child(
        face,
        """
        schedule()
        send(signal.SIGUSR1, go_on.set)
        run(signals=[signal.SIGUSR1, 10, signal.SIGUSR1])
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "handler ended\nclosed\nreturned\n"), ended.stderr
    ended = child(face, "inside.set(); threading.Timer(0.2, send, [signal.SIGTERM]).start(); run(signals=())")
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "")


def test_an_exception_of_another_handler_closes_and_goes_on():
    for raised in ("SystemExit(4)", "LookupError", "KeyboardInterrupt"):
        ended = child(
            FACES[0],
            f"""
            def raises(number, frame): raise {raised}
            signal.signal(signal.SIGUSR1, raises)
            before = handlers()
            schedule()
            send(signal.SIGUSR1)
            try:
                run()
            except BaseException as error:
                say(repr(error))
            """,
        )
        expected = f"closed\n{raised}{'' if raised.endswith(')') else '()'}\nreturned\n"
        assert (ended.returncode, ended.stdout) == (0, expected), ended.stderr


def test_in_a_thread_no_signal_is_handled(face):
    ended = child(
        face,
        """
        thread = threading.Thread(target=run)
        thread.start()
        while not core._started: time.sleep(0.001)
        assert handlers() == before
        core.drain()
        thread.join()
        core.close()
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "open\nreturned\n"), ended.stderr


def test_drained_by_another_thread_it_returns_open(face):
    ended = child(face, "threading.Timer(0.2, core.drain).start(); run(); core.close()")
    assert (ended.returncode, ended.stdout) == (0, "open\nreturned\n"), ended.stderr


def test_the_file_is_free_when_it_has_returned(face, tmp_path):
    path = tmp_path / "jobs.db"
    ended = child(face, "schedule(); send(signal.SIGTERM, go_on.set); run()", path)
    assert ended.returncode == 0, ended.stderr
    with Scheduler(path) as scheduler:
        assert len(scheduler) == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
@pytest.mark.parametrize(
    ("signals", "error", "message"),
    [
        (("x",), TypeError, "'x'"),
        ((True,), TypeError, "True"),
        ((1.0,), TypeError, "1.0"),
        ("SIGTERM", TypeError, "'SIGTERM'"),
        (None, TypeError, "None"),
        (15, TypeError, "15"),
        ((0,), ValueError, "0 is no signal"),
        ((10_000,), ValueError, "10000 is no signal"),
        ((signal.SIGINT, getattr(signal, "SIGKILL", 9)), ValueError, "SIGKILL cannot be handled"),
        ((getattr(signal, "SIGSTOP", 19),), ValueError, "SIGSTOP cannot be handled"),
    ],
)
def test_what_is_no_signal_is_refused(signals, error, message):
    before = signal.getsignal(signal.SIGINT)
    scheduler = Scheduler()
    with pytest.raises(error, match=message):
        scheduler.run(signals=signals)
    with pytest.raises(error, match=message):
        asyncio.run(aio.Scheduler().run(signals=signals))
    assert repr(scheduler) == "<duewheel.Scheduler stopped, 0 pending>"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True])
def test_what_is_no_timeout_is_refused(timeout):
    for run in (Scheduler().run, lambda **given: asyncio.run(aio.Scheduler().run(**given))):
        with pytest.raises((TypeError, ValueError), match="timeout"):
            run(drain_timeout=timeout)


def test_a_child_that_a_handler_forks_is_ended_by_its_signal():
    ended = child(
        FACES[0],
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        context = multiprocessing.get_context("fork")
        def forks(event):
            ready = context.Event()
            def sleeps():
                ready.set()
                while True:
                    time.sleep(1)
            process = context.Process(target=sleeps)
            process.start()
            ready.wait()
            # From 3.13 on a child that a thread forks hears of a signal only where one ends a sleep.
            while process.is_alive():
                process.terminate()
                process.join(0.05)
            say(process.exitcode)
            os.kill(os.getpid(), signal.SIGTERM)
        scheduler.handle("forks", forks)
        scheduler.in_(0, "forks", retry_limit=0)
        run()
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, f"{-signal.SIGTERM}\nclosed\nreturned\n"), ended.stderr


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_scheduler_that_does_nothing_ends_by_the_same_signals(number):
    ended = child(
        FACES[0],
        f"""
        nop = duewheel.NopScheduler()
        threading.Timer(0.2, os.kill, [os.getpid(), signal.{number}]).start()
        nop.run(drain_timeout="whatever")
        nop.run(signals=("x",))  # closed
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "returned\n"), ended.stderr
    assert NopScheduler().wait()


# --- with ---


def test_ctrl_c_while_with_drains_closes_and_goes_on(tmp_path):
    ended = child(
        FACES[0],
        """
        try:
            with scheduler:
                schedule()
                inside.wait()
                threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
        except KeyboardInterrupt:
            say("interrupted", scheduler)
        go_on.set()
        """,
        tmp_path / "jobs.db",
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("interrupted <duewheel.Scheduler closed>\n")


async def cancelled(kept, call, path):
    scheduler = aio.Scheduler(path if kept else None)
    inside, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hangs(event):
        loop.call_soon_threadsafe(inside.set)
        go_on.wait(PATIENCE_S)

    scheduler.handle("hangs", hangs)

    async def runs():
        if call == "async with":
            async with scheduler:
                await scheduler.in_(0, "hangs")
                await inside.wait()
        else:
            await scheduler.in_(0, "hangs")
            await scheduler.run(drain_timeout=None if call == "run cancelled twice" else 0.01)

    task = asyncio.ensure_future(runs())
    await inside.wait()
    while scheduler._core._started:
        await asyncio.sleep(0.001)
        if call != "async with":
            task.cancel()
    if call != "run":
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert repr(scheduler) == "<duewheel.aio.Scheduler closed>"
    go_on.set()
    assert await scheduler.drain(PATIENCE_S)


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("call", ["async with", "run", "run cancelled twice"])
def test_cancelled_while_it_drains_it_closes_and_goes_on(kept, call, tmp_path):
    asyncio.run(asyncio.wait_for(cancelled(kept, call, tmp_path / "jobs.db"), PATIENCE_S))
    if kept:
        Scheduler(LocalStorage(tmp_path / "jobs.db")).close()
