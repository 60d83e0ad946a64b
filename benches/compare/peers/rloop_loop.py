"""rloop: the rows of `event_loop` on its loop."""

import rloop

from peers import event_loop

ROWS = event_loop.rows(rloop.new_event_loop())
