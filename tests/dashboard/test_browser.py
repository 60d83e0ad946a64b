"""The dashboard in a real browser: what moves, is found, is asked for and refused."""

import re

import pytest
from starlette.responses import PlainTextResponse

from duewheel import dashboard

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
expect.set_options(timeout=20_000)

pytestmark = pytest.mark.timeout(180)  # a machine that is busy starts a browser slowly


def tile(page, name):
    return page.locator(".tile", has=page.locator("dt", has_text=name)).locator("dd").first


def shown(page):
    return page.locator("tbody a.id").all_inner_texts()


@pytest.fixture
def page(one, browse):
    return browse(dashboard.app(one.scheduler, actions=True))


def test_the_numbers_move_while_they_are_looked_at(one, page):
    page.goto("/")
    expect(tile(page, "Pending")).to_have_text("0")
    one.scheduler.in_many([60] * 1_234, "mail")
    expect(tile(page, "Pending")).to_have_text("1,234")
    expect(page.locator("#summary")).to_contain_text("1,234")
    one.die(2)
    expect(tile(page, "Died")).to_have_text("2")


def test_the_head_moves_on_pages_that_are_read(one, page):
    ids = one.scheduler.in_many([60] * 3, "mail")
    page.goto("/jobs")
    one.scheduler.in_(30, "mail")
    expect(page.locator("#summary dd").first).to_have_text("4")
    assert shown(page) == list(ids)


def test_a_row_that_is_moved_keeps_the_focus(one, page):
    one.scheduler.in_(60, "mail", id="a")
    page.goto("/")
    link = page.locator(".list a").first
    link.focus()
    one.scheduler.in_(30, "sweep", id="b")
    expect(page.locator(".list a")).to_have_count(2)
    assert page.evaluate("document.activeElement.closest('.list') !== null")


def test_filters_are_in_the_url_and_outlive_a_reload(one, page):
    one.scheduler.in_(60, "mail", id="a")
    one.scheduler.in_(60, "sweep", id="b")
    page.goto("/jobs")
    page.get_by_label("Target").fill("sweep")
    page.get_by_label("State").select_option("waiting")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"/jobs\?target=sweep&state=waiting$"))
    for _ in range(2):
        assert shown(page) == ["b"]
        expect(page.get_by_label("Target")).to_have_value("sweep")
        expect(page.get_by_label("State")).to_have_value("waiting")
        page.reload()
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_a_job_is_found_by_its_id(one, page):
    one.scheduler.in_(60, "mail", id="a/b c?", retry_limit=7)
    page.goto("/dead")
    page.keyboard.press("/")
    page.keyboard.type("a/b c?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("a/b c?")
    expect(page.locator("main")).to_contain_text("at most 7")
    page.get_by_label("Find a job by its id").fill("nothing")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("Nothing is known of this id")


def test_pages_go_on_where_the_last_was(one, page):
    ids = list(one.scheduler.in_many([60 + number // 40 for number in range(130)], "mail"))
    page.goto("/jobs")
    seen = shown(page)
    for _ in range(2):
        page.get_by_role("link", name="Next page").click()
        page.wait_for_load_state()
        seen += shown(page)
    assert seen == ids
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    page.go_back()
    assert shown(page) == ids[50:100]
    page.get_by_role("link", name="First page").click()
    expect(page.locator("tbody a.id").first).to_have_text(ids[0])


def test_one_is_revived_when_it_was_confirmed(one, page):
    one.die(2)
    first, second = (dead.event.job_id for dead in one.scheduler.dead())
    page.goto("/dead?view=list")
    button = page.get_by_role("link", name=f"Revive: {first}")
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Revive {first}?")
    dialog.get_by_role("link", name="Keep as it is").click()
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    assert len(list(one.scheduler.dead())) == 2
    button.click()
    dialog.get_by_role("button", name="Revive").click()
    expect(page.get_by_role("status")).to_have_text("1 revived.")
    expect(page).to_have_url(re.compile(r"/dead\?view=list$"))
    assert [dead.event.job_id for dead in one.scheduler.dead()] == [second]
    page.reload()
    expect(page.get_by_role("status")).to_have_count(0)


def test_all_that_match_are_revived(one, page):
    one.die(7)
    one.die(2, b"other.example")
    page.goto("/dead")
    group = page.locator(".group", has_text="other.example")
    group.get_by_role("link", name="Revive all").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Revive 2 dead jobs?")
    expect(dialog).to_contain_text("ConnectionError: no route to other.example")
    dialog.get_by_role("button", name="Revive all").click()
    expect(page.get_by_role("status")).to_have_text("2 revived.")
    expect(page.locator(".group")).to_have_count(1)
    assert one.scheduler.stats().revived == 2


def test_all_that_match_are_discarded_or_none(one, page):
    one.die(7)
    one.die(2, b"other.example")
    page.goto("/dead?view=list&target=mail")
    button = page.get_by_role("link", name="Discard all that match")
    button.click()
    expect(page.get_by_role("dialog")).to_contain_text("Discard 9 dead jobs?")
    page.keyboard.press("Escape")
    assert len(list(one.scheduler.dead())) == 9
    page.get_by_role("link", name=re.compile("^Discard: ")).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(page.get_by_role("status")).to_have_text("1 discarded.")
    button.click()
    page.get_by_role("dialog").get_by_role("button", name="Discard all").click()
    expect(page.get_by_role("status")).to_have_text("8 discarded.")
    expect(page.locator("main")).to_contain_text("No dead job matches")
    assert list(one.scheduler.dead()) == []


def test_a_repeat_is_paused_triggered_and_resumed(one, page):
    one.repeat()
    page.goto("/repeats")
    card = page.locator(".repeat")
    card.get_by_role("button", name="Pause sweep").click()
    expect(card).to_contain_text("paused")
    assert one.scheduler.get_repeat("sweep").paused
    card.get_by_role("button", name="Trigger sweep").click()
    expect(page.get_by_role("status")).to_have_text("1 triggered.")
    one.clock.advance(0)
    assert [event.job_id for event in one.ran] == ["sweep"]
    card.get_by_role("button", name="Resume sweep").click()
    expect(card).to_contain_text("waiting")
    assert not one.scheduler.get_repeat("sweep").paused


def test_a_job_is_cancelled_without_scripts(one, browse):
    one.scheduler.in_(60, "mail", id="a")
    page = browse(dashboard.app(one.scheduler, actions=True), java_script_enabled=False)
    page.goto("/job?id=a")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel a?")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("1 cancelled.")
    assert len(one.scheduler) == 0


READ = ("/", "/targets", "/jobs", "/running", "/dead", "/dead?view=list", "/repeats", "/store", "/job?id=sweep")


def test_nothing_can_be_done_where_it_is_read_only(one, browse):
    one.die(2)
    one.repeat()
    page = browse(dashboard.app(one.scheduler))
    for path in READ:
        page.goto(path)
        expect(page.locator("form[method=post], a[data-dialog]")).to_have_count(0)
        expect(page.locator(".side-foot")).to_contain_text("Read-only")
    answer = page.request.post("/do/pause", form={"id": "sweep"})
    assert answer.status == 403 and not one.scheduler.get_repeat("sweep").paused


FORGED = """
<form method="post" action="{url}/do/pause"><input name="id" value="sweep"><button>See kittens</button></form>
"""


def test_a_form_on_another_site_changes_nothing(one, page, chromium):
    one.repeat()
    page.goto("/repeats")
    with chromium.new_context() as context:
        forged = context.new_page()
        forged.route("http://evil.example/", lambda route: route.fulfill(
            body=FORGED.format(url=page.served.url), content_type="text/html"))  # fmt: skip
        forged.goto("http://evil.example/")
        with forged.expect_response("**/do/pause") as answer:
            forged.get_by_role("button").click()
        assert answer.value.request.headers["origin"] == "http://evil.example"
        assert answer.value.status == 403
        expect(forged.locator("body")).to_contain_text("another origin")
    assert not one.scheduler.get_repeat("sweep").paused


def test_a_page_of_another_site_does_not_frame_it(page, chromium, serve):
    framing = serve(PlainTextResponse(f'<iframe src="{page.served.url}/"></iframe>', media_type="text/html"))
    with chromium.new_context() as context:
        other = context.new_page()
        other.goto(framing.url)
        assert [frame.url for frame in other.frames[1:]] == ["chrome-error://chromewebdata/"]


HIDE = """hidden => {
  for (const [name, value] of [["hidden", hidden], ["visibilityState", hidden ? "hidden" : "visible"]])
    Object.defineProperty(document, name, { configurable: true, get: () => value });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""A browser without a head never hides a page, so the page is told."""


def test_the_stream_pauses_while_the_page_is_hidden(one, page):
    served = page.served
    page.goto("/")
    served.wait_for(lambda: served.streams == 1 and served.messages > 5)
    page.evaluate(HIDE, True)
    served.wait_for(lambda: served.streams == 0)
    one.scheduler.in_many([60] * 77, "mail")
    expect(tile(page, "Pending")).to_have_text("0")
    page.evaluate(HIDE, False)
    expect(tile(page, "Pending")).to_have_text("77")
    assert served.streams == 1


def test_a_page_that_is_left_ends_its_stream(page):
    served = page.served
    page.goto("/")
    served.wait_for(lambda: served.streams == 1)
    page.goto("/static/dashboard.css")
    served.wait_for(lambda: served.streams == 0)
