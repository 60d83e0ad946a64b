"""The demo does the main job on real input: it runs, its counts add up, and its report has all its parts."""

import re
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def run_demo(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "utf8", str(DEMO), *flags]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)


def test_the_counts_add_up_and_the_report_is_whole():
    done = run_demo("--jobs", "20000", "--seconds", "0.5", "--workers", "2")

    assert done.returncode == 0, done.stdout + done.stderr
    report = done.stdout
    assert report.startswith("20,000 orders due over 0.5 s, 2 workers")
    # Of 20,000: 1 in 100 cancelled; 4 fail once, 2 twice, 1 three times and is given up or refused; 2 are snoozed.
    for name, count in {
        "orders scheduled": 20_000,
        "orders shipped": 19_600,
        "retries after a failure": 800 + 2 * 400 + 3 * 100,
        "snoozes": 400,
        "dead: refused or given up": 200,
        "cancelled in time": 200,
        "still pending or running": 0,
    }.items():
        assert re.search(rf"{name} +{count:,} +{count:,}   ✓", report), f"{name}\n{report}"
    assert "20,000 = 20,000   ✓" in report
    # Of the 4,000 that async handlers ship: 1 in 100 fails once, 1 in 10 waits.
    asynchronous = report.partition("Async handlers: 4,000 orders")[2]
    for name, count in {"orders shipped": 4_000, "retries after a failure": 40, "handlers started": 4_040}.items():
        assert re.search(rf"{name} +{count:,} +{count:,}   ✓", asynchronous), f"{name}\n{report}"
    assert re.search(r"had to wait +400\n", asynchronous), report
    assert "All counts add up." in report
    for part in ("Lateness:", "Side by side:", "throughput, runs a second", "p99.9", "asyncio.call_later"):
        assert part in report
    assert re.search(r"duewheel  #{30} 100%", report), "plain progress lines where there is no terminal"
    assert "\r" not in report
    assert max(map(len, report.splitlines())) <= 80


def test_bad_flags_are_refused():
    done = run_demo("--jobs", "0")

    assert done.returncode == 2
    assert "--jobs" in done.stderr
