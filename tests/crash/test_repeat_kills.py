"""kill -9 while repeats catch up with every time: no occurrence is lost, none comes twice but what had started.

`DUEWHEEL_REPEAT_KILLS` is how many kills the slow form makes (500 unless given).
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

PERIODS = {"fast": 0.004, "slow": 0.02, "once": 0.01, "retried": 0.015}

SAID = [f"{id}={period_s}" for id, period_s in PERIODS.items()]
PROGRAM = Path(__file__).with_name("repeating.py")


def wait_for(log, words, child):
    """Wait until the program has written this line."""
    end = time.monotonic() + 60
    while not (log.exists() and f"{words}\n" in log.read_text()):
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


def live(path, log, life, rng):
    """Let the program live for a while, and kill it; or, without a random number, until it has ended in order."""
    child = subprocess.Popen([sys.executable, PROGRAM, path, log, str(life), *SAID], stdin=subprocess.PIPE)
    with child:
        if rng is None:
            wait_for(log, f"open {life}", child)
            time.sleep(0.3)
            child.communicate(b"\n", timeout=60)
            assert child.returncode == 0
            return
        if rng.random() < 0.8:
            wait_for(log, f"open {life}", child)
        time.sleep(rng.random() * 0.2)
        child.send_signal(signal.SIGKILL)


def kill_often(place, kills, seed):
    rng = random.Random(seed)
    path, log = place / "jobs.db", place / "log"
    for life in range(kills):
        live(path, log, life, rng)
    live(path, log, kills, None)
    return [line.split() for line in log.read_text().splitlines()]


def check(lines, kills):
    runs, ends, dead, following = defaultdict(list), defaultdict(set), defaultdict(Counter), {}
    for word, life, id, *rest in (line if len(line) > 2 else [*line, ""] for line in lines):
        if word == "run":
            due, occurrence, run, attempt = map(int, rest)
            runs[id].append((due, occurrence, run, attempt, int(life)))
        elif word == "end":
            ends[id].add(int(rest[0]))
        elif word == "dead":
            assert rest[1] == "interrupted"
            dead[id][int(rest[0])] += 1
        elif word == "next":
            following[id] = tuple(map(int, rest))
    assert runs.keys() == PERIODS.keys()
    for id, period_s in PERIODS.items():
        period = round(period_s * 1e9)
        times = sorted({due for due, *_ in runs[id]} | dead[id].keys())
        gaps = [(a, b) for a, b in pairwise(times) if b - a != period]
        assert not gaps, f"{id}: {len(gaps)} gaps, the first {gaps[0]}"
        assert following[id][2] == 0, f"{id} has missed some"
        # Each occurrence has one number, and each number is of one.
        numbers = {due: {number for at, number, *_ in runs[id] if at == due} for due in times if due not in dead[id]}
        assert all(len(found) == 1 for found in numbers.values()), id
        # What was started and is neither ended nor dead was started again, or comes next: its retry waits.
        left = {due for due, *_ in runs[id]} - ends[id] - dead[id].keys() - {following[id][0]}
        assert not left, f"{id}: {sorted(left)[:3]} never ended"
        first_attempts = Counter(due for due, _, _, attempt, _ in runs[id] if attempt == 1)
        extra = sum(count - 1 for count in first_attempts.values())
        assert extra <= kills, f"{id}: {extra} extra starts in {kills} kills"
        if id == "once":
            assert extra == 0
            assert all(count == 1 for count in dead[id].values())
    return {id: len(found) for id, found in runs.items()}


@pytest.mark.timeout(300)
def test_some_kills(place):
    check(kill_often(place, 6, seed=3), 6)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_many_kills(place):
    kills = int(os.environ.get("DUEWHEEL_REPEAT_KILLS", "500"))
    print(check(kill_often(place, kills, seed=time.time_ns()), kills))  # noqa: T201
