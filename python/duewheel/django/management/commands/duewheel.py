"""`manage.py duewheel run`: the worker of `duewheel.django.Backend`; and the command `duewheel` for its file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import autodiscover_modules

if TYPE_CHECKING:
    from duewheel.scheduler import Scheduler


OWN = ("run", "-h", "--help")


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Run tasks that are due."""

    help = "Runs the tasks of duewheel.django.Backend; other verbs are those of `duewheel --help`."

    def run_from_argv(self, argv: list[str]) -> None:
        """Leave other verbs to the command `duewheel`, with the place of the default backend."""
        if len(argv) < 3 or argv[2] in OWN:
            super().run_from_argv(argv)
            return
        from django.conf import settings

        from duewheel import cli

        options = settings.TASKS.get("default", {}).get("OPTIONS", {})
        place = [] if options.get("storage") is None else ["-f", str(options["storage"])]
        sys.exit(cli.main([*place, *argv[2:]]))

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the verb and its options."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        run = verbs.add_parser("run", help="run what is due until SIGTERM or Ctrl-C")
        run.add_argument("--backend", default="default", help="the alias in TASKS")
        run.add_argument("--drain-timeout", type=float, help="seconds that tasks have to end after a signal")

    def handle(self, *_args: Any, backend: str, drain_timeout: float | None, **_options: Any) -> None:
        """Give the main thread to the scheduler."""
        autodiscover_modules("tasks")
        scheduler = _scheduler_of(backend)
        self.stdout.write(f"{scheduler!r} runs the tasks of {backend!r}")
        scheduler.run(drain_timeout=drain_timeout)


def _scheduler_of(alias: str) -> Scheduler:
    from django.tasks import task_backends  # pyright: ignore[reportMissingImports]  # of Django 6

    from duewheel.django import Backend

    found = task_backends[alias]
    if not isinstance(found, Backend):
        raise CommandError(f"TASKS[{alias!r}] is a {type(found).__qualname__}, not a duewheel.django.Backend")
    return found.scheduler
