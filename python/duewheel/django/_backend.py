"""The backend of `django.tasks`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from duewheel._extras import missing

try:
    from django.tasks.backends.base import BaseTaskBackend  # pyright: ignore[reportMissingImports]  # of Django 6
    from django.tasks.base import Task  # pyright: ignore[reportMissingImports]
    from django.tasks.signals import task_enqueued  # pyright: ignore[reportMissingImports]
    from django.utils import timezone
except ImportError as error:
    raise missing("duewheel.django.Backend", "django.tasks", "django>=6.0", error) from error

from duewheel.django import _service

if TYPE_CHECKING:
    from datetime import timedelta

    from duewheel.scheduler import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class RetriedTask(Task):  # type: ignore[misc]  # Django has no types
    """A task that may say how it is retried: `@task(retry_limit=3)`, with Django 6.1 and later."""

    retry_limit: int | None = None
    min_backoff: float | timedelta | None = None
    max_backoff: float | timedelta | None = None
    age_limit: float | timedelta | None = None


_RETRIES = ("retry_limit", "min_backoff", "max_backoff", "age_limit")


class Backend(BaseTaskBackend):  # type: ignore[misc]  # Django has no types
    """Keep the tasks of Django in a scheduler.

    `OPTIONS` of `TASKS` are the arguments of `Scheduler` (`storage`, `workers`, `plugins`, …), those of `JobOptions`
    for all tasks, where `retry_limit` is 0 unless given, and `run`: whether a process that enqueues runs tasks as well.

    **Order**: what is due first runs first. One priority more is a head start of a minute among tasks that are due;
    of priorities nine are told apart.
    **Concurrency**: one scheduler a process and alias, opened by the first that enqueues.
    **Durability**: when `enqueue` returns, the task is in the store, as `Scheduler.at` says.
    """

    task_class = RetriedTask
    supports_defer = True
    supports_async_task = True
    supports_priority = True

    def validate_task(self, task: Any) -> None:
        """Refuse what Django refuses, and note the task: this process can run it."""
        super().validate_task(task)
        _service.know(task)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Schedule a task; return its result, which is ready."""
        self.validate_task(task)
        service = self._service()
        now = datetime.now(UTC)
        run_after = task.run_after
        if run_after is not None and timezone.is_naive(run_after):
            run_after = timezone.make_aware(run_after)
        said = {
            "task": task.module_path,
            "queue": task.queue_name,
            "priority": task.priority,
            "run_after": None if run_after is None else run_after.timestamp(),
            "enqueued_at": now.timestamp(),
            "args": args,
            "kwargs": kwargs,
        }
        result = service.result("", said)  # refuses arguments that JSON does not have
        said |= {"args": result.args, "kwargs": result.kwargs}
        given = {name: value for name in _RETRIES if (value := getattr(task, name, None)) is not None}
        target = _service.target_of(task, task.queue_name, task.priority)
        data = json.dumps(said).encode()
        if run_after is None:
            job_id = service.scheduler.in_(0, target, data, **given)
        else:
            job_id = service.scheduler.at(run_after, target, data, **given)
        _service.put(result, id=job_id)
        task_enqueued.send(type(self), task_result=result)
        if service.runs_here:
            service.handle(target)  # it may be of a queue that no setting names
            service.scheduler.start()
        return result

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler of this process: not started, unless tasks run here and one was enqueued."""
        return self._service().scheduler

    def _service(self) -> _service.Service:
        return _service.service_of(self.alias, type(self), self.queues, self.options)
