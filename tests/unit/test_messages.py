"""What is refused says what to do instead: each message is read, of the engine and of the reference."""

import asyncio
import inspect
import logging
import time

import pytest

import duewheel
from duewheel import JobOptions, LocalStorage, NopScheduler, Scheduler, Snooze, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

ONE = "target, data, id, options, connection, headers, key, keep, on_conflict"
OPTIONS = "retry_limit, min_backoff, max_backoff, age_limit, consistency"
REPEAT = "tz, id, start, end, count, spread, catch_up, window, pause_on_dead, options, headers, key"
MANY = "datas, options, headers, key, keep"
MADE_OF = "storage, workers, options, clock, seed, tasks, plugins, share"
CARRIED = {
    **dict.fromkeys(("Scheduler.at", "Scheduler.in_"), ("headers", "key", "keep", "on_conflict")),
    **dict.fromkeys(("Scheduler.at_many", "Scheduler.in_many"), ("headers", "key", "keep")),
}


@pytest.fixture(params=[Scheduler, ReferenceScheduler])
def scheduler(request):
    scheduler = request.param(clock=ManualClock(1_800_000_000))
    yield scheduler
    assert len(scheduler) == 0
    scheduler.close()


def said(error, call, *arguments, **keywords):
    with pytest.raises(error) as caught:
        call(*arguments, **keywords)
    assert caught.type is error
    return str(caught.value)


# Data and targets


def test_a_text_as_data_says_how_to_make_bytes(scheduler):
    message = said(TypeError, scheduler.in_, 1, "t", "ada")
    assert message == "data must be bytes-like, not 'ada': text.encode() makes bytes of it"
    assert said(TypeError, scheduler.in_many, [1], "t", ["ada"]) == message


def test_an_object_as_data_says_how_to_make_bytes(scheduler):
    message = said(TypeError, scheduler.at, 1_800_000_000, "t", {"name": "ada"})
    assert message == "data must be bytes-like, not {'name': 'ada'}: json.dumps(value).encode() is one way"


def test_a_function_as_target_says_handle(scheduler):
    for call in (scheduler.at, scheduler.in_):
        message = said(TypeError, call, 1_800_000_000, print)
        assert message.startswith("target must be a str, not <built-in function print>: register it with handle(")
    assert "handle(" in said(TypeError, scheduler.handler, print)
    assert "handle(" not in said(TypeError, scheduler.in_, 1, 5)
    assert "handle(" not in said(TypeError, scheduler.cancel, print)


def test_a_message_is_not_as_long_as_what_was_given(scheduler):
    long = {"a": "x" * 100_000}
    assert len(said(TypeError, scheduler.in_, 1, "t", long)) < 600
    assert len(said(TypeError, scheduler.in_, long, "t")) < 600
    assert len(said(TypeError, scheduler.in_, 1, long)) < 600
    assert len(said(ValueError, scheduler.in_, 1, "x" * 100_000)) < 600
    assert "<int>" in said(OverflowError, scheduler.at, 10**5_000, "t")  # it has no text at all
    assert "<int>" in said(OverflowError, scheduler.in_, 10**5_000, "t")
    assert "<int>" in said(OverflowError, scheduler.at_many, [10**5_000], "t")


# Units


@pytest.mark.parametrize(
    ("when", "unit", "remedy"),
    [
        (1_795_800_000_000, "milliseconds", "divide by 10**3"),
        (1_795_800_000_000.0, "milliseconds", "divide by 10**3"),
        (1_795_800_000_000_000, "microseconds", "divide by 10**6"),
        (1_795_800_000_000_000_000, "nanoseconds", "divide by 10**9, or give due_at of the event"),
    ],
)
def test_a_time_in_another_unit_says_so(scheduler, when, unit, remedy):
    end = f"; 64 bits of nanoseconds end after 292 years. It looks like unix {unit}, and seconds are meant: {remedy}"
    for call in (scheduler.at, lambda when, target: scheduler.at_many([when], target)):
        assert said(OverflowError, call, when, "t") == f"when is out of range: {when!r}{end}"
    assert said(OverflowError, scheduler.next, when) == f"start is out of range: {when!r}{end}"
    assert said(OverflowError, scheduler.reschedule, "x", when) == f"when is out of range: {when!r}{end}"
    assert said(OverflowError, scheduler.purge, when).endswith(
        remedy.replace("due_at of the event", "died_at of the dead event")
    )
    assert unit in said(OverflowError, ManualClock, when)


def test_a_delay_in_another_unit_says_so(scheduler):
    said_of = [
        said(OverflowError, scheduler.in_, 60 * 10**9, "t"),
        said(OverflowError, scheduler.in_many, [60 * 10**9], "t"),
        said(OverflowError, Snooze, 60 * 10**9),
        said(OverflowError, JobOptions, min_backoff=60 * 10**9),
        said(OverflowError, scheduler.drain, 60 * 10**9),
    ]
    for message in said_of:
        assert message.endswith(" is in seconds: nanoseconds are divided by 10**9")


def test_a_time_that_looks_like_nothing_says_no_more(scheduler):
    for when in (1e300, 10**30, 10_000_000_000):
        assert said(OverflowError, scheduler.at, when, "t").endswith("64 bits of nanoseconds end after 292 years")


# Keywords


@pytest.mark.parametrize(
    ("call", "known"),
    [
        (lambda s: s.at(1, "t", retries=3), f"Scheduler.at() * when, {ONE}, {OPTIONS}"),
        (lambda s: s.in_(1, "t", retries=3), f"Scheduler.in_() * delay, {ONE}, {OPTIONS}"),
        (lambda s: s.at_many([1], "t", retries=3), f"Scheduler.at_many() * whens, target, {MANY}, {OPTIONS}"),
        (lambda s: s.in_many([1], "t", retries=3), f"Scheduler.in_many() * delays, target, {MANY}, {OPTIONS}"),
        (lambda s: JobOptions(retries=3), f"JobOptions() * {OPTIONS}"),
        (lambda s: JobOptions().replace(retries=3), f"JobOptions.replace() * {OPTIONS}"),
        (lambda s: Scheduler(retries=3), f"Scheduler() * {MADE_OF}"),
        (lambda s: aio.Scheduler(retries=3), f"Scheduler() * {MADE_OF}"),
        (
            lambda s: LocalStorage("x", retries=3),
            "LocalStorage() * path, durability, keys, max_data, horizon, resident, max_interruptions, "
            "dead_for, dead_max",
        ),
    ],
)  # fmt: skip
def test_an_unknown_keyword_lists_the_real_ones(call, known):
    scheduler = Scheduler()
    expected = known.replace("*", "got an unexpected keyword argument 'retries': it takes")
    assert said(TypeError, call, scheduler) == expected
    assert len(scheduler) == 0
    scheduler.close()


def test_the_keywords_listed_are_the_parameters():
    known_of = dict(duewheel._checks.KEYWORDS)
    known_of.pop("Task.using", None)  # those of three calls, once tasks are imported: tests/tasks/ has them
    for call, known in known_of.items():
        found = duewheel
        for name in call.split("."):
            found = getattr(found, name)
        parameters = [name for name in inspect.signature(found).parameters if name != "self"]
        if "job_options" in parameters:
            parameters[parameters.index("job_options") :] = [*CARRIED.get(call, ()), *OPTIONS.split(", ")]
        if parameters in (["keywords"], ["changes"]):
            parameters = OPTIONS.split(", ")
        if parameters[-1] == "keywords":  # the stub has them
            parameters[-1:] = [*REPEAT.split(", "), *OPTIONS.split(", ")]
        assert list(known) == parameters, call


def test_an_unknown_keyword_of_the_module_and_of_coroutines():
    with duewheel.use(Scheduler()) as scheduler:
        assert OPTIONS in said(TypeError, duewheel.at, 1, "t", retries=3)
        assert OPTIONS in said(TypeError, duewheel.in_, 1, "t", retries=3)
        scheduler.close()

    async def calls():
        scheduler = aio.Scheduler()
        for call in (scheduler.at, scheduler.in_):
            with pytest.raises(TypeError, match=OPTIONS):
                await call(1, "t", retries=3)
        for call in (scheduler.at_many, scheduler.in_many):
            with pytest.raises(TypeError, match=OPTIONS):
                await call([1], "t", retries=3)
        await scheduler.close()

    asyncio.run(calls())


def test_a_subclass_that_gives_an_unknown_keyword():
    class Mine(Scheduler):
        def __init__(self):
            super().__init__(threads=3)

    assert said(TypeError, Mine).startswith(
        "Scheduler() got an unexpected keyword argument 'threads': it takes storage,"
    )
    assert list(inspect.signature(Scheduler).parameters) == [
        "storage",
        "workers",
        "options",
        "clock",
        "seed",
        "tasks",
        "plugins",
        "share",
    ]


# A due that was meant as a delay


def ancients(caplog):
    return [record for record in caplog.records if "seconds from now are in_()" in record.getMessage()]


def test_a_due_of_a_minute_after_1970_is_warned_of(scheduler, caplog):
    scheduler.at(60, "t", id="x")
    assert len(ancients(caplog)) == 1
    assert "60.000" in ancients(caplog)[0].getMessage() and "time.time() + seconds" in ancients(caplog)[0].getMessage()
    assert ancients(caplog)[0].levelno == logging.WARNING
    scheduler.at_many([60, 61], "t")
    assert len(ancients(caplog)) == 2
    assert scheduler.reschedule("x", 1_800_000_000)
    assert len(ancients(caplog)) == 2
    assert scheduler.reschedule("x", 60)
    assert len(ancients(caplog)) == 3
    assert not scheduler.reschedule("unknown", 60)
    assert len(ancients(caplog)) == 3
    for event in list(scheduler.between()):
        scheduler.cancel(event.job_id)


def test_it_is_warned_of_in_a_file_and_by_coroutines(tmp_path, caplog):
    later = time.time() + 3600
    with Scheduler(tmp_path / "a.db") as scheduler:
        scheduler.at(later, "t", id="x")
        assert scheduler.reschedule("x", 60)
    assert len(ancients(caplog)) == 1

    async def calls(storage):
        scheduler = aio.Scheduler(storage)
        await scheduler.at(later, "t", id="x")
        assert await scheduler.reschedule("x", 60)
        await scheduler.close()

    asyncio.run(calls(None))
    asyncio.run(calls(tmp_path / "b.db"))
    assert len(ancients(caplog)) == 3
    assert NopScheduler().reschedule("x", 60) is False
