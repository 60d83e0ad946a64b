"""Take in jobs and repeats: those of an export, and those of a job store of APScheduler."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duewheel._core import Event, JobOptions
from duewheel.cli import _apscheduler
from duewheel.cli._ends import FINE, FOUND, EndsError
from duewheel.cli._jobs import retry_limit
from duewheel.cli._output import counted
from duewheel.cli._transfer import GivenDead, GivenRepeat, LineError, read_line
from duewheel.cli._when import moment
from duewheel.errors import DuplicateJobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from duewheel.cli._call import Call
    from duewheel.cli._reach import Reached

    Given = Event | GivenRepeat | GivenDead | LineError

_ON_THEIR_WAY = 512
"""How many jobs a store is asked about before the first answer is waited for."""
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
        self._asked: deque[tuple[str, Any]] = deque()
        self._last_ticket = 0

    def take_all(self, given: Iterable[tuple[str, Given]]) -> None:
        """Take in what there is, in its order; what is refused is said, and the rest goes on."""
        for name, one in given:
            if isinstance(one, GivenDead):
                if not self._call.args.revive:
                    self._counts["dead"] += 1
                    continue
                one = _revived(one.event)
            if isinstance(one, LineError):
                self._refuse(name, one)
            elif isinstance(one, GivenRepeat):
                self._settle(0)
                self._count("repeats", name, lambda one=one: self._take_repeat(one))
            else:
                self._take_job(name, one)
        self._settle(0)
        if self._calls is not None and self._last_ticket:
            self._calls._wait_settled(self._last_ticket)

    def _take_job(self, name: str, event: Event) -> None:
        if self._calls is None:
            self._counts["jobs"] += 1
            return
        calls = self._calls
        if self._is_client:
            self._count("jobs", name, lambda: calls.storage.create(event))
            return
        self._count("jobs", name, lambda: self._asked.append((name, calls._awaited().restore(event))))
        self._settle(_ON_THEIR_WAY)

    def _settle(self, most: int) -> None:
        """Wait for answers until so many are on their way."""
        while len(self._asked) > most:
            name, made = self._asked.popleft()
            try:
                while not isinstance(made, tuple):
                    made = made.wait()
                self._last_ticket = max(self._last_ticket, made[1])
            except DuplicateJobError:
                self._counts["jobs"] -= 1
                self._counts["already"] += 1
            except (TypeError, ValueError) as error:
                self._counts["jobs"] -= 1
                self._refuse(name, error)

    def _count(self, kind: str, name: str, take: Any) -> None:
        try:
            if take() is False:
                self._counts["already"] += 1
            else:
                self._counts[kind] += 1
        except DuplicateJobError:
            self._counts["already"] += 1
        except (TypeError, ValueError, OverflowError) as error:
            self._refuse(name, error)

    def _take_repeat(self, given: GivenRepeat) -> bool:
        calls = self._calls
        if calls is None:
            return True
        if calls.get_repeat(given.id) is not None:
            return False
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
        return True

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
