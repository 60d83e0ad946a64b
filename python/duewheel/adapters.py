"""Make schedulers from configuration, by the name of an adapter.

An adapter is a factory: it takes the mapping `Config.config` and returns a scheduler. `local` and `postgres` come with
duewheel; a program adds its own with `register`, a package by an entry point in the group `duewheel.adapters`.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from duewheel.config import Config
from duewheel.errors import ConfigError
from duewheel.nop import NopScheduler
from duewheel.postgres import PostgresStorage
from duewheel.scheduler import Scheduler
from duewheel.storage import LocalStorage

__all__ = ["Factory", "local", "names", "new", "postgres", "register"]

Factory = Callable[[Mapping[str, str | int | float]], Scheduler]
"""What an adapter is: a function from `Config.config` to a scheduler."""

_GROUP = "duewheel.adapters"
_LOCAL_KEYS = ("db", "workers")
_POSTGRES_KEYS = ("url", "schema", "workers", "name")


def new(config: Config) -> Scheduler:
    """Make the scheduler that `config` describes; it is not started.

    **Raises**: `ConfigError` for an adapter or a key that there is not, and for bad values; the message lists
    what there is. What the scheduler itself refuses, it raises as its own.

    >>> new(Config(on=False)).at(0, "nobody.is.there")
    ''
    """
    if not isinstance(config, Config):
        raise TypeError(f"config must be a Config, not {type(config).__name__}")
    if not config.on:
        return NopScheduler()
    return _find(config.adapter)(config.config)


def register(name: str, factory: Factory) -> None:
    """Make `factory` known as `name`. It goes before an entry point of that name.

    **Concurrency**: any thread may call it. Registering the same factory again changes nothing.

    **Raises**: `ConfigError` for an empty name and one that another factory has, `TypeError` for wrong types.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    if not callable(factory):
        raise TypeError(f"factory must be callable, not {type(factory).__name__}")
    if not name:
        raise ConfigError("an adapter needs a name")
    if _registered.setdefault(name, factory) is not factory:  # atomic
        raise ConfigError(f"adapter {name!r} is registered already")


def names() -> list[str]:
    """List the names of all adapters, sorted.

    **Cost**: reads the metadata of the installed packages, each time.

    >>> "local" in names()
    True
    """
    return sorted(set(_registered) | {entry.name for entry in entry_points(group=_GROUP)})


def local(config: Mapping[str, str | int | float]) -> Scheduler:
    """Make a scheduler of this process: on disk if `db` names a file, else in memory, with `workers` threads.

    **Raises**: `ConfigError` for unknown keys and bad values, `StorageError` for a file that cannot be opened.
    """
    _check_keys("local", config, _LOCAL_KEYS)
    db = config.get("db")
    if db is not None and (not isinstance(db, str) or not db):
        raise ConfigError(f"adapter 'local': db must be the path of a file, not {db!r}")
    try:
        storage = None if db is None else LocalStorage(db)
    except ValueError as error:
        raise ConfigError(f"adapter 'local': db: {error}") from None
    return Scheduler(storage, workers=_workers("local", config.get("workers", 4)))


def postgres(config: Mapping[str, str | int | float]) -> Scheduler:
    """Make a scheduler over the database that `url` names, in `schema`, known as `name`, with `workers` threads.

    **Raises**: `ConfigError` for unknown keys and bad values, `StorageError` for a database that cannot be opened.
    """
    _check_keys("postgres", config, _POSTGRES_KEYS)
    url, schema = _text(config, "url") or "", _text(config, "schema") or "duewheel"
    workers = _workers("postgres", config.get("workers", 4))
    try:
        storage = PostgresStorage(url, schema=schema, name=_text(config, "name"))
    except ValueError as error:
        raise ConfigError(f"adapter 'postgres': {error}") from None
    return Scheduler(storage, workers=workers)


def _check_keys(adapter: str, config: Mapping[str, str | int | float], known: tuple[str, ...]) -> None:
    unknown = ", ".join(repr(key) for key in config if key not in known)
    if unknown:
        there_are = ", ".join(map(repr, known))
        raise ConfigError(f"adapter {adapter!r}: unknown {unknown}; there are {there_are}")


def _text(config: Mapping[str, str | int | float], key: str) -> str | None:
    text = config.get(key)
    if text is not None and (not isinstance(text, str) or not text):
        raise ConfigError(f"adapter 'postgres': {key} must be a text, not {text!r}")
    return text


def _workers(adapter: str, value: object) -> int:
    try:
        workers = int(value) if isinstance(value, str) else value
    except ValueError:
        workers = None
    if isinstance(workers, float) and workers.is_integer():
        workers = int(workers)  # JSON does not tell 4 from 4.0
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers < 1 << 32:
        raise ConfigError(
            f"adapter {adapter!r}: workers must be a whole number of at least 1, and below 2**32, not {value!r}"
        )
    return workers


def _find(name: str) -> Factory:
    factory = _registered.get(name)
    if factory is not None:
        return factory
    for entry in entry_points(group=_GROUP, name=name):
        return _load(entry)
    problem = f"unknown adapter {name!r}" if name else "an adapter needs a name"
    raise ConfigError(f"{problem}; there are {', '.join(map(repr, names()))}")


def _load(entry: EntryPoint) -> Factory:
    try:
        factory: Factory = entry.load()
    except Exception as error:
        raise ConfigError(f"adapter {entry.name!r} ({entry.value}) does not load: {error}") from error
    if not callable(factory):
        raise ConfigError(f"adapter {entry.name!r} ({entry.value}) is not callable")
    return factory


_registered: dict[str, Factory] = {"local": local, "postgres": postgres}
