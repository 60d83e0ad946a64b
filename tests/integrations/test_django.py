"""The backend for the tasks of Django 6, as Django's own tests of backends have it; needs Python 3.12."""

# ruff: noqa: E402  # Django comes before what needs it
import asyncio
import contextlib
import functools
import io
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

django = pytest.importorskip("django", reason="Django is not here, so its backend was NOT tested")
if django.VERSION < (6, 0):
    pytest.skip(
        f"Django {django.get_version()} has no tasks, so its backend was NOT tested: it takes Django 6 and Python 3.12",
        allow_module_level=True,
    )

import django_tasks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import close_old_connections
from django.tasks import TaskResultStatus, default_task_backend, task
from django.tasks.exceptions import InvalidTask
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.test import override_settings

from duewheel import StorageLockedError
from duewheel.django import Backend, _service
from duewheel.django.management.commands.duewheel import Command
from duewheel.testing import ManualClock

START = datetime(2027, 1, 1, tzinfo=UTC)


def using(queues=("default", "mail"), **options):
    setting = {"BACKEND": "duewheel.django.Backend", "QUEUES": list(queues), "OPTIONS": options}
    return override_settings(TASKS={"default": setting})


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture(params=["memory", "file"])
def scheduler(request, clock, path, quiet):
    """The scheduler of the backend, whose tasks run when the clock is advanced."""
    django_tasks.ran.clear()
    with using(clock=clock, workers=1, storage=path if request.param == "file" else None):
        yield default_task_backend.scheduler


class Told(list):
    """The signals in their order, and the last result."""

    @contextlib.contextmanager
    def listening(self):
        signals = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}
        receivers = {}
        for name, signal in signals.items():
            receivers[name] = self.receiver(name)
            signal.connect(receivers[name])
        yield self
        for name, signal in signals.items():
            signal.disconnect(receivers[name])

    def receiver(self, name):
        def receive(sender, task_result, **_):
            assert sender is Backend
            handled = sys.exc_info()[0]
            self.append((name, task_result.task.name, str(task_result.status), handled))
            self.result = task_result

        return receive


@pytest.fixture
def told():
    with Told().listening() as told:
        yield told


def test_a_task_is_enqueued_and_run(scheduler, clock, told):
    before = datetime.now(UTC)
    result = django_tasks.add.enqueue(1, b=2)
    assert (result.status, result.is_finished, result.attempts) == (TaskResultStatus.READY, False, 0)
    assert (result.args, result.kwargs, result.backend) == ([1], {"b": 2}, "default")
    assert before <= result.enqueued_at <= datetime.now(UTC)
    assert result.started_at is result.finished_at is result.last_attempted_at is None
    assert result.task == django_tasks.add and len(result.id) == 36
    with pytest.raises(ValueError, match="Task has not finished yet"):
        result.return_value  # noqa: B018
    clock.advance(0)
    over = told.result
    assert (over.id, over.status, over.return_value) == (result.id, TaskResultStatus.SUCCESSFUL, 3)
    assert over.enqueued_at == result.enqueued_at
    assert over.enqueued_at <= over.started_at == over.last_attempted_at <= over.finished_at
    assert (over.attempts, over.errors) == (1, [])
    said = [("enqueued", "READY"), ("started", "RUNNING"), ("finished", "SUCCESSFUL")]
    assert told == [(name, "add", status, None) for name, status in said]


def test_a_task_that_fails_is_over_at_once(scheduler, clock, told):
    django_tasks.fail.enqueue("no such user")
    clock.advance(3_600)
    (error,) = told.result.errors
    assert error.exception_class is LookupError
    assert error.traceback.rstrip().endswith("LookupError: no such user") and "in fail" in error.traceback
    assert told[1:] == [("started", "fail", "RUNNING", None), ("finished", "fail", "FAILED", LookupError)]
    with pytest.raises(ValueError, match="Task failed"):
        told.result.return_value  # noqa: B018
    (dead,) = scheduler.dead()
    assert (dead.event.job_id, dead.reason, dead.event.target) == (
        told.result.id,
        "failed",
        django_tasks.fail.module_path,
    )


@pytest.mark.parametrize(("times", "status", "starts"), [(2, "SUCCESSFUL", 3), (9, "FAILED", 3)])
def test_a_task_may_say_that_it_is_retried(scheduler, clock, told, times, status, starts):
    django_tasks.fail_again.enqueue(times)
    clock.advance(10)
    assert [name for name, *_ in told] == ["enqueued", *["started"] * starts, "finished"]
    assert told[-1][2] == status and told.result.attempts == starts


def test_all_tasks_may_be_retried(clock, quiet):
    django_tasks.ran.clear()
    with using(clock=clock, retry_limit=1, min_backoff=1, max_backoff=1):
        django_tasks.fail.enqueue("x")
        clock.advance(1)
    assert django_tasks.ran == ["x", "x"]


def test_a_task_that_takes_its_context(scheduler, clock, told):
    django_tasks.look.enqueue("snooze")
    clock.advance(5)
    assert django_tasks.ran == [(1, TaskResultStatus.RUNNING, ["snooze"])] * 2
    assert [name for name, *_ in told] == ["enqueued", "started", "started", "finished"]


def test_an_async_task(scheduler, clock, told):
    django_tasks.later.enqueue("x")
    clock.advance(0)
    assert told.result.return_value == {"said": ["x"]}


def test_a_discarded_task_has_failed(scheduler, clock, told):
    django_tasks.discard.enqueue()
    clock.advance(0)
    assert told[-1][2] == "FAILED"
    assert next(scheduler.dead()).reason == "discarded"


def test_what_json_does_not_have_is_refused_and_a_failure_as_an_answer(scheduler, clock, told):
    with pytest.raises(TypeError):
        django_tasks.add.enqueue(object(), 1)
    assert len(scheduler) == 0 and told == []
    django_tasks.unlike_json.enqueue()
    clock.advance(0)
    assert told.result.errors[0].exception_class is TypeError


def test_run_after(scheduler, clock):
    result = django_tasks.add.using(run_after=START + timedelta(hours=1)).enqueue(1, 2)
    assert result.task.run_after == START + timedelta(hours=1)
    clock.advance(3_599)
    assert django_tasks.ran == []
    clock.advance(1)
    assert django_tasks.ran == [(1, 2)]


def test_priorities_and_queues(scheduler, clock):
    django_tasks.add.enqueue("default", 0)
    django_tasks.add.using(priority=-100).enqueue("lowest", 0)
    django_tasks.send.enqueue("high, another queue")
    django_tasks.add.using(priority=100).enqueue("highest", 0)
    django_tasks.add.using(priority=90).enqueue("of the nearest of nine", 0)
    clock.advance(0)
    said = [done if isinstance(done, str) else done[0] for done in django_tasks.ran]
    assert said == ["highest", "of the nearest of nine", "high, another queue", "default", "lowest"]
    assert scheduler.stats().parked == 0


def test_a_task_is_there_after_a_restart(clock, path, told):
    django_tasks.ran.clear()
    with using(clock=clock, storage=path):
        result = django_tasks.send.using(run_after=START + timedelta(days=1), priority=7).enqueue("ada")
    with using(clock=clock, storage=path):
        default_task_backend.scheduler.start()
        clock.advance(86_400)
    assert django_tasks.ran == ["ada"]
    over = told.result
    assert (over.id, over.task, over.enqueued_at) == (result.id, result.task, result.enqueued_at)
    assert (over.task.priority, over.task.queue_name) == (7, "mail")


def test_any_queue_where_none_is_named(clock):
    django_tasks.ran.clear()
    with using(queues=(), clock=clock):
        django_tasks.add.using(queue_name="some", priority=30).enqueue(1, 1)
        clock.advance(0)
    assert django_tasks.ran == [(1, 1)]


@pytest.mark.parametrize("changes", [{"priority": 101}, {"priority": 1.5}, {"queue_name": "other"}])
def test_what_django_refuses(scheduler, changes):
    with pytest.raises(InvalidTask):
        django_tasks.add.using(**changes)


def test_a_naive_time_is_refused_or_local(clock):
    naive = (START + timedelta(hours=1)).replace(tzinfo=None)
    with using(clock=clock):
        with pytest.raises(InvalidTask, match="run_after must be an aware datetime"):
            django_tasks.add.using(run_after=naive)
        with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
            django_tasks.add.using(run_after=naive).enqueue(1, 1)
            assert next(default_task_backend.scheduler.between()).due_at == START - timedelta(hours=8)


def test_a_function_within_a_function_is_no_task(scheduler):
    with pytest.raises(InvalidTask, match="module level"):
        task(lambda: None)


def test_a_job_that_holds_no_task_is_dead_at_once(scheduler, clock):
    for data in (b"no json", b"{}", json.dumps({"task": "os.system"}).encode()):
        scheduler.in_(0, django_tasks.add.module_path, data, retry_limit=5)
    scheduler.in_(0, "os.system", b"{}")
    scheduler.start()
    clock.advance(10)
    assert scheduler.stats().parked == 1 and django_tasks.ran == []
    assert ["holds no task of this program" in dead.error for dead in scheduler.dead()] == [True] * 3


def test_aenqueue(scheduler, clock):
    asyncio.run(django_tasks.add.aenqueue(1, 2))
    clock.advance(0)
    assert django_tasks.ran == [(1, 2)]


def test_connections_are_looked_after_around_a_task(scheduler, clock, monkeypatch):
    calls = []
    monkeypatch.setattr(_service, "close_old_connections", lambda: calls.append(len(django_tasks.ran)))
    django_tasks.add.enqueue(1, 2)
    clock.advance(0)
    assert calls == [0, 1] and close_old_connections is not _service.close_old_connections


def test_threads_share_one_scheduler(scheduler, clock):
    threads = [threading.Thread(target=django_tasks.add.enqueue, args=(1, n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.advance(0)
    assert len(django_tasks.ran) == 8


def test_django_logs_each_task(scheduler, clock, caplog):
    caplog.set_level(logging.DEBUG, "django.tasks")
    django_tasks.fail.enqueue("x")
    clock.advance(0)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info[0] is LookupError and "state=FAILED" in record.getMessage()


def test_a_process_that_only_enqueues(clock, path):
    with using(clock=clock, storage=path, run=False):
        django_tasks.add.enqueue(1, 2)
        clock.advance(10)
        assert default_task_backend.scheduler.stats().started == 0
        with pytest.raises(StorageLockedError):
            _service.Service("other", Backend, [], {"storage": path})


@pytest.mark.parametrize("options", [{"threads": 4}, {"workers": 0}, {"storage": 5}, {"retry_limit": -1}])
def test_options_that_are_none(options):
    with using(**options), pytest.raises(ImproperlyConfigured, match=r"OPTIONS of TASKS\['default'\]: "):
        default_task_backend.scheduler  # noqa: B018


def test_checks_pass(scheduler):
    call_command("check", stdout=io.StringIO())


def test_the_command_refuses_another_backend(scheduler):
    other = override_settings(TASKS={"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}})
    with other, pytest.raises(CommandError, match=r"is a ImmediateBackend, not a duewheel\.django\.Backend"):
        call_command(Command(), "run")


PROJECT = {
    "settings.py": """
        SECRET_KEY = "x"
        INSTALLED_APPS = ["duewheel.django", "shop"]
        TASKS = {"default": {"BACKEND": "duewheel.django.Backend", "OPTIONS": {"storage": "jobs.db"}}}
    """,
    "shop/__init__.py": "",
    "shop/tasks.py": """
        import os, signal
        from django.tasks import task
        @task
        def last(word):
            print("ran", word, "in", os.getpid(), flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
    """,
}


@pytest.mark.skipif(sys.platform == "win32", reason="no file is shared there")
def test_a_project_whose_worker_is_another_process(tmp_path):
    for name, source in PROJECT.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(source), "utf-8")
    package = Path(_service.__file__).parents[2]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{tmp_path}:{package}"}
    run = functools.partial(
        subprocess.Popen, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    manage = [sys.executable, "-W", "error", "-m", "django"]
    with run([*manage, "duewheel", "run", "--drain-timeout", "5"]) as worker:
        assert "runs the tasks of 'default'" in worker.stdout.readline()
        later = "from shop.tasks import last; from django.utils import timezone as t; import datetime as d; "
        later += "print(last.using(run_after=t.now() + d.timedelta(days=1)).enqueue('later').status)"
        with run([*manage, "shell", "--no-imports", "-c", later]) as shell:
            assert shell.communicate(timeout=50) == ("READY\n", "")
        with run([*manage, "duewheel", "list", "--json"]) as lists:
            listed, said = lists.communicate(timeout=50)
        assert (json.loads(listed)["target"], said) == ("shop.tasks.last", "")
        now = "from shop.tasks import last; last.enqueue('word')"
        with run([*manage, "shell", "--no-imports", "-c", now]) as shell:
            assert shell.communicate(timeout=50) == ("", "")
        assert worker.communicate(timeout=50)[0] == f"ran word in {worker.pid}\n"
    assert worker.returncode == 0
