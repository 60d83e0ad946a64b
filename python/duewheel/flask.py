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

from duewheel._checks import shown
from duewheel._extras import missing
from duewheel.errors import StateError
from duewheel.scheduler import Core, Scheduler

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
    own, which gives the main thread to it until SIGTERM or Ctrl-C.

    **Raises** `TypeError` for what is no application or no scheduler; `StateError` when the application has a
    scheduler, or the scheduler an application.
    """
    core: object = getattr(scheduler, "_core", scheduler)
    if not isinstance(app, flask.Flask):
        raise TypeError(f"app must be a flask.Flask, not {shown(app)}")
    if not isinstance(core, Core):
        raise TypeError(f"scheduler must be a Scheduler, not {shown(scheduler)}")
    if "duewheel" in app.extensions:
        raise StateError(f"the application {app.name!r} has a scheduler: make another application")
    core._put_around(lambda _event: app.app_context(), "a Flask application")
    app.extensions["duewheel"] = scheduler
    if isinstance(scheduler, Scheduler):
        app.cli.add_command(_command(scheduler))


def _command(scheduler: Scheduler) -> click.Group:
    group = click.Group("duewheel", help="The scheduler of this application.")

    @group.command("run")
    @click.option("--drain-timeout", type=float, help="Seconds that handlers have to end after a signal.")
    def run(drain_timeout: float | None) -> None:
        """Run what is due until SIGTERM or Ctrl-C."""
        scheduler.run(drain_timeout=drain_timeout)

    return group
