"""gunicorn with four workers, each of which says `share=True`."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import duewheel


def post(port, text):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", f"/jobs/{text}")
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.timeout(120)
def test_four_workers_use_one_file(path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-w", "4", "-k", "asgi", "-b", f"127.0.0.1:{port}", "web:app"]
    environment = {**os.environ, "DUEWHEEL_FILE": str(path)}
    folder = Path(__file__).parent
    server = subprocess.Popen([*command, "--log-level", "error"], cwd=folder, env=environment)
    try:
        answers = []
        while not {"owner", "client"} <= {answer["role"] for answer in answers}:
            try:
                answers.append(post(port, f"job{len(answers)}"))
            except ConnectionError:
                time.sleep(0.05)
        owner = next(answer["pid"] for answer in answers if answer["role"] == "owner")
        os.kill(owner, signal.SIGKILL)
        with duewheel.connect(path) as client:
            client.in_(0, "note", b"after")  # waits for the next owner
            assert client.owner_pid != owner
            assert client.wait(60)
    finally:
        server.terminate()
        server.wait()
    ran = Path(f"{path}.ran").read_text().splitlines()
    assert {line.split()[0] for line in ran} >= {"after", *(f"job{number}" for number in range(len(answers)))}
    assert str(owner) not in ran[-1]
