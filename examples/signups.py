"""Sign-ups in a FastAPI application: a mail at once, and a reminder unless the address is confirmed by then.

    cd examples; uvicorn --factory signups:create_app

Then, elsewhere:

    curl -d '{"address": "ada@example.org", "lang": "fr"}' -H 'content-type: application/json' localhost:8000/users
    curl -X POST localhost:8000/users/ada@example.org/confirmed

What is scheduled is in the file `signups.db`, and goes on when the application is started again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from duewheel import DuplicateJobError, Event, aio

WELCOME = {"en": "welcome", "fr": "bienvenue"}


class SignUp(BaseModel):
    """What somebody sends who signs up, and what the tasks are given: Pydantic stores it and reads it back."""

    address: str
    lang: Literal["en", "fr"] = "en"


async def send(to: str, text: str) -> None:
    """Stand for a mail server."""
    print(f"mail to {to}: {text}", flush=True)


def create_app(
    file: str = "signups.db",
    send: Callable[[str, str], Awaitable[None]] = send,
    remind_after: timedelta = timedelta(days=1),
) -> FastAPI:
    """Make the application, with a scheduler that lives as long as it does."""
    scheduler = aio.Scheduler(file)

    @scheduler.task("mail.welcome", codec="pydantic", retry_limit=8)
    async def welcome(user: SignUp) -> None:
        await send(user.address, WELCOME[user.lang])

    @scheduler.task("mail.remind", codec="pydantic", retry_limit=3, max_backoff=60)
    async def remind(event: Event, user: SignUp) -> None:
        # At least once: who reads it twice is told which one it is.
        await send(user.address, f"please confirm your address ({event.job_id})")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await scheduler.start()
        try:
            yield
        finally:
            try:
                await scheduler.drain(8)  # seconds
            finally:
                await scheduler.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/users", status_code=201)
    async def sign_up(user: SignUp) -> dict[str, str]:
        try:
            await remind.using(id=f"remind-{user.address}").in_(remind_after, user)
        except DuplicateJobError:
            raise HTTPException(409, f"{user.address} has signed up already") from None
        return {"job": await welcome.in_(0, user)}

    @app.post("/users/{address}/confirmed")
    async def confirm(address: str) -> dict[str, bool]:
        return {"in_time": await scheduler.cancel(f"remind-{address}")}

    return app
