"""The command line of duewheel: `duewheel`, or `python -m duewheel`.

    duewheel -f jobs.db list
    DUEWHEEL_DB=postgresql://app@db.example/app duewheel doctor

`docs/command-line.md` has all verbs. The exit status is 0 when all is fine, 1 when something was found, 2 for a usage
that cannot be, and 3 when the jobs cannot be reached.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from typing import TYPE_CHECKING

from duewheel.cli._call import Call, ending
from duewheel.cli._ends import BROKEN_PIPE, INTERRUPTED, EndsError
from duewheel.cli._output import Output
from duewheel.cli._parser import parser

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status.

    `arguments` are those after the name of the program; unless given, those of this process.

    >>> main(["cron", "0 9 * * *", "-n", "1", "--after", "2027-01-04T00:00Z"])
    Cron('0 9 * * *', tz='UTC')
      Mon 2027-01-04 09:00 +00:00
    0
    """
    out = Output(sys.stdout, sys.stderr)
    try:
        try:
            args = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
            out.as_json = args.json
            with _logged_to(out), ending():
                status: int = args.act(Call(args, out))
            out.flush()
        except EndsError as error:
            out.flush()
            out.error(str(error))
            status = error.status
    except BrokenPipeError:
        _leave_pipe()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


class _logged_to(logging.Handler):  # noqa: N801 - it is used as a context manager
    """Show what duewheel logs meanwhile as notes of the command."""

    def __init__(self, out: Output) -> None:
        super().__init__(logging.WARNING)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        self._out.note(f"duewheel: {record.getMessage()}")

    def __enter__(self) -> None:
        logging.getLogger("duewheel").addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("duewheel").removeHandler(self)


def _leave_pipe() -> None:
    """Let the interpreter's end flush into nothing: who read the output has gone."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
