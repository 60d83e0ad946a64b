"""Jobs of APScheduler 3, taken over from its own job store in a database."""

import io
import pickle
import sys
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from duewheel import Event, JobOptions, Scheduler
from duewheel.cli import _apscheduler
from duewheel.cli._ends import FINE, FOUND, UNREACHABLE, USAGE
from duewheel.cli._transfer import GivenRepeat, LineError
from duewheel.testing import ManualClock

pytest.importorskip("sqlalchemy")
schedulers = pytest.importorskip("apscheduler.schedulers.background")
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore  # noqa: E402
from apscheduler.triggers.combining import OrTrigger  # noqa: E402
from apscheduler.triggers.cron import CronTrigger  # noqa: E402
from apscheduler.triggers.date import DateTrigger  # noqa: E402
from apscheduler.triggers.interval import IntervalTrigger  # noqa: E402

PARIS = ZoneInfo("Europe/Paris")
SHOP = """
sent = []

def send(to, subject="hello", *, copies=1):
    sent.append((to, subject, copies))

class Cart:
    def empty(self, customer):
        pass
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module of a program, in the directory in which the command is called."""
    (tmp_path / "shop_of_test.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "shop_of_test"
    sys.modules.pop("shop_of_test", None)


@pytest.fixture
def store(tmp_path, shop, monkeypatch):
    """A job store in a file, with a scheduler of APScheduler over it that runs nothing."""
    monkeypatch.syspath_prepend(str(tmp_path))
    url = f"sqlite:///{tmp_path}/aps.sqlite"
    scheduler = schedulers.BackgroundScheduler(jobstores={"default": SQLAlchemyJobStore(url=url)}, timezone=UTC)
    scheduler.start(paused=True)
    yield scheduler, url
    scheduler.shutdown()
    scheduler._jobstores.clear()


def taken_over(cli, path, url, *arguments):
    return cli("import", "--from", "apscheduler", url, "-f", path, *arguments)


def test_jobs_are_taken_over(cli, path, store, shop):
    scheduler, url = store
    later = datetime(2030, 1, 1, 12, tzinfo=PARIS)
    scheduler.add_job(f"{shop}:send", DateTrigger(later), args=["ada", "hi"], id="once")
    scheduler.add_job(
        f"{shop}:send", IntervalTrigger(hours=2, start_date=later), args=["b"], id="two-hours", jitter=None
    )
    scheduler.add_job(
        f"{shop}:send",
        CronTrigger(hour="9", minute=30, day_of_week="mon-fri", timezone=PARIS, jitter=60),
        kwargs={"to": "c", "copies": 2},
        id="weekdays",
        misfire_grace_time=300,
    )
    scheduler.add_job(f"{shop}:send", CronTrigger(second="*/10", timezone=UTC), args=["d"], id="held").pause()
    ended = taken_over(cli, path, url)
    assert (ended.status, ended.out) == (FINE, "took in 1 job and 3 repeats\n"), ended.err

    opened = Scheduler(path)
    try:
        once = opened.get("once")
        assert (once.due, once.target) == (int(later.timestamp()) * 10**9, f"{shop}.send")
        assert once.job.options.retry_limit == 0
        hours = opened.get_repeat("two-hours")
        assert hours.next == int(later.timestamp()) * 10**9
        assert [n - hours.next for n in hours.upcoming(3)] == [0, 7_200 * 10**9, 14_400 * 10**9]
        weekdays = opened.get_repeat("weekdays")
        assert (weekdays.spread, weekdays.window, weekdays.catch_up) == (60, 300, "one")
        assert weekdays.options.retry_limit == 0
        assert "tz='Europe/Paris'" in repr(weekdays.schedule)
        assert opened.get_repeat("held").paused
    finally:
        opened.close()
    assert "4 were there already" in taken_over(cli, path, url).out


def test_the_arguments_reach_a_task(cli, path, store, shop):
    scheduler, url = store
    for number, (args, kwargs) in enumerate([(["ada"], {}), (["b", "s"], {}), ([], {"to": "c", "copies": 3})]):
        scheduler.add_job(
            f"{shop}:send",
            "date",
            run_date=datetime(2029, 1, 1, 0, 0, number, tzinfo=UTC),
            args=args,
            kwargs=kwargs,
            misfire_grace_time=None,
        )
    assert taken_over(cli, path, url).status == FINE
    module = __import__(shop)
    clock = ManualClock(1_900_000_000)
    with Scheduler(path, clock=clock, workers=1) as opened:
        opened.task()(module.send)
        clock.advance(0)
        assert module.sent == [("ada", "hello", 1), ("b", "s", 1), ("c", "hello", 3)]


def test_what_cannot_be_taken_over_is_listed_and_stays_there(cli, path, store, shop):
    scheduler, url = store
    add = scheduler.add_job
    module = __import__(shop)
    interval = IntervalTrigger(hours=1)
    add(f"{shop}:send", OrTrigger([interval]), args=["a"], id="combined")
    add(f"{shop}:send", CronTrigger(week="5"), args=["a"], id="week")
    add(f"{shop}:send", CronTrigger(year="2030"), args=["a"], id="year")
    add(f"{shop}:send", interval, args=[datetime(2030, 1, 1, tzinfo=UTC)], id="no-json")
    add(f"{shop}:send", "date", run_date=datetime(2030, 1, 1, tzinfo=UTC), args=["a"], id="paused-once").pause()
    add(module.Cart().empty, interval, args=["ada"], id="method")
    (good,) = [add(f"{shop}:send", interval, args=["a"], id="good")]
    ended = taken_over(cli, path, url)
    assert ended.status == FOUND and ended.out == "took in 0 jobs and 1 repeat\n"
    reasons = {
        "combined": "its trigger is a OrTrigger",
        "week": "week=5",
        "year": "year=2030",
        "no-json": "cannot be stored as JSON",
        "paused-once": "it is paused",
        "method": f"{shop}.Cart in it",
    }
    for id, reason in reasons.items():
        (line,) = [line for line in ended.err.splitlines() if line.startswith(f"duewheel: {id}: not taken in: ")]
        assert reason in line
    assert len(scheduler.get_jobs()) == 7 and good.id == "good"
    dry = taken_over(cli, path, url, "--dry-run", "--json")
    assert dry.records[-1]["refused"] == 6 and {one.get("refused") for one in dry.records[:-1]} == set(reasons)


def test_a_program_that_is_not_here(cli, path, store, shop, tmp_path, monkeypatch):
    scheduler, url = store
    scheduler.add_job(f"{shop}:send", "interval", hours=1, args=["a"], id="unnamed")
    scheduler.add_job(f"{shop}:send", "interval", hours=1, kwargs={"to": "a"}, id="named")
    sys.modules.pop(shop)
    (tmp_path / f"{shop}.py").unlink()
    ended = taken_over(cli, path, url)
    assert ended.out == "took in 0 jobs and 1 repeat\n" and "call this where the program is" in ended.err
    assert cli("show", "named", "-f", path, "--json").record["data"] == '{"to":"a"}'


def test_a_store_that_is_none(cli, path, tmp_path):
    ended = taken_over(cli, path, f"sqlite:///{tmp_path}/nothing.sqlite")
    assert ended.status == UNREACHABLE and "has no table apscheduler_jobs" in ended.err
    ended = taken_over(cli, path, "nosuch://user:secret@host/x")
    assert ended.status == USAGE and "secret" not in ended.err
    ended = taken_over(cli, path, "postgresql+psycopg://user:secret@127.0.0.1:1/x?connect_timeout=1")
    assert ended.status == UNREACHABLE and "secret" not in ended.err and "Traceback" not in ended.err


class Evil:
    def __reduce__(self):
        return (__import__("os").system, ("touch /tmp/duewheel-was-here",))


@pytest.mark.parametrize(
    "state",
    [
        pickle.dumps(Evil()),
        pickle.dumps({"trigger": None, "args": [Evil()]}),
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x1dapscheduler.triggers.interval\x8c\x10random._os.system\x93\x8c\x04true\x85R.",
        b"\x80\x04\x8c\x1dapscheduler.triggers.interval\x8c\x06random\x93.",
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93\x8c\x08zoneinfo\x8c\x08ZoneInfo\x93\x8c\x07no_cache\x86R.",
        b"nonsense",
        b"",
        pickle.dumps([1]),
        pickle.dumps({"id": "a"}),
    ],
)
def test_no_pickle_runs_anything(state):
    with pytest.raises(LineError):
        _apscheduler._unpickled(state)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("zone", [UTC, PARIS, timezone(timedelta(hours=2))], ids=str)
def test_triggers_of_every_protocol_are_read(protocol, zone):
    trigger = CronTrigger(hour=1, timezone=zone, start_date=datetime(2030, 1, 1, tzinfo=zone))
    state = {"version": 1, "id": "a", "func": "m:f", "trigger": trigger, "args": (), "kwargs": {}}
    state |= {"coalesce": False, "misfire_grace_time": 5, "next_run_time": datetime(2030, 1, 1, 1, tzinfo=zone)}
    found = _apscheduler._read("a", _apscheduler._unpickled(pickle.dumps(state, protocol)), JobOptions())
    assert isinstance(found, GivenRepeat) and found.terms["catch_up"] == "all"
    date = state | {"trigger": DateTrigger(datetime(2030, 1, 1, 1, tzinfo=zone))}
    assert isinstance(_apscheduler._read("a", pickle.loads(pickle.dumps(date)), JobOptions()), Event)


def numbers(low, high):
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.integers(1, max(2, high // 2))
    stepped = st.tuples(span, steps).map(lambda pair: f"{pair[0]}/{pair[1]}")
    items = st.lists(number.map(str) | span | stepped, min_size=1, max_size=3).map(",".join)
    return (
        st.just("*")
        | steps.map(lambda step: f"*/{step}")
        | items
        | st.tuples(number, steps).map("{0[0]}/{0[1]}".format)
    )


WEEKDAYS = st.sampled_from("mon tue wed thu fri sat sun".split())
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "month": numbers(1, 12) | st.sampled_from(["jan", "jan-mar", "dec"]),
        "day": numbers(1, 28)
        | st.just("last")
        | st.tuples(st.sampled_from(["1st", "2nd", "3rd", "last"]), WEEKDAYS).map(" ".join)
        | st.tuples(st.integers(1, 28), st.sampled_from(["1st fri", "last sun"])).map("{0[0]},{0[1]}".format),
        "day_of_week": numbers(0, 6) | WEEKDAYS | st.just("mon-wed,sat"),
        "hour": numbers(0, 23),
        "minute": numbers(0, 59),
        "second": numbers(0, 59),
    },
)


@given(FIELDS)
def test_a_cron_trigger_has_the_same_times(fields):
    try:
        trigger = CronTrigger(timezone=UTC, **fields)
    except ValueError:  # a step that goes over the end
        assume(False)
    try:
        schedule = _apscheduler._cron(trigger)
    except LineError:  # it never comes; there it is looked for until the year 9999
        assert fields.keys() & {"day", "month"}
        return
    when = datetime(2027, 1, 1, tzinfo=UTC)
    for _ in range(10):
        fired = trigger.get_next_fire_time(when, when)
        assert schedule.next(when) == fired, (schedule, fields)
        if fired is None:
            break
        when = fired


@pytest.mark.parametrize("fields", [{"month": 2, "day": 30}, {"day": "1st mon", "day_of_week": "sun"}], ids=str)
def test_a_cron_trigger_that_never_comes_is_named(fields):
    with pytest.raises(LineError, match="its cron trigger"):
        _apscheduler._cron(CronTrigger(timezone=UTC, **fields))


def test_the_reader_names_what_it_refuses():
    with pytest.raises(LineError, match=r"it has a .*Evil|system in it"):
        _apscheduler._Careful(io.BytesIO(pickle.dumps(Evil()))).load()
