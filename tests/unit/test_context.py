"""The current scheduler: the default one, `use`, and what threads, tasks and handlers see of it."""

import asyncio
import contextvars
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import duewheel
from duewheel import NopScheduler, Scheduler, aio, context, current_scheduler, use


@pytest.fixture(autouse=True)
def _own_default(monkeypatch):
    """A default of its own for each test, closed at its end."""
    monkeypatch.setattr(context, "_default", None)
    yield
    if context._default is not None:
        context._default.close()


def in_thread(fn):
    found = []
    thread = threading.Thread(target=lambda: found.append(fn()))
    thread.start()
    thread.join()
    return found[0]


def in_threads(fn, count):
    barrier = threading.Barrier(count)
    found = []

    def run():
        barrier.wait()
        found.append(fn())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_default_is_made_once_and_started():
    default = current_scheduler()
    assert type(default) is Scheduler
    assert current_scheduler() is default is in_thread(current_scheduler)
    ran = threading.Event()
    default.handle("x", lambda event: ran.set())
    duewheel.in_(0, "x")
    assert ran.wait(10)


def test_default_is_one_for_all_threads():
    assert len(set(in_threads(current_scheduler, 16))) == 1


def test_default_is_made_again_after_close():
    first = current_scheduler()
    first.close()
    second = current_scheduler()
    assert second is not first
    assert duewheel.in_(60, "x") in second


def test_default_is_not_made_under_use():
    with use(NopScheduler()):
        current_scheduler()
        duewheel.in_(1, "x")
    assert context._default is None


def test_handlers_of_the_default_do_not_see_who_asked_first():
    tenant = contextvars.ContextVar("tenant", default="none")
    tenant.set("the first")
    seen = []
    default = current_scheduler()
    default.handle("x", lambda event: seen.append((tenant.get(), current_scheduler())))
    default.in_(0, "x")
    assert default.wait(10)
    assert seen == [("none", default)]


def test_use_nests_and_resets():
    one, two = NopScheduler(), NopScheduler()
    with use(one) as given:
        assert given is one is current_scheduler()
        with use(two):
            assert current_scheduler() is two
        assert current_scheduler() is one
        with pytest.raises(KeyError), use(two):
            raise KeyError
        assert current_scheduler() is one
    assert type(current_scheduler()) is Scheduler


def test_use_neither_starts_nor_closes():
    scheduler = Scheduler()
    with use(scheduler):
        id = duewheel.in_(0, "x")
    assert id in scheduler
    assert scheduler.stats().started == 0
    scheduler.close()


def test_use_may_be_used_for_a_closed_one():
    scheduler = Scheduler()
    scheduler.close()
    with use(scheduler), pytest.raises(duewheel.ClosedError):
        duewheel.in_(0, "x")


@pytest.mark.parametrize("wrong", [None, "jobs.db", object(), 1])
def test_use_refuses_at_the_call(wrong):
    with pytest.raises(TypeError, match="must be a Scheduler"):
        use(wrong)


def test_threads_do_not_leak_it():
    with use(NopScheduler()) as mine:
        assert in_thread(context.current.get) is None or sys.flags.thread_inherit_context
        assert current_scheduler() is mine

        def elsewhere():
            with use(NopScheduler()):
                return current_scheduler()

        assert in_thread(elsewhere) is not mine
        assert current_scheduler() is mine


def test_tasks_do_not_leak_it():
    async def main():
        entered, seen = asyncio.Event(), asyncio.Event()

        async def user():
            with use(NopScheduler()) as mine:
                entered.set()
                await seen.wait()
                assert current_scheduler() is mine

        async def other():
            await entered.wait()
            assert context.current.get() is None
            seen.set()

        await asyncio.gather(user(), other())

        async def child():
            return current_scheduler()

        with use(NopScheduler()) as mine:
            task = asyncio.create_task(child())
        assert await task is mine  # as it was when the task was made

    asyncio.run(main())


def test_handlers_find_their_own_scheduler():
    seen = []
    with Scheduler() as one, Scheduler() as two, use(two):
        for scheduler in (one, two):
            scheduler.handle("x", lambda event: seen.append(current_scheduler()))
            scheduler.in_(0, "x")
            assert scheduler.wait(10)
        assert current_scheduler() is two
    assert seen == [one, two]


def test_module_level_calls_pass_all_on():
    with Scheduler() as scheduler, use(scheduler):
        one = duewheel.in_(60, "x", b"data", id="mine", retry_limit=7)
        two = duewheel.at(4e9, target="y", data=bytearray(b"more"), options=duewheel.JobOptions(min_backoff=2))
        assert one == "mine"
        assert (scheduler.get(one).target, scheduler.get(one).data) == ("x", b"data")
        assert scheduler.get(one).job.options.retry_limit == 7
        assert scheduler.get(two).due == 4 * 10**18
        assert scheduler.get(two).data == b"more"
        assert scheduler.get(two).job.options.min_backoff == 2.0
        with pytest.raises(TypeError, match="nonsense"):
            duewheel.in_(0, "x", nonsense=1)
        scheduler.close()


def run_python(source):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(source)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@pytest.mark.parametrize("lock", ["nullcontext()", "held()"])
def test_default_is_made_again_in_a_forked_child(lock):
    done = run_python(f"""
        import os, threading
        from contextlib import contextmanager, nullcontext
        import duewheel
        from duewheel import context

        @contextmanager
        def held():
            # another thread is making the default while this one forks
            inside, leave = threading.Event(), threading.Event()
            def hold():
                with context._lock:
                    inside.set()
                    leave.wait()
            thread = threading.Thread(target=hold)
            thread.start()
            inside.wait()
            yield
            leave.set()
            thread.join()

        parents = duewheel.current_scheduler()
        with {lock}:
            child = os.fork()
            if not child:
                mine = duewheel.current_scheduler()
                assert mine is not parents
                ran = threading.Event()
                mine.handle("x", lambda event: ran.set())
                duewheel.in_(0, "x")
                os._exit(0 if ran.wait(10) else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert duewheel.current_scheduler() is parents
        assert duewheel.in_(60, "x") in parents
        print("done")
    """)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_default_does_not_hold_up_the_exit():
    done = run_python("""
        import duewheel
        duewheel.in_(60, "x")
        print("done")
    """)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_a_sync_handler_of_an_asyncio_scheduler_schedules_at_once():
    ids, ran = [], []

    async def main():
        async with aio.Scheduler() as scheduler:

            @scheduler.handler("first")
            def first(event):
                ids.append(duewheel.in_(0, "second"))
                ids.append(duewheel.at(0, "second"))

            @scheduler.handler("second")
            async def second(event):
                ran.append(event.job_id)
                if len(ran) < 3:
                    ids.append(await duewheel.in_(0, "second"))

            await scheduler.in_(0, "first")
            assert await scheduler.wait(10)

    asyncio.run(main())
    assert len(ran) == 4
    assert sorted(ran) == sorted(ids)
