"""The example of orders that expire: in virtual time, and as the program that it is."""

import importlib.util
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from duewheel import DuplicateJobError, Scheduler
from duewheel.testing import ManualClock

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "orders.py"
EVENING = datetime(2027, 1, 1, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("orders", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clock():
    return ManualClock(EVENING, raise_errors=True)


def test_an_order_that_is_paid(example, clock, tmp_path):
    sent = []
    with Scheduler(tmp_path / "orders.db", clock=clock) as scheduler:
        orders = example.Orders(scheduler, lambda to, text: sent.append(text))
        orders.place(17, "ada")
        with pytest.raises(DuplicateJobError):
            orders.place(17, "ada")
        clock.advance(timedelta(minutes=25))
        assert sent == ["order 17 is not paid yet"]
        assert orders.pay(17)
        assert not orders.pay(17)
        clock.advance(timedelta(days=1))
        assert len(sent) == 1 and len(scheduler) == 0


def test_an_order_that_expires_over_a_restart(example, clock, tmp_path):
    sent = []
    for minutes in (25, 10):
        with Scheduler(tmp_path / "orders.db", clock=clock) as scheduler:
            orders = example.Orders(scheduler, lambda to, text: sent.append(text))
            if minutes == 25:
                orders.place(17, "ada")
            clock.advance(timedelta(minutes=minutes))
    assert sent == ["order 17 is not paid yet", "order 17 has expired"]


def test_a_mail_server_that_is_down(example, tmp_path, quiet):
    clock = ManualClock(EVENING)  # the errors are meant
    calls = []

    def down(to, text):
        calls.append(text)
        if "expired" not in text or len(calls) < 10:
            raise example.MailServerDownError("try again")

    with Scheduler(tmp_path / "orders.db", clock=clock) as scheduler:
        example.Orders(scheduler, down).place(17, "ada")
        clock.advance(timedelta(days=2))
        assert calls == ["order 17 is not paid yet"] * 4 + ["order 17 has expired"] * 6
        assert [dead.event.target for dead in scheduler.dead()] == ["order.remind"]


def test_a_report_every_night(example, clock, tmp_path):
    sent = []
    with Scheduler(tmp_path / "orders.db", clock=clock) as scheduler:
        orders = example.Orders(scheduler, lambda to, text: sent.append((to, clock.now())))
        for _ in range(2):  # as after a restart
            orders.schedule_report(EVENING)
        clock.advance(timedelta(days=3))
    midnights = [datetime(2027, 1, day, tzinfo=UTC).timestamp() for day in (2, 3, 4)]
    assert sent == [("the shop", midnight) for midnight in midnights]


def test_after_a_long_time_somebody_has_to_look(example, clock, tmp_path):
    path = tmp_path / "orders.db"
    with Scheduler(path, clock=clock) as scheduler:
        example.Orders(scheduler).place(17, "ada")
    clock.advance(timedelta(days=3))
    with Scheduler(path, clock=clock) as scheduler:
        example.Orders(scheduler, lambda to, text: None)
        clock.advance(1)
        assert [dead.reason for dead in scheduler.dead()] == ["discarded"]


@contextmanager
def program(path, end):
    """The program, ended by a signal: what it is told is answered."""
    command = [sys.executable, str(EXAMPLE), str(path), "--remind", "1000", "--expire", "0.1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:

        def tell(line, until):
            running.stdin.write(line + "\n")
            running.stdin.flush()
            said = [running.stdout.readline()]
            while until not in said[-1]:
                assert said[-1], "it has ended"
                said.append(running.stdout.readline())
            return "".join(said)

        try:
            yield tell
            running.send_signal(end)
            assert running.wait(30) == 0
        finally:
            running.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_program(tmp_path):
    # At any time of the day: the report at midnight may come before the reminder, or meanwhile.
    with program(tmp_path / "orders.db", signal.SIGTERM) as tell:
        tell("place 17", "mail to ada@example.org: order 17 has expired\n")
        assert " remind-17\n" in tell("list", " pending\n")
        tell("pay 17", "too late\n")
    with program(tmp_path / "orders.db", signal.SIGINT) as tell:
        # It runs jobs, so that run() has the signals.
        tell("place 18", "mail to ada@example.org: order 18 has expired\n")
        assert " remind-17\n" not in tell("list", " pending\n")
