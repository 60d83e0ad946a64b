"""Hold `duewheel.RRule` against dateutil on local times, which are resolved as RFC 5545 has it.

What dateutil reads in another way it is given in other words (`rewritten` says which, and why); a fault of its has a
rule here that says where it shows. What differs elsewhere is ours. `DUEWHEEL_RRULES` sets how many rules are compared,
4,000 where slow tests are asked for; `DUEWHEEL_MODEL_SEED` sets which.
"""

import datetime as dt
import logging
import os
import random
import time
from bisect import bisect_right
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from expressions import DAY
from rules import FREQUENCIES, case

from duewheel import RRule
from duewheel.reference import _schedules as reference
from duewheel.reference._recurrence import LocalTimes, rewritten
from duewheel.reference._zones import LAST_SECOND, last_shown

RULES = int(os.environ.get("DUEWHEEL_RRULES", "200"))
SEED = int(os.environ.get("DUEWHEEL_MODEL_SEED", time.time_ns()))
SECOND = 10**9
MOST = 40
PLACES_OF_WEEKS = "at both ends of a year it miscounts the weeks of the years beside it, and places with them"


def second_of(when):
    return None if when is None else round(when.timestamp())


def instant(local, zone):
    """When a local time is, by RFC 5545, 3.3.5: Python reads it so as well, unless it is told of a fold."""
    return int(local.replace(tzinfo=zone).timestamp())


def expected(text, start, zone, until):
    """The times of a rule by dateutil, up to a second."""
    rule = LocalTimes(text, start)
    until = until if rule.until is None else min(until, rule.until)
    last = datetime.fromtimestamp(last_shown(zone, until), UTC).replace(tzinfo=None)
    with ending(last.year):
        found = {instant(local, zone) for local in takewhile(lambda local: local <= last, rule)}
    return sorted(second for second in found if second <= until)


@contextmanager
def ending(year):
    """Have dateutil look for nothing after a year: where nothing comes it walks to the last that there is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dt, "MAXYEAR", year)
        yield


def fault_of(text):
    """Which known fault of dateutil's may explain that it answers something else; `None`: no one."""
    weeks = text.partition("BYWEEKNO=")[2].partition(";")[0].split(",")
    if "BYSETPOS" in text and {"52", "53", "-52", "-53"} & set(weeks):
        return PLACES_OF_WEEKS
    return None


def made(text, start, name):
    """The rule, or `None` if it is refused for want of a time."""
    try:
        return RRule(text, start, name)
    except ValueError as error:
        if "no time from" not in str(error):
            raise
    return None


def compare(text, start, name, tally):
    zone = ZoneInfo(name)
    rule = made(text, start, name)
    if rule is None:
        holds_no_time(text, start, tally)
        return
    begin = instant(start, zone)
    found = [second_of(when) for when in islice(rule.between(begin - 2 * DAY), MOST)]
    # Where there are fewer there is an end, up to which dateutil goes as well.
    until = found[-1] if len(found) == MOST else LAST_SECOND
    wanted = expected(text, start, zone, until)
    tally.update(rewritten(text, start).why)
    if found != wanted:
        fault = fault_of(text)
        assert fault, f"{found}, dateutil {wanted}"
        tally[fault] += 1
        return
    tally.update(rules=1, times=len(found))
    chance = random.Random(begin)
    for after in [chance.randint(begin - DAY, (found or [begin])[-1]) for _ in range(3)]:
        later = found[bisect_right(found, after) :]
        assert second_of(rule.next(after)) == (later[0] if later else None), after


def holds_no_time(text, start, tally):
    """A rule without a time is refused: dateutil finds none, as far as it walks in a moment."""
    frequency = FREQUENCIES.index(text.partition(";")[0].removeprefix("FREQ="))
    if frequency > FREQUENCIES.index("HOURLY"):
        tally["refused, and not walked"] += 1
        return
    tally["refused"] += 1
    with ending(start.year + (40 if frequency < FREQUENCIES.index("HOURLY") else 2)):
        try:
            times = list(islice(LocalTimes(text, start), 1))
        except ValueError:  # what its first look at a rule finds to be empty
            times = []
    assert not times


def compare_with_dateutil(count):
    pytest.importorskip("dateutil")
    tally = Counter()
    for number in range(count):
        text, start, name = case(SEED, number)
        try:
            compare(text, start, name, tally)
        except BaseException as error:
            error.add_note(f"{text!r} from {start} in {name}: DUEWHEEL_MODEL_SEED={SEED}, case {number}")
            raise
    logging.getLogger(__name__).info("%s", tally)  # for whoever asks with --log-cli-level=info
    assert tally["rules"] > count * 0.7
    assert tally[PLACES_OF_WEEKS] <= 2 + count * 0.005, tally


def test_rules_are_dateutil_s_but_for_its_faults():
    compare_with_dateutil(RULES)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_many_rules():
    compare_with_dateutil(max(4_000, RULES))


def test_the_reference_has_them_too():
    pytest.importorskip("dateutil")
    for number in range(min(RULES, 400) // 4):
        text, start, name = case(SEED, number)
        rule, begin = made(text, start, name), instant(start, ZoneInfo(name))
        if rule is None or fault_of(text):
            continue
        mine, found = reference.schedule_of(rule), []
        after = (begin - 2 * DAY) * SECOND
        with ending(2263):
            while len(found) < 4 and (later := mine.next(after)) is not None:
                after = later
                found.append(after // SECOND)
        wanted = [second_of(when) for when in islice(rule.between(begin - 2 * DAY), 4)]
        assert found == wanted, f"{text!r} from {start} in {name}: DUEWHEEL_MODEL_SEED={SEED}, case {number}"
