"""Describe a store on disk, and show the pending events of a scheduler as a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from duewheel._checks import lists_keywords, whole_number
from duewheel._times import delay_ns
from duewheel.errors import WrongKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta
    from typing import Literal

    from duewheel._core import Event
    from duewheel._core import Scheduler as SchedulerCore


class Keyring:
    """Keys that encrypt the data of jobs on disk: AES-256-GCM-SIV.

    `keys` maps numbers (0 to 2**32 - 1) to keys of 32 bytes. What is written is encrypted under
    `default`; what was written under any of them can be read.
    **Raises** `TypeError` for wrong types, `ValueError` for a key that is not 32 bytes long, a
    number out of range or no keys, `WrongKeyError` when the default is not one of them.

    >>> Keyring({1: bytes(32), 2: bytes(range(32))}, default=2)
    Keyring([1, 2], default=2)
    """

    __slots__ = ("_default", "_keys")

    def __init__(self, keys: Mapping[int, bytes], default: int) -> None:
        """Make a keyring."""
        if not isinstance(keys, Mapping):
            raise TypeError(f"keys must be a mapping of numbers to keys, not of type {type(keys).__name__}")
        checked = {}
        for given, key in keys.items():
            number = whole_number(given, "the number of a key")
            if not isinstance(key, bytes | bytearray | memoryview):
                # Never the key itself: messages end up in logs.
                raise TypeError(f"the key {number} must be 32 bytes, not of type {type(key).__name__}")
            if len(bytes(key)) != 32:
                raise ValueError(f"the key {number} must be 32 bytes long, not {len(bytes(key))}")
            checked[number] = bytes(key)
        if not checked:
            raise ValueError("a keyring needs a key at least")
        self._keys = checked
        self._default = whole_number(default, "default")
        if self._default not in checked:
            raise WrongKeyError(f"the default key {default!r} is not in the keyring: it has {sorted(checked)}")

    def __repr__(self) -> str:
        """Show the numbers, never a key."""
        return f"Keyring({sorted(self._keys)}, default={self._default})"


_LARGEST_DATA = 999_000_000
"""A row of SQLite has room for 10**9 bytes: the rest is for all else in it, and much of it stays free."""


def _check_no_uri(path: str) -> None:
    if path == ":memory:":
        raise ValueError("path must be the path of a file, not ':memory:': Scheduler() keeps its jobs in memory")
    if path.startswith("file:") or "://" in path:
        raise ValueError(
            f"path must be the path of a file, not the URI {path!r}: give '/…/jobs.db' or a relative path alone; "
            "a file of such a name is './file:…'"
        )


class LocalStorage:
    """Keep jobs in one file, which one process at a time has open.

    `durability`: with `"commit"` a call that returns has its change on disk, where it survives loss
    of power; with `"relaxed"` the change survives the death of the process. `keys` is a `Keyring`
    that encrypts the data of jobs. `max_data` is the largest data of a job, in bytes, up to 999,000,000. `horizon`
    (seconds or a `timedelta`) and `resident` bound what is held in memory: what is due within the
    one, and at most so many jobs, beside a few that are parked; the rest waits on disk. A job that
    was running at `max_interruptions` deaths of its process is dead; `close()` and an ordered exit with
    handlers running are no death: what they leave comes again with the next `run`. Of the dead those are kept that
    died within `dead_for` (seconds or a `timedelta`), and at most `dead_max`, the newest; unless they are given, all
    are until `purge`.

    The file is opened by the `Scheduler` that is given this, and made if it is not there; a path
    given instead is `LocalStorage(path)`. After a failed sync the store refuses everything with
    a `StorageError` until it is opened again.

    **Time**: while a job is on disk alone, a due on the boot clock is the wall time that it mapped to.
    **Raises** `TypeError` and `ValueError` for arguments that are not as above, `OverflowError` for a
    `horizon` or `dead_for` that 64 bits of nanoseconds do not hold.

    >>> LocalStorage("jobs.db", durability="relaxed")
    LocalStorage('jobs.db', durability='relaxed')
    """

    __slots__ = (
        "_dead_for_ns",
        "_dead_max",
        "_durability",
        "_horizon_ns",
        "_keys",
        "_max_data",
        "_max_interruptions",
        "_path",
        "_resident",
    )

    @lists_keywords
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["commit", "relaxed"] = "commit",
        keys: Keyring | None = None,
        max_data: int = 1_048_576,
        horizon: float | timedelta = 3600.0,
        resident: int = 1_000_000,
        max_interruptions: int = 3,
        dead_for: float | timedelta | None = None,
        dead_max: int | None = None,
    ) -> None:
        """Describe a file; nothing is opened yet."""
        found: object = os.fspath(path) if hasattr(path, "__fspath__") else path
        if not isinstance(found, str):
            raise TypeError(f"path must be a str or an os.PathLike of one, not {path!r}")
        if not found or "\0" in found:
            raise ValueError(f"path must be the path of a file, not {path!r}")
        if found is path:  # a pathlib.Path of such a name is meant as one
            _check_no_uri(found)
        if not isinstance(durability, str):
            raise TypeError(f"durability must be 'commit' or 'relaxed', not {durability!r}")
        if durability not in ("commit", "relaxed"):
            raise ValueError(f"durability must be 'commit' or 'relaxed', not {durability!r}")
        if keys is not None and not isinstance(keys, Keyring):
            raise TypeError(f"keys must be a Keyring or None, not {keys!r}")
        self._path = found
        self._durability = durability
        self._keys = keys
        self._max_data = whole_number(max_data, "max_data", most=_LARGEST_DATA)
        self._horizon_ns = delay_ns(horizon, "horizon")
        self._resident = whole_number(resident, "resident", least=1)
        self._max_interruptions = whole_number(max_interruptions, "max_interruptions", least=1)
        self._dead_for_ns = None if dead_for is None else delay_ns(dead_for, "dead_for")
        self._dead_max = None if dead_max is None else whole_number(dead_max, "dead_max", least=0)

    def __repr__(self) -> str:
        """Show the path and the durability."""
        return f"LocalStorage({self._path!r}, durability={self._durability!r})"


def path_of(storage: object) -> str | None:
    """Return where the file of a store is, links followed; `None`: it has no file."""
    found = storage._path if isinstance(storage, LocalStorage) else storage
    if found is None or not isinstance(found, str | os.PathLike):
        return None
    path = os.fsdecode(found)
    return None if "://" in path else os.path.realpath(path)


class Storage:
    """Read and change what is pending, event by event; made by `Scheduler.storage`.

    **Concurrency**: every call may come from any thread.
    """

    def __init__(self, core: SchedulerCore) -> None:
        self._core = core

    def create(self, event: Event) -> None:
        """Take in an event as it stands: its id, due, run and attempt.

        **Time**: the due is on the wall clock.
        **Raises** `DuplicateJobError` when the id is pending or running, `PayloadTooLargeError`,
        `StorageError`, `ClosedError`.
        **Durability**: as `Scheduler.at`.
        """
        self._core._restore(event)

    def load(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`."""
        return self._core.get(id)

    def delete(self, id: str) -> bool:
        """Withdraw a pending job, as `Scheduler.cancel` does."""
        return self._core.cancel(id)

    def next(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`."""
        return self._core.next(start, end)

    def between(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Iterator[Event]:
        """Iterate over the pending events with `start <= due < end`, in order."""
        return self._core.between(start, end)
