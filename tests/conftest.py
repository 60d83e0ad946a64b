"""Hold for every test: a time limit with the stacks of all threads, profiles of hypothesis, slow ones if asked for."""

import faulthandler
import logging
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from jobs_file import JobsFile

GRACE_S = 15
"""How long after its limit a test is let live that no signal reaches, since it is wedged in the extension."""

STDERR = pytest.StashKey[int]()

# No deadline for an example: two cores, one of them busy with the last test's threads, are no clock.
settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile("ci", settings.get_profile("quick"), derandomize=True, print_blob=True)
settings.register_profile(
    "slow",
    settings.get_profile("quick"),
    max_examples=2_000,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="run the tests marked slow, too")


def pytest_configure(config: pytest.Config) -> None:
    asked_for = config.getoption("--hypothesis-profile")
    if asked_for is None:
        settings.load_profile("slow" if config.getoption("--run-slow") else "ci" if "CI" in os.environ else "quick")
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        config.stash[STDERR] = os.dup(2)  # the real one, for stacks that no report will show


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[STDERR])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("wheel"):
            item.add_marker(pytest.mark.slow)
    markers = config.getoption("-m")
    if config.getoption("--run-slow") or "slow" in markers or "wheel" in markers:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep tracebacks of failures that are meant out of the output."""
    logger = logging.getLogger("duewheel")
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before


@pytest.fixture
def switching():
    """Let threads take turns often, as they do where there is no lock to take turns with."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture(params=[{}, {"horizon": 5, "resident": 3}, {"horizon": 0}], ids=str)
def file(request, path, caplog):
    """A file of which all, some or none is in memory."""
    caplog.set_level(logging.CRITICAL, "duewheel")
    file = JobsFile(path, **request.param)
    yield file
    file.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End the process with all stacks if a test outlives its limit: pytest-timeout needs a main thread that listens."""
    marker = item.get_closest_marker("timeout")
    limit_s = float(marker.args[0] if marker else item.config.getini("timeout"))
    faulthandler.dump_traceback_later(limit_s + GRACE_S, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
