"""What runs over a file: once each, by either consistency and durability, and what is counted of it."""

import threading
import time

import pytest
from jobs_file import FAR, START, balance, counts

from duewheel import Consistency, LocalStorage, Scheduler, Snooze, StateError


def test_at_most_once_jobs_are_never_tried_again(file):
    def act(event):
        if event.data == b"fail":
            raise RuntimeError
        if event.data == b"snooze":
            raise Snooze(1)

    file.act = act
    scheduler = file.open()
    scheduler.in_many([0, 1, 0.5], "t", [b"fail", b"snooze", b"fine"], consistency=Consistency.AT_MOST_ONCE)
    scheduler = file.again()
    file.clock.advance(10)
    assert file.data() == [b"fail", b"fine", b"snooze"]
    assert [(one.event.data, one.reason) for one in scheduler.dead()] == [(b"snooze", "failed"), (b"fail", "failed")]
    file.again()
    file.clock.advance(10)
    assert len(file.ran) == 3


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("consistency", Consistency, ids=str)
def test_on_the_machine_s_clocks_each_job_runs_once(path, durability, workers, consistency):
    ran, lock = [], threading.Lock()

    def run(event):
        with lock:
            ran.append(event.job_id)

    def make():
        scheduler = Scheduler(LocalStorage(path, durability=durability), workers=workers)
        scheduler.handle("t", run)
        return scheduler

    ids = []
    for _ in range(3):
        with make() as scheduler:
            for number in range(30):
                ids.append(scheduler.in_(number * 1e-4, "t", consistency=consistency))
            ids += scheduler.in_many([0] * 200, "t", consistency=consistency)
            # with ends by drain() and close(): what has not started goes on the next time.
    with make() as scheduler:
        assert scheduler.wait(20)
        scheduler._check()
        assert len(scheduler) == 0 and list(scheduler.dead()) == []
    assert sorted(ran) == sorted(ids)


def test_many_threads_share_one_file(path):
    ran, kept, lock = [], [], threading.Lock()
    with Scheduler(LocalStorage(path, resident=50, horizon=0.02), workers=3) as scheduler:

        @scheduler.handler("t")
        def work(event):
            with lock:
                ran.append(event.job_id)

        def produce(seed):
            for number in range(100):
                id = scheduler.in_((number % 9) * 1e-2, "t", id=f"{seed}-{number}" if number % 3 else None)
                if number % 5 or not scheduler.cancel(id):
                    with lock:
                        kept.append(id)
                if number % 7 == 0:
                    scheduler.reschedule(id, time.time() + 0.03)

        threads = [threading.Thread(target=produce, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert scheduler.wait(30)
        scheduler._check()
        assert balance(scheduler.stats()) == 0
    assert sorted(ran) == sorted(kept)
    with Scheduler(path) as scheduler:
        assert len(scheduler) == 0


def test_a_handler_may_do_all_but_wait_for_itself(file):
    refused, log = [], []

    def work(event):
        if event.target != "t":
            return
        for call in (scheduler.drain, scheduler.wait, scheduler.run):
            try:
                call()
            except StateError:
                refused.append(call)
        id = scheduler.in_(FAR, "u")
        log.append((scheduler.cancel(id), scheduler.cancel(id), "b" in scheduler, scheduler.reschedule("b", START + 7)))
        scheduler.in_(0, "u", b"now")
        scheduler.in_many([1, FAR], "u", [b"soon", b"late"])
        log.append((len(scheduler), scheduler.next(START + 7).job_id, scheduler.revive("b"), scheduler.purge()))

    file.act = work
    scheduler = file.open(handles="tu")
    scheduler.in_(FAR, "u", id="b")
    scheduler.in_(0, "t")
    file.clock.advance(FAR)
    assert len(refused) == 3
    assert log == [(True, False, True, True), (4, "b", False, 0)]
    assert file.data() == [b"", b"now", b"soon", b"", b"late"]


def test_stats_add_up_across_restarts(file):
    def act(event):
        if event.data == b"fail":
            raise RuntimeError
        if event.data == b"snooze" and event.run == 1:
            raise Snooze(1)

    file.act = act
    scheduler = file.open()
    names = "scheduled", "pending", "started", "succeeded", "retried", "snoozed", "dead", "cancelled", "revived"
    scheduler.in_(1, "t", b"fail", id="a", retry_limit=1, min_backoff=1, max_backoff=1)
    scheduler.in_(1, "t", b"snooze")
    scheduler.in_many([FAR] * 3, "t")
    assert scheduler.cancel(scheduler.in_(9 * FAR, "t"))
    assert balance(scheduler.stats()) == 0
    file.clock.advance(10)
    assert scheduler.revive("a")
    assert balance(scheduler.stats()) == 0
    file.clock.advance(10)
    assert counts(scheduler.stats(), *names) == (6, 3, 6, 1, 2, 1, 2, 1, 1)
    scheduler = file.again()
    # Those that it found count as scheduled.
    assert counts(scheduler.stats(), *names) == (3, 3, 0, 0, 0, 0, 0, 0, 0)
    assert scheduler.revive("a")
    stats = scheduler.stats()
    assert (counts(stats, "pending", "revived"), balance(stats)) == ((4, 1), 0)
    file.clock.advance(FAR)
    stats = scheduler.stats()
    assert (counts(stats, *names), balance(stats)) == ((3, 0, 5, 3, 1, 0, 1, 0, 1), 0)
    assert stats.lateness.count == 5


def test_wait_returns_when_all_has_run(path):
    with Scheduler(LocalStorage(path, horizon=0.05, resident=3)) as scheduler:
        ran = []
        scheduler.handle("t", lambda event: ran.append(event.data))
        scheduler.in_many([number / 100 for number in range(20)], "t")
        assert scheduler.wait(20)
        assert len(ran) == 20
        scheduler.in_(FAR, "t")
        assert not scheduler.wait(0.05)
