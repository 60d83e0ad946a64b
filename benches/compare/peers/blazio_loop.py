"""blazio: the rows of `event_loop` on its loop."""

import blazio

from peers import event_loop

ROWS = event_loop.rows(blazio.new_event_loop())
