"""What the doctor asks the store: whether it is sound, what is overdue, who runs it, the dead."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from duewheel.cli._machine import Finding
from duewheel.cli._output import at_local_exactly, counted, span
from duewheel.cli._shown import last_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duewheel._core import DeadEvent
    from duewheel.cli._reach import Reached

_LOOKED_AT = 100_000
"""How many jobs a check looks at: beyond, it says that there are more."""
_LATE_NS = 5 * 1_000_000_000
"""What is due for so long is overdue: anything may be late by a moment."""
_DAY_NS = 86_400 * 1_000_000_000
_MANY_DEAD = 10_000
_NAMED = 10
"""How many targets are named that are paused."""
_OFF_NS = 5 * 1_000_000_000


def unreachable(error: str) -> Finding:
    """Say that the store could not be opened."""
    said, _, remedy = error.partition("\n")
    if not remedy:
        remedy = "the error says what is wrong; docs/store.md says how a file is restored"
    return Finding("store", "fault", said, " ".join(remedy.split("\n")))


def of_the_store(reached: Reached) -> Iterator[Finding]:
    """Look at the jobs of a store that was reached."""
    if reached.how == "owner":
        yield Finding("store", "ok", "the process that has the file answers")
    elif reached.how == "file":
        yield Finding("store", "ok", "the file opens, and its journal is whole; no process has it")
    else:
        yield from _nodes(reached)
    now_ns = time.time_ns()
    yield from _overdue(reached, now_ns)
    paused = reached.calls._paused_targets()
    yield from _parked(reached, paused)
    yield from _paused(reached, paused)
    yield from _held_back(reached)
    yield from _dead(reached, now_ns)


def _nodes(reached: Reached) -> Iterator[Finding]:
    here_ns = time.time_ns()
    others = reached.other_nodes()
    own = [node for node in reached.calls.nodes() if node.pid == os.getpid() and node not in others]
    if not others:
        yield Finding("nodes", "warning", "the database answers, and no node lives: nothing runs", "start a worker")
    else:
        names = ", ".join(sorted(node.name for node in others)[:10])
        running = sum(node.running for node in others)
        yield Finding("nodes", "ok", f"{counted(len(others), 'node')}, {counted(running, 'job')} running: {names}")
    found = Counter(node.version for node in others)
    if len(found) > 1:
        each = ", ".join(f"{count} of {version}" for version, count in sorted(found.items()))
        yield Finding("versions", "warning", f"nodes of several versions: {each}", "bring all to the newest")
    for node in own[:1]:
        off_ns = here_ns - node.started
        if abs(off_ns) > _OFF_NS:  # by when this joined, a moment ago
            said = f"this machine's clock is off the server's by {off_ns / 1e9:+.1f} s"
            yield Finding("clock", "warning", said, "have a service keep the time on both, such as chrony")


def _overdue(reached: Reached, now_ns: int) -> Iterator[Finding]:
    first_ns: int | None = None
    by_target: Counter[str] = Counter()
    for event in islice(reached.calls.between(end=(now_ns - _LATE_NS) / 1e9), _LOOKED_AT + 1):
        first_ns = event.due if first_ns is None else first_ns
        by_target[event.target] += 1
    if first_ns is None:
        yield Finding("overdue", "ok", f"nothing is overdue; {counted(len(reached.calls), 'job')} pending")
        return
    count, more = _so_far(by_target.total())
    most = ", ".join(f"{target} {number:,}" for target, number in by_target.most_common(5))
    said = f"{more}{counted(count, 'job')} overdue, the first for {span(now_ns - first_ns)}, by target: {most}"
    if reached.how == "file":
        remedy = "start the program: no process has the file, so nothing runs"
    elif reached.how == "database":
        remedy = "start a worker that has handlers for these targets, or more workers"
    else:
        remedy = "have handlers for these targets, and enough workers for what they take; `duewheel running` shows them"
    yield Finding("overdue", "warning", said, remedy)


def _so_far(found: int) -> tuple[int, str]:
    """Return how many were looked at, and what stands before it where there are more."""
    return min(found, _LOOKED_AT), "more than " if found > _LOOKED_AT else ""


def _paused(reached: Reached, paused: list[str]) -> Iterator[Finding]:
    if not paused:
        return
    counted_of = {} if reached.how == "database" else reached.calls.targets()  # a node knows its own alone
    names = []
    for name in paused[:_NAMED]:
        numbers = counted_of.get(name)
        names.append(f"{name} ({numbers.pending:,} pending)" if numbers is not None and numbers.pending else name)
    more = f" and {len(paused) - _NAMED:,} more" if len(paused) > _NAMED else ""
    said = f"{counted(len(paused), 'target')} paused: {', '.join(names)}{more}"
    yield Finding("targets", "note", said, "duewheel resume --target T lets the jobs of one go on")


def _parked(reached: Reached, paused: list[str]) -> Iterator[Finding]:
    if not reached.runs:
        return
    stats = reached.calls.stats()
    if stats.stuck:
        said = f"{counted(stats.stuck, 'handler')} on threads run past their timeouts"
        yield Finding("stuck", "warning", said, "the log has their stacks; duewheel running shows them")
    by_target: dict[str, int] = {}
    if stats.parked:
        counted_of = reached.calls.targets().items()
        by_target = {name: numbers.parked for name, numbers in counted_of if numbers.parked and name not in paused}
    parked = sum(by_target.values())
    if not parked:
        yield Finding("parked", "ok", "all that is due has a handler")
        return
    names = ", ".join(f"{name} {count:,}" for name, count in sorted(by_target.items(), key=lambda one: -one[1])[:5])
    said = f"{counted(parked, 'job')} parked, their targets have no handler: {names}"
    yield Finding("parked", "warning", said, "register the handlers, or cancel the jobs; explain ID says why one waits")


def _held_back(reached: Reached) -> Iterator[Finding]:
    held = [repeat for repeat in reached.calls.repeats() if repeat._held is not None and not repeat.paused]
    if not reached.runs:  # what is declared is held back by all who do not run the program
        held = [repeat for repeat in held if not repeat.declared]
    if held:
        first = "; ".join(f"{repeat.id}: {repeat._held}" for repeat in held[:5])
        said = f"{counted(len(held), 'repeat')} held back: {first}"
        yield Finding("repeats", "warning", said, "declare them again, or cancel them; a zone needs tzdata")
    paused = sum(1 for repeat in reached.calls.repeats() if repeat.paused)
    if paused:
        yield Finding("repeats", "note", f"{counted(paused, 'repeat')} paused", "resume ID lets one go on")


def _dead(reached: Reached, now_ns: int) -> Iterator[Finding]:
    newest: DeadEvent | None = None
    found = today = yesterday = 0
    by_target: Counter[str] = Counter()
    for one in islice(reached.calls.dead(), _LOOKED_AT + 1):  # not as a list: their errors are long
        newest = newest or one
        found += 1
        if one.died > now_ns - _DAY_NS:
            today += 1
            by_target[one.event.target] += 1
        elif one.died > now_ns - 2 * _DAY_NS:
            yesterday += 1
    if newest is None:
        yield Finding("dead", "ok", "no job is dead")
        return
    count, more = _so_far(found)
    said = f"{more}{count:,} dead, {today:,} of them within a day, {yesterday:,} in the day before"
    if by_target:
        said += ", of " + ", ".join(f"{target} {number:,}" for target, number in by_target.most_common(3))
        said += f"; the last: {last_line(newest.error)}"
    if today:
        remedy = "duewheel dead shows them; mend what failed, then revive --all --target T"
        yield Finding("dead", "warning", said, remedy)
    elif count > _MANY_DEAD:
        yield Finding("dead", "warning", said, "they stay until purge: duewheel purge --before 30d")
    else:
        yield Finding("dead", "ok", said)
    if newest.died > now_ns + _LATE_NS:
        when = at_local_exactly(newest.died)
        remedy = "jobs of at() run by the clock as it is now; look at what sets it"
        yield Finding("clock", "warning", f"a job died at {when}, which is to come: the clock was set back", remedy)


# The pages


def of_a_copy(reached: Reached) -> Finding:
    """Check the pages of a file in use: those of a copy of it, which is removed again."""
    with tempfile.TemporaryDirectory(prefix="duewheel-doctor-", dir=reached.place.path.resolve().parent) as folder:
        copy = Path(folder) / "copy.db"
        reached.calls.backup(copy)
        return next(iter(of_the_pages(copy)))


def _state_of(path: Path) -> tuple[int, bool]:
    """Return what changes when a file comes into use."""
    return path.stat().st_mtime_ns, Path(f"{path}-ops").exists()


def of_the_pages(path: Path) -> Iterator[Finding]:
    """Check the pages of a file that nobody has open."""
    try:
        import sqlite3
    except ImportError:
        yield Finding("pages", "note", "not checked: this Python has no sqlite3", "take one that has it")
        return
    before = _state_of(path)
    try:
        # As it lies there: nothing is locked, and no file is made beside it.
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)
        try:
            said = [row[0] for row in connection.execute("PRAGMA quick_check(10)")]
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            unapplied = 0
            if "unapplied" in tables:
                (unapplied,) = connection.execute("SELECT count(*) FROM unapplied").fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        said, schema, unapplied = [str(error)], 0, 0
    if _state_of(path) != before:
        yield Finding("pages", "note", "not checked: a process has opened the file meanwhile", "look again with --deep")
    elif said == ["ok"]:
        yield Finding("pages", "ok", f"sound; schema {schema}, SQLite {sqlite3.sqlite_version} looked")
    else:
        remedy = "stop the program, export what can be read, and restore a backup: docs/store.md says how"
        yield Finding("pages", "fault", f"damaged: {'; '.join(said[:3])}", remedy)
    if unapplied:
        said_of_it = f"{counted(unapplied, 'record')} of the journal could not be applied, and are kept as they were"
        yield Finding("journal", "fault", said_of_it, "look at the table unapplied; docs/store.md says what it has")
