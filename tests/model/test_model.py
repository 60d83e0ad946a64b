"""Hold the engine against the reference: the same calls, the same virtual time, the same of everything.

Set ``DUEWHEEL_MODEL_STEPS`` for longer runs: the operations of the slow test (at least 1,000,000).
"""

import functools
import os

import pytest
from machine import bursts, hold, kept_bursts
from sides import Side

from duewheel import Scheduler

pytestmark = pytest.mark.usefixtures("quiet")

SLOW_STEPS = max(1_000_000, int(os.environ.get("DUEWHEEL_MODEL_STEPS", "0")))


def engine(storage=None):
    return Side(functools.partial(Scheduler, storage))


@pytest.mark.timeout(300)  # about 20 s on an idle machine
def test_the_engine_does_what_the_reference_does():
    hold(engine, 200)


@pytest.mark.parametrize("reopen", [0, 12], ids="reopen {}".format)
@pytest.mark.parametrize("window", [{}, {"horizon": 1.2}, {"horizon": 40, "resident": 5}, {"horizon": 0}], ids=str)
def test_the_engine_does_the_same_with_a_file_behind_it(tmp_path, window, reopen):
    """However little of what is pending it holds in memory, and however often it is closed and opened again."""
    kept_bursts(engine, tmp_path, window, reopen)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_million_operations():
    bursts(engine, SLOW_STEPS)
