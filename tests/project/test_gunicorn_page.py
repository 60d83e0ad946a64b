"""docs/howto/gunicorn.md: its application under gunicorn with four workers, and its script beside it."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "gunicorn.md"
PATIENCE_S = 50

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no gunicorn, and no sharing"),
    pytest.mark.timeout(180),
]


def block(heading):
    section = PAGE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.search(r"```py\n(.*?)```", section, re.DOTALL)[1]


def until(holds):
    end = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def posted(port, address):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/users/{address}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)
    except OSError:
        return None  # not yet, or of a worker that was killed


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop.py").write_text(block("The application"), "utf-8")
    (tmp_path / "nightly.py").write_text(block("The cron script"), "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--workers", "4", "--bind", f"127.0.0.1:{port}", "shop:create_app()"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: posted(port, "first"))
            yield port
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE_S)
        finally:
            server.kill()


def test_workers_and_a_script_share_a_file_and_one_follows_the_owner(shop, tmp_path):
    sent = tmp_path / "sent.txt"
    given = Counter()

    def give(address):
        answer = until(lambda: posted(shop, address))
        given[address] += 1
        return answer

    def burst():
        return Counter(answer["role"] for answer in pool.map(give, [f"user-{number}" for number in range(40)]))

    with ThreadPoolExecutor(8) as pool:  # the worker that is up first, or always awake, may answer a whole burst
        roles = until(lambda: (found := burst())["client"] and found)
    assert set(roles) <= {"owner", "client"}
    owner = until(lambda: (found := give("ask"))["role"] == "owner" and found["by"])
    os.kill(owner, signal.SIGKILL)
    assert until(lambda: (found := give("again"))["role"] == "owner" and found["by"]) != owner
    command = [sys.executable, "nightly.py", "jobs.db"]
    script = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert [len(line) for line in script.stdout.splitlines()] == [36, 36]
    given.update(["ada@example.org", "grace@example.org"])
    (by_shell,) = re.findall(r"`duewheel (-f jobs\.db add .*?)`", PAGE.read_text("utf-8"))
    command = [sys.executable, "-m", "duewheel", *shlex.split(by_shell)]
    added = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert len(added.stdout.strip()) == 36
    given.update(["ada@example.org"])
    until(lambda: not given - Counter(sent.read_text("utf-8").split()))
