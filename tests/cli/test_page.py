"""The page of the command line: its examples print what it says, and it has every verb."""

import re
import shlex
from pathlib import Path

import pytest

from duewheel.cli._parser import parser

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")


def alike(text):
    """A text without what differs from run to run: numbers and the spaces that they need."""
    return re.sub(r"\s+", " ", re.sub(r"\d+", "0", text)).strip()


def test_the_examples_print_what_the_page_says(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```console\n(.*?)```", PAGE, re.DOTALL)[1]
    tried = 0
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        words = shlex.split(command)
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("="))
            continue
        assert words[0] == "duewheel"
        ended = cli(*words[1:])
        assert (alike(ended.out), ended.status) == (alike(expected), 0), command
        tried += 1
    assert tried > 5


def test_the_page_has_every_verb_and_no_other():
    (verbs,) = (action.choices for action in parser()._actions if action.dest == "verb")
    section = PAGE.partition("## Verbs")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)", cell)}
    assert named == set(verbs)


@pytest.mark.parametrize("verb", ["list", "add", "purge", "export", "stats"])
def test_options_of_the_page_are_there(verb):
    (verbs,) = (action.choices for action in parser()._actions if action.dest == "verb")
    known = {option for action in verbs[verb]._actions for option in action.option_strings}
    row = re.search(rf"^\| `{verb}\b.*$", PAGE, re.MULTILINE)[0]
    assert set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", row)) <= known
