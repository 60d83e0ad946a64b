"""Call the owner of a file: a connection for each call that is under way, and the next owner when one is gone."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duewheel._core import hello_line
from duewheel.errors import ClosedError, StorageError, StorageLockedError, StorageUnavailableError
from duewheel.sharing import _places, _words

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOL = 1
"""What this version speaks."""

PATIENCE_S = 10.0
"""How long a call waits for the next owner, at least: files with much in their journal take a while to open."""

_HEIR_PATIENCE_S = 1.5
"""How long a new client waits for who follows an owner that has died, while nobody has the file."""

_OPENING_PATIENCE_S = 5.0
"""How long it waits for who has the file by then, and may be about to serve."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.02
_CHUNK = 65_536


class Unserved(Exception):  # noqa: N818 - never seen by callers
    """Nobody serves the file, or who did has gone before it answered."""


class Connection:
    """One connection to the owner."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(path)
            self.owner = _words.result(self.exchange(hello_line(PROTOCOL)))
        except BaseException:
            self._socket.close()
            raise

    def exchange(self, line: bytes) -> bytes:
        """Send a call and return its answer; the connection is of no use after an exception."""
        with contextlib.suppress(BrokenPipeError):  # who has hung up may have said why
            self._socket.sendall(line)
        reply = self._socket.recv(_CHUNK)
        if reply.endswith(b"\n"):
            return reply
        parts = [reply]
        while reply and not reply.endswith(b"\n"):
            reply = self._socket.recv(_CHUNK)
            parts.append(reply)
        if not reply:
            raise ConnectionResetError
        return b"".join(parts)

    def wait_for_end(self) -> None:
        """Wait until the owner is gone, or `end` is called."""
        with contextlib.suppress(OSError):
            while self._socket.recv(_CHUNK):
                pass
        self._socket.close()

    def end(self) -> None:
        """Let `wait_for_end` return."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def connect(file: str) -> Connection:
    """Return a connection to the owner of the file.

    **Raises** `Unserved` when there is none, `StorageError` when it is another user's, `StorageVersionError` when it
    speaks another protocol.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise StorageUnavailableError("files are shared by sockets of Unix, which Python does not have on this system")
    path = _places.find(file)
    if path is None:
        raise Unserved
    try:
        return Connection(path)
    except PermissionError:
        raise StorageError(
            f"{file}: its owner serves processes of its own user alone, and this one is of user {os.geteuid()}"
        ) from None
    except (OSError, ValueError) as error:
        raise Unserved from error


class Link:
    """The way to the owner of a file, whoever that is."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._reset()
        _links.add(self)

    def _reset(self) -> None:
        self._free: list[Connection] = []
        self._closed = False
        self.local: Callable[[bytes], bytes] | None = None  # what answers once this process is the owner
        self.trouble: Exception | None = None  # why it cannot be

    def forget(self) -> None:
        """In a forked child: give up what is the parent's."""
        free = self._free
        closed = self._closed
        self._reset()
        self._closed = closed
        for connection in free:
            connection.close()

    def close(self) -> None:
        """Make no more calls."""
        self._closed = True
        while self._free:
            self._free.pop().close()

    def call(self, method: str, **params: Any) -> Any:
        """Make a call, and return its result."""
        return _words.result(self.exchange(_words.call(method, **params)))

    def exchange(self, line: bytes) -> bytes:
        """Make a call, and return its answer; one that is cut off is made again, by the next owner if need be."""
        since_ns, began_ns = time.time_ns(), time.monotonic_ns()
        try:
            reply = self._try(line)
        except Unserved:
            pass
        else:
            if _words.ENDS not in reply:
                return reply
        return self._repeat(line, since_ns, began_ns)

    def _repeat(self, line: bytes, since_ns: int, began_ns: int) -> bytes:
        pause_s = _FIRST_PAUSE_S
        while True:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            ago_ns = time.monotonic_ns() - began_ns
            try:
                reply = self._try(_words.again(line, since_ns, ago_ns))
            except Unserved:
                if ago_ns > PATIENCE_S * 1e9:
                    raise self.why_unserved() from None
                continue
            if _words.ENDS not in reply:
                return reply

    def _try(self, line: bytes) -> bytes:
        if self._closed:
            raise ClosedError("the scheduler is closed")
        if self.trouble is not None:
            raise self.trouble
        local = self.local
        if local is not None:
            return local(line)
        try:
            connection = self._free.pop()
        except IndexError:
            connection = connect(self.file)
        try:
            reply = connection.exchange(line)
        except OSError as error:
            connection.close()
            raise Unserved from error
        except BaseException:
            connection.close()  # its answer is still to come
            raise
        if self._closed:
            connection.close()
        else:
            self._free.append(connection)
        return reply

    def owner(self) -> dict[str, Any]:
        """Return what the owner says of itself.

        Where a socket is left of one that has died, another may be about to follow.
        """
        begun = time.monotonic()
        while True:
            try:
                connection = connect(self.file)
            except Unserved:
                if _places.find(self.file) is None or time.monotonic() > begun + heir_patience_s(self.file):
                    raise self.why_unserved() from None
            else:
                connection.close()
                return dict(connection.owner)
            time.sleep(_LONGEST_PAUSE_S)

    def why_unserved(self) -> StorageError:
        """Say why nobody answers, and what to do."""
        return why_unserved(self.file)


def heir_patience_s(file: str) -> float:
    """Return how long who follows is waited for, where a socket is left of an owner that has died."""
    return _HEIR_PATIENCE_S if _places.holder(file) is None else _OPENING_PATIENCE_S


def why_unserved(file: str) -> StorageError:
    """Say why nobody serves the file, and what to do."""
    pid = _places.holder(file)
    if pid is not None:
        return StorageLockedError(
            f"{file}: process {pid} has it open and does not share it: give its Scheduler share=True, or stop it and "
            "open the file here"
        )
    there = "" if Path(file).exists() else " (there is no such file)"
    return StorageUnavailableError(
        f"{file}: no process has it open{there}: start one with Scheduler({Path(file).name!r}, share=True), or "
        "open the file here with Scheduler()"
    )


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _forget_all() -> None:
    for link in list(_links):
        link.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)

__all__ = ["PATIENCE_S", "PROTOCOL", "Connection", "Link", "Unserved", "connect", "heir_patience_s", "why_unserved"]
