"""Write and read what calls and answers say of jobs, as JSON."""

from __future__ import annotations

import functools
import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from duewheel import errors
from duewheel._carried import carried_as, carried_of
from duewheel._core import DeadEvent, Event, Job, JobOptions, Outcome, retry_options, retry_text
from duewheel._running import Running

if TYPE_CHECKING:
    from collections.abc import Mapping

DONE = b'{"jsonrpc":"2.0","id":1,"result":true}\n'
"""The answer to most calls."""

ENDS = b'"kind":"ClosedError"'
"""What an answer has in it whose owner ends: another one will answer."""


def call(method: str, **params: Any) -> bytes:
    """Return the line of a call."""
    said = json.dumps(params, separators=(",", ":"))
    return b'{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}\n' % (method.encode(), said.encode())


def with_keywords(line: bytes, keywords: Mapping[str, Any]) -> bytes:
    """Return the line of a call that schedules, with keywords that are no options of a job."""
    try:
        said = json.dumps(keywords, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise TypeError(f"these keywords cannot be told to the owner of the file: {keywords!r}: {error}") from None
    return line[:-3] + b',"keywords":%s}}\n' % said.encode()


def again(line: bytes, since_ns: int, ago_ns: int) -> bytes:
    """Return the line of a call that was first made then, by the wall clock, and so long ago."""
    end = b'"again":true,"since":%d,"ago":%d}}\n' % (since_ns, ago_ns)
    head = line[:-3]
    return head + (end if head.endswith(b"{") else b"," + end)


def result(reply: bytes) -> Any:
    """Return what an answer says, or raise what the call has failed with."""
    if reply == DONE:
        return True
    said = json.loads(reply)
    if "error" not in said:
        return said["result"]
    error = said["error"]
    kind = error.get("data", {}).get("kind")
    raise _error(kind)(error["message"])


def _error(kind: object) -> type[Exception]:
    builtin: dict[object, type[Exception]] = {
        "TypeError": TypeError,
        "ValueError": ValueError,
        "OverflowError": OverflowError,
        "OSError": OSError,
        "LookupError": LookupError,
    }
    if kind in builtin:
        return builtin[kind]
    found = getattr(errors, str(kind), None)
    return found if isinstance(found, type) and issubclass(found, Exception) else errors.StorageError


def answer(id: Any, result: Any) -> bytes:
    """Return the line of an answer."""
    return json.dumps({"jsonrpc": "2.0", "id": id, "result": result}, separators=(",", ":")).encode() + b"\n"


def failure(id: Any, error: BaseException) -> bytes:
    """Return the line of an answer that a call has failed."""
    kind = type(error).__name__
    said = {"code": -32000, "message": str(error), "data": {"kind": kind}}
    return json.dumps({"jsonrpc": "2.0", "id": id, "error": said}, separators=(",", ":")).encode() + b"\n"


@functools.lru_cache(maxsize=256)
def options_of(retry: str) -> JobOptions:
    """Return options as they are written."""
    return retry_options(retry)


def told_event(event: Event) -> dict[str, Any]:
    """Say what an event is."""
    job = event.job
    return {
        "id": job.id,
        "target": job.target,
        "job_due": job.due,
        "data": b64encode(job.data).decode(),
        "retry": retry_text(job.options),
        "run": event.run,
        "attempt": event.attempt,
        "due": event.due,
        "occurrence": event.occurrence,
        "previous": event.previous,
        **carried_of(job),
    }


def event_of(told: Mapping[str, Any]) -> Event:
    """Return the event that is told of."""
    options = options_of(told["retry"])
    data = b64decode(told["data"])
    job = Job(told["id"], told["target"], told["job_due"], data, options, **carried_as(told))
    occurrence, previous = told["occurrence"], told["previous"]
    return Event(job, told["run"], told["attempt"], told["due"], occurrence=occurrence, previous=previous)


def told_running(running: Running) -> dict[str, Any]:
    """Say what runs."""
    return {
        "event": told_event(running.event),
        "late_ns": round(running.event.lateness * 1e9),
        "started": running.started,
        "worker": running.worker,
        "expired": running.expired,
    }


def running_of(told: Mapping[str, Any]) -> Running:
    """Return what runs, as it is told of."""
    event = event_of(told["event"])._late(told["late_ns"])
    return Running(event, told["started"], told["worker"], told["expired"])


def told_dead(dead: DeadEvent) -> dict[str, Any]:
    """Say what a dead job is."""
    return {"event": told_event(dead.event), "reason": dead.reason, "error": dead.error, "died": dead.died}


def dead_of(told: Mapping[str, Any]) -> DeadEvent:
    """Return the dead job that is told of."""
    return DeadEvent(event_of(told["event"]), told["reason"], told["error"], told["died"])


def told_outcome(outcome: Outcome) -> list[Any]:
    """Say how a job has ended."""
    result = b64encode(outcome.result).decode()
    return [outcome.state, result, outcome.reason, outcome.error, outcome.ended]


def outcome_of(told: list[Any]) -> Outcome:
    """Return how a job has ended, as it is told."""
    state, result, reason, error, ended = told
    return Outcome(state, b64decode(result), reason, error, ended)


def text(told: Any) -> str:
    """Return what was told as it was written."""
    return json.dumps(told, separators=(",", ":"))
