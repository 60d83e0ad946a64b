"""Rules of zones that change between two lives of a file, each of which is a process: zones are read once in one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from zoneinfo import TZPATH

import pytest

START = 1_806_148_800
"""2027-03-27T12Z: the night after it clocks go forward in Paris."""
HOUR = 3_600
NAMES = ("Europe/Paris", "Europe/London", "America/New_York", "Asia/Tokyo")

LIFE = dedent("""
    import json, logging, sys
    from duewheel import Cron, Days, Every, LocalStorage, Scheduler
    from duewheel.testing import ManualClock

    path, now, code = sys.argv[1:]
    said, ran = [], []
    class Said(logging.Handler):
        def emit(self, record):
            said.append((record.levelname, record.getMessage()))
    logging.getLogger("duewheel").addHandler(Said())
    clock = ManualClock(float(now))
    scheduler = Scheduler(LocalStorage(path, durability="relaxed"), clock=clock, seed=7, workers=1)
    scheduler.handle("t", lambda event: ran.append((event.job_id, event.job.due / 1e9)))
    scheduler.start()
    answer = None
    exec(code)
    standing = {repeat.id: [repeat.next and repeat.next / 1e9, repeat.occurrence] for repeat in scheduler.repeats()}
    scheduler._check()
    scheduler.close()
    print(json.dumps({"standing": standing, "said": said, "ran": ran, "answer": answer}))
""")


class World:
    """A directory of zones of its own, and a file that is opened in one process after the other."""

    def __init__(self, folder):
        self.zones, self.path = folder / "zoneinfo", folder / "jobs.db"
        for name in NAMES:
            self.put(name, name)

    def put(self, name, rules):
        to = self.zones / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(system_zones() / rules, to)

    def live(self, code="", at=0.0):
        """Open the file at START + `at`, do this, and close it; what there was at the end."""
        here = {"TZDIR": str(self.zones), "PYTHONTZPATH": str(self.zones)}
        command = [sys.executable, "-c", LIFE, str(self.path), str(START + at), dedent(code)]
        done = subprocess.run(command, env=here, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def system_zones():
    for folder in map(Path, TZPATH):
        if (folder / "Europe" / "Paris").exists():
            return folder
    tzdata = pytest.importorskip("tzdata")
    return Path(tzdata.__file__).parent / "zoneinfo"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


STORED = """
    for zone in ("Europe/Paris", "Europe/London"):
        scheduler.repeat("0 9 * * *", "t", id=zone, tz=zone)
        scheduler.repeat(Every(HOUR, anchor=0) & Cron("* 9 * * *", tz=zone), "t", id=f"{zone}, combined")
""".replace("HOUR", str(HOUR))


def hours(lived):
    """When each comes next, in hours from START."""
    return {id: (next - START) / HOUR for id, (next, _) in lived["standing"].items()}


def ran(lived):
    """Of which time each ran, in hours from START."""
    assert len(lived["ran"]) == len(dict(lived["ran"])), "each once"
    return {id: pytest.approx((due - START) / HOUR) for id, due in lived["ran"]}


def test_the_repeats_of_a_zone_that_has_changed_are_found_anew_and_no_others(world):
    first = world.live(STORED)
    # Sunday at nine, in summer time already.
    assert hours(first) == {
        "Europe/Paris": 19, "Europe/Paris, combined": 19, "Europe/London": 20, "Europe/London, combined": 20,
    }  # fmt: skip
    world.put("Europe/Paris", "America/New_York")
    second = world.live(at=1)
    assert hours(second) == {
        # From their last time, which is when they were scheduled: nine o'clock in New York is an hour after START.
        "Europe/Paris": 1, "Europe/Paris, combined": 1, "Europe/London": 20, "Europe/London, combined": 20,
    }  # fmt: skip
    # It is on disk: with the same rules nothing is found again.
    assert hours(world.live(at=1)) == hours(second)
    third = world.live("clock.advance(20 * 3600)", at=2)
    assert ran(third) == {
        "Europe/London": 20,
        "Europe/London, combined": 20,
        "Europe/Paris": 1,
        "Europe/Paris, combined": 1,
    }


def test_what_was_passed_over_is_found_anew_of_the_changed_zone_alone(world):
    world.live("""
        for zone in ("Europe/Paris", "Europe/London"):
            scheduler.repeat("0 9 * * *", "t", id=zone, tz=zone, catch_up="none")
    """)
    passed = world.live("clock.advance(0)", at=25 * HOUR)
    assert (passed["ran"], hours(passed)) == ([], {"Europe/Paris": 43, "Europe/London": 44})
    world.put("Europe/Paris", "America/New_York")
    assert hours(world.live(at=26 * HOUR)) == {"Europe/Paris": 1, "Europe/London": 44}
    later = world.live("clock.advance(0)", at=27 * HOUR)
    assert (later["ran"], hours(later)) == ([], {"Europe/Paris": 49, "Europe/London": 44})


def test_what_was_asked_for_once_more_does_not_hide_that_rules_have_changed(world):
    world.live(STORED)
    world.live("scheduler.drain(); scheduler.trigger('Europe/Paris'); scheduler.trigger('Europe/London')", at=0.5)
    world.put("Europe/Paris", "America/New_York")
    world.live(at=0.5 * HOUR)
    lived = world.live("clock.advance(0)", at=0.75 * HOUR)
    assert list(ran(lived)) == ["Europe/Paris", "Europe/London"]
    assert (hours(lived)["Europe/Paris"], hours(lived)["Europe/London"]) == (1, 20)


def test_a_zone_that_is_gone_holds_its_repeats_back_until_it_is_there_again(world):
    world.live(STORED)
    (world.zones / "Europe/Paris").unlink()
    gone = world.live(
        """
        clock.advance(30 * 3600)
        answer = [call("Europe/Paris") for call in (scheduler.explain, scheduler.trigger, scheduler.explain)]
        clock.advance(1)
        """,
        at=1,
    )
    assert ran(gone) == {"Europe/London": 20, "Europe/London, combined": 20}
    ((level, line),) = [(level, line) for level, line in gone["said"] if "Europe/Paris" in line]
    assert level == "ERROR"
    assert "'Europe/Paris', 'Europe/Paris, combined'" in line
    assert line.startswith(
        'repeats are held back until the file is opened with their zone: tz "Europe/Paris" is not known'
    )
    held, triggered, still = gone["answer"]
    assert "is held back: tz" in held
    assert "update the zones (tzdata)" in held
    assert triggered
    assert still == held
    world.put("Europe/Paris", "Europe/Paris")
    back = world.live("clock.advance(1)", at=31 * HOUR)
    assert not [line for _, line in back["said"] if "held back" in line]
    at_nine = START + 19 * HOUR
    assert sorted(back["ran"]) == [
        ["Europe/Paris", at_nine],
        ["Europe/Paris", START + 1 + 30 * HOUR],  # asked for while it was held back
        ["Europe/Paris, combined", at_nine],
    ]


def test_what_is_resumed_while_its_zone_is_gone_goes_on_with_the_first_time_after_that(world):
    world.live(STORED + "    for repeat in list(scheduler.repeats()): scheduler.pause(repeat.id)\n")
    (world.zones / "Europe/Paris").unlink()
    resumed = world.live("for repeat in list(scheduler.repeats()): scheduler.resume(repeat.id)", at=21 * HOUR)
    assert len(resumed["standing"]) == 4
    world.put("Europe/Paris", "Europe/Paris")
    back = world.live("clock.advance(0)", at=22 * HOUR)
    assert back["ran"] == []
    assert hours(back)["Europe/Paris"] == hours(back)["Europe/Paris, combined"] == 19 + 24


def test_another_edit_of_a_repeat_whose_zone_is_gone_leaves_it_held(world):
    world.live(STORED)
    (world.zones / "Europe/Paris").unlink()
    edited = world.live(
        """
        schedule = scheduler.get_repeat("Europe/Paris").schedule
        scheduler.repeat(schedule, "t", b"other", id="Europe/Paris")
        clock.advance(30 * 3600)
        answer = scheduler.explain("Europe/Paris")
        """
    )
    assert "is held back: tz" in edited["answer"]
    world.put("Europe/Paris", "Europe/Paris")
    back = world.live("clock.advance(0)", at=31 * HOUR)
    assert ran(back)["Europe/Paris"] == 19
