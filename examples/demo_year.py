"""A year of schedules in several zones, in virtual time: every occurrence of it, and the two nights when clocks change.

Run it with `make demo`, or `python examples/demo_year.py`.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from duewheel import Cron, Event, Scheduler
from duewheel.testing import ManualClock

BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
YEAR = timedelta(days=365)
NIGHTS = {
    "clocks go forward": datetime(2027, 3, 28, tzinfo=PARIS),
    "clocks go back": datetime(2027, 10, 31, tzinfo=PARIS),
}
SCHEDULES = {
    "hourly in Paris": Cron("30 * * * *", tz="Europe/Paris"),
    "02:30 in Paris": Cron("30 2 * * *", tz="Europe/Paris"),
    "02:00 and 02:30, as shown": Cron("*/30 2 * * *", tz="Europe/Paris"),
    "weekdays at nine, New York": Cron("0 9 * * mon-fri", tz="America/New_York"),
    "every 15 minutes, Kolkata": Cron("*/15 * * * *", tz="Asia/Kolkata"),
    "last Friday, Lord Howe": Cron("0 12 * * 5L", tz="Australia/Lord_Howe"),
}


def main() -> int:
    """Run a year, show two nights of it, and compare with what the schedules say by themselves."""
    clock = ManualClock(BEGIN)
    starts: dict[str, list[datetime]] = {name: [] for name in SCHEDULES}
    scheduler = Scheduler(clock=clock, workers=1)

    @scheduler.handler("note")
    def note(event: Event) -> None:
        starts[event.job_id].append(datetime.fromtimestamp(event.job.due / 1e9, UTC))

    for name, schedule in SCHEDULES.items():
        scheduler.repeat(schedule, "note", id=name)
    began = time.perf_counter()
    with scheduler:
        clock.advance(YEAR)
        took_s = time.perf_counter() - began
        missed = scheduler.stats().missed
        for name in SCHEDULES:
            scheduler.cancel(name)
    count = sum(map(len, starts.values()))
    print(
        f"\nA year of {len(SCHEDULES)} repeats in four zones, in virtual time: {count:,} occurrences in {took_s:.2f} s"
    )
    for title, night in NIGHTS.items():
        print(f"\n  {title} in Paris, {night:%d %B}:")
        for name in list(SCHEDULES)[:3]:
            local = [at.astimezone(PARIS) for at in starts[name]]
            shown = [f"{at:%H:%M%z}"[:8] for at in local if at.date() == night.date() and at.hour < 5]
            print(f"    {name:28} {'  '.join(shown) or 'nothing'}")
    after = timedelta(microseconds=1)  # times are from a moment on and before another
    wrong = [
        name
        for name, schedule in SCHEDULES.items()
        if starts[name] != [at.astimezone(UTC) for at in schedule.between(BEGIN + after, BEGIN + YEAR + after)]
    ]
    print("\nEach ran at all of its times, once." if not wrong and not missed else f"\nWRONG: {wrong}, {missed} missed")
    return 1 if wrong or missed else 0


if __name__ == "__main__":
    sys.exit(main())
