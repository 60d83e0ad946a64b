"""What plugins are told: of each attempt, of deaths, of times that were missed, of parked targets, of a lost store."""

import asyncio
import logging
import re
import subprocess
import sys
import threading

import pytest
from waiting import until

from duewheel import Consistency, Discard, Event, NopScheduler, Scheduler, Snooze, StateError, aio, current_event
from duewheel.plugins import AttemptOutcome
from duewheel.testing import ManualClock


class Listening:
    """Notes all that it is told."""

    def __init__(self):
        self.told = []

    def ended(self, event, outcome):
        self.told.append((event.target, event.attempt, outcome.state, type(outcome.error).__name__))

    def dead(self, dead):
        self.told.append(("dead", dead.event.job_id, dead.reason))

    def missed(self, repeat, count):
        self.told.append(("missed", repeat.id, count))

    def parked(self, target):
        self.told.append(("parked", target))


@pytest.fixture
def plugin():
    return Listening()


@pytest.fixture
def clock():
    return ManualClock()


def steps(event):
    if event.run == 1:
        raise Snooze(1)
    if event.attempt == 1:
        raise ValueError("no")


async def steps_on_loop(event):
    await asyncio.sleep(0)
    steps(event)


async def steps_at_once(event):
    steps(event)


def steps_later(event):
    return steps_on_loop(event)


@pytest.mark.parametrize("handler", [steps, steps_on_loop, steps_at_once, steps_later])
@pytest.mark.parametrize("in_file", [False, True])
def test_each_attempt_and_what_became_of_it(clock, quiet, plugin, tmp_path, handler, in_file):
    with Scheduler(tmp_path / "jobs.db" if in_file else None, clock=clock, plugins=[plugin]) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(1, "t")
        clock.advance(60)
    assert plugin.told == [
        ("t", 1, "snoozed", "Snooze"), ("t", 1, "retry", "ValueError"), ("t", 2, "succeeded", "NoneType")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "options", "reason"),
    [
        (Discard("gone"), {}, "discarded"),
        (ValueError("no"), {"retry_limit": 0}, "failed"),
        (ValueError("no"), {"consistency": Consistency.AT_MOST_ONCE}, "failed"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_deaths(clock, quiet, raised, options, reason, is_async, tmp_path):
    deaths = []

    class Plugin:
        def dead(self, dead):
            deaths.append(dead)

    def fails(event):
        raise raised

    async def fails_on_loop(event):
        raise raised

    for storage in (None, tmp_path / "jobs.db"):
        with Scheduler(storage, clock=clock, plugins=[Plugin()]) as scheduler:
            scheduler.handle("t", fails_on_loop if is_async else fails)
            scheduler.in_(1, "t", b"data", id="x", **options)
            clock.advance(1)
            assert deaths == list(scheduler.dead())
            assert (deaths[0].reason, deaths[0].event.data) == (reason, b"data")
            deaths.clear()


def test_a_dead_occurrence_of_a_repeat(clock, quiet, plugin):
    def fails(event):
        raise ValueError

    with Scheduler(clock=clock, plugins=[plugin]) as scheduler:
        scheduler.repeated(10, target="r", retry_limit=0)(fails)
        clock.advance(25)
        assert plugin.told == [("r", 1, "dead", "ValueError"), ("dead", "r", "failed")] * 2


def test_times_that_were_missed(clock, plugin, tmp_path):
    path = tmp_path / "jobs.db"
    with Scheduler(path, clock=clock) as scheduler:
        scheduler.repeat(10, "r", id="r")
    clock.advance(35)
    with Scheduler(path, clock=clock, plugins=[plugin]) as scheduler:
        scheduler.handle("r", lambda event: None)
        clock.advance(0)
    assert plugin.told == [("missed", "r", 2), ("r", 1, "succeeded", "NoneType")]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_target_without_a_handler(plugin, by_hand):
    clock = ManualClock() if by_hand else None
    told = threading.Event()

    class Tells:
        def parked(self, target):
            told.set()

    with Scheduler(clock=clock, plugins=[plugin, Tells()]) as scheduler:
        scheduler.in_(0, "nobody")
        scheduler.in_(0, "nobody")
        if clock is not None:
            clock.advance(0)
        assert told.wait(30)
    assert plugin.told == [("parked", "nobody")]


def test_the_awaited_scheduler(quiet, plugin):
    async def main():
        async with aio.Scheduler(plugins=[plugin]) as scheduler:

            @scheduler.handler("t")
            async def t(event):
                await asyncio.sleep(0)
                if event.attempt == 1:
                    raise ValueError

            await scheduler.in_(0, "t", min_backoff=0)
            await scheduler.wait(30)
            await scheduler.in_(0, "t", retry_limit=0, id="x")
            await scheduler.wait(30)

    asyncio.run(main())
    assert plugin.told == [
        ("t", 1, "retry", "ValueError"), ("t", 2, "succeeded", "NoneType"), ("t", 1, "dead", "ValueError"),
        ("dead", "x", "failed"),
    ]  # fmt: skip


KILLED = """
import os, sys
from duewheel import Consistency, Scheduler
with Scheduler(sys.argv[1]) as scheduler:
    scheduler.handle("t", lambda event: os._exit(9))
    scheduler.in_(0, "t", b"data", id="once", consistency=Consistency.AT_MOST_ONCE)
    scheduler.wait()
"""


@pytest.mark.parametrize("by_awaiting", [False, True])
def test_those_that_an_earlier_life_has_interrupted(tmp_path, plugin, by_awaiting):
    path = tmp_path / "jobs.db"
    ran = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60, check=False)
    assert ran.returncode == 9

    async def main():
        async with aio.Scheduler(path, plugins=[plugin]) as scheduler:
            await scheduler.start()

    for _ in range(2):  # told once: the next life finds it in the list of the dead
        if by_awaiting:
            asyncio.run(main())
        else:
            with Scheduler(path, plugins=[plugin]) as scheduler:
                scheduler.start()
                assert [dead.reason for dead in scheduler.dead()] == ["interrupted"]
    assert plugin.told == [("dead", "once", "interrupted")]


def test_what_closing_cuts_short_is_no_attempt_that_has_ended(plugin, quiet, tmp_path):
    began = []
    with Scheduler(tmp_path / "jobs.db", plugins=[plugin]) as scheduler:

        @scheduler.handler("t")
        async def t(event):
            began.append(event)
            await asyncio.sleep(3600)

        scheduler.in_(0, "t")
        scheduler.in_(0, "t", id="once", consistency=Consistency.AT_MOST_ONCE)
        until(lambda: len(began) == 2)
        scheduler.close()
        assert scheduler.drain(30)
    assert plugin.told == [("t", 1, "dead", "CancelledError"), ("dead", "once", "interrupted")]


def test_what_a_plugin_raises_is_logged_and_changes_nothing(clock, caplog):
    class Breaks:
        def ended(self, *arguments):
            raise ZeroDivisionError("broken plugin")

        dead = parked = missed = ended

    plugin = Listening()
    with Scheduler(clock=clock, plugins=[Breaks(), plugin]) as scheduler, caplog.at_level(logging.ERROR, "duewheel"):
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t")
        scheduler.in_(0, "nobody")
        clock.advance(0)
        assert scheduler.stats().succeeded == 1
    assert plugin.told == [("t", 1, "succeeded", "NoneType"), ("parked", "nobody")]
    records = [record for record in caplog.records if "plugin" in record.getMessage()]
    assert [record.levelname for record in records] == ["ERROR", "ERROR"]
    assert "failed in ended" in records[0].getMessage() and "failed in parked" in records[1].getMessage()
    assert str(records[0].exc_info[1]) == "broken plugin"


def test_a_hook_cannot_wait_for_its_own_scheduler(caplog):
    """The attempt of which it is told runs until it returns."""
    refused = []

    class Waits:
        def ended(self, event, outcome):
            with pytest.raises(StateError) as found:
                scheduler.wait()
            refused.append((found.type, current_event() is event))

    with Scheduler(plugins=[Waits()]) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t")
        assert scheduler.wait(30)
    assert refused == [(StateError, True)]


def test_hooks_that_it_has_not_cost_no_call(clock):
    """`None` says that there is none."""

    class Plugin:
        ended = None

        def parked(self, target): ...

    with Scheduler(clock=clock, plugins=[Plugin()]) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t")
        clock.advance(0)
        assert scheduler.stats().succeeded == 1


class WithoutHooks:
    def arround(self, event): ...


class Awaited:
    async def ended(self, event, outcome): ...


class Wrong:
    dead = 5


@pytest.mark.parametrize(
    ("plugins", "said"),
    [
        (5, "plugins must be an iterable of plugins, not 5: write plugins=[…]"),
        (None, "plugins must be an iterable of plugins, not None"),
        ("around", "plugins must be an iterable of plugins, not 'around'"),
        (Listening(), "write plugins=[…]"),
        ([Listening], "a plugin must be an object, not the class Listening: make one"),
        (
            [None],
            "one of around, scheduling, ended, dead, missed, parked, store_failed, and None has none",
        ),
        ([Listening(), WithoutHooks()], "has none"),
        ([Awaited()], "must be a plain function"),
        ([Wrong()], "dead of the plugin"),
    ],
)
@pytest.mark.parametrize("kind", [Scheduler, aio.Scheduler])
def test_what_is_no_plugin(kind, plugins, said):
    with pytest.raises(TypeError, match=re.escape(said)):
        kind(plugins=plugins)


def test_plugins_may_be_any_iterable(clock):
    plugin = Listening()
    with Scheduler(clock=clock, plugins=(one for one in [plugin])) as scheduler:
        scheduler.in_(0, "nobody")
        clock.advance(0)
    assert plugin.told == [("parked", "nobody")]
    assert NopScheduler(plugins=5).in_(0, "t") == ""


def test_an_outcome_is_a_value():
    outcome = AttemptOutcome("retry", ValueError("x"))
    with pytest.raises(AttributeError):
        outcome.state = "dead"
    assert repr(outcome) == "AttemptOutcome(state='retry', error=ValueError('x'))"
    assert isinstance(Event, type)
