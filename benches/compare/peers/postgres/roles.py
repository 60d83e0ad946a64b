"""What each side of `benches/compare/postgres.py` does, as a program: PROGRAM ROLE URL '{"n": …}'.

| role | what it does |
| --- | --- |
| `setup` | makes the tables |
| `single` | schedules `n` jobs two hours ahead, each acknowledged by itself, from `clients` threads or tasks |
| `bulk` | the same by calls of `batch`; `ahead`: in how many seconds they are due |
| `produce` | schedules `n` jobs, `rate` a second, each due `ahead` seconds later |
| `late` | runs `n` jobs with the settings that start them earliest, and says how late they were |
| `run` | runs `n` jobs that are due, with the settings that run most |
| `idle` | is as `late`, with nothing to do, until its input ends |

A program says what it found as a line of JSON. Payloads are 100 bytes, with the due in microseconds.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

FAR_S = 7_200
TARGET = "noop"


@dataclass(frozen=True)
class Told:
    url: str
    n: int = 0
    clients: int = 16
    batch: int = 10_000
    ahead: float = FAR_S
    rate: float = 200
    nodes: int = 1


def told() -> tuple[str, Told]:
    role, url, more = sys.argv[1:]
    return role, Told(url, **json.loads(more))


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def payload(due: float) -> dict[str, Any]:
    """As JSON, 100 bytes."""
    return {"due": round(due * 1e6), "more": "x" * 63}


def text(due: float) -> bytes:
    return json.dumps(payload(due)).encode()


class Lateness:
    """How late jobs start: the first thing that a handler does is to call it with its due, in microseconds."""

    def __init__(self, n: int, over: Callable[[], object]) -> None:
        self.late: list[float] = []
        self.n, self.over = n, over

    def __call__(self, due: float) -> None:
        self.late.append(time.time_ns() / 1e3 - due)
        if len(self.late) == self.n:
            self.over()

    def say(self) -> None:
        late = sorted(self.late)
        n = len(late)
        say(p50=late[n // 2], p99=late[n * 99 // 100], max=late[-1], min=late[0])


class Counter:
    """Counts jobs that have run."""

    def __init__(self, n: int, over: Callable[[], object]) -> None:
        self.left, self.over = n, over

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            self.over()


def say_rate(n: int, begin: float) -> None:
    say(rate=n / (time.perf_counter() - begin))


def paced(n: int, rate: float) -> Iterator[None]:
    begin = time.monotonic()
    for i in range(n):
        time.sleep(max(begin + i / rate - time.monotonic(), 0))
        yield


async def paced_async(n: int, rate: float) -> AsyncIterator[None]:
    begin = time.monotonic()
    for i in range(n):
        await asyncio.sleep(max(begin + i / rate - time.monotonic(), 0))
        yield


async def input_ends() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def clients(told: Told, one: Callable[[int], Awaitable[object]]) -> None:
    """Do `one` of each client `n` times in all, and say how many a second that were."""

    async def client(number: int) -> None:
        for _ in range(told.n // told.clients):
            await one(number)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(told.clients):
            group.create_task(client(number))
    say_rate(told.n // told.clients * told.clients, begin)


def main(roles: dict[str, Callable[[Told], Coroutine[Any, Any, None]]]) -> None:
    """Of sides that are coroutines: on uvloop, which all of them recommend."""
    import uvloop

    role, given = told()
    uvloop.run(roles[role](given))
