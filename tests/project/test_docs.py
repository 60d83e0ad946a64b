"""The examples of README, the pages and the docstrings, run as they stand."""

import doctest
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from starlette.testclient import TestClient

import duewheel
import duewheel.aio
import duewheel.cli
import duewheel.scheduler

ROOT = Path(__file__).resolve().parents[2]
HOWTOS = sorted((ROOT / "docs" / "howto").glob("*.md"))


@pytest.fixture(autouse=True)
def module_of_the_example(monkeypatch):
    """The module in which functions of an example say they are: frameworks look it up."""
    monkeypatch.setitem(sys.modules, "example", ModuleType("example"))


@pytest.fixture(autouse=True)
def _loggers_as_they_were():
    """What an example says of the log holds for itself alone."""
    logger = logging.getLogger("duewheel")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


def examples():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL), 1):
            yield pytest.param(code, id=f"{page.name}-{number}")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """What an example leaves in the working directory goes with the test."""
    monkeypatch.chdir(tmp_path)


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


SAID = re.compile(r"```python\n(.*?)```\n\nIt prints (.*?`)\.\s", re.DOTALL)
SAYING = [page.name for page in sorted((ROOT / "docs").glob("*.md")) if SAID.search(page.read_text("utf-8"))]


def lines_said(text):
    """The lines that a program prints, by what follows it: `a`, `b` and `c`."""
    return [re.sub(r"\s+", " ", line) for line in re.findall(r"`([^`]+)`", text)]


@pytest.mark.parametrize("page", ["README.md", *SAYING])
def test_the_examples_say_what_they_print(page, capsys, quiet):
    text = (ROOT / page if page == "README.md" else ROOT / "docs" / page).read_text("utf-8")
    text = text.partition("## Tasks")[2].partition("\n## ")[0] if page == "README.md" else text
    examples = SAID.findall(text)
    assert examples
    for code, said in examples:
        exec(compile(code, "example", "exec"), {"__name__": "example"})
        assert capsys.readouterr().out.splitlines() == lines_said(said)


@pytest.mark.parametrize("page", HOWTOS, ids=lambda page: page.name)
def test_the_program_of_a_howto_runs_and_prints_what_the_page_says(page, tmp_path):
    """The blocks of a page are one program, in a process of its own: frameworks are configured once in a process."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    if not blocks:
        pytest.skip("it has none that runs here")
    program = tmp_path / "program.py"
    program.write_text("\n".join(blocks), "utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = re.findall(r"^It prints (.*?`)[.:]\s", text, re.DOTALL | re.MULTILINE)
    assert ran.stdout.splitlines() == [line for part in said for line in lines_said(part)]


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
