"""Many jobs in one call: all of them or none, and what is too large is refused."""

import pytest
from jobs_file import FAR, START, JobsFile, counts

from duewheel import Event, Job, JobOptions, PayloadTooLargeError, StorageError


def test_jobs_of_bulk_calls_are_there_after_a_restart(file):
    scheduler = file.open()
    ids = scheduler.in_many(range(1, 10_001), "t")
    ids = [*ids, *scheduler.at_many([START + 1.5, START + 0.5], "t", [b"b", b"a"])]
    scheduler = file.again()
    assert len(scheduler) == 10_002
    assert {event.job_id for event in scheduler.between()} == set(ids)
    file.clock.advance(2)
    assert file.data() == [b"a", b"", b"b", b""]


@pytest.mark.parametrize("call", ["at_many", "in_many"])
def test_bulk_calls_are_all_or_nothing(path, call):
    file = JobsFile(path, max_data=10)
    scheduler = file.open()
    datas = [b""] * 10_000
    datas[9_000] = b"x" * 11
    with pytest.raises(PayloadTooLargeError, match=r"at most 10 bytes .*max_data.* not 11"):
        getattr(scheduler, call)([FAR] * 10_000, "t", datas)
    with pytest.raises(ValueError, match="nan"):
        getattr(scheduler, call)([1] * 9_000 + [float("nan")], "t")
    assert len(scheduler) == 0 and scheduler.next() is None
    assert counts(scheduler.stats(), "scheduled", "cancelled", "dropped") == (0, 0, 0)
    scheduler = file.again()
    assert len(scheduler) == 0
    datas[9_000] = b"x" * 10
    assert len(getattr(scheduler, call)([FAR] * 10_000, "t", datas)) == 10_000
    assert len(file.again()) == 10_000
    file.close()


@pytest.mark.parametrize("most", [0, 1, 1_048_576])
def test_data_longer_than_max_data_are_refused(path, most):
    file = JobsFile(path, max_data=most)
    scheduler = file.open(handles="")
    scheduler.in_(FAR, "t" * 255, b"x" * most, id="i" * 255)
    big = b"x" * (most + 1)
    job = Job("a", "t", 5, big, JobOptions())
    for call in (
        lambda: scheduler.in_(FAR, "t", big),
        lambda: scheduler.at(FAR, "t", memoryview(big), id="a"),
        lambda: scheduler.in_many([1], "t", [bytearray(big)]),
        lambda: scheduler.storage.create(Event(job)),
    ):
        with pytest.raises(PayloadTooLargeError, match=f"{most} bytes .*not {most + 1}") as caught:
            call()
        assert isinstance(caught.value, ValueError) and isinstance(caught.value, StorageError)
    assert len(scheduler) == 1 and "a" not in scheduler
    scheduler = file.again(max_data=0)  # what is there is there
    assert scheduler.get("i" * 255).data == b"x" * most
    file.close()
