"""Schedulers by the name of an adapter: `local`, what is registered, and entry points of other packages."""

from importlib.metadata import EntryPoint, entry_points

import pytest

from duewheel import Config, NopScheduler, Scheduler, adapters
from duewheel.errors import ConfigError, StorageCorruptError, StorageError, StorageLockedError


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(adapters, "_registered", dict(adapters._registered))


@pytest.fixture
def installed(monkeypatch):
    """Entry points as other packages would bring them."""
    points = []

    def find(*, group, name=None):
        assert group == "duewheel.adapters"
        return [point for point in points if name in (None, point.name)]

    monkeypatch.setattr(adapters, "entry_points", find)

    def install(name, value):
        points.append(EntryPoint(name, value, "duewheel.adapters"))

    return install


def factory(config):
    factory.config = config
    return NopScheduler()


def broken(config):
    raise ConfigError("adapter 'broken': no such luck")


def new(adapter="local", on=True, **config):
    return adapters.new(Config(on=on, adapter=adapter, config=config))


def test_local():
    with new() as scheduler:
        assert type(scheduler) is Scheduler
        scheduler.in_(60, "x")
        assert len(scheduler) == 1


@pytest.mark.parametrize("workers", [1, 4, "1", "4", " 4 ", 4.0])
def test_local_workers(workers):
    new(workers=workers).close()


@pytest.mark.parametrize("workers", [0, -1, "0", "-1", "", "four", "4.0", 0.5, float("nan"), float("inf"), 2**32])
def test_local_refuses_workers(workers):
    with pytest.raises(ConfigError, match="workers must be a whole number of at least 1"):
        new(workers=workers)


@pytest.mark.parametrize("db", ["", "a\0b", 1, 0.5])
def test_local_refuses_db(db):
    with pytest.raises(ConfigError, match=r"db(: path)? must be the path of a file, not"):
        new(db=db)


@pytest.mark.parametrize("workers", [2, "2"])
def test_local_db_is_kept(tmp_path, workers):
    db = str(tmp_path / "jobs.db")
    with new(db=db, workers=workers) as scheduler:
        scheduler.in_(60, "x", id="mine")
        with pytest.raises(StorageLockedError, match="open in this process"):
            new(db=db)
    with new(db=db) as scheduler:
        assert "mine" in scheduler


def test_local_says_why_a_file_cannot_be_opened(tmp_path):
    with pytest.raises(StorageError, match="not a file"):
        new(db=str(tmp_path))
    with pytest.raises(StorageError, match="No such file"):
        new(db=str(tmp_path / "nowhere" / "jobs.db"))
    other = tmp_path / "other.db"
    other.write_bytes(b"no database at all, by no means" * 1_000)
    with pytest.raises(StorageCorruptError, match=r"other\.db"):
        new(db=str(other))


def test_local_opens_nothing_for_a_bad_config(tmp_path):
    for bad in ({"workers": 0}, {"wrokers": 4}):
        with pytest.raises(ConfigError):
            new(db=str(tmp_path / "jobs.db"), **bad)
    assert list(tmp_path.iterdir()) == []


def test_local_lists_its_keys():
    with pytest.raises(ConfigError) as refused:
        new(wrokers=4)
    for name in ("'local'", "'wrokers'", "'db'", "'workers'"):
        assert name in str(refused.value)


def test_off_discards_whatever_the_adapter():
    for adapter in ("local", "", "nowhere"):
        assert isinstance(new(adapter, on=False, workers="four"), NopScheduler)


def test_unknown_names_list_what_there_is():
    adapters.register("mine", factory)
    for name in ("locale", "", "Local"):
        with pytest.raises(ConfigError) as refused:
            new(name)
        assert "'local', 'mine'" in str(refused.value)


def test_new_takes_a_config():
    with pytest.raises(TypeError, match="Config"):
        adapters.new({"adapter": "local"})


def test_register():
    adapters.register("mine", factory)
    adapters.register("mine", factory)
    assert adapters.names() == ["local", "mine", "postgres"]
    assert isinstance(new("mine", url="x", size=1), NopScheduler)
    assert factory.config == {"url": "x", "size": 1}


@pytest.mark.parametrize("name", ["mine", "local"])
def test_register_refuses_another_of_that_name(name):
    adapters.register("mine", factory)
    with pytest.raises(ConfigError, match="registered already"):
        adapters.register(name, broken)


def test_register_refuses():
    with pytest.raises(ConfigError, match="name"):
        adapters.register("", factory)
    with pytest.raises(TypeError, match="name must be a str"):
        adapters.register(b"mine", factory)
    with pytest.raises(TypeError, match="factory must be callable"):
        adapters.register("mine", None)


def test_what_a_factory_raises_comes_through():
    adapters.register("broken", broken)
    with pytest.raises(ConfigError, match="no such luck"):
        new("broken")


def test_entry_point(installed):
    installed("theirs", f"{__name__}:nothing")
    installed("bare", "math:pi")
    installed("good", "duewheel.adapters:local")
    assert adapters.names() == ["bare", "good", "local", "postgres", "theirs"]
    with pytest.raises(ConfigError, match=r"'theirs' .* does not load"):
        new("theirs")
    with pytest.raises(ConfigError, match=r"'bare' .* is not callable"):
        new("bare")
    new("good", workers=1).close()


def test_registered_goes_before_an_entry_point(installed):
    installed("mine", "math:pi")
    adapters.register("mine", factory)
    assert adapters.names() == ["local", "mine", "postgres"]
    assert isinstance(new("mine"), NopScheduler)


@pytest.mark.parametrize("name", ["local", "postgres"])
def test_ours_are_declared_in_the_package(name):
    (point,) = entry_points(group="duewheel.adapters", name=name)
    assert point.load() is getattr(adapters, name)
