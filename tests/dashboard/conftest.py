"""A scheduler with something of everything, and a client of its dashboard."""

import pytest
from starlette.testclient import TestClient

import duewheel
from duewheel import Discard, Every, dashboard
from duewheel.testing import ManualClock


class Filled:
    """A scheduler under a clock of its own, in which jobs wait, are dead, parked and repeated."""

    def __init__(self, storage=None):
        self.clock = ManualClock(1_798_761_600)
        self.ran = []
        self.fails = True
        self.scheduler = duewheel.Scheduler(storage, clock=self.clock, seed=0)
        self.scheduler.handle("mail", self._mail)
        self.scheduler.handle("sweep", self.ran.append)
        self.scheduler.start()

    def _mail(self, event):
        if event.data == b"gone":
            raise Discard("the address is gone")
        if self.fails:
            raise ConnectionError(f"no route to {event.data.decode()}")
        self.ran.append(event)

    def die(self, count=3, data=b"example.org"):
        """Have some jobs die."""
        for _ in range(count):
            self.scheduler.in_(0, "mail", data, retry_limit=0)
        self.clock.advance(1)

    def repeat(self):
        return self.scheduler.repeat(Every(60), "sweep", id="sweep")

    def client(self, **keywords):
        return TestClient(dashboard.app(self.scheduler, **keywords), follow_redirects=False)


@pytest.fixture(params=["memory", "file"])
def filled(request, tmp_path, quiet):
    made = Filled(tmp_path / "jobs.db" if request.param == "file" else None)
    yield made
    made.scheduler.close()


@pytest.fixture
def one(quiet):
    made = Filled()
    yield made
    made.scheduler.close()
