"""The scheduler's own lifespan in FastAPI, Starlette and Litestar."""

import asyncio
import functools

import fastapi
import litestar
import litestar.testing
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from duewheel import ClosedError, aio


@pytest.fixture(params=["memory", "file"])
def scheduler(request, path):
    return aio.Scheduler(path if request.param == "file" else None)


@pytest.fixture
def ran(scheduler):
    ran = []

    @scheduler.handler("slow")
    async def slow(event):
        await asyncio.sleep(0.05)
        ran.append(event.data)

    return ran


def fast_application(scheduler, lifespan):
    app = fastapi.FastAPI(lifespan=lifespan)

    @app.post("/{data}")
    async def register(request: fastapi.Request, data: str):
        assert request.state.scheduler is scheduler
        return {"job": await request.state.scheduler.in_(0, "slow", data.encode())}

    return TestClient(app)


def starlette_application(scheduler, lifespan):
    async def register(request):
        assert request.state.scheduler is scheduler
        id = await request.state.scheduler.in_(0, "slow", request.path_params["data"].encode())
        return JSONResponse({"job": id})

    return TestClient(Starlette(lifespan=lifespan, routes=[Route("/{data}", register, methods=["POST"])]))


def litestar_application(scheduler, lifespan):
    @litestar.post("/{name:str}")
    async def register(request: litestar.Request) -> dict[str, str]:
        return {"job": await scheduler.in_(0, "slow", request.path_params["name"].encode())}

    return litestar.testing.TestClient(litestar.Litestar([register], lifespan=[lifespan], logging_config=None))


@pytest.mark.parametrize("make", [fast_application, starlette_application, litestar_application])
def test_it_starts_with_the_application_and_drains_with_it(scheduler, ran, make):
    with make(scheduler, scheduler.lifespan) as client:
        answer = client.post("/a")
        assert answer.is_success and len(answer.json()["job"]) == 36
        client.post("/b")
        while scheduler.stats().started < 2:
            asyncio.run(asyncio.sleep(0.001))
    assert sorted(ran) == [b"a", b"b"], "what has started is waited for"
    assert repr(scheduler) == "<duewheel.aio.Scheduler closed>"


def test_litestar_takes_the_scheduler_itself(scheduler, ran):
    with litestar_application(scheduler, scheduler) as client:
        client.post("/a")
        while not scheduler.stats().started:
            asyncio.run(asyncio.sleep(0.001))
    assert ran == [b"a"]
    assert repr(scheduler) == "<duewheel.aio.Scheduler closed>"


@pytest.mark.parametrize("make", [fast_application, starlette_application, litestar_application])
def test_a_handler_that_hangs_does_not_keep_the_application(scheduler, make):
    cancelled = []

    @scheduler.handler("slow")
    async def hangs(event):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(event.data)
            raise

    with make(scheduler, functools.partial(scheduler.lifespan, drain_timeout=0.01)) as client:
        client.post("/a")
        while not scheduler.stats().running:
            asyncio.run(asyncio.sleep(0.001))
    assert cancelled == [b"a"]


def test_an_error_of_the_application_closes_without_draining(scheduler):
    cancelled = []

    async def main():
        @scheduler.handler("slow")
        async def hangs(event):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(event.data)
                raise

        async with scheduler.lifespan(None) as state:
            assert state == {"scheduler": scheduler}
            await scheduler.in_(0, "slow", b"a")
            while not scheduler.stats().running:
                await asyncio.sleep(0.001)
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(main())
    assert cancelled == [b"a"]


def test_a_scheduler_lives_once(scheduler):
    app = Starlette(lifespan=scheduler.lifespan)
    with TestClient(app):
        pass
    with pytest.raises(ClosedError), TestClient(app):
        raise AssertionError


@pytest.mark.parametrize("given", [-1, "soon", True])
def test_a_timeout_that_is_none_is_refused_before_it_starts(scheduler, given):
    async def main():
        async with scheduler.lifespan(None, drain_timeout=given):
            raise AssertionError

    with pytest.raises((TypeError, ValueError)):
        asyncio.run(main())
    asyncio.run(scheduler.close())
