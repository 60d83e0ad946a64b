"""A scheduler in an application of Flask.

>>> import flask
>>> import duewheel.flask
>>> app = flask.Flask("shop")
>>> scheduler = duewheel.Scheduler()
>>> duewheel.flask.init_app(app, scheduler)
>>> @scheduler.handler("greet")
... def greet(event):
...     print(flask.current_app.name, event.data.decode())
>>> with scheduler:
...     id = scheduler.in_(0, "greet", b"Ada")
...     finished = scheduler.wait()
shop Ada
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from duewheel._answering import file_of
from duewheel._checks import shown
from duewheel._extras import missing
from duewheel.errors import StateError
from duewheel.scheduler import Scheduler

try:
    import click
    import flask
except ImportError as error:
    raise missing("duewheel.flask", "flask", "flask", error) from error

if TYPE_CHECKING:
    from duewheel import aio

__all__ = ["init_app"]


def init_app(app: flask.Flask, scheduler: Scheduler | aio.Scheduler) -> None:
    """Run each handler of the scheduler in an application context of `app`, and give `app` the command `duewheel`.

    Handlers have `current_app` and a `g` of their own; what `teardown_appcontext` registers is called at the end of
    each attempt, with what it has raised. So it is for handlers that are registered already, and later. The scheduler
    is `app.extensions["duewheel"]`. It is not started: `with scheduler:`, or `flask duewheel run` in a process of its
    own, which gives the main thread to it until SIGTERM or Ctrl-C; `flask duewheel list` and so on look after its file.

    **Raises** `TypeError` for what is no application or no scheduler; `StateError` when the application has a
    scheduler, or the scheduler an application.
    """
    if not isinstance(app, flask.Flask):
        raise TypeError(f"app must be a flask.Flask, not {shown(app)}")
    if isinstance(scheduler, type) or not hasattr(scheduler, "_put_around"):
        raise TypeError(f"scheduler must be a Scheduler, not {shown(scheduler)}")
    if "duewheel" in app.extensions:
        raise StateError(f"the application {app.name!r} has a scheduler: make another application")
    scheduler._put_around(lambda _event: app.app_context(), "a Flask application")
    app.extensions["duewheel"] = scheduler
    if isinstance(scheduler, Scheduler):
        app.cli.add_command(_command(scheduler))


class _Verbs(click.Group):
    """`run`, and the verbs of the command `duewheel`, which get the file of the scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__("duewheel", help="The scheduler of this application: run, or a verb of `duewheel --help`.")
        self._scheduler = scheduler

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return a verb, which takes what is not for click."""
        return super().get_command(ctx, cmd_name) or click.Command(
            cmd_name,
            callback=lambda arguments: ctx.exit(self._look_after([cmd_name, *arguments])),
            params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
            context_settings={"ignore_unknown_options": True, "help_option_names": []},
        )

    def _look_after(self, arguments: list[str]) -> int:
        from duewheel import cli

        path = file_of(self._scheduler)
        if path is None:
            raise click.UsageError("this scheduler has no file; of a database ask `duewheel -f postgresql://…`")
        self._scheduler.close()  # this process has imported the application, and so has the file
        return cli.main(["-f", path, *arguments])


def _command(scheduler: Scheduler) -> click.Group:
    group = _Verbs(scheduler)

    @group.command("run")
    @click.option("--drain-timeout", type=float, help="Seconds that handlers have to end after a signal.")
    def run(drain_timeout: float | None) -> None:
        """Run what is due until SIGTERM or Ctrl-C."""
        scheduler.run(drain_timeout=drain_timeout)

    return group
