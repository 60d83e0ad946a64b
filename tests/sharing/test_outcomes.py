"""Clients of a shared file ask its owner how jobs have ended."""

import asyncio
from datetime import timedelta

import pytest
from waiting import PATIENCE_S

import duewheel
from duewheel import Discard, DuplicateJobError, Scheduler, aio


@pytest.fixture
def owner(path):
    with Scheduler(path, share=True) as scheduler:
        scheduler.handle("twice", lambda event: event.data * 2)

        @scheduler.handler("discards")
        def discards(event):
            raise Discard("no card")

        yield scheduler


def test_a_client_gets_what_the_owner_kept(owner, path):
    with duewheel.connect(path) as client:
        client.in_(0, "twice", b"\x00\xff", id="j", keep=60)
        outcome = client.outcome("j", timeout=PATIENCE_S)
        assert outcome.result == b"\x00\xff" * 2
        assert outcome == owner.outcome("j")
        (many,) = client.in_many([0], "twice", [b"m"], keep=timedelta(minutes=1))
        assert client.outcome(many, PATIENCE_S).result == b"mm"
        client.in_(0, "discards", id="dead", keep=60)
        dead = client.outcome("dead", timeout=PATIENCE_S)
        assert (dead.state, dead.reason, dead.error) == ("dead", "discarded", "no card")
        client.in_(3_600, "twice", id="far", keep=60)
        with pytest.raises(TimeoutError, match="'far' is not over yet"):
            client.outcome("far")
        client.cancel("far")
        assert client.outcome("far").state == "cancelled"
        with pytest.raises(LookupError, match="no job has the id 'unknown'"):
            client.outcome("unknown", timeout=1)
        with pytest.raises(DuplicateJobError, match="its outcome is kept"):
            client.in_(0, "twice", id="j")
        assert client.in_(0, "twice", id="j", on_conflict="ignore") == "j"


def test_a_client_that_awaits(owner, path):
    async def main():
        async with aio.connect(path) as client:
            await client.in_(0, "twice", b"a", id="j", keep=60)
            return await client.outcome("j", timeout=PATIENCE_S)

    assert asyncio.run(main()).result == b"aa"


def test_a_scheduler_that_shares_asks_whoever_owns(owner, path):
    with Scheduler(path, share=True) as second:
        assert second.role == "client"
        second.in_(0, "twice", b"a", id="j", keep=60)
        assert second.outcome("j", timeout=PATIENCE_S).result == b"aa"
    assert owner.outcome("j").result == b"aa"
