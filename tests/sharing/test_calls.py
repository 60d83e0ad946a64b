"""What a client gets is what the owner has, and what it does is done there."""

import re
import threading
import time
from array import array
from datetime import UTC, datetime, timedelta

import pytest

import duewheel
from duewheel import Consistency, Cron, Every, JobOptions, LocalStorage, Scheduler
from duewheel.sharing import Client


def until(condition):
    """Wait for what comes, however long it takes: the limit of the test is the end."""
    while not condition():
        time.sleep(0.002)


@pytest.fixture(params=["commit", "relaxed"])
def owner(request, path):
    with Scheduler(LocalStorage(path, durability=request.param, horizon=60, max_data=10_000), share=True) as scheduler:
        yield scheduler


@pytest.fixture
def client(owner, path):
    with duewheel.connect(path) as client:
        yield client


def test_roles(owner, client, path):
    assert (owner.role, client.role, client.owner_pid) == ("owner", "client", duewheel.sharing._link.os.getpid())
    assert Scheduler().role == "alone"
    assert isinstance(client, Client)


@pytest.mark.parametrize("delay", [30, 7_200])
def test_a_job_is_the_owners(owner, client, delay):
    id = client.in_(delay, "greet", b"\x00\xffAda", retry_limit=2, min_backoff=0.1, age_limit=timedelta(days=1))
    event = owner.get(id)
    assert client.get(id) == event
    assert (event.target, event.data, event.job.options.retry_limit) == ("greet", b"\x00\xffAda", 2)
    assert event.job.options == client.get(id).job.options
    assert id in client
    assert len(client) == len(owner) == 1
    assert list(client.between()) == list(owner.between()) == [event]
    assert client.next() == event
    assert client.cancel(id) is True
    assert client.cancel(id) is False
    assert client.get(id) is None


def test_times_are_exact(owner, client):
    when = datetime(2100, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)
    ids = [client.at(when, "a"), client.at(4e9 + 0.1, "a")]
    assert [owner.get(id).due for id in ids] == [4102444800000001000, owner.get(owner.at(4e9 + 0.1, "b")).due]
    assert client.reschedule(ids[0], 4e9 + 0.3)
    owner.reschedule(ids[1], 4e9 + 0.3)
    assert owner.get(ids[0]).due == owner.get(ids[1]).due


def test_bounds_are_those_of_the_owner(owner, client):
    for due in range(1_000):
        owner.at(4e9 + due, f"t{due % 2}")
    bounds = (4e9 + 100, 4e9 + 900)
    assert list(client.between(*bounds, target="t1")) == list(owner.between(*bounds, target="t1"))
    assert list(client.between()) == list(owner.between())  # several pages
    assert client.next(4e9 + 17) == owner.next(4e9 + 17)


def test_many(owner, client):
    ids = client.in_many(array("d", [10, 20, 30]), "a", [b"1", b"2", b"3"])
    assert [event.job_id for event in owner.between()] == list(ids)
    assert [event.data for event in owner.between()] == [b"1", b"2", b"3"]
    more = client.at_many([4e9, 5e9], "a")
    assert [owner.get(id).due for id in more] == [4 * 10**18, 5 * 10**18]
    assert list(client.in_many([], "a")) == []
    assert client.cancel_many([*ids, "unknown"]) == 3
    assert len(owner) == 2


def test_ids_of_ones_own(owner, client):
    assert client.in_(30, "a", id="w-5") == "w-5"
    with pytest.raises(duewheel.DuplicateJobError, match=r"'w-5' is pending or running"):
        client.in_(30, "a", id="w-5")
    assert len(owner) == 1


def test_headers_keys_and_what_becomes_of_a_taken_id(owner, client):
    id = client.in_(30, "a", b"x", id="w", headers={"trace": "1"}, key="k")
    assert client.get(id) == owner.get(id)
    assert dict(client.get(id).job.headers) == {"trace": "1"}
    assert client.in_(40, "a", b"y", id="w", on_conflict="ignore") == "w"
    assert owner.get(id).data == b"x"
    assert client.in_(50, "b", b"new", id="w", on_conflict="replace") == "w"
    assert (owner.get(id).target, owner.get(id).data, len(owner)) == ("b", b"new", 1)
    ids = client.in_many([10, 20], "a", headers={"of": "many"})
    assert [dict(owner.get(one).job.headers) for one in ids] == [{"of": "many"}] * 2
    with pytest.raises(TypeError, match="headers must be a mapping"):
        client.in_(1, "a", headers=object())


def test_own_options_lie_under_those_of_jobs(owner, path):
    with duewheel.connect(path, options=JobOptions(retry_limit=7, min_backoff=3)) as client:
        first, second = client.in_(9, "a"), client.in_(9, "a", retry_limit=1, consistency=Consistency.AT_LEAST_ONCE)
    assert [owner.get(id).job.options.retry_limit for id in (first, second)] == [7, 1]
    assert owner.get(second).job.options.min_backoff == 3


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (TypeError, lambda client: client.in_("soon", "a")),
        (ValueError, lambda client: client.in_(-1, "a")),
        (ValueError, lambda client: client.at(datetime(2027, 1, 1), "a")),  # noqa: DTZ001 - naive on purpose
        (ValueError, lambda client: client.in_(1, "")),
        (TypeError, lambda client: client.in_(1, "a", "text")),
        (TypeError, lambda client: client.in_(1, "a", retries=3)),
        (ValueError, lambda client: client.in_(1, "a", min_backoff=5, max_backoff=1)),
        (OverflowError, lambda client: client.in_(2**33, "a")),
        (duewheel.PayloadTooLargeError, lambda client: client.in_(1, "a", bytes(10_001))),
        (ValueError, lambda client: client.in_many([1, 2], "a", [b""])),
        (TypeError, lambda client: client.get(5)),
        (ValueError, lambda client: client.cancel("")),
        (TypeError, lambda client: client.cancel_many("abc")),
        (duewheel.StateError, lambda client: client.cancel("a", connection=object())),
        (ValueError, lambda client: client.repeat("* * *", "a")),
    ],
)
def test_what_is_refused(owner, client, error, call):
    with pytest.raises(error) as raised:
        call(client)
    with pytest.raises(error) as by_owner:
        call(owner)
    first = re.compile(r"\w+")
    assert first.findall(str(raised.value))[:4] == first.findall(str(by_owner.value))[:4]
    assert len(owner) == 0


def test_repeats(owner, client):
    assert client.repeat(Every(3_600), "sweep", b"x", id="sweep", spread=60, window=5, catch_up="all") == "sweep"
    id = client.repeat("0 9 * * *", "report", tz="Europe/Paris", count=3)
    assert [repeat.id for repeat in client.repeats()] == [repeat.id for repeat in owner.repeats()]
    for told, own in zip(client.repeats(), owner.repeats(), strict=True):
        names = [name for name in dir(own) if not name.startswith("_") and name != "upcoming"]
        assert {name: getattr(told, name) for name in names} == {name: getattr(own, name) for name in names}
        assert told.upcoming(3) == own.upcoming(3)
    assert client.get_repeat(id).schedule == Cron("0 9 * * *", tz="Europe/Paris")
    assert client.pause(id) is True
    assert owner.get_repeat(id).paused
    assert client.resume(id) is True
    assert client.trigger("unknown") is False
    assert client.get_repeat("unknown") is None
    assert client.explain(id).partition(", at ")[2] == owner.explain(id).partition(", at ")[2] != ""
    assert client.cancel(id)


def test_repeats_carry_headers_and_a_key(owner, client):
    id = client.repeat(3_600, "sweep", headers={"trace": 'ä"1'}, key="k")
    assert dict(client.get(id).job.headers) == dict(owner.get(id).job.headers) == {"trace": 'ä"1'}
    client.repeat(3_600, "sweep", id=id)
    assert dict(owner.get(id).job.headers) == {}
    for error, keywords in ((TypeError, {"headers": 5}), (ValueError, {"key": ""}), (TypeError, {"keys": "k"})):
        with pytest.raises(error):
            client.repeat(3_600, "sweep", id="no", **keywords)
    assert client.get_repeat("no") is None


def test_a_repeat_waits_for_a_job_of_its_key(owner, client):
    gate, ran = threading.Event(), []

    @owner.handler("one")
    def one(event):
        ran.append(event.job_id)
        gate.wait(30)

    repeat, other = client.repeat(3_600, "one", key="k"), client.repeat(3_600, "one", key="other")
    job = client.in_(0, "one", key="k")
    until(lambda: ran == [job])
    assert client.trigger(repeat) is True
    assert client.trigger(other) is True
    until(lambda: len(ran) > 1)
    assert ran == [job, other]
    gate.set()
    until(lambda: ran == [job, other, repeat])


def test_targets_are_paused(owner, client):
    ran = threading.Event()
    owner.handle("a", lambda event: ran.set())
    assert (client.pause(target="a"), client.pause(target="a")) == (True, False)
    assert owner.pause(target="a") is False
    id = client.in_(0, "a")
    until(lambda: owner.stats().parked == 1)
    assert owner.get(id) is not None
    assert (client.resume(target="a"), client.resume(target="a")) == (True, False)
    assert ran.wait(30)
    for error, target in ((TypeError, 5), (ValueError, "")):
        with pytest.raises(error):
            client.pause(target=target)
    for given in ({}, {"id": "a", "target": "a"}):
        with pytest.raises(TypeError, match="one of them"):
            client.resume(**given)


def test_the_dead_are_listed_and_revived(owner, client, quiet):
    owner.handle("fails", lambda event: 1 / 0)
    ids = [client.in_(0, "fails", retry_limit=0) for _ in range(5)]
    assert client.wait(10)
    assert list(client.dead()) == list(owner.dead())
    assert {dead.event.job_id for dead in client.dead(target="fails", limit=3)} < set(ids)
    assert len(list(client.dead(limit=3))) == 3
    assert "ZeroDivisionError" in next(client.dead()).error
    owner._role.own.drain()
    assert client.revive(ids[0]) is True
    assert client.revive("unknown") is False
    assert client.purge(ids=[*ids[1:3], "unknown"]) == 2
    assert client.purge(0, ids=ids) == client.purge(ids=[]) == 0
    for wrong in ("abc", [7]):
        with pytest.raises(TypeError, match="id"):
            client.purge(ids=wrong)
    assert client.purge() == 2
    assert client.stats().dead == 5
    assert "is due" in client.explain(ids[0]) or "waits" in client.explain(ids[0])


def test_statistics(owner, client):
    owner.handle("a", lambda event: None)
    client.in_many([0] * 10, "a")
    assert client.wait(10)
    assert client.stats() == owner.stats()
    assert client.stats().succeeded == 10
    assert client.stats().lateness.buckets([1e9]) == (10,)


def test_targets_and_what_runs(owner, client):
    begun, ends = threading.Event(), threading.Event()

    @owner.handler("slow")
    def slow(event):
        begun.set()
        ends.wait(30)

    client.in_(0, "slow", b"x")
    client.in_(3_000, "later")
    assert begun.wait(30)
    assert client.running() == owner.running()
    assert client.running()[0].event.lateness == pytest.approx(owner.running()[0].event.lateness)
    assert dict(client.targets()) == dict(owner.targets())
    assert client.targets()["slow"].running == 1
    assert client.interrupt("unknown") is False
    assert client.interrupt(client.running()[0].event.job_id) is True
    assert client.running()[0].expired
    ends.set()


def test_a_store_of_events(owner, client):
    id = owner.in_(30, "a", b"data")
    event = client.storage.load(id)
    assert client.storage.delete(id)
    client.storage.create(event)
    assert owner.get(id) == event


def test_a_backup(owner, client, tmp_path):
    id = client.in_(30, "a")
    client.backup(tmp_path / "copy.db")
    with pytest.raises(duewheel.StorageError):
        client.backup(tmp_path / "copy.db")
    with Scheduler(tmp_path / "copy.db") as copy:
        assert copy.get(id).job_id == id


def test_a_closed_client(owner, client):
    client.close()
    with pytest.raises(duewheel.ClosedError):
        client.in_(1, "a")
    with pytest.raises(duewheel.ClosedError):
        client.get("a")
