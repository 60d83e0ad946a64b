"""duewheel: an in-process job scheduler on a timing wheel.

>>> import duewheel
>>> scheduler = duewheel.Scheduler()
>>> deregister = scheduler.handle("reminder", lambda event: print(event.data.decode()))
>>> with scheduler:
...     id = scheduler.in_(0.01, "reminder", b"water the plants")
...     finished = scheduler.wait()
water the plants
"""

import atexit as _atexit
import os as _os
import warnings as _warnings
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import overload as _overload

from duewheel import _core, adapters

# The extension imports these by name, and packers of programs follow the imports of Python alone.
from duewheel import _failure as _failure
from duewheel import _keywords as _keywords
from duewheel import _log as _log
from duewheel import _schedules as _schedules
from duewheel._core import (
    Cron,
    Days,
    DeadEvent,
    Event,
    Every,
    Job,
    Lateness,
    Outcome,
    Repeat,
    RRule,
    Schedule,
    Stats,
    TargetStats,
    Timer,
    Times,
    current_event,
)
from duewheel._running import Running
from duewheel.config import Config
from duewheel.context import at, current_scheduler, in_, repeat, use
from duewheel.errors import (
    ClosedError,
    ConfigError,
    Discard,
    DuewheelError,
    DuplicateJobError,
    DuplicateTargetError,
    ForkedError,
    PayloadTooLargeError,
    Snooze,
    StateError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageLockedError,
    StorageUnavailableError,
    StorageVersionError,
    UnreadableDataError,
    WrongKeyError,
)
from duewheel.nop import NopScheduler
from duewheel.options import (
    DEFAULT_MAX_BACKOFF,
    DEFAULT_MIN_BACKOFF,
    DEFAULT_RETRY_LIMIT,
    UNSET,
    Consistency,
    JobOptions,
)
from duewheel.postgres import PostgresStorage
from duewheel.scheduler import Handler, Scheduler
from duewheel.storage import Keyring, LocalStorage, Storage
from duewheel.targets import Limit, Rate

if _TYPE_CHECKING:
    from duewheel import sharing as _sharing

__all__ = [
    "DEFAULT_MAX_BACKOFF",
    "DEFAULT_MIN_BACKOFF",
    "DEFAULT_RETRY_LIMIT",
    "UNSET",
    "ClosedError",
    "Config",
    "ConfigError",
    "Consistency",
    "Cron",
    "Days",
    "DeadEvent",
    "Discard",
    "DuewheelError",
    "DuplicateJobError",
    "DuplicateTargetError",
    "Event",
    "Every",
    "ForkedError",
    "Handler",
    "Job",
    "JobOptions",
    "Keyring",
    "Lateness",
    "Limit",
    "LocalStorage",
    "NopScheduler",
    "Outcome",
    "PayloadTooLargeError",
    "PostgresStorage",
    "RRule",
    "Rate",
    "Repeat",
    "Running",
    "Schedule",
    "Scheduler",
    "Snooze",
    "StateError",
    "Stats",
    "Storage",
    "StorageCorruptError",
    "StorageError",
    "StorageFullError",
    "StorageLockedError",
    "StorageUnavailableError",
    "StorageVersionError",
    "TargetStats",
    "Timer",
    "Times",
    "UnreadableDataError",
    "WrongKeyError",
    "adapters",
    "at",
    "connect",
    "current_event",
    "current_scheduler",
    "in_",
    "repeat",
    "use",
]

__version__ = _core.__version__


@_overload
def connect(
    storage: "str | _os.PathLike[str] | LocalStorage", *, options: JobOptions | None = None
) -> "_sharing.Client": ...
@_overload
def connect(storage: PostgresStorage, *, options: JobOptions | None = None) -> Scheduler: ...
def connect(
    storage: "str | _os.PathLike[str] | LocalStorage | PostgresStorage", *, options: JobOptions | None = None
) -> "_sharing.Client | Scheduler":
    """Call the process that owns a file of jobs; of a database, make a scheduler that is not started.

    The file is never owned here, and no handler runs here.

    **Raises** `StorageUnavailableError` when no process has the file open, `StorageLockedError` when one has that does
    not share it, and as `duewheel.sharing.Client`.
    """
    from duewheel.sharing import Client

    is_url = isinstance(storage, str) and storage.startswith(("postgresql://", "postgres://"))
    if is_url or isinstance(storage, PostgresStorage):
        return Scheduler(storage, options=options)
    return Client(storage, options=options)


def __getattr__(name: str) -> object:
    """Import a module when it is first used: asyncio takes longer to import than all the rest."""
    if name == "aio":
        import duewheel.aio

        return duewheel.aio
    if name == "cli":
        import duewheel.cli

        return duewheel.cli
    if name == "codecs":
        import duewheel.codecs

        return duewheel.codecs
    if name == "dashboard":
        import duewheel.dashboard

        return duewheel.dashboard
    if name == "plugins":
        import duewheel.plugins

        return duewheel.plugins
    if name == "reference":
        import duewheel.reference

        return duewheel.reference
    if name == "sharing":
        import duewheel.sharing

        return duewheel.sharing
    if name == "tasks":
        import duewheel.tasks

        return duewheel.tasks
    if name == "testing":
        import duewheel.testing

        return duewheel.testing
    return _for_others(name)


def _for_others(name: str) -> object:
    """Import a module that is for other packages when it is first used."""
    if name == "django":
        import duewheel.django

        return duewheel.django
    if name == "flask":
        import duewheel.flask

        return duewheel.flask
    if name == "logs":
        import duewheel.logs

        return duewheel.logs
    if name == "otel":
        import duewheel.otel

        return duewheel.otel
    if name == "prometheus":
        import duewheel.prometheus

        return duewheel.prometheus
    if name == "pytest_plugin":
        import duewheel.pytest_plugin

        return duewheel.pytest_plugin
    if name == "sentry":
        import duewheel.sentry

        return duewheel.sentry
    raise AttributeError(f"module 'duewheel' has no attribute {name!r}")


_core.find_names()  # all that it uses of these modules is there

if _core.DEBUG:
    _warnings.warn(
        "duewheel was built without optimisation: figures taken with it mean nothing",
        RuntimeWarning,
        stacklevel=2,
    )

if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_core.after_fork_in_child)
_atexit.register(_core.at_exit)
