"""What is done with a store as a whole, awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from duewheel.aio._unopened import UNOPENED

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from duewheel.postgres import Node
    from duewheel.scheduler import Core


class Upkeep:
    """The calls of `duewheel.aio.Scheduler` about its store."""

    _core: Core = UNOPENED

    async def backup(self, path: str | PathLike[str]) -> None:
        """Copy the durable store into a new file while it is in use. As `duewheel.Scheduler.backup`."""
        self._core._refuse_in_memory("back up")
        await asyncio.to_thread(self._core._backup, path)

    async def rotate(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Encrypt the data of all jobs under the keyring's default key. As `duewheel.Scheduler.rotate`.

        **Concurrency**: `progress` is called on a thread.
        """
        self._core._refuse_in_memory("rotate the keys of")
        await asyncio.to_thread(self._core._rotate, progress)

    async def nodes(self) -> list[Node]:
        """Return the nodes that share the database and live. As `duewheel.Scheduler.nodes`."""
        return await asyncio.to_thread(self._core.nodes)
