"""What plugins put around handlers: entered where the handler runs, and part of its attempt."""

import asyncio
import contextvars
import gc
import threading
import weakref
from contextlib import asynccontextmanager, contextmanager

import pytest

from duewheel import Discard, Scheduler, Snooze, aio
from duewheel.testing import ManualClock

VARIABLE = contextvars.ContextVar("variable", default="outside")


class Noting:
    """Notes what is entered and left, and with which error."""

    def __init__(self, name, said):
        self.name, self.said = name, said

    @contextmanager
    def around(self, event):
        self.said.append(f"{self.name} in")
        token = VARIABLE.set(self.name)
        try:
            yield
        except BaseException as error:
            self.said.append(f"{self.name} out: {type(error).__name__}")
            raise
        else:
            self.said.append(f"{self.name} out")
        finally:
            VARIABLE.reset(token)


@pytest.fixture
def clock():
    return ManualClock()


def sync(said):
    def handler(event):
        said.append((event.target, VARIABLE.get(), threading.get_ident()))

    return handler


def on_loop(said):
    async def handler(event):
        await asyncio.sleep(0)
        said.append((event.target, VARIABLE.get(), threading.get_ident()))

    return handler


def awaited_later(said):
    return lambda event: on_loop(said)(event)


@pytest.mark.parametrize("make", [sync, on_loop, awaited_later])
def test_it_is_around_the_handler_the_first_outermost(clock, make):
    said = []
    with Scheduler(clock=clock, plugins=[Noting("a", said), Noting("b", said)]) as scheduler:
        scheduler.handle("t", make(said))
        scheduler.in_(1, "t")
        clock.advance(1)
    assert said == ["a in", "b in", ("t", "b", said[2][2]), "b out", "a out"]


@pytest.mark.parametrize("make", [sync, on_loop, awaited_later])
def test_it_is_entered_in_the_handlers_thread_or_task(make):
    said, seen = [], []

    class Plugin:
        @contextmanager
        def around(self, event):
            seen.append(threading.get_ident())
            yield
            seen.append(threading.get_ident())

    with Scheduler(workers=1, plugins=[Plugin()]) as scheduler:
        scheduler.handle("t", make(said))
        scheduler.in_(0, "t")
        assert scheduler.wait(30)
    (_, _, ran) = said[0]
    assert seen[-1] == ran
    assert (seen[0] == ran) is (make is not awaited_later)


def test_the_awaited_scheduler(clock):
    said = []

    async def main():
        async with aio.Scheduler(plugins=[Noting("a", said)]) as scheduler:

            @scheduler.task("t")
            async def t(what: str) -> None:
                await asyncio.sleep(0)
                said.append(what)

            scheduler.handle("u", sync(said))
            await t.in_(0, "x")
            await scheduler.wait(30)
            await scheduler.in_(0, "u")
            await scheduler.wait(30)

    asyncio.run(main())
    assert said[:4] == ["a in", "x", "a out", "a in"] and said[4][1] == "a"


@pytest.mark.parametrize(("raised", "state"), [(ValueError, "retried"), (Snooze(5), "snoozed"), (Discard, "dead")])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_the_handler_raises_goes_through_it(clock, quiet, raised, state, is_async):
    said = []
    with Scheduler(clock=clock, plugins=[Noting("a", said)]) as scheduler:

        def fails(event):
            raise raised

        async def fails_later(event):
            await asyncio.sleep(0)
            raise raised

        scheduler.handle("t", fails_later if is_async else fails)
        scheduler.in_(0, "t")
        clock.advance(0)
        assert getattr(scheduler.stats(), state) == 1
        scheduler.close()
    name = raised.__name__ if isinstance(raised, type) else type(raised).__name__
    assert said == ["a in", f"a out: {name}"]


@pytest.mark.parametrize("where", ["call", "enter", "exit"])
@pytest.mark.parametrize("make", [sync, on_loop, awaited_later])
def test_what_it_raises_is_a_failure_of_the_attempt(clock, quiet, where, make):
    said = []

    class Plugin:
        def around(self, event):
            if where == "call":
                raise ZeroDivisionError
            return self

        def __enter__(self):
            if where == "enter":
                raise ZeroDivisionError

        def __exit__(self, *_):
            raise ZeroDivisionError

    with Scheduler(clock=clock, plugins=[Plugin()]) as scheduler:
        scheduler.handle("t", make(said))
        scheduler.in_(0, "t", retry_limit=0)
        clock.advance(0)
        (dead,) = scheduler.dead()
    assert dead.error.strip().endswith("ZeroDivisionError")
    assert len(said) == (where == "exit")


@pytest.mark.parametrize("is_async", [False, True])
def test_what_it_suppresses_has_not_failed(clock, is_async):
    class Plugin:
        def around(self, event):
            return self

        def __enter__(self): ...
        def __exit__(self, kind, error, traceback):
            return kind is ValueError

    with Scheduler(clock=clock, plugins=[Plugin()]) as scheduler:

        def fails(event):
            raise ValueError

        async def fails_on_loop(event):
            raise ValueError

        scheduler.handle("t", fails_on_loop if is_async else fails)
        scheduler.in_(0, "t")
        clock.advance(0)
        assert scheduler.stats().succeeded == 1


def test_it_is_around_repeats_and_tasks_and_not_around_callables_of_timers(clock):
    said = []
    with Scheduler(clock=clock, plugins=[Noting("a", said)]) as scheduler:
        scheduler.repeated(10, target="r")(lambda event: said.append("r"))
        scheduler.task("t")(lambda: said.append("t")).in_(1)
        scheduler.timer(2, lambda event: said.append("timer"))
        clock.advance(10)
    assert said == ["a in", "t", "a out", "timer", "a in", "r", "a out"]


def test_without_one_the_handler_itself_is_registered():
    def handler(event): ...

    class Plugin:
        def ended(self, event, outcome): ...

    for plugins in ([], [Plugin()]):
        with Scheduler(plugins=plugins) as scheduler:
            scheduler.handle("t", handler)
            assert any(found is scheduler for found in gc.get_referrers(handler)) or plugins is not None
            assert handler in gc.get_referents(scheduler)


def test_what_is_never_awaited_is_left_all_the_same(quiet):
    """The scheduler is closed before its loop gets to what a sync handler has returned."""
    said = []
    scheduler = Scheduler(workers=1, plugins=[Noting("a", said)])
    asked = threading.Event()

    async def later():
        said.append("ran")

    def handler(event):
        scheduler.close()
        asked.set()
        return later()

    scheduler.handle("t", handler)
    scheduler.start()
    scheduler.in_(0, "t")
    assert asked.wait(30) and scheduler.drain(30)
    gc.collect()
    assert said == ["a in", "a out"]


def test_a_future_that_is_under_way_is_not_awaited_by_it(clock):
    said = []
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    with Scheduler(clock=clock, plugins=[Noting("a", said)]) as scheduler:
        scheduler.handle("t", lambda event: future)
        scheduler.in_(0, "t")
        clock.advance(0)
        assert scheduler.stats().succeeded == 1
    loop.close()


def test_plugins_are_let_go_of_with_their_scheduler():
    class Plugin:
        scheduler = None

        def around(self, event):
            raise NotImplementedError

        def ended(self, event, outcome): ...

    plugin = Plugin()
    plugin.scheduler = scheduler = Scheduler(plugins=[plugin])
    scheduler.handle("t", print)
    gone = weakref.ref(plugin)
    scheduler.close()
    del plugin, scheduler
    gc.collect()
    assert gone() is None


@asynccontextmanager
async def entered_async(event):
    yield


def test_a_plugin_that_must_be_awaited_is_refused():
    class Plugin:
        around = staticmethod(entered_async)

    with pytest.raises(TypeError, match=r"around of the plugin .* must be a plain function"):
        Scheduler(plugins=[Plugin()])
