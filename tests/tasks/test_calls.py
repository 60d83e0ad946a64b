"""Tasks are called, scheduled and run: in memory, in a file, async and sync handlers, with their event or without."""

import asyncio
import inspect
import json
import subprocess
import sys
from datetime import timedelta

import pytest
from starlette.background import BackgroundTasks

from duewheel import Event, JobOptions, NopScheduler, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.tasks import Task
from duewheel.testing import ManualClock

iscoroutinefunction = inspect.iscoroutinefunction if sys.version_info >= (3, 12) else asyncio.iscoroutinefunction


@pytest.fixture
def clock():
    return ManualClock(raise_errors=True)


@pytest.fixture(params=["memory", "file"])
def scheduler(request, clock, tmp_path):
    storage = None if request.param == "memory" else tmp_path / "jobs.db"
    with Scheduler(storage, clock=clock) as scheduler:
        yield scheduler


def test_a_plain_call_is_the_function_itself(scheduler):
    @scheduler.task("add")
    def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    assert add(1) == 2 and add(1, b=2) == 3
    assert add.__doc__ == "Add." and add.__name__ == "add"
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    assert len(scheduler) == 0


def test_calls_are_scheduled_at_in_and_again(scheduler, clock):
    ran = []

    @scheduler.task("note")
    def note(what, *, times=1):
        ran.append((clock.now(), what, times))

    assert scheduler.get(note.at(5, "at")).target == "note"
    note.in_(timedelta(seconds=3), "in", times=2)
    id = note.repeat(10, "again")
    clock.advance(25)
    assert ran == [(3.0, "in", 2), (5.0, "at", 1), (10.0, "again", 1), (20.0, "again", 1)]
    assert scheduler.cancel(id)


def test_keywords_of_jobs_are_given_by_using(scheduler):
    @scheduler.task("t", retry_limit=3, min_backoff=timedelta(seconds=0.1), options=JobOptions(max_backoff=7))
    def t(id, delay=None): ...

    plain = scheduler.get(t.in_(5, 1)).job.options
    assert (plain.retry_limit, plain.min_backoff, plain.max_backoff) == (3, 0.1, 7)
    named = t.using(id="mine", retry_limit=9).using(min_backoff=2)
    assert isinstance(named, Task) and named(4) is None
    assert named.in_(5, id=1, delay=2) == "mine"  # the names of its own parameters are free
    found = scheduler.get("mine").job.options
    assert (found.retry_limit, found.min_backoff, found.max_backoff) == (9, 2, 7)
    nearer = t.using(options=JobOptions(retry_limit=1)).in_(5, 1)
    assert scheduler.get(nearer).job.options.retry_limit == 1
    assert scheduler.get(t.in_(5, 1)).job.options == plain
    again = t.using(tz="Europe/Paris", id="again", catch_up="none").repeat("0 9 * * *", 1)
    assert scheduler.get_repeat(again).catch_up == "none"


def test_options_are_layered_exactly(scheduler):
    """A span that no float says is the same nanoseconds in every layer."""

    @scheduler.task("t", age_limit=timedelta(days=40_000, microseconds=1), retry_limit=None)
    def t(): ...

    exact = (40_000 * 86_400 * 10**6 + 1) * 1000
    assert scheduler.get(t.using(min_backoff=2).in_(5)).job.options._age_limit_ns == exact


def test_the_event_is_given_and_is_no_argument(scheduler, clock):
    ran = []

    @scheduler.task("t")
    def t(event: Event, what: str) -> str:
        ran.append((event.job_id, what))
        return what

    id = t.in_(1, what="x")
    assert json.loads(scheduler.get(id).data) == {"what": "x"}
    clock.advance(1)
    assert ran == [(id, "x")]
    assert t(scheduler.get(t.in_(1, "y")), "y") == "y"


def test_an_event_that_only_type_checkers_know_is_one(scheduler, clock):
    ran = []

    def t(event, what):
        ran.append(event.target + what)

    t.__annotations__ = {"event": "Event", "what": "Unknown"}
    scheduler.task("t")(t).in_(1, "x")
    clock.advance(1)
    assert ran == ["tx"]


def test_a_parameter_that_is_merely_called_event_is_an_argument(scheduler, clock):
    ran = []

    @scheduler.task("t")
    def t(event):
        ran.append(event)

    t.in_(1, "party")
    clock.advance(1)
    assert ran == ["party"]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        ((1, 2), {"d": 3}),
        ((1,), {"b": 2, "d": 3}),
        ((1, 2, 3, 4), {"d": 5, "e": 6}),
        ((1,), {"a": 7, "c": 8, "kw": 9}),
    ],
)
def test_every_kind_of_parameter(scheduler, clock, args, kwargs):
    ran = []

    def fn(a, /, b=0, *c, d=0, **kw):
        return a, b, c, d, kw

    scheduler.task("t")(lambda a, /, b=0, *c, d=0, **kw: ran.append(fn(a, b, *c, d=d, **kw))).in_(1, *args, **kwargs)
    clock.advance(1)
    assert ran == [fn(*args, **kwargs)]


def test_an_async_task_of_a_plain_scheduler():
    ran = []
    with Scheduler() as scheduler:

        @scheduler.task("t")
        async def t(event: Event, what: str) -> str:
            await asyncio.sleep(0)
            ran.append((event.target, what))
            return what

        t.in_(0, "x")
        assert scheduler.wait(30)
        assert ran == [("t", "x")]
        assert asyncio.run(t(scheduler.get(t.in_(60, "y")), "y")) == "y"
        scheduler.close()


def test_an_async_task_passes_for_the_coroutine_function_that_it_is():
    """Frameworks ask before they call: one that is taken for a sync function is never awaited."""
    ran = []
    scheduler = Scheduler()

    @scheduler.task("t")
    async def t(what: str) -> None:
        ran.append(what)

    work = BackgroundTasks()
    work.add_task(t, "x")
    work.add_task(t.using(id="a"), "y")
    asyncio.run(work())
    assert ran == ["x", "y"]
    assert iscoroutinefunction(t) and not iscoroutinefunction(scheduler.task("u")(lambda: None))
    scheduler.close()


@pytest.mark.parametrize("in_file", [False, True])
def test_tasks_of_an_awaited_scheduler(tmp_path, in_file):
    ran = []

    async def main():
        async with aio.Scheduler(tmp_path / "jobs.db" if in_file else None) as scheduler:

            @scheduler.task("waits", retry_limit=1)
            async def waits(event: Event, what: str) -> None:
                await asyncio.sleep(0)
                ran.append(what)

            @scheduler.task("works")
            def works(what: str) -> None:
                ran.append(what)

            assert isinstance(waits, aio.Task)
            with pytest.raises(TypeError, match=r"waits\(\) missing 1 required positional argument: 'what'"):
                waits.in_(0)  # at the call: it need not be awaited
            await waits.using(id="a").in_(0, "a")
            await works.at(0, "b")
            again = await works.repeat(3600, "c")
            assert (await scheduler.get_repeat(again)).target == "works"
            await scheduler.cancel(again)
            assert await scheduler.wait(30)
            assert scheduler.stats().succeeded == 2

    asyncio.run(main())
    assert sorted(ran) == ["a", "b"]


def test_a_task_of_the_reference_runs_alike(clock):
    ran = []
    scheduler = ReferenceScheduler(clock=clock)
    task = scheduler.task("t", retry_limit=1, priority=3)(lambda a, b=2: ran.append((a, b)))
    assert isinstance(task, Task)
    with scheduler:
        assert scheduler.get(task.in_(1, 0)).job.options.retry_limit == 1
        task.in_(1, 1)
        task.using(id="x").at(2, 1, b=3)
        clock.advance(2)
    assert ran == [(0, 2), (1, 2), (1, 3)]


def test_a_task_of_a_nop_scheduler_discards_its_jobs():
    @NopScheduler().task("t", concurrency=-1, nonsense=True)
    def t(a: int) -> int:
        return a

    assert t(3) == 3
    assert (t.in_(5, 1), t.using(id="x").at(5, 1), t.repeat("0 9 * * *", 1)) == ("", "", "")


def test_other_keywords_go_to_handle():
    given = []

    class Mine(Scheduler):
        def handle(self, target, fn, **keywords):
            given.append((target, keywords))
            return super().handle(target, fn)

    scheduler = Mine()
    scheduler.task("t", concurrency=2, retry_limit=1, priority=0.5)(lambda: None)
    assert given == [("t", {"concurrency": 2, "priority": 0.5})]
    scheduler.close()


def test_it_is_named_after_the_function():
    scheduler = Scheduler()

    @scheduler.task()
    def named(): ...

    assert named.target == f"{__name__}.test_it_is_named_after_the_function.<locals>.named"
    assert repr(named) == f"<task {named.target!r} of {scheduler!r}>"
    scheduler.close()


PROGRAM = """
from duewheel import Scheduler
scheduler = Scheduler()
@scheduler.task()
def send(): ...
if __name__ == "__main__":
    print(send.target)
"""


@pytest.mark.parametrize(
    ("command", "target"),
    [(["-m", "shop.mails"], "shop.mails.send"), (["shop/mails.py"], "mails.send"), (["-m", "shop"], "shop.send")],
)
def test_the_main_module_has_the_name_by_which_it_is_imported(tmp_path, command, target):
    package = tmp_path / "shop"
    package.mkdir()
    for name in ("__init__.py", "mails.py", "__main__.py"):
        (package / name).write_text("" if name == "__init__.py" else PROGRAM)
    ran = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == target + "\n"
