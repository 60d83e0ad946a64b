"""Handlers inside the application context of Flask."""

import asyncio
import json
import sys

import flask
import pytest

import duewheel.flask
from duewheel import ClosedError, NopScheduler, Scheduler, StateError, aio
from duewheel.testing import ManualClock


@pytest.fixture
def app():
    return flask.Flask("shop")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def scheduler(clock):
    scheduler = Scheduler(clock=clock)
    scheduler.start()
    yield scheduler
    scheduler.close()


def test_handlers_registered_before_and_after_have_the_application(app, scheduler, clock):
    said = []

    def note(event):
        said.append((event.target, flask.current_app.name, "seen" in flask.g))
        flask.g.seen = True

    async def note_on_loop(event):
        await asyncio.sleep(0)
        note(event)

    scheduler.handle("before", note)
    scheduler.handle("before, async", note_on_loop)
    duewheel.flask.init_app(app, scheduler)
    scheduler.handle("after", note)
    scheduler.handle("returned", lambda event: note_on_loop(event))
    targets = ["before", "before, async", "after", "returned"]
    for target in targets * 2:
        scheduler.in_(0, target)
    clock.advance(0)
    expected = [(target, "shop", False) for target in targets] * 2
    assert sorted(said) == sorted(expected), "each attempt has a g of its own"
    assert app.extensions["duewheel"] is scheduler
    assert not flask.has_app_context()


def test_teardown_is_called_once_an_attempt_with_what_it_raised(app, scheduler, clock, quiet):
    torn = []
    app.teardown_appcontext(torn.append)
    duewheel.flask.init_app(app, scheduler)

    @scheduler.handler("t")
    def fails(event):
        if event.attempt == 1:
            raise ValueError

    scheduler.in_(0, "t", min_backoff=1, max_backoff=1)
    clock.advance(1)
    assert [type(error) for error in torn] == [ValueError, type(None)]


def test_deregister_still_takes_out_what_was_wrapped(app, scheduler, clock):
    ran = []
    deregister = scheduler.handle("t", ran.append)
    other = scheduler.handle("u", ran.append)
    other()
    duewheel.flask.init_app(app, scheduler)
    deregister()
    scheduler.in_(0, "t")
    clock.advance(0)
    assert (ran, scheduler.stats().parked) == ([], 1)
    scheduler.handle("t", ran.append)
    clock.advance(0)
    assert len(ran) == 1


def test_it_is_outside_of_plugins(app, clock):
    seen = []

    class Plugin:
        def around(self, event):
            seen.append(flask.current_app.name)
            return self

        def __enter__(self): ...
        def __exit__(self, *_): ...

    with Scheduler(clock=clock, plugins=[Plugin()]) as scheduler:
        scheduler.handle("before", print)
        duewheel.flask.init_app(app, scheduler)
        scheduler.handle("after", print)
        scheduler.in_(0, "before")
        scheduler.in_(0, "after")
        clock.advance(0)
    assert seen == ["shop", "shop"]


def test_controls_of_a_target_outlive_the_wrapping(app, clock):
    running, most = [], []

    async def handler(event):
        running.append(event)
        most.append(len(running))
        await asyncio.sleep(0)
        running.remove(event)

    with Scheduler(clock=clock) as scheduler:
        scheduler.handle("t", handler, concurrency=1)
        duewheel.flask.init_app(app, scheduler)
        for _ in range(5):
            scheduler.in_(0, "t")
        clock.advance(0)
    assert most == [1] * 5


def test_an_awaited_scheduler(app):
    said = []

    async def main():
        async with aio.Scheduler() as scheduler:
            scheduler.handle("t", lambda event: said.append(flask.current_app.name))
            duewheel.flask.init_app(app, scheduler)
            await scheduler.in_(0, "t")
            await scheduler.wait(30)

    asyncio.run(main())
    assert said == ["shop"]


@pytest.mark.skipif(sys.platform == "win32", reason="no file is shared there")
@pytest.mark.parametrize("is_first", [False, True])
def test_a_scheduler_that_shares_its_file(app, path, is_first):
    """Its handlers are inside wherever they run: in the owner, and in a client that becomes one."""
    said = []
    first = Scheduler(path, share=True)
    scheduler = first if is_first else Scheduler(path, share=True)
    scheduler.handle("before", lambda event: said.append(flask.current_app.name))
    duewheel.flask.init_app(app, scheduler)
    scheduler.handle("after", lambda event: said.append(flask.current_app.name))
    scheduler.start()
    if not is_first:
        first.close()
    scheduler.in_(0, "before")
    scheduler.in_(0, "after")
    assert scheduler.wait(30) and scheduler.role == "owner"
    with pytest.raises(StateError, match="run in a Flask application"):
        duewheel.flask.init_app(flask.Flask("other"), scheduler)
    scheduler.close()
    assert said == ["shop", "shop"]


@pytest.mark.skipif(sys.platform == "win32", reason="no file is shared there")
def test_an_awaited_scheduler_that_shares_its_file(app, path):
    said = []

    async def main():
        async with aio.Scheduler(path, share=True) as scheduler:
            duewheel.flask.init_app(app, scheduler)
            scheduler.handle("t", lambda event: said.append(flask.current_app.name))
            await scheduler.in_(0, "t")
            await scheduler.wait(30)

    asyncio.run(main())
    assert said == ["shop"]


def test_the_command_runs_what_is_due(app):
    ran = []
    scheduler = Scheduler()
    duewheel.flask.init_app(app, scheduler)

    @scheduler.handler("t")
    def last(event):
        ran.append(flask.current_app.name)
        scheduler.close()

    scheduler.in_(0, "t")
    result = app.test_cli_runner().invoke(args=["duewheel", "run", "--drain-timeout", "5"])
    assert (result.exit_code, ran) == (0, ["shop"]), result.output


def test_the_command_looks_after_the_file(app, path, capsys):
    scheduler = Scheduler(path)
    duewheel.flask.init_app(app, scheduler)
    scheduler.in_(3600, "mail", id="j")
    result = app.test_cli_runner().invoke(args=["duewheel", "show", "j", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["target"] == "mail"
    assert app.test_cli_runner().invoke(args=["duewheel", "show", "other"]).exit_code == 1


def test_in_memory_there_is_nothing_to_look_after(app, scheduler):
    duewheel.flask.init_app(app, scheduler)
    result = app.test_cli_runner().invoke(args=["duewheel", "list"])
    assert result.exit_code == 2 and "has no file" in result.output


def test_what_is_refused(app, scheduler):
    with pytest.raises(TypeError, match=r"app must be a flask\.Flask, not 'shop'"):
        duewheel.flask.init_app("shop", scheduler)
    with pytest.raises(TypeError, match="scheduler must be a Scheduler, not 5"):
        duewheel.flask.init_app(app, 5)
    duewheel.flask.init_app(app, scheduler)
    with pytest.raises(StateError, match="'shop' has a scheduler"):
        duewheel.flask.init_app(app, Scheduler())
    with pytest.raises(StateError, match="run in a Flask application"):
        duewheel.flask.init_app(flask.Flask("other"), scheduler)
    with pytest.raises(TypeError, match="scheduler must be a Scheduler"):
        duewheel.flask.init_app(app, Scheduler)
    duewheel.flask.init_app(flask.Flask("off"), NopScheduler())
    closed = Scheduler()
    closed.close()
    with pytest.raises(ClosedError):
        duewheel.flask.init_app(flask.Flask("third"), closed)
