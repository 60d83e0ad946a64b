"""Pauses of targets and of repeats."""

from __future__ import annotations

from duewheel._core import Scheduler as SchedulerCore


def one_of(call: str, id: str | None, target: str | None) -> None:
    """Refuse a call that names both, or neither."""
    if (id is None) == (target is None):
        said = "neither" if id is None else "both"
        raise TypeError(f"{call}() takes the id of a repeat or target=…, one of them, and was given {said}")


class Pausing(SchedulerCore):
    """The calls of `duewheel.Scheduler` that hold back what is due."""

    def pause(self, id: str | None = None, *, target: str | None = None) -> bool:
        """Hold a repeat back until it is resumed; `False`: there is none of this id. Or hold back all of a target.

        What runs goes on; a retry of it waits. `trigger` starts a repeat all the same. Jobs of a target that is
        paused park when they are due, and are pending as ever; a handler may be registered meanwhile, and starts
        nothing. `True` says that the target was not paused before; it may be one that nobody has spoken of.

        **Durability**: in a file it stays paused when that is opened again, and is written when this returns. Over
        PostgreSQL a target is paused on all nodes, others hear of it within `poll` seconds.
        **Raises** `TypeError`, `ValueError` for an id or a target that is none; `ClosedError`; `StorageError`.

        >>> from duewheel import Scheduler
        >>> scheduler = Scheduler()
        >>> scheduler.pause(target="mail.send"), scheduler.resume(target="mail.send")
        (True, True)
        """
        one_of("pause", id, target)
        return super().pause(id) if id is not None else self._set_paused(target, True)

    def resume(self, id: str | None = None, *, target: str | None = None) -> bool:
        """Let a paused repeat go on with the first of its times after now, or a paused target with what is parked.

        Returns `False` when there is no repeat of this id, or the target was not paused. What is parked goes back
        to its old places.

        **Raises** as `pause`.
        """
        one_of("resume", id, target)
        return super().resume(id) if id is not None else self._set_paused(target, False)
