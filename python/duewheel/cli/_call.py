"""One call of the command line: what was asked for, where the answer goes, and how the jobs are reached."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from duewheel.cli._ends import FINE, FOUND, UNREACHABLE, EndsError
from duewheel.cli._reach import place_of, reached, without_password
from duewheel.cli._tables import plain
from duewheel.errors import DuewheelError, DuplicateJobError, PayloadTooLargeError, StorageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import Literal

    from duewheel.cli._output import Output
    from duewheel.cli._reach import Place, Reached


class Call:
    """What a verb is given."""

    def __init__(self, args: argparse.Namespace, out: Output) -> None:
        self.args: Any = args
        self.out = out

    @property
    def place(self) -> Place:
        """Where the jobs are."""
        return place_of(self.args)

    def reach(
        self, *, makes: bool = False, durability: Literal["commit", "relaxed"] = "commit"
    ) -> AbstractContextManager[Reached]:
        """Reach the jobs."""
        return reached(self.place, makes=makes, durability=durability)

    def each(self, ids: Iterable[str], call: Callable[[str], bool], done: str, failed: str) -> int:
        """Call something for each id, and say that it is `done`, or why not; return the status."""
        status = FINE
        for job_id in ids:
            with refusing():
                try:
                    is_done, problem = bool(call(job_id)), f"{job_id}: {failed}"
                except DuplicateJobError as error:
                    is_done, problem = False, f"{job_id}: {error}"
            if self.out.as_json:
                self.out.record(id=job_id, **{done: is_done})
            elif is_done:
                self.out.text(f"{done} {plain(job_id)}")
            if not is_done:
                self.out.error(problem)
                status = FOUND
        return status


@contextmanager
def refusing() -> Iterator[None]:
    """Make errors of what the command line gave to a call end the command, with what the call says."""
    try:
        with ending():
            yield
    except (TypeError, ValueError, OverflowError) as error:
        raise EndsError(without_password(str(error))) from None


@contextmanager
def ending() -> Iterator[None]:
    """Make errors of duewheel end the command."""
    try:
        yield
    except DuplicateJobError as error:
        raise EndsError(str(error), FOUND) from None
    except PayloadTooLargeError as error:
        raise EndsError(str(error)) from None
    except StorageError as error:
        raise EndsError(without_password(str(error)), UNREACHABLE) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        raise EndsError(f"{where}{error.strerror or error}", UNREACHABLE) from None
    except DuewheelError as error:  # a call that does not fit
        raise EndsError(without_password(str(error))) from None
