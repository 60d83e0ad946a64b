"""Call the process that owns a file of jobs, from others of the same machine and user.

>>> import tempfile, os
>>> from duewheel import Scheduler
>>> from duewheel.sharing import Client
>>> path = os.path.join(tempfile.mkdtemp(), "jobs.db")
>>> with Scheduler(path, share=True) as scheduler:
...     scheduler.role
...     with Client(path) as client:  # in another process, as a rule
...         id = client.in_(3600, "report.yearly")
...         client.get(id).target
...         client.cancel(id)
'owner'
'report.yearly'
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from duewheel._core import ShareRequests
from duewheel.sharing._calls import Calls
from duewheel.sharing._link import Link
from duewheel.sharing._places import resolved
from duewheel.storage import LocalStorage

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Self

    from duewheel.options import JobOptions

__all__ = ["Client"]


class Client(Calls):
    """Call the owner of a file; it never owns the file itself, and runs no handler.

    `path` is that of the file, which a `Scheduler(path, share=True)` has open in another process, or in this one.
    `options` are laid under those of every job that is scheduled here. A call that is under way when the owner ends
    is made once more by the next one, and done once; it waits ten seconds for one.

    **Concurrency**: every call may come from any thread; each that is under way has a connection of its own.
    **Durability**: as the owner's: when a call returns, what it has changed is on disk as `LocalStorage` says.
    **Raises** `StorageUnavailableError` when no process has the file open, `StorageLockedError` when one has that
    does not share it, `StorageVersionError` when it speaks another version of the protocol, `StorageError` when it is
    another user's.
    """

    role = "client"
    """It never owns the file."""

    def __init__(self, path: str | os.PathLike[str] | LocalStorage, *, options: JobOptions | None = None) -> None:
        """Connect to the owner."""
        self._requests = ShareRequests(options)
        self._link = Link(resolved(path._path if isinstance(path, LocalStorage) else LocalStorage(path)._path))
        self._link.owner()

    @property
    def owner_pid(self) -> int:
        """The process that owns the file now."""
        return int(self._link.owner()["pid"])

    def close(self) -> None:
        """Give up the connections; every call raises `ClosedError` then. Idempotent."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse: its connections are of this process."""
        raise TypeError("a client cannot be copied or pickled: its connections are of this process; make another one")

    def __repr__(self) -> str:
        return f"<duewheel.sharing.Client of {self._link.file!r}>"
