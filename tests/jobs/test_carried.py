"""What a job has beside its data, as it is seen: `job.headers`, `job.key`, `job.keep`, by whoever looks."""

import copy
import math
import pickle
from datetime import timedelta

import pytest

import duewheel
from duewheel import Event, Job, JobOptions, Scheduler
from duewheel._times import Nanoseconds, exactly
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

ALL = {"headers": {"a": "1"}, "key": "k", "keep": timedelta(seconds=60)}


def made(**carried):
    return Job("id", "t", 5, b"x", JobOptions(), **carried)


def test_one_that_is_made_by_hand():
    job = made(**ALL)
    assert (job.headers, job.key, job.keep) == ({"a": "1"}, "k", 60.0)
    assert repr(job).endswith(", headers={'a': '1'}, key='k', keep=60.0)")
    plain = made()
    assert (plain.headers, plain.key, plain.keep) == ({}, None, None)
    assert plain == made(headers=None, key=None, keep=None) == made(headers={})
    assert "key" not in repr(plain) and "keep" not in repr(plain)


@pytest.mark.parametrize("name", ALL)
def test_those_that_differ_in_one_of_them_are_not_equal(name):
    assert made(**{name: ALL[name]}) != made()
    assert made(**{name: ALL[name]}) == made(**{name: ALL[name]})
    assert Event(made(**{name: ALL[name]})) != Event(made())


@pytest.mark.parametrize("ns", [1, 100_000_000, 100_000_001, 2**53 + 1, 10**18 + 1])
def test_a_copy_keeps_as_long_to_the_nanosecond(ns):
    one = made(**ALL | {"keep": exactly(ns)})
    assert one._keep_ns == ns
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == copy.copy(one) == one
    assert pickle.loads(pickle.dumps(Event(one))).job._keep_ns == ns
    assert pickle.loads(pickle.dumps(Nanoseconds(ns))).value == ns


@pytest.mark.parametrize(
    ("carried", "kind", "said"),
    [
        ({"key": 5}, TypeError, "key must be a str, not 5"),
        ({"key": ""}, ValueError, "key must have 1 to 255 bytes"),
        ({"keep": 0}, ValueError, "keep must be above 0 seconds"),
        ({"keep": -1}, ValueError, "keep must not be negative"),
        ({"keep": math.nan}, ValueError, "keep must be finite"),
        ({"keep": "1h"}, TypeError, "keep must be "),
    ],
)
def test_what_is_none_makes_no_job(carried, kind, said):
    with pytest.raises(kind, match=said):
        made(**carried)


@pytest.fixture(params=["memory", "file", "paged", "reference", "client"])
def scheduler(request, tmp_path):
    clock, path = ManualClock(1_000), tmp_path / "jobs.db"
    if request.param == "reference":
        yield ReferenceScheduler(clock=clock)
    elif request.param == "client":
        with Scheduler(path, share=True), duewheel.connect(path) as client:
            yield client
    else:
        storage = duewheel.LocalStorage(path, resident=1, horizon=1)
        with Scheduler({"memory": None, "file": path, "paged": storage}[request.param], clock=clock) as scheduler:
            yield scheduler


def test_each_call_and_a_restored_event_say_it(scheduler):
    ids = [
        scheduler.in_(50, "t", **ALL),
        scheduler.at(4_000_000_060, "t", id="at", **ALL),
        *scheduler.in_many([70, 80], "t", **ALL),
        *scheduler.at_many([4_000_000_090], "t", **ALL),
    ]
    plain = scheduler.in_(100, "t", b"x")
    repeat = scheduler.repeat(200, "t", headers={"a": "1"}, key="k")
    found = [scheduler.get(id).job for id in [*ids, repeat, plain]]
    said = [(dict(job.headers), job.key, job.keep) for job in found]
    assert said == [({"a": "1"}, "k", 60.0)] * 5 + [({"a": "1"}, "k", None), ({}, None, None)]
    assert {event.job_id: event.job for event in scheduler.between()} == {job.id: job for job in found}
    scheduler.in_(60, "t", id="at", key="other", on_conflict="update")
    changed = scheduler.get("at").job
    assert (changed.headers, changed.key, changed.keep) == ({}, "other", None)
    event = Event(Job("restored", "t", 5, b"", JobOptions(retry_limit=1), **ALL), run=2)
    scheduler._restore(event)
    assert scheduler.get("restored") == event
