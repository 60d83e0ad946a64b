"""A scheduler under the model, with its clock, its handlers and a log of what started; and what chooses its calls.

What a handler does is a coroutine, so that all sides have one script: where calls are not awaited, it never waits.
"""

import functools
import inspect
import json
import random
import re
import traceback
from datetime import date, timedelta

import pytest
from hypothesis import strategies as st

from duewheel import (
    Cron,
    Days,
    Discard,
    DuplicateJobError,
    DuplicateTargetError,
    Every,
    JobOptions,
    Rate,
    Snooze,
    StateError,
    Times,
    UnreadableDataError,
    current_scheduler,
)
from duewheel.reference import ReferenceScheduler
from duewheel.reference._schedules import schedule_of
from duewheel.testing import ManualClock

START_S = 1_616_893_170  # 2021-03-28T00:59:30Z: half a minute before the clocks of Paris go forward
SEED = 7
TARGETS = ["a", "b", "c"]
HEIR = "heir"  # a target of heirs alone
TOTALS = "scheduled started succeeded retried snoozed dead cancelled revived dropped missed".split()
COUNTS = ["pending", "parked", "running", *TOTALS]
EXPECTED = (DuplicateJobError, DuplicateTargetError, StateError, LookupError, TimeoutError)
IDS = [f"j{number}" for number in range(24)]
REPEATED = [f"r{number}" for number in range(6)] + IDS[:2]  # some are those of jobs that come once
KEYS = [None, None, None, "k", "l"]
DELAYS = [0, 0, 0.1, 0.5, 0.5, 1, 1, 1.0000000001, 2, 3.7, 30]
# Deaths of a target may schedule jobs of those after it.
HEIRS = {"a": ["b", "c"], "b": ["c"], "c": [HEIR]}
# What a target is registered with: nothing, as a rule.
CONTROLS = [
    {},
    {},
    {},
    {},
    {"concurrency": 1},
    {"concurrency": 3, "priority": 1.5},
    {"priority": -2},
    {"priority": 10},
    {"rate": Rate(2)},
    {"rate": Rate(1, per=0.7, burst=3), "priority": 0.5},
    {"rate": Rate(3, per=2, burst=2), "concurrency": 2},
]
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DECLARED = "declared"  # the target of a repeat that is declared, and its id
PARIS = "Europe/Paris"
ASUNCION = "America/Asuncion"  # whose clocks go back at 03:00Z of the same day
SUNDAY = date(2021, 3, 28)
# Of the whole second that it is now.
SCHEDULES = [
    lambda _: 1,
    lambda _: 0.5,
    lambda _: Every(2),
    lambda _: timedelta(seconds=3.7),
    lambda _: Every(7.5),
    lambda _: Every(1.5, from_end=True),
    lambda _: Every(4, from_end=True),
    lambda now: Every(2, anchor=now - 5),
    lambda now: Every(3, anchor=now + 4),
    lambda now: Every(900, anchor=now),
    lambda _: "*/2 * * * * *",
    lambda _: "5,10,20-40/3 * * * * *",
    lambda _: Cron("*/15 * * * *", tz=PARIS),
    lambda _: Cron("30 2 * * *", tz=PARIS),
    lambda _: Cron("0 0,30 1-3 * * *", tz=PARIS),
    lambda _: Cron("*/30 2 * * *", tz=PARIS),
    lambda _: Cron("30 23 * * *", tz=ASUNCION),
    lambda _: Cron("*/20 23 * * *", tz=ASUNCION),
    lambda now: Times([now - 1, now + 2, now + 3, now + 8]),
    lambda now: Times([now + 1]),
    lambda now: Times([now]),
    lambda now: Every(2, anchor=now) | Times([now + 1, now + 5]),
    lambda _: Every(3) | Cron("*/4 * * * * *"),
    lambda _: Every(0.5) & Cron("10-50 * * * * *"),
    lambda now: Every(2, anchor=now) - Times([now + 2, now + 4]),
    lambda _: Cron("*/5 * * * * *") & Days([SUNDAY], tz=PARIS),
    lambda _: Every(2) - Days([SUNDAY], tz=ASUNCION),
]


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


def schedule(number, now):
    """Make a schedule at a whole second of the wall clock."""
    return SCHEDULES[number](now)


# That of the engine, as the reference has it.
read_schedule = functools.lru_cache(10_000)(schedule_of)


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
        self.registered = {}  # what each target is controlled by
        self.heirs = []  # the labels of what deaths have left behind, as they were seen
        self.declared = None  # what is declared for the target of that name
        for target in [*TARGETS[:2], HEIR]:
            self.register(target)
        self.scheduler.start()

    def register(self, target, controls=CONTROLS[0]):
        self.deregister[target] = self.scheduler.handle(target, self.handler(), **controls)
        self.registered[target] = controls

    def unregister(self, target):
        if target in self.deregister:
            self.deregister[target]()
            self.registered.pop(target, None)

    def reopen(self, downtime):
        """Close the file and open it again, with the handlers that there were; count on from what was.

        The reference has no file: for it nothing could start meanwhile.
        """
        if not self.is_engine:
            self.scheduler.drain()
            self.clock.advance(downtime)
            self.scheduler._arrivals.clear()  # a rate is of one life
            if self.declared is not None:
                when, data, terms = self.declared
                made = self.scheduler._terms(when, DECLARED, data, declared=True, **terms)
                self.scheduler._declared[DECLARED] = made
            self.scheduler.start()
            return
        pending, counts = len(self.scheduler), self.counts()
        self.scheduler.close()
        self.clock.advance(downtime)
        self.scheduler = self.make()
        assert len(self.scheduler) == pending
        self.before = counts | {"scheduled": counts["scheduled"] - pending}  # those that it finds it counts again
        for target, controls in self.registered.items():
            self.deregister[target] = self.scheduler.handle(target, self.handler(), **controls)
        if self.declared is not None:
            self.declare(*self.declared)
        self.scheduler.start()

    def declare(self, when, data, terms):
        self.scheduler.repeated(when, target=DECLARED, data=data, **terms)(self.handler())
        self.declared = when, data, terms

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

    def outcome(self, label):
        outcome = self.by_label("outcome", label)
        return outcome.state, outcome.result, outcome.reason, outcome.ended

    def cancel_many(self, labels):
        return self.scheduler.cancel_many(self.ids.get(label, label) for label in labels)

    def label_of(self, id):
        """Name a job: what a death has left behind has another id on each side, and is numbered as it is seen."""
        if id not in self.labels and UUID.fullmatch(id):
            self.labels[id] = f"heir{len(self.heirs)}"
            self.ids[self.labels[id]] = id
            self.heirs.append(self.labels[id])
        return self.labels.get(id, id)

    def purge(self, before, labels):
        ids = None if labels is None else [self.ids.get(label, label) for label in labels]
        return self.scheduler.purge(before, ids=ids)

    def seen(self, event):
        job = event.job
        label = self.label_of(job.id)
        occurrence = event.occurrence, event.previous
        given = job.target, job.data, job.options, dict(job.headers)
        return label, event.run, event.attempt, event.due, job.due, *given, occurrence

    def repeat(self, label, arguments, terms):
        try:
            self.scheduler.repeat(*arguments, id=self.ids.get(label, label), **terms)
        except (DuplicateJobError, ValueError):
            return "refused"  # which of two faults is named does not matter
        return "said"

    def repeat_unnamed(self, label, arguments, terms):
        try:
            id = self.scheduler.repeat(*arguments, **terms)
        except ValueError:
            return "refused"
        self.labels[id], self.ids[label] = label, id
        return label

    def shown(self, repeat, n):
        """Say all that is to be seen of a repeat."""
        if repeat is None:
            return None
        names = "target data options next previous occurrence missed paused declared running start end count spread"
        shown = {name: getattr(repeat, name) for name in [*names.split(), "catch_up", "window", "pause_on_dead"]}
        label = self.labels.get(repeat.id, repeat.id)
        return shown | {"id": label, "schedule": read_schedule(repeat.schedule), "upcoming": repeat.upcoming(n)}

    def get_repeat(self, label, n):
        return self.shown(self.by_label("get_repeat", label), n)

    def repeats(self):
        return [self.shown(repeat, 5) for repeat in self.scheduler.repeats()]

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
            (self.seen(dead.event), dead.reason, dead.died, "" if "Traceback" in dead.error else dead.error)
            for dead in self.scheduler.dead()
        ]

    def counts(self):
        stats = self.scheduler.stats()
        counts = {name: getattr(stats, name) for name in COUNTS}
        ended = sum(counts[name] for name in ["pending", "running", "succeeded", "dead", "cancelled", "dropped"])
        assert counts["scheduled"] + counts["revived"] == ended
        if self.is_engine:
            targets = self.scheduler.targets().values()
            assert {name: sum(getattr(target, name) for target in targets) for name in COUNTS} == counts
        return counts | {name: counts[name] + self.before[name] for name in TOTALS}

    def lateness(self):
        lateness = self.scheduler.stats().lateness
        quantiles = [lateness.mean, lateness.p50, lateness.p90, lateness.p99, lateness.p999]
        return lateness.count, lateness.max, quantiles if self.is_engine else pytest.approx(quantiles, rel=0.01)

    async def run(self, event):
        """Log the start, then do what the job's data says for this run; what is returned says which it was."""
        try:
            await self.log_and_act(event)
            return str(event.run).encode()
        except (BoomError, Snooze, Discard, UnreadableDataError):
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
        if self.label_of(event.job_id) in self.heirs:
            # The jitter of a retry depends on the id.
            script = [["discard", "heir"] if action == ["fail"] else action for action in script]
        await self.pause()
        # A repeat does it all again, after one that does nothing: else some would never end.
        number = event.run % (len(script) + 1) if event.occurrence else event.run
        if not 0 < number <= len(script):
            return
        try:
            await self.act(event, *script[number - 1])
        except EXPECTED as error:
            self.log.append(type(error).__name__)
        finally:
            if not event.expired:  # what is cancelled has nothing to wait for
                await self.pause()

    async def act(self, event, action, *arguments):
        scheduler, said = self.inside, self.said
        arguments = [event.job_id if argument == "self" else argument for argument in arguments]
        if action == "fail":
            raise BoomError(event.id)
        if action == "snooze":
            raise Snooze(*arguments)
        if action == "discard":
            raise Discard(*arguments)
        if action == "unreadable":
            raise UnreadableDataError(event.id)
        if action == "interrupt":
            self.log.append(await said(scheduler.interrupt(event.job_id)))
            raise BoomError(event.id)
        if action == "drain":
            await said(scheduler.drain())
        elif action == "in":
            id, delay, target = arguments
            await said(scheduler.in_(delay, target, json.dumps([["fail"]]).encode(), id=id))
        elif action == "over":
            id, delay, target, on_conflict, key = arguments
            script = json.dumps([["fail"], ["snooze", 1]][: event.run % 3]).encode()
            # No jitter, which depends on the id.
            options = {"min_backoff": 0.5, "max_backoff": 0.5, "headers": {"run": str(event.run)}, "key": key}
            await said(scheduler.in_(delay, target, script, id=id, on_conflict=on_conflict, **options))
        elif action == "at":
            id, ahead, target = arguments
            await said(scheduler.at(self.clock.now_ns() // 10**9 + ahead, target, id=id))
        elif action == "reschedule":
            id, ahead = arguments
            self.log.append(await said(scheduler.reschedule(id, self.clock.now_ns() // 10**9 + ahead)))
        elif action == "repeat":
            self.log.append(await self.repeat_inside(*arguments))
        elif action in ("pause target", "resume target"):
            call = getattr(scheduler, action.removesuffix(" target"))
            self.log.append(await said(call(target=arguments[0])))
        elif action in ("cancel", "revive", "pause", "resume", "trigger"):
            self.log.append(await said(getattr(scheduler, action)(*arguments)))
        elif action == "register":
            self.register(*arguments)
        elif action == "unregister":
            self.unregister(*arguments)
        id = arguments[0] if arguments and isinstance(arguments[0], str) else event.job_id
        found, repeat = await said(scheduler.get(id)), await said(scheduler.get_repeat(id))
        self.log.append((scheduler.stats().pending, found and self.seen(found), self.shown(repeat, 3)))

    async def repeat_inside(self, id, number, target):
        now = self.clock.now_ns() // 10**9
        data = json.dumps([["fail"], ["snooze", 1]]).encode()
        terms = {"end": now + 9, "min_backoff": 0.5, "max_backoff": 0.5}  # no jitter, which depends on the id
        try:
            await self.said(self.inside.repeat(schedule(number, now), target, data, id=id, **terms))
        except (DuplicateJobError, ValueError):
            return "refused"
        return "said"
