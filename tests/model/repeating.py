"""The operations of repeats, for engine and reference alike: what `machine` has for jobs that come once."""

import json

from sides import DECLARED, DELAYS, IDS, KEYS, REPEATED, SCHEDULES, TARGETS, schedule

from duewheel import Consistency

OPTIONS = [
    {},
    {},
    {"retry_limit": 0},
    {"retry_limit": 2, "min_backoff": 0.1},
    {"min_backoff": 1.5, "max_backoff": 1.5},
    {"age_limit": 2, "min_backoff": 1, "max_backoff": 1},
    {"consistency": Consistency.AT_MOST_ONCE},
]
# The offset and the jitter depend on the id, and generated ids differ.
UNNAMED = [{"retry_limit": 0}, {"min_backoff": 0.5, "max_backoff": 0.5}]
ACTIONS = "fail fail snooze discard unreadable drain pause resume trigger cancel reschedule repeat".split()


class Repeating:
    """What a pair of engine and reference does with repeats."""

    def begin_repeats(self):
        self.said = {}  # what was said of each id last
        self.unnamed = []

    # What a pick makes

    def any_repeat(self, pick):
        """Choose an id: of what repeats, as a rule."""
        kind = pick.number(0, 9)
        there = [shown["id"] for shown in self.reference.repeats()] if kind > 2 else []
        return pick.one_of(there or [REPEATED, IDS, self.unnamed[-4:] or REPEATED][min(kind, 2)])

    def repeat_script(self, pick):
        """Choose what a handler does in turn, of its own repeat as a rule."""

        def action():
            kind = pick.one_of(ACTIONS)
            id = pick.one_of(REPEATED) if pick.number(0, 3) == 0 else "self"
            if kind in ("pause", "resume", "trigger", "cancel"):
                return [kind, id]
            return {
                "snooze": lambda: [kind, pick.one_of(DELAYS)],
                "discard": lambda: [kind, "enough"],
                "reschedule": lambda: [kind, id, pick.number(-3, 5)],
                "repeat": lambda: [kind, id, pick.number(0, len(SCHEDULES) - 1), pick.one_of(TARGETS)],
            }.get(kind, lambda: [kind])()

        return json.dumps([action() for _ in range(pick.number(0, 4))]).encode()

    def terms(self, pick, id):
        now = self.engine.clock.now_ns() // 10**9
        given = {
            "start": now + pick.number(-3, 5) if pick.number(0, 3) == 0 else None,
            "end": now + pick.number(0, 14) if pick.number(0, 3) == 0 else None,
            "count": pick.one_of([1, 2, 3, 5]) if pick.number(0, 3) == 0 else None,
            "spread": pick.one_of([0, 0, 0, 0.7, 3]),
            "catch_up": pick.one_of(["one", "none", "all"]),
            "window": pick.one_of([None, None, 0, 1, 2.5, 30]),
            "pause_on_dead": pick.number(0, 3) == 0,
            "key": pick.one_of(KEYS),
        }
        if id in self.unnamed:
            return given | {"spread": 0} | pick.one_of(UNNAMED)
        return given | pick.one_of(OPTIONS)

    def schedule_at(self, pick):
        now = self.engine.clock.now_ns() // 10**9
        return schedule(pick.number(0, len(SCHEDULES) - 1), now)

    # Operations

    def repeat(self, pick):
        id = self.any_repeat(pick) if pick.number(0, 2) == 0 else pick.one_of(REPEATED)
        self.say(id, (self.schedule_at(pick), pick.one_of(TARGETS), self.repeat_script(pick)), self.terms(pick, id))

    def say(self, id, arguments, terms):
        self.said[id] = arguments, terms
        self.both(lambda side: side.repeat(id, arguments, terms))

    def repeat_again(self, pick):
        """Say what was said before, or all but one part of it."""
        id = self.any_repeat(pick)
        if id not in self.said:
            return
        (when, target, data), terms = self.said[id]
        change = pick.number(0, 7)
        if change == 0:
            when = self.schedule_at(pick)
        elif change == 1:
            target = pick.one_of(TARGETS)
        elif change == 2:
            data = self.repeat_script(pick)
        elif change in (3, 4):
            others = self.terms(pick, id)
            name = pick.one_of(["start", "end", "count", "spread", "catch_up", "window", "pause_on_dead", "key"])
            terms = terms | {name: others[name]}
        self.say(id, (when, target, data), terms)

    def repeat_unnamed(self, pick):
        label = f"repeat{len(self.unnamed)}"
        self.unnamed.append(label)
        arguments = self.schedule_at(pick), pick.one_of(TARGETS), self.repeat_script(pick)
        terms = self.terms(pick, label)
        self.said[label] = arguments, terms
        self.both(lambda side: side.repeat_unnamed(label, arguments, terms))

    def declare(self, pick):
        # Without an end: said again when a file is reopened, it must have times.
        terms = self.terms(pick, DECLARED) | {"start": None, "end": None, "count": None}
        if terms["catch_up"] == "all":
            terms["window"] = 30
        when = schedule(pick.one_of([0, 2, 5, 7, 10, 22]), self.engine.clock.now_ns() // 10**9)
        data = self.repeat_script(pick)
        self.said[DECLARED] = (when, DECLARED, data), terms
        self.both(lambda side: side.declare(when, data, terms))

    def _change(self, call, pick):
        id = self.any_repeat(pick)
        self.both(lambda side: side.by_label(call, id))

    def pause(self, pick):
        self._change("pause", pick)
        # One that is due and held by a rate is parked once it is looked at again; a drain in between would leave it.
        self.both(lambda side: side.advance(0))

    def resume(self, pick):
        self._change("resume", pick)

    def trigger(self, pick):
        self._change("trigger", pick)

    def cancel_repeat(self, pick):
        self._change("cancel", pick)

    def reschedule_repeat(self, pick):
        id, when = self.any_repeat(pick), self.when(pick)
        self.both(lambda side: side.by_label("reschedule", id, when))

    def look_at_repeat(self, pick):
        id, n = self.any_repeat(pick), pick.number(0, 12)
        self.both(lambda side: side.get_repeat(id, n))

    def compare_repeats(self):
        assert self.engine.repeats() == self.reference.repeats()

    def end_repeats(self):
        """Cancel all that would come often in the hours until the end."""
        for label in [DECLARED, *REPEATED, *IDS, *self.unnamed]:
            found = self.reference.get_repeat(label, 3)
            dues = found and found["upcoming"]
            if dues is not None and (len(dues) < 3 or dues[2] - dues[1] < 1_000 * 10**9):
                self.both(lambda side, label=label: side.by_label("cancel", label))


CHANGES = ["pause", "resume", "trigger", "cancel_repeat", "reschedule_repeat", "look_at_repeat"]

# How often a burst does what that is about repeats.
WEIGHTS = {
    "repeat": 15, "repeat_again": 8, "repeat_unnamed": 2, "declare": 1, "pause": 4, "resume": 5, "trigger": 5,
    "cancel_repeat": 2, "reschedule_repeat": 4, "look_at_repeat": 3, "advance": 25, "step": 5, "register": 5,
    "unregister": 3, "pause_target": 1, "resume_target": 3, "drain": 1, "start": 3,
}  # fmt: skip
