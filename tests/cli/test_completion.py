"""What shells complete the command line by."""

import shutil
import subprocess
import sys

import pytest

from duewheel.cli._ends import FINE, USAGE

pytest.importorskip("shtab")


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["duewheel", "re"], {"repeats", "resume", "revive"}),
        (["duewheel", "list", "--"], {"--file", "--json", "--target", "--since", "--until", "--limit", "--tz"}),
        (["duewheel", "import", "--re"], {"--revive"}),
    ],
)
def test_bash_completes_verbs_and_options(cli, words, expected):
    written = cli("completion", "bash")
    assert written.status == FINE
    ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_duewheel; echo ${{COMPREPLY[@]}}"
    ended = subprocess.run(
        ["bash", "-c", f"{written.out}\n{ask}"], capture_output=True, text=True, check=True, timeout=30
    )
    assert expected <= set(ended.stdout.split()) and ended.stderr == ""


def test_zsh_is_written_for_too(cli):
    assert cli("completion", "zsh").out.startswith("#compdef duewheel\n")


def test_without_the_package_the_extra_is_named(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    ended = cli("completion", "bash")
    assert ended.status == USAGE and "duewheel[completion]" in ended.err


def test_without_the_dashboard_s_packages_the_extra_is_named(cli, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duewheel.dashboard", None)
    ended = cli("dashboard", "-f", path)
    assert ended.status == USAGE and "duewheel[dashboard]" in ended.err
