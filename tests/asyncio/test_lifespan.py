"""The scheduler in the lifespan of real applications, and on several loops one after another."""

import asyncio
import contextlib

import anyio
import fastapi
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from duewheel import aio, current_scheduler


class Service:
    """What both applications do: a request schedules a job, which takes its time."""

    def __init__(self, storage=None):
        self.storage = storage
        self.patience_s = 30.0
        self.began, self.ended, self.threads = [], [], []
        self.schedulers = []

    @contextlib.asynccontextmanager
    async def lifespan(self, app):
        scheduler = aio.Scheduler(self.storage)

        @scheduler.handler("slow")
        async def slow(event):
            assert current_scheduler() is scheduler
            self.began.append(event.data)
            await asyncio.sleep(0.1)
            self.ended.append(event.data)

        @scheduler.handler("hangs")
        async def hangs(event):
            self.began.append(event.data)
            await asyncio.Event().wait()

        @scheduler.handler("sync")
        def sync(event):
            with contextlib.suppress(RuntimeError):
                self.threads.append(asyncio.get_running_loop())
            self.ended.append(event.data)

        await scheduler.start()
        self.schedulers.append(scheduler)
        try:
            yield {"scheduler": scheduler}
        finally:
            try:
                self.drained = await scheduler.drain(self.patience_s)
            finally:
                await scheduler.close()

    def starlette(self):
        async def register(request):
            scheduler = request.state.scheduler
            job = await scheduler.in_(0, request.path_params["target"], request.path_params["data"].encode())
            return JSONResponse({"job": job})

        async def waited(request):
            return JSONResponse({"idle": await request.state.scheduler.wait(30)})

        routes = [Route("/{target}/{data}", register, methods=["POST"]), Route("/wait", waited)]
        return Starlette(lifespan=self.lifespan, routes=routes)

    def fastapi(self):
        app = FastAPI(lifespan=self.lifespan)

        @app.post("/{target}/{data}")
        async def register(request: fastapi.Request, target: str, data: str):
            return {"job": await request.state.scheduler.in_(0, target, data.encode())}

        @app.get("/wait")
        async def waited(request: fastapi.Request):
            return {"idle": await request.state.scheduler.wait(30)}

        return app


@pytest.fixture(params=["memory", "file"])
def service(request, tmp_path):
    return Service(tmp_path / "jobs.db" if request.param == "file" else None)


@pytest.mark.parametrize("make", [Service.starlette, Service.fastapi], ids=["starlette", "fastapi"])
def test_a_request_schedules_and_a_handler_runs(service, make):
    with TestClient(make(service)) as client:
        answers = [client.post("/slow/a"), client.post("/sync/b")]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert client.get("/wait").json() == {"idle": True}
        assert sorted(service.ended) == [b"a", b"b"]
        assert service.threads == [], "a sync handler runs on a worker, where no loop runs"
        assert answers[0].json()["job"] != answers[1].json()["job"]
    assert repr(service.schedulers[0]) == "<duewheel.aio.Scheduler closed>"


@pytest.mark.parametrize("make", [Service.starlette, Service.fastapi], ids=["starlette", "fastapi"])
def test_shutdown_waits_for_what_has_started(service, make):
    with TestClient(make(service)) as client:
        client.post("/slow/a")
        while not service.began:
            asyncio.run(asyncio.sleep(0.001))
    assert service.ended == [b"a"]
    stats = service.schedulers[0].stats()
    assert (stats.succeeded, stats.running, stats.dropped) == (1, 0, 0)


@pytest.mark.parametrize("make", [Service.starlette, Service.fastapi], ids=["starlette", "fastapi"])
def test_shutdown_does_not_wait_for_ever(service, make):
    service.patience_s = 0.01
    with TestClient(make(service)) as client:
        client.post("/hangs/a")
        while not service.began:
            asyncio.run(asyncio.sleep(0.001))
    assert not service.drained
    assert repr(service.schedulers[0]) == "<duewheel.aio.Scheduler closed>"
    assert service.ended == []


def test_an_application_that_starts_again_goes_on_with_its_file(tmp_path):
    service = Service(tmp_path / "jobs.db")
    app = service.starlette()
    with TestClient(app) as client:
        client.post("/unknown/kept")  # nobody handles it yet
    with TestClient(app) as client:
        client.post("/slow/a")
        assert client.get("/wait").json() == {"idle": True}
        assert service.schedulers[1].stats().parked == 1
    assert service.ended == [b"a"]


async def ping_pong():
    """One life of a scheduler on the loop that runs."""
    answers = []
    async with aio.Scheduler() as scheduler:

        @scheduler.handler("ping")
        async def ping(event):
            await anyio.sleep(0.001)
            await scheduler.in_(0, "pong", event.data)

        @scheduler.handler("pong")
        async def pong(event):
            answers.append((event.data, asyncio.get_running_loop()))

        await scheduler.in_(0.001, "ping", b"ball")
        assert await scheduler.wait(30)
    assert answers == [(b"ball", asyncio.get_running_loop())]


@pytest.mark.parametrize("run", [anyio.run, lambda main: asyncio.run(main())], ids=["anyio", "asyncio"])
def test_schedulers_run_on_loops_one_after_another(run):
    for _ in range(5):
        run(ping_pong)


def test_schedulers_run_one_after_another_on_one_loop():
    # As fixtures of a test suite do that keeps one loop for all tests.
    with asyncio.Runner() as runner:
        for _ in range(5):
            runner.run(ping_pong())


def test_a_scheduler_outlives_its_first_loop():
    # Made once, as a module's global, and started by one loop after another.
    ran = []
    scheduler = aio.Scheduler()

    @scheduler.handler("ping")
    async def ping(event):
        await asyncio.sleep(0)
        ran.append(asyncio.get_running_loop())

    async def life():
        await scheduler.start()
        await scheduler.in_(0, "ping")
        assert await scheduler.wait(30)
        assert ran[-1] is asyncio.get_running_loop()
        assert await scheduler.drain(30)

    for _ in range(3):
        asyncio.run(life())
    assert len(ran) == 3
    asyncio.run(scheduler.close())
