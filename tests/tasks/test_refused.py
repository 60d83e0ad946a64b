"""Hold every refusal of tasks and codecs by a table: its class, and what its message names."""

import functools
import math
import re
from datetime import UTC, datetime

import pytest

from duewheel import ClosedError, ConfigError, DuplicateTargetError, JobOptions, Scheduler, StateError, aio
from duewheel.reference import ReferenceScheduler
from duewheel.tasks import Task
from duewheel.testing import ManualClock

NAN = math.nan


class Half:
    """Half a codec."""

    def dumps(self, args, kwargs): ...
    def loads(self, data): ...


def named(a, b=1, *, c=2): ...


def reference():
    return ReferenceScheduler(clock=ManualClock())


@pytest.fixture(params=[Scheduler, aio.Scheduler, reference])
def scheduler(request):
    scheduler = request.param()
    yield scheduler
    getattr(scheduler, "_core", scheduler).close()


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "said"),
    [
        ((named,), {}, TypeError, "write @….task() or @….task('name') above <function named"),
        ((5,), {}, TypeError, "target must be a str, not 5"),
        (("",), {}, ValueError, "target must have 1 to 255 bytes"),
        (("\ud800",), {}, ValueError, "valid Unicode"),
        (("t",), {"codec": "pickle"}, ConfigError, "unknown codec 'pickle'; there are 'json', 'msgspec', 'pydantic'"),
        (("t",), {"codec": None}, TypeError, "codec must be a name or an object with dumps, loads"),
        (("t",), {"codec": Half}, TypeError, "that is a class: make one"),
        (("t",), {"codec": Half()}, TypeError, "it has no dumps_result, loads_result"),
        (("t",), {"retry_limit": -1}, ValueError, "retry_limit"),
        (("t",), {"min_backoff": 5, "max_backoff": 1}, ValueError, "min_backoff"),
        (("t",), {"options": 5}, TypeError, "options must be a JobOptions, not 5"),
        (("t",), {"nonsense": 5}, TypeError, "unexpected keyword argument 'nonsense'"),
    ],
)
def test_what_task_refuses(scheduler, args, kwargs, error, said):
    with pytest.raises(error, match=re.escape(said)):
        scheduler.task(*args, **kwargs)(named)
    scheduler.handle("t", print)  # it was not registered


def no_name():
    return functools.partial(named)


@pytest.mark.parametrize(
    ("target", "fn", "error", "said"),
    [
        (None, no_name(), TypeError, "has no name to be its target: say task('name')"),
        (None, 5, TypeError, "a task must be a function with a signature, not 5"),
        ("t", 5, TypeError, "a task must be a function with a signature, not 5"),
        ("t", "named", TypeError, "not 'named'"),
        ("t", dict.fromkeys, TypeError, "a signature"),
    ],
)
def test_what_is_no_function(scheduler, target, fn, error, said):
    if fn == dict.fromkeys and hasattr(dict.fromkeys, "__text_signature__"):
        fn = dict  # it has none in any version
    with pytest.raises(error, match=re.escape(said)):
        scheduler.task(target)(fn)


def test_a_target_that_has_a_handler(scheduler):
    scheduler.handle("t", print)
    with pytest.raises(DuplicateTargetError):
        scheduler.task("t")(named)


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "named() missing 1 required positional argument: 'a'"),
        ((1, 2, 3), {}, "named() takes from 1 to 2 positional arguments but 3 were given"),
        ((1,), {"a": 2}, "named() got multiple values for argument 'a'"),
        ((1,), {"d": 2}, "named() got an unexpected keyword argument 'd'"),
        # What JSON does not give back equal.
        (((1, 2),), {}, "the argument 'a' would not come back from JSON as it is: (1, 2) as [1, 2]"),
        (([(1,)],), {}, "the argument 'a' would not come back"),
        (({1: 2},), {}, "{1: 2} as {'1': 2}"),
        ((1, {"x": {True: 2}}), {}, "the argument 'b' would not come back"),
        ((NAN,), {}, "the argument 'a' cannot be stored as JSON: nan"),
        ((), {"a": 1, "c": [math.inf]}, "the argument 'c' cannot be stored as JSON: [inf]"),
        ((datetime.now(UTC),), {}, "not JSON serializable"),
        ((b"x",), {}, "not JSON serializable"),
        (({1, 2},), {}, "not JSON serializable"),
        ((object(),), {}, "not JSON serializable"),
        ((10**5000,), {}, "the argument 'a' cannot be stored as JSON"),
    ],
)
def test_what_a_call_refuses(scheduler, args, kwargs, said):
    task = scheduler.task("t")(named)
    for call in (task.in_, task.at, task.repeat, task.using(id="x").in_):
        with pytest.raises(TypeError, match=re.escape(said)):
            call(5, *args, **kwargs)
    assert len(getattr(scheduler, "_core", scheduler)) == 0


def test_what_refers_to_itself(scheduler):
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="the argument 'a' cannot be stored as JSON"):
        scheduler.task("t")(named).in_(5, endless)


@pytest.mark.parametrize(
    ("keywords", "error", "said"),
    [
        ({"delay": 5}, TypeError, "Task.using() got an unexpected keyword argument 'delay': it takes id, options"),
        ({"data": b""}, TypeError, "'data'"),
        ({"retry_limit": "3"}, TypeError, "retry_limit"),
        ({"age_limit": -1}, ValueError, "age_limit"),
        ({"options": {}}, TypeError, "options must be a JobOptions, not {}"),
        ({"options": JobOptions(min_backoff=9), "max_backoff": 1}, ValueError, "min_backoff"),
    ],
)
def test_what_using_refuses(scheduler, keywords, error, said):
    task = scheduler.task("t")(named)
    with pytest.raises(error, match=re.escape(said)):
        task.using(**keywords)


def test_keywords_of_another_call():
    scheduler = Scheduler()
    task = scheduler.task("t")(named)
    with pytest.raises(TypeError, match="'tz'"):
        task.using(tz="Europe/Paris").in_(5, 1)
    with pytest.raises(StateError, match="connection"):
        task.using(connection=object()).repeat(5, 1)
    with pytest.raises(TypeError, match="when must be"):
        task.at("tomorrow", 1)
    scheduler.close()
    with pytest.raises(ClosedError):
        task.in_(5, 1)
    with pytest.raises(ClosedError):
        scheduler.task("u")
    assert isinstance(task, Task)
