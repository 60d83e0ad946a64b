"""Describe a store in a PostgreSQL database, which many processes and machines share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from duewheel import _core
from duewheel._checks import lists_keywords, whole_number
from duewheel._times import delay_ns
from duewheel.storage import Keyring

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["Node", "PostgresStorage", "sql"]

_LARGEST_DATA = (1 << 30) - (1 << 20)  # a value of PostgreSQL holds 1 GiB


class Node(NamedTuple):
    """A scheduler that shares a database, as its row there tells. Times are unix nanoseconds, by the server's clock."""

    name: str
    """What it is called: `name` of its `PostgresStorage`."""
    host: str
    """The machine that it runs on."""
    pid: int
    """Its process there."""
    version: str
    """The version of duewheel that it has."""
    started: int
    """When it began."""
    seen: int
    """When it last gave a sign of life."""
    held: int
    """How many jobs it held then."""
    running: int
    """How many of them ran."""


class PostgresStorage:
    """Keep jobs in a PostgreSQL database: any number of processes and machines say the same, and share its jobs.

    `url` is a connection string of libpq, `postgresql://…` or `key=value` pairs; what it leaves out comes from `PG*`
    variables, a service file and `.pgpass`. The tables are in the schema `schema`, and made when they are not there,
    unless `migrate` is false. `name` is what this node is called. Data of up to `max_data` bytes are encrypted with
    `keys`, if given.

    A node claims what is due within `window` seconds for the targets that it has handlers for, at most `resident`
    jobs, and starts it from memory. After `lease` seconds without a word from a node others take its jobs. It looks
    every `poll` seconds for what others have scheduled; with `notify`, which costs each commit that schedules, it is
    told at once. A call waits `timeout` seconds for a server that cannot be reached: then it raises
    `StorageUnavailableError`. A job that was running in `max_interruptions` nodes when these died is dead.

    The database is opened by the `Scheduler` that is given this; a `postgresql://` URL given instead is
    `PostgresStorage(url)`.

    **Durability**: when a call returns, its transaction has committed.
    **Raises** `TypeError` and `ValueError` for arguments that are not as above.

    >>> PostgresStorage("postgresql://app:secret@db.example/app", name="worker-1")
    PostgresStorage(schema='duewheel', name='worker-1')
    """

    __slots__ = (
        "_keys",
        "_lease_ns",
        "_max_data",
        "_max_interruptions",
        "_migrate",
        "_name",
        "_notify",
        "_poll_ns",
        "_resident",
        "_schema",
        "_timeout_ns",
        "_url",
        "_window_ns",
    )

    @lists_keywords
    def __init__(
        self,
        url: str = "",
        *,
        schema: str = "duewheel",
        name: str | None = None,
        keys: Keyring | None = None,
        max_data: int = 1_048_576,
        window: float | timedelta = 10.0,
        resident: int = 1_000_000,
        lease: float | timedelta = 20.0,
        poll: float | timedelta = 0.25,
        timeout: float | timedelta = 10.0,
        max_interruptions: int = 3,
        notify: bool = False,
        migrate: bool = True,
    ) -> None:
        """Describe a database; nothing is opened yet."""
        self._url = _text(url, "url", empty=True)
        self._schema = _text(schema, "schema")
        if len(self._schema.encode()) > 63:
            raise ValueError(f"schema must be at most 63 bytes long, not {schema!r}")
        self._name = None if name is None else _text(name, "name")
        if keys is not None and not isinstance(keys, Keyring):
            raise TypeError(f"keys must be a Keyring or None, not {keys!r}")
        for option, given in (("notify", notify), ("migrate", migrate)):
            if not isinstance(given, bool):
                raise TypeError(f"{option} must be a bool, not {given!r}")
        self._keys = keys
        self._notify = notify
        self._migrate = migrate
        self._max_data = whole_number(max_data, "max_data", most=_LARGEST_DATA)
        self._resident = whole_number(resident, "resident", least=1)
        self._max_interruptions = whole_number(max_interruptions, "max_interruptions", least=1)
        self._window_ns = delay_ns(window, "window")
        self._lease_ns = _at_least(lease, "lease", 1.0)
        self._poll_ns = _at_least(poll, "poll", 0.01)
        self._timeout_ns = delay_ns(timeout, "timeout")

    def __repr__(self) -> str:
        """Show the schema and the name, never the URL: it may have a password."""
        return f"PostgresStorage(schema={self._schema!r}, name={self._name!r})"


def sql(schema: str = "duewheel") -> str:
    """Return the statements that make the tables: for a role that may, where the program's own may not.

    >>> sql().splitlines()[0]
    'CREATE SCHEMA IF NOT EXISTS "duewheel";'
    """
    return _core.postgres_sql(_text(schema, "schema"))


def _text(value: object, name: str, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {value!r}" if name != "url" else "url must be a str")
    if "\0" in value or not (value or empty):
        raise ValueError(f"{name} must be a text without NUL, not {value!r}" if name != "url" else "url has a NUL")
    return value


def _at_least(value: float | timedelta, name: str, least: float) -> int:
    nanoseconds = delay_ns(value, name)
    if nanoseconds < least * 1e9:
        raise ValueError(f"{name} must be at least {least} s, not {value!r}")
    return nanoseconds
