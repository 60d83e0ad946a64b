"""The dead of a file: all of them are there after a restart, with their errors, and may be revived."""

import pytest
from jobs_file import SECOND, START, counts, fail

from duewheel import Discard, DuplicateJobError, LocalStorage, Scheduler


def test_all_of_the_dead_are_there_after_a_restart(file):
    def discard(event):
        raise Discard(f"because of {event.data.decode()}")

    file.act = discard
    scheduler = file.open()
    ids = scheduler.in_many([number // 2 for number in range(1_300)], "t", [b"%d" % n for n in range(1_300)])
    file.clock.advance(1_300)
    for _ in range(2):
        dead = list(scheduler.dead())
        assert [int(one.event.data) for one in dead] == list(reversed(range(1_300)))
        assert [one.event.job_id for one in reversed(dead)] == list(ids)
        assert dead[-1].error == "because of 0" and dead[0].reason == "discarded"
        assert [one.died // SECOND - START for one in reversed(dead)] == [number // 2 for number in range(1_300)]
        scheduler = file.again()
    assert scheduler.purge(START + 5) == 10
    assert scheduler.purge(START + 5) == 0
    assert [one.event.data for one in scheduler.dead()][-1] == b"10"
    scheduler = file.again()
    assert scheduler.purge() == 1_290 and list(scheduler.dead()) == []
    assert list(file.again().dead()) == []


def test_what_is_forgotten_by_its_id_is_so_after_a_restart(file):
    file.act = fail
    scheduler = file.open()
    for second in range(4):
        scheduler.in_(second, "t", id=f"{second}", retry_limit=0)
    file.clock.advance(4)
    assert scheduler.purge(ids=iter(["3", "1", "nobody"])) == 2
    assert scheduler.purge(START + 2, ids=["2", "0"]) == 1
    for _ in range(2):
        assert [dead.event.job_id for dead in scheduler.dead()] == ["2"]
        scheduler = file.again()
    assert not scheduler.revive("1") and scheduler.revive("2")


def test_a_dead_job_comes_back_after_a_restart(file):
    file.act = fail
    scheduler = file.open()
    scheduler.in_(0, "t", b"x", id="a", age_limit=4, min_backoff=2, max_backoff=2)
    file.clock.advance(10)
    scheduler = file.again()
    assert scheduler.revive("a") and not scheduler.revive("a")
    assert list(scheduler.dead()) == []
    event = scheduler.get("a")
    assert (event.run, event.attempt, event.due, event.job.due, event.data) == (
        4, 1, (START + 10) * SECOND, START * SECOND, b"x",
    )  # fmt: skip
    scheduler = file.again()
    assert scheduler.get("a") == event
    file.clock.advance(10)
    assert [(event.run, event.attempt) for event in file.ran[3:]] == [(4, 1), (5, 2), (6, 3)]
    assert counts(scheduler.stats(), "dead", "pending") == (1, 0)
    assert file.again().revive("a")


def test_the_newest_of_an_id_is_revived(file):
    file.act = fail
    scheduler = file.open()
    for data in (b"old", b"new"):
        scheduler.in_(0, "t", data, id="a", retry_limit=0)
        file.clock.advance(1)
    assert [one.event.data for one in scheduler.dead()] == [b"new", b"old"]
    scheduler = file.again()
    assert scheduler.revive("a")
    with pytest.raises(DuplicateJobError, match="'a'"):
        scheduler.revive("a")
    assert scheduler.get("a").data == b"new"
    assert [one.event.data for one in scheduler.dead()] == [b"old"]
    assert counts(scheduler.stats(), "revived", "pending") == (1, 1)
    assert scheduler.cancel("a") and scheduler.revive("a")
    assert scheduler.get("a").data == b"old"
    assert not scheduler.revive("unknown")


def test_a_lone_surrogate_in_a_message_takes_nothing_else_of_the_error(path):
    def handler(event):
        raise ValueError("no \udcff")

    with Scheduler(path) as scheduler:
        scheduler.handle("t", handler)
        scheduler.in_(0, "t", retry_limit=0)
        assert scheduler.wait(10)
        (dead,) = scheduler.dead()
    assert "Traceback" in dead.error
    assert "ValueError: no " in dead.error


@pytest.mark.parametrize("in_file", [False, True])
def test_an_id_that_is_over_is_explained_by_its_own_deaths(file, in_file):
    class Guarded(Scheduler):
        def dead(self, **keywords):
            raise AssertionError("all of the dead are read")

    storage = LocalStorage(file.path, durability="relaxed") if in_file else None
    with Guarded(storage, clock=file.clock, workers=1) as scheduler:
        scheduler.handle("t", lambda event: {}[event.data.decode()])
        for data in (b"old", b"new", b"other"):
            scheduler.in_(0, "t", data, id=data.decode() if data == b"other" else "a", retry_limit=0)
            file.clock.advance(1)
        assert [one.event.data for one in scheduler._deaths("a")] == [b"new", b"old"]
        assert [one.event.data for one in scheduler._deaths("a", limit=1)] == [b"new"]
        assert list(scheduler._deaths("nobody")) == []
        assert scheduler.explain("a") == "'a' is dead, failed: KeyError: 'new'"
        assert "unknown" in scheduler.explain("nobody")
