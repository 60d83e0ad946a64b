"""What tests of crashes share: a directory on a real disk, children that are killed, and what they wrote down."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("child.py")

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # SIGKILL, fork, limits


@pytest.fixture
def place():
    """A directory on the disk that the checkout is on: /tmp may be memory."""
    parent = Path(__file__).resolve().parents[2] / "target"
    parent.mkdir(exist_ok=True)
    made = tempfile.mkdtemp(prefix="crash-", dir=parent)
    yield Path(made)
    shutil.rmtree(made)


@pytest.fixture
def path(place):
    return str(place / "jobs.db")


class Children:
    """Starts `child.py`, or another program that is told so; what is left of it at the end of the test is killed."""

    def __init__(self):
        self.started = []

    def start(self, what, *, before=(), program=CHILD, **told):
        command = [*before, sys.executable, str(program), what, json.dumps(told)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.started = [child for child in self.started if child.poll() is None]
        self.started.append(child)
        return child

    def finish(self, what, *, timeout=50, status=0, **told):
        """Run one to its end; returns what it printed, a line of JSON."""
        child = self.start(what, **told)
        out, err = child.communicate(timeout=timeout)
        assert child.returncode == status, err.decode()
        return json.loads(out) if out else None

    @staticmethod
    def answer(child):
        """What a child prints next, a line of JSON."""
        line = child.stdout.readline()
        assert line, child.communicate(timeout=50)[1].decode()
        return json.loads(line)

    @staticmethod
    def line(child):
        return child.stdout.readline().decode().strip()

    def state_of(self, path):
        """What another process sees of a file: the name of its error, or `opened`."""
        return self.finish("refused", path=str(path))[0]

    @staticmethod
    def kill(child):
        child.kill()
        out, err = child.communicate(timeout=50)
        return out, err.decode()


@pytest.fixture
def children():
    made = Children()
    yield made
    for child in made.started:
        if child.poll() is None:
            made.kill(child)
        for pipe in filter(None, (child.stdin, child.stdout, child.stderr)):
            pipe.close()


class Lines:
    """A log whose lines are there once written, whatever happens next: one `write` each, appended."""

    def __init__(self, path):
        self.path = path

    def __iter__(self):
        if not os.path.exists(self.path):  # noqa: PTH110 - a str, as the children have it
            return
        with open(self.path, encoding="utf-8") as lines:  # noqa: PTH123
            for line in lines:
                if line.endswith("\n") and not line.endswith("~\n"):  # torn by a kill: nobody has acted on it
                    yield line.split()


@pytest.fixture
def lines(path):
    return Lines(path + ".log")
