"""A short campaign of faults, and that its books can be found false."""

import campaign
import campaign_books as books
import campaign_process as process
import pytest

LEAST, ONCE = process.BULK * 2, process.BULK * 18
"""Numbers of jobs: one that is to run at least once, one at most once."""


def start(job, at, life="node-0-1", due=1.0):
    return books.Start(life, job, 1, at, due)


@pytest.fixture
def found():
    """Books that are as promised: a job of each kind, started again where a node died and where one lost its lease."""
    found = books.Books(lease_s=2.0)
    other = LEAST + 1
    found.calls[process.ASKED] = dict.fromkeys([LEAST, other, ONCE], 0.5)
    found.calls[process.DONE] = dict.fromkeys([LEAST, other, ONCE], 0.6)
    found.starts[LEAST] = [start(LEAST, 1.0), start(LEAST, 5.0, "node-1-1")]
    found.starts[other] = [start(other, 1.0, "node-1-1"), start(other, 5.0, "node-2-1")]
    found.starts[ONCE] = [start(ONCE, 1.0)]
    found.ended = {LEAST, other, ONCE}
    found.killed = {"node-0-1": 2.0}
    found.lost_leases = [books.Lease("node-1-1", 0.0, 1.5)]
    found.faults = [books.Fault("kill", "node-0-1", 2.0, 2.0), books.Fault("stop", "node-1-1", 1.2, 4.0)]
    return found


def falsify(found, how):
    """Make the books false in one way."""
    if how == "acknowledged and lost":
        found.ended.discard(ONCE)
    elif how == "at most once, started twice":
        found.starts[ONCE].append(start(ONCE, 5.0, "node-1-1"))
    elif how == "refused and run":
        found.calls[process.REFUSED][LEAST] = 0.6
    elif how == "withdrawn and run":
        found.calls[process.WITHDRAWN][LEAST] = 0.7
    elif how == "started before its due":
        found.starts[LEAST][0] = start(LEAST, 0.99)
    elif how == "dead for another reason":
        found.dead[LEAST] = "failed"
    elif how == "started again for no such reason":
        found.killed["node-0-1"] = 0.9
    else:
        found.faulty.append(how)


def test_books_that_are_as_promised_are_taken(found):
    assert found.wrong() == []
    assert len(found.again()) == 2
    assert found.unexplained_leases() == []


@pytest.mark.parametrize("how", [
    "acknowledged and lost", "at most once, started twice", "refused and run", "withdrawn and run",
    "started before its due", "dead for another reason", "started again for no such reason", "a node ended by itself",
])  # fmt: skip
def test_books_that_are_false_are_refused(found, how):
    falsify(found, how)
    assert found.wrong() == [how]


def test_a_lease_that_was_lost_without_a_fault_is_told(found):
    found.faults.clear()
    assert found.unexplained_leases() == found.lost_leases


def test_what_is_interrupted_is_not_lost(found):
    found.ended.discard(ONCE)
    found.dead[ONCE] = "interrupted"
    assert found.wrong() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_short_campaign():
    found = campaign.run(seconds=60, nodes=3, per_s=150)
    if found is None:
        pytest.skip("LEFT OUT: there are no programs of a server of PostgreSQL")
    assert campaign.report(found)
    assert len(found.faults) > 20
