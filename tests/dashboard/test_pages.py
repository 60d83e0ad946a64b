"""What pages show, page by page; actions; the stream; and what an awaited scheduler makes of them."""

import asyncio
import re
import threading
import time
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

import duewheel
from duewheel import Every, aio, dashboard
from duewheel.dashboard._cursor import Cursor, Pager
from duewheel.dashboard._format import compact, distance, duration, last_line, size
from duewheel.dashboard._history import BOUNDS, History
from duewheel.testing import ManualClock


def ids_in(text):
    return re.findall(r'<a class="id" href="[^"]*">([^<]*)</a>', text)


def next_of(text):
    found = re.search(r'href="([^"]*)">Next page|rel="next" href="([^"]*)"', text)
    return found and (found[1] or found[2]).replace("&amp;", "&")


def pages_of(client, path):
    """All that the pages from this one on list."""
    seen = []
    while path:
        text = client.get(path).text
        seen += ids_in(text)
        path = next_of(text)
    return seen


def test_the_overview_has_the_numbers(filled):
    filled.die(3)
    filled.scheduler.in_(3600, "mail", id="later")
    filled.scheduler.in_(0, "nobody", id="parked")
    filled.clock.advance(0)
    text = filled.client().get("/").text
    tiles = dict(re.findall(r"</svg>(\w+)</dt><dd>(?:<a[^>]*>)?([^<]+)", text))
    assert (tiles["Pending"], tiles["Running"], tiles["Died"]) == ("2", "0", "3")
    assert "1 parked or paused" in text and 'id=later"' in text


def test_jobs_come_page_by_page_in_their_order(filled):
    ids = filled.scheduler.in_many([60 + number // 70 for number in range(210)], "mail")
    client = filled.client()
    assert pages_of(client, "/jobs") == list(ids)
    assert next_of(client.get("/jobs").text).startswith("/jobs?after=")


def test_a_page_of_jobs_goes_on_where_its_last_was(filled):
    ids = list(filled.scheduler.in_many([60] * 120, "mail"))
    client = filled.client()
    second = next_of(client.get("/jobs").text)
    filled.scheduler.in_(30, "mail", id="earlier")
    assert ids_in(client.get(second).text) == ids[50:100]


def test_filters_of_jobs_are_in_the_url(filled):
    filled.repeat()
    filled.scheduler.in_(60, "mail", id="a", max_backoff=9)
    filled.scheduler.in_(0, "mail", b"x", id="again", min_backoff=100, max_backoff=100)
    filled.clock.advance(1)
    filled.scheduler.in_(0, "nobody", id="waits")
    filled.clock.advance(0)
    client = filled.client()
    assert sorted(ids_in(client.get("/jobs").text)) == ["a", "again", "sweep", "waits"]
    assert sorted(ids_in(client.get("/jobs?target=mail").text)) == ["a", "again"]
    assert ids_in(client.get("/jobs?state=retrying").text) == ["again"]
    assert ids_in(client.get("/jobs?state=repeating").text) == ["sweep"]
    assert ids_in(client.get("/jobs?target=mail&state=retrying").text) == ["again"]
    assert ids_in(client.get("/jobs?target=nothing").text) == []
    assert ids_in(client.get("/jobs?after=nonsense&state=nonsense").text) != []
    text = client.get("/jobs?target=mail&state=retrying").text
    assert 'value="mail"' in text and '<option value="retrying" selected>' in text


def test_a_filter_that_matches_few_says_how_far_it_has_looked(one, monkeypatch):
    monkeypatch.setattr("duewheel.dashboard._jobs.LOOK", 100)
    one.scheduler.in_(0, "mail", b"x", id="again", min_backoff=9000, max_backoff=9000)
    one.clock.advance(1)
    one.scheduler.in_many([10 + number for number in range(300)], "mail")
    client = one.client()
    text = client.get("/jobs?state=retrying").text
    assert ids_in(text) == [] and "Looked at 100 jobs" in text
    assert pages_of(client, "/jobs?state=retrying") == ["again"]


def head_of(client, path="/"):
    """The state in the head of a page."""
    return re.search(r'aria-label="Now">\s*<span class="mark[^>]*>.*?</svg>([^<]+)<', client.get(path).text)[1]


def marks_of(client, path):
    rows = re.findall(r"<tr role=\"row\"><th scope=\"row\".*?</tr>", client.get(path).text, re.DOTALL)
    return {ids_in(row)[0]: re.search(r'data-label="State">.*?</svg>([^<]+)<', row)[1] for row in rows}


@pytest.mark.parametrize("in_file", [False, True])
def test_what_is_overdue_says_why(tmp_path, in_file, caplog):
    with duewheel.Scheduler(tmp_path / "jobs.db" if in_file else None) as scheduler:
        client = TestClient(dashboard.app(scheduler))
        assert head_of(client) == "On time"
        scheduler.at(time.time() - 50, "nobody", id="parked")
        scheduler.at(time.time() - 40, "nobody", id="parked, too")
        scheduler.pause(target="held")
        scheduler.handle("held", print)
        scheduler.at(time.time() - 30, "held", id="paused")
        for path in ("/", "/store"):
            assert head_of(client, path) == "Parked"
        text = client.get("/").text
        assert "the first is parked" in text and "&#39;nobody&#39; has no handler" in text
        assert marks_of(client, "/jobs?state=overdue") == {
            "parked": "parked", "parked, too": "parked", "paused": "paused"
        }  # fmt: skip
        text = client.get("/jobs").text
        assert "its target &#39;held&#39; is paused" in text
        assert "parked</span>" in client.get("/job?id=parked").text
        scheduler.handle("nobody", lambda event: None)
        assert scheduler.wait(30)
        assert head_of(client) == "Paused"
        scheduler.close()


def test_a_repeat_that_is_paused_is_not_overdue(quiet):
    with duewheel.Scheduler(clock=ManualClock(time.time() - 3_600)) as scheduler:
        scheduler.handle("sweep", lambda event: None)
        scheduler.repeat(Every(60), "sweep", id="sweep")
        client = TestClient(dashboard.app(scheduler))
        assert head_of(client) == "Behind", "by the clock of the machine"
        scheduler.pause("sweep")
        assert head_of(client) == "On time" and "tile-late" not in client.get("/").text
        assert marks_of(client, "/jobs") == {"sweep": "paused"}
        scheduler.close()


def test_what_waits_for_its_turn_is_behind_whatever_is_parked(quiet):
    begun, ends = threading.Event(), threading.Event()

    def stays(event):
        begun.set()
        ends.wait()

    with duewheel.Scheduler(workers=1) as scheduler:
        scheduler.handle("stays", stays)
        scheduler.in_(0, "stays")
        begun.wait()
        client = TestClient(dashboard.app(scheduler))
        scheduler.at(time.time() - 5000, "nobody", id="parked")
        scheduler.at(time.time() - 50, "stays", id="late")
        assert head_of(client) == "Behind"
        text = client.get("/").text
        assert re.search(r'tile-late">.*?<dd>50', text, re.DOTALL) and "waits for a worker" in text
        assert marks_of(client, "/jobs") == {"parked": "parked", "late": "overdue"}
        ends.set()
        scheduler.close()


def test_a_job_is_found_by_its_id(filled):
    filled.repeat()
    filled.scheduler.in_(60, "mail", id="a/b c?", retry_limit=None)
    filled.die(1)
    (dead,) = filled.scheduler.dead()
    client = filled.client(actions=True)
    answer = client.get("/find", params={"id": " a/b c? "})
    assert answer.status_code == 303
    text = client.get(answer.headers["location"]).text
    assert "a/b c?" in text and "no limit" in text and "Cancel" in text
    assert "Next" not in text and "Trigger" in client.get("/job?id=sweep").text
    text = client.get("/job", params={"id": dead.event.job_id}).text
    assert "ConnectionError: no route to example.org" in text and "Revive" in text
    assert "Nothing is known of this id" in client.get("/job?id=nothing").text
    assert client.get("/job").status_code == client.get("/job", params={"id": "x" * 300}).status_code == 200


def test_the_dead_are_grouped_by_target_and_last_line(filled):
    filled.die(3)
    filled.die(2, b"other.example")
    filled.die(1, b"gone")
    text = filled.client().get("/dead").text
    groups = re.findall(r'<span class="big">(\d+)</span></div>\n<p class="error-line"><code>([^<]*)</code>', text)
    assert groups == [
        ("3", "ConnectionError: no route to example.org"),
        ("2", "ConnectionError: no route to other.example"),
        ("1", "the address is gone"),
    ]
    assert "All 6 dead jobs" in text and "Traceback (most recent call last)" in text
    text = filled.client().get("/dead?reason=discarded").text
    assert text.count('class="big"') == 1 and "the address is gone" in text


def test_groups_are_of_the_newest_alone_and_say_so(filled, monkeypatch):
    monkeypatch.setattr("duewheel.dashboard._dead.GROUPED", 10)
    filled.die(4, b"gone")
    filled.die(12)
    client = filled.client()
    text = client.get("/dead").text
    assert "10 dead jobs, the newest" in text and "older ones are not counted" in text
    assert re.findall(r'class="big">(\d+)', text) == ["10"]
    assert re.findall(r'class="big">(\d+)', client.get(next_of(text)).text) == ["4", "2"]


def test_the_largest_groups_are_shown_and_how_many_there_are(one):
    for number in range(60):
        one.die(1, b"host-%d" % number)
    one.die(2, b"host-7")
    text = one.client().get("/dead").text
    assert re.findall(r'class="big">(\d+)', text) == ["3"] + ["1"] * 49
    assert "The largest 50 of 60 groups" in text
    assert "groups: a target" not in one.client().get("/dead?reason=discarded").text


def test_the_dead_come_page_by_page(filled):
    filled.die(120)
    wanted = [dead.event.job_id for dead in filled.scheduler.dead()]
    client = filled.client()
    line = "ConnectionError: no route to example.org"
    assert pages_of(client, "/dead?view=list") == wanted
    assert pages_of(client, str(httpx.URL("/dead", params={"target": "mail", "error": line}))) == wanted
    assert pages_of(client, "/dead?error=another") == []


def post(client, action, **fields):
    answer = client.post(f"/do/{action}", data=fields)
    assert answer.status_code == 303, answer.text
    return {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def test_what_cannot_be_taken_back_is_asked_for(filled):
    filled.die(2)
    id = next(filled.scheduler.dead()).event.job_id
    client = filled.client(actions=True)
    for action in ("revive", "cancel", "discard"):
        text = client.post(f"/do/{action}", data={"id": id}).text
        assert f'action="/do/{action}"' in text and 'name="confirmed" value="yes"' in text
    text = client.get("/confirm", params={"action": "revive-all", "target": "mail"}).text
    assert "Revive 2 dead jobs?" in text
    assert len(list(filled.scheduler.dead())) == 2


def test_one_is_revived(filled):
    filled.die(2)
    first, second = (dead.event.job_id for dead in filled.scheduler.dead())
    client = filled.client(actions=True)
    assert post(client, "revive", id=first, confirmed="yes") == {"notice": "revived", "done": "1"}
    assert [dead.event.job_id for dead in filled.scheduler.dead()] == [second]
    assert post(client, "revive", id="none", confirmed="yes") == {"notice": "revived", "failed": "1"}
    filled.fails = False
    filled.clock.advance(0)
    assert [event.job_id for event in filled.ran] == [first]
    assert "1 revived." in client.get("/dead?notice=revived&done=1").text


def test_all_that_match_are_revived(filled):
    filled.die(20)
    filled.die(5, b"other.example")
    taken = next(filled.scheduler.dead(limit=1)).event.job_id
    line = "ConnectionError: no route to other.example"
    filled.scheduler.in_(9000, "mail", id=taken)
    client = filled.client(actions=True)
    said = post(client, "revive-all", target="mail", error=line, confirmed="yes")
    assert said == {"notice": "revived", "done": "4", "failed": "1"}
    assert len(list(filled.scheduler.dead())) == 21
    assert filled.scheduler.stats().revived == 4


def test_many_are_taken_in_turns(filled, monkeypatch):
    monkeypatch.setattr("duewheel.dashboard._dead.MOST_IDS", 10)
    filled.die(25)
    client = filled.client(actions=True)
    assert "the newest 10 dead jobs of more" in client.get("/confirm?action=revive-all").text
    monkeypatch.setattr("duewheel.dashboard._dead.LOOK_ASKED", 5)
    assert "at least 5 dead jobs, and at most 10" in client.get("/confirm?action=discard-all").text
    assert post(client, "revive-all", confirmed="yes") == {"notice": "revived", "done": "10", "left": "1"}
    assert "There are more: do it again" in client.get("/dead?notice=revived&done=10&left=1").text


def test_one_is_discarded(filled):
    filled.die(2)
    first, second = (dead.event.job_id for dead in filled.scheduler.dead())
    client = filled.client(actions=True)
    text = client.post("/do/discard", data={"id": first}).text
    assert f"Discard {first}?" in text and "forgotten" in text
    assert post(client, "discard", id=first, confirmed="yes") == {"notice": "discarded", "done": "1"}
    assert post(client, "discard", id=first, confirmed="yes") == {"notice": "discarded", "failed": "1"}
    assert post(client, "discard", id="x" * 300, confirmed="yes") == {"notice": "discarded", "failed": "1"}
    assert [dead.event.job_id for dead in filled.scheduler.dead()] == [second]
    assert "was dead no longer" in client.get("/dead?notice=discarded&failed=1").text


def test_all_that_match_are_discarded(filled, monkeypatch):
    filled.die(3, b"gone")
    filled.die(20)
    monkeypatch.setattr("duewheel.dashboard._dead.MOST_IDS", 15)
    client = filled.client(actions=True)
    fields = {"target": "mail", "reason": "failed", "confirmed": "yes"}
    assert "the newest 15 dead jobs of more" in client.get("/confirm?action=discard-all&reason=failed").text
    assert post(client, "discard-all", **fields) == {"notice": "discarded", "done": "15", "left": "1"}
    assert post(client, "discard-all", **fields) == {"notice": "discarded", "done": "5"}
    assert {dead.reason for dead in filled.scheduler.dead()} == {"discarded"}
    assert post(client, "discard-all", error="another", confirmed="yes") == {"notice": "discarded"}
    assert len(list(filled.scheduler.dead())) == 3 and filled.scheduler.stats().revived == 0


def test_repeats_show_their_next_times_and_are_paused_and_triggered(filled):
    filled.repeat()
    client = filled.client(actions=True)
    text = client.get("/repeats").text
    assert text.count("<li><time datetime=") == 5 and "Every(60)" in text
    assert "2027-01-01 00:01:00.000 UTC" in text and "2027-01-01 00:05:00.000 UTC" in text
    assert post(client, "pause", id="sweep") == {"notice": "paused", "done": "1"}
    assert filled.scheduler.get_repeat("sweep").paused
    text = client.get("/repeats").text
    assert "paused" in text and 'action="/do/resume"' in text and 'action="/do/pause"' not in text
    assert post(client, "trigger", id="sweep")["done"] == "1"
    filled.clock.advance(0)
    assert [event.job_id for event in filled.ran] == ["sweep"]
    assert post(client, "resume", id="sweep")["done"] == "1"
    assert post(client, "pause", id="none") == {"notice": "paused", "failed": "1"}
    assert not filled.scheduler.get_repeat("sweep").paused


def test_repeats_come_page_by_page(one):
    for number in range(120):
        one.scheduler.repeat(Every(60 + number), "sweep" if number % 2 else "mail", id=f"r{number:03}")
    names, path, client = [], "/repeats", one.client()
    while path:
        text = client.get(path).text
        names += re.findall(r"<h2><a href=[^>]*>(r\d+)<", text)
        path = next_of(text)
    assert sorted(names) == [f"r{number:03}" for number in range(120)]
    assert client.get("/repeats?target=sweep").text.count('class="card repeat"') == 50


def test_a_pending_job_is_run_now_or_cancelled(filled):
    filled.scheduler.in_(600, "sweep", id="a")
    filled.scheduler.in_(600, "sweep", id="b")
    client = filled.client(actions=True)
    assert post(client, "cancel", id="a", confirmed="yes")["done"] == "1"
    assert post(client, "cancel", id="a", confirmed="yes")["failed"] == "1"
    assert filled.scheduler.get("a") is None and filled.scheduler.get("b") is not None
    assert post(client, "run-now", id="b")["done"] == "1"


def test_a_closed_scheduler_is_said(one):
    client = one.client()
    one.scheduler.close()
    for path in ("/", "/jobs", "/dead", "/repeats", "/job?id=a"):
        answer = client.get(path)
        assert answer.status_code == 503 and "ClosedError" in answer.text, path
    assert "Closed" in client.get("/store").text, "its numbers are there to the last"


def first_message(client, path):
    """What a stream says first; the rest is not waited for."""
    found = []
    with client.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if not line:
                return "\n".join(part.removeprefix("data: ") for part in found)
            found.append(line)
    return None


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr("duewheel.dashboard._events.EVERY_S", 0)
    monkeypatch.setattr("duewheel.dashboard._events.LASTS_S", 2)


def test_the_stream_renews_what_changes(one, short):
    one.scheduler.in_many([60] * 7, "mail")
    text = first_message(one.client(), "/events?of=overview&window=hour")
    parts = re.findall(r'<hx-partial hx-target="#(\w+)" hx-swap="innerMorph">', text)
    assert sorted(parts) == ["live", "summary"] and "<dd>7</dd>" in text
    assert "<html" not in text and "<h1" not in text
    text = first_message(one.client(), "/events?of=jobs")
    assert re.findall(r'hx-target="#(\w+)"', text) == ["summary"]
    assert first_message(one.client(), "/events?of=nonsense") is not None


def test_the_stream_of_a_closed_scheduler_ends(one, short):
    client = one.client()
    one.scheduler.close()
    assert first_message(client, "/events?of=overview") is None


@pytest.mark.parametrize("in_file", [False, True])
def test_an_awaited_scheduler_is_awaited(tmp_path, in_file, quiet):
    def fail(event):
        raise ValueError("no")

    async def main():
        async with aio.Scheduler(tmp_path / "jobs.db" if in_file else None) as scheduler:
            scheduler.handle("dies", fail)
            scheduler.handle("sweep", lambda event: None)
            await scheduler.in_(0, "dies", id="d", retry_limit=0)
            await scheduler.in_many([60] * 70, "later")
            await scheduler.repeat(60, "sweep", id="sweep")
            while not scheduler.stats().dead:
                await asyncio.sleep(0.01)
            app = dashboard.app(scheduler, actions=True)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
                for path in ("/", "/jobs", "/dead", "/repeats", "/store", "/job?id=d", "/job?id=sweep"):
                    assert (await client.get(path)).status_code == 200, path
                assert "ValueError: no" in (await client.get("/dead")).text
                second = next_of((await client.get("/jobs")).text)
                assert len(ids_in((await client.get(second)).text)) == 21
                for action, id in (("revive", "d"), ("pause", "sweep")):
                    answer = await client.post(f"/do/{action}", data={"id": id, "confirmed": "yes"})
                    assert "done=1" in answer.headers["location"]
            assert (await scheduler.get_repeat("sweep")).paused

    asyncio.run(main())


# The parts


def test_a_pager_takes_each_item_once_whatever_is_equal():
    times = [1, 1, 1, 2, 2, 3, 3, 3, 3, 4]
    for upwards in (True, False):
        items = list(enumerate(times if upwards else times[::-1]))
        for many in range(1, 11):
            seen, cursor = [], None
            while True:
                pager = Pager(cursor, lambda item: item[1], lambda item: True, upwards=upwards)
                page = []
                for item in items:
                    if len(page) == many:
                        break
                    if pager(item):
                        page.append(item)
                seen += page
                if len(page) < many:
                    break
                cursor = Cursor.read(str(pager.next))
            assert seen == items


@pytest.mark.parametrize("text", ["", "~", "1", "1~0", "1~-1", "a~1", "1~b", f"{2**63}~1", "1~2~3", f"1~{2**40}"])
def test_a_cursor_that_is_none_is_the_beginning(text):
    assert Cursor.read(text) is None


def test_the_history_has_rates_and_windows(one):
    history, when_s = History(), 1000.0
    one.fails = False
    for number in range(130):
        if number:
            one.scheduler.in_many([0] * 10, "mail")
            one.clock.advance(0)
        history.add(one.scheduler.stats(), when_s + number)
        history.add(one.scheduler.stats(), when_s + number + 0.1)
    flows = history.flows()
    assert (
        len(flows) == 120 and {flow.succeeded for flow in flows} == {10.0} and {flow.failed for flow in flows} == {0.0}
    )
    assert all(one.ago_s > other.ago_s for one, other in pairwise(flows))
    assert history.rate() == 10.0
    stats = one.scheduler.stats()
    assert sum(history.lateness("life", stats).counts) == 1290
    minute = history.lateness("minute", stats)
    assert (sum(minute.counts), minute.seconds) == (610, 61.0)
    assert len(minute.counts) == len(BOUNDS)
    assert sum(history.lateness("hour", stats).counts) == 1290
    history.add(duewheel.Scheduler().stats(), when_s + 200)
    assert history.flows() == [] and history.rate() is None, "another scheduler has begun at 0"


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (1e-9, "1 ns"), (0.0000125, "12.5 µs"), (0.000123456, "123 µs"), (0.0042, "4.2 ms"), (0.9999, "1 s"),
    (0.05, "50 ms"), (1.5, "1.5 s"), (59.94, "59.9 s"), (60, "1 min"), (75, "1 min 15 s"),
    (3_600, "1 h"), (5_430, "1 h 30 min"),
    (90_000, "1 d 1 h"), (86_400 * 400, "400 d"), (-2, "-2 s"), (float("nan"), "–"), (None, "–"), (9.996, "10 s"),
])  # fmt: skip
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_numbers_are_short():
    assert [compact(n) for n in (0, 7, 7.26, 123.4, 9_999, 12_345, 1_000_000, 123_456_789, 2e9)] == [
        "0", "7", "7.3", "123", "9,999", "12.3k", "1.0M", "123M", "2.0G",
    ]  # fmt: skip
    assert [size(n) for n in (0, 1_023, 1_536, 5 << 20)] == ["0 B", "1023 B", "1.5 KiB", "5.0 MiB"]
    assert [distance(when, 10**9) for when in (None, 10**9, 3 * 10**9, 0)] == ["–", "now", "in 2 s", "1 s ago"]
    assert [last_line(text) for text in ("", "a\nb: c\n\n", "one")] == ["(no text)", "b: c", "one"]
