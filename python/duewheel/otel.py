"""Traces and metrics of jobs by OpenTelemetry.

`Scheduler(plugins=[duewheel.otel.Plugin()])`: each attempt of a job is a span `process {target}` of kind consumer, by
the conventions for messaging; what was the context where the job was scheduled goes with it in its headers, in a file
as well. The tracer, the meter and the propagator are those that the program has set up.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from duewheel import _propagation
from duewheel._attempts import is_cut_short
from duewheel._checks import shown
from duewheel._extras import missing
from duewheel.errors import Discard, Snooze

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.context import Context, attach, detach
except ImportError as error:
    raise missing("duewheel.otel", "opentelemetry", "duewheel[otel]", error) from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from duewheel._core import Event

__all__ = ["Plugin"]

_SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Those that the conventions advise for `messaging.process.duration`."""


class Plugin:
    """Make a span of each attempt, linked to where its job was scheduled, and measure how long it took.

    With `parent="link"` each attempt begins a trace of its own, with a link to the span in which the job was
    scheduled: a job may run days later, and many times. With `parent="child"` it goes on with that trace. Baggage goes
    along in both. The context is put into the headers of the job by the propagator, as far as a job has room for it.
    `tracer_provider` and `meter_provider` are the global ones unless given.

    The attributes are `messaging.system`, `messaging.operation.name` and `.type`, `messaging.destination.name` (the
    target), `messaging.message.id` (the id of the job), `error.type`, `duewheel.attempt`, `.run`, `.occurrence` and
    `.lateness` (seconds). The histogram `messaging.process.duration` is in seconds, the counter
    `messaging.client.consumed.messages` counts attempts. `Snooze` and `Discard` are no errors; they are in
    `duewheel.steered`. Neither is what closing the scheduler cuts short.

    **Cost**: some tens of microseconds a job that is sampled, and about 100 bytes of headers.
    **Raises** `ImportError` without `opentelemetry`, which `duewheel[otel]` brings; `ValueError` for another `parent`.

    >>> from duewheel import Scheduler
    >>> scheduler = Scheduler(plugins=[Plugin(parent="child")])
    >>> scheduler.close()
    """

    def __init__(
        self,
        parent: Literal["link", "child"] = "link",
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Make a plugin of the present providers."""
        if parent not in ("link", "child"):
            raise ValueError(f"parent must be 'link' or 'child', not {shown(parent)}")
        self._is_linked = parent == "link"
        self._tracer = trace.get_tracer("duewheel", tracer_provider=tracer_provider, schema_url=_SCHEMA)
        meter = metrics.get_meter("duewheel", meter_provider=meter_provider, schema_url=_SCHEMA)
        self._duration = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="Duration of processing operation.",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages",
            unit="{message}",
            description="Number of messages that were delivered to the application.",
        )

    def scheduling(self, target: str, headers: dict[str, str]) -> None:  # noqa: ARG002  # all targets alike
        """Put the present context into the headers of a job that is scheduled."""
        found: dict[str, str] = {}
        propagate.inject(found)
        if found:
            _propagation.carry(headers, found, ("traceparent", "tracestate"))

    @contextmanager
    def around(self, event: Event) -> Iterator[None]:
        """Be the present span while the handler runs."""
        context = propagate.extract(event.job.headers, Context())
        links = []
        if self._is_linked:
            scheduled_in = trace.get_current_span(context).get_span_context()
            links = [trace.Link(scheduled_in)] if scheduled_in.is_valid else []
            context = trace.set_span_in_context(trace.INVALID_SPAN, context)
        about: dict[str, Any] = {
            "messaging.system": "duewheel",
            "messaging.operation.name": "process",
            "messaging.destination.name": event.target,
        }
        span = self._tracer.start_span(
            f"process {event.target}", context, trace.SpanKind.CONSUMER, about | _details(event), links
        )
        token = attach(trace.set_span_in_context(span, context))
        began = time.perf_counter()
        try:
            yield
        except BaseException as raised:
            about |= _told(span, raised)
            raise
        finally:
            detach(token)
            span.end()
            self._duration.record(time.perf_counter() - began, about)
            self._consumed.add(1, about)


def _details(event: Event) -> dict[str, Any]:
    """Return what only spans are told: of a metric it would make a series for each job."""
    details = {
        "messaging.operation.type": "process",
        "messaging.message.id": event.job_id,
        "duewheel.attempt": event.attempt,
        "duewheel.run": event.run,
        "duewheel.lateness": event.lateness,
    }
    if event.occurrence:
        details["duewheel.occurrence"] = event.occurrence
    return details


def _told(span: Span, raised: BaseException) -> dict[str, str]:
    """Note in the span what the handler has raised; return what metrics say of it."""
    if isinstance(raised, Snooze | Discard):
        span.set_attribute("duewheel.steered", type(raised).__name__.lower())
        return {}
    if is_cut_short(raised):
        return {}
    kind = f"{type(raised).__module__}.{type(raised).__qualname__}".removeprefix("builtins.")
    span.record_exception(raised)
    span.set_attribute("error.type", kind)
    span.set_status(trace.StatusCode.ERROR, str(raised))
    return {"error.type": kind}
