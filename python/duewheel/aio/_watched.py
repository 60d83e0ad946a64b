"""What runs and what is counted, on `duewheel.aio.Scheduler`."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from duewheel._core import TargetStats
from duewheel.aio._unopened import UNOPENED

if TYPE_CHECKING:
    from duewheel._running import Running
    from duewheel.scheduler import Core


class Counted(Mapping[str, TargetStats]):
    """What is counted of each target: read at once, or awaited, which never holds the loop."""

    def __init__(self, core: Core, has_store: bool) -> None:
        self._core = core
        self._has_store = has_store
        self._found: Mapping[str, TargetStats] | None = None

    def _read(self) -> Mapping[str, TargetStats]:
        if self._found is None:
            self._found = self._core.targets()
        return self._found

    def __await__(self) -> Generator[Any, Any, Mapping[str, TargetStats]]:
        if self._found is None and self._has_store:
            self._found = yield from asyncio.to_thread(self._core.targets).__await__()
        return self._read()

    def __getitem__(self, target: str) -> TargetStats:
        return self._read()[target]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(dict(self._read()))


class Watched:
    """The calls of `duewheel.aio.Scheduler` that tell what runs and what is counted."""

    _core: Core = UNOPENED
    _has_store: bool = False

    def targets(self) -> Counted:
        """Return what is counted of each target, by its name. As `duewheel.Scheduler.targets`.

        It is read when it is first looked at, and then stays as it is. Over a file await it, for the first call reads
        through what is stored there: `(await scheduler.targets())["mail.send"]`.
        """
        return Counted(self._core, self._has_store)

    def running(self) -> list[Running]:
        """Return what runs now, in the order of starts. As `duewheel.Scheduler.running`."""
        return self._core.running()
