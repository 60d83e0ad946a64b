"""Spans and metrics of the OpenTelemetry SDK, kept in memory."""

import asyncio
import logging

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import duewheel.otel
from duewheel import Discard, Scheduler, Snooze, aio
from duewheel.testing import ManualClock


class Telemetry:
    """A tracer and a meter whose output is looked at, and plugins that use them."""

    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])
        self.tracer = self.tracers.get_tracer("test")

    def plugin(self, **keywords):
        return duewheel.otel.Plugin(**keywords, tracer_provider=self.tracers, meter_provider=self.meters)

    def spans(self):
        return [span for span in self.exporter.get_finished_spans() if span.kind is SpanKind.CONSUMER]

    def points(self, name):
        data = self.reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for scope in r.scope_metrics for m in scope.metrics]
        (metric,) = [metric for metric in metrics if metric.name == name]
        return list(metric.data.data_points)


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    yield telemetry
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()


@pytest.fixture
def clock():
    return ManualClock()


def sync(event): ...


async def on_loop(event):
    await asyncio.sleep(0)


HANDLERS = pytest.mark.parametrize("handler", [sync, on_loop, lambda event: on_loop(event)])


@HANDLERS
def test_an_attempt_is_a_span_by_the_conventions(telemetry, clock, handler):
    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("mail", handler)
        scheduler.in_(0, "mail", id="j")
        clock.advance(0)
    (span,) = telemetry.spans()
    assert (span.name, span.parent, span.status.status_code) == ("process mail", None, StatusCode.UNSET)
    assert dict(span.attributes) == {
        "messaging.system": "duewheel",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": "j",
        "duewheel.attempt": 1,
        "duewheel.run": 1,
        "duewheel.lateness": 0.0,
    }


@HANDLERS
def test_it_is_linked_to_where_the_job_was_scheduled(telemetry, clock, handler):
    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("t", handler)
        with telemetry.tracer.start_as_current_span("request") as request:
            scheduler.in_(5, "t")
        clock.advance(5)
    (span,) = telemetry.spans()
    (link,) = span.links
    assert link.context.span_id == request.get_span_context().span_id
    assert span.context.trace_id != request.get_span_context().trace_id


@HANDLERS
def test_it_may_be_a_child(telemetry, clock, handler):
    with Scheduler(clock=clock, plugins=[telemetry.plugin(parent="child")]) as scheduler:
        scheduler.handle("t", handler)
        with telemetry.tracer.start_as_current_span("request") as request:
            scheduler.in_(5, "t")
        clock.advance(5)
    (span,) = telemetry.spans()
    assert span.parent.span_id == request.get_span_context().span_id
    assert span.context.trace_id == request.get_span_context().trace_id
    assert span.links == ()


def test_the_link_survives_a_restart_of_the_file(telemetry, clock, path):
    request_span = telemetry.tracer.start_as_current_span("request")
    with Scheduler(path, clock=clock, plugins=[telemetry.plugin()]) as scheduler, request_span as request:
        scheduler.in_(5, "t")
        scheduler.in_many([5, 5], "t")
        scheduler.repeat(5, "t", count=1)
    with Scheduler(path, clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("t", sync)
        clock.advance(5)
        assert scheduler.stats().succeeded == 4
    assert [span.links[0].context.span_id for span in telemetry.spans()] == [request.get_span_context().span_id] * 4


@HANDLERS
def test_what_a_handler_does_is_inside_with_the_baggage(telemetry, clock, handler):
    seen = []

    def look(event):
        seen.append((trace.get_current_span().name, baggage.get_baggage("tenant")))
        with telemetry.tracer.start_as_current_span("inner"):
            return handler(event)

    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("t", look)
        token = attach(baggage.set_baggage("tenant", "acme"))
        scheduler.in_(0, "t")
        detach(token)
        clock.advance(0)
    assert seen == [("process t", "acme")]
    (span,) = telemetry.spans()
    (inner,) = [span for span in telemetry.exporter.get_finished_spans() if span.name == "inner"]
    assert inner.parent.span_id == span.context.span_id


def test_a_job_that_a_handler_schedules_is_linked_to_its_attempt(telemetry, clock):
    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("first", lambda event: scheduler.in_(1, "second"))
        scheduler.handle("second", sync)
        scheduler.in_(0, "first")
        clock.advance(1)
    first, second = telemetry.spans()
    assert first.links == ()
    assert second.links[0].context.span_id == first.context.span_id


@pytest.mark.parametrize("is_async", [False, True])
def test_what_fails_is_an_error_each_attempt(telemetry, clock, quiet, is_async):
    def fails(event):
        raise KeyError("no such user")

    async def fails_on_loop(event):
        await asyncio.sleep(0)
        fails(event)

    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("t", fails_on_loop if is_async else fails)
        scheduler.in_(0, "t", retry_limit=1, min_backoff=1, max_backoff=1)
        clock.advance(1)
    spans = telemetry.spans()
    assert [span.attributes["duewheel.attempt"] for span in spans] == [1, 2]
    for span in spans:
        assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "KeyError")
        assert [event.name for event in span.events] == ["exception"]
    (point,) = telemetry.points("messaging.process.duration")
    assert point.count == 2 and point.attributes["error.type"] == "KeyError"


@pytest.mark.parametrize("raised", [Snooze(5), Discard("no use")])
@pytest.mark.parametrize("is_async", [False, True])
def test_snooze_and_discard_are_no_errors(telemetry, clock, raised, is_async):
    def steers(event):
        if event.run == 1:
            raise raised

    async def steers_on_loop(event):
        await asyncio.sleep(0)
        steers(event)

    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("t", steers_on_loop if is_async else steers)
        scheduler.in_(0, "t")
        clock.advance(0)
    (span,) = telemetry.spans()
    assert span.status.status_code is StatusCode.UNSET and span.events == ()
    assert span.attributes["duewheel.steered"] == type(raised).__name__.lower()
    assert "error.type" not in span.attributes
    (point,) = telemetry.points("messaging.process.duration")
    assert "error.type" not in point.attributes


def test_what_closing_cuts_short_is_no_error(telemetry):
    async def main():
        async with aio.Scheduler(plugins=[telemetry.plugin()]) as scheduler:

            @scheduler.handler("t")
            async def hangs(event):
                await asyncio.Event().wait()

            await scheduler.in_(0, "t")
            while not scheduler.stats().running:
                await asyncio.sleep(0.001)
            await scheduler.close()

    asyncio.run(main())
    (span,) = telemetry.spans()
    assert span.status.status_code is StatusCode.UNSET


def test_a_cancellation_of_its_own_is_an_error(telemetry, clock, quiet):
    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:

        @scheduler.handler("t")
        async def cancels(event):
            raise asyncio.CancelledError

        scheduler.in_(0, "t", retry_limit=0)
        clock.advance(0)
    (span,) = telemetry.spans()
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_metrics_have_no_series_for_each_job(telemetry, clock):
    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        for target in "ab":
            scheduler.handle(target, sync)
            scheduler.in_many([0] * 10, target)
        clock.advance(0)
    points = telemetry.points("messaging.process.duration")
    assert sorted((point.attributes["messaging.destination.name"], point.count) for point in points) == [
        ("a", 10), ("b", 10),
    ]  # fmt: skip
    assert set(points[0].attributes) == {"messaging.system", "messaging.operation.name", "messaging.destination.name"}
    assert points[0].explicit_bounds[:3] == (0.005, 0.01, 0.025)
    assert sum(point.value for point in telemetry.points("messaging.client.consumed.messages")) == 20


def test_an_occurrence_says_its_number(telemetry, clock):
    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.repeated(10, target="t")(sync)
        clock.advance(20)
    assert [span.attributes["duewheel.occurrence"] for span in telemetry.spans()] == [1, 2]


def test_headers_of_the_job_are_kept_and_there_is_always_room(telemetry, clock):
    seen = []
    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("t", lambda event: seen.append(dict(event.job.headers)))
        with telemetry.tracer.start_as_current_span("request"):
            scheduler.in_(0, "t", headers={"tenant": "acme"})
            scheduler.in_(1, "t", headers={"big": "x" * 4_000})
            token = attach(baggage.set_baggage("big", "y" * 4_000))
            scheduler.in_(2, "t")
            detach(token)
        scheduler.in_(3, "t")
        clock.advance(3)
    assert set(seen[0]) == {"tenant", "traceparent"}
    assert [set(headers) for headers in seen[1:]] == [{"big"}, {"traceparent"}, set()]


def test_the_traceparent_that_a_caller_gives_is_kept(telemetry, clock):
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with Scheduler(clock=clock, plugins=[telemetry.plugin()]) as scheduler:
        scheduler.handle("t", sync)
        with telemetry.tracer.start_as_current_span("request"):
            scheduler.in_(0, "t", headers={"traceparent": given})
        clock.advance(0)
    (span,) = telemetry.spans()
    assert f"{span.links[0].context.span_id:016x}" == "b7ad6b7169203331"


def test_an_awaited_scheduler_carries_the_context_of_its_coroutine(telemetry):
    async def main():
        async with aio.Scheduler(plugins=[telemetry.plugin()]) as scheduler:
            scheduler.handle("t", on_loop)
            with telemetry.tracer.start_as_current_span("request") as request:
                await scheduler.in_(0, "t")
            await scheduler.wait(30)
            return request.get_span_context().span_id

    requested = asyncio.run(main())
    (span,) = telemetry.spans()
    assert span.links[0].context.span_id == requested


def test_without_a_provider_nothing_is_sent_and_all_runs(clock, caplog):
    caplog.set_level(logging.WARNING)
    with Scheduler(clock=clock, plugins=[duewheel.otel.Plugin()]) as scheduler:
        scheduler.handle("t", sync)
        id = scheduler.in_(0, "t")
        assert dict(scheduler.get(id).job.headers) == {}
        clock.advance(0)
        assert scheduler.stats().succeeded == 1
    assert caplog.records == []


@pytest.mark.parametrize("given", ["parent", None, 5])
def test_another_parent_is_refused(given):
    with pytest.raises(ValueError, match="parent must be 'link' or 'child'"):
        duewheel.otel.Plugin(parent=given)
