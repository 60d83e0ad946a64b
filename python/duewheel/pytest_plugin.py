"""Fixtures of pytest: a scheduler in virtual time, of which a job that dies fails the test.

pytest finds them by itself, and imports this when a test uses one:

| fixture | |
| --- | --- |
| `duewheel_clock` | a `duewheel.testing.ManualClock` that begins at 0 |
| `duewheel_scheduler` | a started `Scheduler` in memory on that clock, one worker, seed 0; closed after the test |

A job that ends as dead, whatever the reason, fails the test at the call that advances the clock, with the traceback of
its handler. `@pytest.mark.duewheel_dead_ok` allows it, `@pytest.mark.duewheel_dead_ok("target", …)` for some targets.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from duewheel._extras import missing
from duewheel.scheduler import Scheduler
from duewheel.testing import ManualClock

try:
    import pytest
except ImportError as error:
    raise missing("duewheel.pytest_plugin", "pytest", "pytest", error) from error

from duewheel_pytest import duewheel_clock, duewheel_scheduler, pytest_configure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duewheel._core import DeadEvent

__all__ = ["duewheel_clock", "duewheel_scheduler", "pytest_configure"]

MARKER = "duewheel_dead_ok"


class WatchedClock(ManualClock):
    """A clock whose `advance` fails the test when a job has died on the way."""

    def __init__(self, may_die: frozenset[str] | None) -> None:
        """Begin at 0; jobs of these targets may die, `None`: of all."""
        super().__init__()
        self._may_die = may_die
        self._died: list[DeadEvent] = []

    def dead(self, dead: DeadEvent) -> None:
        """Note a death, as a plugin of the scheduler."""
        if self._may_die is not None and dead.event.target not in self._may_die:
            self._died.append(dead)

    def check(self) -> None:
        """Fail the test if jobs have died since the last look."""
        died, self._died = self._died, []
        if died:
            pytest.fail("\n".join(map(_told, died)), pytrace=False)

    def _advance_by(self, delay_ns: int, given: object) -> None:
        super()._advance_by(delay_ns, given)
        self.check()


def watched_clock(node: pytest.Item) -> WatchedClock:
    """Return the clock of a test."""
    markers = list(node.iter_markers(MARKER))
    if any(not marker.args for marker in markers):
        return WatchedClock(None)
    return WatchedClock(frozenset(target for marker in markers for target in marker.args))


@contextmanager
def watched_scheduler(clock: ManualClock) -> Iterator[Scheduler]:
    """Make and start the scheduler of a test, and close it after."""
    is_watched = isinstance(clock, WatchedClock)  # a test suite may have a `duewheel_clock` of its own
    scheduler = Scheduler(clock=clock, workers=1, seed=0, plugins=[clock] if is_watched else [])
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.close()
    if isinstance(clock, WatchedClock):
        clock.check()  # what has died after the last advance


def _told(dead: DeadEvent) -> str:
    event = dead.event
    return (
        f"job {event.job_id} for {event.target!r} died at attempt {event.attempt} ({dead.reason}); "
        f"@pytest.mark.{MARKER} allows it\n{dead.error.rstrip()}"
    )
