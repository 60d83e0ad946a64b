"""Hold cron to the times that the contract writes down, on the reference and on the public class."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

import duewheel
from duewheel._times import wall_ns
from duewheel.reference._schedules import Cron

PARIS, SANTIAGO, APIA, LORD_HOWE = "Europe/Paris", "America/Santiago", "Pacific/Apia", "Australia/Lord_Howe"
MARCH, OCTOBER = "2027-03-27T12:00", "2027-10-30T12:00"
VECTORS = [
    ("30 2 * * *", PARIS, MARCH, ["2027-03-28T01:00", "2027-03-29T00:30"]),
    ("0,30 2,3 * * *", PARIS, MARCH, ["2027-03-28T01:00", "2027-03-28T01:30", "2027-03-29T00:00"]),
    ("*/30 2 * * *", PARIS, MARCH, ["2027-03-29T00:00"]),
    ("30 2 * * *", PARIS, OCTOBER, ["2027-10-31T00:30", "2027-11-01T01:30"]),
    ("30 * * * *", PARIS, "2027-10-30T23:45", ["2027-10-31T00:30", "2027-10-31T01:30", "2027-10-31T02:30"]),
    ("0 1-3 * * *", PARIS, OCTOBER, ["2027-10-30T23:00", "2027-10-31T00:00", "2027-10-31T02:00"]),
    ("0 0 * * *", SANTIAGO, "2025-09-06T12:00", ["2025-09-07T04:00", "2025-09-08T03:00"]),
    ("30 2 * * *", APIA, "2011-12-29T00:00", ["2011-12-29T12:30", "2011-12-30T10:00", "2011-12-30T12:30"]),
    ("15 2 * * *", LORD_HOWE, "2027-10-02T12:00", ["2027-10-02T15:30", "2027-10-03T15:15"]),
    # Beyond the contract: days, on which no clock has a say.
    ("0 0 */2 * mon", "UTC", "2026-11-01T00:00", ["2026-11-09T00:00", "2026-11-23T00:00"]),
    ("0 0 13 * fri", "UTC", "2026-11-01T00:00", ["2026-11-06T00:00", "2026-11-13T00:00", "2026-11-20T00:00"]),
    ("0 0 L * ?", "UTC", "2027-02-01T00:00", ["2027-02-28T00:00", "2027-03-31T00:00"]),
    ("0 0 LW * *", "UTC", "2027-01-01T00:00", ["2027-01-29T00:00", "2027-02-26T00:00", "2027-03-31T00:00"]),
    ("0 0 15W * *", "UTC", "2027-05-01T00:00", ["2027-05-14T00:00", "2027-06-15T00:00"]),
    ("0 0 1W * *", "UTC", "2027-05-01T00:00", ["2027-05-03T00:00", "2027-06-01T00:00"]),
    ("0 0 31W * *", "UTC", "2027-01-01T00:00", ["2027-01-29T00:00", "2027-03-31T00:00"]),
    ("0 0 * * 5L", "UTC", "2027-01-01T00:00", ["2027-01-29T00:00", "2027-02-26T00:00"]),
    ("0 0 ? * fri#2", "UTC", "2027-01-01T00:00", ["2027-01-08T00:00", "2027-02-12T00:00"]),
    ("0 0 * * fri-sun", "UTC", "2027-01-01T00:00", ["2027-01-02T00:00", "2027-01-03T00:00", "2027-01-08T00:00"]),
    ("30 5 4 29 feb *", "UTC", "2027-01-01T00:00", ["2028-02-29T04:05:30", "2032-02-29T04:05:30"]),
    ("@weekly", "UTC", "2026-11-29T00:00", ["2026-12-06T00:00"]),
    ("@hourly", PARIS, "2027-10-31T00:00", ["2027-10-31T01:00", "2027-10-31T02:00"]),
]


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Reference:
    """The reference's class, with the public one's times."""

    def __init__(self, text, tz):
        self.cron = Cron(text, tz=tz)

    def next(self, after):
        time = self.cron.next(wall_ns(after))
        return None if time is None else datetime.fromtimestamp(time // 10**9, UTC)


KINDS = [Reference, duewheel.Cron]


@pytest.fixture(params=KINDS, ids=["reference", "public"])
def cron(request):
    return request.param


@pytest.mark.parametrize(("text", "zone", "after", "times"), VECTORS, ids=lambda value: str(value))
def test_the_times_of_the_contract(cron, text, zone, after, times):
    schedule, time, found = cron(text, tz=zone), moment(after), []
    for _ in times:
        time = schedule.next(time)
        found.append(time.astimezone(UTC))  # of two zones, Python finds no times equal that a clock shows twice
    assert found == [moment(expected) for expected in times]


WRONG = """
5/15 * * * *; 0 0 * * fri-mon; @reboot; H * * * *; 0 0 30 2 *; 0 0 L-3 * *; 0 0 1-5W * *; 0 0 * * L; */90 * * * *
*/0 * * * *; * * * *; 0 0 0 * * * 2027; 60 * * * *; 0 0 * * monday; ? * * * *; 0 0 0 * *; 30-20 * * * *; , * * * *
"""


@pytest.mark.parametrize("text", ["", *re.split("[;\n] *", WRONG.strip())])
def test_what_is_no_expression_is_refused(cron, text):
    with pytest.raises(ValueError):
        cron(text, tz="UTC")


@pytest.mark.parametrize("zone", [ZoneInfo("Asia/Kathmandu"), timezone(timedelta(hours=5, minutes=45))], ids=str)
def test_a_zone_may_be_an_object_of_python(cron, zone):
    assert cron("0 12 * * *", tz=zone).next(moment("2027-07-01T00:00")) == moment("2027-07-01T06:15")


def test_an_unknown_zone_is_refused(cron):
    with pytest.raises(ValueError, match="Europe/Atlantis"):
        cron("0 12 * * *", tz="Europe/Atlantis")
