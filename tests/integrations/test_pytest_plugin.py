"""The fixtures of pytest, in test runs of their own."""

import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

RUN = ("--disable-plugin-autoload", "-p", "duewheel_pytest", "-p", "no:cacheprovider")
"""As pytest finds it, and nothing else that is installed here."""


@pytest.fixture
def run(pytester):
    def run(source, *options):
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess(*RUN, "-W", "error", *options)

    return run


def test_a_scheduler_on_a_clock(run):
    run("""
        def test_one(duewheel_scheduler, duewheel_clock):
            ran = []
            duewheel_scheduler.handle("t", lambda event: ran.append(duewheel_clock.now()))
            duewheel_scheduler.in_(3600, "t")
            duewheel_clock.advance(3599)
            assert ran == []
            duewheel_clock.advance(1)
            assert ran == [3600.0]

        def test_the_clock_alone(duewheel_clock):
            from duewheel import Scheduler
            with Scheduler(clock=duewheel_clock) as scheduler:
                scheduler.handle("t", print)
                scheduler.in_(1, "t", id="same jitter")
                duewheel_clock.advance(1)
                assert scheduler.stats().succeeded == 1
    """).assert_outcomes(passed=2)


def test_a_job_that_dies_fails_its_test_where_the_clock_is_advanced(run):
    result = run("""
        def test_dies(duewheel_scheduler, duewheel_clock):
            @duewheel_scheduler.handler("t")
            def handler(event):
                assert event.data == b"expected"
            duewheel_scheduler.in_(1, "t", b"other", id="it", retry_limit=1)
            duewheel_clock.advance(10_000)
            raise SystemError("not reached")

        def test_is_retried(duewheel_scheduler, duewheel_clock):
            @duewheel_scheduler.handler("t")
            def handler(event):
                assert event.attempt > 1
            duewheel_scheduler.in_(1, "t")
            duewheel_clock.advance(10_000)
    """)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([
        "*job it for 't' died at attempt 2 (failed); @pytest.mark.duewheel_dead_ok allows it*",
        "*in handler*",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*not reached*")


def test_an_async_handler_that_dies(run):
    run("""
        def test_dies(duewheel_scheduler, duewheel_clock):
            @duewheel_scheduler.handler("t")
            async def handler(event):
                raise ValueError
            duewheel_scheduler.in_(1, "t", retry_limit=0)
            duewheel_clock.advance(1)
    """).assert_outcomes(failed=1)


def test_a_mark_allows_it_for_all_or_for_some(run):
    result = run(
        """
        import pytest
        from duewheel import Discard

        def dies(scheduler, clock, target):
            def handler(event):
                raise Discard("no use")
            scheduler.handle(target, handler)
            scheduler.in_(0, target)
            clock.advance(0)
            assert [dead.reason for dead in scheduler.dead()] == ["discarded"]

        @pytest.mark.duewheel_dead_ok
        def test_all(duewheel_scheduler, duewheel_clock):
            dies(duewheel_scheduler, duewheel_clock, "t")

        @pytest.mark.duewheel_dead_ok("t", "u")
        def test_one(duewheel_scheduler, duewheel_clock):
            dies(duewheel_scheduler, duewheel_clock, "u")

        @pytest.mark.duewheel_dead_ok("t")
        def test_another(duewheel_scheduler, duewheel_clock):
            dies(duewheel_scheduler, duewheel_clock, "u")
        """,
        "--strict-markers",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*for 'u' died at attempt 1 (discarded)*", "*no use*"])


def test_a_clock_of_the_test_suites_own(run):
    run("""
        import pytest
        from duewheel.testing import ManualClock

        @pytest.fixture
        def duewheel_clock():
            return ManualClock(1_800_000_000)

        def test_one(duewheel_scheduler, duewheel_clock):
            duewheel_scheduler.handle("t", print)
            duewheel_scheduler.in_(1, "t")
            duewheel_clock.advance(1)
            assert duewheel_clock.now() == 1_800_000_001
    """).assert_outcomes(passed=1)


def test_nothing_of_duewheel_is_imported_until_a_fixture_is_used(run):
    run("""
        import sys

        def test_without():
            assert "duewheel" not in sys.modules and "duewheel._core" not in sys.modules

        def test_with(duewheel_clock):
            assert "duewheel" in sys.modules
    """).assert_outcomes(passed=2)


def test_it_may_be_named_as_a_module_too(pytester):
    pytester.makepyfile("""
        def test_dies(duewheel_scheduler, duewheel_clock):
            duewheel_scheduler.handle("t", lambda event: 1 / 0)
            duewheel_scheduler.in_(0, "t", retry_limit=0)
            duewheel_clock.advance(0)
    """)
    result = pytester.runpytest_subprocess(*RUN, "-p", "duewheel.pytest_plugin")
    result.assert_outcomes(failed=1)


def test_the_project_names_it_as_an_entry_point():
    project = Path(__file__).parents[2] / "pyproject.toml"
    if not project.exists():
        pytest.skip("the sources are not here")
    declared = tomllib.loads(project.read_text("utf-8"))
    assert declared["project"]["entry-points"]["pytest11"] == {"duewheel": "duewheel_pytest"}
    assert "duewheel_pytest" in declared["tool"]["maturin"]["python-packages"]
