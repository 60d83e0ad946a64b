"""uvloop: the rows of `event_loop` on its loop."""

import uvloop

from peers import event_loop

ROWS = event_loop.rows(uvloop.new_event_loop())
