"""What tests of the command line share: calls of it, and places for jobs."""

import io
import json
import subprocess
import sys
from typing import NamedTuple

import pytest
from pg_given import schema, url

from duewheel import PostgresStorage, Scheduler
from duewheel.cli import main

__all__ = ["schema", "url"]


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def records(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def record(self):
        (record,) = self.records
        return record


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("DUEWHEEL_DB", "DUEWHEEL_KEYS", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli(monkeypatch):
    """Calls of the command line, in this process; `said` is its standard input."""

    def cli(*arguments, said=b""):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n") for _ in range(2))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said)))
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # of --help and --version
            status = ended.code
        for stream in (out, err):
            stream.flush()
        return Ended(status, out.buffer.getvalue().decode(), err.buffer.getvalue().decode())

    return cli


class Place:
    """Where jobs are: the options that name it, and a scheduler of a program over it."""

    def __init__(self, options, storage):
        self.options = options
        self.storage = storage

    def open(self, **keywords):
        return Scheduler(self.storage(), **keywords)


@pytest.fixture
def a_file(path):
    return Place(["-f", path], lambda: path)


@pytest.fixture
def a_database(url, schema):
    return Place(["-f", url, "--schema", schema], lambda: PostgresStorage(url, schema=schema))


@pytest.fixture(params=["a_file", "a_database"])
def place(request):
    """A file that nobody has, and a database; the tables of one are there."""
    place = request.getfixturevalue(request.param)
    place.open().close()
    return place


@pytest.fixture
def at(cli, place):
    """Calls of the command line about the place."""
    return lambda verb, *arguments, **keywords: cli(verb, *place.options, *arguments, **keywords)


OWNER = "import duewheel, sys; s = duewheel.Scheduler(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def owner(path):
    """A process that has the file, and does not share it."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()
