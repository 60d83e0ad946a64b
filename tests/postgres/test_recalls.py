"""`cancel` and `reschedule` of what another node holds: it is asked back, and the answer is exact."""

import asyncio
import signal
import threading
import time

import pg_server
import pytest

from duewheel import PostgresStorage, Scheduler, StorageUnavailableError, aio


@pytest.fixture
def holds(url, schema):
    """Waits until so many jobs are held by a node."""
    server = pg_server.Psql(url)

    def holds(count):
        end = time.monotonic() + 20
        while server.sql(f"SELECT count(*) FROM {schema}.job WHERE owner IS NOT NULL") != [str(count)]:
            assert time.monotonic() < end
            time.sleep(0.02)

    return holds


def test_what_another_node_holds_is_cancelled_and_moved(node, holds):
    started = []
    worker = node(poll=0.05, handlers={"a": lambda event: started.append(event.job_id)})
    web = node()
    due = time.time() + 6
    ids = list(web.at_many([due] * 200, "a"))
    holds(200)
    assert web.cancel(ids[0]) and not web.cancel(ids[0])
    assert web.cancel_many(ids[:100]) == 99
    assert web.reschedule(ids[100], time.time() + 3600)
    assert web.reschedule(ids[101], time.time())
    assert worker.wait(0) is False
    assert worker.cancel(ids[100])  # and what nobody holds, by whoever asks
    assert worker.wait(30)
    assert sorted(started) == sorted(ids[101:])


def test_a_job_that_runs_elsewhere_is_not_cancelled(node):
    began, going_on = threading.Event(), threading.Event()

    def handler(event):
        began.set()
        assert going_on.wait(30)

    worker = node(poll=0.05, handlers={"a": handler})
    web = node()
    id = web.in_(0, "a")
    assert began.wait(20)
    assert web.cancel(id) is False and web.reschedule(id, time.time() + 60) is False
    going_on.set()
    assert worker.wait(20) and worker.stats().succeeded == 1


def test_a_job_is_cancelled_or_starts_and_never_both(node):
    started = set()
    node(poll=0.02, workers=4, handlers={"a": lambda event: started.add(event.job_id)})
    web, other = node(), node()
    now = time.time()
    ids = list(web.at_many([now + 0.5 + n / 200 for n in range(200)], "a"))
    cancelled = set()

    def cancels(scheduler, ids):
        for n, id in ids:
            time.sleep(max(0, now + 0.48 + n / 200 - time.time()))
            if scheduler.cancel(id):
                cancelled.add(id)

    numbered = list(enumerate(ids))
    threads = [threading.Thread(target=cancels, args=(by, numbered[at::2])) for at, by in enumerate((web, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    end = time.monotonic() + 20
    while len(web):
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.2)
    assert cancelled | started == set(ids) and not cancelled & started


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_node_that_is_no_more_is_waited_for(node, nodes, holds, url, schema, tmp_path, how):
    lost = nodes.start(url, schema, tmp_path / "log", storage={"lease": 1.0, "poll": 0.05})
    web = node(lease=1.0, timeout=20.0)
    id = web.in_(9, "work")
    holds(1)
    lost.send_signal(how)
    began = time.monotonic()
    assert web.cancel(id) is True
    assert time.monotonic() - began < 10
    assert len(web) == 0


def test_a_node_that_does_not_answer_is_not_waited_for_longer_than_a_call_waits(
    node, nodes, holds, url, schema, tmp_path
):
    stopped = nodes.start(url, schema, tmp_path / "log", storage={"lease": 30.0, "poll": 0.05})
    web = node(timeout=0.5)
    id = web.in_(9, "work")
    holds(1)
    stopped.send_signal(signal.SIGSTOP)
    with pytest.raises(StorageUnavailableError, match="has not answered in time, and nothing was changed"):
        web.cancel(id)
    assert id in web
    stopped.send_signal(signal.SIGCONT)
    assert web.cancel(id) is True


def test_a_node_that_waits_for_another_goes_on_with_its_own(node, nodes, holds, url, schema, tmp_path):
    stopped = nodes.start(url, schema, tmp_path / "log", storage={"lease": 30.0, "poll": 0.05})
    web = node(timeout=3.0)
    id = web.in_(9, "work")
    holds(1)
    stopped.send_signal(signal.SIGSTOP)

    def cancels():
        with pytest.raises(StorageUnavailableError):
            web.cancel(id)

    asks = threading.Thread(target=cancels)
    asks.start()
    ran = threading.Event()
    web.handle("own", lambda event: ran.set())
    web.in_(0, "own")
    assert ran.wait(20) and asks.is_alive()
    asks.join()
    stopped.send_signal(signal.SIGCONT)


def test_awaited(node, storage, holds):
    node(poll=0.05, handlers={"a": print})

    async def main():
        async with aio.Scheduler(storage()) as web:
            ids = await web.in_many([9] * 20, "a")
            await asyncio.to_thread(holds, 20)
            assert all(await asyncio.gather(*(web.cancel(id) for id in list(ids)[:10])))
            assert await web.reschedule(list(ids)[10], time.time() + 60)
            assert await web.count() == 10

    asyncio.run(main())


def test_what_a_node_gives_back_when_it_closes_goes_to_the_one_that_asks(node, holds, url, schema):
    web = node()
    with Scheduler(PostgresStorage(url, schema=schema, poll=30.0)) as worker:
        id = web.in_(9, "a")
        worker.handle("a", print)
        worker.start()
        holds(1)
        cancelled = []
        asks = threading.Thread(target=lambda: cancelled.append(web.cancel(id)))
        asks.start()
        time.sleep(0.3)
        assert not cancelled
    asks.join(20)
    assert cancelled == [True]
