"""Errors, traces and check-ins of jobs for Sentry.

`Scheduler(plugins=[duewheel.sentry.Plugin()])`, beside `sentry_sdk.init(…)`: each attempt that fails is an event with
the job's context, each attempt a transaction `queue.process`, and repeats check in as monitors.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from duewheel import _monitors, _propagation
from duewheel._attempts import is_cut_short, running_core
from duewheel._extras import missing
from duewheel.errors import Discard, Snooze

try:
    import sentry_sdk
    from sentry_sdk.crons import capture_checkin
    from sentry_sdk.scope import add_global_event_processor, should_send_default_pii
    from sentry_sdk.utils import event_from_exception
except ImportError as error:
    raise missing("duewheel.sentry", "sentry_sdk", "duewheel[sentry]", error) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentry_sdk._types import MonitorConfig

    from duewheel._core import Event, Repeat, _Made
    from duewheel.plugins import AttemptOutcome

__all__ = ["Plugin"]

_OPERATION = "queue.process"
_ORIGIN = "auto.queue.duewheel"
_TOLD = "_duewheel_told_sentry"
_MOST_DATA = 1_024
"""How many bytes of a job's data an event has, where data may be sent at all."""


class Plugin:
    """Send Sentry what fails, how long it took, and that repeats came in time.

    Each failed attempt is an event, with the job's id, target, run, attempt, due and lateness; retries of a job are
    one issue, as their errors are alike. What the logger `duewheel` says of the same error is no second event. The
    data of a job is sent only where `data_collection` has `queues`, and no more than 1,024 bytes of it. `Snooze` and
    `Discard` are no errors; neither is what closing the scheduler cuts short. An attempt goes on with the trace in
    which its job was scheduled, by headers of the job.

    With `crons`, an occurrence of a repeat checks in when an attempt starts, and again when it has succeeded or is
    dead, not before its retries are over. The monitor is named by the repeat's id (its target, where the id was
    generated) and made by its schedule; a schedule that Sentry has no words for (a period that is no whole number
    of minutes, seconds, `L`, `W`, `#`, a fixed offset, a combination) has no check-ins. An async handler over
    PostgreSQL checks in from its second occurrence in a process on, since the loop does not wait for the schedule.

    **Cost**: a few hundred microseconds an attempt that is sampled, a hundred for one that is not; some ten where a
    job is scheduled, and about 300 bytes of headers.
    **Raises** `ImportError` without `sentry_sdk`, which `duewheel[sentry]` brings; `TypeError` for `crons`.

    >>> from duewheel import Scheduler
    >>> scheduler = Scheduler(plugins=[Plugin(crons=False)])
    >>> scheduler.close()
    """

    def __init__(self, crons: bool = True) -> None:
        """Make a plugin; the client of Sentry is looked up at each attempt."""
        if not isinstance(crons, bool):
            raise TypeError(f"crons must be a bool, not {crons!r}")
        self._crons = crons
        self._monitors: dict[str, tuple[str, MonitorConfig]] = {}  # of repeats that have started, by id
        self._began: dict[str, float] = {}  # executions that have checked in, by the id of the event

    def scheduling(self, target: str, headers: dict[str, str]) -> None:  # noqa: ARG002  # all targets alike
        """Put the present trace into the headers of a job that is scheduled."""
        if sentry_sdk.get_client().is_active():
            found = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
            _propagation.carry(headers, {name: value for name, value in found.items() if value}, ("sentry-trace",))

    @contextmanager
    def around(self, event: Event) -> Iterator[None]:
        """Be the isolation scope and the transaction of the attempt."""
        if not sentry_sdk.get_client().is_active():
            yield
            return
        self._check_in(event)
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            scope.set_transaction_name(event.target, source="task")
            scope.set_tag("duewheel.target", event.target)
            scope.set_tag("duewheel.job_id", event.job_id)
            scope.set_context("duewheel", _context(event))
            raised: BaseException | None = None
            with _traced(event) as set_status:
                try:
                    yield
                except BaseException as error:
                    raised = error
                set_status(status := _status(raised))
                if raised is not None and status == "internal_error":
                    _capture(raised)
                elif status == "cancelled":
                    self._began.pop(event.id, None)  # it has not ended, and comes again
            if raised is not None:
                raise raised  # out of the transaction, which would take any exception for an error

    def ended(self, event: Event, outcome: AttemptOutcome) -> None:
        """Check the occurrence of a repeat in, when it is over."""
        began = self._began.pop(event.id, None)
        monitor = self._monitors.get(event.job_id)
        if began is None or monitor is None or outcome.state not in ("succeeded", "dead"):
            return
        is_well = outcome.state == "succeeded" or isinstance(outcome.error, Discard)
        capture_checkin(
            monitor[0], _check_in_id(event), "ok" if is_well else "error", time.monotonic() - began, monitor[1]
        )

    def _check_in(self, event: Event) -> None:
        """Say that an occurrence of a repeat has started; where it was tried before, that it still runs."""
        if not (self._crons and event.occurrence):
            return
        made = running_core()._awaited().get_repeat(event.job_id)
        if asyncio._get_running_loop() is None or isinstance(made, tuple):
            self._note(event.job_id, made)
        else:
            _ = asyncio.get_running_loop().run_in_executor(None, self._note, event.job_id, made)
        if (monitor := self._monitors.get(event.job_id)) is not None:
            self._began[event.id] = time.monotonic()
            capture_checkin(monitor[0], _check_in_id(event), "in_progress", monitor_config=monitor[1])

    def _note(self, id: str, made: _Made[Repeat | None]) -> None:
        """Remember the monitor of a repeat, as its schedule is now."""
        while not isinstance(made, tuple):
            made = made.wait()
        repeat = made[0]
        config = None if repeat is None else _monitors.config(repeat)
        if repeat is None or config is None:
            self._monitors.pop(id, None)
        else:
            self._monitors[id] = _monitors.slug(repeat), config


def _check_in_id(event: Event) -> str:
    """Return the same id for all runs of an occurrence, in later lives of a file, too."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{event.job_id}/{event.occurrence}/{event.job.due}").hex


def _context(event: Event) -> dict[str, Any]:
    context = {
        "job_id": event.job_id,
        "target": event.target,
        "run": event.run,
        "attempt": event.attempt,
        "due": event.due_at.isoformat(),
        "lateness": event.lateness,
    }
    if event.occurrence:
        context["occurrence"] = event.occurrence
    if _may_send_data():
        context["data"] = event.data[:_MOST_DATA].decode(errors="replace")
    return context


def _may_send_data() -> bool:
    """Return whether the client sends what queues carry: by `data_collection`, or `send_default_pii` before that."""
    collected = sentry_sdk.get_client().options.get("data_collection")
    if isinstance(collected, Mapping) and "queues" in collected:
        return bool(collected["queues"])
    return should_send_default_pii()


@contextmanager
def _traced(event: Event) -> Iterator[Callable[[str], object]]:
    """Be the transaction of an attempt, in the trace of its job's headers; gives what sets its status."""
    about: dict[str, Any] = {
        "messaging.message.id": event.job_id,
        "messaging.destination.name": event.target,
        "messaging.message.retry.count": event.attempt - 1,
        "messaging.message.receive.latency": event.lateness * 1_000,
    }
    headers = dict(event.job.headers)
    if sentry_sdk.get_client().options.get("trace_lifecycle") == "stream":
        from sentry_sdk import traces

        traces.continue_trace(headers)
        kind = {"sentry.op": _OPERATION, "sentry.origin": _ORIGIN, "sentry.segment.name.source": "task"}
        with traces.start_span(name=event.target, attributes=about | kind, parent_span=None) as span:
            yield lambda status: setattr(span, "status", "error" if status == "internal_error" else "ok")
        return
    continued = sentry_sdk.continue_trace(headers, op=_OPERATION, name=event.target, source="task", origin=_ORIGIN)
    with sentry_sdk.start_transaction(continued) as transaction:
        for name, value in about.items():
            transaction.set_data(name, value)
        yield transaction.set_status


def _status(raised: BaseException | None) -> str:
    if raised is None or isinstance(raised, Snooze | Discard):
        return "ok"
    return "cancelled" if is_cut_short(raised) else "internal_error"


def _capture(raised: BaseException) -> None:
    """Send an error, and note that it was sent."""
    options = sentry_sdk.get_client().options
    event, hint = event_from_exception(raised, options, {"type": "duewheel", "handled": False})
    sentry_sdk.capture_event(event, hint=hint)
    setattr(raised, _TOLD, True)


def _once(event: Any, hint: Any) -> Any:
    """Drop what the logger `duewheel` says of an error that was sent with its job's context."""
    record, (_, raised, _) = hint.get("log_record"), hint.get("exc_info") or (None, None, None)
    is_ours = record is not None and record.name == "duewheel"
    return None if is_ours and hasattr(raised, _TOLD) else event


add_global_event_processor(_once)
