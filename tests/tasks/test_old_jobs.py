"""Jobs that an earlier version of a program has scheduled: read by the function as it is now, or dead at once."""

import pytest

from duewheel import Consistency, Event, Scheduler, UnreadableDataError, aio
from duewheel.reference import ReferenceScheduler
from duewheel.tasks import Task
from duewheel.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


def test_a_parameter_added_with_a_default_reads_old_jobs(tmp_path, clock):
    ran = []
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        scheduler.task("mail")(lambda user_id: None).in_(60, 5)
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        # And moved: arguments are stored by name.
        scheduler.task("mail")(lambda lang="en", user_id=None: ran.append((user_id, lang)))
        clock.advance(60)
    assert ran == [(5, "en")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "missing 1 required positional argument: 'user_id'"),
        (b"[5]", "it must be an object of JSON, the arguments by their names, not [5]"),
        (b"{", "Expecting property name"),
        (b"\xff", "can't decode byte 0xff"),
        (b'{"user_id":5,"gone":6}', "unexpected keyword argument 'gone'"),
        (b'{"lang":"en"}', "missing 1 required positional argument: 'user_id'"),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async", "file", "reference"])
def test_data_that_cannot_be_read(tmp_path, clock, quiet, kind, data, why):
    ran = []

    def sync(event: Event, user_id: int, lang: str = "en") -> None:
        ran.append(user_id)

    async def on_loop(event: Event, user_id: int, lang: str = "en") -> None:
        ran.append(user_id)

    if kind == "reference":
        scheduler = ReferenceScheduler(clock=clock)
    else:
        scheduler = Scheduler(tmp_path / "jobs.db" if kind == "file" else None, clock=clock)
    with scheduler:
        task = Task(scheduler, on_loop if kind == "async" else sync, "mail", "json", {})
        scheduler.in_(1, "mail", data, id="old", retry_limit=None)
        clock.advance(1)
        (dead,) = scheduler.dead()
        assert (dead.reason, dead.event.attempt, scheduler.stats().retried) == ("failed", 1, 0)
        last = dead.error.strip().rpartition("\n")[2]
        assert last.startswith("duewheel.errors.UnreadableDataError: the data of a job of 'mail' cannot be read: ")
        assert why in last
        assert scheduler.revive("old")
        clock.advance(1)
        assert len(list(scheduler.dead())) == 1 and ran == []
        task.in_(1, 7)
        clock.advance(1)
        assert ran == [7]


def test_it_is_revived_after_a_fix(tmp_path, clock, quiet):
    ran = []
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        scheduler.task("mail")(lambda user_id: None).using(id="old").in_(1, user_id=5)
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        scheduler.task("mail")(lambda user: ran.append(user))
        clock.advance(1)
    with Scheduler(tmp_path / "jobs.db", clock=clock) as scheduler:
        scheduler.task("mail")(lambda user_id: ran.append(user_id))
        assert scheduler.revive("old")
        clock.advance(1)
    assert ran == [5]


def test_a_type_error_of_the_function_is_a_failure_like_any(clock, quiet):
    runs = []

    def fails(a):
        runs.append(a)
        raise TypeError("fails() missing 1 required positional argument: 'a'")

    with Scheduler(clock=clock) as scheduler:
        scheduler.task("t", retry_limit=2, min_backoff=1)(fails).in_(1, 5)
        clock.advance(60)
    assert runs == [5, 5, 5]


@pytest.mark.parametrize("consistency", Consistency)
def test_a_handler_of_ones_own_may_raise_it(clock, quiet, consistency):
    runs = []

    def handler(event):
        runs.append(event)
        raise UnreadableDataError("no such format")

    with Scheduler(clock=clock) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(1, "t", consistency=consistency)
        clock.advance(60)
        (dead,) = scheduler.dead()
    assert len(runs) == 1 and dead.reason == "failed"


def test_the_awaited_scheduler_says_so_too(quiet):
    import asyncio

    async def main():
        async with aio.Scheduler() as scheduler:

            @scheduler.task("t")
            async def t(a: int) -> None: ...

            await scheduler.in_(0, "t", b"5")
            await scheduler.wait(30)
            return [dead.reason async for dead in scheduler.dead()]

    assert asyncio.run(main()) == ["failed"]
