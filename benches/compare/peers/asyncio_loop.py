"""asyncio: the rows of `event_loop` on the standard library's loop."""

import asyncio

from peers import event_loop

ROWS = event_loop.rows(asyncio.new_event_loop())
