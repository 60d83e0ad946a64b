"""Say where the owner of a file is called: a socket beside the file, or one whose name stands there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from duewheel.errors import StorageError

_LONGEST = 100
"""The longest path of a socket, in bytes: systems take 104 to 108, and some of them count the end."""


def resolved(path: str | os.PathLike[str]) -> str:
    """Return the path of a file as its owner has it, links followed."""
    return os.path.realpath(os.fspath(path))


def place_for(file: str) -> tuple[str, str | None]:
    """Return where a socket for the file is to be made, and the file beside it that is to have its name.

    **Raises** `OSError` when there is no directory for it.
    """
    beside = f"{file}-sock"
    if len(os.fsencode(beside)) <= _LONGEST:
        return beside, None
    name = f"duewheel-{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}.sock"
    for directory in _directories():
        path = directory / name
        if len(os.fsencode(path)) <= _LONGEST:
            return str(path), beside
    raise OSError(f"the path {beside!r} is too long for a socket, and there is no directory with a shorter one")


def _directories() -> list[Path]:
    """Return directories that are this user's alone."""
    user = os.geteuid()
    given = os.environ.get("XDG_RUNTIME_DIR")
    private = Path(tempfile.gettempdir(), f"duewheel-{user}")
    with contextlib.suppress(OSError):
        private.mkdir(0o700)
    found = [*([Path(given)] if given else []), Path(f"/run/user/{user}"), private]
    return [directory for directory in found if _is_private(directory, user)]


def _is_private(directory: Path, user: int) -> bool:
    try:
        there = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(there.st_mode) and there.st_uid == user and not there.st_mode & 0o022


def note(pointer: str, socket: str) -> None:
    """Leave the name of a socket beside the file."""
    fresh = Path(f"{pointer}-{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.fsencode(socket))
    fresh.replace(pointer)


def find(file: str) -> str | None:
    """Return the socket of a file, or `None`: nobody has served it, or who did has ended in order.

    **Raises** `StorageError` for a name that another user has left.
    """
    beside = Path(f"{file}-sock")
    try:
        there = beside.lstat()
    except OSError:
        return None
    if stat.S_ISSOCK(there.st_mode):
        return str(beside)
    if not stat.S_ISREG(there.st_mode):
        return None
    if there.st_uid != os.geteuid():
        raise StorageError(f"{beside}: another user has left it; an owner serves processes of its own user alone")
    try:
        return os.fsdecode(beside.read_bytes()[:4_096])
    except FileNotFoundError:
        return None


def holder(file: str) -> int | None:
    """Return the process that has the file open, as far as the lock file tells."""
    try:
        pid = int(Path(f"{file}-lock").read_bytes()[:20])
    except (OSError, ValueError):
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:  # it lives, and is another user's
        return pid
    except (OSError, OverflowError):
        return None
    return None if _is_dead(pid) else pid


def _is_dead(pid: int) -> bool:
    """Tell whether a process has ended that its parent has not asked about: it holds nothing, and can be signalled."""
    try:
        told = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False  # there is no such file here, or it has just gone
    return told.rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])
