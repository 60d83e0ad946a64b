"""The site that `make docs` builds: its pages, its links, and what it says of every public name."""

import importlib
import re
import sys
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import duewheel

ROOT = Path(__file__).resolve().parents[2]
SITE_PROGRAMS = ROOT / "docs" / "site"

pytestmark = pytest.mark.skipif(not (ROOT / "python").exists(), reason="the sources are not here")


@pytest.fixture(scope="module")
def assemble():
    sys.path.insert(0, str(SITE_PROGRAMS))
    try:
        yield importlib.import_module("assemble")
    finally:
        sys.path.remove(str(SITE_PROGRAMS))
        for name in ("assemble", "reference"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def pages(assemble):
    return assemble.pages()


@pytest.fixture(scope="module")
def site(assemble, tmp_path_factory):
    pytest.importorskip("zensical", reason="LEFT OUT: Zensical is not installed (the dependency group `docs`)")
    return assemble.build(tmp_path_factory.mktemp("docs") / "out").resolve()


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = set(), []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        self.links += [given[name] for name in ("href", "src") if given.get(name)]


def test_no_link_of_the_site_is_dead(site):
    read = cache(Page)
    dead, followed = [], 0
    for path in site.rglob("*.html"):
        for link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            base = site if parts.path.startswith("/") else path.parent
            target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            followed += 1
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target.suffix == ".html" and anchor not in read(target).anchors):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert followed > 1_000 and not dead


def test_a_page_asks_no_other_host_for_anything(site):
    asked = set()
    for path in site.rglob("*.html"):
        for tag in path.read_text("utf-8").split("<"):
            if tag.startswith(("script", "link", "img", "iframe")) and ('="//' in tag or '="http' in tag):
                asked.add(tag.partition(">")[0])
    assert not {tag for tag in asked if "canonical" not in tag}


def test_what_programs_read(site, pages):
    text = (site / "llms.txt").read_text("utf-8")
    assert text.startswith("# duewheel\n\n> ")
    linked = [line.partition("](")[2].partition(")")[0] for line in text.splitlines() if line.startswith("- [")]
    assert {"index.md", "tutorial.md", "howto/fastapi.md", "reference/scheduler.md"} <= set(linked)
    assert all((site / link).read_text("utf-8") == pages[link] for link in linked)
    assert "def greet(event):" in (site / "llms-full.txt").read_text("utf-8")


def navigation(nav):
    for entry in nav:
        for inside in entry.values():
            yield from [inside] if isinstance(inside, str) else navigation(inside)


def test_the_navigation_has_pages_that_are_there(assemble, pages):
    named = list(navigation(tomllib.loads(assemble.configuration())["project"]["nav"]))
    assert len(named) == len(set(named))
    assert not set(named) - set(pages)


def test_no_page_is_without_a_way_to_it(assemble, pages):
    """It is in the navigation of docs/zensical.toml, or another page links to it."""
    found = set(navigation(tomllib.loads(assemble.configuration())["project"]["nav"]))
    for file, text in pages.items():
        for _, link, _ in assemble.LINK.findall(text):
            path = link.partition("#")[0]
            if path.endswith(".md"):
                found.add(assemble.posixpath.normpath(assemble.posixpath.join(assemble.posixpath.dirname(file), path)))
    assert not set(pages) - found


def test_a_link_out_of_the_site_is_refused(assemble):
    places = {"docs/a.md": "a.md", "README.md": "readme.md", "docs/howto/b.md": "howto/b.md"}
    turned = assemble.turned("[x](../README.md#y) `[z](nowhere.md)` [w](howto/b.md)", "docs/a.md", places)
    assert turned == "[x](readme.md#y) `[z](nowhere.md)` [w](howto/b.md)"
    places["docs/images/a.png"] = "images/a.png"
    picture = '<source srcset="{0}"><img src="{0}">'
    turned = assemble.turned(picture.format("docs/images/a.png"), "README.md", places)
    assert turned == picture.format("images/a.png")
    assert assemble.turned("[x](../a.md)", "docs/howto/b.md", places) == "[x](../a.md)"
    with pytest.raises(assemble.DeadLinkError, match=r"docs/a\.md: nowhere\.md"):
        assemble.turned("[x](nowhere.md)", "docs/a.md", places)


def test_the_reference_has_every_public_name(pages):
    text = "\n".join(text for file, text in pages.items() if file.startswith("reference/"))
    modules = {"adapters"}
    for name in set(duewheel.__all__) - modules:
        assert f"\n## {name} {{ #{name} }}\n" in text, name
    for name in ("Scheduler", "Timer", "Schedule"):
        calls = [call for call in dir(getattr(duewheel, name)) if call[0] != "_"]
        assert calls
        for call in calls:
            assert f"### {name}.{call} {{" in text or f"| `{call}` |" in text, f"{name}.{call}"


def test_the_reference_says_what_the_docstrings_say(pages):
    text = pages["reference/scheduler.md"]
    assert (
        "### Scheduler.in_ { #Scheduler.in_ }\n\n```python\nin_(\n    delay: float | timedelta,\n    target: str,\n"
        in text
    )
    assert "`**job_options`: `retry_limit`, `min_backoff`, `max_backoff`, `age_limit`, `consistency`." in text
    assert duewheel.Scheduler.cancel.__doc__.splitlines()[0] in text
    assert "[`StateError`](errors.md#StateError)" in text
    assert "Unpack[" not in text
    signatures = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    assert "Scheduler(\n    storage: str | PathLike[str]" in signatures
    assert not re.findall(r"(?<![\w.])_[A-Za-z]\w*", signatures), "names that users do not know"
