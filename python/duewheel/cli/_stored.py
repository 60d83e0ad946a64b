"""The verbs of a store as a whole: backup, rotate, migrate, dashboard."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from duewheel.cli._call import refusing
from duewheel.cli._ends import FINE, EndsError
from duewheel.cli._output import counted, size
from duewheel.cli._tables import plain
from duewheel.postgres import sql

if TYPE_CHECKING:
    from duewheel.cli._call import Call


def backup(call: Call) -> int:
    """Copy the file into a new one, while it is in use."""
    path = call.args.path
    with call.reach() as reached, refusing():
        reached.calls.backup(path)
    taken = Path(path).stat().st_size
    call.out.say(f"made {plain(path)}, {size(taken)}", path=path, bytes=taken)
    return FINE


def rotate(call: Call) -> int:
    """Encrypt the data of all jobs under the last key of the file of keys."""
    out = call.out
    if call.place.keys is None:
        raise EndsError("say --keys FILE: a number and a key a line, those in use and, last, the new one")
    shows = out.is_terminal and not out.as_json
    rows = 0

    def progress(done: int, all: int) -> None:
        nonlocal rows
        rows = all
        if shows:
            out.overwrite(f"{done:,} of {counted(all, 'row')}")

    with call.reach() as reached, refusing():
        if reached.runs:
            raise EndsError("a process has the file: let it call scheduler.rotate(), or stop it first")
        reached.calls.rotate(progress)
    if shows:
        out.overwrite("")
    out.say("all data are under the last key: the others are no longer needed", rotated=True, rows=rows)
    return FINE


def migrate(call: Call) -> int:
    """Make the tables of a database, or bring them up to date."""
    place = call.place
    if call.args.sql:
        call.out.say(sql(place.schema), sql=sql(place.schema))
        return FINE
    if not place.is_database:
        raise EndsError("a file is brought up to date by whoever opens it: migrate is for postgresql:// URLs")
    with call.reach(makes=True):
        pass
    call.out.say(f"the tables in {plain(place.schema)} are up to date", migrated=True, schema=place.schema)
    return FINE


def dashboard(call: Call) -> int:
    """Serve the dashboard until Ctrl-C."""
    args = call.args
    try:
        serve = import_module("duewheel.dashboard").serve
    except ImportError as error:
        raise EndsError(f"the dashboard needs more packages: pip install 'duewheel[dashboard]' ({error})") from None
    with call.reach() as reached:
        call.out.note(f"http://{args.host}:{args.port}/ shows {call.place.shown}; Ctrl-C ends it")
        with refusing():
            serve(reached.calls, host=args.host, port=args.port, actions=args.actions)
    return FINE
