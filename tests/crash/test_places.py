"""What lies beside a database: modes and owners of its files, links, and paths that are none."""

import os
from pathlib import Path

import pytest
from on_disk import files, modes

import duewheel
from duewheel import LocalStorage, Scheduler

NOBODY = 65_534


def as_root(place):
    if os.geteuid() != 0:
        pytest.skip("it takes root")
    for parent in place.parents:
        if not parent.stat().st_mode & 0o001:
            pytest.skip(f"{parent} is closed to others")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o644])
def test_what_is_beside_a_database_has_its_mode(children, place, path, mode):
    Scheduler(path).close()
    Path(path).chmod(mode)
    Path(path + "-lock").unlink()
    before = os.umask(0o022)
    try:
        with Scheduler(path) as scheduler:
            scheduler.in_(7_200, "t", b"secret", id="kept")
            scheduler.backup(place / "copy.db")
            assert modes(place) == dict.fromkeys(files(place), mode)
            assert len(files(place)) == 5
        holder = children.start("hold", path=path)
        children.line(holder)
        children.kill(holder)
        Path(path + "-ops").chmod(0o666)  # as a version left it that gave modes of its own
        with Scheduler(path):
            assert modes(place) == dict.fromkeys(files(place), mode)
    finally:
        os.umask(before)


def test_a_new_store_has_the_mode_of_the_umask(place, path):
    before = os.umask(0o027)
    try:
        with Scheduler(path) as scheduler:
            scheduler.in_(7_200, "t")
            assert modes(place) == dict.fromkeys(["jobs.db", "jobs.db-lock", "jobs.db-ops", "jobs.db-wal"], 0o640)
    finally:
        os.umask(before)


def test_what_root_leaves_can_be_opened_by_the_owner(children, place, path):
    as_root(place)
    Scheduler(path).close()
    for file in (place, *place.iterdir()):
        os.chown(file, NOBODY, NOBODY)
    Path(path).chmod(0o600)
    holder = children.start("hold", path=path)
    children.line(holder)
    children.kill(holder)
    assert {(file.stat().st_uid, file.stat().st_gid) for file in place.iterdir()} == {(NOBODY, NOBODY)}
    name, message, _ = children.finish("refused", path=path, user=NOBODY)
    assert name == "opened", message


@pytest.mark.parametrize("suffix", ["-lock", "-ops", "-wal", "-journal"])
def test_a_file_that_cannot_be_opened_is_named(children, place, path, suffix):
    as_root(place)
    holder = children.start("hold", path=path)
    children.line(holder)
    children.kill(holder)
    Path(path + suffix).touch()
    for file in (place, *place.iterdir()):
        os.chown(file, NOBODY, NOBODY)
    os.chown(path + suffix, 0, 0)
    Path(path + suffix).chmod(0o600)
    name, message, threads = children.finish("refused", path=path, user=NOBODY)
    assert (name, threads) == ("StorageError", 0)
    assert f"{path}{suffix} cannot be written by this user: change the owner" in message
    if suffix == "-journal":
        Path(path + suffix).unlink()
    for file in place.iterdir():
        os.chown(file, NOBODY, NOBODY)
    assert children.finish("refused", path=path, user=NOBODY)[0] == "opened"


@pytest.mark.parametrize("suffix", ["-lock", "-ops"])
def test_no_link_is_followed_from_a_name_of_ours(place, path, suffix):
    victim = place / "victim"
    victim.write_bytes(b"a text of somebody")
    Path(path + suffix).symlink_to(victim)
    with pytest.raises(duewheel.StorageError, match=f"jobs.db{suffix}"):
        Scheduler(path)
    assert victim.read_bytes() == b"a text of somebody"


def test_a_directory_that_cannot_be_written(children, place, path):
    as_root(place)
    place.chmod(0o755)
    name, message, threads = children.finish("refused", path=path, user=NOBODY)
    assert (name, threads) == ("StorageError", 0)
    assert f"{path}-lock cannot be written by this user" in message
    assert files(place) == []


def test_what_is_left_after_a_close(place, path):
    with Scheduler(path) as scheduler:
        scheduler.in_(7_200, "t", id="kept")
        assert Path(path + "-lock").read_text() == f"{os.getpid()}\n"
    assert files(place) == ["jobs.db", "jobs.db-lock"]
    assert Path(path + "-lock").read_bytes() == b""
    Path(path + "-lock").unlink()  # nothing is lost with it
    with Scheduler(path) as scheduler:
        assert "kept" in scheduler


def test_a_refusal_leaves_no_file_but_the_lock(children, place, path):
    holder = children.start("hold", path=path)
    children.line(holder)
    children.kill(holder)
    Path(path).rename(path + ".aside")
    with pytest.raises(duewheel.StorageCorruptError, match="the database is gone"):
        Scheduler(path)
    assert files(place) == ["jobs.db-lock", "jobs.db-ops", "jobs.db-wal", "jobs.db.aside"]
    Path(path + ".aside").rename(path)
    Scheduler(path).close()
    Scheduler(LocalStorage(path, keys=duewheel.Keyring({1: bytes(32)}, default=1))).close()
    with pytest.raises(duewheel.WrongKeyError):
        Scheduler(path)
    assert files(place) == ["jobs.db", "jobs.db-lock"]


def test_a_backup_follows_no_link_and_is_not_laid_over_one(place, path):
    (place / "copy.db").symlink_to(place / "victim")
    with Scheduler(path) as scheduler, pytest.raises(duewheel.StorageError, match=r"copy\.db exists already"):
        scheduler.backup(place / "copy.db")
    assert not (place / "victim").exists()


@pytest.mark.parametrize("given", [":memory:", "file:jobs.db", "file:jobs.db?mode=memory", "sqlite:///jobs.db"])
def test_what_is_no_path_is_refused_in_words(place, given, monkeypatch):
    monkeypatch.chdir(place)
    remedy = r"Scheduler\(\) keeps its jobs in memory" if given == ":memory:" else "relative path"
    for make in (LocalStorage, Scheduler):
        with pytest.raises(ValueError, match=remedy):
            make(given)
    assert files(place) == []


def test_a_path_object_of_such_a_name_is_a_path(place, monkeypatch):
    monkeypatch.chdir(place)
    for name in ("file:jobs.db", ":memory:"):
        with Scheduler(Path(name)):
            pass
        assert (place / name).exists()


def test_a_path_that_is_too_long_says_how_long_it_may_be(place):
    deep = place
    while len(str(deep)) < 600:
        deep /= "d" * 50
    deep.mkdir(parents=True)
    path = deep / "jobs.db"
    for given in (path, place / ("n" * 250)):
        with pytest.raises(duewheel.StorageError, match=rf"{given.name}.* of \d+ bytes: give one of \d+ at most"):
            Scheduler(given)
    assert files(deep) == []
    with Scheduler(place / ("n" * 247)):
        pass
