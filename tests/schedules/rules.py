"""Make recurrence rules at random, with starts near changes of clocks."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from expressions import ZONES, moment

FREQUENCIES = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
UNITS = [366 * 86_400, 31 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1]


def listed(chance, numbers, most=3):
    return ",".join(map(str, chance.sample(numbers, chance.randint(1, min(most, len(numbers))))))


def signed(high):
    return [*range(1, high + 1), *range(-high, 0)]


def near(chance, number, low, high, reach):
    """Numbers of which most are near one, so that a rule that counts small units has times soon."""
    numbers = [number + more for more in range(-reach, reach + 1) if low <= number + more <= high]
    return numbers if chance.random() < 0.8 else list(range(low, high + 1))


def weekdays(chance, frequency, parts):
    """BYDAY, with numbers where they have a meaning."""
    chosen = chance.sample(WEEKDAYS, chance.randint(1, 4))
    if frequency not in ("YEARLY", "MONTHLY") or "BYWEEKNO" in parts or chance.random() < 0.4:
        return ",".join(chosen)
    most = 53 if frequency == "YEARLY" and "BYMONTH" not in parts and chance.random() < 0.5 else 5
    bare = 0.15 if chance.random() < 0.3 else 0
    return ",".join(day if chance.random() < bare else f"{chance.choice(signed(most))}{day}" for day in chosen)


def add_days(chance, frequency, start, parts):
    often = 0.25 if frequency in ("YEARLY", "MONTHLY", "WEEKLY", "DAILY") else 0.15
    if chance.random() < often:
        parts["BYMONTH"] = listed(chance, near(chance, start.month, 1, 12, 1))
    if frequency == "YEARLY" and chance.random() < 0.2:
        parts["BYWEEKNO"] = listed(chance, signed(53) if chance.random() < 0.5 else [1, 2, 52, 53, -1, -2, -52, -53])
    if frequency in ("YEARLY", "HOURLY", "MINUTELY", "SECONDLY") and chance.random() < often / 2:
        day = start.timetuple().tm_yday
        days = [*near(chance, day, 1, 366, 3), day - 366, day - 365]
        parts["BYYEARDAY"] = listed(chance, [day for day in days if day] if chance.random() < 0.7 else signed(366), 5)
    if frequency != "WEEKLY" and chance.random() < often:
        days = [*near(chance, start.day, 1, 31, 2), -1, -2, -3, -31, 31, 30, 29]
        parts["BYMONTHDAY"] = listed(chance, days if chance.random() < 0.7 else signed(31), 5)
    if chance.random() < often * 1.5:
        parts["BYDAY"] = weekdays(chance, frequency, parts)


def add_times(chance, frequency, start, parts):
    rare = 0.3 if frequency in ("HOURLY", "MINUTELY", "SECONDLY") else 0.5
    if chance.random() < rare:
        parts["BYHOUR"] = listed(chance, [*near(chance, start.hour, 0, 23, 2), 0, 1, 2, 3, 23], 4)
    if chance.random() < rare / 2:
        parts["BYMINUTE"] = listed(chance, [*near(chance, start.minute, 0, 59, 5), 0, 30], 4)
    if chance.random() < rare / 3:
        parts["BYSECOND"] = listed(chance, [*near(chance, start.second, 0, 59, 5), 0, 59, 60], 3)


def end(chance, start, unit, zone):
    """COUNT, or UNTIL in one of its ways."""
    if chance.random() < 0.5:
        return "COUNT", str(chance.choice([1, 2, 5, chance.randint(1, 60)]))
    last = start + timedelta(seconds=min(unit * chance.randint(0, 60), 200 * UNITS[0]) + chance.randint(0, 86_400))
    last = min(last, datetime(2250, 1, 1, tzinfo=UTC).replace(tzinfo=None))
    kind = chance.random()
    if kind < 0.3:
        return "UNTIL", f"{last:%Y%m%d}"
    if kind < 0.6:
        return "UNTIL", f"{last:%Y%m%dT%H%M%S}"
    return "UNTIL", f"{last.replace(tzinfo=zone).astimezone(UTC):%Y%m%dT%H%M%SZ}"


def rule(chance, start, zone):
    frequency = chance.choice(FREQUENCIES)
    unit = UNITS[FREQUENCIES.index(frequency)]
    parts = {"FREQ": frequency}
    if chance.random() < 0.5:
        most = {"YEARLY": 4, "SECONDLY": 5_000, "MINUTELY": 400, "HOURLY": 40}.get(frequency, 12)
        parts["INTERVAL"] = str(chance.choice([2, 3, chance.randint(1, most)]))
    add_days(chance, frequency, start, parts)
    add_times(chance, frequency, start, parts)
    if any(name.startswith("BY") for name in parts) and chance.random() < 0.3:
        parts["BYSETPOS"] = listed(chance, [1, 2, 3, -1, -2, 5, 10, -7] if chance.random() < 0.9 else signed(366))
    if chance.random() < 0.3:
        parts["WKST"] = chance.choice(WEEKDAYS)
    if chance.random() < 0.4:
        name, value = end(chance, start, unit * int(parts.get("INTERVAL", 1)), zone)
        parts[name] = value
    return ";".join(f"{name}={value}" for name, value in parts.items())


def case(seed, number):
    """A rule, its start in local time, which may be one that clocks skip, and the name of its zone."""
    chance = random.Random(f"{seed} {number}")
    name = chance.choice(ZONES)
    zone = ZoneInfo(name)
    local = datetime.fromtimestamp(moment(chance, zone), zone).replace(tzinfo=None)
    start = local + timedelta(seconds=chance.choice([0, 0, -3_600, 3_600, 1_800]))
    if chance.random() < 0.5:
        start = start.replace(second=0)
    return rule(chance, start, zone), start, name
