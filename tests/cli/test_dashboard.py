"""`duewheel dashboard` as a process: it serves pages of what a file or a database holds, until it is told to end."""

import signal
import socket
import subprocess
import sys

import httpx2 as httpx
import pytest

from duewheel import Scheduler
from duewheel.cli._ends import FINE

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of a process alone is not to be had"),
    pytest.mark.timeout(120),
]


@pytest.fixture(params=["a_file", "a_database", "a_shared_file"])
def options(request, path):
    """What names the jobs: of a file that nobody has, of a database, of a file that this process has and shares."""
    if request.param != "a_shared_file":
        place = request.getfixturevalue(request.param)
        place.open().close()
        yield [str(option) for option in place.options]
        return
    with Scheduler(path, share=True) as scheduler:
        yield ["-f", str(path)]
        scheduler.close()


@pytest.fixture
def serve(options):
    """Start the command on a port that is free; return where it serves."""
    started = []

    def serve(*more):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "duewheel", "dashboard", *options, "--port", str(port), *more]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        said = []
        for line in process.stderr:
            said.append(line)
            if "running on" in line:
                return process, f"http://127.0.0.1:{port}"
        raise AssertionError("".join(said))

    yield serve
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def test_it_shows_what_there_is_until_it_is_interrupted(cli, options, serve):
    assert cli("add", "works", "+1h", *options, "--id", "a").status == FINE
    process, url = serve()
    with httpx.Client(base_url=url, timeout=60) as client:
        for path in ("/", "/targets", "/jobs", "/running", "/dead", "/repeats", "/store"):
            answer = client.get(path)
            assert answer.status_code == 200 and "Read-only" in answer.text, path
        assert "works" in client.get("/job?id=a").text
        assert client.post("/do/cancel", data={"id": "a", "confirmed": "yes"}).status_code == 403
        assert client.get("/static/dashboard.css").status_code == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == FINE
    assert cli("show", "a", *options).status == FINE


def test_it_changes_jobs_where_it_may(cli, options, serve):
    assert cli("add", "works", "+1h", *options, "--id", "a").status == FINE
    _, url = serve("--actions")
    with httpx.Client(base_url=url, timeout=60) as client:
        answer = client.post("/do/cancel", data={"id": "a", "confirmed": "yes"})
        assert answer.status_code == 303 and "done=1" in answer.headers["location"]
        assert "Nothing is known of this id" in client.get("/job?id=a").text
