"""Show jobs, dead jobs and repeats: as fields of JSON, and as rows of tables."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from duewheel.cli._output import at_local, at_utc, from_now
from duewheel.cli._tables import Column
from duewheel.options import Consistency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duewheel._core import DeadEvent, Event, JobOptions, Repeat

JOBS = (
    Column("DUE", rank=2),
    Column("IN", right=True),
    Column("TARGET", least=8),
    Column("ATTEMPT", rank=3, right=True),
    Column("ID", cut="middle"),
)
DEAD = (
    Column("DIED", rank=3),
    Column("AGO", right=True),
    Column("TARGET", least=8),
    Column("REASON", rank=2),
    Column("ID", cut="middle"),
    Column("ERROR", least=20, rank=1),
)
REPEATS = (
    Column("ID", least=8, cut="middle"),
    Column("NEXT", right=True),
    Column("TARGET", least=8, rank=1),
    Column("STATE", rank=2),
    Column("MISSED", rank=3, right=True),
    Column("SCHEDULE", least=12),
)


def job_fields(event: Event) -> dict[str, Any]:
    """Return what JSON says of a pending job, its data aside."""
    fields = {
        "id": event.job_id,
        "target": event.target,
        "due": event.due,
        "due_at": at_utc(event.due),
        "run": event.run,
        "attempt": event.attempt,
    }
    if event.job.due != event.due:
        fields["first_due"] = event.job.due
    if event.job.headers:
        fields["headers"] = dict(event.job.headers)
    return fields


def job_row(event: Event, now_ns: int) -> tuple[Sequence[str], str]:
    """Return the row of a pending job, and its style: what is overdue is seen."""
    attempt = str(event.attempt) if event.attempt > 1 else ""
    row = (at_local(event.due), from_now(event.due, now_ns), event.target, attempt, event.job_id)
    return row, "yellow" if event.due <= now_ns else ""


def dead_fields(dead: DeadEvent) -> dict[str, Any]:
    """Return what JSON says of a dead job, its data aside."""
    event = dead.event
    return {
        "id": event.job_id,
        "target": event.target,
        "reason": dead.reason,
        "error": dead.error,
        "died": dead.died,
        "died_at": at_utc(dead.died),
        "due": event.due,
        "run": event.run,
        "attempt": event.attempt,
    } | ({"occurrence": event.occurrence} if event.occurrence else {})


def dead_row(dead: DeadEvent, now_ns: int) -> tuple[Sequence[str], str]:
    """Return the row of a dead job, and its style."""
    ago = from_now(dead.died, now_ns)
    last = last_line(dead.error)
    return (at_local(dead.died), ago, dead.event.target, dead.reason, dead.event.job_id, last), ""


def last_line(error: str) -> str:
    """Return the last line of a traceback: what was raised."""
    return error.strip().rpartition("\n")[2]


def repeat_fields(repeat: Repeat) -> dict[str, Any]:
    """Return what JSON says of a repeat, its data aside."""
    return {
        "id": repeat.id,
        "target": repeat.target,
        "schedule": repr(repeat.schedule),
        "next": repeat.next,
        "next_at": None if repeat.next is None else at_utc(repeat.next),
        "previous": repeat.previous,
        "occurrence": repeat.occurrence,
        "missed": repeat.missed,
        "paused": repeat.paused,
        "declared": repeat.declared,
        "running": repeat.running,
    }


def repeat_row(repeat: Repeat, now_ns: int) -> tuple[Sequence[str], str]:
    """Return the row of a repeat, and its style."""
    state = [name for name in ("running", "paused", "declared") if getattr(repeat, name)]
    next_in = "" if repeat.next is None else from_now(repeat.next, now_ns)
    missed = str(repeat.missed) if repeat.missed else ""
    row = (repeat.id, next_in, repeat.target, " ".join(state), missed, short_schedule(repeat.schedule))
    return row, "dim" if repeat.paused else ""


def short_schedule(schedule: object) -> str:
    """Return a schedule in few words: of a cron expression in UTC it is the expression."""
    text = repr(schedule)
    cron = re.fullmatch(r"Cron\('([^']*)', tz='UTC'\)", text)
    return cron[1] if cron else text


# Data and options


def data_fields(data: bytes) -> dict[str, str]:
    """Return data as JSON has them: as text where they are printable UTF-8, else in base64."""
    text = data_text(data)
    return {"data64": base64.b64encode(data).decode()} if text is None else {"data": text}


def data_text(data: bytes) -> str | None:
    """Return data as a text, if they are one."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() or all(char.isprintable() or char in "\n\t" for char in text) else None


def options_fields(options: JobOptions) -> dict[str, Any]:
    """Return the options of a job, resolved, as JSON has them: durations in nanoseconds, exactly."""
    fields: dict[str, Any] = {"retry_limit": options.retry_limit}
    fields |= {"min_backoff_ns": options._min_backoff_ns, "max_backoff_ns": options._max_backoff_ns}
    fields["age_limit_ns"] = options._age_limit_ns
    return fields | {"at_most_once": options.consistency is Consistency.AT_MOST_ONCE}
