"""Telemetry over a database: a trace that another node goes on with, and a repeat that checks in."""

import asyncio
import re
import time

import pytest
import sentry_sdk
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from sentry_sdk.transport import Transport

import duewheel.otel
import duewheel.sentry
from duewheel import Scheduler, aio
from duewheel.prometheus import Collector


def until(reached, seconds=30):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it is never reached"
        time.sleep(0.02)


def test_the_link_reaches_another_node(storage):
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    plugins = [duewheel.otel.Plugin(tracer_provider=tracers)]
    with Scheduler(storage(), plugins=plugins) as here, Scheduler(storage(), plugins=plugins) as there:
        there.handle("t", lambda event: None)
        with tracers.get_tracer("test").start_as_current_span("request") as request:
            here.in_(0, "t")
        until(lambda: there.stats().succeeded)
    (span,) = [span for span in exporter.get_finished_spans() if span.name == "process t"]
    assert [link.context.span_id for link in span.links] == [request.get_span_context().span_id]


def test_a_scrape(storage):
    with Scheduler(storage()) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t")
        scheduler.in_(0, "nobody")
        until(lambda: scheduler.stats().succeeded)
        registry = CollectorRegistry()
        registry.register(Collector(scheduler))
        text = generate_latest(registry).decode()
    assert 'duewheel_jobs_succeeded_total{target="t"} 1.0' in text
    assert re.search(r"^duewheel_overdue_seconds 0\.\d*[1-9]", text, re.MULTILINE)
    assert not re.search(r"^duewheel_store_bytes ", text, re.MULTILINE)


class Keeping(Transport):
    def __init__(self, options=None):
        super().__init__(options)
        self.kept = []

    def capture_envelope(self, envelope):
        self.kept += [item.payload.json for item in envelope.items if item.headers["type"] == "check_in"]


@pytest.fixture
def sent():
    transport = Keeping()
    sentry_sdk.init("http://key@127.0.0.1/1", transport=transport, default_integrations=False)
    yield transport.kept
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def statuses(sent):
    return [checkin["status"] for checkin in sent]


def test_a_repeat_checks_in(storage, sent):
    with Scheduler(storage(), plugins=[duewheel.sentry.Plugin()]) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.repeat(60, "t", id="r")
        scheduler.trigger("r")
        until(lambda: scheduler.stats().succeeded)
        scheduler.cancel("r")
    assert statuses(sent) == ["in_progress", "ok"]
    assert sent[0]["monitor_config"]["schedule"] == {"type": "interval", "value": 1, "unit": "minute"}


def test_a_loop_does_not_wait_for_the_schedule(storage, sent):
    """The first occurrence is not reported: the loop goes on while the schedule is asked for."""
    ran, plugin = [], duewheel.sentry.Plugin()

    async def main():
        async with aio.Scheduler(storage(), plugins=[plugin]) as scheduler:

            @scheduler.handler("t")
            async def t(event):
                ran.append(event.occurrence)

            await scheduler.repeat(60, "t", id="r")
            for count in (1, 2):
                await scheduler.trigger("r")
                while len(ran) < count:
                    await asyncio.sleep(0.01)
                while not plugin._monitors:
                    await asyncio.sleep(0.01)
            await scheduler.cancel("r")

    asyncio.run(asyncio.wait_for(main(), 40))
    assert ran == [1, 2]
    assert statuses(sent) == ["in_progress", "ok"]
