"""Be the owner of a file or one who calls it, and take the file over when its owner ends."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from duewheel._core import ShareRequests
from duewheel.errors import StorageLockedError
from duewheel.sharing import _link, _places
from duewheel.sharing._answers import Answers
from duewheel.sharing._calls import Calls

if TYPE_CHECKING:
    from duewheel._core import ShareServer
    from duewheel.options import JobOptions
    from duewheel.sharing._calls import Adding

logger = logging.getLogger("duewheel")

_HELPERS = 2
"""How many threads do for the server what needs Python, of which one may be in a long call."""

_FIRST_LOOKS_S = 2.0
"""How long a new process looks who owns the file, while another opens it."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.02


class Caller(Calls):
    """The calls of a process that does not own the file now."""

    def __init__(self, file: str, options: JobOptions | None, scheduling: Adding | None) -> None:
        self._requests = ShareRequests(options)
        self._scheduling = scheduling
        self._link = _link.Link(file)


class Happened(NamedTuple):
    """What is called of it."""

    took_over: Callable[[], None]
    """This process has become the owner of a file that another had."""
    forked: Callable[[], None]
    """This process is a forked child."""
    scheduling: Adding | None = None
    """It schedules a job that another one takes in: what plugins add to its headers."""


class Role:
    """What a process is to a file, now.

    `make` opens the file for this process and returns its scheduler, or raises `StorageLockedError`; `core_of` is
    what answers for it.
    """

    def __init__(
        self,
        file: str,
        options: JobOptions | None,
        make: Callable[[], Any],
        core_of: Callable[[Any], Any],
        happened: Happened,
    ) -> None:
        self.file = file
        self.caller = Caller(file, options, happened.scheduling)
        self.own: Any = None
        """The scheduler of this process, once it owns the file."""
        self.lock = threading.RLock()
        self.ended = False
        self.is_dormant = False
        """Whether it was forked, and is not used here yet."""
        self._make = make
        self._core_of = core_of
        self._happened = happened
        self._server: ShareServer | None = None
        self._pointer: str | None = None
        self._watch: _link.Connection | None = None

    @property
    def name(self) -> Literal["owner", "client"]:
        """What it is called."""
        return "client" if self.own is None else "owner"

    @property
    def is_settled(self) -> bool:
        """Whether this process waits for nobody's end: it owns the file, or never will."""
        return self.ended or self.own is not None or self.caller._link.trouble is not None

    def begin(self) -> None:
        """Own the file, or find who does.

        **Raises** `StorageLockedError` for an owner that does not share it, and what opening the file raises.
        """
        begun = time.monotonic()
        pause_s = _FIRST_PAUSE_S
        while not (self._try_to_own() or self._try_to_watch()):
            # Another process is about to serve, or about to end.
            left = _places.find(self.file) is not None
            patience_s = _link.heir_patience_s(self.file) if left else 0.0
            if time.monotonic() > begun + max(patience_s, _FIRST_LOOKS_S):
                raise _link.why_unserved(self.file)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if self.own is None:
            self._start_watching()

    def _try_to_own(self) -> bool:
        try:
            made = self._make()
        except StorageLockedError:
            return False
        answer = Answers(self._core_of(made)).answer
        with self.lock:
            if self.ended:
                self._core_of(made).close()
                return True
            self.own = made
            self._serve(answer)
            self.caller._link.local = answer
        return True

    def _serve(self, answer: Callable[[bytes], bytes]) -> None:
        """Answer other processes; a socket that cannot be made is no error."""
        core = self._core_of(self.own)
        try:
            server, self._pointer = _bound(core, self.file)
        except OSError as error:
            logger.warning("%s is not shared: no socket can be made for it: %s", self.file, error)
            return
        self._server = server
        for number in range(1, _HELPERS + 1):
            name = f"duewheel-share-{number}"
            threading.Thread(target=server.work, args=(answer,), name=name, daemon=True).start()

    def _try_to_watch(self) -> bool:
        try:
            self._watch = _link.connect(self.file)
        except _link.Unserved:
            return False
        return True

    def wake(self) -> None:
        """In a forked child that uses it: be there when the owner ends."""
        with self.lock:
            was, self.is_dormant = self.is_dormant, False
        if was and not self.ended:
            self._start_watching()

    def _start_watching(self) -> None:
        """Have a thread wait for the end of the owner."""
        threading.Thread(target=_succeed, args=(weakref.ref(self),), name="duewheel-heir", daemon=True).start()

    def stop_serving(self) -> None:
        """Cut off those who call; they wait for the next owner."""
        server, self._server = self._server, None
        pointer, self._pointer = self._pointer, None
        if server is not None:
            if pointer is not None:
                with contextlib.suppress(OSError):
                    Path(pointer).unlink()
            server.stop()

    def end(self) -> None:
        """Give up the part of this process, but for the scheduler that it has."""
        with self.lock:
            self.ended = True
            self.stop_serving()
            self.caller._link.close()
            watch, self._watch = self._watch, None
        if watch is not None:
            watch.end()

    def fork(self) -> None:
        """In a forked child: it is a client of whoever owns the file, its parent as a rule."""
        self.lock = threading.RLock()
        if self._server is not None:
            _of_parents.append(self._server)  # not freed: its thread is not here
        self.own = self._server = self._pointer = None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        self.is_dormant = True
        self._happened.forked()

    def look(self) -> bool:
        """Become what this process can be now; whether it is anything."""
        with self.lock:
            if self.ended:
                return True
        try:
            if not self._try_to_own():
                return self._try_to_watch()
        except Exception as error:  # such as a file that is damaged: calls say so
            logger.error("%s cannot be taken over: %s", self.file, error)
            self.caller._link.trouble = error
            return True
        if not self.ended:
            self._happened.took_over()
        return True


def _bound(core: Any, file: str) -> tuple[ShareServer, str | None]:
    """Return a server of the file, and the file that has the name of its socket, if one has."""
    try:
        from duewheel._core import ShareServer
    except ImportError:
        raise OSError("files are shared by sockets of Unix, which this system does not have") from None

    socket, pointer = _places.place_for(file)
    server = ShareServer(core, socket)
    if pointer is not None:
        try:
            _places.note(pointer, socket)
        except OSError:
            server.stop()
            raise
    return server, pointer


def _succeed(found: weakref.ref[Role]) -> None:
    """Wait for the end of the owner, again and again, until this process owns the file."""
    pause_s = _FIRST_PAUSE_S
    while True:
        role = found()
        if role is None or role.is_settled:
            return
        watch = role._watch
        if watch is None and role.look():
            pause_s = _FIRST_PAUSE_S
            continue
        del role
        if watch is None:
            # Between two owners alone: whose lock it is, and whose socket, is known in some milliseconds.
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            continue
        watch.wait_for_end()
        role = found()
        if role is not None and role._watch is watch:
            role._watch = None
        del role


_roles: weakref.WeakSet[Role] = weakref.WeakSet()
_of_parents: list[ShareServer] = []


def keep(role: Role) -> None:
    """Have a fork and the end of the interpreter find it."""
    _roles.add(role)


def _after_fork() -> None:
    for role in list(_roles):
        role.fork()


def _at_exit() -> None:
    for role in list(_roles):
        role.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
