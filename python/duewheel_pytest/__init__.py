"""What pytest finds of duewheel: two fixtures, and a marker.

It is a package of its own so that a test run which uses none of them does not import duewheel, and so that what
measures coverage has begun before. What the fixtures do is in `duewheel.pytest_plugin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duewheel import Scheduler
    from duewheel.testing import ManualClock


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "duewheel_dead_ok(*targets): jobs of duewheel_scheduler may die, of these targets or of all if none is named",
    )


@pytest.fixture
def duewheel_clock(request: pytest.FixtureRequest) -> ManualClock:
    """Stand for the clock of `duewheel_scheduler`: `advance` it, and what falls due on the way runs."""
    from duewheel.pytest_plugin import watched_clock

    return watched_clock(request.node)


@pytest.fixture
def duewheel_scheduler(duewheel_clock: ManualClock) -> Iterator[Scheduler]:
    """Start a scheduler in memory on `duewheel_clock`, with one worker; a job of it that dies fails the test."""
    from duewheel.pytest_plugin import watched_scheduler

    with watched_scheduler(duewheel_clock) as scheduler:
        yield scheduler
