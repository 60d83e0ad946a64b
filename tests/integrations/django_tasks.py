"""Tasks of a project of Django, and its settings."""

# ruff: noqa: E402  # settings come before what reads them
import django
from django.conf import settings

if not settings.configured:
    settings.configure(LOGGING_CONFIG=None)
    django.setup()
settings.TASKS = {"default": {"BACKEND": "duewheel.django.Backend", "QUEUES": ["default", "mail"]}}

from django.tasks import task

from duewheel import Discard, Snooze

ran = []
"""What the tasks have done."""


@task
def add(a, b):
    ran.append((a, b))
    return a + b


@task(takes_context=True)
def look(context, what):
    ran.append((context.attempt, context.task_result.status, context.task_result.args))
    if what == "snooze" and len(ran) == 1:
        raise Snooze(5)


@task
async def later(what):
    ran.append(what)
    return {"said": [what]}


@task
def fail(message):
    ran.append(message)
    raise LookupError(message)


@task(retry_limit=2, min_backoff=1, max_backoff=1)
def fail_again(times):
    ran.append("tried")
    if len(ran) <= times:
        raise ConnectionError
    return "well"


@task
def discard():
    raise Discard("no use")


@task
def unlike_json():
    return object()


@task(queue_name="mail", priority=50)
def send(to):
    ran.append(to)
