"""What Sentry is sent: its real SDK, with a transport that keeps what it is given."""

import asyncio
import logging
import uuid
from datetime import datetime, timedelta, timezone

import pytest
import sentry_sdk
import sentry_sdk.traces
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

import duewheel.sentry
from duewheel import Cron, Discard, Every, RRule, Scheduler, Snooze, Times, _monitors, aio
from duewheel.testing import ManualClock


class Keeping(Transport):
    """Keeps the payloads of envelopes, by their kind."""

    def __init__(self, options=None):
        super().__init__(options)
        self.kept = []

    def capture_envelope(self, envelope):
        for item in envelope.items:
            self.kept.append((item.headers["type"], item.payload.json))

    def of(self, kind):
        return [payload for name, payload in self.kept if name == kind]


@pytest.fixture
def start():
    transports = []

    def start(**options):
        transport = Keeping()
        transports.append(transport)
        # Not the default ones: they patch threads and http for the rest of this process.
        integrations = [LoggingIntegration(), DedupeIntegration()]
        given = {"traces_sample_rate": 1.0, "default_integrations": False, "integrations": integrations} | options
        sentry_sdk.init("http://key@127.0.0.1/1", transport=transport, **given)
        return transport

    with sentry_sdk.isolation_scope():
        yield start
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
def sent(start):
    return start()


@pytest.fixture
def clock():
    return ManualClock(1_800_000_000)


def scheduler_on(clock, storage=None, **keywords):
    return Scheduler(storage, clock=clock, plugins=[duewheel.sentry.Plugin(**keywords)])


BOTH = pytest.mark.parametrize("is_async", [False, True])


def registered(scheduler, target, handler, is_async):
    async def on_loop(event):
        await asyncio.sleep(0)
        handler(event)

    scheduler.handle(target, on_loop if is_async else handler)


@BOTH
def test_a_failed_attempt_is_an_event_with_the_jobs_context(start, clock, is_async):
    sent, secret = start(include_local_variables=False), uuid.uuid4().hex

    def fails(event):
        logging.getLogger("shop").warning("looking it up")
        raise KeyError("no such user")

    with scheduler_on(clock) as scheduler:
        registered(scheduler, "mail", fails, is_async)
        scheduler.in_(0, "mail", secret.encode(), id="j", retry_limit=0)
        clock.advance(0)
    (event,) = sent.of("event")
    assert event["exception"]["values"][-1]["type"] == "KeyError"
    assert event["exception"]["values"][-1]["mechanism"] == {"type": "duewheel", "handled": False}
    assert event["transaction"] == "mail"
    assert {"duewheel.target": "mail", "duewheel.job_id": "j"}.items() <= event["tags"].items()
    context = event["contexts"]["duewheel"]
    assert (context["job_id"], context["target"], context["run"], context["attempt"]) == ("j", "mail", 1, 1)
    assert context["due"] == "2027-01-15T08:00:00+00:00" and context["lateness"] == 0.0
    assert secret not in str(event), "the data of jobs is not sent"
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["looking it up"]


def test_the_data_is_sent_where_it_may_be_and_not_much_of_it(start, clock):
    sent = start(data_collection={"queues": True})
    with scheduler_on(clock) as scheduler:
        scheduler.handle("t", lambda event: 1 / 0)
        scheduler.in_(0, "t", b"x" * 5_000, retry_limit=0)
        clock.advance(0)
    (event,) = sent.of("event")
    assert event["contexts"]["duewheel"]["data"].rstrip(".") in "x" * 1_024


@BOTH
def test_each_attempt_is_one_event_and_the_log_makes_no_other(sent, clock, is_async):
    with scheduler_on(clock) as scheduler:
        registered(scheduler, "t", lambda event: 1 / 0, is_async)
        scheduler.in_(0, "t", retry_limit=2, min_backoff=1, max_backoff=1)
        clock.advance(2)
        assert scheduler.stats().dead == 1
    assert [event["contexts"]["duewheel"]["attempt"] for event in sent.of("event")] == [1, 2, 3]
    assert {event.get("logger") for event in sent.of("event")} == {None}


def test_what_else_the_log_says_is_still_sent(sent):
    logging.getLogger("duewheel").error("something else", exc_info=ValueError("x"))
    (event,) = sent.of("event")
    assert event["logger"] == "duewheel"


@pytest.mark.parametrize("raised", [Snooze(5), Discard("no use")])
@BOTH
def test_snooze_and_discard_are_no_errors(sent, clock, raised, is_async):
    def steers(event):
        if event.run == 1:
            raise raised

    with scheduler_on(clock) as scheduler:
        registered(scheduler, "t", steers, is_async)
        scheduler.in_(0, "t")
        clock.advance(0)
    assert sent.of("event") == []
    (transaction,) = sent.of("transaction")
    assert transaction["contexts"]["trace"]["status"] == "ok"


def test_what_closing_cuts_short_is_no_error(sent):
    async def main():
        async with aio.Scheduler(plugins=[duewheel.sentry.Plugin()]) as scheduler:

            @scheduler.repeated(60, target="t")
            async def hangs(event):
                await asyncio.Event().wait()

            await scheduler.trigger("t")
            while not scheduler.stats().running:
                await asyncio.sleep(0.001)
            await scheduler.close()

    asyncio.run(main())
    assert sent.of("event") == []
    (transaction,) = sent.of("transaction")
    assert transaction["contexts"]["trace"]["status"] == "cancelled"
    assert [checkin["status"] for checkin in sent.of("check_in")] == ["in_progress"]


@BOTH
def test_an_attempt_is_a_transaction_of_the_trace_that_scheduled_it(sent, clock, path, is_async):
    with scheduler_on(clock, path) as scheduler, sentry_sdk.start_transaction(name="request") as request:
        scheduler.in_(5, "mail", id="j")
    with scheduler_on(clock, path) as scheduler:
        registered(scheduler, "mail", lambda event: None, is_async)
        clock.advance(5)
    (transaction,) = [sent for sent in sent.of("transaction") if sent["transaction"] == "mail"]
    trace = transaction["contexts"]["trace"]
    assert (trace["op"], trace["trace_id"], trace["parent_span_id"]) == (
        "queue.process", request.trace_id, request.span_id,
    )  # fmt: skip
    assert (trace["status"], trace["origin"]) == ("ok", "auto.queue.duewheel")
    assert transaction["transaction_info"] == {"source": "task"}
    assert {
        "messaging.message.id": "j",
        "messaging.destination.name": "mail",
        "messaging.message.retry.count": 0,
        "messaging.message.receive.latency": 0.0,
    }.items() <= trace["data"].items()


@pytest.mark.parametrize("fails", [False, True])
def test_an_attempt_is_a_span_where_spans_are_streamed(start, clock, fails):
    sent = start(trace_lifecycle="stream")
    with scheduler_on(clock) as scheduler:
        scheduler.handle("mail", lambda event: 1 / (not fails))
        with sentry_sdk.traces.start_span(name="request") as request:
            scheduler.in_(0, "mail", id="j", retry_limit=0)
        clock.advance(0)
    sentry_sdk.flush()
    spans = [span for batch in sent.of("span") for span in batch["items"] if span["name"] == "mail"]
    assert [(span["status"], span["trace_id"]) for span in spans] == [("error" if fails else "ok", request.trace_id)]
    assert spans[0]["attributes"]["messaging.message.id"]["value"] == "j"
    assert [event["transaction"] for event in sent.of("event")] == ["mail"] * fails


def test_attempts_do_not_share_a_scope(sent, clock):
    with scheduler_on(clock) as scheduler:

        @scheduler.handler("t")
        def fails(event):
            sentry_sdk.set_tag(event.job_id, "seen")
            raise ValueError

        for id in "ab":
            scheduler.in_(0, "t", id=id, retry_limit=0)
        clock.advance(0)
    assert [sorted({"a", "b"} & event["tags"].keys()) for event in sent.of("event")] == [["a"], ["b"]]


@BOTH
def test_a_repeat_checks_in_with_its_schedule(sent, clock, is_async):
    with scheduler_on(clock) as scheduler:
        registered(scheduler, "report", lambda event: None, is_async)
        scheduler.repeat("*/5 9-17 * * MON-FRI", "report", id="Report, daily", tz="Europe/Paris", count=1)
        clock.advance(3_600)
        assert scheduler.stats().succeeded == 1
    first, last = sent.of("check_in")
    assert (first["monitor_slug"], first["status"], last["status"]) == ("report-daily", "in_progress", "ok")
    assert first["check_in_id"] == last["check_in_id"]
    assert first["monitor_config"]["schedule"] == {"type": "crontab", "value": "*/5 9-17 * * mon-fri"}
    assert first["monitor_config"]["timezone"] == "Europe/Paris"
    assert last["duration"] >= 0


@pytest.mark.parametrize(("raised", "statuses"), [
    (ValueError, ["in_progress", "in_progress", "error"]),
    (Discard("no use"), ["in_progress", "ok"]),
])  # fmt: skip
def test_an_occurrence_is_over_with_its_retries(sent, clock, raised, statuses):
    with scheduler_on(clock) as scheduler:

        @scheduler.handler("t")
        def fails(event):
            raise raised

        scheduler.repeat(60, "t", id="r", count=1, retry_limit=1, min_backoff=1, max_backoff=1)
        clock.advance(100)
    checked_in = sent.of("check_in")
    assert [checkin["status"] for checkin in checked_in] == statuses
    assert len({checkin["check_in_id"] for checkin in checked_in}) == 1


def test_occurrences_check_in_apart_and_the_same_after_a_restart(sent, clock, path):
    runs = []

    def handler(event):
        runs.append(event.occurrence)
        if len(runs) == 1:
            raise Snooze(1)

    for _ in range(2):
        with scheduler_on(clock, path) as scheduler:
            scheduler.handle("t", handler)
            scheduler.repeat(60, "t", id="r")
            clock.advance(60 if not runs else 1)
            if len(runs) == 2:
                clock.advance(60)
    ids = [checkin["check_in_id"] for checkin in sent.of("check_in")]
    assert runs == [1, 1, 2]
    assert ids[0] == ids[1] == ids[2] != ids[3] == ids[4]
    assert all(uuid.UUID(id) for id in ids)


def test_no_check_ins_where_none_are_wanted_or_the_schedule_has_no_words(sent, clock):
    with scheduler_on(clock, crons=False) as scheduler:
        scheduler.repeated(60, target="t")(lambda event: None)
        clock.advance(60)
    with scheduler_on(clock) as scheduler:
        scheduler.repeated(10, target="often")(lambda event: None)
        scheduler.handle("once", lambda event: None)
        scheduler.in_(0, "once")
        clock.advance(60)
    assert sent.of("check_in") == []


def monitor_of(schedule, **keywords):
    scheduler = Scheduler(clock=ManualClock(1_800_000_000))
    repeat = scheduler.get_repeat(scheduler.repeat(schedule, "some.target", **keywords))
    scheduler.close()
    return _monitors.slug(repeat), _monitors.config(repeat)


@pytest.mark.parametrize(("schedule", "said"), [
    (60, {"type": "interval", "value": 1, "unit": "minute"}),
    (Every(5_400), {"type": "interval", "value": 90, "unit": "minute"}),
    (timedelta(hours=3), {"type": "interval", "value": 3, "unit": "hour"}),
    (Every(14 * 86_400, anchor=0), {"type": "interval", "value": 2, "unit": "week"}),
    (Every(60, from_end=True), {"type": "interval", "value": 1, "unit": "minute"}),
    (90, None),
    (0.1, None),
    ("@daily", {"type": "crontab", "value": "0 0 * * *"}),
    ("30 0 9 1,15 JAN-jun ?", {"type": "crontab", "value": "0 9 1,15 jan-jun *"}),
    ("*/10 * * * * *", None),
    ("0 9 L * *", None),
    ("0 9 15W * *", None),
    ("0 9 * * fri#2", None),
    (Cron("0 9 * * *", tz=timezone(timedelta(hours=2))), None),
    (Cron("0 9 * * *") | Every(60), None),
    (Times([4_000_000_000]), None),
])  # fmt: skip
def test_schedules_as_monitors_have_them(schedule, said):
    config = monitor_of(schedule)[1]
    assert (config and config["schedule"]) == said


def test_a_rule_of_a_calendar_has_no_words_there():
    start = datetime(2027, 1, 1, 9)  # noqa: DTZ001  # local time of the zone
    assert monitor_of(RRule("FREQ=DAILY", start, tz="UTC"))[1] is None


@pytest.mark.parametrize(("id", "slug"), [
    ("sweep", "sweep"), ("Täglich: Büro!", "t-glich-b-ro"), (None, "some-target"), ("ü", "repeat"),
    ("x" * 80, "x" * 50),
])  # fmt: skip
def test_names_of_monitors(id, slug):
    assert monitor_of(60, id=id)[0] == slug


def test_a_client_that_is_off_costs_nothing_and_sends_nothing(clock):
    sentry_sdk.get_global_scope().set_client(None)
    with scheduler_on(clock) as scheduler:
        scheduler.repeated(60, target="t")(lambda event: None)
        scheduler.handle("u", lambda event: None)
        assert dict(scheduler.get(scheduler.in_(1, "u")).job.headers) == {}
        clock.advance(60)
        assert scheduler.stats().succeeded == 2


@pytest.mark.parametrize("given", [None, 1, "yes"])
def test_crons_must_be_a_bool(given):
    with pytest.raises(TypeError, match="crons must be a bool"):
        duewheel.sentry.Plugin(crons=given)
