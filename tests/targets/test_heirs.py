"""`dead=`: the death of a job schedules another, in the batch of that death."""

import pytest

from duewheel import Discard, LocalStorage, Scheduler
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(params=["memory", "file", "paged", "reference"])
def scheduler(request, tmp_path):
    clock = ManualClock()
    if request.param == "reference":
        made = ReferenceScheduler(clock=clock)
    else:
        resident = 1 if request.param == "paged" else 1_000
        storage = LocalStorage(tmp_path / "jobs.db", durability="relaxed", resident=resident)
        made = Scheduler(None if request.param == "memory" else storage, workers=1, clock=clock)
    made.clock = clock
    with made as scheduler:
        yield scheduler


def dies(event):
    raise Discard("enough") if event.data == b"discard" else ValueError("no")


def test_a_death_schedules_a_job_of_the_other_target_at_once(scheduler):
    heirs = []
    scheduler.handle("mortal", dies, dead="undertaker")
    scheduler.handle("undertaker", lambda event: heirs.append((event.data, event.due, event.attempt)))
    scheduler.in_(1, "mortal", b"x", retry_limit=1, min_backoff=2, max_backoff=2)
    scheduler.in_(2, "mortal", b"discard")
    for n in range(5):
        scheduler.in_(100 + n, "undertaker", b"later")
    scheduler.clock.advance(2)
    assert heirs == [(b"discard", 2_000_000_000, 1)]
    scheduler.clock.advance(3)
    assert heirs[1:] == [(b"x", 3_000_000_000, 1)]
    stats = scheduler.stats()
    assert (stats.scheduled, stats.dead, stats.succeeded, stats.pending) == (9, 2, 2, 5)
    if isinstance(scheduler, Scheduler):
        assert scheduler.targets()["undertaker"].scheduled == 7
        scheduler._check()


def test_a_success_and_a_retry_schedule_none(scheduler):
    heirs = []
    scheduler.handle("t", lambda event: None if event.attempt > 1 else dies(event), dead="undertaker")
    scheduler.handle("undertaker", heirs.append)
    scheduler.in_(0, "t", retry_limit=3)
    scheduler.clock.advance(100)
    assert (heirs, scheduler.stats().succeeded) == ([], 1)


def test_it_has_the_headers_of_what_has_died(scheduler):
    heirs = []
    scheduler.handle("mortal", dies, dead="undertaker")
    scheduler.handle("undertaker", lambda event: heirs.append(dict(event.job.headers)))
    scheduler.in_(0, "mortal", b"discard", headers={"trace": "1"})
    scheduler.in_(0, "mortal", b"discard")
    scheduler.clock.advance(0)
    assert heirs == [{"trace": "1"}, {}]


def test_an_occurrence_that_dies_does_so_too(scheduler):
    heirs = []
    scheduler.handle("again", dies, dead="undertaker")
    scheduler.handle("undertaker", lambda event: heirs.append(event.data))
    scheduler.repeat(10, "again", b"r", id="r", count=3, retry_limit=0)
    scheduler.clock.advance(35)
    assert heirs == [b"r"] * 3
    assert scheduler.stats().dead == 3
    if isinstance(scheduler, Scheduler):
        scheduler._check()


def test_what_a_death_leaves_behind_waits_for_its_handler_in_the_file(tmp_path):
    clock = ManualClock()
    path = tmp_path / "jobs.db"
    with Scheduler(path, workers=1, clock=clock) as scheduler:
        scheduler.handle("mortal", dies, dead="undertaker")
        scheduler.in_(0, "mortal", b"x", retry_limit=0)
        clock.advance(0)
        assert (scheduler.stats().parked, len([*scheduler.dead()])) == (1, 1)
    with Scheduler(path, workers=1, clock=clock) as scheduler:
        heirs = []
        scheduler.handle("undertaker", heirs.append)
        clock.advance(0)
        assert [(event.data, event.target) for event in heirs] == [(b"x", "undertaker")]


def test_its_own_target_is_refused(scheduler):
    with pytest.raises(ValueError, match="dead must be another target than 't': its jobs would follow each other"):
        scheduler.handle("t", dies, dead="t")
    scheduler.handle("t", dies)
