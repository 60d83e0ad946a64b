"""Make cron expressions at random, and moments near changes of clocks; walk local minutes to know what is right."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from duewheel.reference import _zones
from duewheel.reference._cron import Expression

ZONES = """
Europe/Paris America/New_York America/Los_Angeles Australia/Lord_Howe America/Santiago Pacific/Apia America/Sao_Paulo
Africa/Cairo Asia/Beirut Asia/Tehran America/St_Johns Africa/Casablanca Antarctica/Troll Asia/Kathmandu UTC
""".split()
HOUR, DAY = 3_600, 86_400
YEARS = [1991, 1998, 2011, 2014, 2018, 2022, 2027, 2040]  # few, so that the reference finds their changes once


def numbers(chance, low, high, *, whole=0.4):
    """A field of numbers: all, single ones, ranges and steps, or a list of them."""
    kind = chance.random()
    if kind < whole:
        return "*"
    if kind < whole + 0.12:
        return f"*/{chance.randint(2, max(2, (high - low) // 2))}"
    if kind < whole + 0.3:
        return ",".join(str(chance.randint(low, high)) for _ in range(chance.randint(2, 3)))
    if kind < whole + 0.45 and low < high:
        first = chance.randint(low, high - 1)
        last = chance.randint(first + 1, high)  # of one number cronsim makes another range, if a step follows
        return f"{first}-{last}" + chance.choice(["", f"/{chance.randint(1, 5)}"])
    return str(chance.randint(low, high))


def expression(chance, seconds=0.1):
    """An expression of what all of them understand."""
    fields = [numbers(chance, 0, 59, whole=0.2), numbers(chance, 0, 5 if chance.random() < 0.7 else 23)]
    fields.append(chance.choice(["L", "LW", "1,L"]) if chance.random() < 0.05 else numbers(chance, 1, 31, whole=0.7))
    fields.append(numbers(chance, 1, 12, whole=0.9))
    fields.append(f"{chance.randint(0, 7)}{chance.choice(['L', '#1', '#3'])}" if chance.random() < 0.05 else "")
    fields[4] = fields[4] or chance.choice(["mon-fri", numbers(chance, 0, 7, whole=0.5), "*", "*"])
    return " ".join(([numbers(chance, 0, 59, whole=0.1)] if chance.random() < seconds else []) + fields)


def moment(chance, zone):
    """A second near a change of the clock, if there is one in a year that is drawn."""
    first = int(datetime(chance.choice(YEARS), 1, 1, tzinfo=UTC).timestamp())
    changes = _zones.changes(zone, first, first + 366 * DAY)
    if changes:
        return chance.choice(changes) + chance.choice([-30, -12, -1, 0, 0, 1]) * HOUR + chance.randint(0, 7_200)
    return first + chance.randint(0, 366 * DAY)


def cases(seed, count):
    """So many (expression, name of a zone, second)."""
    chance = random.Random(seed)
    while count:
        text, name = expression(chance), chance.choice(ZONES)
        try:
            Expression(text)
        except ValueError:
            continue  # it never comes
        count -= 1
        yield text, name, moment(chance, ZoneInfo(name))


def minutes(text, zone, after, until):
    """The times ``after < t <= until`` of five fields, by looking at each local minute that a clock shows or skips.

    Which of them are skipped or shown twice Python says by `fold`.
    """
    expression, found = Expression(text), set()
    local = datetime.fromtimestamp(after - 3 * HOUR, zone).replace(tzinfo=None, second=0)
    end = datetime.fromtimestamp(until + 3 * HOUR, zone).replace(tzinfo=None)
    while local < end:
        second = int(local.replace(tzinfo=UTC).timestamp())
        if expression.first(second, second + 1) is not None:
            found.update(instants(local, zone, expression.is_fixed))
        local += timedelta(minutes=1)
    return sorted(time for time in found if after < time <= until)


def instants(local, zone, is_fixed):
    """When a local time is: at the end of the gap that skips it, or each time that it is shown."""
    shown = [local.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    shown = [
        time.astimezone(UTC) for time in shown if time.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local
    ]
    if is_fixed:
        while not shown:  # a minute later, until there is such a time again
            local += timedelta(minutes=1)
            shown = [datetime.fromtimestamp(second, UTC) for second in instants(local, zone, False)]
        shown = shown[:1]
    return [int(time.timestamp()) for time in shown]
