"""A FastAPI application whose workers share a file: `DUEWHEEL_FILE` names it."""

import os
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

from duewheel import aio


@asynccontextmanager
async def lifespan(app):
    async with aio.Scheduler(os.environ["DUEWHEEL_FILE"], share=True) as scheduler:

        @scheduler.handler("note")
        async def note(event):
            with open(os.environ["DUEWHEEL_FILE"] + ".ran", "a") as ran:  # noqa: PTH123 - a few bytes
                ran.write(f"{event.data.decode()} {os.getpid()}\n")

        yield {"scheduler": scheduler}


app = FastAPI(lifespan=lifespan)


@app.post("/jobs/{text}")
async def schedule(text: str, request: Request) -> dict[str, object]:
    """Schedule a job, and say who did."""
    scheduler = request.state.scheduler
    id = await scheduler.in_(0, "note", text.encode())
    return {"id": id, "pid": os.getpid(), "role": scheduler.role}
