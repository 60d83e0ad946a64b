"""The verbs of pending jobs: list, show, add, cancel, move, explain."""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duewheel.cli._call import refusing
from duewheel.cli._ends import FINE, FOUND, EndsError
from duewheel.cli._output import at_local_exactly, at_utc, counted, from_now, size
from duewheel.cli._shown import (
    JOBS,
    data_fields,
    data_text,
    dead_fields,
    job_fields,
    job_row,
    options_fields,
    repeat_fields,
)
from duewheel.cli._tables import plain, wrapped
from duewheel.cli._when import When, delay, moment, read_duration, read_when
from duewheel.options import Consistency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duewheel._core import DeadEvent, Event, Repeat
    from duewheel.cli._call import Call
    from duewheel.cli._reach import Reached
    from duewheel.scheduler import Scheduler

_TABLE_LIMIT = 100


def table_limit(call: Call) -> int | None:
    """Return how many rows are asked for: 100 of a table unless it is said, and all for a program."""
    if call.args.limit is None:
        return None if call.out.as_json else _TABLE_LIMIT
    return int(call.args.limit) or None


def list_jobs(call: Call) -> int:
    """List what is pending, in the order in which it is due."""
    args, out = call.args, call.out
    start, end = (None if at is None else moment(read_when(at, args.tz).wall_ns()) for at in (args.since, args.until))
    limit = table_limit(call)
    with call.reach() as reached:
        with refusing():
            events = reached.calls.between(start, end, target=args.target)
        if out.as_json:
            for event in islice(events, limit):
                out.record(**job_fields(event))
            return FINE
        now_ns = time.time_ns()
        if not out.table(JOBS, (job_row(event, now_ns) for event in events), limit):
            out.text("nothing is pending" + (" that is asked for" if args.target or start or end else ""))
    return FINE


def show(call: Call) -> int:
    """Show all that is known of an id: pending, repeat, dead."""
    args, out = call.args, call.out
    with call.reach() as reached:
        calls = reached.calls
        with refusing():
            event, repeat = calls.get(args.id), calls.get_repeat(args.id)
        dead = list(calls._deaths(args.id, limit=args.deaths))
        if event is None and repeat is None and not dead:
            out.error(f"{args.id}: {_explained(reached, args.id)}")
            return FOUND
        for state, fields, job in _found(event, repeat, dead):
            if out.as_json:
                out.record(state=state, **fields, **data_fields(job.data), options=options_fields(job.options))
        if not out.as_json:
            _show_for_people(call, reached, event, repeat, dead)
    return FINE


def _found(
    event: Event | None, repeat: Repeat | None, dead: list[DeadEvent]
) -> Iterator[tuple[str, dict[str, Any], Any]]:
    if repeat is not None:
        yield "repeat", repeat_fields(repeat), repeat
    if event is not None and repeat is None:
        yield "pending", job_fields(event), event.job
    for one in dead:
        yield "dead", dead_fields(one), one.event.job


def _show_for_people(
    call: Call, reached: Reached, event: Event | None, repeat: Repeat | None, dead: list[DeadEvent]
) -> None:
    out, now_ns = call.out, time.time_ns()
    room = None if out.width is None else out.width - 12

    def part(name: str, text: str, style: str = "") -> None:
        for at, line in enumerate(wrapped(text, room)):
            out.text(out.painted(f"{name if at == 0 else '':<12}", "bold") + out.painted(line, style))

    def job(shown: Any, due: int | None) -> None:
        part("target", shown.target)
        if due is not None:
            part("due", f"{at_local_exactly(due)}, {from_now(due, now_ns)}", "yellow" if due <= now_ns else "")

    part("id", call.args.id)
    if event is not None or repeat is not None:
        part("state", _explained(reached, call.args.id))
    if repeat is not None:
        job(repeat, repeat.next)
        part("schedule", repr(repeat.schedule))
        part("occurrence", f"{repeat.occurrence}, {counted(repeat.missed, 'time')} missed")
        if repeat.previous is not None:
            part("previous", at_local_exactly(repeat.previous))
        part("options", _options_text(repeat.options))
        _data(repeat.data, part)
    elif event is not None:
        job(event, event.due)
        part("run", f"{event.run}, attempt {event.attempt}")
        part("options", _options_text(event.job.options))
        for name, text in sorted(event.job.headers.items()):
            part("header", f"{name}={text}")
        _data(event.data, part)
    for at, one in enumerate(dead):
        if at or event is not None or repeat is not None:
            out.text()
        job(one.event, None)
        died = f"{at_local_exactly(one.died)}, {from_now(one.died, now_ns)}"
        part("died", f"{died}: {one.reason}, in run {one.event.run}, attempt {one.event.attempt}", "red")
        part("error", one.error.rstrip("\n"))
        _data(one.event.data, part)


def _data(data: bytes, part: Any) -> None:
    text = data_text(data)
    if not data:
        part("data", "none")
    elif text is None:
        part("data", f"{size(len(data))}, no text: {data[:256].hex(' ', 4)}{' …' if len(data) > 256 else ''}")
    else:
        part("data", text)


def _options_text(options: Any) -> str:
    fields = options_fields(options)
    limits = "no limit" if options.retry_limit is None else counted(options.retry_limit, "retry", "retries")
    if options.age_limit is not None:
        limits += f", until {options.age_limit:g} s old"
    backoff = f"{options.min_backoff:g} to {options.max_backoff:g} s between them"
    return "at most once, no retry" if fields["at_most_once"] else f"{limits}, {backoff}"


def explain(call: Call) -> int:
    """Say why a job does not run now."""
    with call.reach() as reached:
        text = _explained(reached, call.args.id)
        known = not text.endswith("no job of this id is pending, running or dead")
        call.out.say(plain(text), id=call.args.id, known=known, said=text)
    return FINE if known else FOUND


def _explained(reached: Reached, id: str) -> str:
    with refusing():
        text = reached.calls.explain(id)
        if reached.runs or "waits for the scheduler to be started" not in text:
            return text
        event = reached.calls.get(id)
    if event is None:
        return text
    due = f"{from_now(event.due, time.time_ns())}, at {at_utc(event.due)}"
    if reached.how == "file":
        return f"{id!r} is due {due}; no process has the file open, so nothing runs until one does"
    nodes = reached.other_nodes()
    if not nodes:
        return f"{id!r} is due {due}; no node lives, so nothing runs until one does"
    if event.due > time.time_ns():
        return f"{id!r} is due {due}"
    return (
        f"{id!r} is due since {due}: none of {counted(len(nodes), 'node')} has started it, "
        f"for want of a handler for {event.target!r} or of a free worker"
    )


def add(call: Call) -> int:
    """Schedule a job, or a job that comes again."""
    args = call.args
    comes_again = args.cron is not None or args.every is not None
    if comes_again and args.when:
        raise EndsError("a WHEN is of a job that comes once: leave it out, or --cron and --every")
    args.when = read_when(" ".join(args.when) if args.when else "now", args.tz)
    keywords: dict[str, Any] = {"id": args.id, **_options(args), **_carried(args)}
    data = _read_data(args)
    is_new = not call.place.is_database and not call.place.path.exists()
    with call.reach(makes=True) as reached:
        with refusing():
            schedule = _repeat if comes_again else _at
            job_id = schedule(reached.calls, args, data, keywords)
            event = reached.calls.get(job_id)
        if is_new:
            call.out.note(f"made {call.place.shown}")
        call.out.say(plain(job_id), **(job_fields(event) if event else {"id": job_id, "target": args.target}))
    return FINE


def _at(calls: Scheduler, args: Any, data: bytes, keywords: dict[str, Any]) -> str:
    when: When = args.when
    if when.in_ns is not None:
        return calls.in_(delay(when.in_ns), args.target, data, **keywords)
    return calls.at(moment(when.wall_ns()), args.target, data, **keywords)


def _repeat(calls: Scheduler, args: Any, data: bytes, keywords: dict[str, Any]) -> str:
    cron: str | None = args.cron
    every: str | None = args.every
    if cron is not None and every is not None:
        raise EndsError("--cron and --every are two schedules: say one of them")
    if every is not None:
        return calls.repeat(delay(read_duration(every)), args.target, data, **keywords)
    return calls.repeat(cron or "", args.target, data, tz=args.tz or "UTC", **keywords)


def _options(args: Any) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if args.retry_limit is not None:
        options["retry_limit"] = retry_limit(args.retry_limit)
    for name in ("min_backoff", "max_backoff", "age_limit"):
        given = getattr(args, name)
        if given is not None:
            options[name] = delay(read_duration(given))
    if args.at_most_once:
        options["consistency"] = Consistency.AT_MOST_ONCE
    return options


def retry_limit(given: str) -> int | None:
    """Read how many retries a job has."""
    if given != "none" and not given.isdecimal():
        raise EndsError(f"--retry-limit is a number of retries, or none for no limit, not {given!r}")
    return None if given == "none" else int(given)


def _carried(args: Any) -> dict[str, Any]:
    """Return what a job carries beside its data."""
    carried: dict[str, Any] = {"key": args.key, "on_conflict": args.on_conflict}
    headers = {}
    for given in args.header:
        name, equals, text = given.partition("=")
        if not equals:
            raise EndsError(f"--header is a name and a text, as tenant=acme, not {given!r}")
        headers[name] = text
    carried["headers"] = headers or None
    return {name: value for name, value in carried.items() if value is not None}


def _read_data(args: Any) -> bytes:
    if args.data is not None:
        return str(args.data).encode("utf-8", "surrogateescape")
    if args.data_file is None:
        return b""
    if args.data_file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(args.data_file).read_bytes()
    except OSError as error:
        raise EndsError(f"the data cannot be read: {args.data_file}: {error.strerror}") from None


def cancel(call: Call) -> int:
    """Withdraw pending jobs, and end repeats."""
    with call.reach() as reached:
        return call.each(call.args.ids, reached.calls.cancel, "cancelled", "not pending: unknown, running or over")


def move(call: Call) -> int:
    """Move a pending job to another time."""
    args = call.args
    when = read_when(" ".join(args.when), args.tz)
    with call.reach() as reached:
        ns = when.wall_ns()
        with refusing():
            is_moved = reached.calls.reschedule(args.id, moment(ns))
        if call.out.as_json:
            call.out.record(id=args.id, moved=is_moved, due=ns, due_at=at_utc(ns))
        elif is_moved:
            call.out.text(f"moved {plain(args.id)} to {at_local_exactly(ns)}")
        if not is_moved:
            call.out.error(f"{args.id}: not pending: unknown, running or over")
    return FINE if is_moved else FOUND
