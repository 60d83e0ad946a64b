"""Records of a handler say which job they belong to."""

import asyncio
import logging
import threading

import pytest

from duewheel import Scheduler, aio
from duewheel.logs import JobFilter
from duewheel.testing import ManualClock

LOG = logging.getLogger("shop")


class Keeping(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []
        self.addFilter(JobFilter())

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def kept():
    handler = Keeping()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler.records
    root.removeHandler(handler)


def said(record):
    return record.job_id, record.target, record.run, record.attempt


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handlers_records_have_its_job(kept, is_async):
    def handler(event):
        LOG.error("attempt %d", event.attempt)
        if event.attempt == 1:
            raise ValueError

    async def handler_on_loop(event):
        await asyncio.sleep(0)
        handler(event)

    clock = ManualClock()
    with Scheduler(clock=clock) as scheduler:
        scheduler.handle("t", handler_on_loop if is_async else handler)
        id = scheduler.in_(0, "t", id="mine", min_backoff=1, max_backoff=1)
        clock.advance(1)
    ours = [said(record) for record in kept if record.name == "shop"]
    assert ours == [(id, "t", 1, 1), (id, "t", 2, 2)]
    (failed,) = [record for record in kept if record.name == "duewheel"]
    assert said(failed) == (id, "t", 1, 1), "what is logged of a failure says of which job, outside of its handler"


def test_many_handlers_at_once_do_not_mix(kept):
    async def main():
        async with aio.Scheduler() as scheduler:

            @scheduler.handler("on loop")
            async def on_loop(event):
                await asyncio.sleep(0.001)
                LOG.error(event.job_id)

            @scheduler.handler("on worker")
            def on_worker(event):
                LOG.error(event.job_id)

            for number in range(50):
                await scheduler.in_(0, "on loop", id=f"l{number}")
                await scheduler.in_(0, "on worker", id=f"w{number}")
            assert await scheduler.wait(30)

    asyncio.run(main())
    ours = [record for record in kept if record.name == "shop"]
    assert len(ours) == 100
    assert all(record.job_id == record.getMessage() for record in ours)


def test_outside_of_a_handler_there_is_no_job_and_nothing_is_dropped(kept):
    LOG.error("here")
    thread = threading.Thread(target=LOG.error, args=("there",))
    thread.start()
    thread.join()
    assert [said(record) for record in kept] == [(None,) * 4] * 2


def test_what_a_record_says_already_is_kept(kept):
    with Scheduler() as scheduler:
        scheduler.handle("t", lambda event: LOG.error("x", extra={"target": "mine"}))
        scheduler.in_(0, "t", id="j")
        assert scheduler.wait(30)
    (record,) = (record for record in kept if record.name == "shop")
    assert said(record) == ("j", "mine", 1, 1)


def test_a_parked_target_is_said(kept):
    clock = ManualClock()
    with Scheduler(clock=clock) as scheduler:
        scheduler.in_(0, "nobody")
        clock.advance(0)
        scheduler.close()
    assert [record.target for record in kept if "parked" in record.getMessage()] == ["nobody"]
