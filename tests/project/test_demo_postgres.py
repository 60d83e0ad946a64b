"""The demo of many nodes does what its report says: nodes that die, a server that crashes, nothing lost."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo_postgres.py"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the system has no SIGKILL")


@pytest.mark.timeout(120)
def test_nothing_is_lost():
    command = [sys.executable, "-X", "utf8", str(DEMO), "--jobs", "20000", "--nodes", "2", "--seconds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=110, check=False)
    if "no server" in done.stderr:
        pytest.skip("LEFT OUT: there are no programs of a server of PostgreSQL")
    report = done.stdout
    assert done.returncode == 0, report + done.stderr
    for what in ["a node is killed", "a node is stopped", "it goes on", "the server crashes"]:
        assert what in report
    for promised in ["lost", "failed and not retried", "at most once, started twice"]:
        assert re.search(rf"^  {promised} +0   0$", report, re.M), report
    assert report.endswith("Nothing is lost.\n")
    assert max(map(len, report.splitlines())) <= 80
