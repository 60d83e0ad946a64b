"""An id names one job of a file: across restarts, while its job runs, and for threads that speak of it at once."""

import threading
import time

import pytest
from jobs_file import FAR, START, balance, counts, fail

from duewheel import DuplicateJobError, LocalStorage, Scheduler


def test_ids_are_taken_across_restarts(file):
    scheduler = file.open()
    scheduler.in_(FAR, "t", id="far")
    scheduler.in_(1, "t", id="near")
    generated = scheduler.in_(FAR, "t")
    scheduler = file.again()
    for id in ("far", "near", generated):
        for call in (scheduler.in_, scheduler.at):
            with pytest.raises(DuplicateJobError, match=id):
                call(FAR, "t", id=id)
    assert len(scheduler) == 3
    assert counts(scheduler.stats(), "pending") == (3,)
    assert scheduler.cancel("far") and scheduler.cancel(generated)
    file.clock.advance(1)
    for id in ("far", "near", generated):
        assert scheduler.in_(FAR, "t", id=id) == id
    scheduler = file.again()
    assert sorted(event.job_id for event in scheduler.between()) == sorted(["far", "near", generated])


def test_an_id_is_taken_while_its_job_runs(file):
    refused = []

    def again(event):
        try:
            scheduler.in_(FAR, "t", id=event.job_id)
        except DuplicateJobError:
            refused.append(event.job_id)
        assert scheduler.get(event.job_id) is None and not scheduler.cancel(event.job_id)

    file.act = again
    scheduler = file.open()
    scheduler.in_(0, "t", id="a")
    scheduler.in_(FAR - 1, "t", id="b")
    file.clock.advance(FAR)
    assert refused == ["a", "b"]


def test_an_id_of_before_never_names_another_job(file):
    scheduler = file.open()
    gone = [scheduler.in_(FAR, "t") for _ in range(50)] + list(scheduler.in_many([1] * 50, "t"))
    kept = [scheduler.in_(FAR, "t", b"%d" % number) for number in range(50)]
    assert all(scheduler.cancel(id) for id in gone)
    for _ in range(2):
        scheduler = file.again()
        new = [scheduler.in_(FAR, "t", b"new") for _ in range(100)]
        new += scheduler.at_many([START + FAR] * 100, "t")
        assert len({*gone, *kept, *new}) == 350
        for id in gone:
            assert scheduler.get(id) is None and id not in scheduler
            assert not scheduler.cancel(id) and not scheduler.reschedule(id, START)
        assert [scheduler.get(id).data for id in kept] == [b"%d" % number for number in range(50)]
        assert all(scheduler.cancel(id) for id in new)
    assert [event.job_id for event in scheduler.between()] == kept
    assert all(scheduler.cancel(id) for id in kept) and len(scheduler) == 0


@pytest.mark.parametrize("change", ["cancel", "reschedule", "revive"])
def test_threads_may_speak_of_one_id_while_other_jobs_are_on_disk_alone(path, change):
    scheduler = Scheduler(LocalStorage(path, durability="relaxed", horizon=10))
    scheduler.in_(FAR, "t", id="away")
    if change == "revive":
        scheduler.handle("u", fail)
        scheduler.start()
        scheduler.in_many([0] * 50, "u", retry_limit=0)
        assert not scheduler.wait(0.2)
    dead, lock = [one.event.job_id for one in scheduler.dead()], threading.Lock()
    stop = time.monotonic() + 0.7

    def insert():
        while time.monotonic() < stop:
            try:
                scheduler.in_(5, "t", id="j")
            except DuplicateJobError:
                scheduler.cancel("j")

    def others():
        while time.monotonic() < stop:
            if change == "reschedule":
                scheduler.reschedule("j", time.time() + 5)
            elif change == "revive":
                with lock:
                    id = dead.pop() if dead else "j"
                scheduler.revive(id)
                scheduler.cancel(id)
            scheduler.cancel("j")

    threads = [threading.Thread(target=target) for target in (insert, others, others)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        scheduler.cancel("j")
        scheduler._check()
        assert balance(scheduler.stats()) == 0
        assert [event.job_id for event in scheduler.between(time.time() + 60)] == ["away"]
        assert (len(scheduler), "j" in scheduler) == (1, False)
    finally:
        scheduler.close()
    with Scheduler(path) as scheduler:
        assert [event.job_id for event in scheduler.between()] == ["away"]
