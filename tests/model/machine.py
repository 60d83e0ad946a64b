"""Hold the engine against the reference: the same calls, the same virtual time, the same of everything.

Every operation is written once, over a ``Pick`` that chooses. Hypothesis chooses in the state machine, so
that a failure shrinks; a seeded ``Random`` chooses in its ``burst``, which makes the numbers cheap.
"""

import json
import os
import time

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from repeating import CHANGES, Repeating
from repeating import WEIGHTS as REPEATING
from sides import CONTROLS, DELAYS, EXPECTED, HEIRS, IDS, KEYS, REPEATED, TARGETS, Drawn, Random, Side

from duewheel import Consistency, LocalStorage
from duewheel.reference import ReferenceScheduler

OPTIONS = [
    {},
    {},
    {"retry_limit": 0},
    {"retry_limit": 2, "min_backoff": 0.1},
    {"retry_limit": 1, "age_limit": 2.5, "min_backoff": 0.3, "max_backoff": 0.9},
    {"retry_limit": None, "min_backoff": 1e-9},
    {"retry_limit": 3, "min_backoff": 0, "max_backoff": 0},
    {"age_limit": 3},
    {"age_limit": 2, "min_backoff": 1, "max_backoff": 1},  # ages that meet the limit exactly
    {"consistency": Consistency.AT_MOST_ONCE},
    {"headers": {"tenant": "ä", "trace": "1"}, "retry_limit": 1},
    {"keep": 1, "retry_limit": 1},
    {"keep": 3.7},
]
# The jitter depends on the id, and generated ids differ: jobs of a bulk have none.
BULK_OPTIONS = [{"min_backoff": 0.5, "max_backoff": 0.5, "keep": 5}, {"retry_limit": 0, "headers": {"of": "many"}}]


# What becomes of a job that has the id.
CONFLICTS = [{}, {}, {}, {}, *({"on_conflict": word} for word in ("ignore", "update", "update", "replace", "replace"))]


class Pair(Repeating):
    """Engine and reference, driven alike; every operation compares what both say."""

    def __init__(self, engine):
        self.sides = [engine, Side(ReferenceScheduler)]
        self.engine, self.reference = self.sides
        self.started = True
        self.operations = 0
        self.reopened = 0
        self.bulks = []
        self.begin_repeats()

    def both(self, act):
        self.operations += 1
        answers = []
        for side in self.sides:
            try:
                answers.append(act(side))
            except EXPECTED as error:
                answers.append(type(error).__name__)
        assert answers[0] == answers[1]
        assert self.engine.log == self.reference.log
        for side in self.sides:
            side.log.clear()
        return answers[0]

    # What a pick makes

    def script(self, pick):
        def action():
            kind = pick.number(0, 26)
            if kind < 8:
                return ["fail"]
            if kind < 11:
                return ["snooze", pick.one_of(DELAYS)]
            if kind == 11:
                return ["discard", "enough"]
            if kind == 12:
                return ["drain"]
            if kind == 20:
                return ["unreadable"]
            if kind == 24:
                return ["interrupt"]
            if kind > 24:
                return [pick.one_of(["pause target", "resume target", "resume target"]), pick.one_of(TARGETS)]
            if kind > 20:
                words = ["self", pick.one_of(IDS)], DELAYS, TARGETS, ["ignore", "update", "replace"], KEYS
                return ["over", *(pick.one_of(some) for some in words)]
            id, target = pick.one_of(IDS), pick.one_of(TARGETS)
            return {
                13: ["in", id, pick.one_of(DELAYS), target],
                14: ["at", id, pick.number(-3, 5), target],
                15: ["reschedule", id, pick.number(-3, 5)],
                16: ["cancel", id],
                17: ["revive", id],
                18: ["register", target],
                19: ["unregister", target],
            }[kind]

        return json.dumps([action() for _ in range(pick.number(0, 4))]).encode()

    def when(self, pick):
        # Whole seconds, so that dues tie; now and then something finer.
        now = self.engine.clock.now_ns() // 10**9
        return now + pick.number(-4, 6) + (0 if pick.number(0, 3) else 0.1)

    def any_id(self, pick):
        made = self.bulks[-40:] + self.reference.heirs[-10:]
        return pick.one_of(made if made and pick.number(0, 2) == 0 else IDS + REPEATED)

    # Operations

    def schedule(self, pick):
        id, target, data, options = pick.one_of(IDS), pick.one_of(TARGETS), self.script(pick), pick.one_of(OPTIONS)
        options = options | pick.one_of(CONFLICTS) | {"key": pick.one_of(KEYS)}
        if pick.number(0, 1):
            when = self.when(pick)
            self.both(lambda side: side.scheduler.at(when, target, data, id=id, **options))
        else:
            delay = pick.one_of(DELAYS)
            self.both(lambda side: side.scheduler.in_(delay, target, data, id=id, **options))

    def bulk(self, pick):
        count = pick.number(0, 6)
        labels = [f"bulk{len(self.bulks) + number}" for number in range(count)]
        self.bulks += labels
        target, options = pick.one_of(TARGETS), pick.one_of(BULK_OPTIONS) | {"key": pick.one_of(KEYS)}
        datas = [self.script(pick) for _ in labels] if pick.number(0, 2) else None
        if pick.number(0, 1):
            whens = [self.when(pick) for _ in labels]
            self.both(lambda side: side.bulk("at_many", whens, target, datas, labels, options))
        else:
            delays = [pick.one_of(DELAYS) for _ in labels]
            self.both(lambda side: side.bulk("in_many", delays, target, datas, labels, options))

    def cancel(self, pick):
        label = self.any_id(pick)
        self.both(lambda side: side.by_label("cancel", label))

    def cancel_many(self, pick):
        labels = [self.any_id(pick) for _ in range(pick.number(0, 6))]
        self.both(lambda side: side.cancel_many(labels))

    def reschedule(self, pick):
        label, when = self.any_id(pick), self.when(pick)
        self.both(lambda side: side.by_label("reschedule", label, when))

    def revive(self, pick):
        label = self.any_id(pick)
        self.both(lambda side: side.by_label("revive", label))

    def outcome(self, pick):
        label = self.any_id(pick)
        self.both(lambda side: side.outcome(label))

    def purge(self, pick):
        before = self.when(pick) if pick.number(0, 4) else None
        labels = [self.any_id(pick) for _ in range(pick.number(0, 3))] if pick.number(0, 1) else None
        self.both(lambda side: side.purge(before, labels))

    def register(self, pick):
        target, controls = pick.one_of(TARGETS), dict(pick.one_of(CONTROLS))
        if pick.number(0, 3) == 0:
            controls["dead"] = pick.one_of(HEIRS[target])
        self.both(lambda side: side.register(target, controls))

    def unregister(self, pick):
        target = pick.one_of(TARGETS)
        if self.parks_at_once():
            self.both(lambda side: side.unregister(target))

    def pause_target(self, pick):
        target = pick.one_of(TARGETS)
        if self.parks_at_once():
            self.both(lambda side: side.scheduler.pause(target=target))

    def resume_target(self, pick):
        target = pick.one_of(TARGETS)
        self.both(lambda side: side.scheduler.resume(target=target))

    def parks_at_once(self):
        """Have nothing wait to be taken up, if it can be: what is parked on disk alone counts as parked at once."""
        if self.engine.is_kept and self.started:
            self.both(lambda side: side.advance(0))
        return self.started or not self.engine.is_kept

    def advance(self, pick):
        delay = pick.one_of([0, 0.1, 0.5, 1, 1, 2, 5])
        self.both(lambda side: side.advance(delay))

    def step(self, pick):
        delta = pick.one_of([-12_000, -3600, -5, -1, -0.25, -1e-9, 1e-9, 0.25, 1, 5, 3600, 12_000])
        # Each is seen by itself, as the timer of a real clock sees it.
        self.both(lambda side: (side.clock.step(delta), side.between(None, None)))

    def drain(self, pick):
        self.started = False
        self.both(lambda side: side.scheduler.drain())

    def start(self, pick):
        self.started = True
        self.both(lambda side: side.scheduler.start())

    def reopen(self, pick):
        if not self.started:
            return
        self.compare()
        downtime = pick.one_of([0, 0, 0.5, 4, 40])
        self.both(lambda side: side.reopen(downtime))
        self.reopened += 1
        # What was parked is so again once it has been taken up and no handler found.
        self.both(lambda side: side.advance(0))
        self.compare()

    def look(self, pick):
        label, start, end = self.any_id(pick), self.when(pick), self.when(pick)
        self.both(lambda side: (side.get(label), side.between(start, end)))

    def compare(self):
        """Compare everything that can be asked."""
        self.engine.scheduler._check()
        assert self.engine.counts() == self.reference.counts()
        assert self.reopened or self.engine.lateness() == self.reference.lateness()
        assert len(self.engine.scheduler) == len(self.reference.scheduler)
        pending = self.engine.between(None, None)
        assert pending == self.reference.between(None, None)
        assert len(pending) == len(self.engine.scheduler)
        assert self.engine.dead() == self.reference.dead()
        self.compare_repeats()
        assert self.engine.scheduler._manual_next() == self.reference.scheduler._manual_next()
        assert self.engine.scheduler.wait(0) == self.reference.scheduler.wait(0)
        for mine, its in zip(self.engine.scheduler.between(), self.reference.scheduler.between(), strict=True):
            # Those with given ids are equal as they are.
            assert mine == its or self.engine.labels.get(mine.job_id) == self.reference.labels[its.job_id]
            assert self.engine.scheduler.get(mine.job_id) == mine
            assert mine.job_id in self.engine.scheduler

    def end(self):
        """Run all that is left, then close."""
        for target in TARGETS:
            self.both(lambda side, target=target: side.scheduler.resume(target=target))
            self.both(lambda side, target=target: side.register(target))
        self.both(lambda side: side.scheduler.start())
        self.both(lambda side: side.advance(5))
        self.end_repeats()
        for _ in range(3):
            self.both(lambda side: side.advance(8_000))
        for label in REPEATED + self.unnamed:
            self.both(lambda side, label=label: side.by_label("cancel", label))
        self.compare()
        self.both(lambda side: side.scheduler.in_(5, "a", id="last"))
        self.both(lambda side: side.close())
        if not self.engine.is_kept:  # what a file keeps is pending there, not dropped
            assert self.engine.counts() == self.reference.counts()


# How often a burst does what: mostly schedule and advance, now and then the rest.

WEIGHTS = {
    "schedule": 30, "bulk": 6, "cancel": 8, "reschedule": 8, "revive": 6, "purge": 1, "register": 6,
    "unregister": 3, "pause_target": 2, "resume_target": 5, "advance": 22, "step": 3, "drain": 1, "start": 3, "look": 6,
    "outcome": 8,
}  # fmt: skip


def deck_of(*weights):
    return [name for some in weights for name, weight in some.items() for _ in range(weight)]


DECKS = [deck_of(WEIGHTS, REPEATING), deck_of(WEIGHTS), deck_of(REPEATING), deck_of(REPEATING, REPEATING, WEIGHTS)]


def burst(pair, seed, count, deck=None):
    pick = Random(seed)
    deck = deck or pick.one_of(DECKS)
    for number in range(count):
        getattr(pair, pick.one_of(deck))(pick)
        if number % 50 == 49:
            pair.compare()


def bursts(make, steps):
    """Bursts of every size, each on schedulers of its own, until so many operations are done."""
    given = os.environ.get("DUEWHEEL_MODEL_SEED")
    seed = time.time_ns() if given is None else int(given)
    done = 0
    while done < steps:
        seed += 1
        pair = Pair(make())
        try:
            burst(pair, seed, 10 ** (2 + seed % 3))
            pair.end()
        except BaseException as error:
            error.add_note(f"again with DUEWHEEL_MODEL_SEED={seed - 1}")
            raise
        finally:
            pair.engine.close()
        done += pair.operations


def kept_bursts(make, directory, window, reopen, seeds=12):
    """Bursts over a file; an engine is made of a storage."""
    # What is on disk keeps the due that it had on the wall clock when that is stepped.
    reopened = 0
    for seed in range(seeds):
        deck = [name for name in DECKS[seed % len(DECKS)] if name != "step"] + ["reopen"] * reopen
        pair = Pair(make(LocalStorage(directory / f"{seed}.db", **{"durability": "relaxed", **window})))
        try:
            burst(pair, seed, 150, deck)
            pair.end()
            reopened += pair.reopened
        finally:
            pair.engine.close()
    assert (reopened > seeds) == (reopen > 0)


JOBS = ["cancel", "cancel_many", "reschedule", "revive", "purge", "look", "outcome"]


class Model(RuleBasedStateMachine):
    """Let hypothesis choose; a subclass makes the engine."""

    def __init__(self):
        super().__init__()
        self.pair = Pair(self.engine())

    @rule(data=st.data(), name=st.sampled_from(["schedule", "bulk"]))
    def schedules(self, data, name):
        getattr(self.pair, name)(Drawn(data))

    @rule(data=st.data(), name=st.sampled_from(["repeat", "repeat_again", "repeat_unnamed", "declare"]))
    def repeats(self, data, name):
        getattr(self.pair, name)(Drawn(data))

    @rule(data=st.data(), name=st.sampled_from(CHANGES))
    def handles_a_repeat(self, data, name):
        getattr(self.pair, name)(Drawn(data))

    @rule(data=st.data(), name=st.sampled_from(JOBS))
    def handles_a_job(self, data, name):
        getattr(self.pair, name)(Drawn(data))

    @rule(data=st.data(), name=st.sampled_from(["advance", "step"]))
    def moves_time(self, data, name):
        getattr(self.pair, name)(Drawn(data))

    @rule(data=st.data(), name=st.sampled_from(["register", "unregister", "pause_target", "resume_target"]))
    def changes_handlers(self, data, name):
        getattr(self.pair, name)(Drawn(data))

    @precondition(lambda self: self.pair.started)
    @rule()
    def drains(self):
        self.pair.drain(None)

    @precondition(lambda self: not self.pair.started)
    @rule()
    def starts(self):
        self.pair.start(None)

    @rule(seed=st.integers(0, 2**32), count=st.integers(0, 40))
    def runs_a_burst(self, seed, count):
        burst(self.pair, seed, count)

    @invariant()
    def agrees(self):
        self.pair.compare()

    def teardown(self):
        try:
            self.pair.end()
        finally:
            self.pair.engine.close()


def hold(engine, examples):
    """Hold an engine against the reference, by as many examples."""
    model = type("Model", (Model,), {"engine": staticmethod(engine)})
    suppressed = list(HealthCheck)
    run_state_machine_as_test(
        model, settings=settings(max_examples=examples, stateful_step_count=40, suppress_health_check=suppressed)
    )
