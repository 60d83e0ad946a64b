"""Who owns a file, who calls, and who follows: several schedulers of one process stand for several processes."""

import logging
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

import duewheel
from duewheel import LocalStorage, Scheduler
from duewheel.sharing import _link, _places, _role


def until(condition):
    """Wait for what comes, however long it takes: the limit of the test is the end."""
    while not condition():
        time.sleep(0.002)


@pytest.fixture
def two(path):
    first, second = Scheduler(path, share=True), Scheduler(path, share=True)
    yield first, second
    second.close()
    first.close()


def test_the_first_owns_and_the_second_calls(two):
    first, second = two
    assert (first.role, second.role) == ("owner", "client")
    id = second.in_(30, "a", b"x")
    assert first.get(id) == second.get(id)
    assert (len(first), len(second), bool(second)) == (1, 1, True)
    assert "client of" in repr(second)
    assert isinstance(second, Scheduler)


def test_handlers_run_in_the_owner(two):
    first, second = two
    ran = []
    first.handle("a", lambda event: ran.append(("first", event.data)))
    second.handle("a", lambda event: ran.append(("second", event.data)))
    first.start()
    second.start()
    second.in_(0, "a", b"1")
    assert second.wait(30)
    assert ran == [("first", b"1")]
    first.close()
    until(lambda: second.role == "owner")
    second.in_(0, "a", b"2")
    assert second.wait(30)
    assert ran == [("first", b"1"), ("second", b"2")]


def test_a_client_has_what_the_owner_left(two):
    first, second = two
    id = second.in_(30, "a", b"kept")
    first.close()
    assert second.get(id).data == b"kept"  # waits for the next owner, which it is itself
    assert second.role == "owner"


def test_one_of_many_follows(path):
    many = [Scheduler(path, share=True) for _ in range(5)]
    ids = []
    for number, scheduler in enumerate(many[:-1]):
        ids.append(many[-1].in_(30, "a"))
        left = many[number:]
        until(lambda left=left: sum(one.role == "owner" for one in left) == 1)
        scheduler.close()
    assert len(many[-1]) == len(ids)
    until(lambda: many[-1].role == "owner")
    many[-1].close()
    with Scheduler(path) as alone:
        assert {event.job_id for event in alone.between()} == set(ids)


def test_a_client_that_is_closed_does_not_follow(two, path):
    first, second = two
    second.close()
    first.close()
    with Scheduler(path) as alone:  # nobody else has it
        assert alone.role == "alone"
    with pytest.raises(duewheel.ClosedError):
        second.in_(1, "a")


def test_current_scheduler_is_the_one_that_shares(two):
    first, _ = two
    seen = []
    first.handle("a", lambda event: seen.append(duewheel.current_scheduler()))
    with first:
        first.in_(0, "a")
        assert first.wait(30)
    assert seen == [first]


def test_a_handler_schedules_and_closes(two):
    first, second = two
    ran = threading.Event()
    first.handle("a", lambda event: first.in_(0, "b"))
    first.handle("b", lambda event: (ran.set(), first.close()))
    first.start()
    second.in_(0, "a")
    assert ran.wait(30)
    until(lambda: second.role == "owner")


def test_declared_repeats_and_tasks_go_along(two):
    first, second = two
    ran = threading.Event()

    for scheduler in two:

        @scheduler.task("add")
        def add(a: int, b: int) -> None:
            if a + b == 3:
                ran.set()

        @scheduler.repeated(3_600, target="sweep")
        def sweep(event):
            pass

    first.start()
    second.start()
    assert [repeat.id for repeat in second.repeats()] == ["sweep"]
    add.in_(0, 1, 2)
    assert ran.wait(30)
    first.close()
    until(lambda: second.role == "owner")
    until(lambda: [repeat._held for repeat in second.repeats()] == [None])


def test_deregistered_handlers_do_not_follow(two):
    first, second = two
    second.handle("a", print)
    with pytest.raises(duewheel.DuplicateTargetError):
        second.handle("a", print)
    deregister = second.handle("b", print)
    deregister()
    deregister()
    second.handle("b", lambda event: None)
    first.close()
    until(lambda: second.role == "owner")
    with pytest.raises(duewheel.DuplicateTargetError):
        second.handle("b", print)


def test_a_client_drains_and_runs_nothing(two):
    _, second = two
    second.start()
    assert second.drain(1) is True
    with pytest.raises(duewheel.StateError):
        second.timer(1, print)
    with pytest.raises(duewheel.StateError):
        second.nodes()
    with pytest.raises(duewheel.StateError, match="owns the file"):
        second.rotate()
    assert second.failure is None


def test_a_subclass_shares(path):
    class Mine(Scheduler):
        def __init__(self, path):
            super().__init__(path, share=True, workers=1)

        def greet(self):
            return self.in_(30, "greet")

    with Mine(path) as first, Mine(path) as second:
        assert isinstance(second, Mine)
        assert first.get(second.greet()).target == "greet"


@pytest.mark.parametrize("storage", [None, "postgresql://localhost/none", 5])
def test_only_files_are_shared(storage):
    with pytest.raises(ValueError, match="share=True is for a file"):
        Scheduler(storage, share=True)


def test_an_owner_that_shares_not(path):
    with Scheduler(path):
        for make in (duewheel.connect, lambda path: Scheduler(path, share=True)):
            with pytest.raises(duewheel.StorageLockedError, match=rf"process {os.getpid()} .*share=True"):
                make(path)


def test_nobody_has_the_file(path):
    with pytest.raises(duewheel.StorageUnavailableError, match="there is no such file"):
        duewheel.connect(path)
    Scheduler(path, share=True).close()
    with pytest.raises(duewheel.StorageUnavailableError, match="no process has it open"):
        duewheel.connect(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["jobs.db", "jobs.db-lock"]


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_an_owner_that_has_died_holds_nothing_though_nobody_has_asked_about_it(path):
    code = "import duewheel, sys; s = duewheel.Scheduler(sys.argv[1], share=True); print(flush=True); sys.stdin.read()"
    owner = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    owner.stdout.readline()
    assert _places.holder(path) == owner.pid
    owner.kill()
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and a zombie
    assert _places.holder(path) is None
    assert "no process has it open" in str(_link.why_unserved(str(path)))
    owner.communicate()


def test_who_comes_waits_for_who_opens_the_file_after_a_death(path, monkeypatch):
    monkeypatch.setattr(_role, "_FIRST_LOOKS_S", 0)
    monkeypatch.setattr(_link, "_HEIR_PATIENCE_S", 0)
    monkeypatch.setattr(_role.Role, "_serve", lambda self, answer: None)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{path}-sock")  # nobody listens there any more
    heir = Scheduler(path, share=True)  # has the file, and does not serve yet
    came = []
    makes = (lambda: Scheduler(path, share=True), lambda: duewheel.connect(path))
    comes = [threading.Thread(target=lambda make=make: came.append(make())) for make in makes]
    for one in comes:
        one.start()
    monkeypatch.undo()
    heir._role._serve(heir._role.caller._link.local)
    for one in comes:
        one.join()
    assert [one.role for one in came] == ["client", "client"]
    for one in (*came, heir):
        one.close()


def test_a_call_waits_for_an_owner_only_so_long(path, monkeypatch):
    monkeypatch.setattr(_link, "PATIENCE_S", 0.05)
    scheduler = Scheduler(path, share=True)
    client = duewheel.connect(path)
    scheduler.close()
    with pytest.raises(duewheel.StorageUnavailableError):
        client.in_(1, "a")
    with Scheduler(path, share=True):
        assert client.in_(1, "a")
    client.close()


def test_the_socket_is_of_this_user_alone(path):
    with Scheduler(path, share=True):
        there = os.lstat(f"{path}-sock")
        assert stat.S_ISSOCK(there.st_mode)
        assert stat.S_IMODE(there.st_mode) == 0o600


def test_a_path_that_is_too_long_for_a_socket(tmp_path, monkeypatch):
    runtime = tmp_path / "run"
    runtime.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    path = folder / ("n" * (200 - len(str(folder)) - 1))
    assert len(os.fsencode(path)) == 200
    with Scheduler(path, share=True) as first, Scheduler(path, share=True) as second:
        assert second.role == "client"
        assert first.get(second.in_(30, "a"))
        (socket,) = runtime.iterdir()
        assert (folder / f"{path.name}-sock").read_text() == str(socket)
    assert list(runtime.iterdir()) == []
    assert not (folder / f"{path.name}-sock").exists()


def test_a_socket_that_cannot_be_made_is_a_warning(path, caplog):
    path.with_name("jobs.db-sock").mkdir()
    with caplog.at_level(logging.WARNING, "duewheel"), Scheduler(path, share=True) as scheduler:
        assert scheduler.role == "owner"
        assert scheduler.in_(30, "a")
        with pytest.raises(duewheel.StorageLockedError):
            duewheel.connect(path)
    (record,) = caplog.records
    assert "is not shared" in record.getMessage()


def test_a_file_that_another_process_damages_is_told_of(two, path, quiet):
    first, second = two
    with second._role.lock:  # it does not look yet
        first.close()
        path.write_bytes(b"no database at all" * 1_000)
    with pytest.raises(duewheel.StorageCorruptError):
        second.in_(1, "a")


def test_keys_and_durability_are_the_owners(path):
    keys = duewheel.Keyring({1: bytes(32)}, default=1)
    storage = LocalStorage(path, keys=keys, durability="relaxed")
    with Scheduler(storage, share=True) as first, Scheduler(storage, share=True) as second:
        assert first.get(second.in_(30, "a", b"secret")).data == b"secret"
        first.close()
        assert second.next().data == b"secret"


def test_forked_children_are_clients(path):
    with Scheduler(path, share=True) as scheduler:
        kept = scheduler.in_(30, "a")
        child = os.fork()
        if child == 0:
            ok = scheduler.role == "client" and scheduler.get(kept) is not None and scheduler.in_(30, "b")
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert [event.target for event in scheduler.between()] == ["a", "b"]
        assert scheduler.role == "owner"


# Plugins


class Notes:
    """Adds a header that says who has scheduled a job, and notes what was scheduled there."""

    def __init__(self, name):
        self.name, self.seen = name, []

    def scheduling(self, target, headers):
        self.seen.append((target, dict(headers)))
        headers["by"] = self.name


def ways_to_schedule(scheduler):
    """Schedule in each way there is; return the targets."""
    scheduler.in_(30, "in")
    scheduler.at(4e9, "at", id="given")
    scheduler.in_(30, "headers", headers={"tenant": "acme"})
    scheduler.in_(30, "ignored", id="given", on_conflict="ignore")
    scheduler.in_many([30, 40], "many")
    scheduler.repeat(60, "repeat", id="r", headers={"tenant": "acme"})
    return ["in", "at", "headers", "ignored", "many", "repeat"]


@pytest.mark.parametrize("who", ["owner", "client"])
def test_a_plugin_is_called_where_a_job_is_scheduled(path, who):
    plugins = {"owner": Notes("owner"), "client": Notes("client")}
    with (
        Scheduler(path, share=True, plugins=[plugins["owner"]]) as owner,
        Scheduler(path, share=True, plugins=[plugins["client"]]) as client,
    ):
        targets = ways_to_schedule({"owner": owner, "client": client}[who])
        found = {event.target: dict(event.job.headers) for event in owner.between()}
    other = {"owner": "client", "client": "owner"}[who]
    assert plugins[other].seen == []
    assert [target for target, _ in plugins[who].seen] == targets
    assert dict(plugins[who].seen)["headers"] == dict(plugins[who].seen)["repeat"] == {"tenant": "acme"}
    assert all(headers["by"] == who for headers in found.values())
    assert found["headers"] == found["repeat"] == {"tenant": "acme", "by": who}


def test_a_call_made_once_more_has_the_headers_of_the_process_that_made_it(path):
    first, second = (
        Scheduler(path, share=True, plugins=[Notes("first")]),
        Scheduler(path, share=True, plugins=[Notes("second")]),
    )
    third = Scheduler(path, share=True, plugins=[Notes("third")])
    first.close()
    id = third.in_(30, "t")  # taken in by whoever follows
    assert dict(third.get(id).job.headers) == {"by": "third"}
    third.close()
    second.close()


def test_a_client_refuses_what_is_no_plugin_and_calls_none_for_what_it_refuses(path):
    notes = Notes("client")
    with Scheduler(path, share=True), Scheduler(path, share=True, plugins=[notes]) as client:
        assert client.role == "client"
        with pytest.raises(TypeError, match="target"):
            client.in_(30, 5)
        with pytest.raises(TypeError, match="target"):
            client.repeat(30, 5)
        assert notes.seen == []
        with pytest.raises(TypeError, match="a plugin must have one of"):
            Scheduler(path, share=True, plugins=[object()])
