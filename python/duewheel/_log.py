"""Log to the logger `duewheel`; one function a message, called by the extension."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duewheel._core import Event

logger = logging.getLogger("duewheel")


def failed(event: Event | None, error: BaseException, dead: bool) -> None:
    """Report an execution that raised, with its traceback."""
    level = logging.ERROR if dead else logging.WARNING
    what = "is dead" if dead else "will be retried"
    if event is None:
        logger.log(level, "a job %s: no event could be made for it", what, exc_info=error)
        return
    logger.log(
        level,
        "job %s for %r failed at attempt %d and %s",
        event.job_id,
        event.target,
        event.attempt,
        what,
        exc_info=error,
        extra={"job_id": event.job_id, "target": event.target, "run": event.run, "attempt": event.attempt},
    )


def parked(target: str) -> None:
    """Report, once a target, that its jobs wait for a handler."""
    message = "a job is due for %r, which has no handler: it is parked until one is registered"
    logger.warning(message, target, extra={"target": target})


def missed(id: str, count: int) -> None:
    """Report how many times of a repeat were passed over or merged into a later one."""
    logger.warning("the repeat %r has missed %d of its times", id, count)


def undeclared(ids: list[str]) -> None:
    """Report the repeats that were declared by an earlier version of the program, and are no longer."""
    logger.warning(
        "declared repeats that this program does not declare are held back; cancel() forgets one: %s", _first(ids)
    )


def held(ids: list[str], why: str) -> None:
    """Report the repeats that are held back in this life of the program, since a zone is unknown."""
    logger.error("repeats are held back until the file is opened with their zone: %s: %s", why, _first(ids))


def _first(ids: list[str]) -> str:
    return ", ".join(map(repr, ids[:10])) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")


def dropped(count: int) -> None:
    """Report the jobs that were forgotten by closing."""
    logger.warning("closed with %d pending jobs, which are dropped", count)


def ancient(due_ns: int) -> None:
    """Report a due so long past that it may have been meant as a delay."""
    logger.warning(
        "a job is due at %.3f unix seconds, over a year ago: seconds from now are in_(), or time.time() + seconds",
        due_ns / 1e9,
    )


def contested(id: str, node: str) -> None:
    """Report a repeat that two versions of the code declare, each otherwise: they have the same row."""
    logger.warning(
        "the repeat %r is declared otherwise on the node %r: what the later start() has said counts", id, node
    )


def clock_apart(ahead_ns: int) -> None:
    """Report that the database's clock and this machine's differ by too much to be left alone."""
    logger.warning(
        "the clock of this machine is %.1f s %s that of the database: dues are corrected by it, "
        "so that nothing is early; have both follow the same time service",
        abs(ahead_ns) / 1e9, "behind" if ahead_ns > 0 else "ahead of",
    )  # fmt: skip


def unreadable(row: int, why: str) -> None:
    """Report a stored job that cannot be read: it stays in the store, and others do not wait for it."""
    logger.error("the stored job %d cannot be read, and will not run: %s", row, why)


def unreadable_dead(number: int, why: str) -> None:
    """Report a dead job that cannot be read: it stays in the store, and is not listed."""
    logger.error("the dead job %d cannot be read: %s", number, why)


def unapplied(record: int, why: str) -> None:
    """Report a record of the journal that could not be applied: it is kept in a table of its own."""
    logger.error("the record %d of the journal could not be applied, and is kept in `unapplied`: %s", record, why)


def store_failed(why: str) -> None:
    """Report that the store has failed: nothing runs until it is opened again."""
    logger.critical("nothing runs any more until the scheduler is made anew: %s", why)


def stuck(id: str, target: str, stack: str, *, steps_in: bool) -> None:
    """Report a handler on a thread that is past its timeout, and where it is; whether a worker steps in."""
    more = ", and another worker steps in for this one" if steps_in else ""
    logger.error("job %s for %r is past its timeout%s:\n%s", id, target, more, stack)


def no_spare(error: BaseException) -> None:
    """Report that no worker steps in for one that is stuck."""
    logger.error("no worker steps in for one that is stuck: %s", error)


def plugin_failed(name: str, hook: object, error: BaseException) -> None:
    """Report what a plugin has raised, which changes nothing else."""
    logger.error("a plugin failed in %s, which changes nothing: %r", name, hook, exc_info=error)


def loop_stopped(error: BaseException | None) -> None:
    """Report that an exception, or a call, stopped the event loop of a scheduler, which runs it again."""
    if error is None:
        logger.warning("the event loop of async handlers was stopped, and goes on: close() the scheduler to end it")
    else:
        logger.error("%r stopped the event loop of async handlers, which goes on", error, exc_info=error)


def loop_lost(error: BaseException) -> None:
    """Report that the event loop of a scheduler cannot run any more: the scheduler gets another one."""
    logger.error("the event loop of async handlers is lost, and with it what ran there", exc_info=error)
