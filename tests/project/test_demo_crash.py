"""The demo of crashes does what its report says: processes that die, nothing lost, and an exit status that tells."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo_crash.py"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the system has no SIGKILL")


def run_demo(*flags):
    command = [sys.executable, "-X", "utf8", str(DEMO), *flags]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=50, check=False)


def test_nothing_is_lost(tmp_path):
    done = run_demo("--jobs", "2050", "--kills", "3", "--workers", "2", "--file", str(tmp_path / "jobs.db"))
    assert done.returncode == 0, done.stdout + done.stderr
    report = done.stdout
    assert report.startswith("2,050 jobs in one file, 2 workers, a process that is killed 3 times")
    assert len(re.findall(r"^ +\d +[\d.]+ ms +[\d.]+ s +\d+   kill -9, by its own hand$", report, re.M)) == 3
    assert len(re.findall(r"by itself, all done$", report, re.M)) == 1
    assert re.search(r"  lost +0   0\n", report)
    assert re.search(r"  run twice, at most once +0   0\n", report)
    # What a process has not come to when it dies is nobody's.
    acknowledged = int(re.search(r"jobs acknowledged +([\d,]+)", report)[1].replace(",", ""))
    assert 1_500 <= acknowledged <= 2_050
    assert report.endswith("Nothing is lost.\n")
    assert max(map(len, report.splitlines())) <= 80
    assert (tmp_path / "jobs.db").exists()

    again = run_demo("--file", str(tmp_path / "jobs.db"))
    assert (again.returncode, "is there already" in again.stderr) == (2, True), "it does not touch what it finds"


def test_bad_flags_are_refused():
    assert run_demo("--kills", "0").returncode == 2
