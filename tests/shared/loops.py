"""Event loops of every kind that tests run on, and what waits there."""

import asyncio
import time
from importlib import import_module
from importlib.util import find_spec

import pytest
from waiting import PATIENCE_S


class Unwatching(asyncio.SelectorEventLoop):
    """A loop that watches no descriptors, as that of Windows."""

    def add_reader(self, *arguments):
        raise NotImplementedError

    remove_reader = add_reader


LOOPS = {"asyncio": asyncio.SelectorEventLoop, "without readers": Unwatching}
if find_spec("uvloop"):
    LOOPS["uvloop"] = import_module("uvloop").new_event_loop
ON_EVERY_LOOP = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS.keys())


def run(main, loop=None):
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(asyncio.wait_for(main, 3 * PATIENCE_S))


async def until(holds):
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)
