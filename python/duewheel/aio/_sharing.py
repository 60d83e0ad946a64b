"""`aio.Scheduler(path, share=True)`: the scheduler of a file that several processes use."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import html
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from duewheel import _checks, _current, _signals
from duewheel._core import Stats, timeout_s
from duewheel._repeats import Declared, declared_name
from duewheel.aio._client import in_chunks
from duewheel.aio._watched import Counted
from duewheel.errors import ClosedError, StateError
from duewheel.plugins import Hooks
from duewheel.sharing._role import Happened, Role, keep
from duewheel.sharing._shared import Handlers, file_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from duewheel._running import Running

BY_ROLE = (
    *("at", "in_", "at_many", "in_many", "cancel", "cancel_many", "reschedule", "repeat", "pause", "resume", "trigger"),
    *("interrupt", "outcome", "get", "get_repeat", "next", "revive", "purge", "explain", "backup", "wait", "_restore"),
)
"""The calls that the owner makes itself, and another process has it make."""

ITERATED = ("between", "dead", "_deaths", "repeats")
"""Those that are iterated over."""


def _forward(name: str) -> Callable[..., Any]:
    async def call(self: Sharing, *arguments: Any, **keywords: Any) -> Any:
        role = self._role
        own = role.own
        if own is not None:
            return await getattr(own, name)(*arguments, **keywords)
        role.wake()
        return await asyncio.to_thread(getattr(role.caller, name), *arguments, **keywords)

    call.__name__ = name
    return call


def _iterate(name: str) -> Callable[..., Any]:
    def call(self: Sharing, *arguments: Any, **keywords: Any) -> AsyncIterator[Any]:
        role = self._role
        own = role.own
        if own is not None:
            return getattr(own, name)(*arguments, **keywords)  # type: ignore[no-any-return]
        role.wake()
        return in_chunks(functools.partial(getattr(role.caller, name), *arguments, **keywords))

    call.__name__ = name
    return call


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Return a call of a method that keeps its object no longer alive."""
    found = weakref.WeakMethod(method)

    def call() -> None:
        known = found()
        if known is not None:
            known()

    return call


class Sharing:
    """The calls of a scheduler whose file is shared, over those of `duewheel.aio.Scheduler`."""

    _role: Role

    def _share(self, plain: Any, storage: Any, arguments: Mapping[str, Any]) -> None:
        """Begin; `plain` makes a scheduler that does not share."""
        file = file_of(storage, arguments["clock"])
        self._handlers = Handlers(plain.handle)
        self._declared = Declared()
        self._begun: tuple[asyncio.AbstractEventLoop, contextvars.Context] | None = None
        self._halted: asyncio.Event | None = None
        make = functools.partial(_serving_class(plain), storage, **arguments)
        scheduling = Hooks(arguments["plugins"]).scheduling
        events = Happened(_weakly(self._take_over), _weakly(self._forked_here), scheduling)
        self._role = Role(file, arguments["options"], make, lambda own: own._core, events)
        self._role.begin()
        keep(self._role)
        self._settle_in()

    def _settle_in(self) -> None:
        with self._role.lock:
            own = self._role.own
            if own is not None and not self._role.ended:
                own._face = self
                own._core._declared = self._declared
                self._handlers.register(own)

    def _take_over(self) -> None:
        """On a thread: begin to be the owner, and to run on the loop that has started this."""
        with self._role.lock:
            self._settle_in()
            begun, own = self._begun, self._role.own
        if begun is None or own is None:
            return
        loop, context = begun
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: self._tasks.add(loop.create_task(own.start(), context=context)))

    @functools.cached_property
    def _tasks(self) -> set[asyncio.Task[None]]:
        return set()

    def _forked_here(self) -> None:
        self._begun = None
        self._handlers.forget_parent()

    @property
    def role(self) -> Literal["alone", "owner", "client"]:
        """`"owner"`: this process has the file open and serves others; `"client"`: it calls the one that has."""
        return self._role.name

    async def start(self) -> None:
        """Begin to run what is due, where this process owns the file or once it does."""
        self._check_open()
        context = contextvars.copy_context()
        context.run(_current.current.set, self)  # type: ignore[arg-type]
        with self._role.lock:
            self._begun = (asyncio.get_running_loop(), context)
            own = self._role.own
        if self._halted is None:
            self._halted = asyncio.Event()
        self._halted.clear()
        if own is not None:
            await own.start()
        self._role.wake()

    def _halt(self) -> Any:
        with self._role.lock:
            self._begun = None
            own = self._role.own
        if self._halted is not None:
            self._halted.set()
        return own

    async def drain(self, timeout: Any = None) -> bool:
        """Start nothing more and finish what has started, in this process."""
        timeout_s(timeout)
        if self._role.own is not None:
            self._role.own._core._refuse_inside("drain")
        own = self._halt()
        return True if own is None else bool(await own.drain(timeout))

    async def close(self) -> None:
        """Start nothing more, for good; another process takes the file over, if one calls."""
        own = self._halt()
        await asyncio.to_thread(self._role.end)
        if own is None:
            own = self._role.own
        if own is not None:
            await own.close()

    async def run(self, *, drain_timeout: Any = None, signals: Any = _signals.ENDS) -> None:
        """Start, then wait until `drain` or `close` from elsewhere, or one of `signals`."""
        patience_s = timeout_s(drain_timeout)
        numbers = _signals.checked(signals)
        await self.start()
        halted = self._halted
        if halted is None:
            return
        again = asyncio.Event()

        def stop() -> None:
            (again if halted.is_set() else halted).set()

        with _signals.noted_on(asyncio.get_running_loop(), numbers, stop) as received:
            try:
                await halted.wait()
                if received:
                    drained = asyncio.ensure_future(self.drain(patience_s))
                    second = asyncio.ensure_future(again.wait())
                    await asyncio.wait({drained, second}, return_when=asyncio.FIRST_COMPLETED)
                    drained.cancel()
                    second.cancel()
            finally:
                if received or not halted.is_set():
                    await self.close()

    async def count(self) -> int:
        """Return how many jobs are pending."""
        own = self._role.own
        if own is not None:
            return int(await own.count())
        return await asyncio.to_thread(self._role.caller.__len__)

    def stats(self) -> Stats:
        """Return what the owner holds and has done; allowed after `close`. A client asks the owner, which is short."""
        own = self._role.own
        if own is None and self._role.ended:
            return Stats._zeros()
        return (self._role.caller if own is None else own).stats()

    def targets(self) -> Counted:
        """Return what is counted of each target, by its name."""
        own = self._role.own
        found: Any = self._role.caller if own is None else own._core
        return Counted(found, True)

    def running(self) -> list[Running]:
        """Return what runs now, in the order of starts. A client asks the owner, which is short."""
        own = self._role.own
        return (self._role.caller if own is None else own).running()

    def handle(self, target: str, fn: Callable[[Any], object], **controls: Any) -> Callable[[], None]:
        """Register a handler, which runs where this process owns the file or once it does."""
        return self._handlers.add(target, fn, controls, self._role)

    def handler(self, target: str, **controls: Any) -> Callable[[Any], Any]:
        """Register the decorated function as the handler of `target`; the keywords are those of `handle`."""
        self._check_open()
        _checks.check_name(target, "target")

        def register(fn: Any) -> Any:
            self.handle(target, fn, **controls)
            return fn

        return register

    def task(self, target: str | None = None, *, codec: Any = "json", **keywords: Any) -> Any:
        """Register the decorated function, async or not, as a handler with a signature."""
        from duewheel.aio._tasks import Task
        from duewheel.tasks import check_arguments

        self._check_open()
        check_arguments(target, keywords)  # type: ignore[arg-type]
        return lambda fn: Task(self, fn, target, codec, keywords)

    def repeated(
        self, schedule: Any, *, target: str | None = None, data: Any = b"", **keywords: Any
    ) -> Callable[[Any], Any]:
        """Register the decorated function, and declare a repeat that calls it, for when this process owns the file."""
        if "id" in keywords:
            raise TypeError("repeated() takes no id: its id is the target; say target=…")
        controls = {name: keywords.pop(name) for name in self._handlers.controls if name in keywords}

        def register(fn: Any) -> Any:
            name = declared_name(fn) if target is None else target
            self.handle(name, fn, **controls)
            self._declared.add(name, (schedule, name, data), {**keywords, "id": name})
            own = self._role.own
            if own is not None and own._core._started:
                own._core._take_in_declared()
            return fn

        return register

    def _put_around(self, around: Any, what: str) -> None:
        self._handlers.put_around(around, what, self._role)

    def timer(self, *_: Any, **__: Any) -> Any:
        """Refuse: timers are in memory alone."""
        raise StateError("timer() is for jobs in memory, and this scheduler keeps its jobs in a file: use in_()")

    async def nodes(self) -> Any:
        """Refuse: nodes share a database."""
        raise StateError("nodes() is for jobs in a PostgreSQL database, and this scheduler keeps its jobs in a file")

    async def rotate(self, progress: Any = None) -> None:
        """Encrypt the data of all jobs under the default key, where this process owns the file."""
        own = self._role.own
        if own is None:
            raise StateError("keys are rotated by the process that owns the file, and this one does not")
        await own.rotate(progress)

    @property
    def failure(self) -> Any:
        """Why the store takes nothing any more, or `None`."""
        own = self._role.own
        return None if own is None else own.failure

    def _in_this_thread(self) -> Any:
        """Return the scheduler for this thread: a sync handler on a worker has no loop to await a coroutine on."""
        own = self._role.own
        return self if own is None or asyncio._get_running_loop() else own._core

    def _check_open(self) -> None:
        if self._role.ended:
            raise ClosedError("the scheduler is closed")

    def _repr_html_(self) -> str:
        """Show it in a notebook: what it has pending, where it owns the file."""
        own = self._role.own
        return html.escape(repr(self)) if own is None else str(own._repr_html_())

    def __repr__(self) -> str:
        state = "closed" if self._role.ended else f"{self.role} of {self._role.file!r}"
        return f"<duewheel.aio.Scheduler {state}>"

    def __del__(self) -> None:
        role = self.__dict__.get("_role")
        if role is not None and not role.ended:
            role.end()


for _name in BY_ROLE:
    setattr(Sharing, _name, _forward(_name))
for _name in ITERATED:
    setattr(Sharing, _name, _iterate(_name))


@functools.cache
def _serving_class(plain: Any) -> type:
    """Return the class of a scheduler that knows of calls of other processes from its first moment on."""
    core = type("Core", (plain._core_class,), {"_serves": True})
    return type(plain.__name__, (plain,), {"_core_class": core, "__module__": plain.__module__})


@functools.cache
def sharing_class(cls: type) -> type:
    """Return the class of a scheduler that is of this class and shares its file."""
    return type(cls.__name__, (Sharing, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})
