"""The grammar of the command line: its verbs, their arguments, and what is said of them."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, Any, NoReturn

from duewheel import _core
from duewheel.cli import _dead, _doctor, _jobs, _repeats, _stored, _taking, _transfer, _watching
from duewheel.cli._ends import FINE, USAGE, EndsError
from duewheel.cli._when import FORMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from duewheel.cli._call import Call

_EPILOG = f"""\
WHEN is {FORMS}. A time without Z or an offset needs --tz.
Where jobs are: -f, or DUEWHEEL_DB in the environment; a file, or a postgresql:// URL.
Exit status: 0 fine, 1 something was found (an id that is unknown, a fault), 2 usage, 3 the jobs cannot be reached.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are the command's own."""

    def error(self, message: str) -> NoReturn:
        raise EndsError(f"{message}\n`{self.prog} --help` says what there is", USAGE)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = _Parser(
        prog="duewheel",
        description="Look after the jobs of duewheel: in a file, through the process that has it, or in a database.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"duewheel {_core.__version__}")
    _add_common(top, is_top=True)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for family in (_jobs_verbs, _repeats_verbs, _dead_verbs, _watching_verbs, _stored_verbs):
        family(_Verbs(verbs))
    return top


def _add_common(parser: argparse.ArgumentParser, *, is_top: bool = False) -> None:
    """Add what may stand before the verb and after it; said after it, it counts."""
    unsaid: Any = None if is_top else argparse.SUPPRESS
    group = parser.add_argument_group("where, and how")
    group.add_argument("-f", "--file", metavar="FILE|URL", default=unsaid, help="the jobs; else $DUEWHEEL_DB")
    group.add_argument("--schema", metavar="NAME", default=unsaid, help="of a database: duewheel, unless given")
    group.add_argument("--keys", metavar="FILE", default=unsaid, help="keys of encrypted data; else $DUEWHEEL_KEYS")
    group.add_argument(
        "--json", action="store_true", default=False if is_top else argparse.SUPPRESS, help="one object a line"
    )


class _Verbs:
    """The verbs, which are added one by one."""

    def __init__(self, verbs: Any) -> None:
        self._verbs = verbs

    def add(self, name: str, act: Callable[[Call], int], about: str = "", **more: Any) -> argparse.ArgumentParser:
        """Add a verb; what it does is said by its function."""
        said = about or (act.__doc__ or "").partition("\n")[0]
        verb: argparse.ArgumentParser = self._verbs.add_parser(
            name, help=said, description=said, allow_abbrev=False, **more
        )
        verb.set_defaults(act=act)
        _add_common(verb)
        return verb


def _add_tz(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--tz", metavar="ZONE", help="of times without an offset: Europe/Paris, +02:00, UTC, local")


def _add_limit(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-n", "--limit", type=_count, metavar="N", help="how many: 100 rows of a table; 0 is all")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"it must be a number of 0 or more, not {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"it must be a port, 0 to 65535, not {text!r}")
    return int(text)


def completion(call: Call) -> int:
    """Write what a shell completes this command by."""
    try:
        shtab = importlib.import_module("shtab")
    except ImportError as error:
        raise EndsError(f"completion needs one package more: pip install 'duewheel[completion]' ({error})") from None
    top = parser()
    (verbs,) = (action.choices for action in top._actions if isinstance(action.choices, dict))
    for one in (top, *verbs.values()):
        actions: list[Any] = one._actions
        for action in actions:
            if action.metavar in ("FILE", "FILE|URL", "PATH"):
                action.complete = shtab.FILE
    call.out.text(shtab.complete(top, shell=call.args.shell))
    return FINE


def _jobs_verbs(verbs: _Verbs) -> None:
    verb = verbs.add("list", _jobs.list_jobs)
    verb.add_argument("--target", metavar="T", help="of this target alone")
    verb.add_argument("--since", metavar="WHEN", help="due at this time or later")
    verb.add_argument("--until", metavar="WHEN", help="due before this time")
    _add_limit(verb)
    _add_tz(verb)

    verb = verbs.add("show", _jobs.show)
    verb.add_argument("id", metavar="ID")
    verb.add_argument("--deaths", type=_count, default=1, metavar="N", help="how many deaths of this id: 1")

    verb = verbs.add("add", _jobs.add, epilog=f"WHEN is {FORMS}; now, unless given. The id is printed.")
    verb.add_argument("target", metavar="TARGET")
    verb.add_argument("when", metavar="WHEN", nargs="*")
    data = verb.add_mutually_exclusive_group()
    data.add_argument("-d", "--data", metavar="TEXT")
    data.add_argument("--data-file", metavar="FILE", help="- is the standard input")
    verb.add_argument("--id", metavar="ID")
    verb.add_argument("--header", action="append", default=[], metavar="NAME=TEXT", help="a header; may be said again")
    verb.add_argument("--key", metavar="KEY", help="jobs of one target and key run one after another")
    verb.add_argument(
        "--on-conflict", choices=("error", "ignore", "update", "replace"), help="with --id: if it is taken"
    )
    verb.add_argument("--cron", metavar="EXPR", help="comes again at the times of a cron expression, in --tz or UTC")
    verb.add_argument("--every", metavar="DURATION", help="comes again after each of these")
    verb.add_argument("--retry-limit", metavar="N", help="how many retries; none is no limit")
    verb.add_argument("--min-backoff", metavar="DURATION")
    verb.add_argument("--max-backoff", metavar="DURATION")
    verb.add_argument("--age-limit", metavar="DURATION", help="the age at which retries end")
    verb.add_argument("--at-most-once", action="store_true")
    _add_tz(verb)

    verb = verbs.add("cancel", _jobs.cancel)
    verb.add_argument("ids", metavar="ID", nargs="+")

    verb = verbs.add("move", _jobs.move, epilog=f"WHEN is {FORMS}.")
    verb.add_argument("id", metavar="ID")
    verb.add_argument("when", metavar="WHEN", nargs="+")
    _add_tz(verb)

    verb = verbs.add("explain", _jobs.explain)
    verb.add_argument("id", metavar="ID")


def _repeats_verbs(verbs: _Verbs) -> None:
    verb = verbs.add("repeats", _repeats.repeats)
    verb.add_argument("--target", metavar="T", help="of this target alone")
    _add_limit(verb)

    for name, act in (("pause", _repeats.pause), ("resume", _repeats.resume)):
        verb = verbs.add(name, act)
        verb.add_argument("ids", metavar="ID", nargs="*", help="repeats")
        verb.add_argument("--target", metavar="T", help="all jobs of a target")

    verb = verbs.add("trigger", _repeats.trigger)
    verb.add_argument("ids", metavar="ID", nargs="+")

    verb = verbs.add("cron", _repeats.cron)
    verb.add_argument("expression", metavar="EXPR", help='"0 9 * * mon-fri"; with six fields, seconds first')
    verb.add_argument("--tz", metavar="ZONE", help="Europe/Paris, +02:00; UTC, unless given")
    verb.add_argument("-n", "--number", type=_count, default=5, metavar="N", help="how many times: 5")
    verb.add_argument("--after", metavar="WHEN", help="now, unless given")


def _dead_verbs(verbs: _Verbs) -> None:
    verb = verbs.add("dead", _dead.dead)
    verb.add_argument("--target", metavar="T", help="of this target alone")
    verb.add_argument("--before", metavar="WHEN", help="that died before this time, or so long ago: 30d")
    _add_limit(verb)
    _add_tz(verb)

    verb = verbs.add("revive", _dead.revive)
    verb.add_argument("ids", metavar="ID", nargs="*")
    verb.add_argument("--all", action="store_true", help="all dead, or with --target all of a target")
    verb.add_argument("--target", metavar="T")

    verb = verbs.add("purge", _dead.purge)
    verb.add_argument("ids", metavar="ID", nargs="*")
    verb.add_argument("--before", metavar="WHEN", help="a time, or how long ago: 30d; now is all")
    verb.add_argument("--dry-run", action="store_true", help="say how many, and forget none")
    _add_tz(verb)


def _watching_verbs(verbs: _Verbs) -> None:
    verb = verbs.add("stats", _watching.stats)
    verb.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    _add_looks(verb)

    verbs.add("targets", _watching.targets)
    verbs.add("running", _watching.running)

    verb = verbs.add("tail", _watching.tail)
    verb.add_argument("-n", "--last", type=_count, default=10, metavar="N", help="the last dead first: 10")
    _add_looks(verb)

    verb = verbs.add("doctor", _doctor.doctor)
    verb.add_argument("--deep", action="store_true", help="check the pages of a file in use, on a copy of it")


def _add_looks(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--every", default="1s", metavar="DURATION", help="between two looks: 1s")
    verb.add_argument("--looks", type=_count, metavar="N", help="end after so many")


def _stored_verbs(verbs: _Verbs) -> None:
    verb = verbs.add("backup", _stored.backup)
    verb.add_argument("path", metavar="PATH", help="the new file")

    verb = verbs.add("export", _transfer.export)
    verb.add_argument("-o", "--output", metavar="PATH", help="else the standard output")
    verb.add_argument("--no-dead", action="store_true", help="without the dead")

    verb = verbs.add("import", _taking.import_)
    verb.add_argument("source", metavar="PATH", nargs="?", help="what export has written; - is the standard input")
    verb.add_argument(
        "--from", dest="url", nargs=2, metavar=("apscheduler", "URL"), help="a job store of APScheduler 3"
    )
    verb.add_argument("--table", default="apscheduler_jobs", metavar="NAME", help="of that job store")
    verb.add_argument("--retry-limit", default="0", metavar="N", help="of its jobs: 0, for there is no retry there")
    verb.add_argument("--revive", action="store_true", help="take the dead in, too: due now")
    verb.add_argument("--dry-run", action="store_true", help="say what would be taken in")

    verbs.add("rotate", _stored.rotate)

    verb = verbs.add("migrate", _stored.migrate)
    verb.add_argument("--sql", action="store_true", help="write the statements, for a role that may run them")

    verb = verbs.add("completion", completion)
    verb.add_argument("shell", choices=("bash", "zsh"))

    verb = verbs.add("dashboard", _stored.dashboard)
    verb.add_argument("--host", default="127.0.0.1")
    verb.add_argument("--port", type=_port, default=8274)
    verb.add_argument("--actions", action="store_true", help="let it change jobs")
