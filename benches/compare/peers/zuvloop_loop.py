"""zuvloop: the rows of `event_loop` on its loop."""

import zuvloop

from peers import event_loop

ROWS = event_loop.rows(zuvloop.new_event_loop())
