"""Timers that other threads cancel and move while they come due."""

import itertools
import threading

import pytest

from duewheel import Scheduler


@pytest.mark.usefixtures("switching")
def test_a_timer_that_was_cancelled_never_ran_and_any_other_ran_once():
    count, threads = 20_000, 4
    ran = [0] * count
    cancelled = [0] * count

    def call(event):
        ran[event.data] += 1

    with Scheduler(workers=2) as scheduler:
        timers = [scheduler.timer(number % 100 * 1e-4, call, number) for number in range(count)]

        def cancel(first):
            for number in range(first, count, 2):  # each is cancelled by two threads
                cancelled[number] += timers[number].cancel()

        runners = [threading.Thread(target=cancel, args=(number % 2,)) for number in range(threads)]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join(60)
        assert scheduler.wait(60)
        stats = scheduler.stats()
        scheduler._check()
    assert [a + b for a, b in zip(ran, cancelled, strict=True)] == [1] * count
    assert (stats.cancelled, stats.succeeded) == (sum(cancelled), sum(ran))


@pytest.mark.usefixtures("switching")
def test_timers_that_are_moved_by_many_threads_run_once():
    count = 2_000
    ran = itertools.count()
    moved = [0] * 4

    with Scheduler(workers=2) as scheduler:
        timers = [scheduler.timer(0.02, lambda event: next(ran)) for _ in range(count)]

        def move(thread):
            for timer in timers:
                moved[thread] += timer.reschedule(0.001)
                timer.due, timer.pending, timer.id  # noqa: B018

        runners = [threading.Thread(target=move, args=(number,)) for number in range(4)]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join(60)
        assert scheduler.wait(60)
        scheduler._check()
    assert next(ran) == count
    assert not any(timer.pending or timer.cancel() or timer.reschedule(1) for timer in timers)
