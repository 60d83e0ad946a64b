"""What README and the pages say: links that lead somewhere, tables that agree with the code, examples that print it."""

import re
import tomllib
from pathlib import Path

import pytest

import duewheel
from duewheel import Consistency, Scheduler

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
README = (ROOT / "README.md").read_text("utf-8")


def anchors(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), link
        assert not anchor or anchor in anchors(linked), link


def code_in(page):
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)))


def test_files_that_pages_name_are_there():
    crates = "|".join(path.parent.name for path in ROOT.glob("rust/*/Cargo.toml"))
    for page in PAGES:
        for name in code_in(page):
            path = re.fullmatch(r"((?:rust|python|tests|benches|examples|docs)/[\w./-]*)(?:::\w+)?", name)
            short = re.fullmatch(rf"({crates})/([\w./]*)", name)
            if path:
                there = (ROOT / path[1], ROOT / "rust/sqlite" / path[1])
            elif short:
                there = (ROOT / "rust" / short[1] / "src" / short[2],)
            else:
                continue
            assert any(path.exists() for path in there), f"{page.name}: {name}"


@pytest.mark.parametrize("page", ["design.md", "words.md"])
def test_names_of_the_code_in_tables_are_there(page):
    files = (path for folder in ("rust", "python") for path in (ROOT / folder).rglob("*.*"))
    code = " ".join(path.read_text("utf-8") for path in files if path.suffix in {".rs", ".py", ".pyi"})
    words = set(re.findall(r"\w+", code))
    lines = (ROOT / "docs" / page).read_text("utf-8").splitlines()
    named = re.findall(r"`(?:\w+::)*(\w+)`", "\n".join(line for line in lines if line.startswith("|")))
    assert len(named) > 30
    assert not set(named) - words


def test_names_that_follow_a_file_are_in_it():
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    named = re.findall(r"`(\w+)/([\w/]+\.rs)`((?:,? (?:then )?`[\w:]+`)+)", page)
    assert len(named) > 20
    for crate, file, names in named:
        code = (ROOT / "rust" / crate / "src" / file).read_text("utf-8")
        for name in re.findall(r"(\w+)`", names):
            assert re.search(rf"\b(?:fn|struct|enum|trait) {name}\b", code), f"{crate}/{file}: {name}"


def test_the_table_of_dependencies_is_right():
    table = (ROOT / "docs" / "design.md").read_text("utf-8").partition("## Which dependencies, and why?")[2]
    said = {row[0]: set(row[1].split(", ")) for row in rows(table.partition("\n## ")[0])}
    needed, tested = {}, {}
    for path in ROOT.glob("rust/*/Cargo.toml"):
        manifest = tomllib.loads(path.read_text("utf-8"))
        for part in (manifest, *manifest.get("target", {}).values()):
            for name in part.get("dependencies", ()):
                needed.setdefault(name, set()).add(path.parent.name)
        tested |= {key: {"tests"} for key in manifest.get("dev-dependencies", ())}
    assert said == {name: crates for name, crates in (tested | needed).items() if not name.startswith("duewheel-")}


def section(name):
    return README.partition(f"## {name}\n")[2].partition("\n## ")[0]


def rows(text):
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_handlers_come_before_files_and_kills():
    order = ["What is promised", "Handlers and retries", "Jobs that survive", "asyncio", "As a service"]
    found = [README.index(f"## {name}\n") for name in order]
    assert found == sorted(found)


def test_the_example_of_handlers_says_what_it_does(capsys, quiet):
    code, said = re.search(
        r"```python\n(.*?)```\n\nIt prints (.*?)\n\n", section("Handlers and retries"), re.DOTALL
    ).groups()
    exec(compile(code, "example", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and all(f"`{line}`" in said for line in printed)


def test_the_table_of_options_is_right():
    table = {row[0].strip("`"): row[1] for row in rows(section("Handlers and retries"))}
    scheduler = Scheduler()
    options = scheduler.get(scheduler.in_(3600, "t")).job.options
    scheduler.close()
    assert repr(options).partition("(")[2].count("=") == len(table)
    assert table["retry_limit"].startswith(f"{options.retry_limit}; none with an `age_limit`; 0 at most once")
    assert float(table["min_backoff"]) == options.min_backoff == duewheel.DEFAULT_MIN_BACKOFF
    assert float(table["max_backoff"]) == options.max_backoff == duewheel.DEFAULT_MAX_BACKOFF
    assert table["age_limit"] == f"`{options.age_limit}`"
    assert table["consistency"] == f"`{Consistency.AT_LEAST_ONCE}`" and options.consistency is Consistency.AT_LEAST_ONCE


def test_the_words_of_the_glossary():
    assert [row[0] for row in rows(section("Eight words"))] == [
        "due", "target", "parked", "dead", "snooze", "attempt", "run", "boot clock",
    ]  # fmt: skip


def test_the_messages_of_the_log_are_those_of_operating():
    page = (ROOT / "docs" / "operating.md").read_text("utf-8")
    log = Path(duewheel.__file__).with_name("_log.py").read_text("utf-8")
    for words in (
        "will be retried",
        "is dead",
        "over a year ago",
        "pending jobs, which are dropped",
        "cannot be read",
        "a plugin failed",
        "nothing runs any more",
    ):
        assert words in page and words in log, words


@pytest.mark.parametrize("workflow", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_to_commits(workflow):
    used = re.findall(r"uses: (.*)", workflow.read_text("utf-8"))
    assert used
    assert not [action for action in used if not re.match(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action)]


def test_each_figure_of_the_comparison_stands_in_its_source():
    table = (ROOT / "docs" / "comparison.md").read_text("utf-8").partition("## Figures\n")[2]
    source, checked = "", 0
    for row in rows(table):
        link = re.search(r"\]\(([\w.-]+)", row[3])
        source = (ROOT / "docs" / link[1]).read_text("utf-8") if link else source
        for figure in re.findall(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d(?![\w.])", f"{row[1]} {row[2]}"):
            assert re.search(rf"(?<![\d,.]){re.escape(figure)}(?![\d,.]*\d)", source), f"{row[0]}: {figure}"
            checked += 1
    assert checked > 30
