"""`Scheduler(path, share=True)`: the scheduler of a file that several processes use."""

from __future__ import annotations

import contextvars
import functools
import inspect
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from duewheel import _checks, _current, _signals, targets
from duewheel._answering import answering
from duewheel._arounds import inside_already
from duewheel._core import Stats, timeout_s
from duewheel.errors import ClosedError, DuplicateTargetError, StateError
from duewheel.plugins import Hooks
from duewheel.sharing._places import resolved
from duewheel.sharing._role import Happened, Role, keep

if TYPE_CHECKING:
    from collections.abc import Mapping

_Fn: TypeAlias = Callable[[Any], object]

BY_ROLE = (
    *("at", "in_", "at_many", "in_many", "cancel", "cancel_many", "reschedule", "repeat", "pause", "resume", "trigger"),
    *("get", "get_repeat", "repeats", "next", "between", "dead", "revive", "purge", "explain", "backup", "wait"),
    "outcome",
    *("targets", "running", "interrupt"),
    *("_restore", "_deaths", "_paused_targets", "__contains__", "__len__"),
)
"""The calls that the owner makes itself, and another process has it make."""


def file_of(storage: object, clock: object) -> str:
    """Return the path of the file that is to be shared, which no other store can be."""
    from duewheel.storage import LocalStorage

    if clock is not None:
        raise ValueError("share=True is for the system's clock: a ManualClock is of one process")
    if isinstance(storage, str) and storage.startswith(("postgresql://", "postgres://")):
        raise ValueError("share=True is for a file: a database is shared as it is")
    if isinstance(storage, LocalStorage):
        return resolved(storage._path)
    if isinstance(storage, str | os.PathLike):
        return resolved(LocalStorage(storage)._path)
    raise ValueError(f"share=True is for a file: give a path or a LocalStorage, not {storage!r}")


class Handlers:
    """The handlers of a process, registered where it owns the file, and kept until it does."""

    def __init__(self, handle: Callable[..., Any]) -> None:
        """Keep those of a scheduler with this call."""
        parameters = inspect.signature(handle).parameters.values()
        self.controls = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
        """The keywords of the call, with what they are where they are not given."""
        self._kept: dict[str, tuple[_Fn, dict[str, Any], list[Callable[[], None]]]] = {}
        self._around: tuple[Any, str] | None = None  # what a framework puts around all of them

    def add(self, target: str, fn: _Fn, controls: dict[str, Any], role: Role) -> Callable[[], None]:
        """Keep one, and register it if the file is owned; return what deregisters it."""
        unknown = controls.keys() - self.controls.keys()
        if unknown:
            raise TypeError(f"handle() got an unexpected keyword argument {min(unknown)!r}")
        given = {**self.controls, **controls}
        targets.checked(**given)
        targets.check_dead(target, given["dead"])
        _checks.is_async(fn)
        _checks.check_name(target, "target")
        with role.lock:
            if role.ended:
                raise ClosedError("the scheduler is closed")
            if target in self._kept:
                raise DuplicateTargetError(f"the target {target!r} has a handler: deregister it first")
            registered = [] if role.own is None else [role.own.handle(target, fn, **controls)]
            entry = self._kept[target] = (fn, controls, registered)

        def deregister() -> None:
            with role.lock:
                if self._kept.get(target) is entry:
                    del self._kept[target]
                while registered:
                    registered.pop()()

        return deregister

    def put_around(self, around: Any, what: str, role: Role) -> None:
        """Put this around all handlers, wherever they will run; `what` names it."""
        with role.lock:
            if role.ended:
                raise ClosedError("the scheduler is closed")
            if self._around is not None:
                raise inside_already(self._around[1], what)
            self._around = around, what
            if role.own is not None:
                role.own._put_around(around, what)

    def register(self, own: Any) -> None:
        """Register all with a scheduler that is new."""
        if self._around is not None and answering(own)._inside is None:
            own._put_around(*self._around)
        for target, (fn, controls, registered) in self._kept.items():
            if not registered:
                registered.append(own.handle(target, fn, **controls))

    def forget_parent(self) -> None:
        """In a forked child: none is registered."""
        for _, _, registered in self._kept.values():
            registered.clear()


def _forward(name: str) -> Callable[..., Any]:
    def call(self: Sharing, *arguments: Any, **keywords: Any) -> Any:
        role = self._role
        own = role.own
        if own is not None:
            return getattr(own, name)(*arguments, **keywords)
        if role.is_dormant:
            role.wake()
        return getattr(role.caller, name)(*arguments, **keywords)

    call.__name__ = name
    return call


class Sharing:
    """The calls of a scheduler whose file is shared, over those of `duewheel.Scheduler`."""

    _role: Role
    _declared: Any
    _opened, _forked, _has_store = True, False, True

    def _share(self, plain: Any, storage: Any, arguments: Mapping[str, Any]) -> None:
        """Begin; `plain` makes a scheduler that does not share."""
        file = file_of(storage, arguments["clock"])
        self._handlers = Handlers(plain.handle)
        self._context: contextvars.Context | None = None
        self._halted = threading.Event()
        make = functools.partial(_serving_class(plain), storage, **arguments)
        scheduling = Hooks(arguments["plugins"]).scheduling
        events = Happened(_weakly(self._settle_in), _weakly(self._forked_here), scheduling)
        self._role = Role(file, arguments["options"], make, lambda own: own, events)
        self._role.begin()
        keep(self._role)
        self._settle_in()

    def _settle_in(self) -> None:
        """Begin to be the owner, if this process is."""
        with self._role.lock:
            own = self._role.own
            if own is None or self._role.ended:
                return
            own._declared = self._declared
            own._face = self
            self._handlers.register(own)
            if self._context is not None:
                self._context.run(own.start)

    def _forked_here(self) -> None:
        """Be a client in a forked child, which has started nothing."""
        self._context = None
        self._halted = threading.Event()
        self._handlers.forget_parent()

    @property
    def role(self) -> Literal["alone", "owner", "client"]:
        """`"owner"`: this process has the file open and serves others; `"client"`: it calls the one that has."""
        return self._role.name

    def start(self) -> None:
        """Begin to run what is due, where this process owns the file or once it does."""
        self._check_open()
        context = contextvars.copy_context()
        context.run(_current.current.set, self)  # type: ignore[arg-type]
        with self._role.lock:
            self._context = context
            self._halted.clear()
            if self._role.own is not None:
                context.run(self._role.own.start)
        self._role.wake()

    def _stop(self) -> None:
        with self._role.lock:
            self._context = None
            own = self._role.own
        self._halted.set()
        if own is not None:
            own._stop()

    def drain(self, timeout: Any = None) -> bool:
        """Start nothing more and finish what has started, in this process."""
        timeout_s(timeout)
        self._refuse_inside("drain")
        with self._role.lock:
            self._context = None
            own = self._role.own
        self._halted.set()
        return True if own is None else bool(own.drain(timeout))

    def close(self) -> None:
        """Start nothing more, for good; another process takes the file over, if one calls."""
        role = self._role
        role.end()
        self._context = None
        self._halted.set()
        if role.own is not None:
            role.own.close()

    def stats(self) -> Stats:
        """Return what the owner holds and has done; allowed after `close`."""
        own = self._role.own
        if own is None and self._role.ended:
            return Stats._zeros()
        return (self._role.caller if own is None else own).stats()

    def handle(self, target: str, fn: _Fn, **controls: Any) -> Callable[[], None]:
        """Register a handler, which runs where this process owns the file or once it does."""
        return self._handlers.add(target, fn, controls, self._role)

    def _put_around(self, around: Any, what: str) -> None:
        self._handlers.put_around(around, what, self._role)

    def timer(self, *_: Any, **__: Any) -> Any:
        """Refuse: timers are in memory alone."""
        raise StateError("timer() is for jobs in memory, and this scheduler keeps its jobs in a file: use in_()")

    def nodes(self) -> Any:
        """Refuse: nodes share a database."""
        raise StateError("nodes() is for jobs in a PostgreSQL database, and this scheduler keeps its jobs in a file")

    def rotate(self, progress: Any = None) -> None:
        """Encrypt the data of all jobs under the default key, where this process owns the file."""
        own = self._role.own
        if own is None:
            pid = self._role.caller._link.owner()["pid"]
            raise StateError(f"keys are rotated by the process that owns the file: {pid}")
        own.rotate(progress)

    @property
    def failure(self) -> Any:
        """Why the store takes nothing any more, or `None`."""
        own = self._role.own
        return None if own is None else own.failure

    def _check_open(self) -> None:
        if self._role.ended:
            raise ClosedError("the scheduler is closed")

    def _check_target(self, target: object) -> None:
        self._check_open()
        _checks.check_name(target, "target")

    def _refuse_inside(self, call: str) -> None:
        own = self._role.own
        if own is not None:
            own._refuse_inside(call)

    def _wait_stopped(self) -> None:
        while not self._halted.wait(_signals.LOOKS_EVERY_S):
            pass

    def _take_in_declared(self) -> None:
        own = self._role.own
        if own is not None:
            own._take_in_declared()

    @property
    def _closed(self) -> bool:
        return self._role.ended

    @property
    def _started(self) -> bool:
        return self._context is not None

    def __del__(self) -> None:
        role = self.__dict__.get("_role")
        if role is None or role.ended:
            return
        if self._started:
            message = f"unclosed {self!r}: nothing refers to it any more; close() it, or use with"
            warnings.warn(message, ResourceWarning, source=self)
        self.close()

    def _state(self) -> str:
        if self._role.ended:
            return "closed"
        return f"{'started' if self._started else 'stopped'}, {self.role} of {self._role.file!r}"


for _name in BY_ROLE:
    setattr(Sharing, _name, _forward(_name))


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Return a call of a method that keeps its object no longer alive."""
    found = weakref.WeakMethod(method)

    def call() -> None:
        known = found()
        if known is not None:
            known()

    return call


@functools.cache
def _serving_class(plain: type) -> type:
    """Return the class of a scheduler that knows of calls of other processes from its first moment on."""
    return type(plain.__name__, (plain,), {"_serves": True, "__module__": plain.__module__})


@functools.cache
def sharing_class(cls: type) -> type:
    """Return the class of a scheduler that is of this class and shares its file."""
    return type(cls.__name__, (Sharing, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})


def become_sharing(scheduler: Any, plain: type, storage: object, arguments: Mapping[str, Any]) -> None:
    """Make a scheduler one that shares its file."""
    cls: Any = type(scheduler)
    scheduler.__class__ = sharing_class(cls)
    scheduler._share(plain, storage, arguments)
