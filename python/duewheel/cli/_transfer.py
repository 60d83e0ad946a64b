"""Export jobs, repeats and the dead as lines of JSON, and read such lines."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from duewheel._carried import carried_as, carried_of
from duewheel._core import Event, Job, JobOptions, defined_schedule
from duewheel._times import exactly
from duewheel.cli._ends import FINE, UNREACHABLE, EndsError
from duewheel.cli._output import counted
from duewheel.cli._shown import data_fields, options_fields
from duewheel.options import Consistency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duewheel._core import DeadEvent, Repeat, Schedule
    from duewheel.cli._call import Call

_VERSION = 1


class GivenRepeat(NamedTuple):
    """A repeat as it is taken in: how `Scheduler.repeat` is called, and how it stood."""

    id: str
    schedule: Schedule
    target: str
    data: bytes
    terms: dict[str, Any]
    next: int | None = None
    """When its coming occurrence is due, in unix nanoseconds; `None`: when its schedule says."""
    paused: bool = False
    declared: bool = False


class GivenDead(NamedTuple):
    """A job that ended as dead, elsewhere."""

    event: Event


class LineError(ValueError):
    """Refuse a line, and say why."""


# Out


def export(call: Call) -> int:
    """Write all that is pending, all repeats and all dead, as lines of JSON."""
    args = call.args
    counts = dict.fromkeys(("job", "repeat", "dead"), 0)
    with call.reach() as reached, _written(args.output) as file:
        calls = reached.calls
        repeats = list(calls.repeats())
        ids = {repeat.id for repeat in repeats}
        for event in calls.between():
            if event.job_id not in ids:
                counts["job"] += _write(file, _job_line(event))
        for repeat in repeats:
            coming = calls.get(repeat.id)
            carried = {} if coming is None else carried_of(coming.job)  # each of its occurrences has that
            counts["repeat"] += _write(file, _repeat_line(repeat) | carried)
        for dead in () if args.no_dead else calls.dead():
            counts["dead"] += _write(file, _dead_line(dead))
        running = calls.stats().running
    text = f"{counted(counts['job'], 'job')}, {counted(counts['repeat'], 'repeat')}, {counts['dead']:,} dead"
    call.out.note(
        f"exported {text}" + (f"; {counted(running, 'job')} ran meanwhile and may be missing" if running else "")
    )
    return FINE


@contextmanager
def _written(path: str | None) -> Iterator[TextIO]:
    """Open what is exported to: the standard output, or a file that is there when it is whole."""
    if path is None:
        yield sys.stdout
        return
    part = Path(f"{path}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise EndsError(f"the export cannot be written: {path}: {error.strerror}", UNREACHABLE) from None
    finally:
        part.unlink(missing_ok=True)


def _write(file: TextIO, line: dict[str, Any]) -> int:
    file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return 1


def _job_line(event: Event) -> dict[str, Any]:
    job = event.job
    line: dict[str, Any] = {"v": _VERSION, "kind": "job", "id": job.id, "target": job.target, "due": event.due}
    line |= {"first_due": job.due, "run": event.run, "attempt": event.attempt}
    line |= carried_of(job)
    return line | data_fields(job.data) | {"options": options_fields(job.options)}


def _dead_line(dead: DeadEvent) -> dict[str, Any]:
    line = _job_line(dead.event) | {"kind": "dead"}
    return line | {"reason": dead.reason, "error": dead.error, "died": dead.died}


def _repeat_line(repeat: Repeat) -> dict[str, Any]:
    _, (definition,) = repeat.schedule.__reduce__()
    line: dict[str, Any] = {"v": _VERSION, "kind": "repeat", "id": repeat.id, "target": repeat.target}
    line |= {"schedule": definition, "next": repeat.next, "paused": repeat.paused, "declared": repeat.declared}
    line |= {"occurrence": repeat.occurrence, "previous": repeat.previous, "missed": repeat.missed}
    line |= {"start": repeat.start, "end": repeat.end, "count": repeat.count}
    line |= {"spread_ns": round(repeat.spread * 1e9), "catch_up": repeat.catch_up}
    line |= {"window_ns": None if repeat.window is None else round(repeat.window * 1e9)}
    line |= {"pause_on_dead": repeat.pause_on_dead}
    return line | data_fields(repeat.data) | {"options": options_fields(repeat.options)}


# In


def read_line(text: str) -> Event | GivenRepeat | GivenDead:
    """Read a line of an export.

    **Raises** `LineError`, which says what is wrong with it.
    """
    try:
        line = json.loads(text)
    except ValueError as error:
        raise LineError(f"it is no JSON: {error}") from None
    if not isinstance(line, dict) or "v" not in line:
        raise LineError("it is no line of an export: an object with v, kind, id, target and more")
    if line["v"] != _VERSION:
        raise LineError(f"it is of version {line['v']!r}, and this duewheel reads {_VERSION}")
    try:
        kind = line.get("kind", "job")
        if kind == "job":
            return _event(line)
        if kind == "dead":
            return GivenDead(_event(line))
        if kind == "repeat":
            return _given_repeat(line)
    except KeyError as error:
        raise LineError(f"it has no {error.args[0]}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise LineError(str(error)) from None
    raise LineError(f"its kind is {kind!r}, and there are job, repeat and dead")


def _event(line: dict[str, Any]) -> Event:
    first_due = line.get("first_due", line["due"])
    options = read_options(line.get("options") or {})
    job = Job(line["id"], line["target"], first_due, _data(line), options, **_carried(line))
    return Event(job, run=line.get("run", 1), attempt=line.get("attempt", 1), due=line["due"])


def _carried(line: dict[str, Any]) -> dict[str, Any]:
    if "keep_ns" in line:
        _whole(line["keep_ns"], "keep_ns")
    return carried_as(line)


def _data(line: dict[str, Any]) -> bytes:
    if "data64" in line:
        try:
            return base64.b64decode(line["data64"], validate=True)
        except binascii.Error as error:
            raise LineError(f"its data64 is no base64: {error}") from None
    data = line.get("data", "")
    if not isinstance(data, str):
        raise LineError(f"its data must be a text, not {data!r}")
    return data.encode()


def read_options(fields: dict[str, Any]) -> JobOptions:
    """Read the options of a job; what is not there is as nobody had said it."""
    keywords: dict[str, Any] = {}
    if "retry_limit" in fields:
        keywords["retry_limit"] = fields["retry_limit"]
    for name in ("min_backoff", "max_backoff", "age_limit"):
        if f"{name}_ns" in fields:
            ns = fields[f"{name}_ns"]
            keywords[name] = None if ns is None and name == "age_limit" else exactly(_whole(ns, f"{name}_ns"))
    if fields.get("at_most_once"):
        keywords["consistency"] = Consistency.AT_MOST_ONCE
    return JobOptions(**keywords)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise LineError(f"its {name} must be a whole number of nanoseconds, not {value!r}")
    return value


def _given_repeat(line: dict[str, Any]) -> GivenRepeat:
    from duewheel.cli._when import moment

    terms: dict[str, Any] = {"options": read_options(line.get("options") or {}), **_carried(line)}
    for name in ("start", "end"):
        if line.get(name) is not None:
            terms[name] = moment(_whole(line[name], name))
    for name in ("spread", "window"):
        if line.get(f"{name}_ns"):
            terms[name] = exactly(_whole(line[f"{name}_ns"], f"{name}_ns"))
    for name in ("catch_up", "pause_on_dead"):
        if name in line:
            terms[name] = line[name]
    if line.get("count") is not None:  # as many as are left
        terms["count"] = _whole(line["count"], "count") - _whole(line.get("occurrence", 1), "occurrence") + 1
    return GivenRepeat(
        line["id"],
        defined_schedule(line["schedule"]),
        line["target"],
        _data(line),
        terms,
        next=None if line.get("next") is None else _whole(line["next"], "next"),
        paused=bool(line.get("paused")),
        declared=bool(line.get("declared")),
    )
