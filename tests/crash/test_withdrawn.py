"""Eight threads on thirty ids, `close` among the calls: what was withdrawn never starts, what was refused is not there.

An id has one job at a time, so the books need no order of the calls: each job that was accepted ends once, as run, as
withdrawn by the one call that said `True`, or as left at the close. `DUEWHEEL_RACES`: how often the slow form does it.
"""

import asyncio
import contextlib
import inspect
import os
import random
import threading
import time
from collections import Counter

import pytest

from duewheel import ClosedError, DuplicateJobError, LocalStorage, Scheduler, aio

pytestmark = pytest.mark.usefixtures("quiet")

THREADS, IDS, CALLS = 8, [f"id-{number}" for number in range(30)], 400
RACES = int(os.environ.get("DUEWHEEL_RACES", "100"))


async def said(answer):
    return await answer if inspect.isawaitable(answer) else answer


class Books:
    """What was said and what was done, appended to by any thread."""

    def __init__(self):
        self.accepted, self.refused, self.withdrawn = [], [], []
        self.started, self.ended = [], []

    def handlers(self):
        def on_worker(event):
            self.started.append((event.data, event.attempt))
            if event.data[-1] % 3 == 0 and event.attempt == 1:
                raise ValueError
            self.ended.append(event.data)

        async def on_loop(event):
            self.started.append((event.data, event.attempt))
            await asyncio.sleep(0)
            if event.data[-1] % 3 == 0 and event.attempt == 1:
                raise ValueError
            self.ended.append(event.data)

        return {"worker": on_worker, "loop": on_loop}

    async def calls(self, scheduler, number, targets, closes):
        """Call at random; the last call of one thread is `close`, while the others go on."""
        rng = random.Random(f"{number}/{closes}")
        for call in range(CALLS):
            if call == closes:
                await said(scheduler.close())
            id = rng.choice(IDS)
            chosen = rng.random()
            try:
                if chosen < 0.5:
                    token = bytes([number, call // 256, call % 256])
                    delay = rng.choice([0, 0, 0, 0.0005, 0.002, 60])
                    try:
                        await said(scheduler.in_(delay, rng.choice(targets), token, id=id, min_backoff=0.001))
                    except DuplicateJobError:
                        self.refused.append(token)
                    except ClosedError:
                        self.refused.append(token)
                        raise
                    else:
                        self.accepted.append(token)
                elif chosen < 0.75:
                    if await said(scheduler.cancel(id)):
                        self.withdrawn.append(id)
                elif chosen < 0.9:
                    await said(scheduler.reschedule(id, rng.choice([0.0, 4e9])))
                else:
                    await said(scheduler.get(id))
                    time.sleep(0.0002)  # let handlers have a turn
            except ClosedError:
                if closes is None:
                    return


def race(make, storage, targets, seed):
    books = Books()
    scheduler = make(storage, workers=3, tasks=5)
    for target, handler in books.handlers().items():
        scheduler.handle(target, handler)
    go = threading.Barrier(THREADS)
    failed = []

    def thread(number, closes):
        try:
            go.wait(20)
            asyncio.run(books.calls(scheduler, number, targets, closes))
        except BaseException as error:  # told by the main thread
            failed.append(error)

    async def started():
        await said(scheduler.start())
        rng = random.Random(seed)
        closes = rng.randrange(CALLS // 2, CALLS)
        threads = [
            threading.Thread(target=thread, args=(number, closes if number == 0 else None)) for number in range(THREADS)
        ]
        for each in threads:
            each.start()
        for each in threads:
            await asyncio.to_thread(each.join)
        await said(scheduler.close())
        # Closed and nothing runs.
        with contextlib.suppress(ClosedError):
            assert await said(scheduler.drain(20))

    asyncio.run(started())
    if failed:
        raise failed[0]
    return books, scheduler.stats()


def audit(books, stats, left):
    """Hold that each accepted job ended once, of one kind."""
    ended, left = Counter(books.ended), Counter(left)
    accepted = Counter(books.accepted)
    assert max(accepted.values()) == 1
    assert not set(books.refused) & ({token for token, _ in books.started} | set(left)), "refused, and there"
    assert all(count == 1 for count in Counter(books.started).values()), "an attempt that started twice"
    assert ended <= accepted and left <= accepted
    assert not ended & left, "run to its end, and still there"
    assert stats.cancelled == len(books.withdrawn)
    assert (stats.scheduled, stats.succeeded, stats.dead) == (len(books.accepted), len(books.ended), 0)
    return len(books.accepted) - ended.total() - len(books.withdrawn)


MAKES = pytest.mark.parametrize("make", [Scheduler, aio.Scheduler], ids=["plain", "aio"])
TARGETS = pytest.mark.parametrize("targets", [["worker"], ["loop"], ["worker", "loop"]], ids="+".join)
TIMES = pytest.mark.parametrize("times", [3, pytest.param(RACES, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])])


@MAKES
@TARGETS
@TIMES
def test_what_was_withdrawn_never_starts_in_memory(make, targets, times, switching):
    for seed in range(times):
        books, stats = race(make, None, targets, seed)
        assert audit(books, stats, []) == stats.dropped


@MAKES
@TARGETS
@TIMES
def test_what_was_withdrawn_never_starts_in_a_file(make, targets, times, switching, path):
    for seed in range(times):
        file = f"{path}.{seed}"
        books, stats = race(make, LocalStorage(file, durability="relaxed"), targets, seed)
        with Scheduler(file) as scheduler:
            left = [event.data for event in scheduler.between()]
            assert not list(scheduler.dead())
        assert audit(books, stats, left) == len(left)
        for kept in (file, file + "-wal", file + "-ops"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(kept)  # noqa: PTH108
