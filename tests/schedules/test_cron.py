"""Hold `duewheel.Cron` against local minutes walked one by one, against the reference, and against cronsim.

Of cronsim's faults each has a rule that says where it shows; what differs elsewhere is ours.
`DUEWHEEL_EXPRESSIONS` sets how many expressions are compared, 120,000 where slow tests are asked for;
`DUEWHEEL_MODEL_SEED` sets which.
"""

import datetime as dt
import os
import pickle
import random
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from expressions import DAY, HOUR, ZONES, cases, expression, minutes

from duewheel import Cron, Days, Every, Times
from duewheel.reference import _schedules as reference
from duewheel.reference import _zones

SECOND = 10**9
EXPRESSIONS = int(os.environ.get("DUEWHEEL_EXPRESSIONS", "400"))
SEED = int(os.environ.get("DUEWHEEL_MODEL_SEED", time.time_ns()))


def second_of(when):
    return None if when is None else round(when.timestamp())


def times(schedule, after, count):
    """The next times, in unix seconds."""
    found, when = [], datetime.fromtimestamp(after, UTC)
    while len(found) < count and (when := schedule.next(when)) is not None:
        found.append(second_of(when))
    return found


def reference_times(schedule, after, count):
    found, when = [], after * SECOND
    while len(found) < count and (when := schedule.next(when)) is not None:
        found.append(when // SECOND)
    return found


def with_seed(error, number):
    error.add_note(f"again with DUEWHEEL_MODEL_SEED={SEED}; case {number}")


def test_the_reference_walks_local_minutes_rightly():
    for number, (text, name, after) in enumerate(cases(SEED, min(EXPRESSIONS, 4_000) // 10)):
        if len(text.split()) == 5:
            zone = ZoneInfo(name)
            expected = minutes(text, zone, after, after + DAY)
            between = reference.Cron(text, name).between((after + 1) * SECOND, (after + DAY + 1) * SECOND)
            assert [time // SECOND for time in between] == expected, (text, name, after, SEED, number)


def test_cron_is_the_reference_s():
    for number, (text, name, after) in enumerate(cases(SEED, EXPRESSIONS // 4)):
        try:
            assert times(Cron(text, tz=name), after, 5) == reference_times(reference.Cron(text, name), after, 5)
        except BaseException as error:
            error.add_note(f"{text!r} in {name} after {after}")
            with_seed(error, number)
            raise


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_many_expressions():
    compare_with_cronsim(max(120_000, EXPRESSIONS))


def test_cron_is_cronsim_s_but_for_its_faults():
    compare_with_cronsim(EXPRESSIONS)


def compare_with_cronsim(count):
    cronsim = pytest.importorskip("cronsim")
    faults = Counter()
    for number, (text, name, after) in enumerate(cases(SEED, count)):
        zone = ZoneInfo(name)
        found = times(Cron(text, tz=name), after, 5)
        if may_hang(text, zone, after, max([after, *found])):
            faults["it hangs at clocks that are put back at another moment than a full hour"] += 1
            continue
        try:
            theirs = cronsim.CronSim(text, datetime.fromtimestamp(after, UTC if name == "UTC" else zone))
            expected = [second_of(when) for when in islice(theirs, 5)]
        except cronsim.CronSimError:
            expected = None
        if found != expected:
            fault = fault_of(text, zone, after, max([after, *found, *(expected or [])]))
            assert fault, f"{text!r} in {name} after {after}: {found}, cronsim {expected}; seed {SEED}, case {number}"
            faults[fault] += 1
    assert faults.total() <= count * 0.05, faults


def fault_of(text, zone, after, until):
    """Which known fault of cronsim's explains that it answers something else; `None`: no one."""
    is_fixed = reference.Cron(text)._expression.is_fixed
    changes = _zones.changes(zone, after - DAY, until + DAY)
    jumps = {change: _zones.offset(zone, change) - _zones.offset(zone, change - 1) for change in changes}
    if changes and len(text.split()) == 6 and is_fixed:
        return "six fields are never fixed"
    if is_fixed and any(change <= after < change - jump for change, jump in jumps.items()):
        return "begun in the second pass of a fold it answers with the past"
    if not is_fixed and any(jump % HOUR or change % HOUR for change, jump in jumps.items()):
        return "it walks by whole hours, and neither all changes nor all of their moments are such"
    if not is_fixed and any(jump > 0 and skips_midnight(zone, change, jump) for change, jump in jumps.items()):
        return "it goes to midnights that are in a gap"
    return None


def may_hang(text, zone, after, until):
    """Whether cronsim walks over a fold such as that of St John's until 2011, from 00:01."""
    is_fixed = reference.Cron(text)._expression.is_fixed and len(text.split()) == 5
    changes = [] if is_fixed else _zones.changes(zone, after - DAY, until + DAY)
    return any((change + _zones.offset(zone, change - 1)) % HOUR for change in changes)


def skips_midnight(zone, change, jump):
    begin = change + _zones.offset(zone, change - 1)
    return begin // DAY != (begin + jump) // DAY or begin % DAY == 0


def test_between_and_in_agree_with_next():
    chance = random.Random(SEED)
    for text, name, after in cases(SEED, 60):
        cron = Cron(text, tz=name)
        found = times(cron, after, 6)
        start, end = datetime.fromtimestamp(after + 1, UTC), datetime.fromtimestamp(found[-1], UTC)
        assert [second_of(when) for when in cron.between(start, end)] == found[:-1]
        assert all(datetime.fromtimestamp(time, UTC) in cron for time in found)
        other = chance.randint(after, found[-1])
        assert (datetime.fromtimestamp(other, UTC) in cron) == (other in found), (text, name, other)
        assert all(when.tzinfo is not None for when in islice(cron.between(start), 3))


def part(chance):
    """A schedule to be combined."""
    kind = chance.randint(0, 2)
    if kind == 0:
        return Cron(expression(chance, seconds=0), tz=chance.choice(ZONES))
    if kind == 1:
        return Every(chance.choice([60, 300, 1_000, 3_600]), anchor=chance.choice([0, 60, 1_234]))
    return Times([BEGIN + chance.randint(0, 2_880) * 60 for _ in range(20)])


BEGIN = int(datetime(2027, 3, 27, tzinfo=UTC).timestamp())
END = BEGIN + 2 * DAY


def listed(schedule):
    """The times of two days; parts that never meet after them are said to, and that is no fault."""
    found = []
    try:
        for when in schedule.between(datetime.fromtimestamp(BEGIN, UTC), datetime.fromtimestamp(END, UTC)):
            found.append(second_of(when))
    except ValueError as error:
        if "never meet" not in str(error):
            raise
    return found


def lasting(cron_or_times, kind):
    """All whole seconds that lie in it."""
    length = 60 if kind is Cron else 1
    return {second + more for second in cron_or_times for more in range(length)}


def test_combinations_are_arithmetic_on_sets():
    chance, done = random.Random(SEED), 0
    while done < 40:
        try:
            a, b, c = part(chance), part(chance), part(chance)
        except ValueError:
            continue  # it never comes
        done += 1
        left, right, third = map(listed, (a, b, c))
        whole, rest = lasting(right, type(b)), lasting(third, type(c))
        assert listed(a | b) == sorted({*left, *right})
        assert listed(a & b) == [time for time in left if time in whole], (a, b)
        assert listed(a - b) == [time for time in left if time not in whole], (a, b)
        assert listed(a & b - c) == [time for time in left if time in whole and time not in rest], (a, b, c)
        assert listed((a | b) - c) == [time for time in sorted({*left, *right}) if time not in rest], (a, b, c)
        assert listed(a & (b | c)) == [time for time in left if time in whole or time in rest], (a, b, c)


def test_days_are_local_days():
    zone = ZoneInfo("Europe/Paris")
    day = datetime(2027, 3, 28, tzinfo=UTC).date()
    hourly = Cron("0 * * * *", tz="UTC")
    of_day = listed(hourly & Days([day], tz="Europe/Paris"))
    assert len(of_day) == 23, "the day on which an hour is skipped"
    assert {datetime.fromtimestamp(time, zone).date() for time in of_day} == {day}
    assert listed(hourly - Days([day], tz="Europe/Paris")) == [time for time in listed(hourly) if time not in of_day]


SCHEDULES = [
    Cron("30 2 * * mon-fri", tz="Europe/Paris"),
    Every(0.1),
    Every(60, anchor=0.25) & Cron("* 9-17 * * *") - Days([datetime(2027, 1, 1, tzinfo=UTC).date()]),
    Times([1, 2.5]) | Cron("@daily", tz="Asia/Tokyo"),
    Every(5, from_end=True),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_schedule_is_a_value(schedule):
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert hash(pickle.loads(pickle.dumps(schedule))) == hash(schedule)
    names = {"Cron": Cron, "Days": Days, "Every": Every, "Times": Times, "datetime": dt}
    assert eval(repr(schedule), names) == schedule
    # The reference reads them by that text.
    mine = reference.schedule_of(schedule)
    if "from_end" not in repr(schedule):
        assert reference_times(mine, BEGIN, 5) == times(schedule, BEGIN, 5)
