"""What is exported and imported again is the same: jobs with a past, repeats, between files and databases."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duewheel import Consistency, Cron, Days, Event, Every, Job, JobOptions, Scheduler
from duewheel._times import FIRST_NS, LAST_NS, exactly
from duewheel.cli._ends import FINE, FOUND, USAGE
from duewheel.cli._shown import data_fields
from duewheel.cli._transfer import _job_line, read_line
from duewheel.testing import ManualClock

DURATIONS = st.integers(0, 10**18)


@st.composite
def events(draw):
    low, high = sorted([draw(DURATIONS), draw(DURATIONS)])
    once = draw(st.booleans())
    options = JobOptions(
        retry_limit=0 if once else draw(st.none() | st.integers(0, 2**32 - 1)),
        min_backoff=exactly(low),
        max_backoff=exactly(high),
        age_limit=None if low == 0 else draw(st.none() | DURATIONS.map(exactly)),
        consistency=Consistency.AT_MOST_ONCE if once else Consistency.AT_LEAST_ONCE,
    )
    name = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=40)
    dues = st.integers(FIRST_NS + 1, LAST_NS)
    headers = draw(st.dictionaries(name, st.text(st.characters(blacklist_categories=["Cs"]), max_size=20), max_size=3))
    keep = draw(st.none() | st.integers(1, 10**18).map(exactly))
    carried = {"headers": headers, "key": draw(st.none() | name), "keep": keep}
    job = Job(draw(name), draw(name), draw(dues), draw(st.binary(max_size=50)), options, **carried)
    return Event(job, run=draw(st.integers(1, 2**32 - 1)), attempt=draw(st.integers(1, 2**32 - 1)), due=draw(dues))


@given(events())
def test_a_line_gives_the_event_back(event):
    line = json.dumps(_job_line(event))
    assert line.isascii() and read_line(line) == event


@given(st.binary(max_size=50) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_data_come_back(data):
    fields = data_fields(data)
    line = {"v": 1, "kind": "job", "id": "a", "target": "t", "due": 0} | fields
    assert read_line(json.dumps(line)).data == data


EVENTS = [
    Event(Job(f"id-{n}", "t", 10**18 + n, bytes([n]) * n, JobOptions(retry_limit=9), **carried), 3, 2, due)
    for carried in [{"headers": {"n": "1"}, "key": "k"}]
    for n, due in enumerate([2 * 10**18, 2 * 10**18, 19 * 10**17 + 1, 2 * 10**18])
]


def fill(scheduler):
    """Take in what an export is to have: jobs with a past, repeats of every kind, paused and declared ones."""
    for event in EVENTS:
        scheduler.storage.create(event)
    office = Every(600, anchor=0) & Cron("* 9-17 * * mon-fri", tz="Asia/Tokyo") - Days([])
    scheduler.repeat(office, "poll", b"x", id="office", catch_up="none", spread=0.1, pause_on_dead=True)
    scheduler.repeat("0 9 * * *", "u", tz="Europe/Paris", id="cron", catch_up="all", window=60, retry_limit=1)
    scheduler.repeat(3_600, "v", id="every", count=5, start=1_900_000_000, end=2_000_000_000)
    scheduler.repeat(60, "w", id="moved", headers={"tenant": "acme"}, key="acme")
    scheduler.reschedule("moved", 1_950_000_000.000_001)
    scheduler.repeat(60, "w", id="paused")
    scheduler.pause("paused")
    scheduler._repeat(60, "w", b"", True, id="declared")


def state(scheduler):
    """All that there is, as far as it is to be the same."""
    repeats = {
        one.id: (
            *(one.target, one.schedule, one.data, one.options, one.next, one.start, one.end, one.count, one.spread),
            *(one.catch_up, one.window, one.pause_on_dead, one.paused, one.declared, scheduler.get(one.id).job.headers),
            scheduler.get(one.id).job.key,
        )
        for one in scheduler.repeats()
    }
    return [event for event in scheduler.between() if event.job_id not in repeats], repeats


@pytest.fixture
def filled(a_file):
    scheduler = a_file.open()
    fill(scheduler)
    expected = state(scheduler)
    scheduler.close()
    return expected


@pytest.mark.parametrize("through", ["file", "database"])
def test_export_and_import_give_the_same(cli, a_file, filled, tmp_path, through, request):
    middle = ["-f", tmp_path / "middle.db"]
    if through == "database":
        middle = request.getfixturevalue("a_database").options
    exported = cli("export", *a_file.options)
    assert exported.err == "exported 4 jobs, 6 repeats, 0 dead\n"
    taken = cli("import", "-", *middle, said=exported.out.encode())
    assert (taken.status, taken.out) == (FINE, "took in 4 jobs and 6 repeats\n")
    again = cli("export", *middle)
    assert again.out == exported.out

    last = tmp_path / "last.db"
    (tmp_path / "lines").write_text(again.out)
    assert cli("import", tmp_path / "lines", "-f", last).status == FINE
    scheduler = Scheduler(last)
    try:
        assert state(scheduler) == filled
    finally:
        scheduler.close()


def test_jobs_of_one_due_stay_in_their_order(cli, a_database, monkeypatch):
    monkeypatch.setattr("duewheel.cli._putting._LARGEST_GROUP", 7)
    dues = [2 * 10**18] * 10 + [2 * 10**18 + 1] * 30 + [3 * 10**18 + number for number in range(20)]
    lines = [{"v": 1, "id": f"id-{number}", "target": "t", "due": due} for number, due in enumerate(dues)]
    taken = cli("import", "-", *a_database.options, said="\n".join(map(json.dumps, lines)).encode())
    assert taken.out == "took in 60 jobs and 0 repeats\n"
    listed = cli("list", "--json", *a_database.options).records
    assert [one["id"] for one in listed] == [line["id"] for line in lines]


def test_what_is_there_already_is_counted_and_stays(cli, a_file, filled):
    exported = cli("export", *a_file.options).out
    again = cli("import", "-", "--json", *a_file.options, said=exported.encode())
    counts = {"jobs": 0, "repeats": 0, "already": 10, "dead": 0, "refused": 0, "dry_run": False}
    assert again.status == FINE and again.record == counts
    assert cli("export", *a_file.options).out == exported


def test_a_dry_run_takes_nothing_in(cli, a_file, filled, tmp_path):
    exported = cli("export", *a_file.options).out
    ended = cli("import", "-", "--dry-run", "-f", tmp_path / "new.db", said=exported.encode())
    assert ended.out == "would take in 4 jobs and 6 repeats\n" and not (tmp_path / "new.db").exists()


def test_a_file_is_written_whole(cli, a_file, filled, tmp_path):
    assert cli("export", "-o", tmp_path / "e", *a_file.options).out == ""
    assert (tmp_path / "e").read_text() == cli("export", *a_file.options).out
    assert not (tmp_path / "e.part").exists()
    assert "cannot be written" in cli("export", "-o", tmp_path / "no" / "e", *a_file.options).err


def test_the_dead_are_exported_and_come_back_if_they_are_to(cli, a_file, quiet, tmp_path):
    clock = ManualClock(1_800_000_000)
    with a_file.open(clock=clock, workers=1) as scheduler:
        scheduler.handle("t", lambda event: 1 / 0)
        scheduler.in_(0, "t", b"x", id="a", retry_limit=0)
        clock.advance(0)
    exported = cli("export", *a_file.options).out
    line = json.loads(exported)
    assert (line["kind"], line["id"], line["reason"], line["died"]) == ("dead", "a", "failed", 1_800_000_000 * 10**9)
    assert "ZeroDivisionError" in line["error"]
    assert cli("export", "--no-dead", *a_file.options).out == ""

    new = ["-f", tmp_path / "new.db"]
    left = cli("import", "-", *new, said=exported.encode())
    assert left.status == FINE and "1 dead were left out" in left.out
    assert cli("import", "-", "--revive", *new, said=exported.encode()).out == "took in 1 job and 0 repeats\n"
    record = cli("list", "--json", *new).record
    assert (record["id"], record["run"], record["attempt"]) == ("a", 2, 1)


def public(kind):
    return {name for name in dir(kind) if name[0] != "_"}


FIELDS = {  # each field of a job, and another value of it
    "id": "other",
    "target": "other",
    "due": 5,
    "data": b"other",
    "options": JobOptions(retry_limit=7),
    "headers": {"a": "b"},
    "key": "k",
    "keep": 0.1,
}
OPTIONS = {
    "retry_limit": 7,
    "min_backoff": 0.3,
    "max_backoff": 7_000.1,
    "age_limit": 0.1,
    "consistency": Consistency.AT_MOST_ONCE,
}
OF_EVENTS = {"run": 4, "attempt": 3, "due": 6}
BASE = {"id": "a", "target": "t", "due": 1, "data": b"", "options": JobOptions()}


def job_of(fields):
    id, target, due, data, options, *carried = {**dict.fromkeys(FIELDS), **BASE, **fields}.values()
    return Job(id, target, due, data, options, **dict(zip([*FIELDS][5:], carried, strict=True)))


def test_no_field_of_a_job_is_lost():
    """What a job has from now on is in here, and so in the lines."""
    assert public(Job) == {*FIELDS}
    assert public(JobOptions) - {"replace"} == {*OPTIONS}
    derived = {"id", "job_id", "target", "data", "due_at", "lateness", "expired"}
    of_repeats = {"occurrence", "previous"}  # which begin anew
    assert public(Event) - derived - of_repeats - {"job"} == {*OF_EVENTS}
    plain = Event(job_of({}))
    changed = [
        *(Event(job_of({name: value})) for name, value in FIELDS.items()),
        *(Event(job_of({"options": JobOptions(**{name: value})})) for name, value in OPTIONS.items()),
        *(Event(job_of({}), **{name: value}) for name, value in OF_EVENTS.items()),
    ]
    for event in changed:
        line = json.dumps(_job_line(event))
        assert line != json.dumps(_job_line(plain))
        assert read_line(line) == event != plain


def test_no_field_of_a_repeat_is_lost(cli, a_file, filled, tmp_path):
    new = tmp_path / "new.db"
    cli("import", "-", "-f", new, said=cli("export", *a_file.options).out.encode())
    with a_file.open() as old, Scheduler(new) as copy:
        begin_anew = {"occurrence", "previous", "missed", "running"}
        fields = public(type(old.get_repeat("cron"))) - begin_anew - {"upcoming"}
        same = {name: old.get_repeat("every") for name in fields}
        for was in old.repeats():
            now = copy.get_repeat(was.id)
            assert {name: getattr(was, name) for name in fields} == {name: getattr(now, name) for name in fields}
            same = {name: one for name, one in same.items() if getattr(one, name) == getattr(was, name)}
        assert not same  # each is another one in at least one of them


def test_what_keeps_its_end_comes_back(cli, a_file, tmp_path, request):
    scheduler = a_file.open()
    scheduler.in_(3_600, "t", id="kept", keep=0.5)
    scheduler.in_(3_600, "t", id="other")
    scheduler.close()
    exported = cli("export", *a_file.options).out
    for place in (["-f", tmp_path / "new.db"], request.getfixturevalue("a_database").options):
        assert cli("import", "-", *place, said=exported.encode()).status == FINE
        kept = {line["id"]: line.get("keep_ns") for line in map(json.loads, cli("export", *place).out.splitlines())}
        assert kept == {"kept": 500_000_000, "other": None}


GOOD = {"v": 1, "kind": "job", "id": "a", "target": "t", "due": 0}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nothing", "it is no JSON"),
        ("[1]", "it is no line of an export"),
        ('{"id": "a"}', "it is no line of an export"),
        (GOOD | {"v": 2}, "it is of version 2"),
        (GOOD | {"kind": "thing"}, "its kind is 'thing'"),
        ({"v": 1, "id": "a", "target": "t"}, "it has no due"),
        (GOOD | {"id": ""}, "id must have 1 to 255 bytes"),
        (GOOD | {"id": 5}, "id must be a str"),
        (GOOD | {"due": "soon"}, "due"),
        (GOOD | {"due": 10**30}, "due"),
        (GOOD | {"run": 0}, "run"),
        (GOOD | {"data": 5}, "its data must be a text"),
        (GOOD | {"headers": {"a": 5}}, "header"),
        (GOOD | {"headers": "a"}, "header"),
        (GOOD | {"key": 5}, "key must be a str"),
        (GOOD | {"keep_ns": 0.5}, "keep_ns must be a whole number"),
        (GOOD | {"keep_ns": 0}, "keep must be above 0"),
        (GOOD | {"data64": "!"}, "its data64 is no base64"),
        (GOOD | {"options": {"retry_limit": -1}}, "retry_limit"),
        (GOOD | {"options": {"min_backoff_ns": 0.5}}, "min_backoff_ns must be a whole number"),
        ({"v": 1, "kind": "repeat", "id": "a", "target": "t", "schedule": "often"}, ""),
        ({"v": 1, "kind": "repeat", "id": "a", "target": "t"}, "it has no schedule"),
        ({"v": 1, "kind": "repeat", "id": "a", "target": "t", "schedule": "times 1000"}, ""),
    ],
)
def test_a_line_that_is_none_is_named_and_the_rest_goes_on(cli, path, line, said):
    text = line if isinstance(line, str) else json.dumps(line)
    lines = f"{json.dumps(GOOD | {'id': 'x'})}\n{text}\n\n{json.dumps(GOOD | {'id': 'y'})}\n"
    ended = cli("import", "-", "-f", path, said=lines.encode())
    assert ended.status == FOUND and "line 2: not taken in: " in ended.err and said in ended.err
    assert [one["id"] for one in cli("list", "-f", path, "--json").records] == ["x", "y"]


def test_nothing_to_import_is_a_usage(cli, path):
    for arguments in ([], ["lines", "--from", "apscheduler", "sqlite://"], ["--from", "celery", "redis://"]):
        assert cli("import", *arguments, "-f", path).status == USAGE
    assert "cannot be read" in cli("import", path.parent / "nothing", "-f", path).err
    assert not path.exists()


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(events(), max_size=30, unique_by=lambda event: event.job_id))
def test_any_jobs_are_the_same_in_another_file(tmp_path_factory, events):
    from duewheel.cli import main

    folder = tmp_path_factory.mktemp("same")
    scheduler = Scheduler(folder / "a.db")
    for event in events:
        scheduler.storage.create(event)
    expected = list(scheduler.between())
    scheduler.close()
    assert main(["export", "-f", str(folder / "a.db"), "-o", str(folder / "e")]) == FINE
    assert main(["import", str(folder / "e"), "-f", str(folder / "b.db")]) == FINE
    scheduler = Scheduler(folder / "b.db")
    assert list(scheduler.between()) == expected
    scheduler.close()
