"""Cancellation within async handlers: messages and counts are asyncio's, in the first step and in later ones."""

import asyncio

import anyio
import pytest

from duewheel import Scheduler, aio

pytestmark = pytest.mark.usefixtures("quiet")

PATIENCE_S = 10
WAITS = pytest.mark.parametrize("waits", [False, True], ids=["first step", "later step"])


def run(*handlers):
    """Run one job of each handler, once; the errors of those that failed."""
    with Scheduler() as scheduler:
        for number, handler in enumerate(handlers):
            scheduler.handle(f"t{number}", handler)
            scheduler.in_(0, f"t{number}", retry_limit=0)
        assert scheduler.wait(PATIENCE_S)
        scheduler._check()
        return [dead.error for dead in scheduler.dead()]


async def never():
    await asyncio.get_running_loop().create_future()


async def nothing():
    await asyncio.sleep(3600)


async def of_a_task():
    await asyncio.create_task(never())


async def of_many():
    await asyncio.gather(never(), never())


AWAITED = pytest.mark.parametrize("awaited", [never, nothing, of_a_task, of_many])


@WAITS
@AWAITED
@pytest.mark.parametrize("arguments", [("why",), (), (None,)])
def test_the_message_of_a_cancellation_reaches_the_handler(waits, awaited, arguments):
    seen = []

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel, *arguments)
        try:
            await awaited()
        except asyncio.CancelledError as error:
            seen.append((error.args, task.cancelling(), task.uncancel(), task.cancelling()))

    assert run(handler) == []
    assert seen == [(("why",) if arguments == ("why",) else (), 1, 0, 0)]


@WAITS
def test_a_handler_that_cancels_itself_sees_its_message(waits):
    seen = []

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task.cancel("mine")
        assert task.cancel("twice")
        assert task.cancelling() == 2
        try:
            await never()
        except asyncio.CancelledError as error:
            seen.append(error.args)
        assert (task.uncancel(), task.uncancel(), task.uncancel()) == (1, 0, 0)
        await asyncio.sleep(0)

    assert run(handler) == []
    assert seen == [("twice",)]


def plain(waits, results):
    """Cancel and take it back, as a coroutine that asyncio runs by itself."""

    async def cancels(task):
        task.cancel("why")
        results.append(task.uncancel())

    async def main(event=None):
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        canceller = asyncio.create_task(cancels(task))
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError as error:
            results.append(error.args)
        results.append(task.cancelling())
        await canceller

    return main


@WAITS
def test_a_cancellation_that_is_taken_back_counts_as_asyncio_counts_it(waits):
    here, there = [], []
    asyncio.run(plain(waits, there)())
    assert run(plain(waits, here)) == []
    assert here == there


@WAITS
def test_what_is_done_already_is_cancelled_after_it(waits):
    seen = []

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, 7)
        loop.call_soon(asyncio.current_task().cancel, "late")
        try:
            await future
        except asyncio.CancelledError as error:
            seen.append((error.args, future.result()))

    assert run(handler) == []
    assert seen == [(("late",), 7)]


@WAITS
def test_anyio_knows_its_own_cancellations(waits):
    seen = []

    async def moves_on(event):
        if waits:
            await anyio.sleep(0)
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep(PATIENCE_S)
        seen.append(("moved on", scope.cancelled_caught, asyncio.current_task().cancelling()))
        await anyio.sleep(0)

    async def moves_on_at_once(event):
        if waits:
            await anyio.sleep(0)
        with anyio.move_on_after(0) as scope:
            await anyio.sleep(PATIENCE_S)
        seen.append(("at once", scope.cancelled_caught, asyncio.current_task().cancelling()))

    async def fails(event):
        if waits:
            await anyio.sleep(0)
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.001):
                await anyio.sleep(PATIENCE_S)
        seen.append(("failed", True, asyncio.current_task().cancelling()))

    async def nested(event):
        if waits:
            await anyio.sleep(0)
        with anyio.move_on_after(PATIENCE_S) as outer:
            with anyio.move_on_after(0.001) as inner:
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep, PATIENCE_S)
                    await anyio.sleep(PATIENCE_S)
        assert not outer.cancelled_caught
        seen.append(("nested", inner.cancelled_caught, asyncio.current_task().cancelling()))

    async def outer_ends_inner(event):
        if waits:
            await anyio.sleep(0)
        with anyio.move_on_after(0.001) as outer:
            with anyio.move_on_after(PATIENCE_S) as inner:
                await anyio.sleep(PATIENCE_S)
        assert not inner.cancelled_caught
        seen.append(("outer", outer.cancelled_caught, asyncio.current_task().cancelling()))

    async def group(event):
        if waits:
            await anyio.sleep(0)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, PATIENCE_S)
            group.cancel_scope.cancel()
            await anyio.sleep(PATIENCE_S)
        seen.append(("group", group.cancel_scope.cancelled_caught, asyncio.current_task().cancelling()))

    async def shielded(event):
        if waits:
            await anyio.sleep(0)
        with anyio.move_on_after(0.001) as scope:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            await anyio.sleep(PATIENCE_S)
        seen.append(("shielded", scope.cancelled_caught, asyncio.current_task().cancelling()))

    assert run(moves_on, moves_on_at_once, fails, nested, outer_ends_inner, group, shielded) == []
    names = ["at once", "failed", "group", "moved on", "nested", "outer", "shielded"]
    assert sorted(seen) == [(name, True, 0) for name in names]


@WAITS
def test_a_scope_of_anyio_that_another_handler_cancels_in_the_same_turn_knows_its_own(waits):
    seen, scopes = [], []

    async def cancelled(event):
        if waits:
            await anyio.sleep(0)
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await anyio.sleep(PATIENCE_S)
        seen.append((scope.cancelled_caught, asyncio.current_task().cancelling()))

    async def cancels(event):
        while not scopes:
            await anyio.sleep(0)
        scopes.pop().cancel()

    assert run(cancelled, cancels) == []
    assert seen == [(True, 0)]


@WAITS
def test_timeouts_of_asyncio_know_their_own(waits):
    seen = []

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await never()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await of_many()
        with pytest.raises(TimeoutError):  # noqa: PT012
            async with asyncio.timeout(0.001) as outer:
                async with asyncio.timeout(PATIENCE_S) as inner:
                    await of_a_task()
        assert outer.expired() and not inner.expired()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(never(), 0.001)
        seen.append(asyncio.current_task().cancelling())

    assert run(handler) == []
    assert seen == [0]


@WAITS
def test_a_cancellation_from_outside_is_no_timeout(waits):
    seen, tasks = [], []

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await never()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    async def other(event):
        while not tasks:
            await asyncio.sleep(0)
        tasks[0].cancel("from outside")

    errors = run(handler, other)
    assert seen == [("from outside",)]
    assert len(errors) == 1
    assert errors[0].endswith("CancelledError: from outside\n")


def test_the_next_handler_inherits_nothing_of_a_cancelled_one():
    seen = []

    async def cancelled(event):
        asyncio.current_task().cancel("mine")

    async def follows(event):
        seen.append(asyncio.current_task().cancelling())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task().cancelling())

    assert run(*[cancelled, follows] * 5) == []
    assert seen.count(0) == len(seen) == 10


@WAITS
def test_the_message_passes_on_the_user_s_loop(waits):
    seen = []

    async def handler(event):
        if waits:
            await asyncio.sleep(0)
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep(PATIENCE_S)
        seen.append(scope.cancelled_caught)

    async def main():
        async with aio.Scheduler() as scheduler:
            scheduler.handle("t", handler)
            await scheduler.in_(0, "t", retry_limit=0)
            assert await scheduler.wait(PATIENCE_S)
            assert [dead.error async for dead in scheduler.dead()] == []

    asyncio.run(main())
    assert seen == [True]


def test_a_message_that_is_no_text_passes_too():
    seen, message = [], (1, ["x"])

    async def handler(event):
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel, message)
        try:
            await never()
        except asyncio.CancelledError as error:
            seen.append(error.args[0] is message)

    assert run(handler) == []
    assert seen == [True]
