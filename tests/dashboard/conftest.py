"""A scheduler with something of everything, a client of its dashboard, and a browser that looks at it."""

import os
import shutil
import socket
import threading

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


class Served:
    """An app on a port of this machine, and what its browser asks for."""

    def __init__(self, app):
        import uvicorn

        self.app, self.changed = app, threading.Condition()
        self.streams, self.messages = 0, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self._watched, interface="asgi3", lifespan="off", log_level="error", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()

    async def _watched(self, scope, receive, send):
        """Count the streams of events that are open, and what they say."""
        if scope["path"] != "/events":
            await self.app(scope, receive, send)
            return

        async def send_counted(message):
            self._count(0, 1)
            await send(message)

        self._count(1, 0)
        try:
            await self.app(scope, receive, send_counted)
        finally:
            self._count(-1, 0)

    def _count(self, streams, messages):
        with self.changed:
            self.streams += streams
            self.messages += messages
            self.changed.notify_all()

    def wait_for(self, holds):
        """Wait until that holds of the counts."""
        with self.changed:
            assert self.changed.wait_for(holds, 30)

    def stop(self):
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


@pytest.fixture
def serve(monkeypatch):
    """Serve apps until the test ends, whose streams hurry."""
    monkeypatch.setattr("duewheel.dashboard._events.EVERY_S", 0.05)
    served = []

    def start(app):
        served.append(Served(app))
        return served[-1]

    yield start
    for one in served:
        one.stop()


CHROMIUM = os.environ.get("DUEWHEEL_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def chromium():
    """The browser of the system, for the tests of one module: what drives it keeps a loop running in this thread."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: no dashboard in a browser")
    if CHROMIUM is None:
        pytest.skip("NO BROWSER HERE: the dashboard is not tested in one; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium, serve):
    """Open pages of an app; whatever a browser complains of fails the test."""
    contexts, troubles = [], []

    def note(message):
        if message.type in ("error", "warning"):
            troubles.append(message.text)

    def begin(app, **settings):
        served = serve(app)
        context = chromium.new_context(base_url=served.url, **settings)
        contexts.append(context)
        page = context.new_page()
        page.served = served
        page.set_default_timeout(20_000)
        page.on("console", note)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(served.url) or troubles.append(asked.url))
        return page

    yield begin
    for context in contexts:
        context.close()
    assert troubles == []
