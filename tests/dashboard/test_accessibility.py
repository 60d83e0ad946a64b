"""Whether everybody can use the dashboard: axe finds nothing, it is narrow enough, a keyboard does, both themes."""

import re
import threading

import pytest

import duewheel
from duewheel import Every, Rate, dashboard

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
expect = playwright.expect
expect.set_options(timeout=20_000)

pytestmark = pytest.mark.timeout(300)  # a machine that is busy starts a browser slowly

LONG = "a-target.with.a-name-that-is-longer-than-a-phone-is-wide/" + "x" * 90
"""Names are anybody's: they may not push a page aside."""

WIDTHS = {"phone": 360, "tablet": 700, "desk": 1280}

PAGES = (
    "/", "/?window=hour", "/targets", "/jobs", "/jobs?state=overdue", "/running", "/dead", "/dead?view=list",
    "/dead?target=nothing", "/repeats", "/store", "/job?id=late", "/job?id=sweep", "/job?id=dies", "/job?id=nothing",
    "/confirm?action=cancel&id=late", "/confirm?action=revive-all", "/jobs?target=nothing",
    "/targets?notice=revived&done=3&failed=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def full():
    """A scheduler that has one of everything that a page can show."""
    scheduler, runs, goes_on = duewheel.Scheduler(workers=2), threading.Semaphore(0), threading.Event()

    def stays(event):
        runs.release()
        goes_on.wait()

    @scheduler.handler("dies")
    def dies(event):
        if event.data == b"retry":
            raise ConnectionError("no route to the host")
        raise ValueError("this line is long " * 12)

    scheduler.handle("stays", stays, rate=Rate(1, per=3600))
    scheduler.handle(LONG, lambda event: None)
    with scheduler:
        scheduler.in_(0, "stays")
        runs.acquire()
        scheduler.in_(0, "stays", id="limited")
        scheduler.in_(0, "dies", id="dies", retry_limit=0)
        scheduler.in_(0, "dies", b"retry", min_backoff=3600)
        while scheduler.stats().dead + scheduler.stats().retried < 2:
            runs.acquire(timeout=0.01)
        scheduler.at(1_700_000_000, "nobody", id="late")
        scheduler.at(1_700_000_000, LONG + "?", id=LONG)
        scheduler.repeat(Every(86_400), LONG, id="sweep")
        scheduler.repeat("0 9 * * mon-fri", "dies", tz="Europe/Paris", id="paused")
        scheduler.pause("paused")
        scheduler.in_many([90_000 + number for number in range(70)], LONG)
        yield scheduler
        goes_on.set()
        scheduler.close()


def begin(browse, full, theme="dark", width="desk", **settings):
    app = dashboard.app(full, actions=True, show_data=lambda event: event.data)
    return browse(app, color_scheme=theme, viewport={"width": WIDTHS[width], "height": 900}, **settings)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", ["phone", "desk"])
def test_axe_finds_nothing(full, browse, theme, width):
    page, found = begin(browse, full, theme, width), {}
    for path in PAGES:
        page.goto(path)
        violations = axe.Axe().run(page).response["violations"]
        if violations:
            found[path] = [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in violations]
    page.goto("/dead")
    page.get_by_role("link", name=re.compile("^Revive all")).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found |= {"dialog": rules} if (rules := axe.Axe().run(page).response["violations"]) else {}
    assert found == {}


WIDER = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > width + 1)
    .map(one => one.tagName + "." + one.className);
}"""


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window(full, browse, width):
    page, wide = begin(browse, full, width=width), {}
    for path in PAGES:
        page.goto(path)
        if found := page.evaluate(WIDER):
            wide[path] = found
    assert wide == {}


def test_what_is_touched_is_large_enough(full, browse):
    page, small = begin(browse, full, width="phone", has_touch=True, is_mobile=True), {}
    for path in PAGES:
        page.goto(path)
        for button in page.locator(".button:visible, .menu a:visible, select:visible, input:visible").all():
            box = button.bounding_box()
            if box["height"] < 24 or box["width"] < 24:
                small[path, button.inner_text()] = box
    assert small == {}


def test_it_is_dark_or_light_as_the_reader_prefers(full, browse):
    page, seen = begin(browse, full), {}
    page.goto("/")
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        seen[theme] = sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
    assert seen["dark"] < 40 and seen["light"] > 230


FOCUSED = """() => {
  const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
  return { name: one.getAttribute("aria-label") || one.textContent.trim() || one.id || one.tagName, tag: one.tagName,
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.bottom > 0 && box.top < innerHeight && box.width > 0 };
}"""


def tabbed(page, most=60):
    """What the Tab key comes by, until it is past the page."""
    stops = []
    while len(stops) < most:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        stops.append(page.evaluate(FOCUSED))
    return stops


@pytest.mark.parametrize("path", ["/", "/targets", "/dead", "/repeats", "/job?id=dies"])
def test_the_focus_goes_through_a_page_in_order_and_is_seen(full, browse, path):
    page = begin(browse, full)
    page.goto(path)
    page.evaluate("document.activeElement.blur()")
    stops = tabbed(page)
    assert [stop["name"] for stop in stops[:3]] == ["Skip to the content", "duewheel", "Overview"]
    assert [stop["name"] for stop in stops[3:9]] == ["Targets", "Jobs", "Running", "Dead", "Repeats", "Store"]
    assert stops[9]["name"] == "find"
    assert [stop for stop in stops if not (stop["outline"] and stop["seen"])] == []


def test_the_first_stop_leads_past_the_menu(full, browse):
    page = begin(browse, full)
    page.goto("/jobs")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("main").get_by_label("Target")).to_be_focused()


def test_a_job_is_revived_by_keyboard_alone(browse, one):
    one.die(2)
    first = next(one.scheduler.dead()).event.job_id
    page = browse(dashboard.app(one.scheduler, actions=True))
    page.goto("/dead?view=list")

    def tab_to(name):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(FOCUSED)["name"] == name:
                return
        raise AssertionError(name)

    tab_to(f"Revive: {first}")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Revive")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name=f"Revive: {first}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Revive")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 revived.")
    assert len(list(one.scheduler.dead())) == 1


def test_states_are_said_in_words(full, browse):
    page = begin(browse, full)
    for path in ("/jobs", "/repeats", "/dead"):
        page.goto(path)
        marks = page.locator(".mark")
        assert marks.count() and all(marks.all_inner_texts()), path
        assert page.locator(".mark:not(:has(svg))").count() == 0, path
