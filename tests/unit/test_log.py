"""What is logged of a store: the texts, which no other test reads."""

import logging

import pytest

from duewheel import _log


@pytest.mark.parametrize(("ahead_ns", "said"), [(-3_600 * 10**9, "3600.0 s ahead of"), (250_000_000, "0.2 s behind")])
def test_a_clock_that_is_apart_is_told_which_way(caplog, ahead_ns, said):
    _log.clock_apart(ahead_ns)
    ((logger, level, message),) = caplog.record_tuples
    assert (logger, level) == ("duewheel", logging.WARNING)
    assert f"of this machine is {said} that of the database" in message
