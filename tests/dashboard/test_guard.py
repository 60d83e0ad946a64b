"""Who may see the dashboard and change something by it, and what a browser is told."""

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from duewheel import NopScheduler, Scheduler, dashboard

NASTY = "<script>alert(1)</script>&\"'/../é"
"""A name that wants to be more than text."""

PAGES = ("/", "/targets", "/jobs", "/running", "/dead", "/repeats", "/store", "/job?id=sweep")


def test_pages_are_bound_to_their_origin(one):
    client = one.client()
    for path in (*PAGES, "/static/dashboard.css", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    assert client.get("/").headers["cache-control"] == "no-store"


def test_nothing_in_a_page_is_inline_or_from_elsewhere(one):
    one.die()
    one.repeat()
    for path in PAGES:
        text = one.client(actions=True).get(path).text
        assert "<style" not in text and " style=" not in text and " on" + "click" not in text
        assert text.count("<script") == text.count("<script defer src=") == 3
        assert "http:" not in text.replace("http://www.w3.org/2000/svg", "") and "https:" not in text


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "", "[::1"]
)
def test_a_foreign_host_is_refused(one, host):
    answer = one.client().get("/", headers={"host": host})
    assert answer.status_code == 400 and "hosts=" in answer.text


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8274", "127.0.0.1:8274", "[::1]:8274", "jobs.localhost", "127.3.2.1"]
)
def test_this_machine_is_answered(one, host):
    assert one.client().get("/", headers={"host": host}).status_code == 200


def test_hosts_are_named(one):
    client = one.client(hosts=["Jobs.Example.org"])
    assert client.get("/", headers={"host": "jobs.example.org:443"}).status_code == 200
    assert client.get("/", headers={"host": "other.example.org"}).status_code == 400
    client = one.client(hosts=["jobs.example.org"], authorize=lambda request: "read")
    assert client.get("/", headers={"host": "other.example.org"}).status_code == 400


def test_without_authorize_other_machines_are_refused(one):
    app = dashboard.app(one.scheduler)
    for address, status in (("10.0.0.7", 403), ("2001:db8::1", 403), ("127.0.0.1", 200), ("::1", 200)):
        answer = TestClient(app, client=(address, 5000)).get("/", headers={"host": "localhost"})
        assert answer.status_code == status, address
    app = dashboard.app(one.scheduler, authorize=lambda request: "read")
    assert TestClient(app, client=("10.0.0.7", 5000)).get("/", headers={"host": "jobs.example"}).status_code == 200


def test_it_is_read_only_unless_actions(one):
    one.die(1)
    (dead,) = one.scheduler.dead()
    form = {"id": dead.event.job_id, "confirmed": "yes"}
    client = one.client()
    assert "Revive" not in client.get("/dead?view=list").text and "Read-only" in client.get("/").text
    for answer in (client.post("/do/revive", data=form), client.get(f"/confirm?action=revive&id={form['id']}")):
        assert answer.status_code == 403 and "actions=True" in answer.text
    assert one.client(actions=True).post("/do/revive", data=form).status_code == 303
    assert list(one.scheduler.dead()) == []


@pytest.mark.parametrize(("access", "actions", "read", "write"), [
    ("write", True, 200, 303), ("read", True, 200, 403), (None, True, 403, 403), ("write", False, 200, 403),
])  # fmt: skip
def test_authorize_says_what_somebody_may_do(one, access, actions, read, write):
    one.repeat()

    async def later(request):
        assert request.headers["user-agent"]
        return access

    for authorize in (lambda request: access, later):
        client = one.client(actions=actions, authorize=authorize)
        assert client.get("/").status_code == read
        assert client.get("/static/dashboard.css").status_code == read
        assert client.post("/do/pause", data={"id": "sweep"}).status_code == write


def test_what_authorize_must_return_is_said(one):
    client = one.client(authorize=lambda request: True)
    with pytest.raises(TypeError, match='"read", "write" or None, not True'):
        client.get("/")


SAME = "http://testserver"


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 303),
    ({"sec-fetch-site": "same-origin"}, 303),
    ({"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, 303),
    ({"sec-fetch-site": "none"}, 303),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "cross-site", "origin": SAME}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
    ({"sec-fetch-site": ""}, 403),
    ({"origin": SAME}, 303),
    ({"origin": "http://testserver:81"}, 403),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "http://testserver.evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": ""}, 403),
])  # fmt: skip
def test_a_page_of_another_origin_changes_nothing(one, headers, status):
    one.repeat()
    answer = one.client(actions=True).post("/do/pause", data={"id": "sweep"}, headers=headers)
    assert answer.status_code == status
    assert one.scheduler.get_repeat("sweep").paused == (status == 303)


def test_reading_changes_nothing(one):
    one.repeat()
    client = one.client(actions=True)
    for path in ("/do/pause?id=sweep", "/do/trigger?id=sweep"):
        assert client.get(path).status_code == 405


def test_a_large_form_is_refused(one):
    client = one.client(actions=True)
    assert client.post("/do/pause", content=b"id=" + b"x" * 100_000).status_code == 413
    assert client.post("/do/pause", content=b"id=%ff%fe").status_code == 413
    assert client.post("/do/pause", content=b"").status_code == 400
    assert client.post("/do/explode", data={"id": "a"}).status_code == 404


@pytest.mark.parametrize("back", [
    "//evil.example/", "https://evil.example/", "javascript:alert(1)", "/\\evil.example",
    "\\\\evil.example", "evil", "",
])  # fmt: skip
def test_an_action_goes_back_to_the_dashboard_alone(one, back):
    one.repeat()
    answer = one.client(actions=True).post("/do/pause", data={"id": "sweep", "back": back})
    assert answer.headers["location"] == "/?notice=paused&done=1"


def test_a_prefix_is_kept(one):
    one.repeat()
    outer = Starlette(routes=[Mount("/ops/jobs", dashboard.app(one.scheduler, actions=True))])
    client = TestClient(outer, follow_redirects=False)
    text = client.get("/ops/jobs/repeats").text
    paths = [
        part.split('"')[0] for part in text.split('href="')[1:] + text.split('src="')[1:] + text.split('action="')[1:]
    ]
    assert paths and all(path.startswith(("/ops/jobs/", "#")) for path in paths)
    for path in paths:
        if not path.startswith(("#", "/ops/jobs/do/", "/ops/jobs/find")):
            assert client.get(path).status_code == 200, path
    answer = client.post("/ops/jobs/do/pause", data={"id": "sweep", "back": "/ops/jobs/repeats?target=sweep"})
    assert answer.headers["location"] == "/ops/jobs/repeats?target=sweep&notice=paused&done=1"
    answer = client.post("/ops/jobs/do/pause", data={"id": "sweep", "back": "/other"})
    assert answer.headers["location"] == "/ops/jobs/?notice=paused&done=1"


def test_names_are_text_alone(one):
    one.scheduler.in_(60, NASTY, b"<b>data</b>", id=NASTY)
    one.scheduler.repeat(60, NASTY, id=f"{NASTY}!")
    one.die(1, data=NASTY.encode())
    (dead,) = one.scheduler.dead()
    client = one.client(actions=True, show_data=lambda event: event.data.decode())
    seen = [client.get(path).text for path in PAGES]
    seen += [client.get("/job", params={"id": id}).text for id in (NASTY, f"{NASTY}!", dead.event.job_id)]
    seen.append(client.get("/dead", params={"view": "list", "error": f"ConnectionError: no route to {NASTY}"}).text)
    seen.append(client.get("/confirm", params={"action": "cancel", "id": NASTY}).text)
    seen.append(client.get("/jobs", params={"target": NASTY, "after": NASTY, "state": NASTY}).text)
    assert not [text for text in seen if "<script>alert" in text or "<b>data" in text]
    assert sum("&lt;script&gt;alert(1)" in text for text in seen) > 8


def test_data_are_hidden_unless_shown(one):
    one.scheduler.in_(60, "mail", b"secret-of-ada", id="a")
    one.die(1, data=b"gone")
    hidden = one.client()
    assert "secret-of-ada" not in "".join(hidden.get(path).text for path in (*PAGES, "/job?id=a"))
    assert "Hidden" in hidden.get("/job?id=a").text
    shown = one.client(show_data=lambda event: f"{event.target}: {event.data!r}")
    assert "mail: b&#39;secret-of-ada&#39;" in shown.get("/job?id=a").text
    assert "mail: b&#39;gone&#39;" in shown.get("/dead?view=list").text
    broken = one.client(show_data=lambda event: 1 / 0)
    assert "show_data has failed: ZeroDivisionError" in broken.get("/job?id=a").text


@pytest.mark.parametrize(("made", "keywords", "error", "said"), [
    (7, {}, TypeError, "Scheduler"), (Scheduler, {}, TypeError, "Scheduler"), (None, {}, TypeError, "Scheduler"),
    (NopScheduler(), {"actions": 1}, TypeError, "actions"),
    (NopScheduler(), {"authorize": "read"}, TypeError, "authorize"),
    (NopScheduler(), {"show_data": True}, TypeError, "show_data"), (NopScheduler(), {"hosts": "a"}, TypeError, "hosts"),
])  # fmt: skip
def test_wrong_arguments_are_refused(made, keywords, error, said):
    with pytest.raises(error, match=said):
        dashboard.app(made, **keywords)


@pytest.mark.parametrize(("keywords", "error", "said"), [
    ({"host": "0.0.0.0"}, ValueError, "authorize="), ({"host": "::"}, ValueError, "authorize="),
    ({"host": ""}, ValueError, "authorize="), ({"host": "jobs.example.org"}, ValueError, "authorize="),
    ({"host": "192.168.1.4"}, ValueError, "authorize="), ({"host": 7}, TypeError, "host"),
    ({"port": -1}, ValueError, "port"), ({"port": 65_536}, ValueError, "port"), ({"port": "80"}, TypeError, "port"),
    ({"port": True}, TypeError, "port"), ({"authorize": 1, "host": "0.0.0.0"}, TypeError, "authorize"),
])  # fmt: skip
def test_it_is_not_served_where_everybody_reaches_it(keywords, error, said):
    with pytest.raises(error, match=said):
        dashboard.serve(NopScheduler(), **keywords)
