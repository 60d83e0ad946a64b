"""Take in jobs and repeats: those of an export, and those of a job store of APScheduler."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from duewheel._core import Event, JobOptions
from duewheel.cli import _apscheduler
from duewheel.cli._ends import FINE, FOUND, EndsError
from duewheel.cli._jobs import retry_limit
from duewheel.cli._output import counted
from duewheel.cli._putting import REFUSALS, putting
from duewheel.cli._transfer import GivenDead, GivenRepeat, LineError, read_line
from duewheel.cli._when import moment
from duewheel.errors import DuplicateJobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from duewheel.cli._call import Call
    from duewheel.cli._reach import Reached

    Given = Event | GivenRepeat | GivenDead | LineError

_SAID = 20
"""How many of what was not taken in are named."""


def import_(call: Call) -> int:
    """Take in what was exported, or what is in a job store of APScheduler."""
    args = call.args
    if args.source is None and args.url is None:
        raise EndsError("say what to import: a file that export has written, - for the standard input, or --from")
    if args.source is not None and args.url is not None:
        raise EndsError("say a file or --from apscheduler URL: one of the two")
    if args.url is not None and args.url[0] != "apscheduler":
        raise EndsError(f"--from takes apscheduler and a URL, not {args.url[0]!r}")
    with _given(call) as given:
        if args.dry_run:
            taking = _Taking(call, None)
            taking.take_all(given)
            return taking.report("would take in")
        with call.reach(makes=True, durability="relaxed") as reached:
            taking = _Taking(call, reached)
            taking.take_all(given)
        return taking.report("took in")  # once a file is closed, all of it is on disk


@contextmanager
def _given(call: Call) -> Iterator[Iterable[tuple[str, Given]]]:
    """Open what is to be taken in: what each is called in messages, and what it is."""
    args = call.args
    if args.url is not None:
        yield _apscheduler.given(args.url[1], args.table, JobOptions(retry_limit=retry_limit(args.retry_limit)))
        return
    if args.source == "-":
        yield _lines(sys.stdin)
        return
    try:
        with Path(args.source).open(encoding="utf-8") as file:
            yield _lines(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise EndsError(f"{args.source} cannot be read: {reason}") from None


def _lines(file: Iterable[str]) -> Iterator[tuple[str, Given]]:
    for at, text in enumerate(file, 1):
        if text.strip():
            try:
                yield f"line {at}", read_line(text)
            except LineError as error:
                yield f"line {at}", error


class _Taking:
    """What was taken in, and what not."""

    def __init__(self, call: Call, reached: Reached | None) -> None:
        self._call = call
        self._calls = None if reached is None else reached.calls
        self._is_client = reached is not None and reached.runs
        self._counts: dict[str, int] = dict.fromkeys(("jobs", "repeats", "already", "dead", "refused"), 0)
        self._jobs = None if reached is None else putting(reached, lambda name, error: self._ended("jobs", name, error))

    def take_all(self, given: Iterable[tuple[str, Given]]) -> None:
        """Take in what there is, in its order; what is refused is said, and the rest goes on."""
        try:
            self._take_each(given)
            self._settle()
        finally:
            if self._jobs is not None:
                self._jobs.close()

    def _take_each(self, given: Iterable[tuple[str, Given]]) -> None:
        for name, one in given:
            if isinstance(one, GivenDead) and not self._call.args.revive:
                self._counts["dead"] += 1
            elif isinstance(one, LineError):
                self._ended("jobs", name, one)
            elif isinstance(one, GivenRepeat):
                self._settle()  # its id may be that of a job
                self._ended("repeats", name, self._problem_with(one))
            else:
                event = _revived(one.event) if isinstance(one, GivenDead) else one
                if self._jobs is None:
                    self._ended("jobs", name, None)
                else:
                    self._jobs.put(name, event)

    def _settle(self) -> None:
        if self._jobs is not None:
            self._jobs.settle()

    def _ended(self, kind: str, name: str, error: Exception | None) -> None:
        if error is None:
            self._counts[kind] += 1
        elif isinstance(error, DuplicateJobError):
            self._counts["already"] += 1
        else:
            self._refuse(name, error)

    def _problem_with(self, given: GivenRepeat) -> Exception | None:
        """Take a repeat in; return why it was not."""
        try:
            self._take_repeat(given)
        except REFUSALS as error:
            return error
        return None

    def _take_repeat(self, given: GivenRepeat) -> None:
        calls = self._calls
        if calls is None:
            return
        if calls.get_repeat(given.id) is not None:
            raise DuplicateJobError(given.id)
        if not given.declared:
            calls.repeat(given.schedule, given.target, given.data, id=given.id, **given.terms)
        elif self._is_client:
            raise LineError("it is declared by its program: the one that has the file declares it, or does not have it")
        else:
            calls._repeat(given.schedule, given.target, given.data, True, id=given.id, **given.terms)
        if given.next is not None:
            calls.reschedule(given.id, moment(given.next))
        if given.paused:
            calls.pause(given.id)

    def _refuse(self, name: str, error: Exception) -> None:
        self._counts["refused"] += 1
        if self._call.out.as_json:
            self._call.out.record(refused=name, why=str(error))
        elif self._counts["refused"] <= _SAID:
            self._call.out.error(f"{name}: not taken in: {error}")

    def report(self, did: str) -> int:
        """Say how many were taken in; return the status."""
        counts, out = self._counts, self._call.out
        if out.as_json:
            out.record(**counts, dry_run=self._call.args.dry_run)
        else:
            out.text(f"{did} {counted(counts['jobs'], 'job')} and {counted(counts['repeats'], 'repeat')}")
            if counts["already"]:
                out.text(f"{counts['already']:,} were there already")
            if counts["dead"]:
                out.text(f"{counts['dead']:,} dead were left out: --revive takes them in, due now")
        if counts["refused"] > _SAID and not out.as_json:
            out.error(f"and {counts['refused'] - _SAID:,} more were not taken in")
        return FOUND if counts["refused"] else FINE


def _revived(event: Event) -> Event:
    """Return what a dead job is when it is revived: due now, from attempt 1, its run going on."""
    return Event(event.job, run=event.run + 1, attempt=1, due=time.time_ns())
