"""The schedulers of a process: one for each alias of `TASKS`, whichever thread asks, and none inherited by a fork."""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from datetime import UTC, datetime
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import close_old_connections
from django.tasks.base import (  # pyright: ignore[reportMissingImports]  # of Django 6
    DEFAULT_TASK_QUEUE_NAME,
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultStatus,
)
from django.tasks.signals import task_finished, task_started  # pyright: ignore[reportMissingImports]
from django.utils.json import normalize_json  # pyright: ignore[reportMissingImports]

from duewheel._checks import KEYWORDS
from duewheel.errors import UnreadableDataError
from duewheel.options import JobOptions
from duewheel.postgres import PostgresStorage
from duewheel.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from duewheel._core import Event
    from duewheel.plugins import AttemptOutcome

LEVELS = range(-100, 101, 25)
"""The priorities that are told apart: each is a target of its own; others count as the nearest."""

HEAD_START_S = 60
"""How much earlier a task of one priority more is taken up among those that are due."""

_RETRIES = KEYWORDS["JobOptions"]


class Service:
    """The scheduler of one alias in this process, and the tasks that it runs."""

    def __init__(self, alias: str, sender: type, queues: Iterable[str], options: Mapping[str, Any]) -> None:
        self._alias, self._sender = alias, sender
        self._queues = sorted(queues) or [DEFAULT_TASK_QUEUE_NAME]
        self._worker_id = uuid.uuid4().hex
        self._under_way = threading.local()
        self._handled: set[str] = set()
        self.pid = os.getpid()
        keywords = dict(options)
        storage = keywords.pop("storage", None)
        is_database = isinstance(storage, PostgresStorage) or str(storage).startswith(("postgres://", "postgresql://"))
        self.runs_here = keywords.pop("run", not is_database)
        if storage is not None and not is_database and self.runs_here and "clock" not in keywords:
            keywords.setdefault("share", sys.platform != "win32")
        retries: dict[str, Any] = {name: keywords.pop(name) for name in _RETRIES if name in keywords}
        plugins = [*keywords.pop("plugins", ()), self]
        try:
            defaults = JobOptions(retry_limit=0).replace(**retries)
            self.scheduler = Scheduler(storage, options=defaults, plugins=plugins, **keywords)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"OPTIONS of TASKS[{alias!r}]: {error}") from error
        for task in _known.get(alias, {}).values():
            self.register(task)

    def register(self, task: Any) -> None:
        """Run a task where it is due: of each queue and each priority."""
        for queue in self._queues:
            for level in LEVELS:
                self.handle(target_of(task, queue, level))

    def parked(self, target: str) -> None:
        """Run a task of a queue that no setting names, as a plugin of the scheduler."""
        self.handle(target)

    def handle(self, target: str) -> None:
        """Run what is due for this target, if it is one of a task of this program."""
        path, level = _parts(target)
        with _lock:
            if path not in _known.get(self._alias, {}) or target in self._handled:
                return
            self._handled.add(target)
        self.scheduler.handle(target, self._run, priority=level * HEAD_START_S)

    def _run(self, event: Event) -> None:
        """Run a task as the handler of its target, on a worker."""
        close_old_connections()
        self._under_way.result = result = self.result_of(event)
        now = datetime.now(UTC)
        put(result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now)
        result.worker_ids.extend([self._worker_id] * event.attempt)
        task_started.send(self._sender, task_result=result)
        first = [TaskContext(task_result=result)] if result.task.takes_context else []
        returned = normalize_json(result.task.call(*first, *result.args, **result.kwargs))
        put(result, _return_value=returned)

    def ended(self, event: Event, outcome: AttemptOutcome) -> None:  # noqa: ARG002
        """Tell Django of a task that is over, as a plugin of the scheduler: on the worker, after `_run`."""
        result = getattr(self._under_way, "result", None)
        self._under_way.result = None
        try:
            if result is None or outcome.state not in ("succeeded", "dead"):
                return
            put(result, finished_at=datetime.now(UTC))
            if outcome.error is None:
                put(result, status=TaskResultStatus.SUCCESSFUL)
                task_finished.send(self._sender, task_result=result)
            else:
                put(result, status=TaskResultStatus.FAILED)
                self._tell_failure(result, outcome.error)
        finally:
            close_old_connections()

    def _tell_failure(self, result: Any, error: BaseException) -> None:
        """Send the signal where the error is being handled: Django logs it with its traceback."""
        traceback = error.__traceback__
        result.errors.append(TaskError(exception_class_path=_path_of(type(error)), traceback=_text_of(error)))
        try:
            raise error
        except type(error):
            error.__traceback__ = traceback
            task_finished.send(self._sender, task_result=result)

    def result_of(self, event: Event) -> Any:
        """Return what is known of a task that has not run yet."""
        try:
            return self.result(event.job_id, json.loads(event.data))
        except (ValueError, LookupError, TypeError) as error:
            raise UnreadableDataError(f"the job {event.job_id} holds no task of this program: {error!r}") from error

    def result(self, id: str, said: dict[str, Any]) -> Any:
        """Return the result of a task that is ready, from what its job says."""
        run_after = said["run_after"]
        task = _known[self._alias][said["task"]].using(
            priority=said["priority"],
            queue_name=said["queue"],
            run_after=None if run_after is None else datetime.fromtimestamp(run_after, UTC),
        )
        return TaskResult(
            task=task,
            id=id,
            status=TaskResultStatus.READY,
            enqueued_at=datetime.fromtimestamp(said["enqueued_at"], UTC),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=said["args"],
            kwargs=said["kwargs"],
            backend=self._alias,
            errors=[],
            worker_ids=[],
        )


_known: dict[str, dict[str, Any]] = {}
_services: dict[str, Service] = {}
_lock = threading.RLock()  # held to open a scheduler, whose plugins may ask for it


def know(task: Any) -> None:
    """Note a task of this program; a scheduler that is open runs it from now on."""
    with _lock:
        tasks = _known.setdefault(task.backend, {})
        if task.module_path in tasks:
            return
        tasks[task.module_path] = task
        service = _services.get(task.backend)
        if service is not None and service.pid == os.getpid():
            service.register(task)


def service_of(alias: str, sender: type, queues: Iterable[str], options: Mapping[str, Any]) -> Service:
    """Return the scheduler of an alias, opened when it is first asked for, in each process."""
    with _lock:
        service = _services.get(alias)
        if service is None or service.pid != os.getpid():
            service = _services[alias] = Service(alias, sender, queues, options)
        return service


def forget(*, setting: str, **_keywords: object) -> None:
    """Close what other settings have opened: a test may override them."""
    if setting == "TASKS":
        with _lock:
            for service in _services.values():
                if service.pid == os.getpid():
                    service.scheduler.close()
            _services.clear()


setting_changed.connect(forget, dispatch_uid="duewheel.django")


def target_of(task: Any, queue: str, priority: int) -> str:
    """Return the target of a task: its path, and its queue and priority where they are not the default."""
    level = min(LEVELS, key=lambda level: (abs(level - priority), -level))
    before = "" if queue == DEFAULT_TASK_QUEUE_NAME else f"{queue}/"
    return f"{before}{task.module_path}{f'@{level}' if level else ''}"


def _parts(target: str) -> tuple[str, int]:
    path, _, level = target.rpartition("/")[2].partition("@")
    return path, int(level) if level.removeprefix("-").isdecimal() else 0


def put(result: Any, **fields: object) -> None:
    """Set fields of a result, which is frozen for those who get it."""
    for name, value in fields.items():
        object.__setattr__(result, name, value)


def _path_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _text_of(error: BaseException) -> str:
    return "".join(format_exception(error))
