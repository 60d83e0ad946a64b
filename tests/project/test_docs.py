"""The examples of README and of the docstrings, run as they stand."""

import doctest
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from starlette.testclient import TestClient

import duewheel
import duewheel.aio
import duewheel.cli
import duewheel.scheduler

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def module_of_the_example(monkeypatch):
    """The module in which functions of an example say they are: frameworks look it up."""
    monkeypatch.setitem(sys.modules, "example", ModuleType("example"))


def examples():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL), 1):
            yield pytest.param(code, id=f"{page.name}-{number}")


@pytest.mark.parametrize("code", list(examples()))
def test_example_runs(code):
    exec(compile(code, "example", "exec"), {"__name__": "example"})


def test_the_first_example_says_what_it_does(capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    exec(compile(code[1], "example", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["cancelled: True", "sent to ada@example.org at attempt 2", "succeeded: 1"]


def test_the_example_of_jobs_that_survive_says_what_it_does(capsys):
    section = (ROOT / "README.md").read_text("utf-8").partition("## Jobs that survive")[2]
    code = re.search(r"```python\n(.*?)```(.*?)\n\n", section, re.DOTALL)
    exec(compile(code[1], "example", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["still there: True", "sending invoice 42 in run 1", "pending: 0"]
    said = section.partition("It prints ")[2].partition("\n")[0]
    assert all(f"`{line}`" in said for line in printed)


def test_the_examples_of_asyncio_say_what_they_do(capsys):
    for page in ("README.md", "docs/asyncio.md"):
        section = (ROOT / page).read_text("utf-8").partition("# asyncio")[2]
        code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
        exec(compile(code[1], "example", "exec"), {"__name__": "example"})
        assert capsys.readouterr().out == "hello Ada\n"


SAYING = ["README.md", *(f"docs/{name}.md" for name in ("tasks", "plugins", "integrations", "testing"))]


@pytest.mark.parametrize("page", SAYING)
def test_the_examples_of_tasks_and_plugins_say_what_they_do(page, capsys):
    text = (ROOT / page).read_text("utf-8")
    text = text.partition("## Tasks")[2].partition("\n## ")[0] if page == "README.md" else text
    examples = re.findall(r"```python\n(.*?)```\n\nIt prints (.*?`)\.\s", text, re.DOTALL)
    assert examples
    for code, said in examples:
        exec(compile(code, "example", "exec"), {"__name__": "example"})
        printed = capsys.readouterr().out.splitlines()
        assert [re.sub(r"\s+", " ", line) for line in re.findall(r"`([^`]+)`", said)] == printed


def test_the_application_of_the_asyncio_page_runs(capsys):
    section = (ROOT / "docs" / "asyncio.md").read_text("utf-8").partition("## In a web application")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    application = {"__name__": "example"}
    exec(compile(code[1], "example", "exec"), application)
    with TestClient(application["app"]) as client:
        answer = client.post("/users/ada@example.org")
        assert client.portal.call(application["scheduler"].wait, 30)
    assert len(answer.json()["job"]) == 36
    assert capsys.readouterr().out == "sent to ada@example.org\n"


MODULES = [duewheel, duewheel.aio, duewheel.cli, duewheel.scheduler]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_docstrings_run(module):
    failed, tried = doctest.testmod(module)
    assert tried and not failed


def test_every_test_that_the_guarantees_name_is_there():
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    named = re.findall(r"`([\w./]+\.(?:py|rs))::(\w+)`", page)
    assert len(named) > 20
    for file, name in named:
        word = "def" if file.endswith(".py") else "fn"
        assert re.search(rf"^{word} {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), f"{file}::{name}"
