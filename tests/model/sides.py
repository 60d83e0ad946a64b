"""A scheduler under the model, with its clock, its handlers and a log of what started; and what chooses its calls.

What a handler does is a coroutine, so that all sides have one script: where calls are not awaited, it never waits.
"""

import functools
import inspect
import json
import random
import traceback

import pytest
from hypothesis import strategies as st

from duewheel import Discard, DuplicateJobError, DuplicateTargetError, JobOptions, Snooze, StateError, current_scheduler
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

START_S = 1_000_000
SEED = 7
TARGETS = ["a", "b", "c"]
TOTALS = "scheduled started succeeded retried snoozed dead cancelled revived dropped".split()
COUNTS = ["pending", "parked", "running", *TOTALS]
EXPECTED = (DuplicateJobError, DuplicateTargetError, StateError)
IDS = [f"j{number}" for number in range(24)]


class BoomError(Exception):
    """What a failing handler raises."""


class Random:
    """Choose by a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one_of(self, values):
        return values[int(self.random.random() * len(values))]

    def number(self, low, high):
        return low + int(self.random.random() * (high - low + 1))


class Drawn:
    """Choose by hypothesis."""

    def __init__(self, data):
        self.data = data

    def one_of(self, values):
        return self.data.draw(st.sampled_from(values))

    def number(self, low, high):
        return self.data.draw(st.integers(low, high))


def at_once(coroutine):
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Side:
    """One scheduler with its clock, its handlers and a log of what started."""

    def __init__(self, make):
        self.clock = ManualClock(START_S)
        self.make = functools.partial(make, clock=self.clock, seed=SEED, options=JobOptions(max_backoff=20))
        self.scheduler = self.make()
        self.is_engine = not isinstance(self.scheduler, ReferenceScheduler)
        self.is_kept = self.is_engine and self.scheduler._has_store
        self.before = dict.fromkeys(TOTALS, 0)
        self.log = []
        self.labels = {}
        self.ids = {}
        self.deregister = {}
        self.registered = set()
        for target in TARGETS[:2]:
            self.register(target)
        self.scheduler.start()

    def register(self, target):
        self.deregister[target] = self.scheduler.handle(target, self.handler())
        self.registered.add(target)

    def unregister(self, target):
        if target in self.deregister:
            self.deregister[target]()
            self.registered.discard(target)

    def reopen(self):
        """Close the file and open it again, with the handlers that there were; count on from what was."""
        pending, counts = len(self.scheduler), self.counts()
        self.scheduler.close()
        self.scheduler = self.make()
        assert len(self.scheduler) == pending
        self.before = counts | {"scheduled": counts["scheduled"] - pending}  # those that it finds it counts again
        for target in self.registered:
            self.deregister[target] = self.scheduler.handle(target, self.handler())
        self.scheduler.start()

    def advance(self, delay):
        self.clock.advance(delay)

    def close(self):
        self.scheduler.close()

    # What handlers are and see; an engine that awaits has others.

    @property
    def inside(self):
        return self.scheduler

    def handler(self):
        return lambda event: at_once(self.run(event))

    async def said(self, answer):
        return await answer if inspect.isawaitable(answer) else answer

    async def pause(self):
        """Wait for something in a handler."""

    def bulk(self, call, times, target, datas, labels, options):
        ids = list(getattr(self.scheduler, call)(times, target, datas, **options))
        for id, label in zip(ids, labels, strict=True):
            self.labels[id], self.ids[label] = label, id
        return len(ids)

    def by_label(self, call, label, *arguments):
        return getattr(self.scheduler, call)(self.ids.get(label, label), *arguments)

    def cancel_many(self, labels):
        return self.scheduler.cancel_many(self.ids.get(label, label) for label in labels)

    def seen(self, event):
        job = event.job
        label = self.labels.get(job.id, job.id)
        return label, event.run, event.attempt, event.due, job.due, job.target, job.data, job.options

    def get(self, label):
        event = self.by_label("get", label)
        return None if event is None else self.seen(event)

    def between(self, start, end):
        first = self.scheduler.next(start, end)
        events = [self.seen(event) for event in self.scheduler.between(start, end)]
        assert (None if first is None else self.seen(first)) == (events[0] if events else None)
        return events

    def dead(self):
        return [
            (self.seen(dead.event), dead.reason, dead.died, dead.error if dead.reason == "discarded" else "")
            for dead in self.scheduler.dead()
        ]

    def counts(self):
        stats = self.scheduler.stats()
        counts = {name: getattr(stats, name) for name in COUNTS}
        ended = sum(counts[name] for name in ["pending", "running", "succeeded", "dead", "cancelled", "dropped"])
        assert counts["scheduled"] + counts["revived"] == ended
        return counts | {name: counts[name] + self.before[name] for name in TOTALS}

    def lateness(self):
        lateness = self.scheduler.stats().lateness
        quantiles = [lateness.mean, lateness.p50, lateness.p90, lateness.p99, lateness.p999]
        return lateness.count, lateness.max, quantiles if self.is_engine else pytest.approx(quantiles, rel=0.01)

    async def run(self, event):
        """Log the start, then do what the job's data says for this run."""
        try:
            await self.log_and_act(event)
        except (BoomError, Snooze, Discard):
            raise
        except BaseException:
            self.log.append(traceback.format_exc())  # nobody means that, and the schedulers would not say it
            raise

    async def log_and_act(self, event):
        now = self.clock.now_ns()
        self.log.append((*self.seen(event), event.id == f"{event.job_id}/{event.run}", now))
        assert current_scheduler() is self.inside
        assert event.lateness == pytest.approx((now - event.due) / 1e9, abs=1e-9)
        script = json.loads(event.data) if event.data else []
        await self.pause()
        if event.run > len(script):
            return
        try:
            await self.act(event, *script[event.run - 1])
        except EXPECTED as error:
            self.log.append(type(error).__name__)
        finally:
            await self.pause()

    async def act(self, event, action, *arguments):
        scheduler, said = self.inside, self.said
        if action == "fail":
            raise BoomError(event.id)
        if action == "snooze":
            raise Snooze(*arguments)
        if action == "discard":
            raise Discard(*arguments)
        if action == "drain":
            await said(scheduler.drain())
        elif action == "in":
            id, delay, target = arguments
            await said(scheduler.in_(delay, target, json.dumps([["fail"]]).encode(), id=id))
        elif action == "at":
            id, ahead, target = arguments
            await said(scheduler.at(self.clock.now_ns() // 10**9 + ahead, target, id=id))
        elif action == "reschedule":
            id, ahead = arguments
            self.log.append(await said(scheduler.reschedule(id, self.clock.now_ns() // 10**9 + ahead)))
        elif action in ("cancel", "revive"):
            self.log.append(await said(getattr(scheduler, action)(*arguments)))
        elif action == "register":
            self.register(*arguments)
        elif action == "unregister":
            self.unregister(*arguments)
        found = await said(scheduler.get(arguments[0])) if arguments and arguments[0] in IDS else None
        self.log.append((scheduler.stats().pending, None if found is None else self.seen(found)))
