"""The verb doctor: look at all that may be wrong with a store, and say the remedy of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from duewheel.cli import _checkups, _machine
from duewheel.cli._ends import FINE, FOUND, EndsError
from duewheel.cli._machine import Finding
from duewheel.cli._reach import VARIABLE
from duewheel.cli._tables import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duewheel.cli._call import Call

_MARKS = {"ok": ("ok", "green"), "note": ("note", ""), "warning": ("warning", "yellow"), "fault": ("FAULT", "red")}


def doctor(call: Call) -> int:
    """Look whether all is well: the store, what is overdue, the dead, the disk, the clock, versions."""
    found: dict[str, int] = {}
    for finding in _findings(call):
        found[finding.state] = found.get(finding.state, 0) + 1
        _show(call, finding)
    bad = found.get("warning", 0) + found.get("fault", 0)
    if not call.out.as_json:
        call.out.text()
        summary = f"{found.get('fault', 0)} at fault, {found.get('warning', 0)} to look at, {found.get('ok', 0)} fine"
        call.out.text(call.out.painted(summary, "bold"))
    return FOUND if bad else FINE


def _findings(call: Call) -> Iterator[Finding]:
    began = (time.time_ns(), time.monotonic_ns())
    place = call.place
    yield from _machine.versions()
    if not place.is_database:
        if not place.path.exists():
            raise EndsError(f"there is no file {place.given}: -f or {VARIABLE} has another name", 3)
        yield from _machine.before_opening(place.path)
    was_in_use = not place.is_database and _machine.has_side_files(place.path)
    try:
        with call.reach() as reached:
            if was_in_use and reached.how == "file":
                yield Finding("journal", "note", "the process that had the file did not end in order: it was recovered")
            yield from _checkups.of_the_store(reached)
            if call.args.deep and reached.runs:
                yield _checkups.of_a_copy(reached)
        if reached.how == "file":
            yield from _checkups.of_the_pages(place.path)
    except EndsError as error:
        yield _checkups.unreachable(str(error))
    if not place.is_database:
        yield from _machine.disk(place.path)
        yield from _machine.file_system(place.path)
    yield _machine.clock(began)


def _show(call: Call, finding: Finding) -> None:
    out = call.out
    if out.as_json:
        out.record(check=finding.check, state=finding.state, said=finding.said, remedy=finding.remedy)
        return
    mark, style = _MARKS[finding.state]
    room = None if out.width is None else out.width - 21
    for at, line in enumerate(wrapped(finding.said, room)):
        head = f"{out.painted(f'{mark:<8}', style)} {finding.check:<11} " if at == 0 else " " * 21
        out.text(head + line)
    for at, line in enumerate(wrapped(finding.remedy, None if room is None else room - 3) if finding.remedy else ()):
        out.text(" " * 21 + ("-> " if at == 0 else "   ") + line)
