"""What is put around all handlers of a scheduler that is made already, and what it shows in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duewheel._repeats import Repeating
from duewheel.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from duewheel._core import Event
    from duewheel.plugins import Hooks


def inside_already(inside: str, what: str) -> StateError:
    """Make the error for handlers that a framework has around them."""
    return StateError(f"the handlers of this scheduler run in {inside}: make another scheduler for {what}")


class Surrounded(Repeating):
    """Handlers inside the context of a framework."""

    _hooks: Hooks | None = None
    _inside: str | None = None

    def _put_around(self, around: Callable[[Event], AbstractContextManager[object]], what: str) -> None:
        """Put this around all handlers, those that are registered and those that will be; `what` names it."""
        len(self)  # raises when closed, and in a fork
        if self._inside is not None:
            raise inside_already(self._inside, what)
        from duewheel import plugins

        self._inside = what
        if self._hooks is None:
            self._hooks = plugins.Hooks(())
        self._hooks.put_around(around)
        self._wrap_handlers(lambda handler, on_loop: plugins.put_around(around, handler, on_loop))

    def _repr_html_(self) -> str:
        """Show it in a notebook: its state and its numbers."""
        from duewheel import _html

        return _html.scheduler(self, self.stats())
