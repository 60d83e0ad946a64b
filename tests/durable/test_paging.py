"""A pending job is found, changed and run in memory, on disk alone, and on its way from the one to the other."""

import time

import pytest
from jobs_file import SECOND, START, JobsFile, balance, counts

from duewheel import DuplicateJobError, Event, Job, JobOptions, LocalStorage, Scheduler
from duewheel.testing import ManualClock


@pytest.fixture(params=[{"horizon": 10, "resident": 5}, {"resident": 1}, {"horizon": 0}, {}], ids=str)
def both(request, path):
    """A file and a memory that hold the same: a hundred jobs, two a second."""
    file = JobsFile(path, **request.param)
    kept, memory = file.open(), Scheduler(clock=file.clock)
    for scheduler in (kept, memory):
        for number in range(100):
            scheduler.at(START + number // 2, "t", b"%d" % number, id=f"j{number}")
    yield kept, memory, file.clock
    memory.close()
    file.close()


def test_jobs_on_disk_alone_are_found(both):
    kept, memory, _ = both
    assert len(kept) == len(memory) == 100
    assert [kept.get(f"j{number}") for number in range(101)] == [memory.get(f"j{number}") for number in range(101)]
    assert "j99" in kept and "j100" not in kept
    bounds = [None, START - 1, START, START + 1, START + 1.5, START + 25, START + 49, START + 50, 9e9]
    for start in bounds:
        for end in bounds:
            events = list(memory.between(start, end))
            assert list(kept.between(start, end)) == events
            assert kept.next(start, end) == memory.next(start, end) == (events[0] if events else None)
            assert list(kept.storage.between(start, end)) == events
            assert kept.storage.next(start, end) == (events[0] if events else None)


def test_jobs_on_disk_alone_can_be_changed(both):
    kept, memory, _ = both
    job = Job("made", "t", START * SECOND, b"x", JobOptions(retry_limit=1))
    calls = [
        *[("cancel", f"j{number}") for number in [0, 7, 7, 50, 99, 100]],
        *[("reschedule", f"j{number}", START + 30) for number in [1, 60, 98, 98, 99]],
        *[("reschedule", f"j{number}", START) for number in [70, 71]],
        *[("reschedule", f"j{number}", START + 9_000) for number in [2, 80]],
        ("cancel", "j80"), ("cancel", "j70"), ("cancel", "j98"),
    ]  # fmt: skip
    for name, *arguments in calls:
        assert getattr(kept, name)(*arguments) == getattr(memory, name)(*arguments)
        assert kept.get(arguments[0]) == memory.get(arguments[0])
        assert len(kept) == len(memory)
    for scheduler in (kept, memory):
        storage = scheduler.storage
        for due in (START + 12, START + 30, START):
            storage.create(Event(job, run=5, attempt=3, due=due * SECOND))
            with pytest.raises(DuplicateJobError, match="made"):
                storage.create(Event(job))
            assert storage.load("made").run == 5 and storage.load("made").attempt == 3
            assert storage.delete("made") and not storage.delete("made")
        storage.create(Event(job, run=5, attempt=3, due=(START + 30) * SECOND))
    assert list(kept.between()) == list(memory.between())
    assert balance(kept.stats()) == 0
    assert counts(kept.stats(), "scheduled", "cancelled") == counts(memory.stats(), "scheduled", "cancelled")


def test_jobs_on_disk_alone_run_at_their_due(both):
    kept, memory, clock = both
    memory.handle("t", lambda event: None)
    ran = {kept: [], memory: []}
    for scheduler, log in ran.items():
        scheduler.handle("again", lambda event, log=log: log.append((event, event.lateness)))
        for number in range(100):
            scheduler.at(START + (number * 37) % 50, "again", id=f"a{number}")
        scheduler.cancel("a7")
        scheduler.reschedule("a8", START + 49)
        scheduler.start()
    kept._check()
    for _ in range(10):
        clock.advance(5)
        assert ran[kept] == ran[memory]
        assert list(kept.between()) == list(memory.between())
    assert len(ran[kept]) == 99 and all(late == 0 for _, late in ran[kept])


def test_an_iterator_goes_on_while_jobs_come_and_go(file):
    scheduler = file.open()
    for number in range(1_500):
        scheduler.at(START + 10 + number, "t", id=f"j{number}")
    seen = []
    for event in scheduler.between():
        number = int(event.job_id[1:])
        assert number not in seen[-1:]
        seen.append(number)
        if number % 10 == 0:
            scheduler.cancel(f"j{number + 5}")
            scheduler.in_(0, "t")
    assert seen == sorted(set(seen))
    assert set(range(1_500)) - set(seen) <= {number for number in range(1_500) if number % 10 == 5}


def test_more_than_fits_in_memory_runs_in_order(path):
    file = JobsFile(path, resident=100, horizon=60)
    scheduler = file.open()
    dues = [(number * 7_919) % 1_000 for number in range(2_000)]
    scheduler.in_many(dues, "t", [b"%d" % number for number in range(2_000)])
    file.clock.advance(500)
    assert len(file.ran) + len(scheduler) == 2_000
    scheduler = file.again()
    file.clock.advance(500)
    expected = sorted(range(2_000), key=lambda number: (dues[number], number))
    assert [int(event.data) for event in file.ran] == expected
    assert all(event.lateness == 0 for event in file.ran)
    file.close()


@pytest.mark.parametrize("step", [1_000.0, -500.0])
@pytest.mark.parametrize("window", [{"resident": 1}, {"horizon": 10}], ids=str)
def test_a_job_on_disk_alone_keeps_to_the_boot_clock_while_the_wall_clock_is_stepped(path, window, step):
    """It came in by the offset between the clocks of that moment, and so it was early."""
    clock, ran = ManualClock(2_000), []
    with Scheduler(LocalStorage(path, **window), clock=clock) as scheduler:
        scheduler.handle("t", lambda event: ran.append((event.data, clock.now(), event.lateness)))
        scheduler.in_(50, "t", b"a")
        scheduler.in_(100, "t", b"b")
        clock.step(step)
        scheduler.in_(75, "t", b"c")
        clock.advance(49)
        assert not ran
        clock.advance(60)
        now = 2_000 + step
        assert ran == [(b"a", now + 50, 0.0), (b"c", now + 75, 0.0), (b"b", now + 100, 0.0)]


def parked(scheduler, count):
    end = time.monotonic() + 10
    while scheduler.stats().parked < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_parked_jobs_that_leave_memory_meanwhile_are_iterated_over(path):
    with Scheduler(LocalStorage(path, resident=320)) as scheduler:
        ids = scheduler.in_many([0] * 40, "a")
        parked(scheduler, 40)
        early, late = scheduler.between(), scheduler.between()
        assert next(late).job_id == ids[0]
        other = scheduler.in_(3_600, "b", id="other")  # most of them are on disk alone then
        assert scheduler.stats().parked == 40
        assert [event.job_id for event in early] == [*ids]
        assert [event.job_id for event in late] == [*ids[1:]]
        assert [event.job_id for event in scheduler.between()] == [*ids, other]
        scheduler.close()
        assert scheduler.stats().parked == 0


HORIZON_S = 10


@pytest.mark.parametrize("first", [1, 3], ids=["one seen before", "three seen before"])
def test_a_job_that_is_paged_in_while_it_is_iterated_over_is_seen_once(path, first):
    clock = ManualClock()
    with Scheduler(LocalStorage(path, horizon=HORIZON_S), clock=clock) as scheduler:
        near = [scheduler.in_(HORIZON_S / 2 + number / 10, "t") for number in range(3)]
        far = [scheduler.in_(HORIZON_S * 1.2 + number / 10, "t") for number in range(4)]
        events = scheduler.between()
        seen = [next(events).job_id for _ in range(first)]
        clock.advance(HORIZON_S / 3)  # what was on disk alone comes into memory
        assert [*seen, *(event.job_id for event in events)] == near + far


def test_a_job_that_was_paged_in_and_cancelled_or_moved_is_not_seen_in_its_old_place(path):
    clock = ManualClock()
    with Scheduler(LocalStorage(path, horizon=HORIZON_S), clock=clock) as scheduler:
        far = [scheduler.in_(HORIZON_S * 1.2 + number / 10, "t") for number in range(4)]
        events = scheduler.between()
        clock.advance(HORIZON_S / 3)
        assert scheduler.cancel(far[0])
        assert scheduler.reschedule(far[1], HORIZON_S * 3)
        seen = [event.job_id for event in events]
        assert seen == [*far[2:], far[1]] or seen == far[2:]


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_at_the_edge_of_the_horizon_none_is_missed_while_pages_come(tmp_path, durability):
    for number in range(40):
        with Scheduler(LocalStorage(tmp_path / f"{number}.db", durability=durability)) as scheduler:
            ids = [scheduler.in_(3600, "t") for _ in range(3)]
            assert [event.job_id for event in scheduler.between()] == ids
            assert all(scheduler.get(id).job_id == id for id in ids)
            first = scheduler.next()
            assert first is not None
            assert first.job_id == ids[0]


@pytest.mark.parametrize("window", [{"horizon": 0}, {"horizon": 60}, {"horizon": 9_999, "resident": 150}], ids=str)
def test_pages_of_both_joined_are_in_order_whatever_is_equal(path, window):
    """More than some pages of each, a few due at a time, half of them scheduled after the first were paged out."""
    clock = ManualClock()
    with (
        Scheduler(LocalStorage(path, durability="relaxed", **window), clock=clock) as kept,
        Scheduler(clock=clock) as all,
    ):
        for number in range(2_400):
            for scheduler in (kept, all):
                scheduler.at(number * 7_919 % 240, f"t{number % 3}", id=f"{number}")
        for bounds in ({}, {"target": "t1"}, {"start": 30}, {"start": 59, "end": 62, "target": "t2"}):
            expected = [event.job_id for event in all.between(**bounds)]
            assert expected and [event.job_id for event in kept.between(**bounds)] == expected
        events = kept.between()
        for _ in range(3):  # what comes into memory meanwhile is neither missed nor seen twice
            [next(events) for _ in range(250)]
            clock.advance(1)
        assert [event.job_id for event in events] == [event.job_id for event in all.between()][750:]


def test_what_there_is_of_a_target_is_found_once_targets_are_counted(path):
    storage = LocalStorage(path, durability="relaxed", horizon=0)
    with Scheduler(storage) as scheduler:
        scheduler.in_many([3_600] * 20, "a")
        scheduler.in_(3_600, "b", id="b")
        scheduler.repeat(3_600, "r", id="r")

    def found(target):
        return [event.job_id for event in scheduler.between(target=target)]

    with Scheduler(storage) as scheduler:
        assert (found("b"), found("nobody")) == (["b"], [])
        assert scheduler.targets()["a"].pending == 20
        assert (len(found("a")), found("b"), found("r"), found("nobody")) == (20, ["b"], ["r"], [])
        assert scheduler.cancel("b") and found("b") == []
        scheduler.in_(7_200, "b", id="again")
        scheduler.repeat(3_600, "other", id="r")
        assert (found("b"), found("r"), found("other")) == (["again"], [], ["r"])
