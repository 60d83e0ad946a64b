"""The owner is killed again and again: nothing that was acknowledged is lost, and nothing is done twice."""

import contextlib
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import duewheel

MEMBER = Path(__file__).with_name("member.py")


def member(path, durability):
    command = [sys.executable, MEMBER, path, durability]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() in (b"owner\n", b"client\n")
    return process


def end(process):
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
@pytest.mark.parametrize(
    "kills", [4, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(600)])], ids=lambda kills: f"{kills}"
)
def test_nothing_is_lost_and_nothing_is_done_twice(path, durability, kills, record_property):
    members = {process.pid: process for process in (member(path, durability) for _ in range(4))}
    taken_ms = []
    try:
        with duewheel.connect(path) as client:
            for _ in range(kills):
                time.sleep(0.1)
                owner = client.owner_pid
                members[owner].kill()
                killed = time.monotonic()
                client.in_(3_600, "note")
                taken_ms.append((time.monotonic() - killed) * 1e3)
                dead = members.pop(owner)
                assert dead.wait() == -signal.SIGKILL
                dead.stdin.close()
                dead.stdout.close()
                assert client.owner_pid in members
                fresh = member(path, durability)
                members[fresh.pid] = fresh
    finally:
        for process in members.values():
            with contextlib.suppress(OSError):
                end(process)
    record_property("taken over in ms", sorted(round(ms, 1) for ms in taken_ms))
    acknowledged = (path.parent / "acks").read_text().split()
    runs = Counter((path.parent / "runs").read_text().splitlines())
    ran = {line.split()[0] for line in runs}
    with duewheel.Scheduler(path) as alone:
        pending = {event.job_id for event in alone.between()}
        dead = {found.event.job_id for found in alone.dead()}
    assert len(acknowledged) > 20 * kills
    assert set(acknowledged) - ran - pending - dead == set()
    assert [line for line, count in runs.items() if count > 1] == []  # each run of a job has a number of its own
    assert (path.parent / "faults").read_text() == ""


def test_a_client_that_is_stopped_goes_on_with_the_next_owner(path):
    first, second = member(path, "commit"), member(path, "commit")
    second.send_signal(signal.SIGSTOP)
    first.kill()
    first.wait()
    first.stdin.close()
    first.stdout.close()
    second.send_signal(signal.SIGCONT)
    while True:
        with contextlib.suppress(duewheel.StorageError), duewheel.connect(path) as client:
            assert client.owner_pid == second.pid
            break
    end(second)
