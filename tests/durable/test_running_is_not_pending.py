"""What runs is not pending: no question shows it, also while its end and another job's row meet on the disk."""

import asyncio
import threading

import pytest

from duewheel import Scheduler, aio

FAR_S = 2 * 86_400


@pytest.mark.parametrize("question", ["between", "next", "get", "contains"])
def test_what_runs_is_not_shown_as_pending(tmp_path, question):
    started, go = threading.Event(), threading.Event()

    def handler(event):
        started.set()
        go.wait()

    shown = 0
    with Scheduler(tmp_path / "jobs.db", workers=1) as scheduler:
        scheduler.in_(FAR_S, "far", id="far")  # on disk alone, so that the store is asked
        scheduler.handle("t", handler)
        for number in range(100):
            id = f"job-{number}"
            started.clear()
            go.clear()
            scheduler.in_(0, "t", id=id)
            started.wait()
            go.set()  # it ends while the question is under way
            if question == "between":
                shown += id in [event.job_id for event in scheduler.between()]
            elif question == "next":
                shown += scheduler.next().job_id != "far"
            elif question == "get":
                shown += scheduler.get(id) is not None
            else:
                shown += id in scheduler
        assert [event.job_id for event in scheduler.between()] == ["far"]
    assert shown == 0


def test_what_runs_is_not_shown_as_pending_to_coroutines(tmp_path):
    async def main():
        shown = 0
        async with aio.Scheduler(tmp_path / "jobs.db") as scheduler:
            await scheduler.in_(FAR_S, "far", id="far")
            started, go = asyncio.Event(), asyncio.Event()

            @scheduler.handler("t")
            async def handler(event):
                started.set()
                await go.wait()

            for number in range(50):
                id = f"job-{number}"
                started.clear()
                go.clear()
                await scheduler.in_(0, "t", id=id)
                await started.wait()
                go.set()
                shown += await scheduler.get(id) is not None
                shown += (await scheduler.next()).job_id != "far"
        assert shown == 0

    asyncio.run(main())
