"""Reach the jobs of a command: through the process that has the file, in the file itself, or in a database."""

from __future__ import annotations

import base64
import binascii
import os
import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from duewheel.cli._ends import UNREACHABLE, USAGE, EndsError
from duewheel.errors import (
    StorageError,
    StorageLockedError,
    StorageUnavailableError,
    StorageVersionError,
    WrongKeyError,
)
from duewheel.postgres import PostgresStorage
from duewheel.scheduler import Scheduler
from duewheel.sharing import Client
from duewheel.storage import Keyring, LocalStorage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from duewheel.postgres import Node

VARIABLE = "DUEWHEEL_DB"
KEYS_VARIABLE = "DUEWHEEL_KEYS"
_NODE = "duewheel command"
"""What this is called among the nodes of a database, with its process."""
_PATIENCE_S = 0.5
"""How long a file is waited for that another process has: another command gives it up at once."""
_SERVER_PATIENCE_S = 5.0
"""How long a server is waited for that cannot be reached."""
_NOT_SHARED = (
    "with Scheduler(…, share=True) there, its jobs can be seen and changed while it runs;\n"
    "else stop it first, or look at a copy that it makes with backup()"
)
_LARGEST_DATA = 999_000_000
"""No command refuses data for their size that the program takes, as far as the store does."""


class Place(NamedTuple):
    """Where jobs are, as a command line says it."""

    given: str
    schema: str = "duewheel"
    keys: Keyring | None = None

    @property
    def is_database(self) -> bool:
        """Whether it is a database, not a file."""
        return self.given.startswith(("postgresql://", "postgres://"))

    @property
    def shown(self) -> str:
        """What messages say of it: never a password."""
        return without_password(self.given)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.given)


class Reached(NamedTuple):
    """What answers for a place, and how it was reached."""

    calls: Scheduler
    """A scheduler that is not started, or a client of the process that has the file."""
    how: str
    """`"owner"`: the process that has the file answers; `"file"`: nobody has it; `"database"`."""
    place: Place

    @property
    def runs(self) -> bool:
        """Whether what answers is the scheduler that runs the jobs."""
        return self.how == "owner"

    def other_nodes(self) -> list[Node]:
        """Return the nodes of a database that live, commands aside: they run nothing."""
        return [node for node in self.calls.nodes() if not node.name.startswith(_NODE)]


def place_of(args: argparse.Namespace) -> Place:
    """Return the place that a command line and the environment name."""
    given = args.file or os.environ.get(VARIABLE, "")
    if not given:
        raise EndsError(f"say which jobs: -f FILE, -f postgresql://…, or {VARIABLE} in the environment")
    if "://" in given and not given.startswith(("postgresql://", "postgres://")):
        raise EndsError(f"{without_password(given)!r} is no place for jobs: say a file, or a postgresql:// URL")
    keys = args.keys or os.environ.get(KEYS_VARIABLE, "")
    return Place(given, args.schema or "duewheel", read_keys(keys) if keys else None)


@contextmanager
def reached(
    place: Place, *, makes: bool = False, durability: Literal["commit", "relaxed"] = "commit"
) -> Iterator[Reached]:
    """Reach a place, and leave it at the end; what is opened is not started.

    With `makes`, a file that is not there is made, and so are the tables of a database.
    """
    found = _reach(place, makes, durability)
    try:
        yield found
    finally:
        found.calls.close()


def _reach(place: Place, makes: bool, durability: Literal["commit", "relaxed"]) -> Reached:
    try:
        if place.is_database:
            return Reached(Scheduler(_database(place, makes)), "database", place)
        if not makes and not place.path.exists():
            raise EndsError(
                f"there is no file {place.given}: a program makes it with Scheduler({place.given!r}), "
                "and so do the commands add and import",
                UNREACHABLE,
            )
        return _reach_file(place, durability)
    except StorageVersionError as error:
        remedy = "; `duewheel migrate` makes or updates the tables" if place.is_database else ""
        raise EndsError(f"{place.shown}: {error}{remedy}", UNREACHABLE) from None
    except WrongKeyError as error:
        raise EndsError(f"{place.shown}: {error}; --keys FILE has the keys", UNREACHABLE) from None
    except StorageError as error:
        raise EndsError(_naming(place, error), UNREACHABLE) from None
    except (TypeError, ValueError) as error:
        raise EndsError(f"{place.shown}: {without_password(str(error))}", USAGE) from None


def _reach_file(place: Place, durability: Literal["commit", "relaxed"]) -> Reached:
    """Ask who has the file; open it if nobody has. Another command gives it up at once, and is waited for."""
    storage = LocalStorage(
        place.given,
        keys=place.keys,
        max_data=_LARGEST_DATA,
        durability=durability,
        horizon=0,  # what is not run need not be in memory
        resident=1_000,
    )
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with suppress(StorageUnavailableError):  # nobody has it
                return Reached(cast("Scheduler", Client(storage)), "owner", place)
            return Reached(Scheduler(storage, workers=1), "file", place)
        except StorageLockedError as error:
            if time.monotonic() >= end:
                raise EndsError(f"{_naming(place, error)}\n{_NOT_SHARED}", UNREACHABLE) from None
        time.sleep(0.05)


def _database(place: Place, makes: bool) -> PostgresStorage:
    return PostgresStorage(
        place.given,
        schema=place.schema,
        name=f"{_NODE} {os.getpid()}",
        keys=place.keys,
        max_data=_LARGEST_DATA,
        timeout=_SERVER_PATIENCE_S,
        migrate=makes,
    )


def _naming(place: Place, error: StorageError) -> str:
    """Return the text of an error, which names the place."""
    text = without_password(str(error))
    return text if place.shown in text else f"{place.shown}: {text}"


def without_password(text: str) -> str:
    """Return a text in which no URL and no connection string has a password."""
    text = re.sub(r"(\w+://[^\s:/@]*):[^\s/]*@", r"\1:***@", text)
    return re.sub(r"((?:^|[?&\s])(?:password|sslpassword)=)('(?:[^'\\]|\\.)*'|[^&\s]*)", r"\1***", text)


def read_keys(path: str) -> Keyring:
    """Read a file of keys: a number and a key a line, the key as hexadecimal digits or base64; the last is the default.

    Messages never have a key in them.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise EndsError(f"the file of keys cannot be read: {path}: {_reason(error)}") from None
    keys: dict[int, bytes] = {}
    default: int | None = None
    for at, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        key = _key(words[1]) if len(words) == 2 and words[0].isdecimal() else None
        if key is None:
            raise EndsError(
                f"{path}, line {at}: say a number and a key of 32 bytes, as 64 hexadecimal digits or as base64"
            )
        default = int(words[0])
        keys[default] = key
    if default is None:
        raise EndsError(f"{path} has no key in it: say a number and a key a line")
    try:
        return Keyring(keys, default)
    except ValueError as error:
        raise EndsError(f"{path}: {error}") from None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is no text"


def _key(word: str) -> bytes | None:
    try:
        key = bytes.fromhex(word) if len(word) == 64 else base64.b64decode(word, validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == 32 else None
