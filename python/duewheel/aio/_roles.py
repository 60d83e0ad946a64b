"""What a scheduler that is awaited is to a file that processes share, and clients of its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from duewheel.aio._client import Client
    from duewheel.options import JobOptions
    from duewheel.storage import LocalStorage


class Roles:
    """What `duewheel.aio.Scheduler` says of its role."""

    _face: Any = None  # what handlers see as the scheduler, where it shares its file

    @property
    def role(self) -> Literal["alone", "owner", "client"]:
        """What this process is to a file that is shared. As `duewheel.Scheduler.role`."""
        return "alone"


def share(scheduler: Any, plain: Callable[..., Any], storage: object, arguments: Mapping[str, Any]) -> None:
    """Make a scheduler one that shares its file."""
    from duewheel.aio._sharing import sharing_class

    cls: Any = type(scheduler)
    scheduler.__class__ = sharing_class(cls)
    scheduler._share(plain, storage, arguments)


def connect(path: str | PathLike[str] | LocalStorage, *, options: JobOptions | None = None) -> Client:
    """Call the process that owns a file of jobs; `await` the client, or use it in `async with`.

    As `duewheel.connect`.
    """
    from duewheel.aio._client import Client

    return Client(path, options=options)
