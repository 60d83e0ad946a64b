"""The dashboard that the command line serves."""

import http.client
import signal
import socket
import subprocess
import sys

import pytest

from duewheel import Scheduler

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


def page(port, path):
    """Return the status and the text of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("shared", [True, False], ids=["an owner", "nobody"])
def test_it_is_served_until_ctrl_c(path, shared):
    with Scheduler(path) as scheduler:
        scheduler.in_(3_600, "mail.send", id="job-of-the-page")
    owner = Scheduler(path, share=True) if shared else None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "duewheel", "-f", path, "dashboard", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = []
    try:
        while "running on" not in "".join(said):
            said.append(process.stderr.readline())
            assert said[-1], said
        assert page(port, "/")[0] == 200
        status, text = page(port, "/jobs")
        assert (status, "job-of-the-page" in text, "mail.send" in text) == (200, True, True)
        assert page(port, "/confirm?what=cancel&id=job-of-the-page")[0] >= 400  # it only shows
        if owner is not None:
            assert owner.cancel("job-of-the-page")
            assert "job-of-the-page" not in page(port, "/jobs")[1]
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        if owner is not None:
            owner.close()
    assert (process.returncode, out, "Traceback" in err) == (0, "", False), err
    assert said[0] == f"http://127.0.0.1:{port}/ shows {path}; Ctrl-C ends it\n"
