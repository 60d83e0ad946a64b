"""Waiting for the outcome of a job: on threads, on loops, in handlers; and what is there after a kill."""

import asyncio
import json
import re
import subprocess
import sys
import textwrap
import threading

import pytest
from waiting import PATIENCE_S, until

from duewheel import ClosedError, DuplicateJobError, Scheduler, StateError, aio

ON_EVERY_STORE = pytest.mark.parametrize("in_file", [False, True])


def storage(in_file, place):
    return place / "jobs.db" if in_file else None


def returns(event):
    return event.data * 2


def test_a_thread_waits_for_the_end(tmp_path):
    for place in (None, tmp_path / "jobs.db"):
        with Scheduler(place) as scheduler:
            go_on = threading.Event()
            scheduler.handle("t", lambda event, go_on=go_on: go_on.wait(PATIENCE_S) and b"done")
            scheduler.in_(0, "t", id="j", keep=60)
            with pytest.raises(TimeoutError):
                scheduler.outcome("j", timeout=0.01)
            found = []
            waits = threading.Thread(target=lambda found=found: found.append(scheduler.outcome("j", PATIENCE_S)))
            waits.start()
            go_on.set()
            waits.join(PATIENCE_S)
            assert [outcome.result for outcome in found] == [b"done"]
            assert scheduler.outcome("j", timeout=None).state == "succeeded"


@ON_EVERY_STORE
def test_a_cancellation_and_a_close_end_the_wait(tmp_path, in_file):
    scheduler = Scheduler(storage(in_file, tmp_path))
    found, errors = [], []

    def wait(id):
        try:
            found.append(scheduler.outcome(id, PATIENCE_S).state)
        except ClosedError as error:
            errors.append(error)

    for id in ("cancelled", "closed"):
        scheduler.in_(3_600, "t", id=id, keep=60)
    waits = [threading.Thread(target=wait, args=(id,)) for id in ("cancelled", "closed")]
    for thread in waits:
        thread.start()
    assert scheduler.cancel("cancelled")
    waits[0].join(PATIENCE_S)
    assert found == ["cancelled"]
    scheduler.close()
    waits[1].join(PATIENCE_S)
    assert len(errors) == 1


@ON_EVERY_STORE
def test_a_job_whose_end_is_not_kept_is_not_waited_for(tmp_path, in_file):
    with Scheduler(storage(in_file, tmp_path)) as scheduler:
        scheduler.in_(3_600, "t", id="plain")
        with pytest.raises(LookupError, match=re.escape("schedule it with keep=, in seconds")):
            scheduler.outcome("plain", timeout=None)
        with pytest.raises(LookupError, match="no job has the id 'unknown'"):
            scheduler.outcome("unknown", timeout=None)
        scheduler.in_(3_600, "t", id="j", keep=60)
        refused = []

        def wait():
            try:
                scheduler.outcome("j", PATIENCE_S)
            except LookupError as error:
                refused.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        scheduler.in_(3_600, "t", id="j", on_conflict="update")  # keeps nothing any more
        waiting.join(PATIENCE_S)
        assert len(refused) == 1


@ON_EVERY_STORE
def test_a_handler_may_wait_for_another_job_where_that_can_end(tmp_path, in_file):
    with Scheduler(storage(in_file, tmp_path), workers=2) as scheduler:

        @scheduler.handler("outer")
        def outer(event):
            with pytest.raises(StateError, match=re.escape("in the handler of that job would wait for itself")):
                scheduler.outcome(event.job_id, timeout=1)
            scheduler.in_(0, "inner", b"x", id="inner", keep=60)
            return scheduler.outcome("inner", PATIENCE_S).result + b"!"

        scheduler.handle("inner", returns)
        scheduler.in_(0, "outer", id="outer", keep=60)
        assert scheduler.outcome("outer", PATIENCE_S).result == b"xx!"


def test_with_one_worker_a_handler_may_only_look(tmp_path):
    with Scheduler(workers=1) as scheduler:

        @scheduler.handler("t")
        def handler(event):
            scheduler.in_(0, "t", id="other", keep=60)
            with pytest.raises(TimeoutError):
                scheduler.outcome("other")
            with pytest.raises(StateError, match=re.escape("Scheduler(workers=2) has another")):
                scheduler.outcome("other", timeout=1)
            return b"right"

        @scheduler.handler("async")
        async def awaited(event):
            with pytest.raises(StateError, match="would hold up its loop"):
                scheduler.outcome("j", timeout=1)
            return b"right"

        scheduler.in_(0, "async", id="a", keep=60)
        assert scheduler.outcome("a", PATIENCE_S).result == b"right"
        scheduler.in_(0, "t", id="j", keep=60)
        until(lambda: scheduler.stats().succeeded + scheduler.stats().retried >= 2)
        assert scheduler.outcome("j").result == b"right"


@ON_EVERY_STORE
def test_awaited(tmp_path, in_file):
    async def main():
        async with aio.Scheduler(storage(in_file, tmp_path)) as scheduler:
            go_on = asyncio.Event()

            @scheduler.handler("waits")
            async def waits(event):
                await go_on.wait()
                return event.data

            @scheduler.handler("steps")
            async def steps(event):
                return memoryview(event.data)

            @scheduler.handler("asks")
            async def asks(event):
                with pytest.raises(StateError):
                    await scheduler.outcome(event.job_id, timeout=1)
                return (await scheduler.outcome("w", timeout=PATIENCE_S)).result

            @scheduler.handler("wrong")
            async def wrong(event):
                await asyncio.sleep(0)
                return 5

            await scheduler.in_(0, "waits", b"w", id="w", keep=60)
            await scheduler.in_(0, "asks", id="asks", keep=60)
            await scheduler.in_(0, "steps", b"s", id="s", keep=60)
            await scheduler.in_(0, "wrong", id="wrong", keep=60, retry_limit=0)
            await scheduler.in_(3_600, "steps", id="far", keep=60)
            await scheduler.in_(3_600, "steps", id="plain")
            with pytest.raises(TimeoutError):
                await scheduler.outcome("w")
            with pytest.raises(TimeoutError):
                await scheduler.outcome("w", timeout=0.01)
            with pytest.raises(LookupError):
                await scheduler.outcome("plain", timeout=1)
            with pytest.raises(LookupError):
                await scheduler.outcome("unknown", timeout=1)
            far = asyncio.ensure_future(scheduler.outcome("far", timeout=PATIENCE_S))
            cancelled = asyncio.ensure_future(scheduler.outcome("far", timeout=None))
            await asyncio.sleep(0)
            cancelled.cancel()
            await scheduler.cancel("far")
            assert (await far).state == "cancelled"
            go_on.set()
            assert (await scheduler.outcome("asks", timeout=PATIENCE_S)).result == b"w"
            assert (await scheduler.outcome("s", timeout=None)).result == b"s"
            assert "bytes-like or None" in (await scheduler.outcome("wrong", timeout=PATIENCE_S)).error
            with pytest.raises(DuplicateJobError):
                await scheduler.in_(0, "steps", id="s")

    asyncio.run(main())


def test_a_loop_that_the_scheduler_does_not_run_on_waits_as_well():
    async def ask(scheduler):
        return await scheduler.outcome("j", timeout=PATIENCE_S)

    async def main():
        async with aio.Scheduler() as scheduler:
            go_on = asyncio.Event()

            @scheduler.handler("t")
            async def handler(event):
                await go_on.wait()
                return b"r"

            await scheduler.in_(0, "t", id="j", keep=60)
            elsewhere = asyncio.ensure_future(asyncio.to_thread(asyncio.run, ask(scheduler)))
            await asyncio.sleep(0)
            go_on.set()
            assert (await elsewhere).result == b"r"

    asyncio.run(main())


def test_a_coroutine_that_a_sync_handler_returns_is_what_returns(tmp_path):
    async def go_on(event):
        await asyncio.sleep(0)
        return event.data

    with Scheduler() as scheduler:
        scheduler.handle("t", lambda event: go_on(event))
        scheduler.in_(0, "t", b"r", id="j", keep=60)
        assert scheduler.outcome("j", PATIENCE_S).result == b"r"


SEEN = """
    import json, os, signal, sys
    import duewheel
    path, durability = sys.argv[1:]
    scheduler = duewheel.Scheduler(duewheel.LocalStorage(path, durability=durability))
    @scheduler.handler("t")
    def handler(event):
        if event.data == b"dies":
            os.kill(os.getpid(), signal.SIGKILL)
        return b"result of " + event.data
    scheduler.start()
    ids = [scheduler.in_(0, "t", b"%d" % n, keep=3600) for n in range(100)]
    far = scheduler.in_(3600, "t", id="far", keep=3600)
    scheduler.cancel("far")
    seen = {id: scheduler.outcome(id, timeout=60).result.decode() for id in ids}
    seen["far"] = scheduler.outcome("far").state
    print(json.dumps(seen), flush=True)
    scheduler.in_(0, "t", b"dies", id="once", keep=3600, consistency=duewheel.Consistency.AT_MOST_ONCE)
    scheduler.wait()
"""


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_an_outcome_that_was_seen_is_there_after_a_kill(tmp_path, durability):
    path = tmp_path / "jobs.db"
    command = [sys.executable, "-c", textwrap.dedent(SEEN), str(path), durability]
    told = subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE_S * 4)
    assert told.returncode == -9, told.stderr.decode()
    seen = json.loads(told.stdout)
    with Scheduler(path) as scheduler:
        assert scheduler.outcome("far").state == seen.pop("far") == "cancelled"
        assert len(seen) == 100
        for id, result in seen.items():
            assert scheduler.outcome(id).result.decode() == result
        died = scheduler.outcome("once")
        assert (died.state, died.reason) == ("dead", "interrupted")
        assert "its process died" in died.error
        with pytest.raises(DuplicateJobError):
            scheduler.in_(0, "t", id="once")
