"""Use tasks and plugins as a user's type checker sees them. Never run: mypy --strict and pyright read it."""

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from duewheel import DeadEvent, Event, JobOptions, NopScheduler, Repeat, Scheduler, aio, current_event
from duewheel.codecs import Codec
from duewheel.plugins import AttemptOutcome
from duewheel.tasks import Task

NOW = datetime.now(UTC)


class Words:
    """A codec."""

    def dumps(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return b""

    def loads(self, data: bytes) -> tuple[list[Any], dict[str, Any]]:
        return [], {}

    def dumps_result(self, value: Any) -> bytes:
        return b""

    def loads_result(self, data: bytes) -> Any:
        return None


def tasks(scheduler: Scheduler, event: Event) -> None:
    @scheduler.task("email.welcome", retry_limit=3)
    def send(user_id: int, lang: str = "en") -> str:
        return lang * user_id

    assert_type(send(5), str)
    assert_type(send.in_(30, user_id=5), str)
    assert_type(send.at(NOW, 5, "fr"), str)
    assert_type(send.repeat("0 9 * * *", 5), str)
    assert_type(send.target, str)
    send.in_(timedelta(minutes=1), 5, lang="fr")
    send("5")  # type: ignore[arg-type]
    send.in_(30)  # type: ignore[call-arg]
    send.in_(30, "5")  # type: ignore[arg-type]
    send.at(NOW, 5, language="fr")  # type: ignore[call-arg]
    send.in_("soon", 5)  # type: ignore[arg-type]
    assert_type(send.using(id="w-5", retry_limit=1, options=JobOptions()).in_(30, 5), str)
    send.using(id="w-5").in_(30, "5")  # type: ignore[arg-type]
    send.using(retries=1)  # type: ignore[call-arg]

    @scheduler.task()
    def with_event(event: Event, what: str) -> None: ...

    with_event(event, "x")
    with_event.in_(5, "x")
    with_event.in_(5, what="x")
    with_event("x")  # type: ignore[call-arg, arg-type]
    with_event.in_(5, event, "x")  # type: ignore[call-arg, arg-type]

    @scheduler.task(codec=Words(), options=JobOptions(age_limit=60))
    async def waits(*, key: str) -> bytes:
        return key.encode()

    called: Coroutine[Any, Any, bytes] = waits(key="x")
    called.close()
    assert_type(waits.in_(5, key="x"), str)
    waits.in_(5, "x")  # type: ignore[call-arg]
    codec: Codec = Words()
    scheduler.task(codec=codec)
    scheduler.task(codec=5)  # type: ignore[arg-type]
    scheduler.task(retries=3)  # type: ignore[call-arg]

    def plain(a: int) -> int:
        return a

    known: Task[[int], [int], int] = NopScheduler().task("t")(plain)
    print(known)


async def awaited(scheduler: aio.Scheduler) -> None:
    @scheduler.task("t", max_backoff=5)
    async def waits(event: Event, n: int) -> int:
        return n

    assert_type(await waits.in_(5, 1), str)
    assert_type(await waits.using(id="x").at(NOW, n=1), str)
    assert_type(await waits.repeat(timedelta(days=1), 1), str)
    await waits.in_(5)  # type: ignore[call-arg]
    await waits.in_(5, "1")  # type: ignore[arg-type]


class Plugin:
    """A plugin."""

    @contextmanager
    def around(self, event: Event) -> Iterator[None]:
        yield

    def ended(self, event: Event, outcome: AttemptOutcome) -> None:
        assert_type(outcome.error, BaseException | None)

    def dead(self, dead: DeadEvent) -> None: ...
    def missed(self, repeat: Repeat, count: int) -> None: ...


def plugins() -> None:
    Scheduler(plugins=[Plugin()])
    aio.Scheduler(plugins=(Plugin(), Plugin()))
    NopScheduler(plugins=[Plugin()])
    Scheduler(plugins=Plugin())  # type: ignore[arg-type]
    assert_type(current_event(), Event | None)
